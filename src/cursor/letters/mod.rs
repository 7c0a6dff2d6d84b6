//! Dead letters: records that a sink has refused for good.
//!
//! Invariants:
//! 1. A letter is there once its first part is, and then whole. The first part is written last and removed
//!    first, so a crash in the middle leaves parts that nobody looks at, and that the next start removes.
//! 2. A letter that is refused again changes by its first part alone, which is one value: it is as it was
//!    before, or as it is afterwards.
//! 3. Letters are counted as soon as they are buried, and no longer once their removal is durable.

mod commit;
mod config;
mod scan;
mod stored;
#[cfg(test)]
mod tests;

pub use config::{DeadLettersConfig, LettersFull};

pub(super) use commit::{Difference, count, trim, write};
pub(super) use scan::{each, left_over, tallies};

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use super::keys::{self, Key};
use super::state::{Memory, State};
use super::writer::{Pending, REMOVED, Request};
use crate::event::{Position, Record, ResourceVersion, StreamId};
use crate::log::LogError;

/// A record a sink has refused for good, kept until an operator retries or discards it.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadLetter {
    /// The sink.
    pub sink: String,
    /// The record.
    pub record: Record,
    /// The service's words, when it last refused it.
    pub reason: String,
    /// How often it was refused.
    pub attempts: u64,
    /// When it was first refused.
    pub first_at: Timestamp,
    /// When it was last refused.
    pub last_at: Timestamp,
}

/// Which of a sink's letters: `STREAM/GENERATION.RV`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LetterId {
    /// The stream of the record.
    pub stream: StreamId,
    /// Its position.
    pub position: Position,
}

/// How many letters there are, and how many bytes they take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LetterTally {
    /// Number of letters.
    pub records: u64,
    /// Bytes of their values in the database.
    pub bytes: u64,
}

/// The text does not name a letter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} does not name a dead letter; write STREAM/GENERATION.RV as `dead-letter list` shows it, \
     such as all-namespaces/0.4711"
)]
pub struct InvalidLetterId(String);

impl DeadLetter {
    /// A record that a sink has refused once.
    #[must_use]
    pub fn new(sink: String, record: Record, reason: String, at: Timestamp) -> Self {
        Self { sink, record, reason, attempts: 1, first_at: at, last_at: at }
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> LetterId {
        let Record { stream, position, .. } = &self.record;
        LetterId { stream: stream.clone(), position: position.clone() }
    }
}

impl LetterId {
    /// The key of the letter, to which the number of a part is added.
    fn key(&self, sink: &str) -> Key {
        Key::new(keys::LETTER).name(sink).name(self.stream.as_str()).position(&self.position)
    }

    fn first_part(&self, sink: &str) -> Vec<u8> {
        self.key(sink).part(0).bytes()
    }
}

impl fmt::Display for LetterId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.stream, self.position)
    }
}

impl FromStr for LetterId {
    type Err = InvalidLetterId;

    fn from_str(text: &str) -> Result<Self, InvalidLetterId> {
        let invalid = || InvalidLetterId(text.to_owned());
        let (stream, position) = text.rsplit_once('/').ok_or_else(invalid)?;
        let stream = stream.parse().map_err(|_| invalid())?;
        Ok(Self { stream, position: position.parse().map_err(|_| invalid())? })
    }
}

impl JsonSchema for LetterId {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "LetterId".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        String::json_schema(generator)
    }
}

impl TryFrom<String> for LetterId {
    type Error = InvalidLetterId;

    fn try_from(text: String) -> Result<Self, InvalidLetterId> {
        text.parse()
    }
}

impl From<LetterId> for String {
    fn from(id: LetterId) -> Self {
        id.to_string()
    }
}

impl State {
    /// Keeps what a sink has refused; durable no later than any cursor moved after this call. One that is
    /// there already has been refused once more.
    pub fn bury(&self, letter: &DeadLetter) -> Result<(), LogError> {
        let pairs = letter.pairs()?;
        self.memory().bury(letter, pairs)
    }

    /// Removes a letter, if it is there. Durable soon; counted until then.
    pub fn remove_letter(&self, sink: &str, id: &LetterId) {
        self.memory().remove_letter(sink, id);
    }

    /// Removes the oldest letters of a sink, durably, until there are no more than `most`. Returns what was
    /// removed.
    pub async fn drop_oldest_letters(
        &self,
        sink: &str,
        most: LetterTally,
    ) -> Result<LetterTally, LogError> {
        let sink = sink.to_owned();
        self.ask(|answer| Request::TrimLetters { sink, most, answer }).await?
    }

    /// Letters of a sink, and their bytes.
    #[must_use]
    pub fn letter_tally(&self, sink: &str) -> LetterTally {
        self.memory().letters.get(sink).copied().unwrap_or_default()
    }

    /// Number of dead letters of a sink.
    #[must_use]
    pub fn dead_letter_count(&self, sink: &str) -> u64 {
        self.letter_tally(sink).records
    }

    /// All sinks that have letters, also those that are not configured any more.
    #[must_use]
    pub fn sinks_with_letters(&self) -> Vec<String> {
        let memory = self.memory();
        let some = memory.letters.iter().filter(|(_, tally)| tally.records > 0);
        let mut names: Vec<_> = some.map(|(sink, _)| sink.clone()).collect();
        names.sort_unstable();
        names
    }

    /// The letters of a sink behind one of them, stream by stream, the oldest first: at most `limit`, and no
    /// more than a mebibyte or so of them at once. None when there are no more.
    pub async fn letters_after(
        &self,
        sink: &str,
        after: Option<&LetterId>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, LogError> {
        let (sink, after) = (sink.to_owned(), after.cloned());
        self.read(move |database| scan::page(database, &sink, after.as_ref(), limit)).await
    }

    /// The oldest dead letters of a sink, at most `limit`.
    pub async fn dead_letters(
        &self,
        sink: &str,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, LogError> {
        let mut letters: Vec<DeadLetter> = Vec::new();
        while letters.len() < limit {
            let after = letters.last().map(DeadLetter::id);
            let left = limit - letters.len();
            let page = self.letters_after(sink, after.as_ref(), left).await?;
            if page.is_empty() {
                break;
            }
            letters.extend(page);
        }
        Ok(letters)
    }

    /// One letter of a sink.
    pub async fn letter(&self, sink: &str, id: &LetterId) -> Result<Option<DeadLetter>, LogError> {
        let (sink, id) = (sink.to_owned(), id.clone());
        self.read(move |database| scan::one(database, &sink, &id)).await
    }

    /// The letters of a sink whose record has this resourceVersion.
    pub async fn letters_with_version(
        &self,
        sink: &str,
        version: &ResourceVersion,
    ) -> Result<Vec<LetterId>, LogError> {
        let (sink, version) = (sink.to_owned(), version.clone());
        self.read(move |database| scan::with_version(database, &sink, &version)).await
    }
}

impl Memory {
    fn bury(&mut self, letter: &DeadLetter, mut pairs: Pending) -> Result<(), LogError> {
        let key = letter.id().first_part(&letter.sink);
        let tally = self.letters.entry(letter.sink.clone()).or_default();
        if let Some(waiting) = self.pending.get(&key).filter(|waiting| *waiting != REMOVED) {
            let before = waiting.len() as u64;
            let again = stored::refused_again(waiting, &pairs[&key])?;
            tally.bytes = (tally.bytes + again.len() as u64).saturating_sub(before);
            pairs.insert(key, again);
        } else {
            // One that replaces a stored letter is counted until the writer finds out.
            tally.records += 1;
            tally.bytes += bytes_of(&pairs);
        }
        self.pending.extend(pairs);
        Ok(())
    }

    fn remove_letter(&mut self, sink: &str, id: &LetterId) {
        let (key, first) = (id.key(sink).bytes(), id.first_part(sink));
        let parts = self.pending.range(first.clone()..).map(|(part, _)| part);
        let parts: Vec<_> = parts.take_while(|part| part.starts_with(&key)).cloned().collect();
        let waiting: Pending =
            parts.into_iter().filter_map(|part| self.pending.remove_entry(&part)).collect();
        if waiting.get(&first).is_some_and(|part| part != REMOVED) {
            let tally = self.letters.entry(sink.to_owned()).or_default();
            tally.records = tally.records.saturating_sub(1);
            tally.bytes = tally.bytes.saturating_sub(bytes_of(&waiting));
        }
        self.remove(first);
    }

    /// Counts are corrected by what a commit has found.
    pub(super) fn correct_letters(&mut self, differences: Vec<Difference>) {
        for Difference { sink, records, bytes } in differences {
            let tally = self.letters.entry(sink).or_default();
            tally.records = tally.records.saturating_add_signed(records);
            tally.bytes = tally.bytes.saturating_add_signed(bytes);
        }
    }
}

fn bytes_of(pairs: &Pending) -> u64 {
    pairs.values().map(|value| value.len() as u64).sum()
}
