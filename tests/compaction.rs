//! Promise 2: when the API server has forgotten the version the log ends at, everything is listed and
//! every newer event arrives. It is a gap only if events may have expired in between, and then it is
//! told: with its time and its range, for good, and once.

#![allow(clippy::expect_used)] // a test fails where an expectation is not met

mod harness;

use std::time::Duration;

use harness::{PATIENCE, Setup, accepted, distinct, live, status_when, stream_metric};
use jiff::Timestamp;
use kube_event_relay::relay::{GapStatus, Status, StreamStatus};
use rig::{Cluster, CreatedEvent, EventSpec, Proxy, Receiver, Relay, Stream, Traffic};
use serde_json::{Value, json};

/// What the relay says about a gap, on standard error.
const WARNING: &str = "events may be missing";

/// Events created during a stop: enough for a kill to hit the list that brings them.
const MISSED: usize = 2_000;

/// Stopped for less than events live: nothing can have expired.
#[tokio::test(flavor = "multi_thread")]
async fn a_short_stop_is_no_gap() {
    let cluster = Cluster::start().await;
    let receiver = Receiver::start();
    let setup = Setup::new(cluster.folder(), cluster.kubeconfig_path()).webhook(
        "hook",
        &receiver.url(),
        "",
    );
    let mut created = cluster.client().create_events("default", 50, 4).await;
    let relay = setup.relay().start();
    arrived(&receiver, &created).await;
    assert!(relay.terminate().await.success());

    created.extend(cluster.client().create_events("default", MISSED, 4).await);
    forget_history(&cluster).await;
    let relay = setup.relay().start();
    created.extend(cluster.client().create_events("default", 50, 4).await);
    arrived(&receiver, &created).await;
    let verdict = accepted(&receiver.requests(), &created).check();
    verdict.assert();
    assert_eq!(verdict.duplicates, 0, "what was delivered before is not sent again");
    no_gap(&relay, &live(&relay).await).await;
    assert_eq!(stream_metric(&relay, "relists_total").await, 1);
    assert!(relay.terminate().await.success());
}

/// Stopped for longer than events live: one has expired, and the gap covers it.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_longer_than_events_live_is_a_gap_told_once() {
    let cluster = Cluster::start().await;
    let receiver = Receiver::start();
    let setup = Setup::new(cluster.folder(), cluster.kubeconfig_path())
        .source("eventTtl: 1s")
        .webhook("hook", &receiver.url(), "");
    let mut created = cluster.client().create_events("default", 50, 4).await;
    let relay = setup.relay().start();
    arrived(&receiver, &created).await;
    assert!(relay.terminate().await.success());
    let stopped = Timestamp::now();

    let expired = cluster.client().create_event("default", &EventSpec::new("expires")).await;
    created.extend(cluster.client().create_events("default", MISSED, 4).await);
    // What its lease does to an event when its time is over.
    cluster.client().delete_event(&expired).await;
    forget_history(&cluster).await;
    passes(stopped, Duration::from_secs(1)).await;

    // The relay is killed in the middle of its list, and the next one is longer: the gap is one.
    let relay = setup.relay().start();
    relay.wait_for_line(PATIENCE, |line| line.contains(WARNING)).await;
    relay.kill().await;
    created.extend(cluster.client().create_events("default", 1, 1).await);
    let relay = setup.relay().start();
    created.extend(cluster.client().create_events("default", 50, 4).await);
    arrived(&receiver, &created).await;
    let gap = only_gap(&live(&relay).await);
    let after = gap.after.as_deref().expect("there was a frontier");
    assert!(version(after) < expired.resource_version, "{gap:?}");
    assert!(version(&gap.until) > expired.resource_version, "{gap:?}");
    assert!(gap.from_time.expect("known") <= stopped && stopped < gap.to_time, "{gap:?}");
    assert!(relay.terminate().await.success());

    let relay = setup.relay().start();
    assert_eq!(only_gap(&live(&relay).await), gap, "it is remembered, unchanged");
    assert_eq!(stream_metric(&relay, "gaps_total").await, 0, "it is not found again");
    assert_eq!(warnings(&relay), Vec::<Value>::new());
    assert!(relay.terminate().await.success());
    let verdict = accepted(&receiver.requests(), &created).check();
    assert!(verdict.missing.is_empty() && verdict.unknown.is_empty(), "{verdict}");
}

/// The gap is in all three places an operator may look at.
#[tokio::test(flavor = "multi_thread")]
async fn a_gap_is_in_status_metrics_and_log() {
    let cluster = Cluster::start().await;
    let receiver = Receiver::start();
    let setup = Setup::new(cluster.folder(), cluster.kubeconfig_path())
        .source("eventTtl: 1s")
        .webhook("hook", &receiver.url(), "");
    let mut created = cluster.client().create_events("default", 10, 1).await;
    let relay = setup.relay().start();
    arrived(&receiver, &created).await;
    assert!(relay.terminate().await.success());
    let stopped = Timestamp::now();
    created.extend(cluster.client().create_events("default", 10, 1).await);
    forget_history(&cluster).await;
    passes(stopped, Duration::from_secs(1)).await;

    let relay = setup.relay().start();
    arrived(&receiver, &created).await;
    let gap = only_gap(&live(&relay).await);
    assert_eq!(stream_metric(&relay, "gaps_total").await, 1);
    let [line] = &warnings(&relay)[..] else { panic!("{:#?}", warnings(&relay)) };
    assert_eq!(line["level"], "ERROR");
    assert_eq!(line["stream"], "all-namespaces");
    assert_eq!(line["after"], json!(gap.after));
    assert_eq!(line["until"], json!(gap.until));
    for (field, kept) in [("from_time", gap.from_time), ("to_time", Some(gap.to_time))] {
        let told = line[field].as_str().and_then(|text| text.parse::<Timestamp>().ok());
        let kept = kept.expect("both ends are known").as_millisecond();
        assert_eq!(told.map(Timestamp::as_millisecond), Some(kept), "{field} in {line}");
    }
    assert_eq!(line["cause"], json!(gap.cause));
    accepted(&receiver.requests(), &created).check().assert();
    assert!(relay.terminate().await.success());
}

/// A quiet cluster: the frontier is older than the history, because only other objects change. As
/// long as the relay was there, nothing can have expired unseen, however long ago the last event was.
#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_cluster_is_no_gap() {
    // Longer than the time between two probes, so that only they can prove that nothing is missing.
    const EVENT_TTL: Duration = Duration::from_secs(80);
    let cluster = Cluster::start().await;
    let receiver = Receiver::start();
    let proxy = Proxy::start(cluster.url());
    let kubeconfig = cluster.write_kubeconfig(&proxy.url(), cluster.admin_token());
    let setup = Setup::new(cluster.folder(), &kubeconfig)
        .source(&format!("eventTtl: {}s", EVENT_TTL.as_secs()))
        .webhook("hook", &receiver.url(), "");
    let mut created = cluster.client().create_events("default", 10, 1).await;
    let relay = setup.relay().start();
    arrived(&receiver, &created).await;
    let quiet_since = stream(&live(&relay).await).complete_until.expect("it is complete");
    status_when(&relay, |status| stream(status).complete_until > Some(quiet_since)).await;
    passes(quiet_since, EVENT_TTL).await;
    let before = stream(&live(&relay).await);
    assert_eq!(before.records, created.len() as u64, "there was no event");
    forget_history(&cluster).await;
    proxy.switch(Traffic::Refuse).await;
    proxy.switch(Traffic::Pass).await;
    let relisted = |status: &Status| stream(status).live && stream(status).relists > before.relists;
    status_when(&relay, relisted).await;
    created.extend(cluster.client().create_events("default", 10, 1).await);
    arrived(&receiver, &created).await;
    let verdict = accepted(&receiver.requests(), &created).check();
    verdict.assert();
    assert_eq!(verdict.duplicates, 0);
    no_gap(&relay, &live(&relay).await).await;
    assert_eq!(stream_metric(&relay, "relists_total").await, before.relists + 1);
    assert!(relay.terminate().await.success());
}

/// Compacts until no watch can go on from any event so far.
async fn forget_history(cluster: &Cluster) {
    for _ in 0..3 {
        let name = json!({"generateName": "other-"});
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": name});
        cluster.client().post("/api/v1/namespaces/default/configmaps", &object).await;
    }
    cluster.compact_etcd().await;
}

/// Waits until this much time has passed since a moment: the age itself is what matters here.
async fn passes(since: Timestamp, duration: Duration) {
    let left = duration.as_secs_f64() - Timestamp::now().duration_since(since).as_secs_f64();
    tokio::time::sleep(Duration::from_secs_f64(left.max(0.0))).await;
}

async fn arrived(receiver: &Receiver, created: &[CreatedEvent]) {
    receiver.wait_for(PATIENCE, |requests| distinct(requests) >= created.len()).await;
}

async fn no_gap(relay: &Relay, status: &Status) {
    assert_eq!(stream(status).gaps, []);
    assert_eq!(stream_metric(relay, "gaps_total").await, 0);
    assert_eq!(warnings(relay), Vec::<Value>::new());
}

fn only_gap(status: &Status) -> GapStatus {
    let gaps = stream(status).gaps;
    let [gap] = &gaps[..] else { panic!("{gaps:#?}") };
    gap.clone()
}

fn stream(status: &Status) -> StreamStatus {
    status.streams[0].clone()
}

/// The lines on standard error that tell of gaps.
fn warnings(relay: &Relay) -> Vec<Value> {
    let lines = relay.lines();
    let errors = lines.iter().filter(|line| line.stream == Stream::Error);
    let told = errors.filter(|line| line.text.contains(WARNING));
    told.map(|line| serde_json::from_str(&line.text).expect("JSON")).collect()
}

/// The resourceVersion of a position.
fn version(position: &str) -> u64 {
    let digits = position.strip_prefix("0.").expect("the first generation");
    digits.parse().expect("a number")
}
