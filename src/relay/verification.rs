//! What looking for damage has found: plain values, the same in the admin API and the command line.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cursor::CopyFindings;
use crate::event::Position;
use crate::log::{Damage, Hole, StreamFindings};

/// Log and state of one data directory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Verification {
    /// Whether everything is as it was written, and nothing is missing.
    pub intact: bool,
    /// The data directory.
    pub directory: String,
    /// Every stream.
    pub streams: Vec<StreamVerification>,
    /// Both copies of the state.
    pub state: Vec<CopyVerification>,
}

/// A stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StreamVerification {
    /// Its name.
    pub stream: String,
    /// Segments whose blocks are all there.
    pub segments: u64,
    /// Their blocks.
    pub blocks: u64,
    /// Records in them.
    pub records: u64,
    /// Encoded bytes of the blocks.
    pub bytes: u64,
    /// What is not as it was written.
    pub damages: Vec<DamageStatus>,
    /// Stretches that are missing from earlier.
    pub holes: Vec<HoleStatus>,
    /// Damaged segments that were moved aside earlier, and are kept.
    pub kept: Vec<String>,
}

/// Something that is not as it was written. Positions are `GENERATION.RESOURCEVERSION`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DamageStatus {
    /// The stream it is in.
    pub stream: String,
    /// The segment it is in; absent: the end of the stream.
    pub segment: Option<String>,
    /// The log is complete up to here; absent: not known, or nothing is missing.
    pub after: Option<String>,
    /// Last position that may be missing; absent: not known, or nothing is missing.
    pub until: Option<String>,
    /// How many records may be missing; absent: not known.
    pub records_missing: Option<u64>,
    /// What was noticed.
    pub reason: String,
    /// What was done about it, or is to be done.
    pub action: String,
}

/// A stretch that is missing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HoleStatus {
    /// The log is complete up to here; absent: from its beginning.
    pub after: Option<String>,
    /// Last position that may be missing.
    pub until: String,
    /// Records that are missing.
    pub records_missing: u64,
}

/// A copy of the state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CopyVerification {
    /// Its name in the data directory.
    pub name: String,
    /// Whether it is as it was written.
    pub intact: bool,
    /// What is wrong with it.
    pub reason: Option<String>,
    /// What is done about it, or is to be done.
    pub action: Option<String>,
}

impl Verification {
    /// What was found in a directory.
    pub(super) fn new(
        directory: &std::path::Path,
        streams: Vec<StreamFindings>,
        state: [CopyFindings; 2],
    ) -> Self {
        let streams: Vec<_> = streams.into_iter().map(StreamVerification::from).collect();
        let state: Vec<_> = state.into_iter().map(CopyVerification::from).collect();
        let intact = state.iter().all(|copy| copy.intact)
            && streams.iter().all(|found| found.damages.is_empty() && found.holes.is_empty());
        Self { intact, directory: directory.display().to_string(), streams, state }
    }
}

impl From<StreamFindings> for StreamVerification {
    fn from(found: StreamFindings) -> Self {
        let stream = found.id.to_string();
        Self {
            segments: found.tally.segments,
            blocks: found.tally.blocks,
            records: found.tally.records,
            bytes: found.tally.bytes,
            damages: found.damages.into_iter().map(|damage| of_damage(&stream, damage)).collect(),
            holes: found.holes.into_iter().map(of_hole).collect(),
            kept: found.kept,
            stream,
        }
    }
}

impl From<CopyFindings> for CopyVerification {
    fn from(CopyFindings { name, damage }: CopyFindings) -> Self {
        let (reason, action) = damage.unzip();
        Self {
            name: name.to_owned(),
            intact: reason.is_none(),
            reason,
            action: action.map(str::to_owned),
        }
    }
}

fn of_damage(stream: &str, damage: Damage) -> DamageStatus {
    DamageStatus {
        stream: stream.to_owned(),
        segment: text(damage.segment),
        after: text(damage.after),
        until: text(damage.until),
        records_missing: damage.records,
        reason: damage.reason,
        action: damage.action,
    }
}

fn of_hole(hole: Hole) -> HoleStatus {
    HoleStatus {
        records_missing: hole.records(),
        after: text(hole.after),
        until: hole.until.to_string(),
    }
}

fn text(position: Option<Position>) -> Option<String> {
    position.map(|position| position.to_string())
}
