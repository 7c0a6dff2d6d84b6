//! The `elasticsearch` sink against real servers: `OpenSearch` 2, shared by the tests one after another, and
//! Elasticsearch 6 and 7, `OpenSearch` 3. What those lack without their commercial parts, credentials, a fake stands for.

#![allow(clippy::expect_used)] // a test fails where an expectation is not met

mod fakes;
mod harness;

use std::collections::HashSet;
use std::time::Duration;

use fakes::elasticsearch::{Elasticsearch, Mood};
use fakes::records::{record, records};
use harness::{Setup, all_done, create_at_rate, status_when};
use kube_event_relay::event::Record;
use kube_event_relay::setting::EventerUri;
use kube_event_relay::sink::registry;
use kube_event_relay::sink::{Delivery, Outcome, Sink, SinkContext, http_client};
use reqwest::Method;
use rig::{Cluster, Conservation, Proxy, ReservedPort, SearchProduct, SearchServer, Traffic};
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard, OnceCell};

/// The shared server, for as long as the guard lives. It ends with the process.
async fn server() -> MutexGuard<'static, SearchServer> {
    static SERVER: OnceCell<Mutex<SearchServer>> = OnceCell::const_new();
    let start = || async { Mutex::new(SearchServer::start(SearchProduct::OpenSearch2).await) };
    SERVER.get_or_init(start).await.lock().await
}

/// A new sink for the server, with these options besides.
fn sink(url: &str, more: &Value) -> Box<dyn Sink> {
    let mut options = json!({"nodes": [url]});
    for (name, value) in more.as_object().expect("an object") {
        options[name] = value.clone();
    }
    build(&options)
}

fn build(options: &Value) -> Box<dyn Sink> {
    let http = http_client().expect("CA certificates of the system");
    let context = SinkContext { cluster: "test".into(), http, config_maps: None };
    let kind = registry::find("elasticsearch").expect("a kind");
    (kind.build)(options.as_object().expect("an object"), &context).expect("a sink")
}

async fn each(sink: &mut dyn Sink, batch: &[Record]) -> Vec<Outcome> {
    match sink.deliver(batch).await {
        Delivery::Each(outcomes) => outcomes,
        Delivery::Whole(outcome) => vec![outcome; batch.len()],
        Delivery::Part { .. } => panic!("everything has room"),
    }
}

async fn accept(sink: &mut dyn Sink, batch: &[Record]) {
    let outcomes = each(sink, batch).await;
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Accepted), "{outcomes:?}");
}

/// The cause of a hold of everything.
async fn held(sink: &mut dyn Sink, batch: &[Record]) -> String {
    let outcomes = each(sink, batch).await;
    match &outcomes[..] {
        [Outcome::Hold { cause }, ..] => cause.clone(),
        _ => panic!("{outcomes:?}"),
    }
}

const EVENTS: usize = 600;

/// 600 events at 200 per second; the server is killed in the middle of the first half, and comes back
/// in the middle of the second.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_and_comes_back_has_every_event_once() {
    let mut server = server().await;
    let cluster = Cluster::start().await;
    let options = format!("nodes: [\"{}\"], index: killed, alias: killed-events", server.url());
    let setup = Setup::new(cluster.folder(), cluster.kubeconfig_path()).sink(&format!(
        "{{name: es, kind: elasticsearch, options: {{{options}}}, batch: {{maxRecords: 50, maxWait: 100ms}}, \
         retry: {{initial: 100ms, max: 1s, timeout: 5s}}}}"
    ));
    let relay = setup.relay().start();
    let client = cluster.client();
    let mut created = create_at_rate(client, 0..EVENTS / 4, 200).await;
    server.kill().await;
    created.extend(create_at_rate(client, EVENTS / 4..EVENTS * 3 / 4, 200).await);
    server.start_with(&[]).await;
    created.extend(create_at_rate(client, EVENTS * 3 / 4..EVENTS, 200).await);
    let status = status_when(&relay, |status| all_done(status, EVENTS)).await;
    assert_eq!(status.sinks[0].dead_letters, 0, "{status:#?}");

    let documents = server.documents("killed-events").await;
    assert_eq!(documents.len(), EVENTS, "exactly as many documents");
    let mut oracle = Conservation::new();
    oracle.created(&created);
    let mut sources: Vec<_> =
        documents.iter().map(|document| &document["_source"]["Metadata"]).collect();
    let version = |metadata: &Value| -> u64 {
        metadata["resourceVersion"].as_str().and_then(|text| text.parse().ok()).expect("a number")
    };
    sources.sort_by_key(|metadata| version(metadata));
    for metadata in sources {
        oracle.received(metadata["uid"].as_str().expect("text"), version(metadata));
    }
    let verdict = oracle.check();
    verdict.assert();
    assert_eq!((verdict.distinct, verdict.duplicates), (EVENTS, 0));
    assert!(relay.terminate().await.success());
}

#[tokio::test]
async fn a_redelivery_makes_no_second_copy() {
    let server = server().await;
    let records = records(500);
    for _ in 0..2 {
        accept(sink(&server.url(), &json!({"index": "twice"})).as_mut(), &records).await;
    }
    // Half of it is there already, half is new.
    accept(sink(&server.url(), &json!({"index": "twice"})).as_mut(), &self::records(600)[400..])
        .await;
    let documents = server.documents("twice-*").await;
    assert_eq!(documents.len(), 600);
    let ids: HashSet<_> = documents.iter().map(|document| document["_id"].to_string()).collect();
    assert_eq!(ids.len(), 600);
}

/// The documents are there, and nobody says so.
#[tokio::test]
async fn an_answer_that_is_lost_makes_no_second_copy() {
    let server = server().await;
    let proxy = Proxy::start(&server.url());
    let url = proxy.url().replace("https://", "http://");
    let mut sink = sink(&url, &json!({"index": "lost", "version": 7}));
    let records = records(100);
    proxy.switch(Traffic::CutAfter(1)).await;
    let outcomes = each(sink.as_mut(), &records).await;
    assert!(
        outcomes.iter().all(|outcome| matches!(outcome, Outcome::Retry { .. })),
        "{outcomes:?}"
    );
    assert_eq!(server.documents("lost-*").await.len(), 100);
    proxy.switch(Traffic::Pass).await;
    accept(sink.as_mut(), &records).await;
    assert_eq!(server.documents("lost-*").await.len(), 100);
}

#[tokio::test]
async fn a_record_that_the_mapping_refuses_does_not_stop_the_others() {
    let server = server().await;
    // Whoever made this index thought that messages are numbers.
    let mapping = json!({"mappings": {"properties": {"Message": {"type": "long"}}}});
    server.call(Method::PUT, "/strict-2024.05.01", &mapping).await;
    let batch = [record(1, "1"), record(2, "back-off"), record(3, "3")];
    let outcomes = each(sink(&server.url(), &json!({"index": "strict"})).as_mut(), &batch).await;
    assert_eq!((&outcomes[0], &outcomes[2]), (&Outcome::Accepted, &Outcome::Accepted));
    let Outcome::Rejected { reason } = &outcomes[1] else { panic!("{outcomes:?}") };
    assert!(reason.contains("mapper_parsing_exception"), "{reason}");
    assert!(reason.contains("failed to parse field [Message] of type [long]"), "{reason}");
    assert!(reason.contains("For input string: \"back-off\""), "{reason}");
    assert_eq!(server.documents("strict-*").await.len(), 2);
}

#[tokio::test]
async fn a_missing_index_holds_and_says_what_to_do() {
    let server = server().await;
    let allow = |allowed: &str| json!({"persistent": {"action.auto_create_index": allowed}});
    server.call(Method::PUT, "/_cluster/settings", &allow("false")).await;
    let mut by_hand = sink(&server.url(), &json!({"index": "byhand"}));
    let cause = held(by_hand.as_mut(), &records(2)).await;
    assert!(cause.contains("index_not_found_exception"), "{cause}");
    assert!(
        cause.contains("create it, allow it in `action.auto_create_index`, or set `alias`"),
        "{cause}"
    );
    // With an alias the sink makes the index, as kube-eventer does.
    accept(
        sink(&server.url(), &json!({"index": "made", "alias": "made-all"})).as_mut(),
        &records(2),
    )
    .await;
    assert_eq!(server.documents("made-all").await.len(), 2);
    // An operator makes the index: nothing was lost.
    server.call(Method::PUT, "/byhand-2024.05.01", &Value::Null).await;
    accept(by_hand.as_mut(), &records(2)).await;
    assert_eq!(server.documents("byhand-*").await.len(), 2);
    server.call(Method::PUT, "/_cluster/settings", &allow("true")).await;
}

#[tokio::test]
async fn a_wrong_credential_holds_and_says_what_to_do() {
    let server = Elasticsearch::start("9.2.0").await;
    server.demand(Some("ApiKey aWQ6czNjcmV0"));
    let url = format!("http://{}", server.address());
    for credential in
        [json!({}), json!({"apiKey": "id:another"}), json!({"username": "u", "password": "s3cret"})]
    {
        let cause = held(sink(&url, &credential).as_mut(), &records(2)).await;
        assert!(cause.contains("HTTP 401") && cause.contains("security_exception"), "{cause}");
        assert!(
            cause.contains("check `username` and `password`, `apiKey` or `bearerToken`"),
            "{cause}"
        );
        assert!(!cause.contains("s3cret") && !cause.contains("id:another"), "{cause}");
    }
    accept(sink(&url, &json!({"apiKey": "id:s3cret"})).as_mut(), &records(2)).await;
    assert_eq!(server.stored(), 2);
}

#[tokio::test]
async fn a_privilege_that_is_missing_holds_and_says_which() {
    let server = Elasticsearch::start("8.19.0").await;
    server.is(Mood::Item("message", 403, "security_exception"));
    let url = format!("http://{}", server.address());
    let cause = held(sink(&url, &json!({})).as_mut(), &records(1)).await;
    assert!(cause.contains("`create_doc`"), "{cause}");
}

/// A node with no room at all for what is being written, and none for large requests.
#[tokio::test]
async fn a_server_that_is_too_busy_gets_a_pause_and_one_that_finds_a_batch_too_large_gets_it_in_halves()
 {
    let mut server = server().await;
    server.kill().await;
    server
        .start_with(&["indexing_pressure.memory.limit=1kb", "http.max_content_length=64kb"])
        .await;
    let mut sink = sink(&server.url(), &json!({"index": "busy"}));
    let outcomes = each(sink.as_mut(), &records(20)).await;
    let busy = |outcome: &Outcome| matches!(outcome, Outcome::Retry { cause, .. } if cause.contains("rejected_execution_exception"));
    assert!(outcomes.iter().all(busy), "{outcomes:?}");
    let large: Vec<_> = (1..=5).map(|version| record(version, &"x".repeat(400_000))).collect();
    let whole = sink.deliver(&large).await;
    assert!(
        matches!(&whole, Delivery::Whole(Outcome::Rejected { reason }) if reason.contains("HTTP 413")),
        "{whole:?}"
    );
    server.kill().await;
    server.start_with(&[]).await;
    accept(sink.as_mut(), &records(20)).await;
    assert_eq!(server.documents("busy-*").await.len(), 20);
}

#[tokio::test]
async fn retry_after_is_honoured_and_what_was_taken_is_not_sent_again() {
    let server = Elasticsearch::start("9.2.0").await;
    let mut sink = sink(&format!("http://{}", server.address()), &json!({}));
    server.is(Mood::Status(429, 7));
    let whole = sink.deliver(&records(2)).await;
    let wait = Some(Duration::from_secs(7));
    assert!(
        matches!(whole, Delivery::Whole(Outcome::Retry { after, .. }) if after == wait),
        "{whole:?}"
    );
    server.is(Mood::Item("message 2", 429, "es_rejected_execution_exception"));
    let outcomes = each(sink.as_mut(), &records(3)).await;
    assert_eq!((&outcomes[0], &outcomes[2]), (&Outcome::Accepted, &Outcome::Accepted));
    assert!(matches!(outcomes[1], Outcome::Retry { .. }), "{outcomes:?}");
}

#[tokio::test]
async fn the_version_is_asked_once_and_again_after_a_failure() {
    let server = Elasticsearch::start("9.2.0").await;
    let asked = || server.calls().iter().filter(|call| *call == "GET /").count();
    let url = format!("http://{}", server.address());
    let mut sink = sink(&url, &json!({}));
    accept(sink.as_mut(), &records(1)).await;
    accept(sink.as_mut(), &records(2)).await;
    assert_eq!(asked(), 1);
    server.is(Mood::Status(503, 1));
    assert!(matches!(each(sink.as_mut(), &records(1)).await[0], Outcome::Retry { .. }));
    server.is(Mood::Takes);
    accept(sink.as_mut(), &records(3)).await;
    assert_eq!(asked(), 2);
    accept(self::sink(&url, &json!({"version": 9})).as_mut(), &records(4)).await;
    assert_eq!(asked(), 2);
    // With the wrong one the server refuses the request, which is nobody's event's fault.
    let cause = held(self::sink(&url, &json!({"version": 6})).as_mut(), &records(5)).await;
    assert!(cause.contains("check `version`"), "{cause}");
}

#[tokio::test]
async fn nodes_are_tried_in_turn() {
    let server = server().await;
    let (dead, dead_too) = (ReservedPort::new(), ReservedPort::new());
    let url = |port: &ReservedPort| format!("http://{}", port.address());
    let mut options =
        json!({"nodes": [url(&dead), url(&dead_too), server.url()], "index": "nodes"});
    accept(build(&options).as_mut(), &records(5)).await;
    assert_eq!(server.documents("nodes-*").await.len(), 5);
    options["nodes"] = json!([url(&dead), url(&dead_too)]);
    let outcomes = each(build(&options).as_mut(), &records(1)).await;
    let Outcome::Retry { cause, .. } = &outcomes[0] else { panic!("{outcomes:?}") };
    assert!(cause.starts_with("none of 2 nodes answers; the last one: "), "{cause}");
}

#[tokio::test]
async fn a_node_that_hangs_is_not_asked_first_again() {
    let (hanging, other) =
        (Elasticsearch::start("9.2.0").await, Elasticsearch::start("9.2.0").await);
    hanging.is(Mood::Silent);
    let url = |server: &Elasticsearch| format!("http://{}", server.address());
    let mut sink = build(&json!({"nodes": [url(&hanging), url(&other)]}));
    let records = records(2);
    // As the runner does.
    let given_up = tokio::time::timeout(Duration::from_millis(200), sink.deliver(&records)).await;
    assert!(given_up.is_err(), "{given_up:?}");
    accept(sink.as_mut(), &records).await;
    assert_eq!((hanging.calls().len(), other.stored()), (1, 2));
}

#[tokio::test]
async fn kube_eventers_command_line_fills_the_same_indexes_under_the_same_alias() {
    let server = server().await;
    let uri = format!(
        "elasticsearch:{}?use_namespace=true&ver=7&sniff=false&cluster_name=prod",
        server.url()
    );
    let uri = EventerUri::parse(&uri, &|_| None).expect("a valid URI");
    let (config, warnings) = registry::translate(&uri).expect("a valid sink");
    assert!(warnings.is_empty(), "{warnings:?}");
    accept(build(&Value::Object(config.options)).as_mut(), &records(3)).await;
    let documents = server.documents("heapster-events").await;
    assert_eq!(documents.len(), 3);
    let document = &documents[0];
    assert_eq!(document["_index"], "heapster-shop-2024.05.01");
    let source = &document["_source"];
    assert_eq!(source["LastOccurrenceTimestamp"], "2024-05-01T02:00:00Z");
    assert_eq!(source["EventTags"]["cluster_name"], "prod");
    assert_eq!(source["EventTags"]["pod_name"], "web");
}

#[tokio::test]
async fn a_template_gives_every_index_its_mapping() {
    let server = server().await;
    let options = json!({"index": "mapped", "template": true});
    accept(sink(&server.url(), &options).as_mut(), &records(3)).await;
    // Another relay finds it there.
    accept(sink(&server.url(), &options).as_mut(), &records(4)).await;
    let mapping = server.call(Method::GET, "/mapped-2024.05.01/_mapping", &Value::Null).await;
    let properties = &mapping["mapped-2024.05.01"]["mappings"]["properties"];
    assert_eq!(properties["Reason"]["type"], "keyword", "{mapping}");
    assert_eq!(properties["Message"]["fields"]["raw"]["type"], "keyword");
    assert_eq!(properties["LastOccurrenceTimestamp"]["type"], "date");
    assert_eq!(server.documents("mapped-*").await.len(), 4);
}

#[tokio::test]
async fn a_data_stream_takes_every_event_once() {
    let server = server().await;
    let options = json!({"index": "logs-kubernetes-default", "dataStream": true, "template": true});
    for _ in 0..2 {
        accept(sink(&server.url(), &options).as_mut(), &records(50)).await;
    }
    let documents = server.documents("logs-kubernetes-default").await;
    assert_eq!(documents.len(), 50);
    assert_eq!(documents[0]["_source"]["@timestamp"], "2024-05-01T02:00:00Z");
    assert!(documents[0]["_index"].as_str().is_some_and(|index| index.starts_with(".ds-")));
}

#[tokio::test]
async fn a_pipeline_that_is_missing_holds_until_it_is_there() {
    let server = server().await;
    let mut sink = sink(&server.url(), &json!({"index": "piped", "pipeline": "late"}));
    let cause = held(sink.as_mut(), &records(1)).await;
    assert!(cause.contains("create the pipeline, or check `pipeline`"), "{cause}");
    server.call(Method::PUT, "/_ingest/pipeline/late", &json!({"processors": []})).await;
    accept(sink.as_mut(), &records(1)).await;
    assert_eq!(server.documents("piped-*").await.len(), 1);
}

#[tokio::test]
async fn a_cluster_that_is_full_of_shards_holds() {
    let server = server().await;
    let limit = |limit: Value| json!({"persistent": {"cluster.max_shards_per_node": limit}});
    server.call(Method::PUT, "/_cluster/settings", &limit(json!(1))).await;
    server.send(Method::PUT, "/first", &Value::Null).await;
    let mut sink = sink(&server.url(), &json!({"index": "full"}));
    let cause = held(sink.as_mut(), &records(1)).await;
    assert!(cause.contains("full of shards"), "{cause}");
    server.call(Method::PUT, "/_cluster/settings", &limit(Value::Null)).await;
    accept(sink.as_mut(), &records(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn elasticsearch_6_takes_every_event_once() {
    takes_every_event_once(SearchProduct::Elasticsearch6).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn elasticsearch_7_takes_every_event_once() {
    takes_every_event_once(SearchProduct::Elasticsearch7).await;
}

/// Not everywhere is there a Java for it.
#[tokio::test(flavor = "multi_thread")]
async fn opensearch_3_takes_every_event_once() {
    let Some(server) = SearchServer::start_if_possible(SearchProduct::OpenSearch3).await else {
        println!("not run: there is no Java 21 for OpenSearch 3");
        return;
    };
    for options in [
        json!({"index": "new", "alias": "new-events", "template": true}),
        json!({"index": "new-events-stream", "dataStream": true, "template": true}),
    ] {
        for count in [20, 30] {
            accept(sink(&server.url(), &options).as_mut(), &records(count)).await;
        }
    }
    assert_eq!(server.documents("new-events").await.len(), 30);
    assert_eq!(server.documents("new-events-stream").await.len(), 30);
    let batch = [record(31, "fine"), record(32, "fine")];
    let mapping = json!({"mappings": {"properties": {"Count": {"type": "ip"}}}});
    server.call(Method::PUT, "/odd-2024.05.01", &mapping).await;
    let outcomes = each(sink(&server.url(), &json!({"index": "odd"})).as_mut(), &batch).await;
    let refused = |outcome: &Outcome| matches!(outcome, Outcome::Rejected { .. });
    assert!(outcomes.iter().all(refused), "{outcomes:?}");
}

async fn takes_every_event_once(product: SearchProduct) {
    let server = SearchServer::start(product).await;
    let options = json!({"index": "old", "alias": "old-events", "template": true});
    for count in [20, 30] {
        accept(sink(&server.url(), &options).as_mut(), &records(count)).await;
    }
    // What kube-eventer has begun goes on: an index with documents of its type.
    let document = json!({"Message": "by kube-eventer"});
    server.call(Method::PUT, "/begun-2024.05.01/events/1", &document).await;
    accept(sink(&server.url(), &json!({"index": "begun"})).as_mut(), &records(5)).await;
    assert_eq!(server.documents("old-events").await.len(), 30, "{product:?}");
    assert_eq!(server.documents("begun-*").await.len(), 6, "{product:?}");
    let mapping = server.call(Method::GET, "/old-2024.05.01/_mapping", &Value::Null).await;
    assert!(mapping.to_string().contains(r#""Reason":{"type":"keyword""#), "{mapping}");
}
