//! `deadLetters` in the configuration.

use serde::{Deserialize, Serialize};

use super::LetterTally;
use crate::setting::ByteSize;

/// How many dead letters each sink may have, and what happens when it has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct DeadLettersConfig {
    /// So many letters of a sink.
    pub max_records: u64,
    /// So many bytes of them, compressed as they are kept.
    pub max_bytes: ByteSize,
    /// What happens then.
    pub when_full: LettersFull,
}

/// What happens when a sink has as many dead letters as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LettersFull {
    /// The sink is held until there is room: nothing is discarded.
    #[default]
    Hold,
    /// The oldest letters make room. What is dropped is counted.
    DropOldest,
}

impl Default for DeadLettersConfig {
    fn default() -> Self {
        // More than anybody reads through, and a fraction of the log's own bound.
        Self {
            max_records: 10_000,
            max_bytes: ByteSize::mib(64),
            when_full: LettersFull::default(),
        }
    }
}

impl DeadLettersConfig {
    /// The limits.
    #[must_use]
    pub fn most(&self) -> LetterTally {
        LetterTally { records: self.max_records, bytes: self.max_bytes.0 }
    }
}

impl LetterTally {
    /// Whether one of the limits is reached.
    #[must_use]
    pub fn is_full(self, most: Self) -> bool {
        self.records >= most.records || self.bytes >= most.bytes
    }

    /// Whether one of the limits is exceeded.
    #[must_use]
    pub fn exceeds(self, most: Self) -> bool {
        self.records > most.records || self.bytes > most.bytes
    }
}
