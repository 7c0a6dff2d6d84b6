//! Everything the demo runs: API server, receivers, relay, data directory.
//!
//! Invariant: whatever happens, dropping or [`Stage::clear`]ing it leaves no file, port or task.

use std::time::Duration;

use jiff::Timestamp;

use super::DemoError;
use super::api_server::{ApiServer, EventStore};
use super::directory::TemporaryDirectory;
use super::receiver::Receiver;
use super::relay::RunningRelay;
use super::scene::{self, ReceiverScene, Scene};
use super::workload::Workload;

/// Changes the API server remembers: more than any demo makes.
const HISTORY: usize = 10_000_000;

/// Name of the sink whose receiver goes down.
pub(super) const ONCALL: &str = "oncall";
/// Name of the sink whose receiver is always up.
pub(super) const ARCHIVE: &str = "archive";

/// What runs.
pub(super) struct Stage {
    pub(super) oncall: Receiver,
    pub(super) archive: Receiver,
    relay: RunningRelay,
    api_server: ApiServer,
    store: EventStore,
    workload: Workload,
    /// resourceVersions of all events so far.
    versions: Vec<u64>,
    /// Removed last, after the relay has closed its files.
    _directory: TemporaryDirectory,
}

impl Stage {
    /// Starts everything; the relay may not be watching yet.
    pub(super) async fn set(seed: u64) -> Result<Self, DemoError> {
        let store = EventStore::new(HISTORY);
        let api_server = ApiServer::start(store.clone()).await.map_err(DemoError::Network)?;
        let oncall = Receiver::open().await.map_err(DemoError::Network)?;
        let archive = Receiver::open().await.map_err(DemoError::Network)?;
        let directory = TemporaryDirectory::create().map_err(DemoError::Directory)?;
        let sinks = [(ONCALL, oncall.url()), (ARCHIVE, archive.url())];
        let relay = RunningRelay::start(directory.path(), api_server.url(), &sinks).await?;
        let workload = Workload::new(seed);
        let versions = Vec::new();
        Ok(Self {
            oncall,
            archive,
            relay,
            api_server,
            store,
            workload,
            versions,
            _directory: directory,
        })
    }

    /// Address of the relay's admin interface.
    pub(super) fn admin(&self) -> &str {
        self.relay.admin()
    }

    /// Waits until the relay watches the API server.
    pub(super) async fn wait_until_live(&self, patience: Duration) -> Result<(), DemoError> {
        const INTERVAL: Duration = Duration::from_millis(50);
        let live = async {
            while !self.relay.status().streams.iter().all(|stream| stream.live) {
                tokio::time::sleep(INTERVAL).await;
            }
        };
        tokio::time::timeout(patience, live).await.map_err(|_| {
            let streams = self.relay.status().streams;
            let reason = streams.into_iter().find_map(|stream| stream.reason);
            DemoError::NotLive(reason.unwrap_or_else(|| "no reason given".to_owned()))
        })
    }

    /// Makes events until there are `due`.
    pub(super) fn generate(&mut self, due: u64) -> Result<(), DemoError> {
        while self.generated() < due {
            let version = self.store.put(self.workload.next_event(Timestamp::now()))?;
            self.versions.push(version);
        }
        Ok(())
    }

    /// Events so far.
    pub(super) fn generated(&self) -> u64 {
        self.versions.len() as u64
    }

    /// resourceVersions of the events that have not arrived at a receiver.
    pub(super) fn missing_at(&self, receiver: &Receiver) -> Vec<u64> {
        receiver.ledger().missing(&self.versions)
    }

    /// Whether every event has arrived everywhere. Cheap while something is missing.
    pub(super) fn is_complete(&self) -> bool {
        [&self.oncall, &self.archive].iter().all(|receiver| {
            receiver.ledger().distinct() >= self.generated() && self.missing_at(receiver).is_empty()
        })
    }

    /// How things stand. Fails when the relay has stopped by itself.
    pub(super) fn look(&self, elapsed: Duration, generating: bool) -> Result<Scene, DemoError> {
        if self.relay.has_stopped() {
            return Err(DemoError::Stopped);
        }
        let (status, now) = (self.relay.status(), Timestamp::now());
        let doing = |name: &str| {
            let sink = status.sinks.iter().find(|sink| sink.name == name);
            sink.map_or_else(String::new, |sink| scene::doing(sink, now))
        };
        let receiver = |name: &'static str, receiver: &Receiver| ReceiverScene {
            name,
            open: receiver.is_open(),
            received: receiver.ledger().distinct(),
            doing: doing(name),
        };
        let receivers = vec![receiver(ONCALL, &self.oncall), receiver(ARCHIVE, &self.archive)];
        Ok(Scene { elapsed, generated: self.generated(), generating, receivers })
    }

    /// Stops everything and removes the data directory.
    pub(super) async fn clear(self) -> Result<(), DemoError> {
        self.relay.stop().await?;
        self.api_server.stop().await.map_err(DemoError::Network)
    }
}
