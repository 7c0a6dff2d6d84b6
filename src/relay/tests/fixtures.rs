//! A cluster and sinks that do as a test says, around the real log.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::cursor::DeadLettersConfig;
use crate::event::{Filter, Header, Record, StreamId};
use crate::log::{Entry, LogConfig, NewRecord, Stream};
use crate::relay::destination::{Destination, Provisions};
use crate::relay::report::Identity;
use crate::relay::runner::fixtures::{position, version};
use crate::relay::runner::{Limits, Profile, Windows};
use crate::relay::supervisor::Assembly;
use crate::relay::upstream::Upstream;
use crate::relay::{Relay, RelayError, RelayHandle, Starting};
use crate::setting::{ByteSize, Span};
use crate::sink::{Delivery, Outcome, Retry, Sink, SinkContext};
use crate::source::{Known, Phase, PhaseName, SourceError, SourceObserver};
use crate::telemetry::{Metrics, StreamMetrics};

/// How long anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for what a test needs, or fails.
pub(in crate::relay) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it happens in time")
}

/// What a scripted API server answers when asked which cluster it is.
#[derive(Debug, Clone)]
pub(in crate::relay) enum Answer {
    Uid(&'static str),
    Nothing,
}

/// An API server: streams, and what happens in them.
pub(in crate::relay) struct Cluster {
    streams: Vec<StreamId>,
    identity: watch::Receiver<Answer>,
    happenings: Mutex<Vec<mpsc::UnboundedReceiver<Happening>>>,
    known: mpsc::UnboundedSender<Known>,
}

/// Something that happens in a stream.
pub(in crate::relay) enum Happening {
    Event(u64, usize),
    Refusal(&'static str),
}

/// A test's end of a [`Cluster`].
pub(in crate::relay) struct Script {
    pub(in crate::relay) identity: watch::Sender<Answer>,
    pub(in crate::relay) streams: Vec<mpsc::UnboundedSender<Happening>>,
    pub(in crate::relay) known: mpsc::UnboundedReceiver<Known>,
}

impl Script {
    /// Events with these versions happen in the first stream.
    pub(in crate::relay) fn events(&self, versions: std::ops::RangeInclusive<u64>) {
        for version in versions {
            self.streams[0].send(Happening::Event(version, 100)).expect("the source listens");
        }
    }
}

pub(in crate::relay) fn cluster(namespaces: &[&str]) -> (Arc<Cluster>, Script) {
    let mut streams: Vec<_> = namespaces
        .iter()
        .map(|namespace| StreamId::of_namespace(namespace).expect("a namespace"))
        .collect();
    if streams.is_empty() {
        streams.push(StreamId::all_namespaces());
    }
    let (senders, receivers) = streams.iter().map(|_| mpsc::unbounded_channel()).unzip();
    let (identity, answer) = watch::channel(Answer::Uid("one"));
    let (known, seen) = mpsc::unbounded_channel();
    let happenings = Mutex::new(receivers);
    let cluster = Cluster { streams, identity: answer, happenings, known };
    (Arc::new(cluster), Script { identity, streams: senders, known: seen })
}

#[async_trait]
impl Upstream for Cluster {
    fn streams(&self) -> Vec<StreamId> {
        self.streams.clone()
    }

    async fn cluster_uid(&self) -> Result<Option<String>, SourceError> {
        match *self.identity.borrow() {
            Answer::Uid(uid) => Ok(Some(uid.to_owned())),
            Answer::Nothing => Err(SourceError::Unreachable("scripted".to_owned())),
        }
    }

    async fn config_map_text(&self, _: &str, _: &str, _: &str) -> Result<String, SourceError> {
        Err(SourceError::Unreachable("scripted".to_owned()))
    }

    async fn run(
        &self,
        stream: Stream,
        known: Known,
        _metrics: StreamMetrics,
        observer: Arc<dyn SourceObserver>,
        stop: CancellationToken,
    ) -> Result<(), SourceError> {
        let index = self.streams.iter().position(|id| id == stream.id()).expect("a stream of ours");
        let mut happenings = {
            let mut all = self.happenings.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut all[index], mpsc::unbounded_channel().1)
        };
        self.known.send(known).expect("the test listens");
        observer.phase(&Phase { name: PhaseName::Watching, live: true, reason: None });
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(stream.sync().await?),
                happening = happenings.recv() => match happening {
                    Some(Happening::Event(version, size)) => {
                        let record = new_record(version, size);
                        let header = record.header.clone();
                        tokio::select! {
                            appended = stream.append(Entry::Record(record)) => appended?,
                            () = stop.cancelled() => {}
                        }
                        observer.record(&header, "a message");
                    }
                    Some(Happening::Refusal(reason)) => {
                        return Err(SourceError::Refused(reason.to_owned()));
                    }
                    None => stop.cancelled().await,
                }
            }
        }
    }
}

/// A record whose body cannot be compressed.
fn new_record(version: u64, size: usize) -> NewRecord {
    let mut body = vec![0; size];
    rand::fill(&mut body[..]);
    NewRecord {
        position: position(version),
        received_at: Timestamp::now(),
        header: Header::default(),
        body: Bytes::from(body),
    }
}

/// A sink that answers as its switch says, and tells what it accepted.
struct SwitchedSink {
    switch: watch::Receiver<Outcome>,
    accepted: mpsc::UnboundedSender<u64>,
    delay: Duration,
}

#[async_trait]
impl Sink for SwitchedSink {
    async fn deliver(&mut self, batch: &[Record]) -> Delivery {
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
        let outcome = self.switch.borrow().clone();
        if outcome == Outcome::Accepted {
            for record in batch {
                // A test that is over does not listen any more.
                let _heard = self.accepted.send(version(record));
            }
        }
        Delivery::Whole(outcome)
    }
}

/// A test's end of a sink.
pub(in crate::relay) struct Switch {
    pub(in crate::relay) outcome: watch::Sender<Outcome>,
    accepted: mpsc::UnboundedReceiver<u64>,
}

impl Switch {
    /// The next records it accepted.
    pub(in crate::relay) async fn accepted(&mut self, count: usize) -> Vec<u64> {
        let mut versions = Vec::new();
        while versions.len() < count {
            versions.push(soon(self.accepted.recv()).await.expect("the sink lives"));
        }
        versions
    }

    /// The next record, if it has accepted one already.
    pub(in crate::relay) fn now(&mut self) -> Option<u64> {
        self.accepted.try_recv().ok()
    }

    /// Whether it has accepted nothing else so far.
    pub(in crate::relay) fn is_quiet(&mut self) -> bool {
        self.accepted.try_recv().is_err()
    }
}

/// A required sink of this name.
pub(in crate::relay) fn sink(name: &str, delay: Duration) -> (Destination, Switch) {
    let (outcome, switch) = watch::channel(Outcome::Accepted);
    let (sender, accepted) = mpsc::unbounded_channel();
    let build = move || -> Box<dyn Sink> {
        Box::new(SwitchedSink { switch: switch.clone(), accepted: sender.clone(), delay })
    };
    let identity = Identity {
        name: name.to_owned(),
        kind: "switched",
        exporter: "SwitchedSink",
        required: true,
    };
    let sink = build();
    let profile = Profile {
        letters: DeadLettersConfig::default(),
        build: Arc::new(move || Ok(build())),
        filter: Filter::default(),
        limits: Limits { max_records: 10, max_bytes: 1 << 20, max_wait: Duration::ZERO },
        retry: Retry {
            initial: Span::from_millis(1),
            max: Span::from_millis(20),
            timeout: Span::from_secs(30),
        },
        hold_probe: Duration::from_millis(20),
        quota: None,
        group: None,
        windows: Windows::default(),
    };
    let config = serde_json::json!({"name": name, "kind": "switched"});
    let config = serde_json::from_value(config).expect("a configuration");
    (Destination { config, identity, profile, sink }, Switch { outcome, accepted })
}

/// A relay that runs in the background.
pub(in crate::relay) struct Running {
    pub(in crate::relay) handle: RelayHandle,
    pub(in crate::relay) task: JoinHandle<Result<(), RelayError>>,
    shutdown: CancellationToken,
}

impl Running {
    pub(in crate::relay) async fn start(
        path: &Path,
        cluster: Arc<Cluster>,
        destinations: Vec<Destination>,
    ) -> Result<Self, RelayError> {
        let log = LogConfig { data_dir: path.to_owned(), ..LogConfig::default() };
        Self::start_with(log, cluster, destinations).await
    }

    pub(in crate::relay) async fn start_with(
        log: LogConfig,
        cluster: Arc<Cluster>,
        destinations: Vec<Destination>,
    ) -> Result<Self, RelayError> {
        let http = crate::sink::http_client().expect("a client");
        let context = SinkContext { cluster: "test".into(), http, config_maps: None };
        let assembly = Assembly {
            provisions: Provisions {
                context,
                windows: Windows::default(),
                letters: DeadLettersConfig::default(),
            },
            cluster: "test".to_owned(),
            log,
            drain_deadline: Span::from_millis(500),
            upstream: cluster,
            destinations,
            metrics: Arc::new(Metrics::new()),
            starting: Starting::default(),
        };
        let relay = Relay::assemble(assembly).await?;
        let (handle, shutdown) = (relay.handle(), CancellationToken::new());
        let task = tokio::spawn(relay.run_until(shutdown.clone()));
        Ok(Self { handle, task, shutdown })
    }

    pub(in crate::relay) async fn stop(self) -> Result<(), RelayError> {
        self.shutdown.cancel();
        soon(self.task).await.expect("no panic")
    }

    /// Waits until the relay looks as wanted.
    pub(in crate::relay) async fn until(&self, wanted: impl Fn(&crate::relay::Status) -> bool) {
        soon(async {
            while !wanted(&self.handle.status()) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    }
}

/// Limits small enough to be reached in a test.
pub(in crate::relay) fn small_log(path: &Path) -> LogConfig {
    LogConfig { data_dir: path.to_owned(), max_bytes: ByteSize::mib(64), ..LogConfig::default() }
}
