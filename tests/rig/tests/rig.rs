//! The rig tested by itself: each disturbance does what its name says.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use futures::StreamExt;
use reqwest::{Method, StatusCode};
use rig::{
    Answer, Behaviour, Client, Cluster, Conservation, Disturbance, EventSpec, HttpProxy, Kind,
    Outcome, Proxy, Receiver, Relay, Traffic,
};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const TIMEOUT: Duration = Duration::from_secs(30);
/// How long something must not happen for.
const QUIET: Duration = Duration::from_millis(300);
const EVENTS: &str = "/api/v1/namespaces/default/events";

/// What a watch yields until it ends; `Err` when it breaks off.
async fn watch_to_its_end(client: &Client, path: &str) -> Result<Vec<Value>, String> {
    let answer = client.request(Method::GET, path).send().await.map_err(|p| p.to_string())?;
    let text = answer.text().await.map_err(|problem| problem.to_string())?;
    Ok(text.lines().map(|line| serde_json::from_str(line).expect("a whole line")).collect())
}

fn watch_from(version: u64) -> String {
    format!("{EVENTS}?watch=1&resourceVersion={version}&timeoutSeconds=1")
}

fn plain(proxy: &HttpProxy, cluster: &Cluster) -> Client {
    Client::new(&proxy.url(), cluster.ca_path(), "none")
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_created_changed_listed_and_deleted() {
    let begin = Instant::now();
    let cluster = Cluster::start().await;
    println!("cluster started in {:?}", begin.elapsed());
    let client = cluster.client();
    assert!(!client.namespace_uid("kube-system").await.is_empty());
    client.create_namespace("shop").await;

    let created = client.create_event("shop", &EventSpec::new("first")).await;
    let changed = client.bump_event(&created).await;
    assert_eq!(changed.uid, created.uid);
    assert!(changed.resource_version > created.resource_version);
    let listed = client.list_events("shop").await;
    assert_eq!((listed.len(), &listed[0]["count"]), (1, &json!(2)));
    client.delete_event(&changed).await;
    assert!(client.list_events("shop").await.is_empty());

    let begin = Instant::now();
    let many = client.create_events("shop", 2000, 32).await;
    let rate = 2000.0 / begin.elapsed().as_secs_f64();
    println!("{rate:.0} events created per second");
    let mut conservation = Conservation::new();
    conservation.created(&many);
    let listed = client.get("/api/v1/namespaces/shop/events").await;
    let mut listed = listed["items"].as_array().expect("items").clone();
    listed.sort_by_key(|event| {
        event["metadata"]["resourceVersion"].as_str().and_then(|text| text.parse::<u64>().ok())
    });
    for event in &listed {
        conservation.received_object(event);
    }
    conservation.check().assert();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_account_has_the_rights_it_was_given() {
    let cluster = Cluster::start().await;
    let rules = json!([{"apiGroups": [""], "resources": ["events"], "verbs": ["list", "watch"]}]);
    let token = cluster.client().least_privilege_token("relay", &rules).await;
    let client = cluster.client_with_token(&token);
    let list = client.send(Method::GET, "/api/v1/events", None).await;
    assert_eq!(list.status, StatusCode::OK);
    let secrets = client.send(Method::GET, "/api/v1/secrets", None).await;
    assert_eq!(secrets.status, StatusCode::FORBIDDEN);
    let nobody = cluster.client_with_token("wrong").send(Method::GET, "/api/v1/events", None).await;
    assert_eq!(nobody.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread")]
async fn history_is_forgotten_and_time_goes_back() {
    let cluster = Cluster::start().await;
    let client = cluster.client();
    let old = client.create_event("default", &EventSpec::new("old")).await;
    client.create_event("default", &EventSpec::new("newer")).await;
    let seen = watch_to_its_end(client, &watch_from(old.resource_version)).await.unwrap();
    assert_eq!(seen[0]["object"]["metadata"]["name"], "newer");

    cluster.compact_etcd().await;
    let seen = watch_to_its_end(client, &watch_from(old.resource_version)).await.unwrap();
    assert_eq!((&seen[0]["type"], &seen[0]["object"]["code"]), (&json!("ERROR"), &json!(410)));

    let snapshot = cluster.folder().join("snapshot");
    cluster.snapshot_etcd(&snapshot).await;
    let before = cluster.revision().await;
    client.create_events("default", 50, 4).await;
    assert!(cluster.revision().await >= before + 50);
    cluster.restore_etcd(&snapshot).await;
    assert_eq!(client.list_events("default").await.len(), 2);
    assert!(cluster.revision().await < before + 50);
    let again = client.create_event("default", &EventSpec::new("again")).await;
    assert!(again.resource_version < before + 50);
    cluster.restore_etcd_carelessly(&snapshot).await;
    assert_eq!(client.list_events("default").await.len(), 2);

    cluster.stop_etcd().await;
    cluster.start_etcd().await;
    cluster.restart_apiserver().await;
    assert_eq!(client.list_events("default").await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tcp_proxy_disturbs_connections() {
    let cluster = Cluster::start().await;
    let proxy = Proxy::start(cluster.url());
    let client = Client::new(&proxy.url(), cluster.ca_path(), cluster.admin_token());
    client.get(EVENTS).await;

    proxy.switch(Traffic::HalfOpen).await;
    let get = || client.request(Method::GET, EVENTS).timeout(QUIET).send();
    assert!(get().await.unwrap_err().is_timeout());
    proxy.switch(Traffic::Refuse).await;
    assert!(get().await.unwrap_err().is_connect());
    proxy.switch(Traffic::CutAfter(100)).await;
    assert!(!get().await.unwrap_err().is_timeout());
    proxy.switch(Traffic::Pass).await;
    client.get(EVENTS).await;
    assert!(proxy.connections() >= 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_http_proxy_disturbs_lists_and_watches() {
    let cluster = Cluster::start().await;
    let direct = cluster.client();
    let first = direct.create_event("default", &EventSpec::new("first")).await;
    direct.create_events("default", 5, 1).await;
    let proxy = HttpProxy::start(direct);
    let client = plain(&proxy, &cluster);
    let path = watch_from(first.resource_version);

    assert_eq!(client.list_events("default").await.len(), 6);
    assert_eq!(watch_to_its_end(&client, &path).await.unwrap().len(), 5);

    let slow_down = Answer::status(429).header("retry-after", "7").body("{}");
    proxy.disturb_once(Kind::List, Disturbance::Answer(slow_down));
    let answer = client.request(Method::GET, EVENTS).send().await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["retry-after"]),
        (429, &"7".parse().unwrap())
    );
    assert_eq!(client.list_events("default").await.len(), 6);

    proxy.disturb_once(Kind::Watch, Disturbance::Empty);
    assert!(watch_to_its_end(&client, &path).await.unwrap().is_empty());

    proxy.disturb_once(Kind::Watch, Disturbance::CutAfterLines(2));
    let mut stream = client.request(Method::GET, &path).send().await.unwrap().bytes_stream();
    let mut text = Vec::new();
    let broken = loop {
        match stream.next().await {
            Some(Ok(bytes)) => text.extend(bytes),
            other => break other,
        }
    };
    assert!(broken.is_some(), "the watch ended cleanly");
    let text = String::from_utf8(text).unwrap();
    assert_eq!(text.matches('\n').count(), 2);
    assert!(text.len() > text.rfind('\n').unwrap() + 1, "cut between two lines");

    proxy.disturb_once(Kind::List, Disturbance::CutAfterLines(0));
    let cut = client.request(Method::GET, EVENTS).send().await.unwrap().bytes().await;
    assert!(cut.is_err());

    // A running watch stalls when the proxy is switched, and stays so.
    let path = format!("{EVENTS}?watch=1&resourceVersion={}", first.resource_version);
    let mut stream = client.request(Method::GET, &path).send().await.unwrap().bytes_stream();
    stream.next().await.unwrap().unwrap();
    proxy.disturb(Kind::Watch, Disturbance::StallAfterLines(0));
    direct.create_event("default", &EventSpec::new("unseen")).await;
    let silence = async {
        while let Some(Ok(bytes)) = stream.next().await {
            no_mention(&bytes);
        }
    };
    assert!(tokio::time::timeout(QUIET, silence).await.is_err());
    proxy.disturb(Kind::Watch, Disturbance::Pass);
    assert!(tokio::time::timeout(QUIET, stream.next()).await.is_err());
    assert_eq!((proxy.count(Kind::List), proxy.count(Kind::Watch)), (4, 4));
}

fn no_mention(bytes: &[u8]) {
    assert!(!String::from_utf8_lossy(bytes).contains("unseen"));
}

#[tokio::test]
async fn the_receiver_misbehaves_as_told() {
    let receiver = Receiver::start();
    let http = reqwest_client();
    let post = || http.post(receiver.url() + "/hook?a=b").body("{\"x\":1}").timeout(QUIET).send();
    assert_eq!(post().await.unwrap().status(), 200);
    receiver.behave_once(Behaviour::Answer(Answer::status(503).header("retry-after", "3")));
    receiver.behave(Behaviour::Hang);
    assert_eq!(post().await.unwrap().status(), 503);
    assert!(post().await.unwrap_err().is_timeout());
    receiver.behave(Behaviour::AcceptThenDrop);
    let dropped = post().await.unwrap_err();
    assert!(!dropped.is_timeout() && !dropped.is_connect());
    receiver.down().await;
    assert!(post().await.unwrap_err().is_connect());
    receiver.up();
    receiver.behave(Behaviour::delay(Duration::from_millis(50)));
    assert_eq!(post().await.unwrap().status(), 200);
    receiver.behave(Behaviour::decide(|request| {
        Behaviour::status(if request.json()["x"] == 1 { 413 } else { 200 })
    }));
    assert_eq!(post().await.unwrap().status(), 413);

    let requests = receiver.wait_for(TIMEOUT, |requests| requests.len() == 6).await;
    let outcomes: Vec<Outcome> = requests.iter().map(|request| request.outcome).collect();
    let answered = Outcome::Answered;
    let expected = [
        answered(200),
        answered(503),
        Outcome::Hung,
        Outcome::Dropped,
        answered(200),
        answered(413),
    ];
    assert_eq!(outcomes, expected);
    assert_eq!(requests[0].target, "/hook?a=b");
    assert!(!receiver.becomes(QUIET, |requests| requests.len() > 6).await);
}

fn reqwest_client() -> reqwest::Client {
    drop(rustls::crypto::ring::default_provider().install_default());
    reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap()
}

#[tokio::test]
async fn a_relay_is_watched_asked_and_killed() {
    let admin = Receiver::start();
    admin.behave(Behaviour::Answer(Answer::status(200).body("{\"ready\":true}")));
    let address = admin.url().replace("http://", "");
    let script = "echo admin listening address=$ADDRESS >&2; trap 'exit 3' TERM; while :; do sleep 0.01; done";
    let builder = Relay::builder("/bin/sh").args(["-c", script]).env("ADDRESS", address);
    let relay = builder.clone().without_admin().start();
    assert_eq!(relay.get_json("/readyz").await["ready"], true);
    assert!(relay.rss_bytes() > 0 && relay.is_running());
    assert_eq!(relay.terminate().await.code(), Some(3));

    let relay = builder.start();
    relay.wait_for_line(TIMEOUT, |line| line.contains("admin")).await;
    assert_eq!(relay.kill().await.code(), None);
    assert!(!relay.is_running());
}
