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
use std::time::{Duration, Instant};

use harness::{PATIENCE, Setup, all_done, same_bytes_under_each_key, status_when};
use kube_event_relay::event::Position;
use rand::distr::{Alphanumeric, SampleString};
use rand::{Rng, SeedableRng, rngs::StdRng};
use rig::{
    Answer, Behaviour, Client, Cluster, Conservation, CreatedEvent, EventSpec, HttpProxy, Kind,
    Received, Receiver, Relay, Seen,
};

/// Events that exist before the first start: three pages of a list.
const EXISTING: usize = 1_200;
/// Events on a page of a list.
const PAGE: usize = 500;
/// Bytes of an event's message, none of which compress well: segments are to be sealed and trimmed.
const MESSAGE_BYTES: usize = 6_000;
/// Longest life of a relay, in milliseconds.
const LIFE_MAX: f64 = 2_000.0;
/// Lives that end while existing events are listed: the first, one in so many.
const LISTING: u64 = 8;
/// Longest time from a page of a list to the end, in milliseconds.
const LISTING_MAX: f64 = 60.0;
/// Lives that end when a segment is removed: one in so many.
const TRIMMING: u64 = 5;
/// How often a relay looks for segments to be removed.
const TRIM_INTERVAL: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_is_killed_at_any_moment_loses_nothing() {
    let kills = number("KILLS").unwrap_or(50);
    let seed = number("SEED").unwrap_or_else(|| rand::rng().random());
    println!("SEED={seed} KILLS={kills}");
    let mut random = StdRng::seed_from_u64(seed);

    let cluster = Cluster::builder().apiserver_arg("--etcd-compaction-interval=0").start().await;
    let writer = Writer::existing(cluster.client()).await;
    let (steady, flaky) = (Receiver::start(), Receiver::start());
    let proxy = HttpProxy::start(cluster.client());
    let kubeconfig = cluster.folder().join("proxy.kubeconfig");
    proxy.write_kubeconfig(&kubeconfig);
    let setup = Setup::new(cluster.folder(), &kubeconfig)
        .log("retain: 0s")
        .webhook("steady", &steady.url(), "")
        .webhook("flaky", &flaky.url(), "");
    let relay = setup.relay();
    let writing = writer.clone();
    let writing = tokio::spawn(async move { writing.write(seed).await });

    let mut runs = Runs::default();
    for number in 0..kills {
        let oldest = oldest_segment(&setup.data());
        runs.resumed += usize::from(oldest.is_some());
        let trimming = oldest.is_some() && number % TRIMMING == 0;
        // A segment is removed when both receivers have what is in it.
        flaky.behave(if trimming { Behaviour::status(200) } else { mood(&mut random) });
        let before = proxy.seen().len();
        let (running, started) = (relay.start(), Instant::now());
        if oldest.is_none() && number < kills / LISTING {
            let page = random.random_range(1..=EXISTING.div_ceil(PAGE));
            proxy.wait_for(PATIENCE, |all| pages(&all[before..]) >= page).await;
            tokio::time::sleep(life(&mut random, LISTING_MAX)).await;
        } else if trimming {
            until_trimmed(&setup.data()).await;
        } else {
            tokio::time::sleep(life(&mut random, LIFE_MAX)).await;
        }
        assert!(running.is_running(), "it ended by itself: {:#?}", running.lines());
        running.kill().await;
        runs.end(&steady, &flaky);
        runs.killed(&proxy.seen()[before..], oldest.as_ref(), &setup.data());
        runs.ready.extend(ready(&running, started));
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
    let end = status_when(&running, |status| all_done(status, created.len())).await;
    assert_eq!(end.streams[0].gaps, [], "nothing was missed, so nothing is reported");
    assert!(end.sinks.iter().all(|sink| sink.lost == 0 && sink.dead_letters == 0));
    assert_eq!(names(&setup.data(), ".damaged"), 0, "a kill damages nothing");
    runs.print();
    assert!(running.terminate().await.success());
    assert!(runs.listing > 0, "it was killed in the middle of a list");
    assert!(runs.watching > 0 && runs.resumed > 0, "it was killed while it watched, and resumed");
    assert!(runs.trimming > 0, "it was killed when a segment had been removed");
    assert!(runs.interrupted(&steady), "it was killed while there was something to deliver");
}

/// What became of the relays that were killed.
#[derive(Default)]
struct Runs {
    /// Requests that each receiver had then.
    steady: Vec<usize>,
    flaky: Vec<usize>,
    /// Started with a log.
    resumed: usize,
    /// Killed after a page of a list was asked for, and before a watch was.
    listing: usize,
    /// Killed after a watch was asked for.
    watching: usize,
    /// Killed after it had removed a segment.
    trimming: usize,
    /// Killed in the middle of removing one.
    removing: usize,
    /// How long it took from the start to the watch.
    ready: Vec<Duration>,
}

impl Runs {
    fn end(&mut self, steady: &Receiver, flaky: &Receiver) {
        self.steady.push(steady.count());
        self.flaky.push(flaky.count());
    }

    fn killed(&mut self, seen: &[Seen], oldest_before: Option<&Position>, data: &Path) {
        let watched = seen.iter().any(|seen| seen.kind == Kind::Watch);
        self.watching += usize::from(watched);
        self.listing += usize::from(!watched && pages(seen) > 0);
        self.trimming +=
            usize::from(oldest_before.is_some() && oldest_segment(data).as_ref() > oldest_before);
        self.removing += names(data, ".removing");
    }

    fn print(&mut self) {
        let Self { resumed, listing, watching, trimming, removing, ready, .. } = self;
        println!(
            "{resumed} started with a log; killed: {listing} while listing, {watching} while watching, \
             {trimming} after a trim, {removing} in the middle of one"
        );
        ready.sort();
        if let [least, .., most] = ready[..] {
            let median = ready[ready.len() / 2];
            println!("start to watch: {least:.0?} to {most:.0?}, median {median:.0?}");
        }
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

/// How many pages of a list were asked for. A probe is a list of one event.
fn pages(seen: &[Seen]) -> usize {
    let limit = format!("limit={PAGE}");
    seen.iter().filter(|seen| seen.kind == Kind::List && seen.target.contains(&limit)).count()
}

/// How long it took the relay to watch, if it lived to see it.
fn ready(relay: &Relay, started: Instant) -> Option<Duration> {
    let lines = relay.lines();
    let watching = lines.iter().find(|line| line.text.contains("watching events"))?;
    Some(watching.arrived - started)
}

/// Waits for the removal of a segment, or for a while.
async fn until_trimmed(data: &Path) {
    let (before, give_up) = (oldest_segment(data), Instant::now() + 3 * TRIM_INTERVAL);
    while oldest_segment(data) == before && Instant::now() < give_up {
        // Nothing tells when it happens.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn oldest_segment(data: &Path) -> Option<Position> {
    segments(data).iter().filter_map(|name| name.parse().ok()).min()
}

fn names(data: &Path, end: &str) -> usize {
    segments(data).iter().filter(|name| name.ends_with(end)).count()
}

fn segments(data: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(data.join("streams/all-namespaces")) else { return vec![] };
    entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
