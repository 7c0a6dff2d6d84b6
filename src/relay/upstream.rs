//! What the relay needs of a source: the seam between the two.

use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::event::StreamId;
use crate::log::Stream;
use crate::sink::ConfigMaps;
use crate::source::{Known, Source, SourceError, SourceObserver};
use crate::telemetry::StreamMetrics;

/// Where events come from.
#[async_trait]
pub(crate) trait Upstream: Send + Sync + 'static {
    /// The streams it fills.
    fn streams(&self) -> Vec<StreamId>;

    /// What tells its cluster from all others; `None` when it may not be known.
    async fn cluster_uid(&self) -> Result<Option<String>, SourceError>;

    /// The text under a key of a config map.
    async fn config_map_text(
        &self,
        namespace: &str,
        name: &str,
        key: &str,
    ) -> Result<String, SourceError>;

    /// Fills a stream until `stop`. An error is fatal to the stream.
    async fn run(
        &self,
        stream: Stream,
        known: Known,
        metrics: StreamMetrics,
        observer: Arc<dyn SourceObserver>,
        stop: CancellationToken,
    ) -> Result<(), SourceError>;
}

#[async_trait]
impl Upstream for Source {
    fn streams(&self) -> Vec<StreamId> {
        Source::streams(self)
    }

    async fn cluster_uid(&self) -> Result<Option<String>, SourceError> {
        Source::cluster_uid(self).await
    }

    async fn config_map_text(
        &self,
        namespace: &str,
        name: &str,
        key: &str,
    ) -> Result<String, SourceError> {
        Source::config_map_text(self, namespace, name, key).await
    }

    async fn run(
        &self,
        stream: Stream,
        known: Known,
        metrics: StreamMetrics,
        observer: Arc<dyn SourceObserver>,
        stop: CancellationToken,
    ) -> Result<(), SourceError> {
        Source::run(self, stream, known, metrics, observer, stop).await
    }
}

/// Config maps for sinks, read with the source's access to the cluster.
pub(crate) struct ClusterConfigMaps(pub(crate) Arc<dyn Upstream>);

#[async_trait]
impl ConfigMaps for ClusterConfigMaps {
    async fn text(&self, namespace: &str, name: &str, key: &str) -> Result<String, String> {
        let text = self.0.config_map_text(namespace, name, key).await;
        text.map_err(|error| error.to_string())
    }
}
