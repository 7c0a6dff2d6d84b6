//! What the process under test is told, and what it answers: a line of JSON each.

use std::path::PathBuf;

use kube_event_relay::event::Position;
use serde::{Deserialize, Serialize};

/// Names of the sinks.
pub const SINKS: [&str; 2] = ["archive", "oncall"];

/// What the process is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Command {
    Open(PathBuf),
    Close,
    Append {
        items: Vec<Written>,
        full: bool,
    },
    /// Appends, and answers as soon as the frontier has moved.
    AppendAndWatch(Vec<Written>),
    Commit {
        full: bool,
    },
    Read {
        reader: usize,
        chunks: usize,
        from: Option<Start>,
    },
    Get(Position),
    Move {
        sink: usize,
        to: Moved,
    },
    Bury(Buried),
    Letters(usize),
    SyncState,
    NoteFrontier(Position),
    NoteComplete(i64),
    Report(Missing),
    Trim(Position),
}

/// Where a reader begins.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Start {
    pub after: Option<Position>,
}

/// What is appended. A record is a function of its seed and length.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Written {
    pub position: Position,
    pub record: Option<(u64, usize)>,
}

/// A cursor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Moved {
    pub position: Option<Position>,
    pub sequence: u64,
    /// Milliseconds; no two moves have the same.
    pub at: i64,
}

/// A dead letter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Buried {
    pub sink: usize,
    pub position: Position,
    pub record: (u64, usize),
    pub reason: String,
}

/// A gap.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Missing {
    pub after: Option<Position>,
    pub until: Position,
    pub from_time: Option<i64>,
    pub to_time: i64,
}

/// What the process says.
#[derive(Debug, Serialize, Deserialize)]
pub struct Answer {
    pub outcome: Outcome,
    /// Everything that can be seen afterwards; `None` when nothing is open.
    pub seen: Option<Seen>,
}

/// What came of a command.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub enum Outcome {
    Done,
    /// So many were handed over before there was no room in the queue.
    Appended(usize),
    /// Not yet; only on a full volume.
    Pending,
    /// The volume is full.
    Full,
    Failed(String),
    Chunks(Vec<SeenChunk>),
    Record(Option<SeenRecord>),
    Letters(Vec<SeenLetter>),
    Trimmed {
        segments: u64,
        records: u64,
    },
}

/// A chunk that was read.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct SeenChunk {
    pub records: Vec<SeenRecord>,
    pub end: Position,
    pub sequence: u64,
}

/// A record, with a digest of everything in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeenRecord {
    pub position: Position,
    pub digest: String,
}

/// A dead letter that was listed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeenLetter {
    pub record: SeenRecord,
    pub reason: String,
}

/// A segment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeenSegment {
    pub first: Position,
    pub last: Option<Position>,
    pub first_sequence: u64,
    pub end_sequence: u64,
}

/// Everything that can be seen without reading.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    pub frontier: Option<(Position, u64)>,
    pub segments: Vec<SeenSegment>,
    pub cursors: [Option<Moved>; 2],
    pub durable_cursors: [Option<Moved>; 2],
    pub letters: [u64; 2],
    pub gaps: Vec<Missing>,
    pub noted: Option<Position>,
    pub complete: Option<i64>,
    /// Whatever is said to be wrong.
    pub trouble: Vec<String>,
}
