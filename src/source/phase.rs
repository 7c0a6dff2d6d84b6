//! What the source tells about itself.

use std::fmt;

use jiff::Timestamp;

use crate::event::Header;
use crate::log::{Gap, LogError};

/// What a stream is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phase {
    /// In one word.
    pub name: PhaseName,
    /// Whether the newest watch and the newest probe were in order. Reconnecting after the server
    /// ended a watch as planned, and listing because it forgot an old version, do not change it.
    pub live: bool,
    /// What is wrong and what to do, on one line.
    pub reason: Option<String>,
}

/// What a stream is doing, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PhaseName {
    /// Asking for a watch.
    Connecting,
    /// Listing everything.
    Listing,
    /// A watch is open.
    Watching,
    /// Waiting to try again after a failure.
    Waiting,
}

impl PhaseName {
    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Listing => "listing",
            Self::Watching => "watching",
            Self::Waiting => "waiting",
        }
    }
}

impl fmt::Display for PhaseName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Why everything was listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelistCause {
    /// The log was empty.
    FirstStart,
    /// The API server has forgotten the version the log ends at. Normal after a stop or a quiet spell.
    TooOld,
    /// Watches were closed without an item: the other way an API server says "too old".
    EmptyClose,
    /// The API server's history ends before the log does: a new generation.
    HistoryReplaced,
    /// Watches kept failing at the same place.
    NoProgress,
    /// An item could not be read twice at the same place.
    Unreadable,
    /// The list took so long that the API server forgot its beginning.
    ContinuationExpired,
    /// A stretch of the log was found damaged: what the API server still has of it is brought back.
    Damaged,
}

impl fmt::Display for RelistCause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::FirstStart => "first start",
            Self::TooOld => "the API server has forgotten the version to resume from",
            Self::EmptyClose => "the API server closed the watch without an item",
            Self::HistoryReplaced => "the API server's history was replaced",
            Self::NoProgress => "watches kept failing at the same place",
            Self::Unreadable => "an item of the watch cannot be read",
            Self::ContinuationExpired => "the list took longer than the API server remembers it",
            Self::Damaged => "a stretch of the log is damaged",
        })
    }
}

/// Learns what a stream does. Calls come from one task, in order, and must not block for long.
pub trait SourceObserver: Send + Sync {
    /// The phase changed.
    fn phase(&self, phase: &Phase);
    /// Everything stored before `time` is in the log or can still be had by listing. Called at
    /// most once per second of `time`; values grow.
    fn complete_until(&self, time: Timestamp);
    /// Something may be missing. Returns when that is durable; nothing beyond the gap is appended
    /// before.
    fn gap(&self, gap: &Gap) -> Result<(), LogError>;
    /// A record was appended; `message` is the event's.
    fn record(&self, header: &Header, message: &str);
    /// Everything is being listed.
    fn relisted(&self, cause: RelistCause);
}
