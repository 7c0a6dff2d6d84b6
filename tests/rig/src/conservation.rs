//! The oracle of delivery: nothing lost, nothing invented, nothing out of order.
//!
//! Invariant checked: C1 every version of an event that was created arrives; C2
//! nothing arrives that was never created; C3 within one run of the relay, versions
//! arrive in order of their resourceVersion, apart from such that arrive again.
//! Duplicates are allowed ("at least once") and counted.

use crate::events::CreatedEvent;
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::fmt;

/// One version of an event: uid and resourceVersion.
pub type Version = (String, u64);

/// What the oracle found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// C1: created and never received.
    pub missing: Vec<Version>,
    /// C2: received and never created.
    pub unknown: Vec<Version>,
    /// C3: received for the first time after a later one, with that one.
    pub out_of_order: Vec<(Version, u64)>,
    /// How many were received again.
    pub duplicates: usize,
    /// How many different ones were received.
    pub distinct: usize,
}

impl Verdict {
    /// Whether C1 to C3 hold.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.missing.is_empty() && self.unknown.is_empty() && self.out_of_order.is_empty()
    }

    /// Panics unless C1 to C3 hold.
    pub fn assert(&self) {
        assert!(self.holds(), "{self}");
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} distinct, {} duplicates; C1: {} missing {:?}; C2: {} unknown {:?}; C3: {} out of order {:?}",
            self.distinct,
            self.duplicates,
            self.missing.len(),
            first(&self.missing),
            self.unknown.len(),
            first(&self.unknown),
            self.out_of_order.len(),
            first(&self.out_of_order),
        )
    }
}

fn first<T>(all: &[T]) -> &[T] {
    &all[..all.len().min(3)]
}

/// Collects what was created and what was received.
#[derive(Debug, Clone, Default)]
pub struct Conservation {
    created: HashSet<Version>,
    runs: Vec<Vec<Version>>,
}

impl Conservation {
    /// Nothing created, nothing received.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// These were created (or changed: every version counts).
    pub fn created<'a>(&mut self, events: impl IntoIterator<Item = &'a CreatedEvent>) {
        let versions = events.into_iter().map(|event| (event.uid.clone(), event.resource_version));
        self.created.extend(versions);
    }

    /// A new run of the relay begins: its order is looked at by itself.
    pub fn new_run(&mut self) {
        self.runs.push(Vec::new());
    }

    /// This was received, in the present run.
    pub fn received(&mut self, uid: &str, resource_version: u64) {
        if self.runs.is_empty() {
            self.new_run();
        }
        let run = self.runs.last_mut().expect("there is a run");
        run.push((uid.to_owned(), resource_version));
    }

    /// This Kubernetes event was received, in the present run.
    pub fn received_object(&mut self, event: &Value) {
        let metadata = &event["metadata"];
        let uid = metadata["uid"].as_str().expect("a uid");
        let version = metadata["resourceVersion"].as_str().expect("a resourceVersion");
        self.received(uid, version.parse().expect("a number"));
    }

    /// Compares.
    #[must_use]
    pub fn check(&self) -> Verdict {
        let mut verdict = Verdict::default();
        let mut seen: HashMap<&Version, usize> = HashMap::new();
        for run in &self.runs {
            let mut newest = 0;
            for version in run {
                let times = seen.entry(version).or_default();
                *times += 1;
                if *times > 1 {
                    verdict.duplicates += 1;
                    continue;
                }
                if !self.created.contains(version) {
                    verdict.unknown.push(version.clone());
                }
                if version.1 < newest {
                    verdict.out_of_order.push((version.clone(), newest));
                }
                newest = newest.max(version.1);
            }
        }
        verdict.distinct = seen.len();
        let missing = self.created.iter().filter(|version| !seen.contains_key(version));
        verdict.missing = missing.cloned().collect();
        verdict.missing.sort_by_key(|version| version.1);
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn created(versions: &[u64]) -> Conservation {
        let mut conservation = Conservation::new();
        conservation.created.extend(versions.iter().map(|version| (String::from("a"), *version)));
        conservation
    }

    #[test]
    fn redelivery_is_counted_and_allowed() {
        let mut conservation = created(&[1, 2, 3]);
        for version in [1, 2, 1, 2, 3] {
            conservation.received("a", version);
        }
        let verdict = conservation.check();
        verdict.assert();
        assert_eq!((verdict.distinct, verdict.duplicates), (3, 2));
    }

    #[test]
    fn loss_invention_and_disorder_are_found() {
        let mut conservation = created(&[1, 2, 3]);
        for version in [3, 1, 9] {
            conservation.received("a", version);
        }
        let verdict = conservation.check();
        assert_eq!(verdict.missing, [("a".into(), 2)]);
        assert_eq!(verdict.unknown, [("a".into(), 9)]);
        assert_eq!(verdict.out_of_order, [(("a".into(), 1), 3)]);
    }

    #[test]
    fn order_is_per_run() {
        let mut conservation = created(&[1, 2]);
        conservation.received("a", 2);
        conservation.new_run();
        conservation.received("a", 1);
        conservation.check().assert();
    }
}
