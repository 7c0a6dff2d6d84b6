//! What runners and sources tell the rest of the relay about themselves, while they run.
//!
//! Invariant: telling costs no more than an atomic store, except when something changes that a
//! person would want to know. Nothing here decides anything.

use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use super::runner::Absorbed;
use super::status::{FailureStatus, SinkState};
use crate::cursor::{Loss, LossCause, Place};
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
    /// Milliseconds since 1970; 0 when its rate limit is open.
    throttled_until: AtomicI64,
    /// The replay that this is the account of, if it is not that of the live stream.
    replay: Option<u64>,
    /// The account of the replay that runs beside the live stream.
    beside: Mutex<Option<Arc<SinkReport>>>,
}

/// A sink's account of one stream.
#[derive(Debug)]
pub(crate) struct LaneReport {
    /// The stream.
    pub(crate) stream: StreamId,
    oldest_milliseconds: AtomicI64,
    reached: Mutex<Reached>,
}

/// How far a sink has got in a stream.
#[derive(Debug, Default)]
struct Reached {
    /// Up to here it has read the records: it no longer needs the log.
    read: Place,
    /// Up to here those it has not read are counted as lost.
    counted: Place,
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
            throttled_until: AtomicI64::new(0),
            replay: None,
            beside: Mutex::new(None),
            identity,
        }
    }

    /// The account of a replay to the same sink, of these streams.
    pub(crate) fn of_replay(&self, number: u64, streams: &[StreamId]) -> Self {
        let report = Self::new(self.identity.clone(), &self.all_metrics, streams);
        Self { metrics: self.metrics.of_replay(), replay: Some(number), ..report }
    }

    /// The replay that runs beside the live stream, with its account.
    pub(crate) fn beside(&self) -> Option<(u64, Arc<Self>)> {
        let beside = self.lock_beside().clone()?;
        beside.replay.map(|number| (number, beside))
    }

    /// This replay runs now, or none.
    pub(crate) fn set_beside(&self, replay: Option<Arc<Self>>) {
        *self.lock_beside() = replay;
    }

    /// Whether what is live does not get through as it wants to, so that a replay should wait.
    pub(crate) fn is_hindered(&self) -> bool {
        matches!(self.state(), SinkState::Retrying | SinkState::Throttled | SinkState::Held)
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

    /// Records left the log before it had received them.
    pub(crate) fn tell_lost(&self, stream: &StreamId, loss: &Loss) {
        self.metrics.lost.inc_by(loss.records);
        if let Some(replay) = self.replay {
            let (sink, records) = (self.name(), loss.records);
            tracing::warn!(sink, replay, %stream, records, "records of a replay are not in the log any more");
            return;
        }
        let name = |place: &Place| place.position.as_ref().map(ToString::to_string);
        tracing::error!(
            sink = self.name(),
            %stream,
            records = loss.records,
            after = name(&loss.after).unwrap_or_default(),
            until = name(&loss.until).unwrap_or_default(),
            cause = %loss.cause,
            "records are lost for the sink: it had not received them"
        );
    }

    /// What it is doing.
    pub(crate) fn state(&self) -> SinkState {
        STATES[usize::from(self.state.load(Ordering::Relaxed)) % STATES.len()]
    }

    /// It does something else now.
    pub(crate) fn set_state(&self, state: SinkState) {
        let code = STATES.iter().position(|known| *known == state).unwrap_or_default();
        self.state.store(u8::try_from(code).unwrap_or_default(), Ordering::Relaxed);
        let gauges =
            [(&self.metrics.held, SinkState::Held), (&self.metrics.paused, SinkState::Paused)];
        for (gauge, meant) in gauges {
            let is_so = i64::from(state == meant);
            if gauge.get() != is_so {
                gauge.set(is_so);
            }
        }
    }

    /// Until when its rate limit or a penalty keeps it waiting, if it does.
    pub(crate) fn throttled_until(&self) -> Option<Timestamp> {
        let until = self.throttled_until.load(Ordering::Relaxed);
        (until != 0).then(|| Timestamp::from_millisecond(until).ok()).flatten()
    }

    /// Its rate limit or a penalty keeps it waiting, or (`None`) does not any more.
    pub(crate) fn set_throttled_until(&self, until: Option<Timestamp>) {
        let milliseconds = until.map_or(0, Timestamp::as_millisecond);
        if self.throttled_until.swap(milliseconds, Ordering::Relaxed) != milliseconds {
            self.metrics.throttled.set(i64::from(until.is_some()));
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

    fn lock_beside(&self) -> MutexGuard<'_, Option<Arc<Self>>> {
        self.beside.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// The sink begins to read behind `passed`; whatever it has missed before `counted` is counted.
    pub(crate) fn begin(&self, passed: Place, counted: Place) {
        let mut reached = self.lock_reached();
        if counted.position > reached.counted.position {
            reached.counted = counted;
        }
        reached.read = passed;
    }

    /// The sink has read on. Returns what it has missed before, and nobody has counted.
    pub(crate) fn advance(&self, absorbed: &Absorbed) -> Option<Loss> {
        let mut reached = self.lock_reached();
        let before = Place { position: absorbed.begin.clone(), sequence: absorbed.before };
        let cause = if absorbed.damaged { LossCause::Damaged } else { LossCause::Gone };
        let missed = reached.missed(before, cause);
        reached.read = absorbed.end.clone();
        missed
    }

    /// What lies before `removed` will be taken from the log. Returns what of it the sink has not read,
    /// and nobody has counted.
    pub(crate) fn remove(&self, removed: Place) -> Option<Loss> {
        let mut reached = self.lock_reached();
        let missed = reached.missed(removed.clone(), LossCause::LogFull);
        if removed.position > reached.counted.position {
            reached.counted = removed;
        }
        missed
    }

    fn lock_reached(&self) -> MutexGuard<'_, Reached> {
        self.reached.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reached {
    /// What lies between what was read or counted and `until`.
    fn missed(&self, until: Place, cause: LossCause) -> Option<Loss> {
        let read_more = self.read.sequence >= self.counted.sequence;
        let after = if read_more { &self.read } else { &self.counted };
        (until.sequence > after.sequence).then(|| Loss::between(after.clone(), until, cause))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In these streams every version is a record: number and version are the same.
    fn place(version: u64) -> Place {
        Place { position: format!("0.{version}").parse().ok(), sequence: version }
    }

    fn lane(passed: u64, counted: u64) -> LaneReport {
        let lane = LaneReport::new(StreamId::all_namespaces());
        lane.begin(place(passed), place(counted));
        lane
    }

    /// The sink reads what lies between two versions.
    fn read(lane: &LaneReport, after: u64, through: u64) -> Option<(u64, u64)> {
        range(lane.advance(&Absorbed {
            begin: place(after).position,
            before: after,
            end: place(through),
            filtered: 0,
            damaged: false,
        }))
    }

    fn remove(lane: &LaneReport, through: u64) -> Option<(u64, u64)> {
        range(lane.remove(place(through)))
    }

    fn range(loss: Option<Loss>) -> Option<(u64, u64)> {
        loss.map(|loss| (loss.after.sequence, loss.until.sequence))
    }

    #[test]
    fn what_was_removed_before_it_was_read_is_counted_once() {
        let lane = lane(10, 0);
        assert_eq!(read(&lane, 10, 20), None);
        assert_eq!(remove(&lane, 15), None, "it has read those");
        assert_eq!(remove(&lane, 50), Some((20, 50)));
        assert_eq!(remove(&lane, 60), Some((50, 60)));
        assert_eq!(read(&lane, 60, 70), None, "counted already");
        assert_eq!(read(&lane, 75, 80), Some((70, 75)), "damaged");
        assert_eq!(remove(&lane, 75), None);
    }

    #[test]
    fn the_sink_may_notice_before_the_one_who_removes() {
        let lane = lane(10, 0);
        assert_eq!(read(&lane, 50, 60), Some((10, 50)));
        assert_eq!(remove(&lane, 50), None);
    }

    #[test]
    fn what_an_earlier_process_has_counted_is_not_counted_again() {
        let lane = lane(10, 50);
        assert_eq!(read(&lane, 50, 60), None);
    }
}
