//! Sinks that an operator has paused: they stay paused across restarts.

use serde::{Deserialize, Serialize};

use super::encoding::decode;
use super::keys::{self, Key};
use super::state::{Memory, State};
use crate::log::{Database, LogError};

/// What is stored for a paused sink.
#[derive(Debug, Serialize, Deserialize)]
struct Stored;

impl State {
    /// Whether an operator has paused the sink.
    #[must_use]
    pub fn is_paused(&self, sink: &str) -> bool {
        self.memory().paused.contains(sink)
    }

    /// Pauses the sink, or lets it go on.
    pub fn set_paused(&self, sink: &str, paused: bool) {
        let mut memory = self.memory();
        let key = Key::new(keys::PAUSED).name(sink).bytes();
        if paused {
            memory.put(key, &Stored);
            memory.paused.insert(sink.to_owned());
        } else if memory.paused.remove(sink) {
            memory.remove(key);
        }
    }
}

impl Memory {
    pub(super) fn load_paused(&mut self, database: &Database) -> Result<(), LogError> {
        let path = database.path();
        let damaged = || LogError::damaged(path, "an entry cannot be decoded");
        for (key, value) in database.with_prefix(&[keys::PAUSED])? {
            let Stored = decode(path, "a paused sink", &value)?;
            let sink = keys::Parts::of(&key).and_then(|mut parts| parts.name()).map(str::to_owned);
            self.paused.insert(sink.ok_or_else(damaged)?);
        }
        Ok(())
    }
}
