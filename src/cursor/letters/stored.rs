//! How a letter is stored: in parts, because an event can be larger than a value of the database may be.
//!
//! ```text
//! key      tag · sink · stream · position · part (u16, big endian)
//! part 0   format (2) · part with which the record begins (u16) · length of the record (u32) · note
//! parts    payload of a block with the one record
//! ```
//!
//! Format 1, which is still read, had the note and the record in one, cut into parts: format (1) · length of
//! all that follows (u32) · length of the note (u32) · note · record. When such a letter is refused again, its
//! record is written behind its parts, and then its part 0 tells where.

use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::super::encoding;
use super::super::keys::{self, Parts};
use super::super::writer::Pending;
use super::{DeadLetter, LetterId};
use crate::event::StreamId;
use crate::event::render::cut;
use crate::log::{LogError, VALUE_LIMIT, decode_record, encode_record};

/// The record begins with this part, unless the letter was one of format 1.
const RECORD: u16 = 1;

const FORMAT: u8 = 2;
const FORMAT_1: u8 = 1;

/// Bytes of a service's words that are kept: with them part 0 stays below the limit of a value.
const REASON_LIMIT: usize = 8_192;

/// What is stored beside the record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Note {
    reason: String,
    attempts: u64,
    /// Milliseconds since 1970.
    pub(super) first_at: i64,
    /// Milliseconds since 1970.
    last_at: i64,
}

/// A note of format 1.
#[derive(Debug, Serialize, Deserialize)]
struct NoteOfFormat1 {
    reason: String,
    /// Milliseconds since 1970.
    at: i64,
}

/// Part 0, read.
pub(super) struct FirstPart {
    /// Where the record begins.
    pub(super) record: u16,
    /// Its length in bytes.
    pub(super) length: u32,
    /// The rest.
    pub(super) note: Note,
}

impl Note {
    fn new(letter: &DeadLetter) -> Self {
        Self {
            reason: cut(&letter.reason, REASON_LIMIT).into_owned(),
            attempts: letter.attempts,
            first_at: letter.first_at.as_millisecond(),
            last_at: letter.last_at.as_millisecond(),
        }
    }

    /// What it becomes with a refusal that came later. The same refusal, written a second time, counts once.
    pub(super) fn refused_again(self, later: Self) -> Self {
        if self.last_at == later.last_at && self.reason == later.reason {
            return self;
        }
        let attempts = self.attempts.saturating_add(later.attempts);
        Self { attempts, first_at: self.first_at, ..later }
    }
}

impl From<NoteOfFormat1> for Note {
    fn from(NoteOfFormat1 { reason, at }: NoteOfFormat1) -> Self {
        Self { reason, attempts: 1, first_at: at, last_at: at }
    }
}

impl FirstPart {
    /// Reads a part 0 of this format.
    pub(super) fn read(path: &Path, bytes: &[u8]) -> Result<Self, LogError> {
        let damaged = || LogError::damaged(path, "a dead letter");
        let (head, note) = bytes.split_first_chunk::<7>().ok_or_else(damaged)?;
        let [format, from, to, length @ ..] = *head;
        check_format(path, format)?;
        if format != FORMAT {
            return Err(damaged());
        }
        let record = u16::from_le_bytes([from, to]);
        let note = encoding::decode(path, "a dead letter", note)?;
        Ok(Self { record, length: u32::from_le_bytes(length), note })
    }

    pub(super) fn bytes(&self) -> Result<Vec<u8>, LogError> {
        let mut bytes = vec![FORMAT];
        bytes.extend_from_slice(&self.record.to_le_bytes());
        bytes.extend_from_slice(&self.length.to_le_bytes());
        bytes.extend_from_slice(&encoding::encode(&self.note)?);
        Ok(bytes)
    }
}

impl DeadLetter {
    /// Keys and values of its parts.
    pub(in crate::cursor) fn pairs(&self) -> Result<Pending, LogError> {
        let record = encode_record(&self.record);
        let length = length(record.len());
        let first = FirstPart { record: RECORD, length, note: Note::new(self) }.bytes()?;
        let key = self.id().key(&self.sink);
        let parts = std::iter::once(first.as_slice()).chain(record.chunks(VALUE_LIMIT));
        let parts = (0..=u16::MAX).zip(parts);
        Ok(parts.map(|(part, value)| (key.clone().part(part).bytes(), value.to_vec())).collect())
    }

    /// Reads it from its parts, in order of their numbers, the first of which is number 0.
    pub(in crate::cursor) fn from_parts(
        path: &Path,
        sink: &str,
        stream: &StreamId,
        parts: &[(u16, impl AsRef<[u8]>)],
    ) -> Result<Self, LogError> {
        let damaged = || LogError::damaged(path, "a dead letter");
        let (_, first) = parts.first().ok_or_else(damaged)?;
        let (note, record) = if first.as_ref().first() == Some(&FORMAT_1) {
            split_format_1(path, &joined(parts, 0))?
        } else {
            let FirstPart { record, length, note } = FirstPart::read(path, first.as_ref())?;
            let mut bytes = joined(parts, record);
            if bytes.len() < length as usize || record == 0 {
                return Err(damaged());
            }
            bytes.truncate(length as usize);
            (note, bytes)
        };
        let time = |milliseconds| Timestamp::from_millisecond(milliseconds).map_err(|_| damaged());
        Ok(Self {
            sink: sink.to_owned(),
            record: decode_record(stream, &record).ok_or_else(damaged)?,
            reason: note.reason,
            attempts: note.attempts,
            first_at: time(note.first_at)?,
            last_at: time(note.last_at)?,
        })
    }
}

/// The values of all parts from a number on, up to the first that is missing.
fn joined(parts: &[(u16, impl AsRef<[u8]>)], from: u16) -> Vec<u8> {
    let parts = parts.iter().skip_while(|(part, _)| *part < from).zip(from..=u16::MAX);
    let parts = parts.take_while(|((part, _), expected)| part == expected);
    parts.flat_map(|((_, value), _)| value.as_ref().iter().copied()).collect()
}

/// Note and record of a letter of format 1. What follows them are remains of a longer letter.
fn split_format_1(path: &Path, bytes: &[u8]) -> Result<(Note, Vec<u8>), LogError> {
    let damaged = || LogError::damaged(path, "a dead letter");
    let ([_format, all @ ..], rest) = bytes.split_first_chunk::<5>().ok_or_else(damaged)?;
    let rest = rest.get(..u32::from_le_bytes(*all) as usize).ok_or_else(damaged)?;
    let (note_length, rest) = rest.split_first_chunk::<4>().ok_or_else(damaged)?;
    let (note, record) =
        rest.split_at_checked(u32::from_le_bytes(*note_length) as usize).ok_or_else(damaged)?;
    let note: NoteOfFormat1 = encoding::decode(path, "a dead letter", note)?;
    Ok((note.into(), record.to_vec()))
}

/// What a part 0 that is stored becomes with another one: refused once more.
pub(super) fn refused_again(stored: &[u8], later: &[u8]) -> Result<Vec<u8>, LogError> {
    let path = Path::new(super::super::state::DIRECTORY);
    let (stored, later) = (FirstPart::read(path, stored)?, FirstPart::read(path, later)?);
    FirstPart { note: stored.note.refused_again(later.note), ..stored }.bytes()
}

/// What is stored of a letter of format 1, as a letter of this format behind its parts: its note, and the
/// part with which its record is to begin. `None` when it is not one that can be read.
pub(super) fn behind_format_1(
    path: &Path,
    parts: &[(u16, impl AsRef<[u8]>)],
) -> Option<(Note, u16)> {
    let (_, first) = parts.first()?;
    let ([FORMAT_1, length @ ..], _) = first.as_ref().split_first_chunk::<5>()? else {
        return None;
    };
    let bytes = (u32::from_le_bytes(*length) as usize).checked_add(5)?;
    let (note, _) = split_format_1(path, &joined(parts, 0)).ok()?;
    Some((note, u16::try_from(bytes.div_ceil(VALUE_LIMIT)).ok()?))
}

fn check_format(path: &Path, format: u8) -> Result<(), LogError> {
    match format {
        0 => Err(LogError::damaged(path, "a dead letter")),
        FORMAT_1 | FORMAT => Ok(()),
        // sled has checked its checksum over these bytes: it was written like this.
        newer => Err(LogError::newer_entry(path, "a dead letter", newer, FORMAT)),
    }
}

/// A letter is an event with a few words: far below 4 GiB.
fn length(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// Sink, letter and part of a key.
pub(super) fn place(key: &[u8]) -> Option<(&str, LetterId, u16)> {
    let mut parts = Parts::of(key).filter(|_| key.first() == Some(&keys::LETTER))?;
    let sink = parts.name()?;
    let id = LetterId { stream: parts.stream()?, position: parts.position()? };
    Some((sink, id, parts.part()?))
}
