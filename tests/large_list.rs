//! A list of any length is taken over completely, whenever the relay is killed meanwhile, and no
//! list is ever held in memory.

#![allow(clippy::expect_used)] // a test fails where an expectation is not met

mod harness;

use std::path::Path;
use std::time::Instant;

use harness::{PATIENCE, Setup};
use rand::distr::{Alphanumeric, SampleString};
use rand::{SeedableRng, rngs::StdRng};
use rig::{
    Cluster, Conservation, CreatedEvent, EventSpec, HttpProxy, Kind, Received, Receiver,
    RelayBuilder, Seen,
};
use serde_json::Value;

/// Existing events, in a namespace each. The short list, 18 MiB, fills every buffer on the way (the
/// largest hold 8 MiB), so a difference between the two is what grows with the length of a list.
const SHORT: (&str, usize) = ("short", 5_000);
const LONG: (&str, usize) = ("long", 20_000);
/// Bytes of an event's message. They do not compress: whoever holds an event holds all of it.
const MESSAGE_BYTES: usize = 3_000;
/// Events on a page of a list.
const PAGE: usize = 500;
/// How much more memory the long list may take. Holding it would take 53 MiB more; measured are
/// 4 to 19 MiB, which is how much of the work of many threads happens to overlap.
const GROWTH_MAX: u64 = 32 << 20;

/// 20,000 existing events: taken over in one go; and killed in the middle of the list, then in the
/// middle of appending what was listed.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_list_is_taken_over_whole_and_never_held_in_memory() {
    // Without compaction the watch goes on from any frontier.
    let cluster = Cluster::builder().apiserver_arg("--etcd-compaction-interval=0").start().await;
    let short = existing(&cluster, SHORT).await;
    let long = existing(&cluster, LONG).await;
    memory_stays_flat(&cluster, &short, &long).await;
    kills_lose_nothing(&cluster, &long).await;
}

async fn memory_stays_flat(cluster: &Cluster, short: &[CreatedEvent], long: &[CreatedEvent]) {
    let (for_short, for_long) =
        (peak_memory(cluster, short).await, peak_memory(cluster, long).await);
    let growth = for_long.saturating_sub(for_short);
    assert!(growth < GROWTH_MAX, "{for_short} bytes for the short list, {for_long} for the long");
}

/// Takes over a whole namespace; the most memory that listing and appending took, in bytes.
async fn peak_memory(cluster: &Cluster, events: &[CreatedEvent]) -> u64 {
    let receiver = Receiver::start();
    // Reading the log again is another matter: the receiver is there once the list has been appended.
    receiver.down().await;
    let proxy = HttpProxy::start(cluster.client());
    let folder = tempfile::tempdir_in(cluster.folder()).expect("room");
    let relay = relay_of(folder.path(), &proxy, events, &receiver);
    let (relay, started) = (relay.start(), Instant::now());
    proxy.wait_for(PATIENCE, |seen| resumed_at(seen).is_some()).await;
    let (peak, appended) = (relay.peak_rss_bytes(), started.elapsed());
    receiver.up();
    assert_eq!(all_arrive(&receiver, events).await, 0, "nothing was accepted twice");
    println!(
        "{} events: appended within {appended:.1?}, peak memory {} KiB; delivered within {:.1?}, {} KiB",
        events.len(),
        peak >> 10,
        started.elapsed(),
        relay.peak_rss_bytes() >> 10
    );
    assert!(relay.terminate().await.success());
    peak
}

async fn kills_lose_nothing(cluster: &Cluster, events: &[CreatedEvent]) {
    let receiver = Receiver::start();
    let proxy = HttpProxy::start(cluster.client());
    let relay = relay_of(cluster.folder(), &proxy, events, &receiver);
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

/// A relay of the events' namespace that delivers hundreds of them at once.
fn relay_of(
    folder: &Path,
    proxy: &HttpProxy,
    events: &[CreatedEvent],
    receiver: &Receiver,
) -> RelayBuilder {
    let kubeconfig = folder.join("proxy.kubeconfig");
    proxy.write_kubeconfig(&kubeconfig);
    let sink = format!(
        "{{name: all, kind: webhook, options: {{url: \"{}\", format: array}}, \
         retry: {{initial: 100ms, max: 1s}}}}",
        receiver.url()
    );
    let source = format!("namespaces: [{}]", events[0].namespace);
    Setup::new(folder, &kubeconfig).source(&source).sink(&sink).relay()
}

/// Waits for the last of the events, and looks whether all came, in order. How many came again.
async fn all_arrive(receiver: &Receiver, events: &[CreatedEvent]) -> usize {
    let last = &events.last().expect("there are some").uid;
    let holds_last = |request: &Received| {
        objects(request).iter().any(|event| event["metadata"]["uid"] == last.as_str())
    };
    let arrived = |requests: &[Received]| requests.last().is_some_and(holds_last);
    let mut oracle = Conservation::new();
    oracle.created(events);
    for request in receiver.wait_for(PATIENCE, arrived).await {
        for event in &objects(&request) {
            oracle.received_object(event);
        }
    }
    let verdict = oracle.check();
    verdict.assert();
    verdict.duplicates
}

fn objects(request: &Received) -> Vec<Value> {
    match request.json() {
        Value::Array(objects) => objects,
        other => panic!("not an array: {other}"),
    }
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
