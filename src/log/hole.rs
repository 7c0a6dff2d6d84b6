//! Holes: stretches of a stream whose segment is gone, until they are repaired or given up.
//!
//! Invariants:
//! 1. A hole is in the list before its segment is out of the log, and stays in it until the segment
//!    that repairs it is part of the log.
//! 2. Every change counts the revision up, so that whoever looked for what follows a position can
//!    tell whether it has looked at a moment between two of these steps.
//!
//! Holes are derived, never stored: from records that are missing between two segments.

use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::event::Position;

/// How long readers wait for a hole to be repaired from the API server before they pass it.
#[cfg(not(test))]
pub(super) const REPAIR_PATIENCE: Duration = Duration::from_secs(60);
/// A machine that is busy with a thousand tests is no API server that does not answer.
#[cfg(test)]
pub(super) const REPAIR_PATIENCE: Duration = Duration::from_hours(1);

/// A stretch of a stream whose segment is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hole {
    /// The log is complete up to here; `None`: the hole is at its beginning.
    pub after: Option<Position>,
    /// The last position that may be missing.
    pub until: Position,
    /// Number of records of the stream before it.
    pub(super) first_sequence: u64,
    /// Number of records of the stream up to its end.
    pub(super) end_sequence: u64,
    /// Number that its first block had.
    pub(super) first_number: u64,
    /// What is known as the end of the gap that reports it.
    pub(super) reported_until: Position,
    /// When it was found.
    pub(super) found: Instant,
}

impl Hole {
    /// Whether a position lies in it.
    #[must_use]
    pub fn contains(&self, position: &Position) -> bool {
        self.after.as_ref() < Some(position) && *position <= self.until
    }

    /// Records that are missing.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.end_sequence.saturating_sub(self.first_sequence)
    }

    /// Whether it lies between a reader's place and what the reader has found next.
    fn separates(&self, after: Option<&Position>, next: &Position) -> bool {
        after < Some(&self.until) && self.until < *next
    }
}

/// What a reader has to do about the holes on its way.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// None is there.
    Free,
    /// Wait until then for a repair.
    Wait(Instant),
    /// Pass it, up to its end: nobody will repair it.
    Pass(Position),
}

/// The holes of a stream.
#[derive(Debug)]
pub(super) struct Holes(watch::Sender<List>);

#[derive(Debug, Default)]
struct List {
    revision: u64,
    holes: Vec<Hole>,
    /// Whether somebody is there who repairs them.
    repaired: bool,
}

impl Default for Holes {
    fn default() -> Self {
        Self(watch::Sender::new(List::default()))
    }
}

impl Holes {
    /// Counts changes.
    pub(super) fn revision(&self) -> u64 {
        self.0.borrow().revision
    }

    /// All of them, oldest first.
    pub(super) fn list(&self) -> Vec<Hole> {
        self.0.borrow().holes.clone()
    }

    /// From now on somebody repairs them.
    pub(super) fn expect_repairs(&self) {
        self.0.send_modify(|list| list.repaired = true);
    }

    pub(super) fn add(&self, hole: Hole) {
        self.change(|holes| {
            holes.push(hole);
            holes.sort_by(|left, right| left.until.cmp(&right.until));
        });
    }

    /// Removes one that is filled.
    pub(super) fn close(&self, hole: &Hole) {
        self.change(|holes| holes.retain(|open| open.until != hole.until));
    }

    /// Removes those that end at or below `position`: the log begins behind them now.
    pub(super) fn forget_through(&self, position: &Position) {
        if self.0.borrow().holes.iter().any(|hole| hole.until <= *position) {
            self.change(|holes| holes.retain(|hole| hole.until > *position));
        }
    }

    /// What a reader at `after` has to do that has found `next`.
    pub(super) fn way(&self, after: Option<&Position>, next: &Position) -> Way {
        let list = self.0.borrow();
        let Some(hole) = list.holes.iter().find(|hole| hole.separates(after, next)) else {
            return Way::Free;
        };
        let until = hole.found + REPAIR_PATIENCE;
        if list.repaired && Instant::now() < until {
            Way::Wait(until)
        } else {
            Way::Pass(hole.until.clone())
        }
    }

    /// Tells of changes.
    pub(super) fn changes(&self) -> HoleChanges {
        HoleChanges(self.0.subscribe())
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Hole>)) {
        self.0.send_modify(|list| {
            list.revision += 1;
            change(&mut list.holes);
        });
    }
}

/// Tells when the holes of a stream change.
#[derive(Debug)]
pub struct HoleChanges(watch::Receiver<List>);

impl HoleChanges {
    /// Waits for a change since the last call.
    pub async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            // The stream is gone, and with it every change.
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Generation;

    fn position(version: u64) -> Position {
        Position::new(Generation(0), version.to_string().parse().expect("version"))
    }

    fn hole(after: u64, until: u64) -> Hole {
        Hole {
            after: Some(position(after)),
            until: position(until),
            first_sequence: after,
            end_sequence: until,
            first_number: 7,
            reported_until: position(until),
            found: Instant::now(),
        }
    }

    #[test]
    fn a_reader_waits_only_for_a_hole_that_lies_before_it() {
        let holes = Holes::default();
        holes.expect_repairs();
        holes.add(hole(10, 20));
        let way = |after: u64, next: u64| holes.way(Some(&position(after)), &position(next));
        assert_eq!(way(5, 8), Way::Free, "it has not come so far");
        assert!(matches!(way(10, 21), Way::Wait(_)));
        assert!(matches!(way(15, 21), Way::Wait(_)), "it was reading what was lost");
        assert_eq!(way(10, 12), Way::Free, "a part is repaired already");
        assert_eq!(way(20, 21), Way::Free);
        assert!(matches!(holes.way(None, &position(21)), Way::Wait(_)));
        holes.close(&hole(10, 20));
        assert_eq!(way(10, 21), Way::Free);
    }

    #[test]
    fn a_hole_that_nobody_repairs_is_passed_at_once() {
        let holes = Holes::default();
        holes.add(hole(10, 20));
        assert_eq!(holes.way(Some(&position(10)), &position(21)), Way::Pass(position(20)));
    }

    #[test]
    fn what_is_trimmed_is_not_repaired_any_more() {
        let holes = Holes::default();
        holes.add(hole(10, 20));
        holes.add(hole(30, 40));
        let before = holes.revision();
        holes.forget_through(&position(25));
        assert_eq!(
            holes.list(),
            [hole(30, 40)].map(|one| Hole { found: holes.list()[0].found, ..one })
        );
        assert!(holes.revision() > before);
    }
}
