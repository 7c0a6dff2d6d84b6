//! Records that a sink is done with although its cursor stands before them.
//!
//! A digest takes records from all over a batch, and a service may refuse the first record and accept the
//! second. Invariant: together with the cursor they say exactly what is done, as of the same commit.

use super::encoding::decode;
use super::keys::{self, Key};
use super::state::{Memory, State, sink_and_stream};
use crate::event::{Position, StreamId};
use crate::log::{Database, LogError};

/// Positions that are kept for one cursor: a value of the database has a limit. What is above it is
/// delivered again after a restart.
const AHEAD_LIMIT: usize = 500;

impl State {
    /// Positions beyond the sink's cursor that are done, in order.
    #[must_use]
    pub fn ahead(&self, sink: &str, stream: &StreamId) -> Vec<Position> {
        self.memory().ahead.get(&(sink.to_owned(), stream.clone())).cloned().unwrap_or_default()
    }
}

impl Memory {
    pub(super) fn set_ahead(&mut self, sink: &str, stream: &StreamId, mut ahead: Vec<Position>) {
        ahead.truncate(AHEAD_LIMIT);
        let place = (sink.to_owned(), stream.clone());
        let known = self.ahead.get(&place).map(Vec::as_slice).unwrap_or_default();
        if known != ahead {
            self.put(Key::new(keys::AHEAD).name(sink).name(stream.as_str()).bytes(), &ahead);
            self.ahead.insert(place, ahead);
        }
    }

    pub(super) fn load_ahead(&mut self, database: &Database) -> Result<(), LogError> {
        let path = database.path();
        for (key, value) in database.with_prefix(&[keys::AHEAD])? {
            let damaged = || LogError::damaged(path, "an entry cannot be decoded");
            let place = sink_and_stream(&key).ok_or_else(damaged)?;
            self.ahead.insert(place, decode(path, "what is done ahead of a cursor", &value)?);
        }
        Ok(())
    }
}
