//! What each sink has lost: records that left the log before the sink had received them.
//!
//! All losses of a sink in a stream are one value, so a change of it is all there or not at all.
//!
//! Invariants:
//! 1. Losses of a sink in a stream are in order; those that touch and have the same cause are one.
//! 2. There are at most [`LIMIT`] of them, and their value is short: the two oldest become one when there are more.
//! 3. However they are merged, the number of records stays right, and no lost record lies outside.

use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Cursor;
use crate::event::Position;
use crate::log::{LogError, VALUE_LIMIT};

/// Most losses that are kept apart, for each sink and stream.
const LIMIT: usize = 100;

/// Records that left the log before a sink had received them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// The sink had everything up to here, or has lost it before.
    pub after: Place,
    /// The last of them lies here or before.
    pub until: Place,
    /// How many there are.
    pub records: u64,
    /// When the first of them was missed.
    pub from_time: Timestamp,
    /// When the last of them was missed.
    pub to_time: Timestamp,
    /// Why they are gone.
    pub cause: LossCause,
}

/// A place in a stream, and how many of its records lie up to there.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Place {
    /// `None` is the beginning.
    pub position: Option<Position>,
    /// Number of records of the stream up to it.
    pub sequence: u64,
}

/// Why records are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LossCause {
    /// The log was full, and its policy or the sink's (`required: false`) gave them up.
    LogFull,
    /// A segment of the log was damaged.
    Damaged,
    /// They were not in the log any more when the sink came to them.
    Gone,
    /// More than one of these; older losses are merged.
    Several,
}

/// As it is stored; times in milliseconds since 1970.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    after: Place,
    until: Place,
    records: u64,
    from_time: i64,
    to_time: i64,
    cause: LossCause,
}

impl std::fmt::Display for LossCause {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::LogFull => "the log was full",
            Self::Damaged => "a segment of the log was damaged",
            Self::Gone => "they were not in the log any more",
            Self::Several => "several causes",
        })
    }
}

impl Loss {
    /// Everything between two places, missed now.
    #[must_use]
    pub fn between(after: Place, until: Place, cause: LossCause) -> Self {
        // What is stored is the same before and after a restart.
        let now = Timestamp::now();
        let now = Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now);
        let records = until.sequence.saturating_sub(after.sequence);
        Self { after, until, records, from_time: now, to_time: now, cause }
    }

    fn touches(&self, next: &Self) -> bool {
        next.after.position <= self.until.position
    }

    /// Takes a later loss in, with whatever lies between the two.
    fn extend(&mut self, next: Self) {
        let twice = self.until.sequence.saturating_sub(next.after.sequence);
        self.records += next.records.saturating_sub(twice);
        if next.until.position > self.until.position {
            self.until = next.until;
        }
        self.from_time = self.from_time.min(next.from_time);
        self.to_time = self.to_time.max(next.to_time);
        if self.cause != next.cause {
            self.cause = LossCause::Several;
        }
    }
}

impl From<&Cursor> for Place {
    fn from(cursor: &Cursor) -> Self {
        Self { position: cursor.position.clone(), sequence: cursor.sequence }
    }
}

/// Adds a loss.
pub(super) fn keep(losses: &mut Vec<Loss>, loss: Loss) {
    let at = losses.partition_point(|known| known.after.position <= loss.after.position);
    losses.insert(at, loss);
    for index in [at, at.saturating_sub(1)] {
        let joins = |pair: &[Loss]| pair[0].touches(&pair[1]) && pair[0].cause == pair[1].cause;
        while losses.get(index..=index + 1).is_some_and(joins) {
            join(losses, index);
        }
    }
    while losses.len() > LIMIT {
        join(losses, 0);
    }
}

/// Makes one of the loss at `index` and the one after it.
fn join(losses: &mut Vec<Loss>, index: usize) {
    let next = losses.remove(index + 1);
    losses[index].extend(next);
}

/// What lies between a sink's cursor and the beginning of the log, and is not among its losses.
pub(super) fn missing(losses: &[Loss], cursor: Place, begin: &Place) -> Vec<Loss> {
    let mut found = Vec::new();
    let mut reached = cursor;
    for loss in losses.iter().filter(|loss| loss.after.position < begin.position) {
        if loss.after.position > reached.position {
            found.push(Loss::between(reached.clone(), loss.after.clone(), loss.cause));
        }
        if loss.until.position > reached.position {
            reached = loss.until.clone();
        }
    }
    if begin.position > reached.position {
        found.push(Loss::between(reached, begin.clone(), LossCause::Gone));
    }
    found.retain(|loss| loss.records > 0);
    found
}

/// The value that is stored; merges the oldest until it is short enough.
pub(super) fn encode(losses: &mut Vec<Loss>) -> Result<Vec<u8>, LogError> {
    loop {
        let stored: Vec<_> = losses.iter().map(Stored::of).collect();
        let bytes = super::encoding::encode(&stored)?;
        if bytes.len() <= VALUE_LIMIT || losses.len() < 2 {
            return Ok(bytes);
        }
        join(losses, 0);
    }
}

/// Reads the value of the database at `path` again.
pub(super) fn decode(path: &Path, bytes: &[u8]) -> Result<Vec<Loss>, LogError> {
    let stored: Vec<Stored> = super::encoding::decode(path, "the losses of a sink", bytes)?;
    let losses: Option<_> = stored.into_iter().map(Stored::loss).collect();
    losses.ok_or_else(|| LogError::damaged(path, "the losses of a sink have no time"))
}

impl Stored {
    fn of(loss: &Loss) -> Self {
        Self {
            after: loss.after.clone(),
            until: loss.until.clone(),
            records: loss.records,
            from_time: loss.from_time.as_millisecond(),
            to_time: loss.to_time.as_millisecond(),
            cause: loss.cause,
        }
    }

    fn loss(self) -> Option<Loss> {
        let Self { after, until, records, cause, .. } = self;
        let from_time = Timestamp::from_millisecond(self.from_time).ok()?;
        let to_time = Timestamp::from_millisecond(self.to_time).ok()?;
        Some(Loss { after, until, records, from_time, to_time, cause })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// In these streams every version is a record: number and version are the same.
    fn place(version: u64) -> Place {
        Place { position: format!("0.{version}").parse().ok(), sequence: version }
    }

    fn loss(after: u64, until: u64, cause: LossCause) -> Loss {
        Loss::between(place(after), place(until), cause)
    }

    fn ranges(losses: &[Loss]) -> Vec<(u64, u64, u64)> {
        let range = |loss: &Loss| (loss.after.sequence, loss.until.sequence, loss.records);
        losses.iter().map(range).collect()
    }

    #[test]
    fn losses_that_touch_are_one_and_others_are_not() {
        let mut losses = Vec::new();
        for (after, until) in [(10, 20), (20, 30), (50, 60), (0, 10), (30, 40)] {
            keep(&mut losses, loss(after, until, LossCause::LogFull));
        }
        assert_eq!(ranges(&losses), [(0, 40, 40), (50, 60, 10)]);
        keep(&mut losses, loss(60, 61, LossCause::Damaged));
        assert_eq!(ranges(&losses), [(0, 40, 40), (50, 60, 10), (60, 61, 1)], "another cause");
    }

    #[test]
    fn what_is_reported_twice_counts_once() {
        let mut losses = Vec::new();
        for (after, until) in [(10, 20), (10, 20), (10, 25), (12, 18)] {
            keep(&mut losses, loss(after, until, LossCause::LogFull));
        }
        assert_eq!(ranges(&losses), [(10, 25, 15)]);
    }

    #[test]
    fn they_stay_few_and_every_record_counts() {
        let mut losses = Vec::new();
        for number in 0..1_000 {
            keep(&mut losses, loss(number * 10, number * 10 + 5, LossCause::LogFull));
        }
        assert_eq!(losses.len(), LIMIT);
        assert_eq!(losses.iter().map(|loss| loss.records).sum::<u64>(), 5_000);
        let ranges = ranges(&losses);
        assert_eq!(ranges[0], (0, 9_005, 4_505), "the oldest are one");
        assert_eq!(ranges[LIMIT - 1], (9_990, 9_995, 5));
    }

    #[test]
    fn a_value_is_short_however_long_the_versions_are() {
        let long = |number: u64| Place {
            position: format!("0.1{number:0250}").parse().ok(),
            sequence: number,
        };
        let mut losses = Vec::new();
        for number in 0..LIMIT as u64 {
            let (after, until) = (long(number * 10), long(number * 10 + 5));
            keep(&mut losses, Loss::between(after, until, LossCause::Damaged));
        }
        let bytes = encode(&mut losses).expect("encoded");
        assert!(bytes.len() <= VALUE_LIMIT && losses.len() < LIMIT);
        assert_eq!(losses.iter().map(|loss| loss.records).sum::<u64>(), 500);
        assert_eq!(decode(Path::new("state"), &bytes).expect("losses"), losses);
    }

    #[test]
    fn what_was_in_memory_when_the_relay_was_killed_is_missing() {
        // Read up to 20 and given up behind that; the cursor stands at 10.
        let known = [loss(20, 50, LossCause::LogFull)];
        let found = missing(&known, place(10), &place(50));
        assert_eq!(ranges(&found), [(10, 20, 10)]);
        assert_eq!(found[0].cause, LossCause::LogFull);
        assert_eq!(ranges(&missing(&known, place(10), &place(70))), [(10, 20, 10), (50, 70, 20)]);
        assert!(missing(&known, place(50), &place(50)).is_empty());
        assert!(missing(&known, place(90), &place(70)).is_empty());
    }

    proptest! {
        /// Whatever is lost in whatever order: nothing is counted twice or not at all.
        #[test]
        fn losses_add_up(ranges in proptest::collection::vec((0u64..500, 1u64..40), 0..60)) {
            let mut losses = Vec::new();
            let mut lost = std::collections::BTreeSet::new();
            for (after, length) in ranges {
                // Nobody counts what is counted already: only the new part is reported.
                let new: Vec<_> =
                    (after + 1..=after + length).filter(|version| lost.insert(*version)).collect();
                for part in new.chunk_by(|left, right| left + 1 == *right) {
                    let (first, last) = (part[0], part[part.len() - 1]);
                    keep(&mut losses, loss(first - 1, last, LossCause::LogFull));
                }
            }
            prop_assert_eq!(losses.iter().map(|loss| loss.records).sum::<u64>(), lost.len() as u64);
            for version in lost {
                let within = |loss: &&Loss| {
                    loss.after.sequence < version && version <= loss.until.sequence
                };
                prop_assert_eq!(losses.iter().filter(within).count(), 1);
            }
        }
    }
}
