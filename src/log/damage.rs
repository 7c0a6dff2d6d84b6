//! What becomes of a segment that cannot be read.
//!
//! Invariants:
//! 1. It is moved aside under another name, never deleted, and reported.
//! 2. The stretch it leaves is a hole, also after a restart: what segments say about the numbers of
//!    their records shows it, and so do the directories that were moved aside.

use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::time::Instant;

use jiff::Timestamp;

use super::hole::Hole;
use super::segment::{self, Seal};
use super::stream::{Inner, Place, Segments};
use super::{Gap, LogError, files};
use crate::event::Position;

/// A segment that was moved aside at some time.
#[derive(Debug)]
pub(super) struct Aside {
    pub(super) first: Position,
    pub(super) path: PathBuf,
}

impl Inner {
    /// Whether a segment that could not be read is out of the way now: it was trimmed meanwhile, or
    /// it is damaged and has been moved aside.
    pub(super) fn makes_way(&self, place: &Place, error: &LogError) -> bool {
        if place.seal().is_some() && matches!(error, LogError::Damaged { .. }) {
            self.quarantine(place, error);
        }
        !self.has(place)
    }

    /// Moves a sealed segment that cannot be read aside, unless somebody else has done so. Returns the
    /// hole it leaves, and where it is kept.
    pub(super) fn quarantine(&self, place: &Place, error: &LogError) -> Option<(Hole, PathBuf)> {
        let mut segments = self.write_segments();
        let seal = place.seal().filter(|_| segments.by_first.contains_key(place.first()))?;
        let hole = segments.hole_without(place.first(), seal);
        let gap = gap(hole.after.clone(), hole.reported_until.clone(), String::new());
        self.holes.add(hole.clone());
        segments.by_first.remove(place.first());
        drop(segments);
        Some((hole, self.set_aside(place.path(), gap, &error.to_string())))
    }

    /// Moves a segment aside that was found damaged before it became part of the log.
    pub(super) fn move_aside(&self, path: &Path, until: Position, reason: &str) {
        let gap = gap(self.end_before(&until), until, String::new());
        self.set_aside(path, gap, reason);
    }

    fn set_aside(&self, path: &Path, gap: Gap, reason: &str) -> PathBuf {
        let aside = segment::quarantine_name(path);
        tracing::error!(
            stream = %self.id, segment = %path.display(), kept_as = %aside.display(), reason,
            "a segment of the log is damaged; what the API server still has is read again"
        );
        let moved = self.context.pool.take_away(path, || files::rename(path, &aside));
        if let Err(error) = moved {
            tracing::error!(%error, "the damaged segment cannot be moved aside");
        }
        self.context.metrics.log().damaged_segments.inc();
        self.report(Gap { cause: cause_of(&aside), ..gap });
        aside
    }

    /// Finds the stretches that are missing between the segments, and what was moved aside earlier.
    pub(super) fn find_holes(&self, moved_aside: &[Aside]) -> Result<(), LogError> {
        let mut holes = self.read_segments().holes();
        for Aside { first, path } in moved_aside {
            let until = Seal::read(path)?.map_or_else(|| first.clone(), |seal| seal.last);
            if let Some(hole) = holes.iter_mut().find(|hole| hole.contains(&until)) {
                hole.reported_until = until.clone();
            }
            self.report(gap(self.end_before(&until), until, cause_of(path)));
        }
        for hole in holes {
            if hole.reported_until == hole.until {
                let cause = "segments are missing in the log".to_owned();
                self.report(gap(hole.after.clone(), hole.until.clone(), cause));
            }
            self.holes.add(hole);
        }
        Ok(())
    }

    /// Keeps a gap until somebody takes it. Reported once more, it replaces itself.
    pub(super) fn report(&self, gap: Gap) {
        let mut damages = self.damages.lock().unwrap_or_else(PoisonError::into_inner);
        damages.retain(|known| known.until != gap.until);
        damages.push(gap);
    }

    pub(super) fn end_before(&self, position: &Position) -> Option<Position> {
        self.read_segments().end_before(position)
    }
}

impl Segments {
    /// Where the segment before a position ends.
    pub(super) fn end_before(&self, position: &Position) -> Option<Position> {
        let (_, known) = self.by_first.range(..position).next_back()?;
        known.seal.as_ref().map(|seal| seal.last.clone())
    }

    /// The hole that a segment would leave.
    pub(super) fn hole_without(&self, first: &Position, seal: &Seal) -> Hole {
        use std::ops::Bound::{Excluded, Unbounded};
        let before =
            self.by_first.range(..first).next_back().and_then(|(_, known)| known.seal.as_ref());
        let behind = self.by_first.range((Excluded(first), Unbounded)).next();
        let until =
            behind.and_then(|(next, _)| next.previous()).unwrap_or_else(|| seal.last.clone());
        Hole {
            after: before.map(|seal| seal.last.clone()),
            until: until.max(seal.last.clone()),
            first_sequence: seal.first_sequence,
            end_sequence: behind.map_or(seal.end_sequence, |(_, known)| known.first_sequence),
            first_number: before.map_or(0, |seal| seal.last_number + 1),
            reported_until: seal.last.clone(),
            found: Instant::now(),
        }
    }

    /// The stretches whose records no segment has.
    pub(super) fn holes(&self) -> Vec<Hole> {
        let pairs = self.by_first.values().zip(self.by_first.iter().skip(1));
        let hole = |(before, (next, behind)): (
            &super::stream::Known,
            (&Position, &super::stream::Known),
        )| {
            let seal = before.seal.as_ref()?;
            let until = next.previous().filter(|until| *until > seal.last)?;
            (seal.end_sequence < behind.first_sequence).then(|| Hole {
                after: Some(seal.last.clone()),
                reported_until: until.clone(),
                until,
                first_sequence: seal.end_sequence,
                end_sequence: behind.first_sequence,
                first_number: seal.last_number + 1,
                found: Instant::now(),
            })
        };
        pairs.filter_map(hole).collect()
    }
}

/// A gap of which it is not known since when.
pub(super) fn gap(after: Option<Position>, until: Position, cause: String) -> Gap {
    Gap { after, until, from_time: None, to_time: Timestamp::now(), cause }
}

fn cause_of(aside: &Path) -> String {
    format!("a segment of the log was damaged and is kept as {}", aside.display())
}
