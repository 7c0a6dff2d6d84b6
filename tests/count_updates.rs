//! Each observed version of an event is a record of its own; its end is not a record, but is not
//! read again either.

#![allow(clippy::expect_used)] // a test fails where an expectation is not met

mod harness;

use std::collections::BTreeSet;

use harness::{PATIENCE, Setup, accepted, status_when};
use reqwest::Method;
use rig::{Client, Cluster, CreatedEvent, EventSpec, Received, Receiver};
use serde_json::Value;

const BUMPS: usize = 50;

/// An event happens 51 times while the relay watches, then it is deleted.
#[tokio::test(flavor = "multi_thread")]
async fn every_count_is_a_record_and_a_deletion_is_none() {
    let cluster = Cluster::start().await;
    let client = cluster.client();
    let receiver = Receiver::start();
    let setup = Setup::new(cluster.folder(), cluster.kubeconfig_path()).webhook(
        "counting",
        &receiver.url(),
        "",
    );
    let relay = setup.relay().start();
    // A list would show the last count only.
    relay.wait_for_line(PATIENCE, |line| line.contains("watching events")).await;

    let event = client.create_event("default", &EventSpec::new("counted")).await;
    let mut versions = vec![event.clone()];
    for _ in 0..BUMPS {
        versions.push(client.bump_event(&event).await);
    }
    let requests = receiver.wait_for(PATIENCE, |requests| requests.len() > BUMPS).await;
    assert_eq!(counts(&requests), (1..=BUMPS as u64 + 1).collect::<Vec<_>>());
    assert_eq!(keys(&requests).len(), versions.len(), "each version has a key of its own");
    let verdict = accepted(&requests, &versions).check();
    verdict.assert();
    assert_eq!((verdict.distinct, verdict.duplicates), (versions.len(), 0));

    let newest = versions.last().expect("there are some");
    client.delete_event(newest).await;
    let deletion = deletion(client, newest).await;
    let status = status_when(&relay, |status| {
        status.streams[0].frontier.as_deref() == Some(deletion.as_str())
    })
    .await;
    assert_eq!(status.streams[0].records, versions.len() as u64, "a deletion is no record");
    // What is sent is sent in order: a request about the deletion would come before this one.
    client.create_event("default", &EventSpec::new("afterwards")).await;
    let requests = receiver.wait_for(PATIENCE, |requests| requests.len() > versions.len()).await;
    let last = requests.last().expect("there are some");
    assert_eq!(last.json()["metadata"]["name"], "afterwards");
    assert_eq!(requests.len(), versions.len() + 1, "a deletion is not sent");
    assert!(relay.terminate().await.success());
}

fn counts(requests: &[Received]) -> Vec<u64> {
    let count = |request: &Received| request.json()["count"].as_u64().expect("a count");
    requests.iter().map(count).collect()
}

fn keys(requests: &[Received]) -> BTreeSet<&str> {
    requests.iter().filter_map(|request| request.header("idempotency-key")).collect()
}

/// The version at which the API server deleted the event, as its own watch tells.
async fn deletion(client: &Client, event: &CreatedEvent) -> String {
    let CreatedEvent { namespace, resource_version, .. } = event;
    let path =
        format!("/api/v1/namespaces/{namespace}/events?watch=1&resourceVersion={resource_version}");
    let request = client.request(Method::GET, &path).timeout(PATIENCE);
    let mut answer = request.send().await.expect("a watch");
    let mut line = Vec::new();
    while !line.contains(&b'\n') {
        line.extend_from_slice(&answer.chunk().await.expect("a watch").expect("an item"));
    }
    let item: Value = serde_json::from_slice(&line).expect("one item");
    assert_eq!(item["type"], "DELETED");
    item["object"]["metadata"]["resourceVersion"].as_str().expect("a version").to_owned()
}
