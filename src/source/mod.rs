//! Where events come from: LIST and WATCH of core/v1 Events, one stream per namespace or one of all.
//!
//! Invariants:
//! 1. The frontier is passed only by what was taken from the watch or by a complete list, so a
//!    crash at any moment loses nothing the API server still has.
//! 2. "Too old" is recognised in all four shapes it comes in, and answered by listing.
//! 3. What may have expired unseen is reported as a gap before anything beyond it is appended.
//! 4. Nothing fails for good but the log: everything else is tried again, with the reason shown.
//!
//! Decisions are made by [`machine`], which is pure; [`run`] carries them out. This module knows
//! the log only as a place to append to, and nothing of sinks. Only here `kube` is named.
//!
//! The relay needs these permissions: `list` and `watch` (and by custom `get`) on `events`;
//! optionally `get` on namespace `kube-system`, to notice another cluster, and `get` on
//! `configmaps` that hold templates.

mod access_error;
mod api;
mod clock;
mod config;
mod connect;
mod error;
mod failure;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod intake;
mod lines;
mod listing;
mod machine;
mod objects;
mod parse;
mod perform;
mod phase;
mod reader;
mod run;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

pub use config::{InvalidStart, KubernetesConfig, SourceConfig, Start};
pub use error::SourceError;
pub use phase::{Phase, PhaseName, RelistCause, SourceObserver};

use crate::event::StreamId;
use crate::log;
use crate::telemetry::StreamMetrics;
use api::Api;
use machine::Rules;
use run::Shell;

/// What is known of a stream from earlier runs, beside its log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Known {
    /// Until when it is complete. Unknown counts as a gap as soon as a list is needed.
    pub complete_until: Option<Timestamp>,
    /// The oldest time the log still covers. When the API server's history is replaced, events
    /// last seen clearly before are not taken over: they were in the log once, and were trimmed.
    /// Unknown takes over everything.
    pub log_covers_since: Option<Timestamp>,
    /// The cluster the log belongs to: when the API server's history is replaced by that of
    /// another cluster, the stream ends with [`SourceError::AnotherCluster`].
    pub cluster_uid: Option<String>,
}

/// The Kubernetes API server as a source of events. Cheap to clone.
#[derive(Clone)]
pub struct Source {
    config: Arc<SourceConfig>,
    streams: Vec<StreamId>,
    api: Api,
}

impl Source {
    /// Reads credentials and prepares a client. Does not need the API server.
    pub async fn new(config: &SourceConfig) -> Result<Self, SourceError> {
        config.validate()?;
        let api = Api::new(Arc::new(config.kubernetes.clone())).await?;
        Ok(Self { config: Arc::new(config.clone()), streams: config.streams()?, api })
    }

    /// The streams to run: one per namespace, or one of all namespaces.
    #[must_use]
    pub fn streams(&self) -> Vec<StreamId> {
        self.streams.clone()
    }

    /// The uid of namespace `kube-system`, which names the cluster; `None` when the relay may not
    /// read it.
    pub async fn cluster_uid(&self) -> Result<Option<String>, SourceError> {
        objects::cluster_uid(&self.api).await
    }

    /// The text under a key of a config map.
    pub async fn config_map_text(
        &self,
        namespace: &str,
        name: &str,
        key: &str,
    ) -> Result<String, SourceError> {
        objects::config_map_text(&self.api, namespace, name, key).await
    }

    /// Feeds a stream of the log, from its frontier on, until `stop` is cancelled.
    ///
    /// Ends with an error only when going on would be wrong: the log failed, or the API server
    /// belongs to another cluster now.
    pub async fn run(
        &self,
        stream: log::Stream,
        known: Known,
        metrics: StreamMetrics,
        observer: Arc<dyn SourceObserver>,
        stop: CancellationToken,
    ) -> Result<(), SourceError> {
        let rules = Rules {
            stream: stream.id().clone(),
            start: self.config.kubernetes.start,
            event_ttl: self.config.kubernetes.event_ttl.0,
        };
        Shell::new(self.api.clone(), stream, rules, known, metrics, observer, stop).run().await
    }
}
