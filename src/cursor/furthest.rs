//! How far streams are known to have been: a log that ends before has lost its end.
//!
//! Invariant: nothing is noted or delivered before it is durable in the log.

use std::collections::BTreeMap;

use super::State;
use super::state::Memory;
use crate::event::{Position, StreamId};

impl State {
    /// How far the stream is known to have been: its frontier when that was last noted, or the furthest
    /// cursor.
    #[must_use]
    pub fn furthest(&self, stream: &StreamId) -> Option<Position> {
        self.0.memory().furthest().remove(stream)
    }
}

impl Memory {
    pub(super) fn furthest(&self) -> BTreeMap<StreamId, Position> {
        let noted = self.marks.iter().filter_map(|(id, mark)| Some((id, mark.frontier.as_ref()?)));
        let cursors = self.cursors.iter();
        let passed = cursors.filter_map(|((_, id), cursor)| Some((id, cursor.position.as_ref()?)));
        let mut furthest = BTreeMap::new();
        for (id, position) in noted.chain(passed) {
            further(&mut furthest, id, position);
        }
        furthest
    }
}

/// The stream has been there.
pub(super) fn further(
    furthest: &mut BTreeMap<StreamId, Position>,
    id: &StreamId,
    position: &Position,
) {
    let known = furthest.entry(id.clone()).or_insert_with(|| position.clone());
    if position > known {
        known.clone_from(position);
    }
}
