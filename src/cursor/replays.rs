//! Replays: ranges of the log that are sent to a sink again, beside its live stream.
//!
//! Invariants:
//! 1. A replay stays until it has ended, across restarts; of those that have ended the latest few stay.
//! 2. No number is given twice.
//! 3. How far a replay has got is in cursors of its own, under a name that no sink can have. They are
//!    removed after its end is durable, so that no crash lets it begin anew.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::encoding::{decode, time};
use super::keys::{self, Key};
use super::state::{Memory, State};
use super::{Cursor, Place};
use crate::event::{Match, Position, StreamId};
use crate::log::{Database, LogError};
use crate::setting::RecordRate;

/// Of the replays that have ended, so many are kept.
const ENDED_MAX: usize = 20;

/// Longest text of who asked, in bytes: a value of the database has a limit.
const TEXT_LIMIT: usize = 200;

/// In front of the number in the name of a replay's cursors. No sink has a `/` in its name.
const NAME: &str = "replay/";

/// A range of the log to be sent to a sink again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    /// The sink.
    pub sink: String,
    /// What of each stream; the streams it has nothing of are not there.
    pub ranges: Vec<ReplayRange>,
    /// Which of the records in them, of those that the sink wants.
    pub filter: Match,
    /// How fast at most.
    pub rate: RecordRate,
    /// When it was asked for.
    pub asked_at: Timestamp,
    /// Who asked for it.
    pub asked_by: String,
    /// Records of it that were not in the log any more.
    pub lost: u64,
    /// How it has ended.
    pub end: Option<ReplayEnd>,
}

/// A half-open range: the records behind one place, up to and with another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayRange {
    /// The stream.
    pub stream: StreamId,
    /// They lie behind this.
    pub after: Place,
    /// The last of them lies here or before.
    pub until: Place,
}

/// How a replay has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplayEnd {
    /// When.
    pub at: Timestamp,
    /// Whether an operator has ended it.
    pub cancelled: bool,
    /// How many records it had passed.
    pub passed: u64,
}

/// The same as it is stored; times in milliseconds, those of the clock since 1970.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    sink: String,
    ranges: Vec<(String, Place, Place)>,
    /// JSON.
    filter: String,
    records: u32,
    per: u64,
    asked_at: i64,
    asked_by: String,
    lost: u64,
    end: Option<(i64, bool, u64)>,
}

/// The name of a replay's cursors.
fn name_of(number: u64) -> String {
    format!("{NAME}{number}")
}

/// Whether this names the cursors of a replay.
pub(super) fn is_replay(name: &str) -> bool {
    name.starts_with(NAME)
}

impl Replay {
    /// Records of the log in its ranges, before filtering.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.ranges.iter().map(ReplayRange::records).sum()
    }
}

impl ReplayRange {
    /// Records of the log in it.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.until.sequence.saturating_sub(self.after.sequence)
    }

    /// Records of the log in it up to a place.
    fn passed(&self, place: &Place) -> u64 {
        let reached = place.sequence.clamp(self.after.sequence, self.until.sequence);
        reached.saturating_sub(self.after.sequence)
    }
}

impl State {
    /// Keeps a new replay. Returns its number.
    #[must_use]
    pub fn add_replay(&self, replay: Replay) -> u64 {
        let mut memory = self.memory();
        let number = memory.next_replay_number();
        memory.put_replay(number, replay);
        number
    }

    /// The number that the next replay will have.
    #[must_use]
    pub fn next_replay_number(&self) -> u64 {
        self.memory().next_replay_number()
    }

    /// All replays that are kept, oldest first.
    #[must_use]
    pub fn replays(&self) -> Vec<(u64, Replay)> {
        let memory = self.memory();
        memory.replays.iter().map(|(number, replay)| (*number, replay.clone())).collect()
    }

    /// The replay with this number.
    #[must_use]
    pub fn replay(&self, number: u64) -> Option<Replay> {
        self.memory().replays.get(&number).cloned()
    }

    /// The oldest replay of a sink that has not ended.
    #[must_use]
    pub fn next_replay(&self, sink: &str) -> Option<(u64, Replay)> {
        let memory = self.memory();
        let mut open = memory.replays.iter().filter(|(_, replay)| replay.end.is_none());
        let found = open.find(|(_, replay)| replay.sink == sink);
        found.map(|(number, replay)| (*number, replay.clone()))
    }

    /// How far a replay has got in a range of it.
    #[must_use]
    pub fn replayed_until(&self, number: u64, range: &ReplayRange) -> Place {
        self.memory().replayed_until(number, range)
    }

    /// Records beyond that which are done.
    #[must_use]
    pub fn replayed_ahead(&self, number: u64, stream: &StreamId) -> Vec<Position> {
        self.ahead(&name_of(number), stream)
    }

    /// Records of its ranges that a replay has passed.
    #[must_use]
    pub fn replayed(&self, number: u64) -> u64 {
        self.memory().replayed(number)
    }

    /// Whether a replay has passed all of its ranges.
    #[must_use]
    pub fn is_replayed(&self, number: u64) -> bool {
        let memory = self.memory();
        memory.replays.get(&number).is_none_or(|replay| {
            let passed = |range: &ReplayRange| {
                memory.replayed_until(number, range).position >= range.until.position
            };
            replay.ranges.iter().all(passed)
        })
    }

    /// Moves the cursor of a replay.
    pub fn move_replay(
        &self,
        number: u64,
        stream: &StreamId,
        cursor: Cursor,
        ahead: Vec<Position>,
    ) {
        self.move_cursor_with(&name_of(number), stream, cursor, ahead);
    }

    /// Notes that records of a replay are not in the log any more.
    pub fn lose_in_replay(&self, number: u64, records: u64) {
        let mut memory = self.memory();
        let Some(mut replay) = memory.replays.get(&number).cloned() else { return };
        replay.lost += records;
        memory.put_replay(number, replay);
    }

    /// Ends a replay, durably, unless it has ended or the volume is full: then it is durable soon.
    pub async fn end_replay(&self, number: u64, cancelled: bool) -> Result<(), LogError> {
        self.memory().end_replay(number, cancelled);
        match self.sync().await {
            // The cursors are dropped with the next start.
            Err(LogError::Full { .. }) => return Ok(()),
            synced => synced?,
        }
        self.memory().drop_cursors_of_no_replay();
        Ok(())
    }

    /// Up to where the replays of these sinks have read a stream, durably: what lies behind is needed.
    #[must_use]
    pub fn replays_in(&self, sinks: &[&str], stream: &StreamId) -> Vec<Option<Position>> {
        let memory = self.memory();
        let open = memory
            .replays
            .iter()
            .filter(|(_, replay)| replay.end.is_none() && sinks.contains(&replay.sink.as_str()));
        let needs = open.flat_map(|(number, replay)| {
            let ranges = replay.ranges.iter().filter(|range| range.stream == *stream);
            ranges.filter_map(|range| {
                let cursor = memory.durable.get(&(name_of(*number), stream.clone()));
                let reached = cursor.map_or(&range.after.position, |cursor| &cursor.position);
                let needs = *reached < range.until.position;
                needs.then(|| reached.clone())
            })
        });
        needs.collect()
    }
}

impl Memory {
    fn next_replay_number(&self) -> u64 {
        self.replays.last_key_value().map_or(1, |(number, _)| number + 1)
    }

    fn put_replay(&mut self, number: u64, replay: Replay) {
        self.put(key(number), &Stored::of(&replay));
        self.replays.insert(number, replay);
    }

    fn replayed_until(&self, number: u64, range: &ReplayRange) -> Place {
        let cursor = self.cursors.get(&(name_of(number), range.stream.clone()));
        cursor.map_or_else(|| range.after.clone(), Place::from)
    }

    fn replayed(&self, number: u64) -> u64 {
        let Some(replay) = self.replays.get(&number) else { return 0 };
        if let Some(end) = &replay.end {
            return end.passed;
        }
        let passed = |range: &ReplayRange| range.passed(&self.replayed_until(number, range));
        replay.ranges.iter().map(passed).sum()
    }

    /// Ends a replay, unless it has ended already. The oldest that have ended make room.
    pub(super) fn end_replay(&mut self, number: u64, cancelled: bool) {
        let passed = self.replayed(number);
        let Some(mut replay) = self.replays.get(&number).cloned() else { return };
        if replay.end.is_some() {
            return;
        }
        replay.end = Some(ReplayEnd { at: Timestamp::now(), cancelled, passed });
        self.put_replay(number, replay);
        let newest = self.next_replay_number() - 1;
        let ended = self.replays.iter().filter(|(_, replay)| replay.end.is_some());
        let ended: Vec<_> = ended.map(|(number, _)| *number).collect();
        let surplus = ended.len().saturating_sub(ENDED_MAX);
        for old in ended.into_iter().take(surplus).filter(|number| *number != newest) {
            self.replays.remove(&old);
            self.remove(key(old));
        }
    }

    /// Removes the cursors of replays that have ended, or are not known: the database may have been lost.
    pub(super) fn drop_cursors_of_no_replay(&mut self) {
        let open = |name: &str| {
            let number = name.strip_prefix(NAME).and_then(|number| number.parse().ok());
            let replay = number.and_then(|number: u64| self.replays.get(&number));
            replay.is_some_and(|replay| replay.end.is_none())
        };
        let of_none: Vec<_> = self
            .cursors
            .keys()
            .chain(self.ahead.keys())
            .filter(|(name, _)| is_replay(name) && !open(name))
            .cloned()
            .collect();
        for place in of_none {
            for tag in [keys::CURSOR, keys::AHEAD] {
                self.remove(Key::new(tag).name(&place.0).name(place.1.as_str()).bytes());
            }
            self.cursors.remove(&place);
            self.ahead.remove(&place);
        }
    }

    pub(super) fn load_replays(&mut self, database: &Database) -> Result<(), LogError> {
        let path = database.path();
        let damaged = || LogError::damaged(path, "an entry cannot be decoded");
        for (key, value) in database.with_prefix(&[keys::REPLAY])? {
            let number = keys::Parts::of(&key).and_then(|mut parts| parts.number());
            self.replays.insert(number.ok_or_else(damaged)?, read(path, &value)?);
        }
        Ok(())
    }
}

fn key(number: u64) -> Vec<u8> {
    Key::new(keys::REPLAY).number(number).bytes()
}

/// Reads a stored value.
pub(super) fn read(path: &Path, value: &[u8]) -> Result<Replay, LogError> {
    let stored: Stored = decode(path, "a replay", value)?;
    stored.replay().ok_or_else(|| LogError::damaged(path, "an entry cannot be decoded"))
}

impl Stored {
    fn of(replay: &Replay) -> Self {
        let range = |range: &ReplayRange| {
            (range.stream.to_string(), range.after.clone(), range.until.clone())
        };
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self {
            sink: replay.sink.clone(),
            ranges: replay.ranges.iter().map(range).collect(),
            // A map of texts and lists of texts: it can always be written.
            filter: serde_json::to_string(&replay.filter).unwrap_or_default(),
            records: replay.rate.records(),
            per: milliseconds(replay.rate.per()),
            asked_at: replay.asked_at.as_millisecond(),
            asked_by: crate::event::render::cut(&replay.asked_by, TEXT_LIMIT).into_owned(),
            lost: replay.lost,
            end: replay.end.map(|end| (end.at.as_millisecond(), end.cancelled, end.passed)),
        }
    }

    fn replay(self) -> Option<Replay> {
        let range = |(stream, after, until): (String, Place, Place)| {
            Some(ReplayRange { stream: stream.parse().ok()?, after, until })
        };
        let end = |(at, cancelled, passed)| Some(ReplayEnd { at: time(at)?, cancelled, passed });
        Some(Replay {
            sink: self.sink,
            ranges: self.ranges.into_iter().map(range).collect::<Option<_>>()?,
            filter: serde_json::from_str(&self.filter).ok()?,
            rate: RecordRate::new(self.records, Duration::from_millis(self.per))?,
            asked_at: time(self.asked_at)?,
            asked_by: self.asked_by,
            lost: self.lost,
            end: match self.end {
                Some(stored) => Some(end(stored)?),
                None => None,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::log::DataDirectory;

    fn open(directory: &Path) -> State {
        let directory = DataDirectory::open(directory, Duration::ZERO).expect("directory");
        State::open(Arc::new(directory)).expect("state")
    }

    /// The lock of the directory ends with the last handle.
    async fn close(state: State) {
        state.close().await.expect("close");
    }

    fn place(version: u64) -> Place {
        Place { position: format!("0.{version}").parse().ok(), sequence: version }
    }

    fn cursor(version: u64) -> Cursor {
        let Place { position, sequence } = place(version);
        Cursor { position, sequence, updated_at: Timestamp::UNIX_EPOCH }
    }

    fn stream() -> StreamId {
        StreamId::all_namespaces()
    }

    fn replay(sink: &str, after: u64, until: u64) -> Replay {
        let range = ReplayRange { stream: stream(), after: place(after), until: place(until) };
        Replay {
            sink: sink.to_owned(),
            ranges: vec![range],
            filter: serde_json::from_str(r#"{"type":"Warning"}"#).expect("a match"),
            rate: "20/s".parse().expect("a rate"),
            asked_at: Timestamp::from_millisecond(1_700_000_000_000).expect("a time"),
            asked_by: "127.0.0.1:4711".to_owned(),
            lost: 0,
            end: None,
        }
    }

    #[tokio::test]
    async fn a_replay_and_how_far_it_is_survive_a_restart() {
        let directory = tempfile::tempdir().expect("a directory");
        let state = open(directory.path());
        let expected = replay("oncall", 10, 30);
        let number = state.add_replay(expected.clone());
        assert_eq!((number, state.replayed(number)), (1, 0));
        state.move_replay(number, &stream(), cursor(17), vec!["0.19".parse().expect("one")]);
        close(state).await;

        let state = open(directory.path());
        assert_eq!(state.next_replay("oncall"), Some((number, expected.clone())));
        assert_eq!(state.next_replay("archive"), None);
        assert_eq!((state.replayed(number), state.is_replayed(number)), (7, false));
        assert_eq!(state.replayed_until(number, &expected.ranges[0]), place(17));
        assert_eq!(state.replayed_ahead(number, &stream()).len(), 1);
        assert_eq!(state.cursors(), [], "they are no sink's");
        state.move_replay(number, &stream(), cursor(30), Vec::new());
        assert!(state.is_replayed(number));
        close(state).await;
    }

    #[tokio::test]
    async fn the_end_of_a_replay_is_kept_and_its_cursors_are_not() {
        let directory = tempfile::tempdir().expect("a directory");
        let state = open(directory.path());
        let number = state.add_replay(replay("oncall", 10, 30));
        state.move_replay(number, &stream(), cursor(17), Vec::new());
        state.lose_in_replay(number, 3);
        state.end_replay(number, true).await.expect("ended");
        state.end_replay(number, false).await.expect("it has ended already");
        close(state).await;

        let state = open(directory.path());
        let ended = state.replay(number).expect("kept");
        assert_eq!(ended.end.map(|end| (end.cancelled, end.passed)), Some((true, 7)));
        assert_eq!((ended.lost, state.replayed(number)), (3, 7));
        assert!(state.memory().cursors.is_empty());
        assert_eq!(state.add_replay(replay("oncall", 1, 2)), 2);
        close(state).await;
    }

    #[tokio::test]
    async fn the_oldest_that_have_ended_make_room_and_no_number_comes_twice() {
        let directory = tempfile::tempdir().expect("a directory");
        let state = open(directory.path());
        let open_one = state.add_replay(replay("oncall", 1, 9));
        for expected in 2..=40 {
            let number = state.add_replay(replay("oncall", 1, 9));
            assert_eq!(number, expected);
            state.end_replay(number, false).await.expect("ended");
        }
        let kept: Vec<_> = state.replays().into_iter().map(|(number, _)| number).collect();
        assert_eq!(kept.len(), ENDED_MAX + 1);
        assert_eq!((kept[0], kept[1], kept[ENDED_MAX]), (open_one, 21, 40));
        close(state).await;
    }

    #[tokio::test]
    async fn the_log_is_needed_behind_what_a_replay_has_durably_read() {
        let directory = tempfile::tempdir().expect("a directory");
        let state = open(directory.path());
        let needs = |state: &State, sink| state.replays_in(&[sink], &stream());
        let number = state.add_replay(replay("oncall", 10, 30));
        let at = |version| vec![place(version).position];
        assert_eq!(needs(&state, "oncall"), at(10));
        assert_eq!(needs(&state, "archive"), []);
        state.move_replay(number, &stream(), cursor(17), Vec::new());
        state.sync().await.expect("durable");
        assert_eq!(needs(&state, "oncall"), at(17));
        state.end_replay(number, true).await.expect("ended");
        assert_eq!(needs(&state, "oncall"), []);
        close(state).await;
    }
}
