//! The one writer of a stream: group commit, rotation, publication of the frontier.
//!
//! Invariants:
//! 1. The frontier is published after the blocks up to it are durable, never before.
//! 2. After a failure that is not a full volume nothing more is written: a page whose sync failed
//!    may be marked clean, so neither it nor a second sync can be trusted. The restart verifies.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::block::Block;
use super::encoding::{Draft, encode_all};
use super::group::{Group, Intake};
use super::head::Head;
use super::room::ROOM_POLL;
use super::segment::{Seal, Segment};
use super::stream::Inner;
use super::{Entry, Frontier, LogError};
use crate::fault::Fault;

/// A segment is sealed when its blocks add up to this many encoded bytes.
/// For the fuzzer a few blocks are enough.
const SEGMENT_BYTES: u64 = if cfg!(fuzzing) { 4 << 10 } else { 4 << 20 };

/// What the writer is told.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // nearly every command is an append
pub(super) enum Command {
    /// Append; the permit bounds the bytes in the queue.
    Append(Entry, OwnedSemaphorePermit),
    /// Answer when everything before is durable.
    Sync(oneshot::Sender<()>),
    /// End.
    Close,
}

/// The segment being written.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) segment: Arc<Segment>,
    /// Records of the stream before it.
    pub(super) first_sequence: u64,
    /// Encoded bytes written to it.
    pub(super) bytes: u64,
    /// What is to be written to its `head` before anything of it is published.
    pub(super) head: Option<Head>,
}

#[derive(Debug)]
pub(super) struct Writer {
    pub(super) stream: Arc<Inner>,
    pub(super) active: Option<Active>,
    /// The last block written.
    pub(super) last: Option<Arc<Block>>,
}

impl Writer {
    /// Runs until it is told to close, every handle is gone, or a failure.
    pub(super) fn run(mut self, commands: mpsc::Receiver<Command>, runtime: &Handle) {
        let mut intake = Intake::new(self.stream.id.clone(), commands, runtime);
        loop {
            let mut group = intake.next(self.last.as_deref());
            if let Err(error) = self.commit(&mut group) {
                tracing::error!(stream = %self.stream.id, %error, "the log stops");
                // Whoever waits for the group hears of it when the group is dropped, the cause first.
                self.stream.fail(&error);
                return;
            }
            if group.closing {
                return;
            }
        }
    }

    fn commit(&mut self, group: &mut Group) -> Result<(), LogError> {
        let mut evicted = Vec::new();
        if !group.drafts.is_empty() {
            self.store(&group.drafts, &mut evicted)?;
        }
        for done in group.syncs.drain(..) {
            // Whoever asked may have stopped waiting.
            let _gone = done.send(());
        }
        // Taking many records apart takes a while, and nobody needs to wait for that.
        drop(evicted);
        Ok(())
    }

    /// Makes blocks durable, waiting for room as long as it takes.
    fn store(
        &mut self,
        drafts: &[Arc<Draft>],
        evicted: &mut Vec<Arc<Block>>,
    ) -> Result<(), LogError> {
        let mut stored = 0;
        loop {
            self.wait_for_room()?;
            match self.try_store(drafts, &mut stored, evicted) {
                Err(LogError::Full { path }) => {
                    tracing::warn!(path = %path.display(), "the volume is full; intake waits");
                    let context = self.stream.context.clone();
                    let _waiting = context.reserve.wait();
                    self.pause(&path)?;
                    // sled repeats its first failure for ever: the database has to be opened anew. What
                    // was not acknowledged is written again, under the same keys.
                    self.reopen()?;
                }
                stored => return stored,
            }
        }
    }

    fn try_store(
        &mut self,
        drafts: &[Arc<Draft>],
        stored: &mut usize,
        evicted: &mut Vec<Arc<Block>>,
    ) -> Result<(), LogError> {
        while let Some(draft) = drafts.get(*stored) {
            let active = match self.active.take_if(|active| active.bytes < SEGMENT_BYTES) {
                Some(active) => active,
                None => self.rotate(&draft.block)?,
            };
            if Fault::PublishBeforeCommit.is_on() {
                evicted.extend(self.publish(&drafts[*stored..]));
            }
            let active = self.active.insert(active);
            let room = SEGMENT_BYTES.saturating_sub(active.bytes);
            let written = match write_some(active, &drafts[*stored..], room, &self.stream) {
                Err(_) if Fault::SwallowWriteError.is_on() => drafts.len() - *stored,
                written => written?,
            };
            if let Some(head) = &active.head {
                head.write(active.segment.path())?;
                active.head = None;
            }
            let written = &drafts[*stored..*stored + written];
            *stored += written.len();
            evicted.extend(self.publish(written));
        }
        Ok(())
    }

    /// Shows durable blocks to the readers, and returns those they replace in the cache.
    fn publish(&mut self, drafts: &[Arc<Draft>]) -> Vec<Arc<Block>> {
        let mut evicted = Vec::new();
        let Some(last) = drafts.last().map(|draft| &draft.block) else { return evicted };
        let cache = &self.stream.context.cache;
        let mut before = self.last.as_deref();
        for Draft { block, .. } in drafts.iter().map(AsRef::as_ref) {
            if let Some(before) = before {
                evicted.extend(cache.put(&self.stream.id, &before.end, block.clone()));
            }
            before = Some(block);
        }
        let records: usize = drafts.iter().map(|draft| draft.block.records.len()).sum();
        self.stream.context.metrics.log().appended.inc_by(records as u64);
        self.last = Some(last.clone());
        self.stream.frontier.send_replace(Some(Frontier::at(last)));
        evicted
    }

    /// Seals the active segment and begins one that starts with `block`.
    fn rotate(&mut self, block: &Block) -> Result<Active, LogError> {
        if let (Some(active), Some(last)) = (&self.active, &self.last) {
            let seal = Seal::new(last, active.first_sequence, Timestamp::now());
            // On a full volume this is tried again, so the segment stays active until it is sealed.
            seal.write(active.segment.path())?;
            self.stream.seal(&seal);
        }
        self.active = None;
        let head = Head::new(block);
        let first_sequence = head.first_sequence;
        let segment = self.stream.begin_segment(block.first(), first_sequence)?;
        Ok(Active { segment, first_sequence, bytes: 0, head: Some(head) })
    }

    fn reopen(&mut self) -> Result<(), LogError> {
        let Some(active) = self.active.take() else { return Ok(()) };
        let Active { segment, first_sequence, bytes, head } = active;
        let path = segment.path().to_owned();
        self.stream.forget_active();
        self.stream.context.pool.forget(&path);
        let handles = Arc::downgrade(&segment);
        drop(segment);
        // A reader may hold it for the length of one read; sled cannot open a database twice.
        while handles.strong_count() > 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        let segment = loop {
            self.wait_for_room()?;
            match self.stream.context.pool.get(&self.stream.id, &path) {
                Err(LogError::Full { path }) => self.pause(&path)?,
                opened => break opened?,
            }
        };
        self.stream.set_active(&segment);
        self.active = Some(Active { segment, first_sequence, bytes, head });
        Ok(())
    }

    /// Waits a moment for room, unless the log closes.
    fn pause(&self, path: &Path) -> Result<(), LogError> {
        if self.stream.context.closing.load(Ordering::Relaxed) {
            return Err(LogError::Full { path: path.to_owned() });
        }
        std::thread::sleep(ROOM_POLL);
        Ok(())
    }

    fn wait_for_room(&self) -> Result<(), LogError> {
        let context = &self.stream.context;
        if context.reserve.has_room() {
            return Ok(());
        }
        context.reserve.give_up();
        let _waiting = context.reserve.wait();
        tracing::warn!("the volume is nearly full; intake waits for room");
        while !context.reserve.has_room() {
            self.pause(&self.stream.path)?;
        }
        tracing::info!("the volume has room again; intake goes on");
        context.reserve.lay_down();
        Ok(())
    }
}

/// Writes as many blocks as the segment has room for, at least one, and makes them durable.
fn write_some(
    active: &mut Active,
    drafts: &[Arc<Draft>],
    room: u64,
    stream: &Inner,
) -> Result<usize, LogError> {
    let metrics = stream.context.metrics.log();
    let writing = metrics.append_seconds.start_timer();
    let (mut count, mut bytes) = (0, 0);
    encode_all(drafts);
    for draft in drafts {
        if count > 0 && bytes >= room {
            break;
        }
        bytes += active.segment.write(draft.encoded())?;
        count += 1;
    }
    writing.observe_duration();
    let syncing = metrics.sync_seconds.start_timer();
    active.segment.commit()?;
    syncing.observe_duration();
    active.bytes += bytes;
    Ok(count)
}
