//! One stream of the log: its segments, its frontier, and the way to its writer.
//!
//! Invariants:
//! 1. Segments are ordered by the position of their first block and do not overlap; only the last
//!    one may be without a seal.
//! 2. A segment that cannot be read is moved aside under another name, and reported.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use jiff::Timestamp;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use super::block::Block;
use super::cache::Cache;
use super::hole::{Hole, HoleChanges, Holes};
use super::pool::Pool;
use super::reader::Reader;
use super::repair::Repair;
use super::reserve::Reserve;
use super::room::when_there_is_room;
use super::segment::{Seal, Segment};
use super::staging::Staging;
use super::writer::{Command, Writer};
use super::{DataDirectory, Entry, Frontier, Gap, LogError, SegmentInfo, Trimmed, files};
use crate::event::{Position, Record, StreamId};
use crate::fault::Fault;
use crate::telemetry::Metrics;

/// Bytes of bodies that may wait for the writer, per stream: a group of ordinary events while another
/// one is written.
const QUEUE_BYTES: usize = 2 << 20;
/// Entries that may wait for the writer, per stream.
const QUEUE_ENTRIES: usize = 1024;
/// Blocks that are read from disk at a time, by all readers together. Each may keep another segment
/// open and takes a thread with its own memory: more would gain nothing on one disk, and with many
/// sinks far behind that memory would be without a bound.
pub(super) const READS_AT_A_TIME: usize = 2;

/// What all streams of a log share.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) directory: Arc<DataDirectory>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) pool: Pool,
    pub(super) cache: Cache,
    pub(super) reserve: Reserve,
    /// Bounds how many blocks are read from disk at a time.
    pub(super) reading: Semaphore,
    /// Whether appending is allowed.
    pub(super) intake: watch::Sender<bool>,
    /// Set once, when the log closes.
    pub(super) closing: AtomicBool,
}

impl Context {
    /// Waits until appending is allowed.
    pub(super) async fn open_intake(&self) {
        if !*self.intake.borrow() {
            // The sender lives as long as the context.
            drop(self.intake.subscribe().wait_for(|open| *open).await);
        }
    }
}

/// One stream of the log. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Stream {
    pub(super) inner: Arc<Inner>,
    commands: mpsc::Sender<Command>,
    queue_bytes: Arc<Semaphore>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) id: StreamId,
    pub(super) path: PathBuf,
    pub(super) context: Arc<Context>,
    pub(super) frontier: watch::Sender<Option<Frontier>>,
    pub(super) holes: Holes,
    segments: RwLock<Segments>,
    /// Gaps that nobody has taken yet.
    pub(super) damages: Mutex<Vec<Gap>>,
    failure: OnceLock<String>,
}

#[derive(Debug, Default)]
pub(super) struct Segments {
    /// By the position of the first block.
    pub(super) by_first: BTreeMap<Position, Known>,
    /// The one being written, while it is open.
    active: Option<Arc<Segment>>,
}

/// What is known of a segment without opening it.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) path: PathBuf,
    pub(super) seal: Option<Seal>,
    pub(super) first_sequence: u64,
}

/// Where to read on.
#[derive(Debug)]
pub(super) struct Place {
    first: Position,
    path: PathBuf,
    seal: Option<Seal>,
    segment: Option<Arc<Segment>>,
}

impl Frontier {
    pub(super) fn at(block: &Block) -> Self {
        Self { position: block.end.clone(), sequence: block.sequence, written_at: block.written_at }
    }
}

impl Stream {
    /// Opens or creates a stream; the writer it returns is to be run on a thread of its own.
    pub(super) fn open(
        context: &Arc<Context>,
        id: &StreamId,
    ) -> Result<(Self, Writer, mpsc::Receiver<Command>), LogError> {
        let path = context.directory.path().join(STREAMS).join(id.as_str());
        files::create_directory(&path)?;
        // One that is there may be a killed process's, which has not synced its name.
        files::sync_parent(&path)?;
        let inner = Arc::new(Inner {
            id: id.clone(),
            path,
            context: context.clone(),
            frontier: watch::Sender::new(None),
            holes: Holes::default(),
            segments: RwLock::default(),
            damages: Mutex::default(),
            failure: OnceLock::new(),
        });
        let (active, last) = inner.recover()?;
        let last = last.map(Arc::new);
        inner.frontier.send_replace(last.as_deref().map(Frontier::at));
        let (commands, receiver) = mpsc::channel(QUEUE_ENTRIES);
        let writer = Writer { stream: inner.clone(), active, last };
        let queue_bytes = Arc::new(Semaphore::new(QUEUE_BYTES));
        Ok((Self { inner, commands, queue_bytes }, writer, receiver))
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> &StreamId {
        &self.inner.id
    }

    /// Up to where it is durable; `None` while it is empty.
    #[must_use]
    pub fn frontier(&self) -> Option<Frontier> {
        self.inner.frontier.borrow().clone()
    }

    /// Tells when the frontier moves.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Option<Frontier>> {
        self.inner.frontier.subscribe()
    }

    /// Hands an entry to the writer; waits for room in its queue and for open intake, not for
    /// durability. What is not above everything appended so far is there already and is dropped.
    pub async fn append(&self, entry: Entry) -> Result<(), LogError> {
        self.inner.context.open_intake().await;
        let bytes = match &entry {
            Entry::Record(record) => record.body.len().clamp(1, QUEUE_BYTES),
            Entry::Advance(_) => 1,
        };
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let permit = self.queue_bytes.clone().acquire_many_owned(bytes).await;
        let permit = permit.map_err(|_| self.inner.stopped())?;
        let sent = self.commands.send(Command::Append(entry, permit)).await;
        sent.map_err(|_| self.inner.stopped())
    }

    /// Waits until everything appended so far is durable.
    pub async fn sync(&self) -> Result<(), LogError> {
        let (done, durable) = oneshot::channel();
        let sent = self.commands.send(Command::Sync(done)).await;
        sent.map_err(|_| self.inner.stopped())?;
        durable.await.map_err(|_| self.inner.stopped())
    }

    pub(super) async fn close(&self) {
        // A writer that is gone has nothing left to close.
        let _gone = self.commands.send(Command::Close).await;
    }

    /// Reads what follows `after`, in order.
    #[must_use]
    pub fn reader(&self, after: Option<Position>) -> Reader {
        Reader::new(self.inner.clone(), after)
    }

    /// The record at exactly this position.
    pub async fn get(&self, position: &Position) -> Result<Option<Record>, LogError> {
        let (inner, wanted) = (self.inner.clone(), position.clone());
        let read = move || inner.record_at(&wanted);
        when_there_is_room(&self.inner.context, read).await
    }

    /// When the oldest block that is still held was written.
    pub async fn oldest(&self) -> Result<Option<Timestamp>, LogError> {
        let inner = self.inner.clone();
        let read = move || inner.first_block();
        let block = when_there_is_room(&self.inner.context, read).await?;
        Ok(block.map(|block| block.written_at))
    }

    /// A scratch area for the pages of a list. What an earlier one left behind is removed.
    pub async fn stage(&self) -> Result<Staging, LogError> {
        let path = self.inner.context.directory.path().join(STAGING).join(self.id().as_str());
        let (id, context) = (self.id().clone(), self.inner.context.clone());
        blocking(move || Staging::begin(id, path, context)).await
    }

    /// All segments, oldest first. The bytes of the one being written are not counted.
    #[must_use]
    pub fn segments(&self) -> Vec<SegmentInfo> {
        let segments = self.inner.read_segments();
        let end_sequence = self.frontier().map_or(0, |frontier| frontier.sequence);
        segments
            .by_first
            .iter()
            .map(|(first, known)| SegmentInfo {
                first: first.clone(),
                last: known.seal.as_ref().map(|seal| seal.last.clone()),
                first_sequence: known.first_sequence,
                end_sequence: known.seal.as_ref().map_or(end_sequence, |seal| seal.end_sequence),
                bytes: files::bytes_below(&known.path),
                sealed_at: known.seal.as_ref().and_then(Seal::sealed_at),
            })
            .collect()
    }

    /// Removes the sealed segments that end at or below `position` and before the frontier.
    pub async fn trim(&self, position: &Position) -> Result<Trimmed, LogError> {
        let (inner, position) = (self.inner.clone(), position.clone());
        blocking(move || inner.trim(&position)).await
    }

    /// From now on somebody fills holes: readers wait for that, for a while, before they pass one.
    pub fn expect_repairs(&self) {
        self.inner.holes.expect_repairs();
    }

    /// Stretches that are missing, oldest first.
    #[must_use]
    pub fn holes(&self) -> Vec<Hole> {
        self.inner.holes.list()
    }

    /// Tells when holes are found, filled or forgotten.
    #[must_use]
    pub fn hole_changes(&self) -> HoleChanges {
        self.inner.holes.changes()
    }

    /// Begins to fill a hole.
    #[must_use]
    pub fn repair(&self, hole: Hole) -> Repair {
        Repair::new(self.inner.clone(), hole)
    }

    /// Damage noticed since the last call: stretches whose records may be missing. What is known of
    /// a stretch may be reported more than once; it ends at the same position then.
    #[must_use]
    pub fn take_damages(&self) -> Vec<Gap> {
        std::mem::take(&mut *self.inner.damages.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

pub(super) const STREAMS: &str = "streams";
pub(super) const STAGING: &str = "staging";

/// Runs an operation of the file system where it may block.
pub(super) async fn blocking<T: Send + 'static>(
    operation: impl FnOnce() -> Result<T, LogError> + Send + 'static,
) -> Result<T, LogError> {
    match tokio::task::spawn_blocking(operation).await {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // Only a runtime that shuts down cancels blocking tasks.
        Err(_) => Err(LogError::Stopped {
            stream: "-".to_owned(),
            cause: "the program is shutting down".to_owned(),
        }),
    }
}

impl Inner {
    pub(super) fn know(&self, first: Position, path: PathBuf, seal: Option<Seal>) {
        let first_sequence = seal.as_ref().map_or(0, |seal| seal.first_sequence);
        let known = Known { path, seal, first_sequence };
        self.write_segments().by_first.insert(first, known);
    }

    pub(super) fn begin(
        &self,
        first: Position,
        path: PathBuf,
        first_sequence: u64,
        segment: &Arc<Segment>,
    ) {
        let mut segments = self.write_segments();
        segments.by_first.insert(first, Known { path, seal: None, first_sequence });
        segments.active = Some(segment.clone());
        self.context.pool.adopt(segment);
    }

    pub(super) fn begin_segment(
        &self,
        first: &Position,
        first_sequence: u64,
    ) -> Result<Arc<Segment>, LogError> {
        let path = self.path.join(first.to_string());
        let segment = Segment::open(&self.id, &path)?;
        self.begin(first.clone(), path, first_sequence, &segment);
        Ok(segment)
    }

    /// Notes that the active segment is sealed; readers open it through the pool from now on.
    pub(super) fn seal(&self, seal: &Seal) {
        let mut segments = self.write_segments();
        segments.active = None;
        if let Some(mut known) = segments.by_first.last_entry() {
            known.get_mut().seal = Some(seal.clone());
        }
    }

    pub(super) fn forget_active(&self) {
        self.write_segments().active = None;
    }

    pub(super) fn set_active(&self, segment: &Arc<Segment>) {
        self.write_segments().active = Some(segment.clone());
        self.context.pool.adopt(segment);
    }

    pub(super) fn fail(&self, error: &LogError) {
        // The first failure is the cause; later ones follow from it.
        let _first = self.failure.set(error.to_string());
    }

    fn stopped(&self) -> LogError {
        let cause = self.failure.get().map_or("it was closed", String::as_str);
        LogError::Stopped { stream: self.id.to_string(), cause: cause.to_owned() }
    }

    /// The segment in which the block after `after` begins, or holds it.
    pub(super) fn place(&self, after: Option<&Position>) -> Option<Place> {
        let segments = self.read_segments();
        let at = match after {
            Some(after) => segments.by_first.range(..=after).next_back(),
            None => None,
        };
        let (first, known) = at.or_else(|| segments.by_first.first_key_value())?;
        Some(Self::place_of(&segments, first, known))
    }

    /// The segment after the one that begins at `first`.
    pub(super) fn place_after(&self, first: &Position) -> Option<Place> {
        use std::ops::Bound::{Excluded, Unbounded};
        let segments = self.read_segments();
        let (first, known) = segments.by_first.range((Excluded(first), Unbounded)).next()?;
        Some(Self::place_of(&segments, first, known))
    }

    fn place_of(segments: &Segments, first: &Position, known: &Known) -> Place {
        let is_last = segments.by_first.last_key_value().is_some_and(|(last, _)| last == first);
        Place {
            first: first.clone(),
            path: known.path.clone(),
            seal: known.seal.clone(),
            segment: segments.active.clone().filter(|_| is_last),
        }
    }

    fn first_block(&self) -> Result<Option<Block>, LogError> {
        while let Some(place) = self.place(None) {
            match place.open(self).and_then(|segment| segment.first()) {
                Err(error) if self.makes_way(&place, &error) => {}
                found => return found,
            }
        }
        Ok(None)
    }

    /// The block that holds `position`, if there is one.
    pub(super) fn block_with(&self, position: &Position) -> Result<Option<Block>, LogError> {
        if self.frontier.borrow().as_ref().is_none_or(|frontier| *position > frontier.position) {
            return Ok(None);
        }
        while let Some(place) = self.place(Some(position)).filter(|place| place.first <= *position)
        {
            match place.open(self).and_then(|segment| segment.holding(position)) {
                Err(error) if self.makes_way(&place, &error) => {}
                found => return found,
            }
        }
        Ok(None)
    }

    /// Whether the segment is still part of the log.
    pub(super) fn has(&self, place: &Place) -> bool {
        self.read_segments().by_first.contains_key(&place.first)
    }

    fn trim(&self, position: &Position) -> Result<Trimmed, LogError> {
        let mut trimmed = Trimmed::default();
        let mut too_far = Fault::TrimOneTooFar.is_on();
        // The watch resumes from the frontier: its segment stays, also while the next has begun and
        // has no block yet.
        let Some(frontier) = self.frontier.borrow().clone() else { return Ok(trimmed) };
        let mut may_go = |seal: &Seal| {
            let behind = seal.last <= *position || std::mem::take(&mut too_far);
            behind && seal.last < frontier.position
        };
        loop {
            let mut segments = self.write_segments();
            // Where its segment was damaged and moved aside, the last one is as near as it gets.
            if segments.by_first.len() < 2 {
                break;
            }
            let Some(oldest) = segments.by_first.first_entry() else { break };
            let Some(seal) = oldest.get().seal.clone().filter(&mut may_go) else { break };
            let (first, known) = oldest.remove_entry();
            drop(segments);
            self.holes.forget_through(&seal.last);
            trimmed.bytes += files::bytes_below(&known.path);
            let doomed = self.context.pool.take_away(&known.path, || files::doom(&known.path));
            let doomed = doomed.inspect_err(|_| {
                if known.path.exists() {
                    // It is still part of the log, and the next call tries again.
                    self.write_segments().by_first.insert(first, known.clone());
                }
            })?;
            files::remove_doomed(&doomed)?;
            trimmed.segments += 1;
            trimmed.records += seal.end_sequence - seal.first_sequence;
        }
        Ok(trimmed)
    }

    pub(super) fn read_segments(&self) -> std::sync::RwLockReadGuard<'_, Segments> {
        self.segments.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write_segments(&self) -> std::sync::RwLockWriteGuard<'_, Segments> {
        self.segments.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// The open segment.
    pub(super) fn open(&self, stream: &Inner) -> Result<Arc<Segment>, LogError> {
        match &self.segment {
            Some(segment) => Ok(segment.clone()),
            None => stream.context.pool.get(&stream.id, &self.path),
        }
    }

    /// Position of the first block.
    pub(super) fn first(&self) -> &Position {
        &self.first
    }

    /// The seal, if it is sealed.
    pub(super) fn seal(&self) -> Option<&Seal> {
        self.seal.as_ref()
    }

    /// Where the segment is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}
