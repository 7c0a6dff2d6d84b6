//! Forgetting a sink that is not configured any more.

use super::keys::{self, Key};
use super::state::State;

impl State {
    /// Removes all that is known of a sink, but for its dead letters: its cursors, what it has lost, what it has
    /// not told yet, and that it is paused. Its replays are cancelled. As a new sink it would begin with what arrives then.
    pub fn forget(&self, sink: &str) {
        let mut memory = self.memory();
        let streams: Vec<_> = memory
            .cursors
            .keys()
            .chain(memory.ahead.keys())
            .chain(memory.losses.keys())
            .filter(|(name, _)| name == sink)
            .cloned()
            .collect();
        for place in streams {
            for tag in [keys::LOSS, keys::CURSOR, keys::AHEAD] {
                memory.remove(Key::new(tag).name(sink).name(place.1.as_str()).bytes());
            }
            memory.cursors.remove(&place);
            memory.ahead.remove(&place);
            memory.losses.remove(&place);
        }
        let groups: Vec<_> = memory
            .groups
            .keys()
            .filter(|(name, _)| name == sink)
            .map(|(_, place)| *place)
            .collect();
        for place in groups {
            memory.remove(Key::new(keys::GROUP).name(sink).part(place).bytes());
            memory.groups.remove(&(sink.to_owned(), place));
        }
        let replays = memory.replays.iter().filter(|(_, replay)| replay.sink == sink);
        for number in replays.map(|(number, _)| *number).collect::<Vec<_>>() {
            memory.end_replay(number, true);
        }
        memory.remove(Key::new(keys::PAUSED).name(sink).bytes());
        memory.paused.remove(sink);
    }
}
