//! Groups of equal records that a sink tells as one: what was taken from the log and is not told yet, and
//! since when a thing has been quiet.
//!
//! A sink has a fixed number of places for groups, which are used again and again, so that this part of
//! the state does not grow however many things there were.
//!
//! Invariant: a record is in a group as of the commit in which the cursor passes it.

use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Cursor;
use super::encoding::{decode, time};
use super::keys::{self, Key, Parts};
use super::state::{Memory, State};
use crate::event::{EventObject, Header, Position, Record, StreamId};
use crate::log::{Database, LogError};

/// What records of a group have in common, as a digest.
pub type GroupId = [u8; 16];

/// Records about the same thing.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// What they have in common.
    pub id: GroupId,
    /// The newest of them, without what is too long to be kept.
    pub newest: Record,
    /// How many are not told yet; 0 while the thing is quiet.
    pub records: u64,
    /// When the first of those happened.
    pub first: Timestamp,
    /// When the last of those happened.
    pub last: Timestamp,
    /// When they are told, or, while the thing is quiet, when it is forgotten.
    pub due: Timestamp,
}

/// A place of a sink with the group in it, or `None` when it is free.
pub type Slot = (u16, Option<Group>);

/// Longest event of a group as it is kept, in bytes: a value of the database has a limit.
const EVENT_LIMIT: usize = 8 << 10;

/// A group as it is stored; times in milliseconds since 1970.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    id: GroupId,
    stream: StreamId,
    position: Position,
    received_at: i64,
    event: Vec<u8>,
    records: u64,
    first: i64,
    last: i64,
    due: i64,
}

impl State {
    /// The groups of a sink, with their places.
    #[must_use]
    pub fn groups(&self, sink: &str) -> Vec<(u16, Group)> {
        let memory = self.memory();
        let places = memory.groups.range((sink.to_owned(), 0)..=(sink.to_owned(), u16::MAX));
        places.map(|((_, place), group)| (*place, group.clone())).collect()
    }

    /// Number of records that are in groups of a sink and not told yet.
    #[must_use]
    pub fn grouped(&self, sink: &str) -> u64 {
        let memory = self.memory();
        let places = memory.groups.range((sink.to_owned(), 0)..=(sink.to_owned(), u16::MAX));
        places.map(|(_, group)| group.records).sum()
    }

    /// Puts groups into their places.
    pub fn put_groups(&self, sink: &str, slots: Vec<Slot>) {
        self.memory().put_groups(sink, slots);
    }

    /// Moves a cursor past records that are in these groups now.
    pub fn move_cursor_into_groups(
        &self,
        sink: &str,
        stream: &StreamId,
        cursor: Cursor,
        slots: Vec<Slot>,
    ) {
        let mut memory = self.memory();
        memory.put_groups(sink, slots);
        memory.move_cursor(sink, stream, cursor, Vec::new());
    }
}

impl Memory {
    fn put_groups(&mut self, sink: &str, slots: Vec<Slot>) {
        for (place, group) in slots {
            let key = Key::new(keys::GROUP).name(sink).part(place).bytes();
            self.put(key, &group.as_ref().map(Stored::of));
            match group {
                Some(group) => drop(self.groups.insert((sink.to_owned(), place), group)),
                None => drop(self.groups.remove(&(sink.to_owned(), place))),
            }
        }
    }

    pub(super) fn load_groups(&mut self, database: &Database) -> Result<(), LogError> {
        let path = database.path();
        for (key, value) in database.with_prefix(&[keys::GROUP])? {
            let damaged = || LogError::damaged(path, "an entry cannot be decoded");
            let mut parts = Parts::of(&key).ok_or_else(damaged)?;
            let sink = parts.name().ok_or_else(damaged)?.to_owned();
            let place = parts.part().ok_or_else(damaged)?;
            if let Some(group) = read(path, &value)? {
                self.groups.insert((sink, place), group);
            }
        }
        Ok(())
    }
}

/// Reads a stored value; `None` is a place that is free.
pub(super) fn read(path: &Path, value: &[u8]) -> Result<Option<Group>, LogError> {
    let stored: Option<Stored> = decode(path, "a group", value)?;
    let damaged = || LogError::damaged(path, "an entry cannot be decoded");
    stored.map(|stored| stored.group().ok_or_else(damaged)).transpose()
}

impl Group {
    /// A record as it is kept in a group.
    #[must_use]
    pub fn keepable(record: Record) -> Record {
        if record.body.len() <= EVENT_LIMIT {
            return record;
        }
        let body = record.event().shortened(EVENT_LIMIT).to_json().into();
        Record { body, ..record }
    }
}

impl Stored {
    fn of(group: &Group) -> Self {
        Self {
            id: group.id,
            stream: group.newest.stream.clone(),
            position: group.newest.position.clone(),
            received_at: group.newest.received_at.as_millisecond(),
            event: group.newest.body.to_vec(),
            records: group.records,
            first: group.first.as_millisecond(),
            last: group.last.as_millisecond(),
            due: group.due.as_millisecond(),
        }
    }

    fn group(self) -> Option<Group> {
        let newest = Record {
            stream: self.stream,
            position: self.position,
            received_at: time(self.received_at)?,
            header: Header::of(&EventObject::parse(&self.event)),
            body: self.event.into(),
        };
        Some(Group {
            id: self.id,
            newest,
            records: self.records,
            first: time(self.first)?,
            last: time(self.last)?,
            due: time(self.due)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Generation;
    use crate::log::VALUE_LIMIT;
    use serde_json::json;

    fn group(message: &str) -> Group {
        let event = json!({
            "metadata": {"name": "\"\u{2}".repeat(40_000), "labels": {"a": "b"}}, "reason": "BackOff",
            "involvedObject": {"kind": "Pod", "name": "web"}, "type": "Warning", "message": message,
            "count": 7, "lastTimestamp": "2024-05-01T02:00:00Z",
        });
        let event = EventObject::from_value(event);
        let newest = Group::keepable(Record {
            stream: StreamId::all_namespaces(),
            position: Position::new(Generation(1), "42".parse().expect("a version")),
            received_at: Timestamp::from_second(1_700_000_000).expect("a time"),
            header: Header::of(&event),
            body: event.to_json().into(),
        });
        let header = Header::of(&newest.event());
        let at = |second| Timestamp::from_second(second).expect("a time");
        let newest = Record { header, ..newest };
        Group { id: [7; 16], newest, records: 3, first: at(1), last: at(2), due: at(3) }
    }

    #[test]
    fn a_group_is_stored_as_it_is_and_never_too_long() {
        for message in ["short", &"é".repeat(100_000), &"\"\\\u{1}".repeat(9_000)] {
            let group = group(message);
            let value = super::super::encoding::encode(&Some(Stored::of(&group))).expect("a value");
            assert!(value.len() <= VALUE_LIMIT, "{}", value.len());
            let event = group.newest.event();
            assert_eq!((event.count(), event.text("/reason")), (7, "BackOff"));
            assert!(event.text("/message").starts_with(&message[..2]));
            assert_eq!(Stored::of(&group).group(), Some(group));
        }
    }
}
