//! The real relay, set up for the demo: the only place here that knows how it is configured.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::admin::{self, Admin, AdminConfig, AdminToken, Reloads};
use crate::cursor::DeadLettersConfig;
use crate::event::Match;
use crate::log::{LogConfig, WhenFull};
use crate::relay::{Relay, RelayConfig, RelayError, RelayHandle, Starting, Status};
use crate::setting::{ByteSize, Span};
use crate::sink::{Batch, Retry, SinkConfig};
use crate::source::{KubernetesConfig, SourceConfig, Start};
use crate::telemetry::Metrics;

use super::DemoError;

/// A relay with its admin interface. Dropping it tells both to stop.
pub(super) struct RunningRelay {
    handle: RelayHandle,
    admin: String,
    stop: DropGuard,
    relay: JoinHandle<Result<(), RelayError>>,
    server: JoinHandle<()>,
}

impl RunningRelay {
    /// Starts a relay that keeps its data in `directory`, watches the API server at `api_server`
    /// and sends to the webhooks `sinks` (name, URL).
    pub(super) async fn start(
        directory: &Path,
        api_server: String,
        sinks: &[(&str, String)],
    ) -> Result<Self, DemoError> {
        let metrics = Arc::new(Metrics::new());
        let admin = AdminConfig { listen: (Ipv4Addr::LOCALHOST, 0).into() }.bind().await?;
        let address = admin.local_addr().map_err(DemoError::Network)?;
        let config = config(directory, api_server, sinks);
        let relay = Relay::start(config, Arc::clone(&metrics), Starting::default()).await?;
        let (handle, stop) = (relay.handle(), CancellationToken::new());
        let (token, reloads) = (AdminToken::of(directory), Reloads::default());
        let shown = Admin { metrics, token, reloads };
        let server = admin::serve(admin, handle.clone(), shown, stop.clone());
        Ok(Self {
            handle,
            admin: format!("http://{address}"),
            relay: tokio::spawn(relay.run_until(stop.clone())),
            server: tokio::spawn(server),
            stop: stop.drop_guard(),
        })
    }

    /// What `status` shows.
    pub(super) fn status(&self) -> Status {
        self.handle.status()
    }

    /// Address of its admin interface.
    pub(super) fn admin(&self) -> &str {
        &self.admin
    }

    /// Whether it has stopped by itself, which it must not.
    pub(super) fn has_stopped(&self) -> bool {
        self.relay.is_finished()
    }

    /// Stops it in order and waits until it has closed its files.
    pub(super) async fn stop(self) -> Result<(), DemoError> {
        drop(self.stop);
        let stopped = self.relay.await.map_err(DemoError::Interrupted)?;
        self.server.await.map_err(DemoError::Interrupted)?;
        Ok(stopped?)
    }
}

fn config(directory: &Path, api_server: String, sinks: &[(&str, String)]) -> RelayConfig {
    RelayConfig {
        cluster: "demo".to_owned(),
        source: SourceConfig {
            kubernetes: KubernetesConfig {
                server: Some(api_server),
                start: Start::All,
                ..KubernetesConfig::default()
            },
        },
        log: LogConfig {
            data_dir: directory.to_owned(),
            max_bytes: ByteSize::mib(256),
            retain: Span::from_secs(3600),
            when_full: WhenFull::Pause,
        },
        sinks: sinks.iter().map(|(name, url)| webhook(name, url)).collect(),
        drain_deadline: Span::from_secs(2),
        dead_letters: DeadLettersConfig::default(),
    }
}

fn webhook(name: &str, url: &str) -> SinkConfig {
    SinkConfig {
        name: name.to_owned(),
        kind: "webhook".to_owned(),
        options: Map::from_iter([("url".to_owned(), Value::from(url))]),
        include: Match::default(),
        exclude: Vec::new(),
        batch: Batch::default(),
        // Short, so that a demo of half a minute shows how the backlog drains.
        retry: Retry {
            initial: Span::from_millis(250),
            max: Span::from_secs(2),
            timeout: Span::from_secs(5),
        },
        rate: None,
        group: None,
        required: true,
    }
}
