//! One stream as one sink sees it: what was read and not yet sent.
//!
//! Invariants:
//! 1. Records leave in the order they were read, and none leaves twice.
//! 2. The cursor never passes a record that has not left and ended.
//! 3. A record that is known to be done although the cursor stands before it does not leave again.
//! 4. Memory is bounded: nothing is read while a full batch is waiting.

use std::collections::{BTreeSet, VecDeque};
use std::ops::Deref;

use bytes::Bytes;
use jiff::Timestamp;
use tokio::time::Instant;

use super::flight::Flight;
use super::limits::Limits;
use super::ports::Reading;
use crate::cursor::Place;
use crate::event::{Filter, Position, Record};

/// How far a sink has got in a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Everything at or below it; `None` is the beginning.
    pub(crate) position: Option<Position>,
    /// Number of records of the stream up to it.
    pub(crate) sequence: u64,
}

/// A batch with what its records say about the cursor.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) flight: Flight,
    sequences: Vec<u64>,
    /// Where the cursor stands when all are done; it may lie past the last of them.
    end: Mark,
    /// How many records the cursor has passed.
    passed: usize,
}

/// What a reading came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Absorbed {
    /// No record of the stream lies between this position and those that were read.
    pub(crate) begin: Option<Position>,
    /// Number of records of the stream before those that were read.
    pub(crate) before: u64,
    /// The end of what was read.
    pub(crate) end: Place,
    /// How many of them the filter excluded.
    pub(crate) filtered: u64,
    /// Whether damage was found on the way.
    pub(crate) damaged: bool,
}

/// Whether a batch can leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// Nothing is waiting.
    Empty,
    /// Then, unless it fills up before.
    At(Instant),
    /// Now.
    Now,
}

#[derive(Debug)]
struct Waiting {
    record: Record,
    sequence: u64,
    since: Instant,
}

/// What was read of a stream and not yet sent.
#[derive(Debug)]
pub(crate) struct Lane {
    waiting: VecDeque<Waiting>,
    waiting_bytes: u64,
    read: Mark,
    committed: Mark,
    committed_all_read: bool,
    /// Done in an earlier life, and not read yet in this one.
    done: BTreeSet<Position>,
    /// Damage lies behind what was read. What was in it is known when the next records are read, and the
    /// cursor does not pass it before: a loss that is not kept yet would be forgotten by a restart.
    damaged: bool,
}

/// Excluded records are passed over without moving the cursor for each chunk: a restart reads
/// at most so many of them again.
const EXCLUDED_RECORDS_PER_MOVE: u64 = 1_000;

impl Lane {
    /// A lane that begins after `cursor`, beyond which some records are done already.
    pub(crate) fn new(cursor: Mark, done: BTreeSet<Position>) -> Self {
        Self {
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            committed: cursor.clone(),
            committed_all_read: true,
            done,
            damaged: false,
            read: cursor,
        }
    }

    /// When the oldest waiting record was received.
    pub(crate) fn oldest(&self) -> Option<Timestamp> {
        self.waiting.front().map(|waiting| waiting.record.received_at)
    }

    /// The record that waits longest.
    pub(crate) fn first(&self) -> Option<&Record> {
        self.waiting.front().map(|waiting| &waiting.record)
    }

    /// Takes the record out that waits longest. Returns where the cursor stands when it is done.
    pub(crate) fn pass_first(&mut self) -> Option<Mark> {
        let Waiting { record, sequence, .. } = self.waiting.pop_front()?;
        self.waiting_bytes -= record.body.len() as u64;
        if self.waiting.is_empty() {
            return Some(self.read.clone());
        }
        Some(Mark { position: Some(record.position), sequence })
    }

    /// How many records wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether there is room for another chunk.
    pub(crate) fn wants_more(&self, limits: &Limits) -> bool {
        !self.is_full(limits)
    }

    /// Takes in what was read; damage comes to nothing before the records behind it are read.
    pub(crate) fn absorb<R: Deref<Target = [Record]>>(
        &mut self,
        reading: &Reading<R>,
        filter: &Filter,
        now: Instant,
    ) -> Option<Absorbed> {
        let (first, count, end, sequence) = match reading {
            Reading::Damaged => {
                self.damaged = true;
                return None;
            }
            Reading::Records { records, end, sequence } => {
                let first = records.first().map(|first| &first.position);
                (first, records.len() as u64, end, *sequence)
            }
            Reading::Excluded { records, first, end, sequence } => {
                (first.as_ref(), *records, end, *sequence)
            }
        };
        self.committed_all_read = false;
        let before = sequence.saturating_sub(count);
        let begin = first.map_or(Some(end.clone()), Position::previous);
        let filtered = match reading {
            Reading::Records { records, .. } => self.admit(records, before, filter, now),
            _ => count,
        };
        let end = Some(end.clone());
        self.read = Mark { position: end.clone(), sequence };
        let damaged = std::mem::take(&mut self.damaged);
        let end = Place { position: end, sequence };
        Some(Absorbed { begin, before, end, filtered, damaged })
    }

    /// Copies the records the filter passes, and counts the others. `before` is the number of
    /// records of the stream before the first of them.
    fn admit(&mut self, records: &[Record], before: u64, filter: &Filter, since: Instant) -> u64 {
        let mut filtered = 0;
        for (sequence, record) in (before + 1..).zip(records) {
            if self.done.remove(&record.position) {
                continue;
            }
            if filter.passes(record) {
                self.waiting_bytes += record.body.len() as u64;
                // A body read from disk is a part of its whole block, which would stay in memory
                // with it: fifty times as much behind a narrow filter.
                let body = Bytes::copy_from_slice(&record.body);
                let record = Record { body, ..record.clone() };
                self.waiting.push_back(Waiting { record, sequence, since });
            } else {
                filtered += 1;
            }
        }
        filtered
    }

    /// Whether a batch can leave.
    pub(crate) fn readiness(&self, limits: &Limits, now: Instant) -> Readiness {
        let Some(first) = self.waiting.front() else { return Readiness::Empty };
        let leaves = first.since + limits.max_wait;
        if self.is_full(limits) || leaves <= now { Readiness::Now } else { Readiness::At(leaves) }
    }

    /// The next batch, within the limits. At least one record, when any is waiting.
    pub(crate) fn take(&mut self, limits: &Limits) -> Batch {
        let count = self.batch_length(limits);
        let mut records = Vec::with_capacity(count);
        let mut sequences = Vec::with_capacity(count);
        for waiting in self.waiting.drain(..count) {
            self.waiting_bytes -= waiting.record.body.len() as u64;
            records.push(waiting.record);
            sequences.push(waiting.sequence);
        }
        let end = match (self.waiting.is_empty(), records.last(), sequences.last()) {
            (false, Some(last), Some(sequence)) => {
                Mark { position: Some(last.position.clone()), sequence: *sequence }
            }
            _ => self.read.clone(),
        };
        Batch { flight: Flight::new(records), sequences, end, passed: 0 }
    }

    /// Where the cursor may move although nothing was delivered: past what the filter excluded.
    /// `settled` says that nothing more can be read at the moment.
    pub(crate) fn passed_over(&self, settled: bool) -> Option<&Mark> {
        let far =
            self.read.sequence.saturating_sub(self.committed.sequence) >= EXCLUDED_RECORDS_PER_MOVE;
        let moves = self.waiting.is_empty() && !self.committed_all_read && (settled || far);
        moves.then_some(&self.read)
    }

    /// Where the cursor was moved to.
    pub(crate) fn cursor(&self) -> &Mark {
        &self.committed
    }

    /// What an earlier life has done beyond a mark, as far as it was not read again.
    pub(crate) fn done_beyond(&self, mark: &Mark) -> impl Iterator<Item = &Position> {
        self.done.iter().filter(|position| Some(*position) > mark.position.as_ref())
    }

    /// Takes note of where the cursor was moved to.
    pub(crate) fn committed(&mut self, mark: &Mark) {
        self.committed.clone_from(mark);
        self.committed_all_read = *mark == self.read;
    }

    fn is_full(&self, limits: &Limits) -> bool {
        self.waiting.len() >= limits.max_records || self.waiting_bytes >= limits.max_bytes
    }

    fn batch_length(&self, limits: &Limits) -> usize {
        let mut bytes = 0;
        let fitting = self.waiting.iter().take(limits.max_records).take_while(|waiting| {
            bytes += waiting.record.body.len() as u64;
            bytes <= limits.max_bytes
        });
        fitting.count().max(1).min(self.waiting.len())
    }
}

impl Batch {
    /// Where the cursor belongs now, when that is further than it was.
    pub(crate) fn advance(&mut self) -> Option<Mark> {
        let finished = self.flight.finished();
        if finished == std::mem::replace(&mut self.passed, finished) {
            return None;
        }
        if finished == self.sequences.len() {
            return Some(self.end.clone());
        }
        let last = finished.checked_sub(1)?;
        let position = Some(self.flight.records()[last].position.clone());
        Some(Mark { position, sequence: self.sequences[last] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::runner::fixtures::record;

    #[test]
    fn a_waiting_record_does_not_keep_its_block_in_memory() {
        let block = Bytes::from(vec![7; 1 << 16]);
        let read = Record { body: block.slice(..100), ..record(1) };
        let mut lane = Lane::new(Mark { position: None, sequence: 0 }, BTreeSet::new());
        let filter = Filter::new(&crate::event::Match::default(), &[]).expect("a filter");
        let (records, end) = (vec![read.clone()], read.position.clone());
        lane.absorb(&Reading::Records { records, end, sequence: 1 }, &filter, Instant::now());
        drop(read);
        assert!(block.is_unique(), "nobody else refers to the block");
    }

    #[test]
    fn what_an_earlier_life_has_done_does_not_leave_again() {
        let done = [record(12).position, record(90).position].into();
        let mut lane = Lane::new(Mark { position: None, sequence: 0 }, done);
        let filter = Filter::new(&crate::event::Match::default(), &[]).expect("a filter");
        let records = (11..=14).map(record).collect::<Vec<_>>();
        let end = record(14).position;
        let absorbed = lane
            .absorb(&Reading::Records { records, end, sequence: 4 }, &filter, Instant::now())
            .expect("records");
        assert_eq!(absorbed.filtered, 0, "it was delivered, not excluded");
        let left: Vec<_> = lane.waiting.iter().map(|waiting| waiting.sequence).collect();
        assert_eq!(left, [1, 3, 4]);
        let mark = Mark { position: Some(record(14).position), sequence: 4 };
        assert_eq!(lane.done_beyond(&mark).collect::<Vec<_>>(), [&record(90).position]);
    }

    #[test]
    fn what_was_excluded_unread_counts_as_filtered_and_is_passed_over() {
        let mut lane = Lane::new(Mark { position: None, sequence: 10 }, BTreeSet::new());
        let filter = Filter::new(&crate::event::Match::default(), &[]).expect("a filter");
        let (first, end) = (record(11).position, record(17).position);
        let excluded: Reading<Vec<Record>> = Reading::Excluded {
            records: 7,
            first: Some(first.clone()),
            end: end.clone(),
            sequence: 17,
        };
        let absorbed = lane.absorb(&excluded, &filter, Instant::now()).expect("records");
        assert_eq!((absorbed.filtered, absorbed.before), (7, 10));
        assert_eq!((absorbed.begin, absorbed.end.sequence), (first.previous(), 17));
        assert!(lane.waiting.is_empty(), "nothing waits");
        assert_eq!(
            (lane.read.position, lane.read.sequence),
            (Some(end), 17),
            "it is read behind them"
        );
    }
}
