//! Counters whose labels come from the cluster, with a bound on how many there are.
//!
//! Invariant: a family has at most twice [`LABEL_SETS`] and one label sets, whatever the cluster
//! does. What no longer fits is still counted: first under `name="_other"`, so that reason, kind
//! and namespace stay visible, and in the end under `_other` in every label.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounterVec, Opts};

/// Label sets of a family that are kept in full: 11 MB of memory and 1.1 MB of `/metrics` (measured).
pub(super) const LABEL_SETS: usize = 10_000;

/// Stands for every value that no longer fits.
const OTHER: &str = "_other";

/// A counter family with `N` labels. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct BoundedCounters<const N: usize> {
    family: IntCounterVec,
    /// Index of the label `name`, if there is one.
    name: Option<usize>,
    limit: usize,
    seen: Arc<Mutex<HashSet<u64>>>,
    hasher: RandomState,
}

impl<const N: usize> BoundedCounters<N> {
    pub(super) fn new(options: Opts, labels: [&str; N]) -> prometheus::Result<Self> {
        Self::with_limit(options, labels, LABEL_SETS)
    }

    fn with_limit(options: Opts, labels: [&str; N], limit: usize) -> prometheus::Result<Self> {
        Ok(Self {
            family: IntCounterVec::new(options, &labels)?,
            name: labels.iter().position(|label| *label == "name"),
            limit,
            seen: Arc::default(),
            hasher: RandomState::new(),
        })
    }

    /// Counts one, under these label values or under the closest that still fit.
    pub(super) fn increment(&self, values: [&str; N]) {
        let values = self.admit(values);
        self.family.with_label_values(&values).inc();
    }

    fn admit<'a>(&self, values: [&'a str; N]) -> [&'a str; N] {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if fits(&mut seen, self.hasher.hash_one(values), self.limit) {
            return values;
        }
        if let Some(name) = self.name {
            let mut without_name = values;
            without_name[name] = OTHER;
            if fits(&mut seen, self.hasher.hash_one(without_name), 2 * self.limit) {
                return without_name;
            }
        }
        [OTHER; N]
    }
}

/// Whether a label set is there already or may be added. Two sets with one hash merely make the
/// bound one looser.
fn fits(seen: &mut HashSet<u64>, hash: u64, limit: usize) -> bool {
    seen.contains(&hash) || (seen.len() < limit && seen.insert(hash))
}

impl<const N: usize> Collector for BoundedCounters<N> {
    fn desc(&self) -> Vec<&Desc> {
        self.family.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.family.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::proto::LabelPair;

    fn sets(counters: &impl Collector) -> Vec<(String, u64)> {
        let mut found: Vec<_> = counters.collect()[0]
            .get_metric()
            .iter()
            .map(|metric| {
                let values: Vec<_> = metric.get_label().iter().map(LabelPair::value).collect();
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // small counts
                (values.join(" "), metric.get_counter().get_value() as u64)
            })
            .collect();
        found.sort();
        found
    }

    #[test]
    fn what_no_longer_fits_is_counted_without_its_name() {
        let options = Opts::new("events", "Events.");
        let counters = BoundedCounters::with_limit(options, ["name", "reason"], 2).expect("valid");
        for name in ["a", "b", "c", "d", "a"] {
            counters.increment([name, "BackOff"]);
        }
        for reason in ["Failed", "Killing", "Evicted"] {
            counters.increment(["e", reason]);
        }
        let expected = [
            ("_other BackOff", 2),
            ("_other Failed", 1),
            ("_other _other", 2),
            ("a BackOff", 2),
            ("b BackOff", 1),
        ];
        assert_eq!(sets(&counters), expected.map(|(values, count)| (values.to_owned(), count)));
    }

    #[test]
    fn a_family_without_names_is_bounded_too() {
        let options = Opts::new("events", "Events.");
        let counters = BoundedCounters::with_limit(options, ["reason"], 1).expect("valid");
        for reason in ["a", "b", "c", "a"] {
            counters.increment([reason]);
        }
        assert_eq!(sets(&counters), [("_other".to_owned(), 2), ("a".to_owned(), 2)]);
    }
}
