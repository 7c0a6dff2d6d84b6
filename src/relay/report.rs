//! What runners and sources tell the rest of the relay about themselves, while they run.
//!
//! Invariant: telling costs no more than an atomic store, except when something changes that a
//! person would want to know. Nothing here decides anything.

use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use super::status::{FailureStatus, SinkState};
use crate::event::StreamId;
use crate::telemetry::{Metrics, SinkMetrics};

/// Who a sink is.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    /// Its unique name.
    pub(crate) name: String,
    /// Its kind.
    pub(crate) kind: &'static str,
    /// What kube-eventer calls it in its metrics.
    pub(crate) exporter: &'static str,
    /// Whether it holds the log when that is full.
    pub(crate) required: bool,
}

/// A sink's own account.
#[derive(Debug)]
pub(crate) struct SinkReport {
    /// Who it is.
    pub(crate) identity: Identity,
    /// Its counters.
    pub(crate) metrics: SinkMetrics,
    all_metrics: Arc<Metrics>,
    /// One for each stream it reads.
    pub(crate) lanes: Vec<LaneReport>,
    state: AtomicU8,
    failure: Mutex<Option<FailureStatus>>,
}

/// A sink's account of one stream.
#[derive(Debug)]
pub(crate) struct LaneReport {
    /// The stream.
    pub(crate) stream: StreamId,
    oldest_milliseconds: AtomicI64,
    reached: Mutex<Reached>,
}

/// How far a sink has got in a stream, in records of the stream.
#[derive(Debug, Default)]
struct Reached {
    /// Up to here it has read them: it no longer needs the log.
    read: u64,
    /// Up to here those it has not read are counted as lost.
    counted: u64,
}

/// No record is waiting.
const NOTHING_WAITS: i64 = i64::MAX;

const STATES: [SinkState; 7] = [
    SinkState::Stopped,
    SinkState::Idle,
    SinkState::Delivering,
    SinkState::Retrying,
    SinkState::Throttled,
    SinkState::Held,
    SinkState::Paused,
];

impl SinkReport {
    /// The account of a sink that does not run yet.
    pub(crate) fn new(identity: Identity, metrics: &Arc<Metrics>, streams: &[StreamId]) -> Self {
        Self {
            metrics: metrics.sink(&identity.name),
            all_metrics: metrics.clone(),
            lanes: streams.iter().cloned().map(LaneReport::new).collect(),
            state: AtomicU8::new(0),
            failure: Mutex::new(None),
            identity,
        }
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.identity.name
    }

    /// A delivery has ended, whatever became of it.
    pub(crate) fn count_delivery(&self, duration: Duration) {
        self.metrics.delivery_seconds.observe(duration.as_secs_f64());
        self.all_metrics.eventer().observe_export(self.identity.exporter, duration);
    }

    /// What it is doing.
    pub(crate) fn state(&self) -> SinkState {
        STATES[usize::from(self.state.load(Ordering::Relaxed)) % STATES.len()]
    }

    /// It does something else now.
    pub(crate) fn set_state(&self, state: SinkState) {
        let code = STATES.iter().position(|known| *known == state).unwrap_or_default();
        self.state.store(u8::try_from(code).unwrap_or_default(), Ordering::Relaxed);
        let held = i64::from(state == SinkState::Held);
        if self.metrics.held.get() != held {
            self.metrics.held.set(held);
        }
    }

    /// The failure it is recovering from.
    pub(crate) fn failure(&self) -> Option<FailureStatus> {
        self.lock_failure().clone()
    }

    /// It failed, again or for the first time, or (`None`) it has recovered.
    pub(crate) fn set_failure(&self, failure: Option<FailureStatus>) {
        *self.lock_failure() = failure;
    }

    /// Age of the oldest record that is waiting or under way, in seconds; 0 when there is none.
    pub(crate) fn lag_seconds(&self, now: Timestamp) -> f64 {
        let oldest = self.lanes.iter().filter_map(LaneReport::oldest).min();
        oldest.map_or(0.0, |oldest| now.duration_since(oldest).as_secs_f64().max(0.0))
    }

    /// Its account of a stream, if it reads it.
    pub(crate) fn lane(&self, stream: &StreamId) -> Option<&LaneReport> {
        self.lanes.iter().find(|lane| lane.stream == *stream)
    }

    fn lock_failure(&self) -> MutexGuard<'_, Option<FailureStatus>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LaneReport {
    fn new(stream: StreamId) -> Self {
        let oldest_milliseconds = AtomicI64::new(NOTHING_WAITS);
        Self { stream, oldest_milliseconds, reached: Mutex::default() }
    }

    /// When the oldest record that is waiting or under way was received.
    pub(crate) fn oldest(&self) -> Option<Timestamp> {
        let milliseconds = self.oldest_milliseconds.load(Ordering::Relaxed);
        Timestamp::from_millisecond(milliseconds).ok()
    }

    /// This is the oldest record now.
    pub(crate) fn set_oldest(&self, received_at: Option<Timestamp>) {
        let milliseconds = received_at.map_or(NOTHING_WAITS, Timestamp::as_millisecond);
        self.oldest_milliseconds.store(milliseconds, Ordering::Relaxed);
    }

    /// The sink begins to read behind the first `passed` records of the stream, of which the log
    /// has lost the first `removed`: an earlier process has counted those.
    pub(crate) fn begin(&self, passed: u64, removed: u64) {
        let mut reached = self.lock_reached();
        *reached = Reached { read: passed, counted: reached.counted.max(removed) };
    }

    /// The sink has read from behind the first `before` records of the stream to the end of the
    /// first `through`. Returns how many it has missed and nobody has counted.
    pub(crate) fn advance(&self, before: u64, through: u64) -> u64 {
        let mut reached = self.lock_reached();
        let missed = before.saturating_sub(reached.read.max(reached.counted));
        reached.read = through;
        missed
    }

    /// The first `removed` records of the stream are not in the log any more. Returns how many of
    /// them the sink has not read and nobody has counted.
    pub(crate) fn remove(&self, removed: u64) -> u64 {
        let mut reached = self.lock_reached();
        let missed = removed.saturating_sub(reached.read.max(reached.counted));
        reached.counted = reached.counted.max(removed);
        missed
    }

    fn lock_reached(&self) -> MutexGuard<'_, Reached> {
        self.reached.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(passed: u64, removed: u64) -> LaneReport {
        let lane = LaneReport::new(StreamId::all_namespaces());
        lane.begin(passed, removed);
        lane
    }

    #[test]
    fn what_was_removed_before_it_was_read_is_counted_once() {
        let lane = lane(10, 0);
        assert_eq!(lane.advance(10, 20), 0);
        assert_eq!(lane.remove(15), 0, "it has read those");
        assert_eq!(lane.remove(50), 30);
        assert_eq!(lane.remove(60), 10);
        assert_eq!(lane.advance(60, 70), 0, "counted already");
        assert_eq!(lane.advance(75, 80), 5, "damaged");
        assert_eq!(lane.remove(75), 0);
    }

    #[test]
    fn the_sink_may_notice_before_the_one_who_removes() {
        let lane = lane(10, 0);
        assert_eq!(lane.advance(50, 60), 40);
        assert_eq!(lane.remove(50), 0);
    }

    #[test]
    fn what_an_earlier_process_has_counted_is_not_counted_again() {
        let lane = lane(10, 50);
        assert_eq!(lane.advance(50, 60), 0);
    }
}
