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
use super::stream::{Inner, Place, blocking};
use super::{Frontier, LogError};
use crate::event::Position;

/// Reads a stream in order. Cancelling a call loses nothing.
#[derive(Debug)]
pub struct Reader {
    stream: Arc<Inner>,
    frontier: watch::Receiver<Option<Frontier>>,
    after: Option<Position>,
    /// Number of the block that follows, once a block has been read to its end.
    next: Option<u64>,
    /// Set when a segment could not be opened for want of room on the volume.
    no_room: Option<LogError>,
    /// Until when a repair of the hole that comes next is awaited.
    repair: Option<Instant>,
}

/// How often reading is tried again on a full volume.
const ROOM_POLL: Duration = Duration::from_millis(500);

/// What was found on disk.
#[derive(Debug)]
enum Found {
    Block(Arc<Block>),
    /// Nothing but what lies behind a hole that may be repaired until then.
    Awaited(Instant),
    /// What lies before this position is lost.
    Lost(Position),
    Nothing,
}

impl Reader {
    pub(super) fn new(stream: Arc<Inner>, after: Option<Position>) -> Self {
        let frontier = stream.frontier.subscribe();
        Self { stream, frontier, after, next: None, no_room: None, repair: None }
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
        if self.after.as_ref().is_some_and(|after| *after >= frontier.position) {
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
        let (stream, after, next) = (self.stream.clone(), self.after.clone(), self.next);
        let durable = frontier.position.clone();
        let found = blocking(move || {
            // sled cannot open a database on a full volume: room is made of the reserve, or awaited.
            find_once(&stream, after.as_ref(), next, &durable).inspect_err(|error| {
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
                tracing::warn!(stream = %self.stream.id, "the volume is full; reading waits for room.");
            }
            return Ok(None);
        }
        let found = found?;
        self.repair = if let Found::Awaited(until) = found { Some(until) } else { None };
        match found {
            Found::Nothing | Found::Awaited(_) => Ok(None),
            Found::Block(block) => Ok(self.pass(block, &frontier)),
            Found::Lost(end) => {
                self.after = Some(end.clone());
                self.next = None;
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
        let (after, _) = self.after.as_ref().zip(self.next)?;
        self.stream.context.cache.get(&self.stream.id, after)
    }

    /// Moves past a block and returns what of it lies above the place.
    fn pass(&mut self, block: Arc<Block>, frontier: &Frontier) -> Option<Chunk> {
        if block.end > frontier.position {
            return None;
        }
        let from = match &self.after {
            Some(after) => block.records.partition_point(|record| record.position <= *after),
            None => 0,
        };
        let (end, sequence) = (block.end.clone(), block.sequence);
        self.after = Some(end.clone());
        self.next = Some(block.number + 1);
        Some(Chunk::Records { records: Records { block, from }, end, sequence })
    }
}

/// Finds what follows a position. Of several readers that come for the same block at the same time one
/// reads it, and the others take it from the cache.
fn find_once(
    stream: &Inner,
    after: Option<&Position>,
    next: Option<u64>,
    durable: &Position,
) -> Result<Found, LogError> {
    let cache = &stream.context.cache;
    let place = after.zip(next);
    let _turn = place.map(|(_, number)| cache.turn(number));
    if let Some(block) = place.and_then(|(after, _)| cache.get(&stream.id, after)) {
        return Ok(Found::Block(block));
    }
    let found = find_way(stream, after, next)?;
    if let Found::Block(block) = &found {
        stream.context.metrics.log().blocks_read.inc();
        if let Some((after, _)) = place.filter(|_| block.end <= *durable) {
            drop(cache.put(&stream.id, after, block.clone()));
        }
    }
    Ok(found)
}

/// What follows a position, or what to do about a hole that comes first.
fn find_way(
    stream: &Inner,
    after: Option<&Position>,
    next: Option<u64>,
) -> Result<Found, LogError> {
    loop {
        let revision = stream.holes.revision();
        let found = find(stream, after, next)?;
        // A hole that came or went meanwhile may lie between the two.
        if stream.holes.revision() != revision {
            continue;
        }
        let Found::Block(block) = &found else { return Ok(found) };
        return Ok(match stream.holes.way(after, block.first()) {
            Way::Free => found,
            Way::Wait(until) => Found::Awaited(until),
            Way::Pass(end) => Found::Lost(end),
        });
    }
}

/// The block after a position: block number `next`, when the position is the end of a block.
fn find(stream: &Inner, after: Option<&Position>, next: Option<u64>) -> Result<Found, LogError> {
    let mut place = stream.place(after);
    while let Some(here) = place {
        let found = here.open(stream).and_then(|segment| match (after, next) {
            (Some(after), Some(_)) => segment.next(after),
            _ => segment.following(after),
        });
        match found.and_then(|block| check(&here, after, block, next)) {
            Ok(Some(block)) => return Ok(Found::Block(Arc::new(block))),
            // The end of this segment; trimming may have removed it meanwhile.
            Ok(None) => place = stream.place_after(here.first()),
            Err(error @ LogError::Damaged { .. }) if here.seal().is_some() && stream.has(&here) => {
                stream.quarantine(&here, &error);
                return find(stream, after, None);
            }
            // Trimmed, or moved aside for another reader, while this one was about to read it.
            Err(_) if !stream.has(&here) => return find(stream, after, None),
            Err(error) => return Err(error),
        }
    }
    Ok(Found::Nothing)
}

/// Checks that nothing is missing between the place and what was found after it.
fn check(
    place: &Place,
    after: Option<&Position>,
    found: Option<Block>,
    next: Option<u64>,
) -> Result<Option<Block>, LogError> {
    let damaged =
        |what| Err(LogError::damaged(std::path::Path::new(&place.first().to_string()), what));
    match (&found, place.seal()) {
        (None, Some(seal)) if after.is_none_or(|after| *after < seal.last) => {
            damaged("its last blocks are missing")
        }
        // A trimmed stretch begins at a segment's first block; a hole anywhere else is damage.
        (Some(block), _)
            if next.is_some_and(|next| next != block.number) && block.first() != place.first() =>
        {
            damaged("a block is missing")
        }
        _ => Ok(found),
    }
}

async fn until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
