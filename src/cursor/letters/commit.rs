//! What a commit does with letters: writes them, changes them, removes them.

use std::collections::HashMap;

use super::super::keys;
use super::super::writer::{Pending, REMOVED};
use super::scan::{Stored, heads, stored, tallies};
use super::stored::{FirstPart, behind_format_1, place, refused_again};
use super::{LetterId, LetterTally};
use crate::log::{Database, LogError};

/// By how much the counts of a sink were wrong.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cursor) struct Difference {
    pub(in crate::cursor) sink: String,
    pub(in crate::cursor) records: i64,
    pub(in crate::cursor) bytes: i64,
}

/// What waits of one letter: its parts, in order.
struct Waiting<'a> {
    sink: &'a str,
    id: LetterId,
    parts: Vec<(u16, &'a [u8])>,
}

/// Writes the letters among what is pending. Each was counted as a new one; returned is what was not.
pub(in crate::cursor) fn write(
    database: &Database,
    pending: &Pending,
) -> Result<Vec<Difference>, LogError> {
    let mut differences = Vec::new();
    for waiting in waiting(pending) {
        let counted = match waiting.parts.first() {
            Some((0, value)) if *value != REMOVED => (1, size(&waiting.parts)),
            // Of a letter that is removed other parts may be left from before.
            Some((0, _)) => (0, 0),
            _ => remove_remains(database, &waiting)?,
        };
        let (records, bytes) = waiting.apply(database)?;
        let (records, bytes) = (records - counted.0, bytes - counted.1);
        if (records, bytes) != (0, 0) {
            differences.push(Difference { sink: waiting.sink.to_owned(), records, bytes });
        }
    }
    Ok(differences)
}

/// How many letters there are with those that are pending, and their bytes.
pub(in crate::cursor) fn count(
    database: &Database,
    pending: &Pending,
) -> Result<HashMap<String, LetterTally>, LogError> {
    let mut tallies = tallies(database)?;
    for waiting in waiting(pending) {
        let is_new = matches!(waiting.parts.first(), Some((0, value)) if *value != REMOVED);
        if is_new && database.get(&waiting.key(0))?.is_none() {
            let tally = tallies.entry(waiting.sink.to_owned()).or_default();
            tally.records += 1;
            tally.bytes = tally.bytes.saturating_add_signed(size(&waiting.parts));
        }
    }
    Ok(tallies)
}

fn waiting(pending: &Pending) -> Vec<Waiting<'_>> {
    let mut all: Vec<Waiting<'_>> = Vec::new();
    for (key, value) in pending.range(vec![keys::LETTER]..vec![keys::LETTER + 1]) {
        let Some((sink, id, part)) = place(key) else { continue };
        match all.last_mut().filter(|last| last.sink == sink && last.id == id) {
            Some(last) => last.parts.push((part, value)),
            None => all.push(Waiting { sink, id, parts: vec![(part, value)] }),
        }
    }
    all
}

/// Parts without their first: only their removal is ever pending.
fn remove_remains(database: &Database, waiting: &Waiting<'_>) -> Result<(i64, i64), LogError> {
    for (part, _) in waiting.parts.iter().filter(|(_, value)| *value == REMOVED) {
        database.remove(&waiting.key(*part))?;
    }
    Ok((0, 0))
}

impl Waiting<'_> {
    fn key(&self, part: u16) -> Vec<u8> {
        self.id.key(self.sink).part(part).bytes()
    }

    /// Returns by how many letters and bytes there are more now.
    fn apply(&self, database: &Database) -> Result<(i64, i64), LogError> {
        let Some((0, first)) = self.parts.first() else { return Ok((0, 0)) };
        let before = stored(database, self.sink, &self.id)?;
        match &before {
            Some(stored) if *first == REMOVED => remove(database, self.sink, stored)?,
            None if *first == REMOVED => {}
            Some(stored) => self.change(database, stored, first)?,
            None => self.write(database, first, 1)?,
        }
        let after = stored(database, self.sink, &self.id)?;
        let count = |stored: &Option<Stored>| match stored {
            Some(stored) => (1, i64::try_from(stored.bytes()).unwrap_or(i64::MAX)),
            None => (0, 0),
        };
        let ((had, before), (has, after)) = (count(&before), count(&after));
        Ok((has - had, after - before))
    }

    /// The record with its first part at a number, then part 0.
    fn write(&self, database: &Database, first: &[u8], record: u16) -> Result<(), LogError> {
        for (part, value) in self.parts.iter().skip(1).rev() {
            let key = self.key(part.saturating_add(record - 1));
            if *value == REMOVED { database.remove(&key) } else { database.insert(&key, value) }?;
        }
        database.insert(&self.key(0), first)
    }

    /// It is there: the record is the same, refused once more.
    fn change(&self, database: &Database, stored: &Stored, first: &[u8]) -> Result<(), LogError> {
        let path = database.path();
        let before = stored.parts.first().map(|(_, value)| value.as_slice()).unwrap_or_default();
        if let Some((note, record)) = behind_format_1(path, &stored.parts) {
            let later = FirstPart::read(path, first)?;
            let note = note.refused_again(later.note);
            let first = FirstPart { record, length: later.length, note }.bytes()?;
            self.write(database, &first, record)?;
            let remains = stored.parts.iter().skip(1).filter(|(part, _)| *part < record);
            return remains.into_iter().try_for_each(|(part, _)| database.remove(&self.key(*part)));
        }
        match refused_again(before, first) {
            Ok(again) => database.insert(&self.key(0), &again),
            // What cannot be read is replaced by what can.
            Err(LogError::Damaged { .. }) => self.write(database, first, 1),
            Err(error) => Err(error),
        }
    }
}

/// The first part first: without it the others are no letter.
fn remove(database: &Database, sink: &str, stored: &Stored) -> Result<(), LogError> {
    let key = stored.id.key(sink);
    let mut parts = stored.parts.iter();
    parts.try_for_each(|(part, _)| database.remove(&key.clone().part(*part).bytes()))
}

/// Removes the oldest letters of a sink until there are no more than `most`. Returns what was removed.
pub(in crate::cursor) fn trim(
    database: &Database,
    sink: &str,
    mut tally: LetterTally,
    most: LetterTally,
) -> Result<LetterTally, LogError> {
    let mut removed = LetterTally::default();
    while tally.exceeds(most) {
        let path = database.path();
        let first_at = |head: &Stored| {
            let first = head.parts.first().map(|(_, value)| value.as_slice()).unwrap_or_default();
            match behind_format_1(path, &head.parts) {
                Some((note, _)) => note.first_at,
                None => FirstPart::read(path, first).map_or(i64::MIN, |first| first.note.first_at),
            }
        };
        let Some(oldest) = heads(database, sink)?.into_iter().min_by_key(first_at) else { break };
        remove(database, sink, &oldest)?;
        let bytes = oldest.bytes() as u64;
        tally.records = tally.records.saturating_sub(1);
        tally.bytes = tally.bytes.saturating_sub(bytes);
        removed.records += 1;
        removed.bytes += bytes;
    }
    Ok(removed)
}

fn size(parts: &[(u16, &[u8])]) -> i64 {
    let bytes: usize = parts.iter().map(|(_, value)| value.len()).sum();
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
