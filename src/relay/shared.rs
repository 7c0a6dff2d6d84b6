//! What every part of a running relay can see.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::observer::StreamReport;
use super::report::{Identity, SinkReport};
use super::status::{ConfigurationStatus, FullReason};
use super::storage::place_new_sinks;
use crate::cursor::State;
use crate::log::{DataDirectory, Log, LogConfig, LogError, Progress, Stream};
use crate::telemetry::Metrics;

/// A running relay, as its parts see it.
pub(crate) struct Shared {
    /// Configured name of the cluster.
    pub(crate) cluster: String,
    /// Limits of the log.
    pub(crate) limits: LogConfig,
    /// The lock on the data directory.
    pub(crate) directory: Arc<DataDirectory>,
    /// All streams.
    pub(crate) log: Log,
    /// Cursors, dead letters, gaps.
    pub(crate) state: State,
    /// All metrics.
    pub(crate) metrics: Arc<Metrics>,
    /// Streams that are watched, with what their source says.
    pub(crate) watched: Vec<Watched>,
    /// Streams of an earlier configuration: nothing is added to them, and what they hold is delivered.
    pub(crate) left_over: Vec<Stream>,
    /// What the sinks say.
    pub(crate) sinks: RwLock<Vec<Arc<SinkReport>>>,
    /// When the relay started.
    pub(crate) started_at: Timestamp,
    /// Whether housekeeping still comes around.
    pub(crate) beat: Beat,
    /// Which limit the log has reached while intake waits.
    pub(crate) full: Mutex<Option<FullReason>>,
    /// What became of the configuration file, when there is one.
    pub(crate) configuration: Mutex<Option<ConfigurationStatus>>,
    /// Held by whoever looks through the log for damage.
    pub(crate) verifying: Mutex<()>,
    /// How far they are.
    pub(crate) verify_progress: Progress,
    /// Who may search the log for an operator.
    pub(crate) searching: Arc<Semaphore>,
    /// Whether the relay is on its way out.
    pub(crate) stopping: AtomicBool,
}

/// A stream that is watched.
#[derive(Clone)]
pub(crate) struct Watched {
    pub(crate) stream: Stream,
    pub(crate) report: Arc<StreamReport>,
}

/// Proof that the relay's own housekeeping still turns.
pub(crate) struct Beat {
    begun: Instant,
    last_milliseconds: AtomicU64,
}

impl Shared {
    /// Watched streams, then those left over.
    pub(crate) fn all_streams(&self) -> impl Iterator<Item = &Stream> {
        self.watched.iter().map(|watched| &watched.stream).chain(&self.left_over)
    }

    /// What the sinks say, in the order in which they were added.
    pub(crate) fn sinks(&self) -> Vec<Arc<SinkReport>> {
        self.sinks.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A new account for a sink; one of this name that was there is replaced.
    pub(crate) fn add_sink(&self, identity: Identity) -> Arc<SinkReport> {
        let streams: Vec<_> = self.all_streams().map(|stream| stream.id().clone()).collect();
        let report = Arc::new(SinkReport::new(identity, &self.metrics, &streams));
        let mut sinks = self.sinks.write().unwrap_or_else(PoisonError::into_inner);
        match sinks.iter_mut().find(|known| known.name() == report.name()) {
            Some(known) => known.clone_from(&report),
            None => sinks.push(report.clone()),
        }
        report
    }

    /// The sink is there no more.
    pub(crate) fn remove_sink(&self, name: &str) {
        let mut sinks = self.sinks.write().unwrap_or_else(PoisonError::into_inner);
        sinks.retain(|sink| sink.name() != name);
        self.metrics.forget_sink(name);
    }

    /// Gives sinks that were never there their place, durably: what arrives later is behind it.
    pub(crate) async fn place_new_sinks(&self, sinks: &[&str]) -> Result<(), LogError> {
        place_new_sinks(&self.state, self.all_streams(), sinks).await
    }

    /// Which limit the log has reached, while intake waits because it is full.
    pub(crate) fn full_reason(&self) -> Option<FullReason> {
        let closed = *self.lock_full();
        closed.or_else(|| self.log.is_out_of_room().then_some(FullReason::Volume))
    }

    /// Whether intake is closed because the log is full.
    pub(crate) fn is_intake_closed(&self) -> bool {
        self.lock_full().is_some()
    }

    /// Whether the relay is on its way out.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// The relay is on its way out.
    pub(crate) fn set_stopping(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Intake is closed for this reason now, or open. Returns what it was.
    pub(crate) fn set_full(&self, full: Option<FullReason>) -> Option<FullReason> {
        std::mem::replace(&mut *self.lock_full(), full)
    }

    /// What became of the configuration file.
    pub(crate) fn configuration(&self) -> Option<ConfigurationStatus> {
        self.configuration.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Something has become of the configuration file.
    pub(crate) fn set_configuration(&self, configuration: ConfigurationStatus) {
        let mut known = self.configuration.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Some(configuration);
    }

    fn lock_full(&self) -> MutexGuard<'_, Option<FullReason>> {
        self.full.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Beat {
    /// Begins now.
    pub(crate) fn new() -> Self {
        Self { begun: Instant::now(), last_milliseconds: AtomicU64::new(0) }
    }

    /// Housekeeping has come around.
    pub(crate) fn strike(&self) {
        self.last_milliseconds.store(self.now(), Ordering::Relaxed);
    }

    /// Milliseconds since it last came around.
    pub(crate) fn age_milliseconds(&self) -> u64 {
        self.now().saturating_sub(self.last_milliseconds.load(Ordering::Relaxed))
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
