//! What a first start takes over, that a log which is there is always resumed, and which namespaces are
//! read; with the command line that users of kube-eventer have in their manifests.

#![allow(clippy::expect_used)] // a test fails where an expectation is not met

mod harness;

use harness::{BINARY, PATIENCE, Setup, accepted, distinct, live, program};
use jiff::{SignedDuration, Timestamp};
use kube_event_relay::relay::Status;
use rig::{
    Client, Cluster, CreatedEvent, EventSpec, Received, Receiver, Relay, RelayBuilder, Stream,
};
use serde_json::{Value, json};

/// By default nothing older than the start is sent and everything after it is, whichever way the
/// program is called.
#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_of_kube_eventer_starts_from_now() {
    let cluster = Cluster::start().await;
    cluster.client().create_events("default", 20, 4).await;
    let linked = cluster.folder().join("kube-eventer");
    std::os::unix::fs::symlink(BINARY, &linked).expect("a link");
    let ways = [
        ("run", Relay::builder(BINARY).arg("run")),
        ("flags", Relay::builder(BINARY)),
        ("kube-eventer", Relay::builder(&linked)),
    ];
    let mut running = Vec::new();
    for (name, relay) in ways {
        let receiver = Receiver::start();
        let data = cluster.folder().join(format!("data-{name}"));
        let relay = flags(relay, &cluster, &receiver).data_dir(&data).start();
        assert_eq!(live(&relay).await.streams[0].records, 0, "{name}");
        running.push((name, relay, receiver));
    }
    let created = create(cluster.client(), "new", 20).await;
    for (name, relay, receiver) in running {
        let requests = receiver.wait_for(PATIENCE, |requests| requests.len() >= 20).await;
        assert_eq!(messages(&requests), messages_of(&created), "{name}");
        assert_eq!(requests[0].method.as_str(), "POST", "{name}");
        let last = created.last().expect("events");
        relay.wait_for_line(PATIENCE, |line| line.contains(&last.uid)).await;
        assert!(relay.terminate().await.success(), "{name}");
        assert_eq!(receiver.count(), 20, "{name}");
        assert_eq!(printed(&relay), created, "{name}");
    }
}

/// `--start=30m` takes over what was last seen in that time, whenever it was first seen.
#[tokio::test(flavor = "multi_thread")]
async fn a_duration_takes_over_what_is_younger() {
    let cluster = Cluster::start().await;
    let receiver = Receiver::start();
    let client = cluster.client();
    let wanted = vec![
        client.create_event("default", &seen("recent", 5, 5)).await,
        client.create_event("default", &seen("recurring", 300, 20)).await,
        client.create_event("default", &EventSpec::new("just-now")).await,
    ];
    client.create_event("default", &seen("old", 45, 45)).await;
    let series = json!({"firstTimestamp": null, "lastTimestamp": null,
        "eventTime": ago_exactly(90), "reportingComponent": "rig", "reportingInstance": "rig",
        "action": "Testing"});
    client
        .create_event("default", &EventSpec { extra: series, ..EventSpec::new("old-style") })
        .await;

    let relay = flags(Relay::builder(BINARY), &cluster, &receiver)
        .arg("--start=30m")
        .data_dir(&cluster.folder().join("data"))
        .start();
    live(&relay).await;
    // Age counts for the start only: what happens later is sent, whatever time it tells.
    let late = client.create_event("default", &seen("late", 45, 45)).await;
    let requests = receiver.wait_for(PATIENCE, |requests| requests.len() > wanted.len()).await;
    let expected: Vec<_> = wanted.into_iter().chain([late]).collect();
    assert_eq!(messages(&requests), messages_of(&expected));
    assert!(relay.terminate().await.success());
}

/// A log that is there is resumed: nothing is left out, and nothing is taken over anew.
#[tokio::test(flavor = "multi_thread")]
async fn an_existing_log_resumes_whatever_the_start_says() {
    let cluster = Cluster::start().await;
    let receiver = Receiver::start();
    let client = cluster.client();
    client.create_event("default", &EventSpec::new("before-the-first-start")).await;
    let mut expected = Vec::new();
    for start in ["now", "now", "all", "30m"] {
        // From the second time on: created while the relay is stopped.
        if !expected.is_empty() {
            expected.push(
                client
                    .create_event(
                        "default",
                        &seen(&format!("while-stopped-{}", expected.len()), 45, 45),
                    )
                    .await,
            );
        }
        let relay = flags(Relay::builder(BINARY), &cluster, &receiver)
            .arg(format!("--start={start}"))
            .data_dir(&cluster.folder().join("data"))
            .start();
        live(&relay).await;
        expected.push(
            client
                .create_event("default", &EventSpec::new(&format!("live-{}", expected.len())))
                .await,
        );
        let requests =
            receiver.wait_for(PATIENCE, |requests| requests.len() >= expected.len()).await;
        assert_eq!(messages(&requests), messages_of(&expected), "--start={start}");
        assert!(relay.terminate().await.success());
    }
    assert_eq!(receiver.count(), expected.len(), "nothing is sent again");
}

/// Several namespaces are a stream each; the others are not read.
#[tokio::test(flavor = "multi_thread")]
async fn each_namespace_is_a_stream() {
    let cluster = Cluster::start().await;
    let client = cluster.client();
    for namespace in ["a", "b", "c"] {
        client.create_namespace(namespace).await;
    }
    let receiver = Receiver::start();
    let setup = Setup::new(cluster.folder(), cluster.kubeconfig_path())
        .source("namespaces: [a, b]")
        .webhook("hook", &receiver.url(), "");
    let mut a = client.create_events("a", 20, 2).await;
    let mut b = client.create_events("b", 30, 2).await;
    client.create_events("c", 20, 2).await;
    let relay = setup.relay().start();
    live(&relay).await;
    for _ in 0..10 {
        a.extend(client.create_events("a", 1, 1).await);
        client.create_events("c", 1, 1).await;
        client.create_events("default", 1, 1).await;
        b.extend(client.create_events("b", 2, 1).await);
    }
    let requests =
        receiver.wait_for(PATIENCE, |requests| distinct(requests) >= a.len() + b.len()).await;
    for (namespace, created) in [("a", &a), ("b", &b)] {
        let of_it: Vec<_> = requests
            .iter()
            .filter(|it| it.json()["metadata"]["namespace"] == namespace)
            .cloned()
            .collect();
        let verdict = accepted(&of_it, created).check();
        verdict.assert();
        assert_eq!(verdict.duplicates, 0);
    }
    assert_eq!(requests.len(), a.len() + b.len(), "nothing of other namespaces");
    let status = live(&relay).await;
    assert_eq!(streams(&status), [("namespace-a", 30), ("namespace-b", 50)]);
    let shown = program(&["status", "--server", &relay.admin_url().await]);
    assert_eq!(shown.code, Some(0), "{shown:?}");
    for (name, _) in streams(&status) {
        assert!(shown.stdout.contains(name), "{shown:?}");
    }
    assert!(relay.terminate().await.success());
    assert_eq!(receiver.count(), a.len() + b.len());
}

/// The flags of a manifest of kube-eventer: a webhook, and the log.
fn flags(relay: RelayBuilder, cluster: &Cluster, receiver: &Receiver) -> RelayBuilder {
    let kubeconfig = cluster.kubeconfig_path().display();
    relay
        .arg(format!("--source=kubernetes:https://kubernetes.default?inClusterConfig=false&localKubeConfig={kubeconfig}"))
        .arg(format!("--sink=webhook:{}/hook?method=POST", receiver.url()))
        .arg("--sink=log")
}

/// Creates events one after another.
async fn create(client: &Client, prefix: &str, count: usize) -> Vec<CreatedEvent> {
    let mut created = Vec::new();
    for number in 0..count {
        let spec = EventSpec::new(&format!("{prefix}-{number}"));
        created.push(client.create_event("default", &spec).await);
    }
    created
}

/// An event that tells when it was first and last seen, in minutes before now.
fn seen(name: &str, first: i64, last: i64) -> EventSpec {
    let extra = json!({"firstTimestamp": ago(first), "lastTimestamp": ago(last)});
    EventSpec { extra, ..EventSpec::new(name) }
}

/// So many minutes before now, in whole seconds as Kubernetes' `Time` has them.
fn ago(minutes: i64) -> String {
    moment(minutes).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The same in microseconds, as `MicroTime` has them.
fn ago_exactly(minutes: i64) -> String {
    moment(minutes).strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

fn moment(minutes: i64) -> Timestamp {
    Timestamp::now() - SignedDuration::from_mins(minutes)
}

/// The messages in kube-eventer's body, in order of arrival.
fn messages(requests: &[Received]) -> Vec<String> {
    requests.iter().map(|request| text(&request.json()["EventMessage"])).collect()
}

/// The messages of the rig's events.
fn messages_of(created: &[CreatedEvent]) -> Vec<String> {
    created.iter().map(|event| format!("event {}", event.name)).collect()
}

/// The events on standard output, where every line is one.
fn printed(relay: &Relay) -> Vec<CreatedEvent> {
    let lines = relay.lines();
    let output = lines.iter().filter(|line| line.stream == Stream::Output);
    output
        .map(|line| {
            let line: Value = serde_json::from_str(&line.text).expect("one object per line");
            let metadata = &line["event"]["metadata"];
            assert_eq!(line["resourceVersion"], metadata["resourceVersion"]);
            CreatedEvent {
                uid: text(&metadata["uid"]),
                namespace: text(&metadata["namespace"]),
                name: text(&metadata["name"]),
                resource_version: text(&metadata["resourceVersion"]).parse().expect("a number"),
            }
        })
        .collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is not a text")).to_owned()
}

/// Name and number of records of each stream.
fn streams(status: &Status) -> Vec<(&str, u64)> {
    status.streams.iter().map(|stream| (stream.stream.as_str(), stream.records)).collect()
}
