//! Looking for damage: every block of every segment is read.
//!
//! Invariants:
//! 1. What nobody has open is not changed: sled changes what it opens, so it is given copies.
//! 2. What readers of the log take for damage is damage here, found by the same code. Beside it, small
//!    files that nobody needs at the moment are looked at.
//! 3. What a crash leaves behind is no damage: the torn end of the newest segment, an unfinished
//!    snapshot, segments of which nothing was published, removals that have begun.
//! 4. One segment is in memory at a time.

mod at_rest;
mod check;
mod progress;
mod running;
mod scratch;
#[cfg(test)]
mod tests;

pub use at_rest::streams_at_rest;
use check::Checked;
pub use progress::{Looking, Progress};
pub use running::Inspection;
pub use scratch::{Scratch, VerifyError};

use super::Hole;
use crate::event::{Position, StreamId};

/// What was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Segments that are whole.
    pub segments: u64,
    /// Their blocks.
    pub blocks: u64,
    /// Records in them.
    pub records: u64,
    /// Encoded bytes of the blocks.
    pub bytes: u64,
}

/// Something that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Name of the segment; `None`: the end of the stream.
    pub segment: Option<Position>,
    /// The log is complete up to here; `None`: as far as is known, not at all.
    pub after: Option<Position>,
    /// The last position that may be missing; `None`: it is not known, or nothing is missing.
    pub until: Option<Position>,
    /// Records that may be missing, as far as that is known.
    pub records: Option<u64>,
    /// What was noticed.
    pub reason: String,
    /// What was done about it, or is to be done.
    pub action: String,
}

/// What was found in a stream.
#[derive(Debug, Clone)]
pub struct StreamFindings {
    /// The stream.
    pub id: StreamId,
    /// What is whole.
    pub tally: Tally,
    /// What is not.
    pub damages: Vec<Damage>,
    /// Stretches that no segment has, and whose damage is not among `damages`.
    pub holes: Vec<Hole>,
    /// Directories of segments that were moved aside earlier.
    pub kept: Vec<String>,
}

impl StreamFindings {
    fn new(id: StreamId) -> Self {
        Self {
            id,
            tally: Tally::default(),
            damages: Vec::new(),
            holes: Vec::new(),
            kept: Vec::new(),
        }
    }

    /// Counts a segment that is whole, and notes what is wrong with the files beside it.
    fn whole(&mut self, segment: &Position, checked: &Checked, flaws: Vec<Flaw>) {
        let tally = &mut self.tally;
        tally.segments += 1;
        tally.blocks += checked.blocks;
        tally.records += checked.records;
        tally.bytes += checked.bytes;
        self.flawed(segment, flaws);
    }

    fn flawed(&mut self, segment: &Position, flaws: Vec<Flaw>) {
        self.damages.extend(flaws.into_iter().map(|Flaw { reason, action }| Damage {
            segment: Some(segment.clone()),
            after: None,
            until: None,
            records: Some(0),
            reason: reason.to_owned(),
            action: action.to_owned(),
        }));
    }
}

/// Something wrong beside the blocks, with which nothing is missing.
#[derive(Debug)]
struct Flaw {
    reason: &'static str,
    action: &'static str,
}
