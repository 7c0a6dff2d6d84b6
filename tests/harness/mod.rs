//! What the end-to-end tests share: a relay's configuration as YAML, and events at a steady rate.

#![allow(dead_code, unreachable_pub, clippy::expect_used)] // each test uses a part of it

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rig::{Client, Conservation, CreatedEvent, EventSpec, Received, Relay, RelayBuilder};

/// The program under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_kube-event-relay");

/// Generous: CI has two cores, and a wait that ends with the event costs nothing.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A relay's YAML file in a folder, with the given source and sinks.
#[derive(Debug, Clone)]
pub struct Setup {
    folder: PathBuf,
    source: String,
    log: String,
    sinks: String,
}

impl Setup {
    /// Reads events through a kubeconfig, all of them, into `folder`/data.
    pub fn new(folder: &Path, kubeconfig: &Path) -> Self {
        let source = format!("kubeconfig: {}, start: all", kubeconfig.display());
        Self { folder: folder.to_owned(), source, log: String::new(), sinks: String::new() }
    }

    /// More options of the source, in YAML's flow form: `eventTtl: 2s`.
    pub fn source(mut self, options: &str) -> Self {
        self.source = format!("{}, {options}", self.source);
        self
    }

    /// Options of the log: `retain: 0s`.
    pub fn log(mut self, options: &str) -> Self {
        self.log = format!(", {options}");
        self
    }

    /// A webhook sink that tries again quickly; `more` are further keys, each on a line of its own.
    pub fn webhook(mut self, name: &str, url: &str, more: &str) -> Self {
        self.sinks += &format!(
            "  - name: {name}\n    kind: webhook\n    options: {{url: \"{url}\"}}\n    \
             retry: {{initial: 100ms, max: 1s, timeout: 2s}}\n"
        );
        for line in more.lines() {
            self.sinks += &format!("    {}\n", line.trim());
        }
        self
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Writes the file and returns its path.
    pub fn write(&self) -> PathBuf {
        let Self { source, log, sinks, .. } = self;
        let text = format!(
            "cluster: rig\nsource: {{kubernetes: {{{source}}}}}\n\
             log: {{dataDir: {}{log}}}\nadmin: {{listen: \"127.0.0.1:0\"}}\nsinks:\n{sinks}",
            self.data().display()
        );
        let path = self.folder.join("relay.yaml");
        std::fs::write(&path, text).expect("write");
        path
    }

    /// The relay with this file, ready to be started any number of times.
    pub fn relay(&self) -> RelayBuilder {
        let path = self.write();
        let config = path.to_str().expect("a path of text").to_owned();
        Relay::builder(BINARY).without_admin().args(["run", "--config", &config])
    }
}

/// Creates the events with these numbers one after another, at a steady rate.
pub async fn create_at_rate(
    client: &Client,
    numbers: Range<usize>,
    per_second: u32,
) -> Vec<CreatedEvent> {
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / per_second);
    let mut events = Vec::with_capacity(numbers.len());
    for number in numbers {
        ticks.tick().await;
        let spec = EventSpec::new(&format!("steady-{number}"));
        events.push(client.create_event("default", &spec).await);
    }
    events
}

/// What arrived at a receiver and was accepted, against what was created.
pub fn accepted(requests: &[Received], created: &[CreatedEvent]) -> Conservation {
    let mut oracle = Conservation::new();
    oracle.created(created);
    for request in requests.iter().filter(|request| request.accepted()) {
        oracle.received_object(&request.json());
    }
    oracle
}

/// Number of distinct records among the accepted requests.
pub fn distinct(requests: &[Received]) -> usize {
    let accepted = requests.iter().filter(|request| request.accepted());
    let keys = accepted.filter_map(|request| request.header("idempotency-key"));
    keys.collect::<std::collections::BTreeSet<_>>().len()
}
