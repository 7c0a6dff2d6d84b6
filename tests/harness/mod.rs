//! What the end-to-end tests share: a relay's configuration as YAML, and events at a steady rate.

#![allow(dead_code, unreachable_pub, clippy::expect_used, clippy::format_push_string)] // each test uses a part of it

pub mod continuous;
pub mod exerciser;
pub mod metrics;
pub mod place;

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube_event_relay::cursor::{DeadLetter, State};
use kube_event_relay::log::DataDirectory;
use kube_event_relay::relay::Status;
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
    more: String,
}

impl Setup {
    /// Reads events through a kubeconfig, all of them, into `folder`/data.
    pub fn new(folder: &Path, kubeconfig: &Path) -> Self {
        let source = format!("kubeconfig: {}, start: all", kubeconfig.display());
        Self {
            folder: folder.to_owned(),
            source,
            log: String::new(),
            sinks: String::new(),
            more: String::new(),
        }
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
             retry: {{initial: 100ms, max: 1s, timeout: 5s}}\n"
        );
        for line in more.lines() {
            self.sinks += &format!("    {}\n", line.trim());
        }
        self
    }

    /// A sink in YAML's flow form: `{name: a, kind: log}`.
    pub fn sink(mut self, sink: &str) -> Self {
        self.sinks += &format!("  - {sink}\n");
        self
    }

    /// A further key at the top of the file: `drainDeadline: 2s`.
    pub fn option(mut self, line: &str) -> Self {
        self.more += &format!("{line}\n");
        self
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Writes the file and returns its path.
    pub fn write(&self) -> PathBuf {
        let Self { source, log, sinks, more, .. } = self;
        let text = format!(
            "cluster: rig\n{more}source: {{kubernetes: {{{source}}}}}\n\
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

/// What the program answered to a command.
#[derive(Debug)]
pub struct Answer {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Runs the program under test to its end.
pub fn program(arguments: &[&str]) -> Answer {
    let output = Command::new(BINARY).args(arguments).stdin(Stdio::null()).output();
    let output = output.expect("the program starts");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    let (stdout, stderr) = (text(output.stdout), text(output.stderr));
    Answer { code: output.status.code(), stdout, stderr }
}

/// Asks the relay until its status is as wanted, and returns that.
pub async fn status_when(relay: &Relay, mut wanted: impl FnMut(&Status) -> bool) -> Status {
    let give_up = Instant::now() + PATIENCE;
    loop {
        let status = relay.get_json("/api/v1/status").await;
        let status: Status = serde_json::from_value(status).expect("a status");
        if wanted(&status) {
            return status;
        }
        assert!(Instant::now() < give_up, "not within {PATIENCE:?}: {status:#?}");
        // Nothing tells when it changes.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until every watch is open and agrees with the API server, and returns the status.
pub async fn live(relay: &Relay) -> Status {
    status_when(relay, |status| status.streams.iter().all(|stream| stream.live)).await
}

/// A metric of the stream of all namespaces: `gaps_total`.
pub async fn stream_metric(relay: &Relay, name: &str) -> u64 {
    let line = format!("kube_event_relay_stream_{name}{{stream=\"all-namespaces\"}} ");
    let metrics = relay.get_text("/metrics").await;
    let value = metrics.lines().find_map(|text| text.strip_prefix(line.as_str()));
    value.unwrap_or_else(|| panic!("no {line} in\n{metrics}")).parse().expect("a number")
}

/// Whether so many records were received, and every sink is done with them.
pub fn all_done(status: &Status, records: usize) -> bool {
    let received: u64 = status.streams.iter().map(|stream| stream.records).sum();
    received == records as u64 && status.sinks.iter().all(|sink| sink.lag_records == 0)
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

/// A key stands for one request: whoever sees it again sees the same bytes again.
pub fn same_bytes_under_each_key(requests: &[Received]) {
    let mut bodies: HashMap<&str, &[u8]> = HashMap::new();
    for request in requests {
        let key = request.header("idempotency-key").expect("every request has a key");
        let first = bodies.entry(key).or_insert(&request.body);
        assert_eq!(*first, request.body, "key {key} came with other bytes");
    }
}

/// What a stopped relay keeps for a sink.
pub async fn dead_letters(data: &Path, sink: &str) -> Vec<DeadLetter> {
    let directory = DataDirectory::open(data, Duration::ZERO).expect("a stopped relay's directory");
    let state = State::open(Arc::new(directory)).expect("its state");
    let letters = state.dead_letters(sink, 10).await.expect("dead letters");
    state.close().await.expect("closed");
    letters
}
