//! Killed at any moment and started again, the relay loses nothing that the API server accepted:
//! during list, intake, delivery and trim.
//!
//! `KILLS` (50) says how often, `SEED` repeats the moments of an earlier run.

#![allow(clippy::expect_used)] // a test fails where an expectation is not met

mod harness;

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use harness::{PATIENCE, Setup, same_bytes_under_each_key};
use kube_event_relay::event::Position;
use rand::distr::{Alphanumeric, SampleString};
use rand::{Rng, SeedableRng, rngs::StdRng};
use rig::{
    Answer, Behaviour, Client, Cluster, Conservation, CreatedEvent, EventSpec, Received, Receiver,
};

/// Events that exist before the first start.
const EXISTING: usize = 300;
/// Bytes of an event's message, none of which compress well: segments are to be sealed and trimmed.
const MESSAGE_BYTES: usize = 6_000;
/// Longest life of a relay, in milliseconds.
const LIFE_MAX: f64 = 2_000.0;
/// The first lives end while the existing events are listed: their number, and the longest of them.
const SHORT_LIVES: u64 = 6;
const SHORT_LIFE_MAX: f64 = 150.0;

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_is_killed_at_any_moment_loses_nothing() {
    let kills = number("KILLS").unwrap_or(50);
    let seed = number("SEED").unwrap_or_else(|| rand::rng().random());
    println!("SEED={seed} KILLS={kills}");
    let mut random = StdRng::seed_from_u64(seed);

    let cluster = Cluster::builder().apiserver_arg("--etcd-compaction-interval=0").start().await;
    let writer = Writer::existing(cluster.client()).await;
    let (steady, flaky) = (Receiver::start(), Receiver::start());
    let setup = Setup::new(cluster.folder(), cluster.kubeconfig_path())
        .log("retain: 0s")
        .webhook("steady", &steady.url(), "")
        .webhook("flaky", &flaky.url(), "");
    let relay = setup.relay();
    let writing = writer.clone();
    let writing = tokio::spawn(async move { writing.write(seed).await });

    let mut runs = Runs::default();
    let mut first_segment = None;
    for number in 0..kills {
        flaky.behave(mood(&mut random));
        let running = relay.start();
        tokio::time::sleep(life(
            &mut random,
            if number < SHORT_LIVES { SHORT_LIFE_MAX } else { LIFE_MAX },
        ))
        .await;
        running.kill().await;
        runs.end(&steady, &flaky);
        let oldest = oldest_segment(&setup.data());
        runs.before_the_log += usize::from(oldest.is_none());
        first_segment = first_segment.or(oldest);
        // Until a list has been taken over, a change would rightly replace the version before it.
        writer.bumping.store(steady.count() > 0, Ordering::Relaxed);
    }
    writer.stop.store(true, Ordering::Relaxed);
    writing.await.expect("the writer ends by itself");
    flaky.behave(Behaviour::status(200));
    let running = relay.start();
    let created = writer.created();
    for (receiver, ends) in [(&steady, &runs.steady), (&flaky, &runs.flaky)] {
        let requests = receiver.wait_for(PATIENCE, |requests| has_all(requests, &created)).await;
        let verdict = oracle(&requests, ends, &created).check();
        println!("{verdict}; {} requests", requests.len());
        verdict.assert();
        same_bytes_under_each_key(&requests);
    }
    let oldest = oldest_segment(&setup.data()).expect("there is a log");
    println!(
        "{} kills before there was a log, oldest segment {first_segment:?} at first, {oldest} at last",
        runs.before_the_log
    );
    assert!(running.terminate().await.success());
    assert!(runs.before_the_log > 0, "the relay was killed before it had taken over the list");
    assert!(first_segment.is_some_and(|first| first < oldest), "segments were trimmed meanwhile");
    assert!(runs.interrupted(&steady), "the relay was killed while there was something to deliver");
}

/// How many requests each receiver had when a relay was killed.
#[derive(Default)]
struct Runs {
    steady: Vec<usize>,
    flaky: Vec<usize>,
    before_the_log: usize,
}

impl Runs {
    fn end(&mut self, steady: &Receiver, flaky: &Receiver) {
        self.steady.push(steady.count());
        self.flaky.push(flaky.count());
    }

    /// Whether most relays lived long enough to deliver something.
    fn interrupted(&self, receiver: &Receiver) -> bool {
        let delivering = self.steady.windows(2).filter(|pair| pair[0] < pair[1]).count();
        delivering * 4 > self.steady.len() && self.steady.last() < Some(&receiver.count())
    }
}

/// Creates and changes events all the time, and remembers every version.
#[derive(Clone)]
struct Writer {
    client: Client,
    created: Arc<Mutex<Vec<CreatedEvent>>>,
    bumping: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
}

impl Writer {
    async fn existing(client: &Client) -> Self {
        let created = client.create_events("default", EXISTING, 8).await;
        Self {
            client: client.clone(),
            created: Arc::new(Mutex::new(created)),
            bumping: Arc::default(),
            stop: Arc::default(),
        }
    }

    async fn write(&self, seed: u64) {
        let mut random = StdRng::seed_from_u64(seed);
        let mut ticks = tokio::time::interval(Duration::from_millis(7));
        for number in 0.. {
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            ticks.tick().await;
            let message = Alphanumeric.sample_string(&mut random, MESSAGE_BYTES);
            let spec = EventSpec { message, ..EventSpec::new(&format!("written-{number}")) };
            let event = self.client.create_event("default", &spec).await;
            self.remember(event.clone());
            if number % 5 == 0 && self.bumping.load(Ordering::Relaxed) {
                self.remember(self.client.bump_event(&event).await);
            }
        }
    }

    fn remember(&self, event: CreatedEvent) {
        self.created.lock().expect("no panic").push(event);
    }

    fn created(&self) -> Vec<CreatedEvent> {
        self.created.lock().expect("no panic").clone()
    }
}

/// What the flaky receiver does during one life of the relay.
fn mood(random: &mut StdRng) -> Behaviour {
    match random.random_range(0..5) {
        0 => Behaviour::status(503),
        1 => Behaviour::Hang,
        2 => Behaviour::AcceptThenDrop,
        3 => Behaviour::Answer(Answer::status(429).header("retry-after", "1")),
        _ => Behaviour::status(200),
    }
}

/// From 5 ms on, each order of magnitude as likely as the next.
fn life(random: &mut StdRng, max: f64) -> Duration {
    let exponent = random.random_range(5f64.ln()..max.ln());
    Duration::from_secs_f64(exponent.exp() / 1000.0)
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn has_all(requests: &[Received], created: &[CreatedEvent]) -> bool {
    if requests.len() < created.len() {
        return false;
    }
    let version = |request: &Received| {
        let event = request.json();
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        (text(&event["metadata"]["uid"]), text(&event["metadata"]["resourceVersion"]))
    };
    let arrived: HashSet<_> =
        requests.iter().filter(|request| request.accepted()).map(version).collect();
    let wanted = |event: &CreatedEvent| (event.uid.clone(), event.resource_version.to_string());
    created.iter().all(|event| arrived.contains(&wanted(event)))
}

/// Order counts within each life of the relay.
fn oracle(requests: &[Received], ends: &[usize], created: &[CreatedEvent]) -> Conservation {
    let mut oracle = Conservation::new();
    oracle.created(created);
    for (number, request) in requests.iter().enumerate() {
        if ends.contains(&number) {
            oracle.new_run();
        }
        if request.accepted() {
            oracle.received_object(&request.json());
        }
    }
    oracle
}

fn oldest_segment(data: &Path) -> Option<Position> {
    let entries = std::fs::read_dir(data.join("streams/all-namespaces")).ok()?;
    let position = |entry: std::fs::DirEntry| entry.file_name().to_string_lossy().parse().ok();
    entries.flatten().filter_map(position).min()
}
