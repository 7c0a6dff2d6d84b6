//! What a source tells, and where it goes: the state, the status, kube-eventer's metrics.
//!
//! The source itself counts and logs what happens to its stream; here only what it cannot know is said.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use crate::cursor::State;
use crate::event::{Header, StreamId};
use crate::log::{Gap, LogError};
use crate::source::{Phase, RelistCause, SourceObserver};
use crate::telemetry::{EventFacts, Metrics};

/// What a source is doing, for status and readiness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PhaseReport {
    /// One word.
    pub(crate) name: String,
    /// Whether a watch is open and the probes agree.
    pub(crate) live: bool,
    /// Why it is not live, and what to do.
    pub(crate) reason: Option<String>,
}

/// A stream's own account.
#[derive(Debug)]
pub(crate) struct StreamReport {
    phase: Mutex<PhaseReport>,
    last_record_milliseconds: AtomicI64,
    received: AtomicU64,
    relists: AtomicU64,
}

/// No record was received yet.
const NEVER: i64 = i64::MAX;

/// Listens to the source of one stream.
pub(crate) struct StreamObserver {
    stream: StreamId,
    state: State,
    metrics: Arc<Metrics>,
    report: Arc<StreamReport>,
}

impl StreamReport {
    /// The account of a stream whose source has not started.
    pub(crate) fn new() -> Self {
        let phase = PhaseReport { name: "connecting".to_owned(), live: false, reason: None };
        Self {
            phase: Mutex::new(phase),
            last_record_milliseconds: AtomicI64::new(NEVER),
            received: AtomicU64::new(0),
            relists: AtomicU64::new(0),
        }
    }

    /// What the source is doing.
    pub(crate) fn phase(&self) -> PhaseReport {
        self.lock_phase().clone()
    }

    /// It does something else now. Returns what it did before.
    pub(crate) fn set_phase(&self, phase: PhaseReport) -> PhaseReport {
        std::mem::replace(&mut *self.lock_phase(), phase)
    }

    /// When the newest record was received, since the process started.
    pub(crate) fn last_record_at(&self) -> Option<Timestamp> {
        Timestamp::from_millisecond(self.last_record_milliseconds.load(Ordering::Relaxed)).ok()
    }

    /// Records received since the last call.
    pub(crate) fn take_received(&self) -> u64 {
        self.received.swap(0, Ordering::Relaxed)
    }

    /// Lists since the process started.
    pub(crate) fn relists(&self) -> u64 {
        self.relists.load(Ordering::Relaxed)
    }

    fn lock_phase(&self) -> MutexGuard<'_, PhaseReport> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StreamObserver {
    /// A listener for one stream.
    pub(crate) fn new(
        stream: StreamId,
        state: State,
        metrics: Arc<Metrics>,
        report: Arc<StreamReport>,
    ) -> Self {
        Self { stream, state, metrics, report }
    }
}

/// Shows a phase that the relay itself decides on, with a log line when it is another one.
pub(crate) fn tell_phase(stream: &StreamId, report: &StreamReport, phase: &PhaseReport) {
    let before = report.set_phase(phase.clone());
    if let Some(reason) = &phase.reason
        && before != *phase
    {
        tracing::warn!(%stream, phase = phase.name, reason, "the stream is not live");
    }
}

impl SourceObserver for StreamObserver {
    fn phase(&self, phase: &Phase) {
        let Phase { name, live, reason } = phase;
        let phase = PhaseReport { name: name.to_string(), live: *live, reason: reason.clone() };
        self.report.set_phase(phase);
    }

    fn complete_until(&self, time: Timestamp) {
        self.state.set_complete_until(&self.stream, time);
    }

    fn gap(&self, gap: &Gap) -> Result<(), LogError> {
        self.state.report_gap(&self.stream, gap.clone())
    }

    fn record(&self, header: &Header, message: &str) {
        let milliseconds = Timestamp::now().as_millisecond();
        self.report.last_record_milliseconds.store(milliseconds, Ordering::Relaxed);
        self.report.received.fetch_add(1, Ordering::Relaxed);
        self.metrics.eventer().observe_event(&facts(header, message));
    }

    fn relisted(&self, _cause: RelistCause) {
        self.report.relists.fetch_add(1, Ordering::Relaxed);
    }
}

fn facts<'a>(header: &'a Header, message: &'a str) -> EventFacts<'a> {
    // An event lives in the namespace of its object; one of a cluster-scoped object in `default`.
    let namespace = if header.namespace.is_empty() { "default" } else { &header.namespace };
    EventFacts {
        event_type: &header.event_type,
        reason: &header.reason,
        kind: &header.kind,
        namespace,
        object_namespace: &header.namespace,
        name: &header.name,
        message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_replaces_the_one_before() {
        let report = StreamReport::new();
        assert!(!report.phase().live, "a stream is not live before its source says so");
        let reason = Some("no answer".to_owned());
        let waiting = PhaseReport { name: "connecting".to_owned(), live: false, reason };
        tell_phase(&StreamId::all_namespaces(), &report, &waiting);
        assert_eq!(report.phase(), waiting);
    }

    #[test]
    fn an_event_of_a_node_is_counted_where_it_lives() {
        let header = Header { kind: "Node".to_owned(), ..Header::default() };
        let facts = facts(&header, "");
        assert_eq!((facts.namespace, facts.object_namespace), ("default", ""));
    }
}
