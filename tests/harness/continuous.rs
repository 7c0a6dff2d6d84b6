//! Events without pause, and a relay that is looked at while something happens to it.
//!
//! What has to arrive is what the API server lists in the end: a request that was cut off may have
//! created an event all the same.

use std::path::Path;
use std::time::Duration;

use rig::{Client, CreatedEvent, EventSpec, Receiver, Relay, Verdict};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::{PATIENCE, Setup, accepted};

/// Where the events are.
pub const NAMESPACE: &str = "default";

/// Time between two looks at what the relay says about itself.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// How long one event may take to be created.
const CREATION_PATIENCE: Duration = Duration::from_secs(2);

/// Creates events at a steady rate until it is dropped, whatever the API server does meanwhile.
#[derive(Debug)]
pub struct Writer(JoinHandle<()>);

impl Writer {
    /// Begins.
    pub fn start(client: &Client, per_second: u32) -> Self {
        let client = client.clone();
        Self(tokio::spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_secs(1) / per_second);
            for number in 0.. {
                ticks.tick().await;
                let spec = EventSpec::new(&format!("continuous-{number}"));
                // Without an answer it may exist or not: the list will tell.
                client.try_create_event(NAMESPACE, &spec, CREATION_PATIENCE).await;
            }
        }))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A relay, and the receiver its events go to.
#[derive(Debug)]
pub struct Observed {
    pub relay: Relay,
    pub receiver: Receiver,
}

impl Observed {
    /// Starts a relay with a data directory in `folder`; waits for nothing.
    pub fn start(folder: &Path, kubeconfig: &Path) -> Self {
        Self::start_with(folder, kubeconfig, "eventTtl: 1h")
    }

    /// The same, with more options of the source.
    pub fn start_with(folder: &Path, kubeconfig: &Path, source: &str) -> Self {
        std::fs::create_dir_all(folder).expect("a folder");
        let receiver = Receiver::start();
        let setup = Setup::new(folder, kubeconfig).source(source);
        let relay = setup.webhook("hook", &receiver.url(), "").relay().start();
        Self { relay, receiver }
    }

    /// Waits until it says that it is ready. Returns how long that took.
    pub async fn ready(&self) -> Duration {
        self.until("it is ready", |ready, _| ready).await.0
    }

    /// Waits until it says that it is not ready for this reason. Returns how long that took, and
    /// what it said.
    pub async fn unready(&self, reason: &str) -> (Duration, String) {
        self.until(reason, |ready, said| !ready && said.contains(reason)).await
    }

    async fn until(&self, what: &str, holds: impl Fn(bool, &str) -> bool) -> (Duration, String) {
        let began = Instant::now();
        let mut last = String::new();
        let search = async {
            loop {
                let (status, said) = self.relay.get("/readyz").await;
                if holds(status.is_success(), &said) {
                    return (began.elapsed(), said);
                }
                last = format!("{status}: {said}");
                sleep(LOOK_INTERVAL).await;
            }
        };
        let found = timeout(PATIENCE, search).await;
        found.unwrap_or_else(|_| {
            let lines = self.relay.lines();
            let lines: Vec<_> = lines.iter().rev().take(20).map(|line| &line.text).collect();
            panic!("never said that {what}; last {last}\nits last lines: {lines:#?}")
        })
    }

    /// Creates an event and waits until it has arrived. Returns how long that took.
    pub async fn passes(&self, client: &Client, name: &str) -> Duration {
        let event = client.create_event(NAMESPACE, &EventSpec::new(name)).await;
        self.arrives(&event).await
    }

    /// Waits until this event has arrived. Returns how long that took.
    pub async fn arrives(&self, event: &CreatedEvent) -> Duration {
        let began = Instant::now();
        let mut looked_at = 0;
        let arrived = self.receiver.becomes(PATIENCE, |requests| {
            let new = &requests[looked_at..];
            looked_at = requests.len();
            let mut new = new.iter().filter(|request| request.accepted());
            new.any(|request| request.json()["metadata"]["uid"] == event.uid.as_str())
        });
        assert!(arrived.await, "{event:?} has not arrived within {PATIENCE:?}");
        began.elapsed()
    }

    /// Ends it. Every version that the API server has, up to the last that arrived, must have
    /// arrived, in order and once, and no gap may have been reported.
    pub async fn has_all(self, client: &Client) -> Verdict {
        let status = self.relay.get_json("/api/v1/status").await;
        for stream in status["streams"].as_array().expect("streams") {
            assert_eq!(stream["gaps"], serde_json::json!([]), "{stream}");
        }
        assert!(self.relay.terminate().await.success());
        let requests = self.receiver.requests();
        let versions = requests.iter().filter(|request| request.accepted()).map(|request| {
            let version = &request.json()["metadata"]["resourceVersion"];
            version.as_str().and_then(|text| text.parse().ok()).expect("a resourceVersion")
        });
        let last: u64 = versions.max().expect("something arrived");
        let mut existing = client.existing_events().await;
        existing.retain(|event| event.resource_version <= last);
        let verdict = accepted(&requests, &existing).check();
        verdict.assert();
        assert_eq!(verdict.duplicates, 0, "nothing is delivered again: {verdict}");
        verdict
    }
}
