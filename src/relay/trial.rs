//! Trying a sink without a relay.

use std::sync::Arc;

use super::error::RelayError;
use super::upstream::ClusterConfigMaps;
use crate::sink::{ConfigMaps, SinkConfig, SinkContext, Trial, http_client, try_out};
use crate::source::{Source, SourceConfig};

/// Sends one event marked as a test through a sink of a configuration.
pub async fn try_sink(
    cluster: &str,
    source: &SourceConfig,
    sink: &SinkConfig,
) -> Result<Trial, RelayError> {
    // Only templates out of the cluster need it, and a sink that has one says so when it is not there.
    let config_maps = Source::new(source).await.ok().map(|source| {
        let maps: Arc<dyn ConfigMaps> = Arc::new(ClusterConfigMaps(Arc::new(source)));
        maps
    });
    let context = SinkContext { cluster: cluster.into(), http: http_client()?, config_maps };
    let tried = try_out(sink, &context).await;
    tried.map_err(|cause| RelayError::Sink { name: sink.name.clone(), cause })
}
