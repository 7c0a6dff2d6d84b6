//! Equal records told as one.
//!
//! The first record of a thing waits a while for others, then all are told. What comes after that is told
//! when the thing has gone on for some time, and when nothing comes in that time it is forgotten.
//!
//! Invariants:
//! 1. The records told and those in groups are all that were taken in.
//! 2. There is a bounded number of groups; when they are all used, the quietest is forgotten or the
//!    one that is due next is told early.

use std::collections::{BTreeSet, HashMap};

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

use crate::cursor::{Group, GroupId, Slot};
use crate::event::{Header, Record};
use crate::sink::{self, Property, Repeats};

/// Groups of one sink. Each may take some 8 KiB.
const GROUPS_MAX: u16 = 500;

/// The groups of one sink.
#[derive(Debug)]
pub(crate) struct Grouping {
    /// `None`: groups that are there are told, and no others begin.
    settings: Option<sink::Grouping>,
    slots: Vec<Option<Group>>,
    known: HashMap<GroupId, u16>,
    changed: BTreeSet<u16>,
}

impl Grouping {
    /// Goes on with the groups an earlier life has left.
    pub(crate) fn new(settings: Option<sink::Grouping>, left: Vec<(u16, Group)>) -> Self {
        let mut grouping =
            Self { settings, slots: Vec::new(), known: HashMap::new(), changed: BTreeSet::new() };
        for (place, group) in left {
            let index = usize::from(place);
            if grouping.slots.len() <= index {
                grouping.slots.resize(index + 1, None);
            }
            grouping.known.insert(group.id, place);
            grouping.slots[index] = Some(group);
        }
        grouping
    }

    /// Whether records are put into groups. Otherwise there are groups from before that was switched off.
    pub(crate) fn takes_in(&self) -> bool {
        self.settings.is_some()
    }

    /// Takes a record in; false when there is no room for another thing.
    pub(crate) fn take_in(&mut self, record: &Record, now: Timestamp) -> bool {
        let Some(settings) = self.settings.clone() else { return false };
        let id = id_of(&record.header, &settings.by);
        let seen = record.event().last_seen().unwrap_or(record.received_at);
        if let Some(place) = self.known.get(&id).copied()
            && let Some(group) = self.at(place)
        {
            let quiet = group.records == 0;
            if quiet && group.due <= now {
                group.due = later(now, settings.wait);
            }
            group.first = if quiet { seen } else { group.first.min(seen) };
            group.last = if quiet { seen } else { group.last.max(seen) };
            group.records += 1;
            group.newest = Group::keepable(record.clone());
            return true;
        }
        let Some(place) = self.free_place(now) else { return false };
        let due = later(now, settings.wait);
        let newest = Group::keepable(record.clone());
        self.known.insert(id, place);
        self.slots[usize::from(place)] =
            Some(Group { id, newest, records: 1, first: seen, last: seen, due });
        self.changed.insert(place);
        true
    }

    /// The places of groups to be told now, the longest due first.
    pub(crate) fn due(&mut self, now: Timestamp) -> Vec<u16> {
        self.forget_quiet(now);
        let mut due: Vec<_> = self.loud().filter(|(due, _)| *due <= now).collect();
        due.sort_unstable();
        due.into_iter().map(|(_, place)| place).collect()
    }

    /// When the next group is to be told.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        self.loud().map(|(due, _)| due).min()
    }

    /// The group at a place, as a sink gets it.
    pub(crate) fn get(&self, place: u16) -> Option<(&Record, Repeats)> {
        let group = self.slots.get(usize::from(place))?.as_ref()?;
        let Group { records, first, last, .. } = *group;
        Some((&group.newest, Repeats { records, first, last }))
    }

    /// A group was told, or refused for good. It is told again when it goes on.
    pub(crate) fn told(&mut self, place: u16, now: Timestamp) {
        let Some(settings) = self.settings.clone() else { return self.forget(place) };
        if let Some(group) = self.at(place) {
            group.records = 0;
            group.due = later(now, settings.repeat);
        }
    }

    /// What has changed since it was last asked.
    pub(crate) fn take_changed(&mut self) -> Vec<Slot> {
        let changed = std::mem::take(&mut self.changed);
        changed.into_iter().map(|place| (place, self.slots[usize::from(place)].clone())).collect()
    }

    /// When each group that has something to tell is due.
    fn loud(&self) -> impl Iterator<Item = (Timestamp, u16)> {
        let places = (0..).zip(&self.slots);
        places.filter_map(|(place, group)| {
            group.as_ref().filter(|group| group.records > 0).map(|group| (group.due, place))
        })
    }

    fn at(&mut self, place: u16) -> Option<&mut Group> {
        self.changed.insert(place);
        self.slots.get_mut(usize::from(place))?.as_mut()
    }

    fn free_place(&mut self, now: Timestamp) -> Option<u16> {
        let places = || (0..).zip(&self.slots);
        if let Some((place, _)) = places().find(|(_, group)| group.is_none()) {
            return Some(place);
        }
        if self.slots.len() < usize::from(GROUPS_MAX) {
            self.slots.push(None);
            return u16::try_from(self.slots.len() - 1).ok();
        }
        let quiet = places().filter_map(|(place, group)| Some((group.as_ref()?, place)));
        let quietest = quiet.filter(|(group, _)| group.records == 0);
        if let Some((_, place)) = quietest.min_by_key(|(group, _)| group.due) {
            self.forget(place);
            return Some(place);
        }
        let (_, next) = self.loud().min()?;
        if let Some(group) = self.at(next) {
            group.due = group.due.min(now);
        }
        None
    }

    fn forget_quiet(&mut self, now: Timestamp) {
        let quiet = |group: &Group| group.records == 0 && group.due <= now;
        let places: Vec<u16> = (0..)
            .zip(&self.slots)
            .filter(|(_, group)| group.as_ref().is_some_and(quiet))
            .map(|(place, _)| place)
            .collect();
        for place in places {
            self.forget(place);
        }
    }

    fn forget(&mut self, place: u16) {
        if let Some(group) = self.slots[usize::from(place)].take() {
            self.known.remove(&group.id);
            self.changed.insert(place);
        }
    }
}

/// A digest of what equal records have in common.
fn id_of(header: &Header, by: &[Property]) -> GroupId {
    let mut digest = Sha256::new();
    for property in by {
        let value = match property {
            Property::Namespace => &header.namespace,
            Property::Kind => &header.kind,
            Property::Name => &header.name,
            Property::Reason => &header.reason,
            Property::Type => &header.event_type,
        };
        digest.update(value.len().to_be_bytes());
        digest.update(value);
    }
    let mut id = GroupId::default();
    id.copy_from_slice(&digest.finalize()[..size_of::<GroupId>()]);
    id
}

fn later(now: Timestamp, span: crate::setting::Span) -> Timestamp {
    let span = SignedDuration::try_from(span.0).unwrap_or(SignedDuration::MAX);
    now.saturating_add(span).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::runner::fixtures::record;
    use proptest::prelude::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + second).expect("a time")
    }

    fn about(name: u64) -> Record {
        let record = record(name + 1);
        let header = Header { name: format!("web-{name}"), ..record.header.clone() };
        Record { header, ..record }
    }

    fn take_in(grouping: &mut Grouping, name: u64, second: i64) {
        assert!(grouping.take_in(&about(name), at(second)), "there is room");
    }

    fn records(grouping: &Grouping, place: u16) -> u64 {
        grouping.get(place).expect("a group").1.records
    }

    #[test]
    fn a_thing_is_told_after_a_wait_and_again_while_it_goes_on() {
        let mut grouping = Grouping::new(Some(sink::Grouping::default()), vec![]);
        take_in(&mut grouping, 1, 0);
        take_in(&mut grouping, 2, 3);
        take_in(&mut grouping, 1, 5);
        assert_eq!((grouping.next_due(), grouping.due(at(9))), (Some(at(10)), vec![]));
        assert_eq!(grouping.due(at(10)), [0]);
        assert_eq!(records(&grouping, 0), 2);
        grouping.told(0, at(10));
        assert_eq!(grouping.due(at(13)), [1]);
        grouping.told(1, at(13));
        take_in(&mut grouping, 1, 60);
        take_in(&mut grouping, 1, 600);
        assert_eq!((grouping.due(at(609)), grouping.due(at(610))), (vec![], vec![0]));
        assert_eq!(records(&grouping, 0), 2);
        grouping.told(0, at(610));
        // The other one was quiet until 613 and is forgotten then: it begins anew.
        assert!(grouping.due(at(613)).is_empty());
        take_in(&mut grouping, 2, 614);
        assert_eq!(grouping.next_due(), Some(at(624)));
    }

    #[test]
    fn when_all_places_are_used_the_quietest_goes_and_then_the_next_is_told_early() {
        let mut grouping = Grouping::new(Some(sink::Grouping::default()), vec![]);
        for name in 0..u64::from(GROUPS_MAX) {
            take_in(&mut grouping, name, 0);
        }
        assert!(!grouping.take_in(&about(9_999), at(1)));
        let early = grouping.due(at(1));
        assert_eq!(early.len(), 1, "told early");
        grouping.told(early[0], at(1));
        take_in(&mut grouping, 9_999, 2);
        assert_eq!(records(&grouping, early[0]), 1, "it took the place of the quiet one");
    }

    #[test]
    fn what_is_left_is_told_although_groups_are_switched_off() {
        let mut before = Grouping::new(Some(sink::Grouping::default()), vec![]);
        take_in(&mut before, 1, 0);
        let left = before.take_changed().into_iter();
        let left = left.filter_map(|(place, group)| Some((place, group?))).collect();
        let mut after = Grouping::new(None, left);
        assert!(!after.takes_in() && !after.known.is_empty());
        assert_eq!(after.due(at(10)), [0]);
        after.told(0, at(10));
        assert!(after.known.is_empty());
        assert_eq!(after.take_changed(), [(0, None)]);
    }

    proptest! {
        #[test]
        fn what_is_told_and_what_is_left_is_all_that_was_taken_in(
            steps in proptest::collection::vec((0u64..6, 0i64..400, any::<bool>()), 1..80),
        ) {
            let mut grouping = Grouping::new(Some(sink::Grouping::default()), vec![]);
            let (mut told, mut now) = (0, 0);
            for (name, pause, restart) in &steps {
                now += pause;
                for place in grouping.due(at(now)) {
                    told += records(&grouping, place);
                    grouping.told(place, at(now));
                }
                take_in(&mut grouping, *name, now);
                if *restart {
                    let kept = (0..).zip(grouping.slots.clone());
                    let kept = kept.filter_map(|(place, group)| Some((place, group?))).collect();
                    grouping = Grouping::new(grouping.settings.clone(), kept);
                }
            }
            let left: u64 = grouping.slots.iter().flatten().map(|group| group.records).sum();
            prop_assert_eq!(told + left, steps.len() as u64);
        }
    }
}
