//! What operators have changed: when, from where, what, and how it was before and after.
//!
//! Invariants: an entry is durable no later than what it tells of is visible after a restart; the oldest
//! entries make room for new ones.

use std::path::Path;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::encoding::{decode, time};
use super::keys::{self, Key};
use super::state::{Memory, State};
use crate::log::{Database, LogError};

/// So many entries are kept.
const ENTRIES_MAX: u64 = 1_000;

/// Longest text of an entry, in bytes: a value of the database has a limit.
const TEXT_LIMIT: usize = 2_000;

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditEntry {
    /// When it was made.
    pub at: Timestamp,
    /// From where: an address, or the user of a command on the relay's own directory.
    pub from: String,
    /// What was done: `cursor seek`.
    pub action: String,
    /// With what: the name of a sink.
    pub subject: String,
    /// How it was before.
    pub before: String,
    /// How it was afterwards.
    pub after: String,
    /// What follows from it.
    pub effect: String,
}

/// An entry as it is stored; time in milliseconds since 1970.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    at: i64,
    texts: [String; 6],
}

impl State {
    /// Keeps an entry; durable no later than any change made after this call. Returns its number.
    #[allow(clippy::must_use_candidate)] // few entries are amended
    pub fn note_change(&self, entry: AuditEntry) -> u64 {
        let mut memory = self.memory();
        let number = memory.audit.last_key_value().map_or(0, |(number, _)| number + 1);
        memory.put(key(number), &Stored::of(&entry));
        memory.audit.insert(number, entry);
        if let Some(oldest) = number.checked_sub(ENTRIES_MAX)
            && memory.audit.remove(&oldest).is_some()
        {
            memory.remove(key(oldest));
        }
        number
    }

    /// What came of a change is known only now.
    pub fn amend_change(&self, number: u64, after: String, effect: String) {
        let mut memory = self.memory();
        let Some(entry) = memory.audit.get_mut(&number) else { return };
        *entry = AuditEntry { after, effect, ..entry.clone() };
        let stored = Stored::of(entry);
        memory.put(key(number), &stored);
    }

    /// The newest entry about this.
    #[must_use]
    pub fn last_change(&self, action: &str, subject: &str) -> Option<AuditEntry> {
        let memory = self.memory();
        let mut entries = memory.audit.values().rev();
        entries.find(|entry| entry.action == action && entry.subject == subject).cloned()
    }

    /// All entries that are kept, oldest first.
    #[must_use]
    pub fn changes(&self) -> Vec<AuditEntry> {
        self.memory().audit.values().cloned().collect()
    }
}

fn key(number: u64) -> Vec<u8> {
    Key::new(keys::AUDIT).number(number).bytes()
}

impl Memory {
    pub(super) fn load_audit(&mut self, database: &Database) -> Result<(), LogError> {
        let path = database.path();
        let damaged = || LogError::damaged(path, "an entry cannot be decoded");
        for (key, value) in database.with_prefix(&[keys::AUDIT])? {
            let number = keys::Parts::of(&key).and_then(|mut parts| parts.number());
            self.audit.insert(number.ok_or_else(damaged)?, read(path, &value)?);
        }
        Ok(())
    }
}

/// Reads a stored value.
pub(super) fn read(path: &Path, value: &[u8]) -> Result<AuditEntry, LogError> {
    let Stored { at, texts } = decode(path, "an audit entry", value)?;
    let [from, action, subject, before, after, effect] = texts;
    let at = time(at).ok_or_else(|| LogError::damaged(path, "an entry cannot be decoded"))?;
    Ok(AuditEntry { at, from, action, subject, before, after, effect })
}

impl Stored {
    fn of(entry: &AuditEntry) -> Self {
        let AuditEntry { at, from, action, subject, before, after, effect } = entry;
        let texts = [from, action, subject, before, after, effect];
        let texts = texts.map(|text| crate::event::render::cut(text, TEXT_LIMIT).into_owned());
        Self { at: at.as_millisecond(), texts }
    }
}
