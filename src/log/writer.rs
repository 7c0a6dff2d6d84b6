//! The one writer of a stream: group commit, rotation, publication of the frontier.
//!
//! Invariants:
//! 1. The frontier is published after the blocks up to it are durable, never before.
//! 2. Positions and block numbers only grow; an entry at or below the last one is dropped.
//! 3. After a failure that is not a full volume nothing more is written: a page whose sync failed
//!    may be marked clean, so neither it nor a second sync can be trusted. The restart verifies.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::block::{self, Block};
use super::head::Head;
use super::segment::{Seal, Segment};
use super::stream::Inner;
use super::{Entry, Frontier, LogError, NewRecord};
use crate::event::Position;

/// How long the first entry of a group waits for company. Alone it would take a sync of its own,
/// which costs about as much as this.
const LINGER: Duration = Duration::from_millis(2);
/// Most records in a group.
const GROUP_RECORDS: usize = 1000;
/// A moved frontier without records is written at most this often: losing it only means reading
/// a little more of the watch again.
const ADVANCE_INTERVAL: Duration = Duration::from_secs(3);
/// A segment is sealed when its blocks add up to this many encoded bytes.
const SEGMENT_BYTES: u64 = 4 << 20;
/// How often a full volume is looked at again.
const ROOM_POLL: Duration = Duration::from_millis(500);

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
    /// A position to move to that is not written yet, and since when.
    pub(super) advance: Option<(Position, Instant)>,
}

/// What one turn of the writer handles.
#[derive(Debug, Default)]
struct Group {
    records: Vec<NewRecord>,
    permits: Vec<OwnedSemaphorePermit>,
    syncs: Vec<oneshot::Sender<()>>,
    closing: bool,
}

impl Writer {
    /// Runs until it is told to close, every handle is gone, or a failure.
    pub(super) fn run(mut self, mut commands: mpsc::Receiver<Command>, runtime: &Handle) {
        loop {
            let group = self.collect(&mut commands, runtime);
            let closing = group.closing;
            if let Err(error) = self.commit(group) {
                tracing::error!(stream = %self.stream.id, %error, "the log stops.");
                self.stream.fail(&error);
                return;
            }
            if closing {
                return;
            }
        }
    }

    fn collect(&mut self, commands: &mut mpsc::Receiver<Command>, runtime: &Handle) -> Group {
        let mut group = Group::default();
        let mut deadline = self.advance.as_ref().map(|(_, since)| *since + ADVANCE_INTERVAL);
        while !group.closing && group.syncs.is_empty() && group.records.len() < GROUP_RECORDS {
            let command = match commands.try_recv() {
                Ok(command) => Some(command),
                Err(mpsc::error::TryRecvError::Disconnected) => Some(Command::Close),
                Err(mpsc::error::TryRecvError::Empty) => receive(commands, deadline, runtime),
            };
            let Some(command) = command else { break };
            let was_empty = group.records.is_empty();
            self.take(command, &mut group);
            if was_empty && !group.records.is_empty() {
                deadline = Some(Instant::now() + LINGER);
            } else if let (None, Some((_, since))) = (deadline, &self.advance) {
                deadline = Some(*since + ADVANCE_INTERVAL);
            }
        }
        group
    }

    fn take(&mut self, command: Command, group: &mut Group) {
        match command {
            Command::Append(entry, permit) => {
                let position = match &entry {
                    Entry::Record(record) => &record.position,
                    Entry::Advance(position) => position,
                };
                let highest = self
                    .advance
                    .as_ref()
                    .map(|(position, _)| position)
                    .max(group.records.last().map(|record| &record.position))
                    .max(self.last.as_ref().map(|block| &block.end));
                if highest.is_some_and(|highest| position <= highest) {
                    return;
                }
                match entry {
                    Entry::Record(record) => {
                        self.advance = None;
                        group.records.push(record);
                        group.permits.push(permit);
                    }
                    Entry::Advance(position) => {
                        let since =
                            self.advance.take().map_or_else(Instant::now, |(_, since)| since);
                        self.advance = Some((position, since));
                    }
                }
            }
            Command::Sync(done) => group.syncs.push(done),
            Command::Close => group.closing = true,
        }
    }

    fn commit(&mut self, mut group: Group) -> Result<(), LogError> {
        let urgent = !group.syncs.is_empty() || group.closing;
        let blocks = self.blocks(std::mem::take(&mut group.records), urgent);
        if !blocks.is_empty() {
            self.store(&blocks)?;
        }
        for done in group.syncs {
            // Whoever asked may have stopped waiting.
            let _gone = done.send(());
        }
        Ok(())
    }

    /// Cuts records into blocks. A moved frontier goes with the last one, or alone when it is due.
    fn blocks(&mut self, records: Vec<NewRecord>, urgent: bool) -> Vec<Arc<Block>> {
        let now = Timestamp::now();
        let (mut number, mut sequence) =
            self.last.as_ref().map_or((0, 0), |block| (block.number + 1, block.sequence));
        let mut blocks = Vec::new();
        let mut add = |end: Position, records: Vec<NewRecord>| {
            let block = Block::new(&self.stream.id, number, sequence, end, now, records);
            (number, sequence) = (block.number + 1, block.sequence);
            blocks.push(Arc::new(block));
        };
        let mut rest = records;
        while !rest.is_empty() {
            let after = rest.split_off(block::block_length(&rest));
            let block = std::mem::replace(&mut rest, after);
            let Some(mut end) = block.last().map(|record| record.position.clone()) else { break };
            if rest.is_empty() {
                let joins =
                    |(position, _): &mut (Position, Instant)| position.generation == end.generation;
                if let Some((position, _)) = self.advance.take_if(joins) {
                    end = position;
                }
            }
            add(end, block);
        }
        let due =
            |(_, since): &mut (Position, Instant)| urgent || since.elapsed() >= ADVANCE_INTERVAL;
        if let Some((position, _)) = self.advance.take_if(due) {
            add(position, Vec::new());
        }
        blocks
    }

    /// Makes blocks durable, waiting for room as long as it takes.
    fn store(&mut self, blocks: &[Arc<Block>]) -> Result<(), LogError> {
        let mut stored = 0;
        loop {
            self.wait_for_room()?;
            match self.try_store(blocks, &mut stored) {
                Err(LogError::Full { path }) => {
                    tracing::warn!(path = %path.display(), "the volume is full; intake waits.");
                    self.pause(&path)?;
                    // sled repeats its first failure for ever: the database has to be opened anew. What
                    // was not acknowledged is written again, under the same keys.
                    self.reopen()?;
                }
                stored => return stored,
            }
        }
    }

    fn try_store(&mut self, blocks: &[Arc<Block>], stored: &mut usize) -> Result<(), LogError> {
        while let Some(block) = blocks.get(*stored) {
            let active = match self.active.take_if(|active| active.bytes < SEGMENT_BYTES) {
                Some(active) => active,
                None => self.rotate(block)?,
            };
            let active = self.active.insert(active);
            let room = SEGMENT_BYTES.saturating_sub(active.bytes);
            let written = write_some(active, &blocks[*stored..], room, &self.stream)?;
            if let Some(head) = &active.head {
                head.write(active.segment.path())?;
                active.head = None;
            }
            let written = &blocks[*stored..*stored + written];
            *stored += written.len();
            self.publish(written);
        }
        Ok(())
    }

    fn publish(&mut self, blocks: &[Arc<Block>]) {
        let Some(last) = blocks.last() else { return };
        let mut before = self.last.as_deref();
        for block in blocks {
            if let Some(before) = before {
                self.stream.context.cache.put(&self.stream.id, &before.end, block.clone());
            }
            before = Some(block);
        }
        let records: usize = blocks.iter().map(|block| block.records.len()).sum();
        self.stream.context.metrics.log().appended.inc_by(records as u64);
        self.last = Some(last.clone());
        self.stream.frontier.send_replace(Some(Frontier::at(last)));
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
        context.waiting_for_room.store(true, Ordering::Relaxed);
        tracing::warn!("the volume is nearly full; intake waits for room.");
        while !context.reserve.has_room() {
            self.pause(&self.stream.path)?;
        }
        context.waiting_for_room.store(false, Ordering::Relaxed);
        tracing::info!("the volume has room again; intake goes on.");
        context.reserve.lay_down();
        Ok(())
    }
}

/// Writes as many blocks as the segment has room for, at least one, and makes them durable.
fn write_some(
    active: &mut Active,
    blocks: &[Arc<Block>],
    room: u64,
    stream: &Inner,
) -> Result<usize, LogError> {
    let metrics = stream.context.metrics.log();
    let writing = metrics.append_seconds.start_timer();
    let (mut count, mut bytes) = (0, 0);
    for block in blocks {
        if count > 0 && bytes >= room {
            break;
        }
        bytes += active.segment.write(&block.encode())?;
        count += 1;
    }
    writing.observe_duration();
    let syncing = metrics.sync_seconds.start_timer();
    active.segment.commit()?;
    syncing.observe_duration();
    active.bytes += bytes;
    Ok(count)
}

/// Waits for a command, at most until `deadline`.
fn receive(
    commands: &mut mpsc::Receiver<Command>,
    deadline: Option<Instant>,
    runtime: &Handle,
) -> Option<Command> {
    let Some(deadline) = deadline else {
        return Some(commands.blocking_recv().unwrap_or(Command::Close));
    };
    runtime.block_on(async {
        let received = tokio::time::timeout_at(deadline.into(), commands.recv()).await.ok()?;
        Some(received.unwrap_or(Command::Close))
    })
}
