//! One task per stream: from the source into the log.
//!
//! Invariant: no source writes before the cluster is known to be the one the log belongs to (or
//! cannot be known). While the API server is away there is nothing to write, so waiting loses nothing.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::error::RelayError;
use super::observer::{PhaseReport, StreamObserver, tell_phase};
use super::runner::RetrySchedule;
use super::shared::{Shared, Watched};
use super::upstream::Upstream;
use crate::setting::Span;
use crate::sink::Retry;
use crate::source::{Known, SourceError};

/// How long a start waits for the API server to say which cluster it is.
const IDENTITY_PATIENCE: Duration = Duration::from_secs(5);

/// Waits between questions for the identity of a cluster that does not answer.
const IDENTITY_RETRY: Retry = Retry {
    initial: Span::from_secs(1),
    max: Span::from_secs(30),
    timeout: Span(IDENTITY_PATIENCE),
};

/// What the API server says about its cluster.
#[derive(Debug)]
pub(crate) enum ClusterIdentity {
    /// This is it.
    Known(String),
    /// It may not be known; nothing can be checked.
    Hidden,
    /// No answer yet.
    Unknown(String),
}

/// Asks once, for a few seconds.
pub(crate) async fn identify(upstream: &dyn Upstream) -> ClusterIdentity {
    match timeout(IDENTITY_PATIENCE, upstream.cluster_uid()).await {
        Ok(Ok(Some(uid))) => ClusterIdentity::Known(uid),
        Ok(Ok(None)) => ClusterIdentity::Hidden,
        Ok(Err(error)) => ClusterIdentity::Unknown(error.to_string()),
        Err(_elapsed) => {
            let cause = format!("no answer within {}", Span(IDENTITY_PATIENCE));
            ClusterIdentity::Unknown(SourceError::Unreachable(cause).to_string())
        }
    }
}

/// All streams' way into the log.
pub(crate) struct Intake {
    upstream: Arc<dyn Upstream>,
    shared: Arc<Shared>,
    stop: CancellationToken,
    /// Set when the cluster is the right one (its uid), or cannot be known (`None`).
    verified: OnceCell<Option<String>>,
}

impl Intake {
    /// `identity` is what was found before the log was opened, and checked then if it was known.
    pub(crate) fn new(
        upstream: Arc<dyn Upstream>,
        shared: Arc<Shared>,
        identity: &ClusterIdentity,
        stop: CancellationToken,
    ) -> Self {
        let verified = match identity {
            ClusterIdentity::Known(uid) => OnceCell::new_with(Some(Some(uid.clone()))),
            ClusterIdentity::Hidden => OnceCell::new_with(Some(None)),
            ClusterIdentity::Unknown(_) => OnceCell::new(),
        };
        Self { upstream, shared, stop, verified }
    }

    /// Fills one stream until the relay stops. An error is fatal to the stream.
    pub(crate) async fn fill(&self, watched: Watched) -> Result<(), RelayError> {
        let cluster_uid = tokio::select! {
            verified = self.verified.get_or_try_init(|| self.verify()) => verified?.clone(),
            () = self.stop.cancelled() => return Ok(()),
        };
        let Watched { stream, report } = watched;
        let state = self.shared.state.clone();
        let known = Known {
            complete_until: state.complete_until(stream.id()),
            log_covers_since: stream.oldest().await?,
            cluster_uid,
        };
        let all_metrics = self.shared.metrics.clone();
        let metrics = all_metrics.stream(stream.id().as_str());
        let observer = StreamObserver::new(stream.id().clone(), state, all_metrics, report);
        let run = self.upstream.run(stream, known, metrics, Arc::new(observer), self.stop.clone());
        run.await.map_err(RelayError::Source)
    }

    /// Asks until the cluster answers, and refuses another one.
    async fn verify(&self) -> Result<Option<String>, RelayError> {
        let mut retry = RetrySchedule::new(&IDENTITY_RETRY);
        loop {
            match identify(self.upstream.as_ref()).await {
                ClusterIdentity::Known(uid) => {
                    self.claim(uid.clone()).await?;
                    return Ok(Some(uid));
                }
                ClusterIdentity::Hidden => return Ok(None),
                ClusterIdentity::Unknown(reason) => self.tell_waiting(&reason),
            }
            sleep(retry.next_wait(None)).await;
        }
    }

    async fn claim(&self, uid: String) -> Result<(), RelayError> {
        let directory = self.shared.directory.clone();
        let claimed = spawn_blocking(move || directory.claim(&uid)).await;
        claimed.map_err(|_panic| RelayError::Bug("claiming the data directory".to_owned()))??;
        Ok(())
    }

    fn tell_waiting(&self, reason: &str) {
        for Watched { stream, report } in &self.shared.watched {
            let reason = Some(reason.to_owned());
            let phase = PhaseReport { name: "connecting".to_owned(), live: false, reason };
            tell_phase(stream.id(), report, &phase);
        }
    }
}

/// Whether a failure of one stream means that none can go on.
pub(crate) fn concerns_all_streams(error: &RelayError) -> bool {
    !matches!(
        error,
        RelayError::Source(error)
            if !matches!(error, SourceError::Log(_) | SourceError::AnotherCluster { .. })
    )
}
