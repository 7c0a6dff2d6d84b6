//! Reading letters, a few at a time: all of them need not fit into memory.

use std::collections::HashMap;
use std::path::Path;

use super::super::keys::{self, Key};
use super::stored::place;
use super::{DeadLetter, LetterId, LetterTally};
use crate::event::{Position, ResourceVersion};
use crate::log::{Database, LogError};

/// Bytes of values after which a page ends.
const PAGE_BYTES: usize = 1 << 20;

/// All parts of one letter, in order; the first is number 0.
pub(super) struct Stored {
    pub(super) id: LetterId,
    pub(super) parts: Vec<(u16, Vec<u8>)>,
}

impl Stored {
    pub(super) fn bytes(&self) -> usize {
        self.parts.iter().map(|(_, value)| value.len()).sum()
    }

    fn read(&self, path: &Path, sink: &str) -> Result<DeadLetter, LogError> {
        DeadLetter::from_parts(path, sink, &self.id.stream, &self.parts)
    }
}

/// The letters behind one of them.
pub(super) fn page(
    database: &Database,
    sink: &str,
    after: Option<&LetterId>,
    limit: usize,
) -> Result<Vec<DeadLetter>, LogError> {
    let mut letters = Vec::new();
    if limit == 0 {
        return Ok(letters);
    }
    let mut bytes = 0;
    each_behind(database, sink, after, |stored| {
        bytes += stored.bytes();
        letters.push(stored.read(database.path(), sink)?);
        Ok(letters.len() < limit && bytes < PAGE_BYTES)
    })?;
    Ok(letters)
}

/// Reads every letter of a sink.
pub(in crate::cursor) fn each(database: &Database, sink: &str) -> Result<(), LogError> {
    each_behind(database, sink, None, |stored| {
        stored.read(database.path(), sink).map(|_letter| true)
    })
}

/// Shows the letters behind one of them, as long as `show` wants more.
pub(super) fn each_behind(
    database: &Database,
    sink: &str,
    after: Option<&LetterId>,
    mut show: impl FnMut(Stored) -> Result<bool, LogError>,
) -> Result<(), LogError> {
    let all = Key::new(keys::LETTER).name(sink).bytes();
    // No letter has so many parts.
    let mut above = after.map_or_else(|| all.clone(), |id| id.key(sink).part(u16::MAX).bytes());
    let mut current: Option<Stored> = None;
    while let Some((key, value)) = database.above(&above)?.filter(|(key, _)| key.starts_with(&all))
    {
        let (_, id, part) =
            place(&key).ok_or_else(|| LogError::damaged(database.path(), "a key"))?;
        if current.as_ref().is_some_and(|current| current.id != id)
            && let Some(whole) = current.take()
            && !show(whole)?
        {
            return Ok(());
        }
        match &mut current {
            Some(letter) => letter.parts.push((part, value.to_vec())),
            // Parts without their first are remains.
            None if part == 0 => {
                current = Some(Stored { id, parts: vec![(part, value.to_vec())] });
            }
            None => {}
        }
        above = key.to_vec();
    }
    current.map_or(Ok(()), |last| show(last).map(drop))
}

/// One letter.
pub(super) fn one(
    database: &Database,
    sink: &str,
    id: &LetterId,
) -> Result<Option<DeadLetter>, LogError> {
    stored(database, sink, id)?.map(|stored| stored.read(database.path(), sink)).transpose()
}

/// All that is stored of a letter that is there.
pub(super) fn stored(
    database: &Database,
    sink: &str,
    id: &LetterId,
) -> Result<Option<Stored>, LogError> {
    let mut parts = Vec::new();
    for (key, value) in database.with_prefix(&id.key(sink).bytes())? {
        if let Some((_, _, part)) = place(&key) {
            parts.push((part, value.to_vec()));
        }
    }
    let is_there = parts.first().is_some_and(|(part, _)| *part == 0);
    Ok(is_there.then(|| Stored { id: id.clone(), parts }))
}

/// The letters of a sink with this resourceVersion: one look into each history of each stream.
pub(super) fn with_version(
    database: &Database,
    sink: &str,
    version: &ResourceVersion,
) -> Result<Vec<LetterId>, LogError> {
    let all = Key::new(keys::LETTER).name(sink).bytes();
    let mut found = Vec::new();
    let mut above = all.clone();
    while let Some((key, _)) = database.above(&above)?.filter(|(key, _)| key.starts_with(&all)) {
        let (_, LetterId { stream, position }, _) =
            place(&key).ok_or_else(|| LogError::damaged(database.path(), "a key"))?;
        let generation = position.generation;
        let id = LetterId { stream, position: Position::new(generation, version.clone()) };
        if database.get(&id.first_part(sink))?.is_some() {
            found.push(id.clone());
        }
        above = behind_generation(sink, &id);
    }
    Ok(found)
}

/// A key above all letters of a stream's generation: no version has so many digits.
fn behind_generation(sink: &str, id: &LetterId) -> Vec<u8> {
    let mut key = Key::new(keys::LETTER).name(sink).name(id.stream.as_str()).bytes();
    key.extend_from_slice(&id.position.generation.0.to_be_bytes());
    key.push(u8::MAX);
    key
}

/// The oldest letter of each stream and generation of a sink.
pub(super) fn heads(database: &Database, sink: &str) -> Result<Vec<Stored>, LogError> {
    let mut heads: Vec<Stored> = Vec::new();
    let all = Key::new(keys::LETTER).name(sink).bytes();
    let mut above = all.clone();
    while let Some((key, _)) = database.above(&above)?.filter(|(key, _)| key.starts_with(&all)) {
        let (_, id, _) = place(&key).ok_or_else(|| LogError::damaged(database.path(), "a key"))?;
        above = match stored(database, sink, &id)? {
            Some(head) => {
                heads.push(head);
                behind_generation(sink, &id)
            }
            None => key.to_vec(),
        };
    }
    Ok(heads)
}

/// How many letters each sink has, and their bytes.
pub(in crate::cursor) fn tallies(
    database: &Database,
) -> Result<HashMap<String, LetterTally>, LogError> {
    let mut tallies: HashMap<String, LetterTally> = HashMap::new();
    each_part(database, |sink, _, begun, value| {
        if begun {
            let tally = tallies.entry(sink.to_owned()).or_default();
            tally.records += u64::from(value.0 == 0);
            tally.bytes += value.1.len() as u64;
        }
    })?;
    Ok(tallies)
}

/// Keys of parts without their first: what a crash has left.
pub(in crate::cursor) fn left_over(database: &Database) -> Result<Vec<Vec<u8>>, LogError> {
    let mut keys = Vec::new();
    each_part(database, |_, key, begun, _| {
        if !begun {
            keys.push(key.to_vec());
        }
    })?;
    Ok(keys)
}

/// Shows every part: its sink, its key, whether its letter is there, number and value.
fn each_part(
    database: &Database,
    mut show: impl FnMut(&str, &[u8], bool, (u16, &[u8])),
) -> Result<(), LogError> {
    let mut letter: Vec<u8> = Vec::new();
    database.each_pair(&Key::new(keys::LETTER).bytes(), |key, value| {
        let Some((sink, _, part)) = place(key) else { return };
        let own = key.len().saturating_sub(size_of::<u16>());
        if part == 0 {
            letter = key.get(..own).unwrap_or_default().to_vec();
        }
        show(sink, key, key.get(..own) == Some(&*letter), (part, value));
    })
}
