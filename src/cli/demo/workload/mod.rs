//! A believable stream of events: rollouts, crash loops, full nodes, jobs.
//!
//! Invariant: a seed and the times it is asked at determine every byte. Benchmarks and tests use
//! it too, so it knows neither clock nor terminal.

mod cluster;
mod event;
mod pace;
mod random;
mod story;

pub use pace::Pace;

use std::collections::VecDeque;

use jiff::Timestamp;
use serde_json::Value;

use event::{Draft, Occurrence};
use random::Random;

/// Repeating events at one time; a new one replaces the oldest.
const REPEATING: usize = 24;

/// Makes events, one at a time, without end.
#[derive(Debug)]
pub struct Workload {
    random: Random,
    upcoming: VecDeque<Draft>,
    repeating: VecDeque<Occurrence>,
}

impl Workload {
    /// The stream of events that belongs to `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            upcoming: VecDeque::new(),
            repeating: VecDeque::with_capacity(REPEATING),
        }
    }

    /// The next event, as of `now`: an object of core/v1 for
    /// [`EventStore::put`](super::api_server::EventStore::put). About every third one is an
    /// event seen before with a higher count.
    pub fn next_event(&mut self, now: Timestamp) -> Value {
        let again = !self.repeating.is_empty() && self.random.below(3) == 0;
        if again { self.happen_again(now) } else { self.happen(now) }
    }

    fn happen(&mut self, now: Timestamp) -> Value {
        let draft = loop {
            match self.upcoming.pop_front() {
                Some(draft) => break draft,
                None => self.upcoming.extend(story::any(&mut self.random)),
            }
        };
        let mut occurrence = Occurrence::new(draft, &mut self.random, now);
        let event = occurrence.happen(now);
        self.keep(occurrence);
        event
    }

    fn happen_again(&mut self, now: Timestamp) -> Value {
        let chosen = self.random.below(self.repeating.len());
        let Some(mut occurrence) = self.repeating.remove(chosen) else { return self.happen(now) };
        let event = occurrence.happen(now);
        self.keep(occurrence);
        event
    }

    fn keep(&mut self, occurrence: Occurrence) {
        if !occurrence.will_repeat() {
            return;
        }
        if self.repeating.len() == REPEATING {
            self.repeating.pop_front();
        }
        self.repeating.push_back(occurrence);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventObject, Record};
    use std::collections::BTreeSet;

    fn events(seed: u64, count: usize) -> Vec<Value> {
        let mut workload = Workload::new(seed);
        let start: Timestamp = "2026-01-02T03:04:05Z".parse().expect("a time");
        (0..count as u64)
            .map(|second| workload.next_event(start + std::time::Duration::from_secs(second)))
            .collect()
    }

    #[test]
    fn a_seed_determines_every_byte() {
        assert_eq!(events(7, 500), events(7, 500));
        assert_ne!(events(7, 500), events(8, 500));
    }

    #[test]
    fn the_relay_can_store_every_event() {
        for mut event in events(1, 2_000) {
            event["metadata"]["resourceVersion"] = "1".into();
            let (_, header, body) =
                Record::parse_event(event.to_string().as_bytes()).expect("an event");
            let object = EventObject::parse(&body);
            assert_eq!(header.uid.len(), 36, "{event}");
            assert!(!header.kind.is_empty() && !header.name.is_empty(), "{event}");
            assert!(!object.text("/message").is_empty(), "{event}");
            assert!(object.last_seen().is_some(), "{event}");
            assert!(!object.text("/reportingComponent").is_empty(), "{event}");
        }
    }

    #[test]
    fn it_is_varied() {
        let events: Vec<_> = events(1, 2_000).into_iter().map(EventObject::from_value).collect();
        let distinct = |pointer: &str| {
            events.iter().map(|event| event.text(pointer)).collect::<BTreeSet<_>>().len()
        };
        assert!(distinct("/reason") >= 20, "{} reasons", distinct("/reason"));
        assert_eq!(distinct("/type"), 2);
        assert!(distinct("/involvedObject/kind") >= 5);
        let updates = events.iter().filter(|event| event.count() > 1).count();
        assert!((400..900).contains(&updates), "{updates} updates of counts");
        assert_eq!(distinct("/metadata/uid"), events.len() - updates);
    }

    #[test]
    fn counts_of_one_object_grow_by_one() {
        let mut counts = std::collections::BTreeMap::new();
        for event in events(3, 2_000).into_iter().map(EventObject::from_value) {
            let count = counts.entry(event.text("/metadata/name").to_owned()).or_insert(0);
            *count += 1;
            assert_eq!(event.count(), *count, "{event:?}");
        }
    }
}
