//! A segment: one small database with the blocks of a stretch of its stream.
//!
//! Invariants:
//! 1. Only the newest segment of a stream is written; a sealed one never changes again.
//! 2. A seal is written after the last block is durable, and says what the last block was, so that
//!    a cut tail is noticed.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bincode::Options;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::block::{self, Block, BlockError};
use super::database::{Database, Tuning};
use super::head::Head;
use super::outline::Outline;
use super::{LogError, files, stamp};
use crate::event::{Position, StreamId};

/// Measured: 12 MiB of memory while writing, 8 MiB while reading, however long the log is.
pub(crate) const TUNING: Tuning =
    Tuning { segment_size: block::SLED_SEGMENT, cache_capacity: 4 << 20 };

const SEAL: &str = "seal";
const SEAL_FORMAT: u8 = 1;

/// What is known of a sealed segment without opening it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seal {
    /// Position of its last block.
    pub(super) last: Position,
    /// Number of that block.
    pub(super) last_number: u64,
    /// Records of the stream before it.
    pub(super) first_sequence: u64,
    /// Records of the stream up to its end.
    pub(super) end_sequence: u64,
    /// Milliseconds since 1970.
    sealed_at: i64,
}

impl Seal {
    pub(super) fn new(last: &Block, first_sequence: u64, now: Timestamp) -> Self {
        Self {
            last: last.end.clone(),
            last_number: last.number,
            first_sequence,
            end_sequence: last.sequence,
            sealed_at: now.as_millisecond(),
        }
    }

    pub(super) fn sealed_at(&self) -> Option<Timestamp> {
        Timestamp::from_millisecond(self.sealed_at).ok()
    }

    /// Format, checksum, bincode.
    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, bincode::Error> {
        let payload = bincode::DefaultOptions::new().serialize(self)?;
        let mut bytes = vec![SEAL_FORMAT];
        bytes.extend_from_slice(&crc32fast::hash(&payload).to_le_bytes());
        bytes.extend_from_slice(&payload);
        Ok(bytes)
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (head, payload) = bytes.split_first_chunk::<5>()?;
        let [SEAL_FORMAT, sum @ ..] = *head else { return None };
        if u32::from_le_bytes(sum) != crc32fast::hash(payload) {
            return None;
        }
        bincode::DefaultOptions::new().deserialize(payload).ok()
    }

    /// The seal of the segment at `path`. One that is damaged counts as absent: what it says can be
    /// found out by reading the segment.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, LogError> {
        let file = path.join(SEAL);
        match fs::read(&file) {
            Ok(bytes) => {
                stamp::refuse_newer(&file, "a seal", &bytes, SEAL_FORMAT)?;
                Ok(Self::from_bytes(&bytes))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(LogError::io("read", &file, &error)),
        }
    }

    /// Whether the segment at `path` was sealed, as far as its seal tells: also a damaged one does.
    pub(super) fn is_there(path: &Path) -> Result<bool, LogError> {
        let file = path.join(SEAL);
        file.try_exists().map_err(|error| LogError::io("look for", &file, &error))
    }

    /// Writes it, durably.
    pub(super) fn write(&self, path: &Path) -> Result<(), LogError> {
        let file = path.join(SEAL);
        let bytes = self.to_bytes().map_err(|error| LogError::damaged(&file, error.to_string()))?;
        files::replace(&file, &bytes)
    }
}

/// An open segment. Several readers and the writer may share it.
#[derive(Debug)]
pub(super) struct Segment {
    stream: StreamId,
    database: Database,
}

/// What reading a whole segment has shown.
#[derive(Debug)]
pub(super) struct Verified {
    /// Position of its first block.
    pub(super) first: Position,
    /// What its head has to say.
    pub(super) head: Head,
    /// Its last block.
    pub(super) last: Block,
    /// Encoded bytes of its blocks.
    pub(super) bytes: u64,
}

/// A block error with the segment it is in.
enum ReadError {
    Block(BlockError),
    Log(LogError),
}

impl From<BlockError> for ReadError {
    fn from(error: BlockError) -> Self {
        Self::Block(error)
    }
}

impl Segment {
    /// Opens or creates the segment at `path`.
    pub(super) fn open(stream: &StreamId, path: &Path) -> Result<Arc<Self>, LogError> {
        let database = Database::open(path, TUNING)?;
        Ok(Arc::new(Self { stream: stream.clone(), database }))
    }

    /// Opens a segment for reading; it is an error when it is not there (any more).
    pub(super) fn open_existing(stream: &StreamId, path: &Path) -> Result<Arc<Self>, LogError> {
        let database = Database::open_existing(path, TUNING)?;
        Ok(Arc::new(Self { stream: stream.clone(), database }))
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        self.database.path()
    }

    /// Writes a block and returns its encoded length; durable after [`Segment::commit`].
    pub(super) fn write(&self, encoded: &block::Encoded) -> Result<u64, LogError> {
        let mut bytes = 0;
        // The first part goes last: a reader that sees it sees them all.
        for (key, value) in encoded.pairs.iter().rev() {
            self.database.insert(key, value)?;
            bytes += (key.len() + value.len()) as u64;
        }
        Ok(bytes)
    }

    /// Makes written blocks durable.
    pub(super) fn commit(&self) -> Result<(), LogError> {
        self.database.commit()
    }

    /// The block that holds the first position above `after`, or the first block.
    pub(super) fn following(&self, after: Option<&Position>) -> Result<Option<Outline>, LogError> {
        let Some(after) = after else { return self.first_above(&[]) };
        // A block that begins at or below the position may reach beyond it.
        if let Some((found, _)) = self.database.below(&block::part_key(after, u16::MAX))? {
            let outline = self.with_key(&found)?;
            if outline.bare().end > *after {
                return Ok(Some(outline));
            }
        }
        self.next(after)
    }

    /// The block after the one that ends at `end`.
    pub(super) fn next(&self, end: &Position) -> Result<Option<Outline>, LogError> {
        self.first_above(&block::part_key(end, u16::MAX))
    }

    /// The first block.
    pub(super) fn first(&self) -> Result<Option<Block>, LogError> {
        self.following(None)?.map(|outline| self.complete(outline)).transpose()
    }

    /// The block in which `position` lies, between its first record and its end.
    pub(super) fn holding(&self, position: &Position) -> Result<Option<Block>, LogError> {
        self.database
            .below(&block::part_key(position, u16::MAX))?
            .map(|(key, _)| self.complete(self.with_key(&key)?))
            .transpose()
    }

    /// The last block.
    pub(super) fn last(&self) -> Result<Option<Block>, LogError> {
        self.database.last()?.map(|(key, _)| self.complete(self.with_key(&key)?)).transpose()
    }

    /// The block with its bodies.
    pub(super) fn complete(&self, outline: Outline) -> Result<Block, LogError> {
        outline.complete().map_err(|error| self.damaged(&error.to_string()))
    }

    /// Removes what a crash has left of the block that was being written: parts without the first,
    /// which goes last. Nobody was told of that block, and its first record may never come again.
    pub(super) fn remove_torn_block(&self) -> Result<(), LogError> {
        let Some((key, _)) = self.database.last()? else { return Ok(()) };
        let (first, _) = block::split_part_key(&key).ok_or_else(|| self.damaged("a key"))?;
        if self.database.get(&block::part_key(&first, 0))?.is_some() {
            return Ok(());
        }
        for (key, _) in self.database.with_prefix(&first.to_key())? {
            self.database.remove(&key)?;
        }
        self.database.commit()
    }

    /// Reads every block and checks that their numbers have no hole, and that they begin as its head
    /// says.
    pub(super) fn verify(&self) -> Result<Option<Verified>, LogError> {
        self.verify_each(|_| Ok(()))
    }

    /// The same, and shows each block to `see`, which says what is wrong with it.
    pub(super) fn verify_each(
        &self,
        see: impl FnMut(&Block) -> Result<(), &'static str>,
    ) -> Result<Option<Verified>, LogError> {
        let Some((first, head, last)) = self.each_block(see)? else { return Ok(None) };
        let end = self.database.last()?.and_then(|(key, _)| block::split_part_key(&key));
        if end.is_none_or(|(first, _)| first != *last.first()) {
            return Err(self.damaged("the first part of a block is missing"));
        }
        Ok(Some(Verified { first, head, last, bytes: self.bytes()? }))
    }

    /// Encoded bytes of its blocks.
    pub(super) fn bytes(&self) -> Result<u64, LogError> {
        let mut bytes = 0;
        self.database.each_pair(&[], |key, value| bytes += (key.len() + value.len()) as u64)?;
        Ok(bytes)
    }

    /// Shows every block in order, as far as they are whole: the writer may be busy with the next.
    /// Returns where they begin, what the head has to say, and the last one.
    pub(super) fn each_block(
        &self,
        mut see: impl FnMut(&Block) -> Result<(), &'static str>,
    ) -> Result<Option<(Position, Head, Block)>, LogError> {
        let Some(mut last) = self.first()? else { return Ok(None) };
        let (first, head) = (last.first().clone(), Head::new(&last));
        if Head::read(self.path())?.is_some_and(|written| written != head) {
            return Err(self.damaged("its first blocks are missing"));
        }
        see(&last).map_err(|wrong| self.damaged(wrong))?;
        while let Some(next) = self.next(&last.end)? {
            let next = self.complete(next)?;
            if next.number != last.number + 1 {
                return Err(self.damaged("a block is missing"));
            }
            see(&next).map_err(|wrong| self.damaged(wrong))?;
            last = next;
        }
        Ok(Some((first, head, last)))
    }

    pub(super) fn damaged(&self, what: &str) -> LogError {
        LogError::damaged(self.path(), what)
    }

    /// The first block above a key. None is there when the first thing above it is a block that is
    /// being written: its first part goes last, and a reader far behind may look here at that moment.
    fn first_above(&self, key: &[u8]) -> Result<Option<Outline>, LogError> {
        let Some((key, value)) = self.database.above(key)? else { return Ok(None) };
        match block::split_part_key(&key) {
            Some((_, part)) if part > 0 => Ok(None),
            _ => self.decode(&key, &value).map(Some),
        }
    }

    /// The block to which a key, of any of its parts, belongs.
    fn with_key(&self, key: &[u8]) -> Result<Outline, LogError> {
        let (first, _) = block::split_part_key(key).ok_or_else(|| self.damaged("a key"))?;
        let key = block::part_key(&first, 0);
        match self.database.get(&key)? {
            Some(value) => self.decode(&key, &value),
            None => Err(self.damaged("the first part of a block is missing")),
        }
    }

    fn decode(&self, key: &[u8], value: &[u8]) -> Result<Outline, LogError> {
        let part = |key: &[u8]| match self.database.get(key) {
            Ok(value) => Ok(value.map(|value| value.to_vec())),
            Err(error) => Err(ReadError::Log(error)),
        };
        block::read(&self.stream, key, value, part).map_err(|error| match error {
            ReadError::Block(BlockError::Format(found)) => {
                LogError::newer_entry(self.path(), "a block", found, block::FORMAT)
            }
            ReadError::Block(error) => self.damaged(&error.to_string()),
            ReadError::Log(error) => error,
        })
    }
}

/// A name next to `path` for a segment that was found damaged; never one that exists.
pub(super) fn quarantine_name(path: &Path) -> PathBuf {
    free_name(path, QUARANTINED)
}

/// The same for one that cannot be read and of which nothing was ever published.
pub(super) fn unpublished_name(path: &Path) -> PathBuf {
    free_name(path, UNPUBLISHED)
}

fn free_name(path: &Path, ending: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut aside = path.with_file_name(format!("{name}{ending}"));
    let mut attempt = 1;
    while aside.exists() {
        attempt += 1;
        aside = path.with_file_name(format!("{name}-{attempt}{ending}"));
    }
    aside
}

/// What the name of a directory in a stream says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// A segment that begins here.
    Segment(Position),
    /// One that began here and was moved aside because it was damaged.
    Quarantined(Position),
    /// One that was moved aside before anything of it was published.
    Unpublished,
    /// Its removal has begun.
    Doomed,
    /// Not a segment.
    Foreign,
}

impl Name {
    pub(super) fn of(name: &str) -> Self {
        if files::is_doomed(name) {
            return Self::Doomed;
        }
        if let Some(kept) = name.strip_suffix(QUARANTINED) {
            let first = kept.split_once('-').map_or(kept, |(first, _)| first);
            return first.parse().map_or(Self::Foreign, Self::Quarantined);
        }
        if name.ends_with(UNPUBLISHED) {
            return Self::Unpublished;
        }
        name.parse().map_or(Self::Foreign, Self::Segment)
    }
}

const QUARANTINED: &str = ".damaged";
const UNPUBLISHED: &str = ".unpublished";
