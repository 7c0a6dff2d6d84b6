//! Promise 3: each sink advances alone. A dead sink delays no other, and loses nothing itself.

#![allow(clippy::expect_used)] // a test fails where an expectation is not met

mod harness;

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::time::{Duration, Instant};

use harness::{PATIENCE, Setup, accepted, distinct};
use rig::{Behaviour, Client, Cluster, CreatedEvent, EventSpec, Received, Receiver};

/// In each of the two phases: 15 seconds.
const EVENTS: usize = 750;
const PER_SECOND: u32 = 50;

/// An event arrives before so many later ones are created. A relay that waits for a dead sink is
/// behind by a hundred: its attempts end after two seconds.
const BEHIND_MAX: usize = 50;

/// One sink refuses connections, another accepts requests and never answers; the third is well.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_sink_delays_no_other_and_drains_when_it_is_back() {
    let cluster = Cluster::start().await;
    let (well, refusing, hanging) = (Receiver::start(), Receiver::start(), Receiver::start());
    let setup = Setup::new(cluster.folder(), cluster.kubeconfig_path())
        .webhook("refusing", &refusing.url(), "")
        .webhook("hanging", &hanging.url(), "")
        .webhook("well", &well.url(), "");
    let relay = setup.relay().start();

    let before = create_timed(cluster.client(), 0..EVENTS).await;
    for receiver in [&well, &refusing, &hanging] {
        receiver.wait_for(PATIENCE, |requests| distinct(requests) >= EVENTS).await;
    }
    refusing.down().await;
    hanging.behave(Behaviour::Hang);
    let during = create_timed(cluster.client(), EVENTS..2 * EVENTS).await;
    let arrivals = well.wait_for(PATIENCE, |requests| distinct(requests) >= 2 * EVENTS).await;
    assert_eq!(distinct(&refusing.requests()), EVENTS, "it was dead throughout");
    assert_eq!(distinct(&hanging.requests()), EVENTS, "it was dead throughout");

    let (healthy, beside_dead) = (Latency::of(&before, &arrivals), Latency::of(&during, &arrivals));
    println!(
        "created to received, all sinks well: {healthy}\n          beside two dead sinks: {beside_dead}"
    );
    assert!(beside_dead.median <= 3 * healthy.median + Duration::from_millis(50));
    assert_eq!(first_behind(&during, &arrivals), None);

    refusing.up();
    hanging.behave(Behaviour::status(200));
    let created: Vec<_> = before.into_iter().chain(during).map(|(event, _)| event).collect();
    for receiver in [&well, &refusing, &hanging] {
        let requests =
            receiver.wait_for(PATIENCE, |requests| distinct(requests) >= created.len()).await;
        let verdict = accepted(&requests, &created).check();
        verdict.assert();
        assert_eq!(verdict.duplicates, 0, "no request that was accepted came again");
    }
    assert!(relay.terminate().await.success());
}

/// An event, and when the API server had said that it is created.
type Timed = (CreatedEvent, Instant);

async fn create_timed(client: &Client, numbers: Range<usize>) -> Vec<Timed> {
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / PER_SECOND);
    let mut events = Vec::with_capacity(numbers.len());
    for number in numbers {
        ticks.tick().await;
        let spec = EventSpec::new(&format!("timed-{number}"));
        let event = client.create_event("default", &spec).await;
        events.push((event, Instant::now()));
    }
    events
}

/// When each event arrived, in the order of `created`.
fn arrivals_of(created: &[Timed], requests: &[Received]) -> Vec<Instant> {
    let arrival = |request: &Received| {
        let uid = request.json()["metadata"]["uid"].as_str().map(str::to_owned);
        (uid.expect("a uid"), request.arrived)
    };
    let arrivals: HashMap<_, _> = requests.iter().map(arrival).collect();
    created.iter().map(|(event, _)| arrivals[&event.uid]).collect()
}

/// The first event that was overtaken by the creation of [`BEHIND_MAX`] others.
fn first_behind(created: &[Timed], requests: &[Received]) -> Option<usize> {
    let later = created.iter().skip(BEHIND_MAX).map(|(_, created)| created);
    arrivals_of(created, requests).iter().zip(later).position(|(arrived, later)| arrived > later)
}

struct Latency {
    median: Duration,
    p99: Duration,
}

impl Latency {
    fn of(created: &[Timed], requests: &[Received]) -> Self {
        let arrivals = arrivals_of(created, requests).into_iter().zip(created);
        // The event can be here before the API server's answer to its creation is.
        let mut latencies: Vec<_> = arrivals
            .map(|(arrived, (_, created))| arrived.saturating_duration_since(*created))
            .collect();
        latencies.sort_unstable();
        Self { median: latencies[latencies.len() / 2], p99: latencies[latencies.len() * 99 / 100] }
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "p50 {:.1?}, p99 {:.1?}", self.median, self.p99)
    }
}
