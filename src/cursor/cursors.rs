//! Where sinks stand in streams: reading and moving their cursors.

use super::state::State;
use super::{Cursor, replays};
use crate::event::{Position, StreamId};

impl State {
    /// The cursor of a sink in a stream; `None` when the sink has never been there.
    #[must_use]
    pub fn cursor(&self, sink: &str, stream: &StreamId) -> Option<Cursor> {
        self.memory().cursors.get(&(sink.to_owned(), stream.clone())).cloned()
    }

    /// The same as of the last sync: what a power cut leaves. Only up to here may records be removed.
    #[must_use]
    pub fn durable_cursor(&self, sink: &str, stream: &StreamId) -> Option<Cursor> {
        self.memory().durable.get(&(sink.to_owned(), stream.clone())).cloned()
    }

    /// All cursors of sinks: sink, stream, cursor. Those of replays are not among them.
    #[must_use]
    pub fn cursors(&self) -> Vec<(String, StreamId, Cursor)> {
        let memory = self.memory();
        let of_sinks = memory.cursors.iter().filter(|((name, _), _)| !replays::is_replay(name));
        of_sinks
            .map(|((sink, stream), cursor)| (sink.clone(), stream.clone(), cursor.clone()))
            .collect()
    }

    /// Moves a cursor. Nothing beyond it is done.
    pub fn move_cursor(&self, sink: &str, stream: &StreamId, cursor: Cursor) {
        self.move_cursor_with(sink, stream, cursor, Vec::new());
    }

    /// Moves a cursor beyond which the records at the positions `ahead` are done.
    pub fn move_cursor_with(
        &self,
        sink: &str,
        stream: &StreamId,
        cursor: Cursor,
        ahead: Vec<Position>,
    ) {
        self.memory().move_cursor(sink, stream, cursor, ahead);
    }
}
