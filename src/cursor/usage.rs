//! How much of a quota was used: what a restart must not forget, since it opens no fresh window at
//! the service.

use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::encoding::{decode, time};
use super::keys::{self, Key};
use super::state::{Memory, State};
use crate::log::{Database, LogError};

/// The latest messages under one quota.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Usage {
    /// When each of them ended, in order; the last one began then and may still be under way.
    pub messages: Vec<Timestamp>,
    /// Whether the last one was still under way.
    pub under_way: bool,
    /// The service has asked for silence until then.
    pub closed_until: Option<Timestamp>,
}

/// The same as it is stored; times in milliseconds since 1970, each but the first as the distance
/// from the one before.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    messages: Vec<i64>,
    under_way: bool,
    closed_until: Option<i64>,
}

impl State {
    /// What is known of a quota.
    #[must_use]
    pub fn usage(&self, quota: &str) -> Option<Usage> {
        self.memory().usages.get(quota).cloned()
    }

    /// Notes how much of a quota is used.
    pub fn note_usage(&self, quota: &str, usage: Usage) {
        let mut memory = self.memory();
        memory.put(Key::new(keys::USAGE).name(quota).bytes(), &Stored::of(&usage));
        memory.usages.insert(quota.to_owned(), usage);
    }
}

impl Memory {
    pub(super) fn load_usages(&mut self, database: &Database) -> Result<(), LogError> {
        let path = database.path();
        let damaged = || LogError::damaged(path, "an entry cannot be decoded");
        for (key, value) in database.with_prefix(&[keys::USAGE])? {
            let quota = keys::Parts::of(&key).and_then(|mut parts| parts.name()).map(str::to_owned);
            self.usages.insert(quota.ok_or_else(damaged)?, read(path, &value)?);
        }
        Ok(())
    }
}

/// Reads a stored value.
pub(super) fn read(path: &Path, value: &[u8]) -> Result<Usage, LogError> {
    let stored: Stored = decode(path, "the usage of a quota", value)?;
    stored.usage().ok_or_else(|| LogError::damaged(path, "an entry cannot be decoded"))
}

impl Stored {
    fn of(usage: &Usage) -> Self {
        let mut before = 0;
        let mut distance = |at: &Timestamp| {
            let at = at.as_millisecond();
            at - std::mem::replace(&mut before, at)
        };
        Self {
            messages: usage.messages.iter().map(&mut distance).collect(),
            under_way: usage.under_way,
            closed_until: usage.closed_until.map(Timestamp::as_millisecond),
        }
    }

    fn usage(&self) -> Option<Usage> {
        let mut at = 0_i64;
        let mut moment = |distance: &i64| {
            at = at.checked_add(*distance)?;
            time(at)
        };
        Some(Usage {
            messages: self.messages.iter().map(&mut moment).collect::<Option<_>>()?,
            under_way: self.under_way,
            closed_until: match self.closed_until {
                Some(at) => Some(time(at)?),
                None => None,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_stored_as_it_is() {
        let at = |milliseconds| Timestamp::from_millisecond(milliseconds).expect("a time");
        let usage = Usage {
            messages: vec![at(1_700_000_000_000), at(1_700_000_003_333), at(1_700_000_003_000)],
            under_way: true,
            closed_until: Some(at(1_700_000_600_000)),
        };
        assert_eq!(Stored::of(&usage).usage(), Some(usage));
    }
}
