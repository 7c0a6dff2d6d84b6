//! Dead letters: records that a sink has refused for good.
//!
//! A letter is stored in parts, because an event can be larger than a value of the database may be:
//!
//! ```text
//! key    tag · sink · stream · position · part (u16, big endian)
//! value  this part of: format (1) · length of all that follows (u32) · length of the note (u32) ·
//!        note · payload of a block with the one record
//! ```
//!
//! The first length tells where a letter ends when a longer one was stored under its key before.
//!
//! Invariant: a letter is there once its first part is, and then whole. The first part is written last,
//! so a crash in the middle leaves parts that nobody looks at.

use std::collections::HashMap;

use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::keys::{self, Key, Parts};
use super::writer::Pending;
use crate::event::{Record, StreamId};
use crate::log::{Database, LogError, VALUE_LIMIT, decode_record, encode_record};

/// A record a sink has refused for good, kept until an operator retries or discards it.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadLetter {
    /// The sink.
    pub sink: String,
    /// The record.
    pub record: Record,
    /// The service's words.
    pub reason: String,
    /// When it was refused.
    pub at: Timestamp,
}

/// What is stored in front of the record.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    reason: String,
    /// Milliseconds since 1970.
    at: i64,
}

impl DeadLetter {
    /// Keys and values of its parts.
    pub(super) fn pairs(&self) -> Result<Pending, LogError> {
        let note = Note { reason: self.reason.clone(), at: self.at.as_millisecond() };
        let note = super::encoding::encode(&note)?;
        let record = encode_record(&self.record);
        let mut bytes = vec![FORMAT];
        bytes.extend_from_slice(&length(4 + note.len() + record.len()).to_le_bytes());
        bytes.extend_from_slice(&length(note.len()).to_le_bytes());
        bytes.extend_from_slice(&note);
        bytes.extend_from_slice(&record);
        let key = Key::new(keys::LETTER)
            .name(&self.sink)
            .name(self.record.stream.as_str())
            .position(&self.record.position);
        let parts = (0..=u16::MAX).zip(bytes.chunks(VALUE_LIMIT));
        Ok(parts.map(|(part, chunk)| (key.clone().part(part).bytes(), chunk.to_vec())).collect())
    }

    /// Reads its joined parts.
    pub(super) fn from_bytes(
        path: &Path,
        sink: &str,
        stream: &StreamId,
        bytes: &[u8],
    ) -> Result<Self, LogError> {
        let damaged = || LogError::damaged(path, "a dead letter");
        let (head, rest) = bytes.split_first_chunk::<5>().ok_or_else(damaged)?;
        let [format, all @ ..] = *head;
        match format {
            FORMAT => {}
            0 => return Err(damaged()),
            // sled has checked its checksum over these bytes: it was written like this.
            newer => return Err(LogError::newer_entry(path, "a dead letter", newer, FORMAT)),
        }
        let rest = rest.get(..u32::from_le_bytes(all) as usize).ok_or_else(damaged)?;
        let (note_length, rest) = rest.split_first_chunk::<4>().ok_or_else(damaged)?;
        let (note, record) =
            rest.split_at_checked(u32::from_le_bytes(*note_length) as usize).ok_or_else(damaged)?;
        let note: Note = super::encoding::decode(path, "a dead letter", note)?;
        Ok(Self {
            sink: sink.to_owned(),
            record: decode_record(stream, record).ok_or_else(damaged)?,
            reason: note.reason,
            at: Timestamp::from_millisecond(note.at).map_err(|_| damaged())?,
        })
    }
}

const FORMAT: u8 = 1;

/// A letter is an event with a few words: far below 4 GiB.
fn length(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// Writes the letters among what is pending. Returns the sink of each that was there before.
///
/// Of a letter in parts a crash could leave some that are new and some that are old. One that is there
/// stays as it is: it is the same record, refused again.
pub(super) fn write(database: &Database, pending: &Pending) -> Result<Vec<String>, LogError> {
    let mut known = Vec::new();
    for (key, value) in pending.range(vec![keys::LETTER]..vec![keys::LETTER + 1]).rev() {
        let letter = key.len().saturating_sub(size_of::<u16>());
        let part =
            |part: u16| [key.get(..letter).unwrap_or_default(), &part.to_be_bytes()].concat();
        let is_there = database.get(&part(0))?.is_some();
        if is_there && let Some(sink) = begun_by(key) {
            known.push(sink.to_owned());
        }
        if !is_there || !pending.contains_key(&part(1)) {
            database.insert(key, value)?;
        }
    }
    Ok(known)
}

/// How many letters each sink has.
pub(super) fn counts(database: &Database) -> Result<HashMap<String, u64>, LogError> {
    let mut counts = HashMap::new();
    database.each_pair(&Key::new(keys::LETTER).bytes(), |key, _| {
        if let Some(sink) = begun_by(key) {
            *counts.entry(sink.to_owned()).or_default() += 1;
        }
    })?;
    Ok(counts)
}

/// The sink of the letter of which this is the key of the first part.
pub(super) fn begun_by(key: &[u8]) -> Option<&str> {
    let mut parts = Parts::of(key).filter(|_| key.first() == Some(&keys::LETTER))?;
    let sink = parts.name()?;
    parts.name()?;
    parts.position()?;
    (parts.part()? == 0).then_some(sink)
}

/// The oldest letters of a sink, stream by stream.
pub(super) fn read(
    database: &Database,
    sink: &str,
    limit: usize,
) -> Result<Vec<DeadLetter>, LogError> {
    let mut letters = Vec::new();
    if limit > 0 {
        each(database, sink, |letter| {
            letters.push(letter);
            letters.len() < limit
        })?;
    }
    Ok(letters)
}

/// Shows the letters of a sink, stream by stream, the oldest first, as long as `show` wants more.
pub(super) fn each(
    database: &Database,
    sink: &str,
    mut show: impl FnMut(DeadLetter) -> bool,
) -> Result<(), LogError> {
    let prefix = Key::new(keys::LETTER).name(sink).bytes();
    let mut current: Option<(StreamId, Vec<u8>)> = None;
    let mut above = prefix.clone();
    let joined = |(stream, bytes): (StreamId, Vec<u8>)| {
        DeadLetter::from_bytes(database.path(), sink, &stream, &bytes)
    };
    while let Some((key, value)) =
        database.above(&above)?.filter(|(key, _)| key.starts_with(&prefix))
    {
        let (stream, part) =
            place(&key).ok_or_else(|| LogError::damaged(database.path(), "a key"))?;
        if part == 0
            && let Some(before) = current.replace((stream, Vec::new()))
            && !show(joined(before)?)
        {
            return Ok(());
        }
        // Parts without their first are behind the end of the letter before.
        if let Some((_, bytes)) = &mut current {
            bytes.extend_from_slice(&value);
        }
        above = key.to_vec();
    }
    if let Some(last) = current {
        show(joined(last)?);
    }
    Ok(())
}

fn place(key: &[u8]) -> Option<(StreamId, u16)> {
    let mut parts = Parts::of(key)?;
    parts.name()?;
    let stream = parts.stream()?;
    parts.position()?;
    Some((stream, parts.part()?))
}
