//! A list of any length is taken over completely, whenever the relay is killed meanwhile, and no
//! list is ever held in memory.

#![allow(clippy::expect_used)] // a test fails where an expectation is not met

mod harness;

use std::collections::HashSet;
use std::time::Instant;

use harness::{PATIENCE, Setup};
use rand::distr::{Alphanumeric, SampleString};
use rand::{SeedableRng, rngs::StdRng};
use rig::{
    Cluster, Conservation, CreatedEvent, EventSpec, HttpProxy, Kind, Received, Receiver, Seen,
};

/// Existing events, in a namespace each.
const SHORT: (&str, usize) = ("short", 2_000);
const LONG: (&str, usize) = ("long", 20_000);
/// Bytes of an event's message. Nothing that compresses: what is held is held in full.
const MESSAGE_BYTES: usize = 2_000;
/// Events on a page of a list.
const PAGE: usize = 500;
/// How much more memory the long list may take than the short one, in bytes.
const GROWTH_MAX: u64 = 24 << 20;

/// 20,000 existing events: taken over in one go; and killed in the middle of the list, then in the
/// middle of writing what was listed.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_list_is_taken_over_whole_and_in_flat_memory() {
    // Without compaction what is missing after a kill can be read from the watch.
    let cluster = Cluster::builder().apiserver_arg("--etcd-compaction-interval=0").start().await;
    let short = existing(&cluster, SHORT).await;
    let long = existing(&cluster, LONG).await;
    memory_stays_flat(&cluster, &short, &long).await;
    kills_lose_nothing(&cluster, &long).await;
}

async fn memory_stays_flat(cluster: &Cluster, short: &[CreatedEvent], long: &[CreatedEvent]) {
    let (for_short, for_long) =
        (peak_memory(cluster, short).await, peak_memory(cluster, long).await);
    println!(
        "peak memory: {} KiB for {} events, {} KiB for {}",
        for_short >> 10,
        short.len(),
        for_long >> 10,
        long.len()
    );
    assert!(
        for_long < for_short + GROWTH_MAX,
        "{} MiB for the short list, {} MiB for the long one",
        for_short >> 20,
        for_long >> 20
    );
}

/// Takes over a whole namespace; the most memory the relay had meanwhile, in bytes.
async fn peak_memory(cluster: &Cluster, events: &[CreatedEvent]) -> u64 {
    let receiver = Receiver::start();
    let folder = tempfile::tempdir_in(cluster.folder()).expect("room");
    let setup = Setup::new(folder.path(), cluster.kubeconfig_path());
    let started = Instant::now();
    let relay = for_namespace(setup, events, &receiver).relay().start();
    assert_eq!(all_arrive(&receiver, events).await, 0, "nothing came twice");
    println!("{} events arrived within {:.1?}", events.len(), started.elapsed());
    let peak = relay.peak_rss_bytes();
    assert!(relay.terminate().await.success());
    peak
}

async fn kills_lose_nothing(cluster: &Cluster, events: &[CreatedEvent]) {
    let receiver = Receiver::start();
    let proxy = HttpProxy::start(cluster.client());
    let kubeconfig = cluster.folder().join("proxy.kubeconfig");
    proxy.write_kubeconfig(&kubeconfig);
    let setup = Setup::new(cluster.folder(), &kubeconfig);
    let relay = for_namespace(setup, events, &receiver).relay();
    let pages = events.len() / PAGE;

    let listing = relay.start();
    proxy.wait_for(PATIENCE, |seen| listed(seen) == pages / 4).await;
    listing.kill().await;
    assert!(listed(&proxy.seen()) < pages, "it was killed in the middle of the list");
    assert_eq!(receiver.count(), 0, "an incomplete list is not passed on");

    let appending = relay.start();
    receiver.wait_for(PATIENCE, |requests| !requests.is_empty()).await;
    appending.kill().await;
    assert_eq!(listed(&proxy.seen()), pages / 4 + pages, "the second list was a whole one");
    assert_eq!(proxy.count(Kind::Watch), 0, "it was killed before it was done with the list");

    let resuming = relay.start();
    let duplicates = all_arrive(&receiver, events).await;
    let seen = proxy.wait_for(PATIENCE, |seen| resumed_at(seen).is_some()).await;
    let frontier = resumed_at(&seen).expect("waited for it");
    let appended = events.iter().filter(|event| event.resource_version <= frontier).count();
    println!("killed when {appended} events were appended; {duplicates} arrived twice");
    assert!(appended > 0 && appended < events.len(), "it was killed in the middle of appending");
    assert!(resuming.terminate().await.success());
}

/// Creates events with names in no relation to their order, which is that of a list.
async fn existing(cluster: &Cluster, (namespace, count): (&str, usize)) -> Vec<CreatedEvent> {
    cluster.client().create_namespace(namespace).await;
    let spec = |index: usize| {
        let mut random = StdRng::seed_from_u64(index as u64);
        let name = Alphanumeric.sample_string(&mut random, 20).to_lowercase();
        let message = Alphanumeric.sample_string(&mut random, MESSAGE_BYTES);
        EventSpec { message, ..EventSpec::new(&name) }
    };
    cluster.client().create_events_with(namespace, count, 8, spec).await
}

fn for_namespace(setup: Setup, events: &[CreatedEvent], receiver: &Receiver) -> Setup {
    let url = receiver.url();
    setup
        .source(&format!("namespaces: [{}]", events[0].namespace))
        .sink(&format!("{{name: all, kind: webhook, options: {{url: \"{url}\", format: array}}}}"))
}

/// Waits for the last of the events, and looks whether all came, in order. How many came again.
async fn all_arrive(receiver: &Receiver, events: &[CreatedEvent]) -> usize {
    let last = &events.last().expect("there are some").uid;
    let arrived = |requests: &[Received]| {
        requests.last().is_some_and(|request| uids(request).contains(last.as_str()))
    };
    let mut oracle = Conservation::new();
    oracle.created(events);
    for request in receiver.wait_for(PATIENCE, arrived).await {
        for event in request.json().as_array().expect("an array") {
            oracle.received_object(event);
        }
    }
    let verdict = oracle.check();
    verdict.assert();
    verdict.duplicates
}

fn uids(request: &Received) -> HashSet<String> {
    let events = request.json();
    let uid = |event: &serde_json::Value| event["metadata"]["uid"].as_str().map(str::to_owned);
    events.as_array().expect("an array").iter().filter_map(uid).collect()
}

/// How many pages of a list were asked for. A probe is a list of one event.
fn listed(seen: &[Seen]) -> usize {
    let limit = format!("limit={PAGE}");
    seen.iter().filter(|seen| seen.kind == Kind::List && seen.target.contains(&limit)).count()
}

/// The version from which the first watch was asked for.
fn resumed_at(seen: &[Seen]) -> Option<u64> {
    let watch = seen.iter().find(|seen| seen.kind == Kind::Watch)?;
    let parameters = watch.target.split(['?', '&']);
    parameters
        .filter_map(|part| part.strip_prefix("resourceVersion="))
        .find_map(|at| at.parse().ok())
}
