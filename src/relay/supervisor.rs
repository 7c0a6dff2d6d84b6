//! Starting the relay, watching over its tasks, and stopping it in order.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, RwLock};

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::destination::{Destination, Provisions, build_all};
use super::error::RelayError;
use super::handle::RelayHandle;
use super::housekeeping::{keep_house, look_after};
use super::intake::{ClusterIdentity, Intake, concerns_all_streams, identify};
use super::integrity::note_frontier;
use super::observer::{PhaseReport, StreamReport, tell_phase};
use super::outflows::Outflows;
use super::records::searches;
use super::runner::Windows;
use super::shared::{Beat, Shared, Watched};
use super::starting::Starting;
use super::storage::{Storage, place_new_sinks};
use super::upstream::{ClusterConfigMaps, Upstream};
use crate::cursor::DeadLettersConfig;
use crate::event::StreamId;
use crate::log::{LogConfig, Progress};
use crate::setting::Span;
use crate::sink::{SinkConfig, SinkContext, http_client};
use crate::source::{Source, SourceConfig};
use crate::telemetry::Metrics;

/// Everything a relay is told.
#[derive(Debug, Clone)]
pub struct RelayConfig {
    /// Name of the cluster, part of every record's identity.
    pub cluster: String,
    /// Where events come from.
    pub source: SourceConfig,
    /// Where they are kept.
    pub log: LogConfig,
    /// Where they go.
    pub sinks: Vec<SinkConfig>,
    /// How long deliveries under way may take to end when the relay stops.
    pub drain_deadline: Span,
    /// How many dead letters each sink may have.
    pub dead_letters: DeadLettersConfig,
}

/// A running relay.
#[must_use = "a relay stops when it is dropped; `run_until` stops it in order"]
pub struct Relay {
    shared: Arc<Shared>,
    stop: CancellationToken,
    drain_deadline: Span,
    sources: JoinSet<Result<(), RelayError>>,
    source_names: HashMap<Id, StreamId>,
    outflows: Arc<Outflows>,
    failures: mpsc::UnboundedReceiver<RelayError>,
    housekeeping: JoinSet<Result<(), RelayError>>,
}

impl Relay {
    /// Starts a relay: sinks and source are checked before the disk is touched, the cluster before
    /// anything is written, and new sinks have their place before the first record arrives.
    ///
    /// A sink or an API server that is down is no error: it is tried until it answers. A volume without
    /// room to open the log is none either: the start waits, and `starting` tells.
    pub async fn start(
        config: RelayConfig,
        metrics: Arc<Metrics>,
        starting: Starting,
    ) -> Result<Self, RelayError> {
        let upstream: Arc<dyn Upstream> = Arc::new(Source::new(&config.source).await?);
        let context = SinkContext {
            cluster: config.cluster.as_str().into(),
            http: http_client()?,
            config_maps: Some(Arc::new(ClusterConfigMaps(upstream.clone()))),
        };
        let (windows, letters) = (Windows::default(), config.dead_letters);
        let provisions = Provisions { context, windows, letters };
        let destinations = build_all(&config.sinks, &provisions)?;
        let RelayConfig { cluster, log, drain_deadline, .. } = config;
        Self::assemble(Assembly {
            provisions,
            cluster,
            log,
            drain_deadline,
            upstream,
            destinations,
            metrics,
            starting,
        })
        .await
    }

    pub(super) async fn assemble(assembly: Assembly) -> Result<Self, RelayError> {
        let Assembly { cluster, log: limits, drain_deadline, upstream, .. } = assembly;
        let Assembly { provisions, destinations, metrics, starting, .. } = assembly;
        let identity = identify(upstream.as_ref()).await;
        tell_identity(&identity);
        let uid = match &identity {
            ClusterIdentity::Known(uid) => Some(uid.clone()),
            ClusterIdentity::Hidden | ClusterIdentity::Unknown(_) => None,
        };
        let path: PathBuf = limits.data_dir.clone();
        let storage =
            Storage::open(&path, uid, upstream.streams(), metrics.clone(), starting).await?;
        let names: Vec<_> =
            destinations.iter().map(|destination| destination.identity.name.as_str()).collect();
        place_new_sinks(&storage.state, storage.all_streams(), &names).await?;
        let shared = Arc::new(share(cluster, limits, storage, metrics));
        let mut relay = Self::idle(shared, provisions, drain_deadline);
        relay.start_sinks(destinations).await;
        // A log that is full stays closed: each start would otherwise take in a little more.
        look_after(&relay.shared).await?;
        relay.start_sources(upstream, &identity);
        relay.housekeeping.spawn(keep_house(relay.shared.clone()));
        Ok(relay)
    }

    /// A view of it, for the admin interface.
    #[must_use]
    pub fn handle(&self) -> RelayHandle {
        RelayHandle { shared: self.shared.clone(), outflows: self.outflows.clone() }
    }

    /// Runs until `shutdown` is cancelled, or until it cannot go on; then stops in order.
    pub async fn run_until(mut self, shutdown: CancellationToken) -> Result<(), RelayError> {
        let end = tokio::select! {
            () = shutdown.cancelled() => Ok(()),
            error = self.watch_over() => Err(error),
        };
        if let Err(error) = &end {
            tracing::error!(%error, "the relay cannot go on");
        }
        let stopped = self.stop_in_order().await;
        end.and(stopped)
    }

    fn idle(shared: Arc<Shared>, provisions: Provisions, drain_deadline: Span) -> Self {
        let (stop, (failed, failures)) = (CancellationToken::new(), mpsc::unbounded_channel());
        let outflows =
            Arc::new(Outflows::new(shared.clone(), provisions, stop.child_token(), failed));
        Self {
            shared,
            stop,
            drain_deadline,
            sources: JoinSet::new(),
            source_names: HashMap::new(),
            outflows,
            failures,
            housekeeping: JoinSet::new(),
        }
    }

    async fn start_sinks(&mut self, destinations: Vec<Destination>) {
        let mut posts = self.outflows.lock().await;
        for destination in destinations {
            self.outflows.add(&mut posts, destination);
        }
    }

    fn start_sources(&mut self, upstream: Arc<dyn Upstream>, identity: &ClusterIdentity) {
        let stop = self.stop.child_token();
        let intake = Arc::new(Intake::new(upstream, self.shared.clone(), identity, stop));
        for watched in self.shared.watched.clone() {
            let (id, intake) = (watched.stream.id().clone(), intake.clone());
            let task = self.sources.spawn(async move { intake.fill(watched).await });
            self.source_names.insert(task.id(), id);
        }
    }

    /// Ends only with a failure that the relay cannot go on with.
    async fn watch_over(&mut self) -> RelayError {
        loop {
            tokio::select! {
                Some(ended) = self.sources.join_next_with_id() => {
                    let (id, result) = split(ended);
                    let stream = self.source_names.get(&id).cloned();
                    let error = failure(result, || format!("the source of stream {stream:?}"));
                    if concerns_all_streams(&error) || self.sources.is_empty() {
                        return error;
                    }
                    self.tell_halted(stream.as_ref(), &error);
                }
                Some(error) = self.failures.recv() => return error,
                Some(ended) = self.housekeeping.join_next() => {
                    return failure(ended, || "housekeeping".to_owned());
                }
            }
        }
    }

    fn tell_halted(&self, stream: Option<&StreamId>, error: &RelayError) {
        let halted = self.shared.watched.iter().find(|one| Some(one.stream.id()) == stream);
        if let Some(Watched { stream, report }) = halted {
            let reason = Some(error.to_string());
            let phase = PhaseReport { name: "halted".to_owned(), live: false, reason };
            tell_phase(stream.id(), report, &phase);
        }
    }

    async fn stop_in_order(mut self) -> Result<(), RelayError> {
        self.shared.set_stopping();
        // Intake and sinks are told at once; what is under way has until the deadline.
        self.stop.cancel();
        let deadline = Instant::now() + self.drain_deadline.0;
        let drained = timeout_at(deadline, async {
            while self.sources.join_next().await.is_some() {}
            self.outflows.join().await;
        });
        if drained.await.is_err() {
            let sinks = self.outflows.abort().await;
            tracing::warn!(
                sinks,
                sources = self.sources.len(),
                "the drain deadline has passed; what was under way is delivered again after a restart"
            );
        }
        self.sources.shutdown().await;
        self.outflows.abort().await;
        self.housekeeping.shutdown().await;
        for stream in self.shared.all_streams() {
            note_frontier(&self.shared.state, stream);
        }
        let logged = self.shared.log.close().await;
        let stated = self.shared.state.close().await;
        logged.and(stated)?;
        tracing::info!("stopped");
        Ok(())
    }
}

/// What a relay is put together from.
pub(super) struct Assembly {
    pub(super) provisions: Provisions,
    pub(super) cluster: String,
    pub(super) log: LogConfig,
    pub(super) drain_deadline: Span,
    pub(super) upstream: Arc<dyn Upstream>,
    pub(super) destinations: Vec<Destination>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) starting: Starting,
}

fn share(cluster: String, limits: LogConfig, storage: Storage, metrics: Arc<Metrics>) -> Shared {
    let Storage { directory, log, state, watched, left_over } = storage;
    let watch = |stream| Watched { stream, report: Arc::new(StreamReport::new()) };
    Shared {
        watched: watched.into_iter().map(watch).collect(),
        cluster,
        limits,
        directory,
        log,
        state,
        metrics,
        left_over,
        sinks: RwLock::default(),
        started_at: Timestamp::now(),
        beat: Beat::new(),
        full: Mutex::new(None),
        configuration: Mutex::new(None),
        verifying: Mutex::new(()),
        verify_progress: Progress::default(),
        searching: searches(),
        stopping: AtomicBool::new(false),
    }
}

fn tell_identity(identity: &ClusterIdentity) {
    match identity {
        ClusterIdentity::Known(uid) => tracing::debug!(uid, "the cluster is known"),
        ClusterIdentity::Hidden => tracing::info!(
            "namespace kube-system may not be read, so it cannot be checked that the data directory \
             belongs to this cluster; allow `get` on it to have that checked"
        ),
        ClusterIdentity::Unknown(reason) => tracing::warn!(
            reason,
            "the API server does not answer yet; sinks go on with what is in the log"
        ),
    }
}

type Ended<T> = Result<(Id, T), JoinError>;

fn split<T>(ended: Ended<T>) -> (Id, Result<T, JoinError>) {
    match ended {
        Ok((id, result)) => (id, Ok(result)),
        Err(error) => (error.id(), Err(error)),
    }
}

/// The failure of a task that should not have ended.
fn failure(
    result: Result<Result<(), RelayError>, JoinError>,
    name: impl FnOnce() -> String,
) -> RelayError {
    match result {
        Ok(Err(error)) => error,
        Ok(Ok(())) | Err(_) => RelayError::Bug(name()),
    }
}
