//! Takes a complete list over into the log.
//!
//! Invariant: records are appended in order of position, none below what is there already and none
//! above the version of the list; what lies above comes with the watch.

use jiff::{SignedDuration, Timestamp};

use super::intake::{Intake, Repair, Stage};
use super::machine::DrainPlan;
use super::parse::Observed;
use crate::event::{EventObject, Generation, Position};
use crate::log::{LogError, NewRecord};

/// Events this much older than what the log covers are not taken over into a new generation: less
/// would mistake a clock that runs differently for age.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_mins(5);

/// Places the events of a page in a generation.
pub(super) fn placed(
    events: Vec<Observed>,
    generation: Generation,
    received_at: Timestamp,
) -> Vec<NewRecord> {
    let place = |event: Observed| NewRecord {
        position: Position::new(generation, event.resource_version),
        received_at,
        header: event.header,
        body: event.body,
    };
    events.into_iter().map(place).collect()
}

/// Which records of a list are new to the log.
pub(super) struct Selection<'a> {
    plan: &'a DrainPlan,
    /// Only what was last seen after this time.
    newer_than: Option<Timestamp>,
}

impl<'a> Selection<'a> {
    /// `log_covers_since` is the oldest time the log still covers, when it is known.
    pub(super) fn new(plan: &'a DrainPlan, log_covers_since: Option<Timestamp>) -> Self {
        let forgotten = log_covers_since
            .filter(|_| plan.replaced)
            .and_then(|since| since.checked_sub(CLOCK_TOLERANCE).ok());
        Self { plan, newer_than: plan.since.max(forgotten) }
    }

    /// By position and age. An event that does not say when it was seen is kept.
    pub(super) fn wants(&self, record: &NewRecord) -> bool {
        let after = self.plan.after.as_ref();
        if after.is_some_and(|after| record.position <= *after) || record.position > self.plan.end {
            return false;
        }
        let Some(newer_than) = self.newer_than else { return true };
        let last_seen = EventObject::parse(&record.body).last_seen();
        last_seen.is_none_or(|last_seen| last_seen > newer_than)
    }
}

/// The stretches of the log that a list brings back.
pub(super) struct Repairs<R>(Vec<R>);

impl<R: Repair> Repairs<R> {
    pub(super) fn new(repairs: Vec<R>) -> Self {
        Self(repairs)
    }

    /// Takes a record that belongs to one of them, or gives it back.
    pub(super) async fn take(&mut self, record: NewRecord) -> Option<NewRecord> {
        let Some(at) = self.0.iter().position(|repair| repair.wants(&record.position)) else {
            return Some(record);
        };
        if let Err(error) = self.0[at].put(record).await {
            // What is missing stays reported; the next start tries again.
            tracing::error!(%error, "a stretch of the log cannot be repaired");
            drop(self.0.swap_remove(at));
        }
        None
    }

    /// The list is over.
    pub(super) async fn finish(self) {
        for repair in self.0 {
            if let Err(error) = repair.finish().await {
                tracing::error!(%error, "a stretch of the log cannot be repaired");
            }
        }
    }
}

/// Whether the same version is in the log from an earlier generation. Histories overlap after a
/// restore: what both have in common was taken over from the first.
pub(super) async fn is_known<I: Intake>(intake: &I, record: &NewRecord) -> Result<bool, LogError> {
    for generation in (0..record.position.generation.0).rev() {
        let resource_version = record.position.resource_version.clone();
        let earlier = Position::new(Generation(generation), resource_version);
        if let Some(found) = intake.get(&earlier).await?
            && found.body == record.body
            && found.header.uid == record.header.uid
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Drops an unfinished list.
pub(super) async fn discard<S: Stage>(stage: Option<S>) -> Result<(), LogError> {
    match stage {
        Some(stage) => stage.discard().await,
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(position: &str, json: &str) -> NewRecord {
        NewRecord {
            position: position.parse().expect("a position"),
            received_at: Timestamp::UNIX_EPOCH,
            header: crate::event::Header::default(),
            body: bytes::Bytes::copy_from_slice(json.as_bytes()),
        }
    }

    fn plan(after: Option<&str>, replaced: bool) -> DrainPlan {
        DrainPlan {
            after: after.map(|text| text.parse().expect("a position")),
            end: "1.50".parse().expect("a position"),
            since: None,
            replaced,
        }
    }

    fn time(text: &str) -> Option<Timestamp> {
        text.parse().ok()
    }

    const AT_NOON: &str = r#"{"lastTimestamp":"2026-01-01T12:00:00Z"}"#;

    #[test]
    fn takes_what_lies_between_the_frontier_and_the_list() {
        let plan = plan(Some("1.10"), false);
        let selection = Selection::new(&plan, None);
        let taken = ["1.9", "1.10", "1.11", "1.50", "1.51"]
            .map(|position| selection.wants(&record(position, "{}")));
        assert_eq!(taken, [false, false, true, true, false]);
    }

    #[test]
    fn a_first_start_takes_what_is_young_enough() {
        let plan = DrainPlan { since: time("2026-01-01T12:00:00Z"), ..plan(None, false) };
        let selection = Selection::new(&plan, None);
        assert!(!selection.wants(&record("1.5", AT_NOON)));
        assert!(selection.wants(&record("1.5", r#"{"lastTimestamp":"2026-01-01T12:00:01Z"}"#)));
        assert!(selection.wants(&record("1.5", "{}")), "an unknown age is not old");
    }

    #[test]
    fn only_a_new_generation_leaves_out_what_the_log_has_forgotten() {
        let covers = time("2026-01-01T12:06:00Z");
        let replaced = plan(Some("0.99"), true);
        assert!(!Selection::new(&replaced, covers).wants(&record("1.5", AT_NOON)));
        let tolerated = Selection::new(&replaced, time("2026-01-01T12:04:00Z"));
        assert!(tolerated.wants(&record("1.5", AT_NOON)));
        assert!(Selection::new(&replaced, None).wants(&record("1.5", AT_NOON)));
        let ordinary = plan(Some("1.1"), false);
        assert!(Selection::new(&ordinary, covers).wants(&record("1.5", AT_NOON)));
    }
}
