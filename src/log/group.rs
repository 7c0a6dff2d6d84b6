//! What the writer takes in between two syncs.
//!
//! Invariants:
//! 1. Positions and block numbers only grow; an entry at or below the last one is dropped.
//! 2. A group ends at a limit, when its first record has lingered, or when somebody waits for it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::block::{self, Block};
use super::encoding::{Draft, Helper};
use super::writer::Command;
use super::{Entry, NewRecord};
use crate::event::{Position, StreamId};

/// How long the first record of a group waits for company: `docs/performance.md` has what it was
/// chosen by.
const LINGER: Duration = Duration::from_millis(1);
/// Most records in a group.
const GROUP_RECORDS: usize = 1000;
/// A moved frontier without records is written at most this often: losing it only means reading
/// a little more of the watch again.
const ADVANCE_INTERVAL: Duration = Duration::from_secs(3);
/// Commands taken out of the queue at once.
const RECEIVED_LIMIT: usize = 64;

/// What one turn of the writer handles.
#[derive(Debug)]
pub(super) struct Group {
    stream: StreamId,
    /// Its blocks, in order.
    pub(super) drafts: Vec<Arc<Draft>>,
    /// To be told when they are durable.
    pub(super) syncs: Vec<oneshot::Sender<()>>,
    /// Nothing comes after it.
    pub(super) closing: bool,
    /// Number of the next block, and records of the stream before it.
    next: (u64, u64),
    /// Records of the next block, and the bytes of their bodies.
    records: Vec<NewRecord>,
    bytes: usize,
    /// Records in all.
    count: usize,
    /// Room in the queue, given back with the group.
    room: Option<OwnedSemaphorePermit>,
}

/// Where the writer's work comes from.
#[derive(Debug)]
pub(super) struct Intake<'a> {
    stream: StreamId,
    commands: mpsc::Receiver<Command>,
    runtime: &'a Handle,
    /// Taken out of the queue and not looked at yet, last one first.
    received: Vec<Command>,
    /// A position to move to that is not written yet, and since when.
    advance: Option<(Position, Instant)>,
    helper: Helper,
}

impl<'a> Intake<'a> {
    pub(super) fn new(
        stream: StreamId,
        commands: mpsc::Receiver<Command>,
        runtime: &'a Handle,
    ) -> Self {
        let received = Vec::with_capacity(RECEIVED_LIMIT);
        Self { stream, commands, runtime, received, advance: None, helper: Helper::default() }
    }

    /// Waits for the next group. `last` is the last block before it.
    pub(super) fn next(&mut self, last: Option<&Block>) -> Group {
        let mut group = Group::after(&self.stream, last);
        let mut deadline = self.advance_due();
        while !group.closing && group.syncs.is_empty() && group.count < GROUP_RECORDS {
            let Some(command) = self.receive(deadline) else { break };
            let was_empty = group.count == 0;
            self.take(command, &mut group, last);
            if was_empty && group.count > 0 {
                deadline = Some(Instant::now() + LINGER);
            } else if deadline.is_none() {
                deadline = self.advance_due();
            }
        }
        self.finish(&mut group);
        group
    }

    fn advance_due(&self) -> Option<Instant> {
        self.advance.as_ref().map(|(_, since)| *since + ADVANCE_INTERVAL)
    }

    /// The next command; waits for it, at most until `deadline`.
    fn receive(&mut self, deadline: Option<Instant>) -> Option<Command> {
        if let Some(command) = self.received.pop() {
            return Some(command);
        }
        let (commands, received) = (&mut self.commands, &mut self.received);
        match deadline {
            // What is there already is worth no timer.
            Some(deadline) if commands.is_empty() => {
                let receiving = commands.recv_many(received, RECEIVED_LIMIT);
                let within = async { tokio::time::timeout_at(deadline.into(), receiving).await };
                self.runtime.block_on(within).ok()?;
            }
            _ => _ = commands.blocking_recv_many(received, RECEIVED_LIMIT),
        }
        received.reverse();
        // Nothing comes only when every handle is gone.
        Some(received.pop().unwrap_or(Command::Close))
    }

    fn take(&mut self, command: Command, group: &mut Group, last: Option<&Block>) {
        match command {
            Command::Append(Entry::Record(record), room) => {
                if self.is_new(&record.position, group, last) {
                    self.advance = None;
                    if let Some(full) = group.add(record, room) {
                        self.helper.encode(&full);
                    }
                }
            }
            Command::Append(Entry::Advance(position), _) => {
                if self.is_new(&position, group, last) {
                    let since = self.advance.take().map_or_else(Instant::now, |(_, since)| since);
                    self.advance = Some((position, since));
                }
            }
            Command::Sync(done) => group.syncs.push(done),
            Command::Close => group.closing = true,
        }
    }

    fn is_new(&self, position: &Position, group: &Group, last: Option<&Block>) -> bool {
        let highest = self
            .advance
            .as_ref()
            .map(|(position, _)| position)
            .max(group.records.last().map(|record| &record.position))
            .max(last.map(|block| &block.end));
        highest.is_none_or(|highest| position > highest)
    }

    /// Cuts the last block. A moved frontier goes with it, or alone when it is due.
    fn finish(&mut self, group: &mut Group) {
        if let Some(record) = group.records.last() {
            let generation = record.position.generation;
            let joins = |(position, _): &mut (Position, Instant)| position.generation == generation;
            let end = self.advance.take_if(joins).map(|(position, _)| position);
            group.cut(end);
        }
        let urgent = group.closing || !group.syncs.is_empty();
        let due =
            |(_, since): &mut (Position, Instant)| urgent || since.elapsed() >= ADVANCE_INTERVAL;
        if let Some((position, _)) = self.advance.take_if(due) {
            group.cut(Some(position));
        }
    }
}

impl Group {
    fn after(stream: &StreamId, last: Option<&Block>) -> Self {
        Self {
            stream: stream.clone(),
            drafts: Vec::new(),
            syncs: Vec::new(),
            closing: false,
            next: last.map_or((0, 0), |block| (block.number + 1, block.sequence)),
            records: Vec::new(),
            bytes: 0,
            count: 0,
            room: None,
        }
    }

    /// Adds a record, and returns the block before it when that is full.
    fn add(&mut self, record: NewRecord, room: OwnedSemaphorePermit) -> Option<Arc<Draft>> {
        let full = !joins(&self.records, self.bytes, &record);
        let full = full.then(|| self.cut(None)).flatten();
        self.bytes += record.body.len();
        self.count += 1;
        self.records.push(record);
        match &mut self.room {
            Some(all) => all.merge(room),
            none => *none = Some(room),
        }
        full
    }

    /// Makes a block of the records at hand; it ends at `end`, or with the last of them.
    fn cut(&mut self, end: Option<Position>) -> Option<Arc<Draft>> {
        let end = end.or_else(|| self.records.last().map(|record| record.position.clone()))?;
        let records = std::mem::take(&mut self.records);
        self.bytes = 0;
        let (number, sequence) = self.next;
        let block = Block::new(&self.stream, number, sequence, end, Timestamp::now(), records);
        self.next = (number + 1, block.sequence);
        let draft = Draft::new(block);
        self.drafts.push(draft.clone());
        Some(draft)
    }
}

/// How many of the first `records` make a good block: of one generation, not too many, not too long.
pub(super) fn block_length(records: &[NewRecord]) -> usize {
    let mut bytes = 0;
    let join = |(count, record): &(usize, &NewRecord)| {
        let joins = joins(&records[..*count], bytes, record);
        bytes += record.body.len();
        joins
    };
    records.iter().enumerate().take_while(join).count()
}

/// Whether a record goes into one block with `records`, whose bodies add up to `bytes`.
pub(super) fn joins(records: &[NewRecord], bytes: usize, record: &NewRecord) -> bool {
    let Some(first) = records.first() else { return true };
    records.len() < block::RECORDS_LIMIT
        && bytes + record.body.len() <= block::BODIES_TARGET
        && record.position.generation == first.position.generation
}
