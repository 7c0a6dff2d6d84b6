//! A range of a stream, as a replay reads it.
//!
//! Invariants:
//! 1. Nothing behind the end of the range is given, and when all of it was given its end has been told.
//! 2. What the filters exclude is passed over at once; the rest comes as the replay has its turn.
//! 3. Numbers and positions are those of the stream: what is missing in the log is noticed as usual.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Turn;
use crate::event::{Filter, Position, Record};
use crate::log::LogError;
use crate::relay::runner::{Feed, Reading};

/// The rest of a range.
pub(crate) struct RangeFeed<F> {
    feed: F,
    /// The last record lies here or before.
    until: Position,
    /// Number of records of the stream up to it.
    sequence: u64,
    /// What a record must pass.
    filters: Arc<[Filter]>,
    /// `None`: as fast as it can be read.
    turn: Option<Arc<Turn>>,
    /// What was read and not given yet.
    held: Option<Held>,
    /// Whether the end of the range was read.
    is_read: bool,
}

/// A chunk of the log, as far as it was not given yet.
struct Held {
    /// With whether they pass the filters.
    records: VecDeque<(Record, bool)>,
    /// Number of records of the stream before them.
    before: u64,
    end: Position,
    sequence: u64,
}

impl<F: Feed> RangeFeed<F> {
    /// What `feed` gives up to `until`, before and with which the stream has so many records.
    pub(crate) fn new(
        feed: F,
        until: Position,
        sequence: u64,
        filters: Arc<[Filter]>,
        turn: Option<Arc<Turn>>,
    ) -> Self {
        Self { feed, until, sequence, filters, turn, held: None, is_read: false }
    }

    /// Whether everything was given.
    pub(crate) fn is_over(&self) -> bool {
        self.is_read && self.held.is_none()
    }

    /// Takes in what was read. Returns what can be given as it is.
    fn take_in(&mut self, reading: Reading<F::Records>) -> Option<Reading<Vec<Record>>> {
        match reading {
            Reading::Damaged => Some(Reading::Damaged),
            Reading::Excluded { records, first, end, sequence } => {
                Some(self.excluded(records, first, end, sequence))
            }
            Reading::Records { records, end, sequence } => {
                let before = sequence.saturating_sub(records.len() as u64);
                let in_range = records.iter().filter(|record| record.position <= self.until);
                let passes = |record: &Record| self.filters.iter().all(|one| one.passes(record));
                let records = in_range.map(|record| (record.clone(), passes(record))).collect();
                let (end, sequence) = self.within(end, sequence);
                self.held = Some(Held { records, before, end, sequence });
                None
            }
        }
    }

    /// Records that were not read because none of them passes.
    fn excluded(
        &mut self,
        records: u64,
        first: Option<Position>,
        end: Position,
        sequence: u64,
    ) -> Reading<Vec<Record>> {
        let before = sequence.saturating_sub(records);
        let first = first.filter(|first| *first <= self.until);
        let (end, sequence) = self.within(end, sequence);
        let records = if first.is_some() { sequence.saturating_sub(before) } else { 0 };
        Reading::Excluded { records, first, end, sequence }
    }

    /// The same place, or the end of the range when that comes before.
    fn within(&mut self, end: Position, sequence: u64) -> (Position, u64) {
        if end < self.until {
            return (end, sequence);
        }
        self.is_read = true;
        (self.until.clone(), self.sequence)
    }

    /// The next piece of what was read, if it may go.
    fn piece(&mut self) -> Option<Reading<Vec<Record>>> {
        let held = self.held.as_mut()?;
        let passes = held.records.front().is_some_and(|(_, passes)| *passes);
        let alike = held.records.iter().take_while(|(_, one)| *one == passes).count();
        let count = match &self.turn {
            Some(turn) if passes => turn.take(alike),
            _ => alike,
        };
        if passes && count == 0 {
            return None;
        }
        let records: Vec<_> = held.records.drain(..count).map(|(record, _)| record).collect();
        held.before += count as u64;
        let inside = records.last().filter(|_| !held.records.is_empty());
        let (end, sequence) = match inside {
            Some(last) => (last.position.clone(), held.before),
            None => (held.end.clone(), held.sequence),
        };
        if held.records.is_empty() {
            self.held = None;
        }
        if passes || records.is_empty() {
            return Some(Reading::Records { records, end, sequence });
        }
        let first = records.first().map(|record| record.position.clone());
        Some(Reading::Excluded { records: records.len() as u64, first, end, sequence })
    }
}

impl<F: Feed> Feed for RangeFeed<F> {
    type Records = Vec<Record>;

    /// At the end of the range nothing follows, ever.
    async fn next(&mut self) -> Result<Reading<Vec<Record>>, LogError> {
        loop {
            if let Some(piece) = self.piece() {
                return Ok(piece);
            }
            if self.held.is_some() {
                match &self.turn {
                    Some(turn) => turn.wait().await,
                    None => std::future::pending().await,
                }
            } else if self.is_read {
                std::future::pending::<()>().await;
            } else {
                let reading = self.feed.next().await?;
                if let Some(reading) = self.take_in(reading) {
                    return Ok(reading);
                }
            }
        }
    }

    async fn try_next(&mut self) -> Result<Option<Reading<Vec<Record>>>, LogError> {
        loop {
            if let Some(piece) = self.piece() {
                return Ok(Some(piece));
            }
            if self.held.is_some() || self.is_read {
                return Ok(None);
            }
            let Some(reading) = self.feed.try_next().await? else { return Ok(None) };
            if let Some(reading) = self.take_in(reading) {
                return Ok(Some(reading));
            }
        }
    }
}
