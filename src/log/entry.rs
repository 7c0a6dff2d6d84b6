//! What goes into the log and what comes out of it.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::block::Block;
use crate::event::{Header, Position, Record};

/// What is appended to a stream.
#[derive(Debug, Clone)]
pub enum Entry {
    /// A record.
    Record(NewRecord),
    /// Only the frontier moves: a deletion, a bookmark, or the end of a list. Several are coalesced
    /// within a few seconds, since losing one only means reading again.
    Advance(Position),
}

/// A record to append; the log adds the stream.
#[derive(Debug, Clone, PartialEq)]
pub struct NewRecord {
    /// Its place.
    pub position: Position,
    /// When it was received.
    pub received_at: Timestamp,
    /// What filters look at first.
    pub header: Header,
    /// The event's JSON.
    pub body: Bytes,
}

/// Up to where a stream is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frontier {
    /// Everything at or below it is durable.
    pub position: Position,
    /// Number of records appended to the stream so far.
    pub sequence: u64,
    /// When the block at the frontier was written.
    pub written_at: Timestamp,
}

/// A stretch of history that may have been missed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Complete up to here.
    pub after: Option<Position>,
    /// Complete again from here.
    pub until: Position,
    /// Last proof of completeness before it.
    pub from_time: Option<Timestamp>,
    /// When the stream was complete again.
    pub to_time: Timestamp,
    /// Why records may be missing.
    pub cause: String,
}

/// What a reader finds next.
#[derive(Debug, Clone)]
pub enum Chunk {
    /// Records, and how far one has got when they are done (`end` may lie past the last of them).
    Records {
        /// In order; may be empty.
        records: Records,
        /// Position after these records.
        end: Position,
        /// Number of records of the stream up to `end`.
        sequence: u64,
    },
    /// Records that the reader's filter excludes, whose bodies were not read.
    Excluded {
        /// How many.
        records: u64,
        /// The first of them.
        first: Option<Position>,
        /// Position after them.
        end: Position,
        /// Number of records of the stream up to `end`.
        sequence: u64,
    },
    /// A segment could not be read and was moved aside, and nobody has filled the hole it left in
    /// time: records after the reader's position and up to `end` are missing.
    Damaged {
        /// Reading goes on after this position.
        end: Position,
    },
}

/// Records of one block that lie above the reader's position. Shared with every other reader.
#[derive(Debug, Clone)]
pub struct Records {
    pub(super) block: Arc<Block>,
    pub(super) from: usize,
}

impl std::ops::Deref for Records {
    type Target = [Record];

    fn deref(&self) -> &[Record] {
        self.block.records.get(self.from..).unwrap_or_default()
    }
}

/// A segment, as retention sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Position of its first block.
    pub first: Position,
    /// Position of its last block; `None` while it is being written.
    pub last: Option<Position>,
    /// Number of records of the stream before it.
    pub first_sequence: u64,
    /// Number of records of the stream up to its end.
    pub end_sequence: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// When it was sealed; `None` while it is being written.
    pub sealed_at: Option<Timestamp>,
}

/// What trimming has removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Trimmed {
    /// Segments.
    pub segments: u64,
    /// Bytes given back to the volume.
    pub bytes: u64,
    /// Records in them.
    pub records: u64,
}
