//! Reads a stream in order, up to its frontier.
//!
//! Invariants:
//! 1. Nothing beyond the frontier is returned.
//! 2. Everything between two positions is returned in order, or reported as damaged; a hole in the
//!    numbers of blocks is damage.
//! 3. Cancelling a call loses nothing: the place moves only when a chunk is returned.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::block::Block;
use super::entry::{Chunk, Records};
use super::hole::Way;
use super::outline::Outline;
use super::segment::Segment;
use super::stream::{Inner, Place, blocking};
use super::{Frontier, LogError};
use crate::event::{Filter, Position};

/// Reads a stream in order. Cancelling a call loses nothing.
#[derive(Debug)]
pub struct Reader {
    stream: Arc<Inner>,
    frontier: watch::Receiver<Option<Frontier>>,
    place: Spot,
    /// Of blocks of which nothing may pass it the bodies are not read.
    filter: Option<Arc<Filter>>,
    /// Set when a segment could not be opened for want of room on the volume.
    no_room: Option<LogError>,
    /// Until when a repair of the hole that comes next is awaited.
    repair: Option<Instant>,
}

/// How often reading is tried again on a full volume.
const ROOM_POLL: Duration = Duration::from_millis(500);

/// How many blocks that the filter excludes are passed before the reader is asked again whether it
/// should go on.
const EXCLUDED_BLOCKS_AT_ONCE: usize = 40;

/// Where a reader stands.
#[derive(Debug, Clone, Default)]
struct Spot {
    after: Option<Position>,
    /// Number of the block that follows, once a block has been read to its end.
    next: Option<u64>,
}

/// Blocks that the filter excludes.
#[derive(Debug)]
struct Excluded {
    records: u64,
    first: Option<Position>,
    end: Position,
    sequence: u64,
    /// Number of the block that follows.
    next: u64,
}

/// What was found on disk.
#[derive(Debug)]
enum Found {
    Block(Arc<Block>),
    /// One or several, whose bodies were not read.
    Excluded(Excluded),
    /// Nothing but what lies behind a hole that may be repaired until then.
    Awaited(Instant),
    /// What lies before this position is lost.
    Lost(Position),
    Nothing,
}

impl Reader {
    pub(super) fn new(stream: Arc<Inner>, after: Option<Position>) -> Self {
        let frontier = stream.frontier.subscribe();
        Self {
            stream,
            frontier,
            place: Spot { after, next: None },
            filter: None,
            no_room: None,
            repair: None,
        }
    }

    /// Passes over blocks of which the filter passes nothing, as far as headers tell, without reading their
    /// bodies. Records that it excludes may still come.
    #[must_use]
    pub fn wanting(mut self, filter: &Filter) -> Self {
        self.filter = (!filter.passes_everything()).then(|| Arc::new(filter.clone()));
        self
    }

    /// What follows; waits for it.
    pub async fn next(&mut self) -> Result<Chunk, LogError> {
        loop {
            let mut holes = self.stream.holes.changes();
            if let Some(chunk) = self.try_next().await? {
                return Ok(chunk);
            }
            let patience = self.repair.map(tokio::time::Instant::from_std);
            tokio::select! {
                // The sender lives as long as the stream this reader holds.
                _open = self.frontier.changed() => {}
                () = tokio::time::sleep(ROOM_POLL), if self.no_room.is_some() => {}
                () = holes.changed(), if patience.is_some() => {}
                () = until(patience), if patience.is_some() => {}
            }
        }
    }

    /// What follows, if it is there and the volume has the room to read it ([`Reader::check_room`]).
    pub async fn try_next(&mut self) -> Result<Option<Chunk>, LogError> {
        let Some(frontier) = self.frontier.borrow_and_update().clone() else { return Ok(None) };
        if self.place.after.as_ref().is_some_and(|after| *after >= frontier.position) {
            return Ok(None);
        }
        if let Some(block) = self.cached() {
            return Ok(self.pass(block, &frontier));
        }
        let context = self.stream.context.clone();
        // It is never closed.
        let _turn = context.reading.acquire().await;
        // Another reader at the same place may have had its turn before.
        if let Some(block) = self.cached() {
            return Ok(self.pass(block, &frontier));
        }
        let (stream, place) = (self.stream.clone(), self.place.clone());
        let filter = self.filter.clone();
        let durable = frontier.position.clone();
        let found = blocking(move || {
            // sled cannot open a database on a full volume: room is made of the reserve, or awaited.
            find_some(&stream, &place, filter.as_deref(), &durable).inspect_err(|error| {
                if error.is_full() {
                    stream.context.reserve.give_up();
                }
            })
        });
        let found = found.await;
        let full = found.as_ref().err().filter(|error| error.is_full()).cloned();
        let said = std::mem::replace(&mut self.no_room, full).is_some();
        if self.no_room.is_some() {
            if !said {
                tracing::warn!(stream = %self.stream.id, "the volume is full; reading waits for room");
            }
            return Ok(None);
        }
        let found = found?;
        self.repair = if let Found::Awaited(until) = found { Some(until) } else { None };
        match found {
            Found::Nothing | Found::Awaited(_) => Ok(None),
            Found::Block(block) => Ok(self.pass(block, &frontier)),
            Found::Excluded(excluded) if excluded.end > frontier.position => Ok(None),
            Found::Excluded(excluded) => {
                self.place = excluded.behind();
                let Excluded { records, first, end, sequence, .. } = excluded;
                Ok(Some(Chunk::Excluded { records, first, end, sequence }))
            }
            Found::Lost(end) => {
                self.place = Spot { after: Some(end.clone()), next: None };
                Ok(Some(Chunk::Damaged { end }))
            }
        }
    }

    /// An error when the last call found nothing only because the volume is full.
    pub fn check_room(&self) -> Result<(), LogError> {
        self.no_room.clone().map_or(Ok(()), Err)
    }

    /// The block that follows, if it is in memory.
    fn cached(&self) -> Option<Arc<Block>> {
        let (after, _) = self.place.known()?;
        self.stream.context.cache.get(&self.stream.id, after)
    }

    /// Moves past a block and returns what of it lies above the place.
    fn pass(&mut self, block: Arc<Block>, frontier: &Frontier) -> Option<Chunk> {
        if block.end > frontier.position {
            return None;
        }
        let from = block.count_through(self.place.after.as_ref());
        let (end, sequence) = (block.end.clone(), block.sequence);
        self.place = Spot::behind(&block);
        Some(Chunk::Records { records: Records { block, from }, end, sequence })
    }
}

impl Spot {
    fn behind(block: &Block) -> Self {
        Self { after: Some(block.end.clone()), next: Some(block.number + 1) }
    }

    /// The end of the block before it, and the number of the block that follows.
    fn known(&self) -> Option<(&Position, u64)> {
        self.after.as_ref().zip(self.next)
    }
}

impl Excluded {
    /// What of a block lies above a position.
    fn of(block: &Block, after: Option<&Position>) -> Self {
        let records = block.above(after);
        Self {
            records: records.len() as u64,
            first: records.first().map(|record| record.position.clone()),
            end: block.end.clone(),
            sequence: block.sequence,
            next: block.number + 1,
        }
    }

    /// Together with those that follow.
    fn and(self, more: Self) -> Self {
        Self { records: self.records + more.records, first: self.first.or(more.first), ..more }
    }

    fn behind(&self) -> Spot {
        Spot { after: Some(self.end.clone()), next: Some(self.next) }
    }
}

/// Finds what follows, or passes over several blocks that the filter excludes, up to `durable`.
fn find_some(
    stream: &Inner,
    place: &Spot,
    filter: Option<&Filter>,
    durable: &Position,
) -> Result<Found, LogError> {
    let found = find_once(stream, place, filter, durable)?;
    let Found::Excluded(mut excluded) = found else { return Ok(found) };
    for _ in 1..EXCLUDED_BLOCKS_AT_ONCE {
        match find_once(stream, &excluded.behind(), filter, durable)? {
            Found::Excluded(more) if more.end <= *durable => excluded = excluded.and(more),
            // It is found again, most likely in the cache.
            _ => break,
        }
    }
    Ok(Found::Excluded(excluded))
}

/// Finds what follows a position. Of several readers that come for the same block at the same time one
/// reads it, and the others take it from the cache.
fn find_once(
    stream: &Inner,
    place: &Spot,
    filter: Option<&Filter>,
    durable: &Position,
) -> Result<Found, LogError> {
    let cache = &stream.context.cache;
    let known = place.known();
    let _turn = known.map(|(_, number)| cache.turn(number));
    if let Some(block) = known.and_then(|(after, _)| cache.get(&stream.id, after)) {
        return Ok(Found::Block(block));
    }
    let found = find_way(stream, place, filter)?;
    if let Found::Block(block) = &found {
        stream.context.metrics.log().blocks_read.inc();
        if let Some((after, _)) = known.filter(|_| block.end <= *durable) {
            drop(cache.put(&stream.id, after, block.clone()));
        }
    }
    Ok(found)
}

/// What follows a position, or what to do about a hole that comes first.
fn find_way(stream: &Inner, place: &Spot, filter: Option<&Filter>) -> Result<Found, LogError> {
    loop {
        let revision = stream.holes.revision();
        let found = find(stream, place, filter)?;
        // A hole that came or went meanwhile may lie between the two.
        if stream.holes.revision() != revision {
            continue;
        }
        let first = match &found {
            Found::Block(block) => block.first(),
            Found::Excluded(excluded) => excluded.first.as_ref().unwrap_or(&excluded.end),
            _ => return Ok(found),
        };
        return Ok(match stream.holes.way(place.after.as_ref(), first) {
            Way::Free => found,
            Way::Wait(until) => Found::Awaited(until),
            Way::Pass(end) => Found::Lost(end),
        });
    }
}

/// The block after a position: block number `next`, when the position is the end of a block.
fn find(stream: &Inner, spot: &Spot, filter: Option<&Filter>) -> Result<Found, LogError> {
    let Spot { after, next } = spot;
    let again = || find(stream, &Spot { after: after.clone(), next: None }, filter);
    let mut place = stream.place(after.as_ref());
    while let Some(here) = place {
        let found = here.open(stream).and_then(|segment| {
            let outline = match (after, next) {
                (Some(after), Some(_)) => segment.next(after),
                _ => segment.following(after.as_ref()),
            }?;
            check(&here, spot, outline.as_ref().map(Outline::bare))?;
            outline.map(|outline| take(&segment, outline, after.as_ref(), filter)).transpose()
        });
        match found {
            Ok(Some(found)) => return Ok(found),
            // The end of this segment; trimming may have removed it meanwhile.
            Ok(None) => place = stream.place_after(here.first()),
            Err(error @ LogError::Damaged { .. }) if here.seal().is_some() && stream.has(&here) => {
                stream.quarantine(&here, &error);
                return again();
            }
            // Trimmed, or moved aside for another reader, while this one was about to read it.
            Err(_) if !stream.has(&here) => return again(),
            Err(error) => return Err(error),
        }
    }
    Ok(Found::Nothing)
}

/// The whole block, unless nothing of what lies above the position may pass the filter.
fn take(
    segment: &Segment,
    outline: Outline,
    after: Option<&Position>,
    filter: Option<&Filter>,
) -> Result<Found, LogError> {
    let unwanted = filter.is_some_and(|filter| {
        !outline.above(after).iter().any(|record| filter.may_pass(&record.header))
    });
    Ok(if unwanted {
        Found::Excluded(Excluded::of(outline.bare(), after))
    } else {
        Found::Block(Arc::new(segment.complete(outline)?))
    })
}

/// Checks that nothing is missing between the place and what was found after it.
fn check(place: &Place, spot: &Spot, found: Option<&Block>) -> Result<(), LogError> {
    let damaged =
        |what| Err(LogError::damaged(std::path::Path::new(&place.first().to_string()), what));
    match (found, place.seal()) {
        (None, Some(seal)) if spot.after.as_ref().is_none_or(|after| *after < seal.last) => {
            damaged("its last blocks are missing")
        }
        // A trimmed stretch begins at a segment's first block; a hole anywhere else is damage.
        (Some(block), _)
            if spot.next.is_some_and(|next| next != block.number)
                && block.first() != place.first() =>
        {
            damaged("a block is missing")
        }
        _ => Ok(()),
    }
}

async fn until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
