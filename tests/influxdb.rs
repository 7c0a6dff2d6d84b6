//! The `influxdb` sink and a real InfluxDB 1.x: every record is one point, whatever happens to the server.

#![allow(clippy::expect_used)] // a test fails where an expectation is not met

mod fakes;
mod harness;

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::{Arc, Weak};
use std::time::Duration;

use fakes::records::{record, records};
use harness::{PATIENCE, Setup, all_done, status_when};
use kube_event_relay::event::Record;
use kube_event_relay::relay::Status;
use kube_event_relay::setting::EventerUri;
use kube_event_relay::sink::{Delivery, Outcome, Sink, SinkContext, http_client, registry};
use rig::{Cluster, EventSpec, InfluxDb};
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard};

/// The one server of all tests here, as long as one of them runs. A test that kills it has it for itself.
static SERVER: Mutex<Weak<Mutex<InfluxDb>>> = Mutex::const_new(Weak::new());

async fn server() -> Arc<Mutex<InfluxDb>> {
    let mut known = SERVER.lock().await;
    if let Some(server) = known.upgrade() {
        return server;
    }
    let server = Arc::new(Mutex::new(InfluxDb::start().await));
    *known = Arc::downgrade(&server);
    server
}

/// The sink with these options, as `root`.
fn sink(server: &MutexGuard<'_, InfluxDb>, mut options: Value) -> Box<dyn Sink> {
    let common = json!({"url": server.url(), "user": "root", "password": "root"});
    for (name, value) in common.as_object().expect("an object") {
        if options.get(name).is_none() {
            options[name] = value.clone();
        }
    }
    build(&options)
}

fn build(options: &Value) -> Box<dyn Sink> {
    let http = http_client().expect("CA certificates of the system");
    let context = SinkContext { cluster: "test".into(), http, config_maps: None };
    let kind = registry::find("influxdb").expect("a kind");
    (kind.build)(options.as_object().expect("an object"), &context).expect("a sink")
}

async fn accept(sink: &mut dyn Sink, batch: &[Record]) {
    assert_eq!(sink.deliver(batch).await, Delivery::Whole(Outcome::Accepted));
}

/// The outcomes of records, found as the runner finds them: a batch that is refused is halved.
async fn settle(sink: &mut dyn Sink, batch: &[Record]) -> Vec<Outcome> {
    let mut portions = vec![batch];
    let mut outcomes = Vec::new();
    while let Some(portion) = portions.pop() {
        match sink.deliver(portion).await {
            Delivery::Each(each) => outcomes.extend(each),
            Delivery::Whole(Outcome::Rejected { .. }) if portion.len() > 1 => {
                let (front, back) = portion.split_at(portion.len() / 2);
                portions.extend([back, front]);
            }
            Delivery::Whole(outcome) => outcomes.extend(vec![outcome; portion.len()]),
            Delivery::Part { records, .. } => panic!("{records:?} had a point"),
        }
    }
    outcomes
}

fn texts(points: &[Value], key: &str) -> Vec<String> {
    let text = |point: &Value| point[key].as_str().unwrap_or_default().to_owned();
    points.iter().map(text).collect()
}

/// Warnings of one second, of which many have the same tags.
const EVENTS: usize = 600;

/// 600 events while the server is killed in the middle, and all of them again at the end: one point each.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_has_every_event_once() {
    let shared = server().await;
    let mut server = shared.lock().await;
    let cluster = Cluster::start().await;
    let sink = format!(
        "{{name: influx, kind: influxdb, options: {{url: \"{}\", user: root, password: root, \
         database: storm}}, batch: {{maxRecords: 20, maxWait: 0s}}, \
         retry: {{initial: 100ms, max: 1s, timeout: 5s}}}}",
        server.url()
    );
    let setup = Setup::new(cluster.folder(), cluster.kubeconfig_path()).sink(&sink);
    let relay = setup.relay().start();
    let mut versions = BTreeSet::new();
    for part in 0..3 {
        if part == 1 {
            server.kill().await;
        }
        for ten in (part * EVENTS / 3..(part + 1) * EVENTS / 3).collect::<Vec<_>>().chunks(10) {
            let create = |number: &usize| {
                let spec = EventSpec {
                    message: format!("message {number}"),
                    ..EventSpec::new(&format!("storm-{number}"))
                };
                let client = cluster.client();
                async move { client.create_event("default", &spec).await.resource_version }
            };
            versions.extend(futures::future::join_all(ten.iter().map(create)).await);
        }
        if part == 1 {
            let held_up = |status: &Status| status.sinks[0].lag_records > 0;
            status_when(&relay, held_up).await;
            server.start_again().await;
        }
    }
    status_when(&relay, |status| all_done(status, EVENTS)).await;
    let points = server.points("storm", "events").await;
    assert_eq!(points.len(), EVENTS);
    let distinct: BTreeSet<_> = texts(&points, "message").into_iter().collect();
    assert_eq!(distinct.len(), EVENTS);
    let below_second: BTreeSet<_> = points
        .iter()
        .map(|point| point["time"].as_u64().expect("a time") % 1_000_000_000)
        .collect();
    assert_eq!(below_second, versions);

    // A relay that has forgotten everything delivers all of it again.
    assert!(relay.terminate().await.success());
    std::fs::remove_dir_all(setup.data()).expect("the data directory");
    let relay = setup.relay().start();
    status_when(&relay, |status| all_done(status, EVENTS)).await;
    assert_eq!(server.points("storm", "events").await, points);
    assert!(relay.terminate().await.success());
}

#[tokio::test]
async fn a_redelivery_makes_no_second_point() {
    let shared = server().await;
    let server = shared.lock().await;
    for points in ["fields", "json", "eventer-json", "eventer-fields"] {
        let database = format!("again {points}");
        let mut sink = sink(&server, json!({"database": database, "points": points}));
        let records = records(600);
        accept(sink.as_mut(), &records).await;
        accept(sink.as_mut(), &records).await;
        accept(sink.as_mut(), &records[100..300]).await;
        let measurement = if points.ends_with("json") { "log/events" } else { "events" };
        let found = server.points(&database, measurement).await;
        assert_eq!(found.len(), 600, "{points}");
    }
}

#[tokio::test]
async fn points_hold_what_was_sent() {
    let shared = server().await;
    let server = shared.lock().await;
    let uri = format!("influxdb:{}?db=eventer&cluster_name=a+b%2C", server.url());
    let uri = EventerUri::parse(&uri, &|_| None).expect("a valid URI");
    let (config, _) = registry::translate(&uri).expect("a valid sink");
    let mut eventer = build(&Value::Object(config.options));
    let mut whole = sink(&server, json!({"database": "whole", "points": "json"}));
    let mut parts = sink(&server, json!({"database": "parts"}));
    let message = "say \"hi\"\n\tC:\\dir\\ <b> 🎉 مرحبا\\";
    let large = "x\\\"\n".repeat(1 << 18);
    for (version, message) in [(7, message), (8, &large)] {
        let batch = [record(version, message)];
        for sink in [&mut eventer, &mut whole, &mut parts] {
            accept(sink.as_mut(), &batch).await;
        }
    }
    for database in ["eventer", "whole"] {
        let points = server.points(database, "log/events").await;
        for (value, message) in texts(&points, "value").iter().zip([message, &large]) {
            let event: Value = serde_json::from_str(value).expect("JSON");
            assert_eq!(event["message"], *message);
            assert_eq!(
                value.starts_with("{\n \"metadata\": {\n  \"name\":"),
                database == "eventer"
            );
        }
    }
    let points = server.points("parts", "events").await;
    assert_eq!(texts(&points, "message"), [message, &*large]);
    assert_eq!(points[0]["count"], 3);
    assert_eq!(points[0]["time"], 1_714_528_800_000_000_007_u64);
    // The database, its policy and the tags are those of kube-eventer.
    let policies = server.query("eventer", "SHOW RETENTION POLICIES").await;
    assert_eq!(policies["values"][0][0], "default");
    let tags = server.query("eventer", "SHOW TAG KEYS").await;
    assert_eq!(tags["values"], json!([["cluster_name"], ["pod_name"], ["uid"]]));
    let point = &server.points("eventer", "log/events").await[0];
    assert_eq!(point["cluster_name"], "a b,");
}

#[tokio::test]
async fn no_text_breaks_out_of_its_tag() {
    let shared = server().await;
    let server = shared.lock().await;
    let mut sink = sink(&server, json!({"database": "odd"}));
    // What cannot be in a tag is left out.
    let reasons = [
        ("a,b=c d", "a,b=c d"),
        ("x,kind=Node", "x,kind=Node"),
        (r"mid\dle", r"mid\dle"),
        (r"back\,slash", r"back\,slash"),
        (r"back\ space", r"back\ space"),
        (r"back\=equal", r"back\=equal"),
        (r"tail\", "tail"),
        (r"tail\\", "tail"),
        (r"\", ""),
        ("", ""),
        ("new\nline\r\t\0x", "new line   x"),
        ("\"quoted\"", "\"quoted\""),
        ("#no comment", "#no comment"),
        ("🎉 مرحبا", "🎉 مرحبا"),
        ("events count=9 1", "events count=9 1"),
    ];
    let odd = |(version, (reason, _)): (u64, &(&str, &str))| {
        let mut record = record(version, reason);
        let mut event: Value = serde_json::from_slice(&record.body).expect("an event");
        event["reason"] = (*reason).into();
        record.body = event.to_string().into();
        record
    };
    let batch: Vec<_> = (1..).zip(&reasons).map(odd).collect();
    accept(sink.as_mut(), &batch).await;
    let points = server.points("odd", "events").await;
    assert_eq!(texts(&points, "reason"), reasons.map(|(_, expected)| expected));
    assert_eq!(texts(&points, "message"), reasons.map(|(reason, _)| reason));
    assert!(texts(&points, "kind").iter().all(|kind| kind == "Pod"));
}

/// kube-eventer has a tag that is different for every event.
#[tokio::test]
async fn a_tag_that_is_full_holds_and_says_what_helps() {
    let shared = server().await;
    let server = shared.lock().await;
    let with_uid = |version: u64| {
        let mut record = record(version, "x");
        let body = String::from_utf8(record.body.to_vec()).expect("text");
        record.body = body.replace("u-1", &format!("u-{version}")).into();
        record
    };
    let batch = |versions: RangeInclusive<u64>| versions.map(with_uid).collect::<Vec<_>>();
    let full = InfluxDb::VALUES_PER_TAG;
    let mut eventer = sink(&server, json!({"database": "full", "points": "eventer-fields"}));
    accept(eventer.as_mut(), &batch(1..=full)).await;
    let delivery = eventer.deliver(&batch(full..=full + 50)).await;
    let Delivery::Whole(Outcome::Hold { cause }) = delivery else { panic!("{delivery:?}") };
    assert!(cause.contains("max-values-per-tag") && cause.contains("points: fields"), "{cause}");
    let mut bounded = sink(&server, json!({"database": "full", "points": "fields"}));
    accept(bounded.as_mut(), &batch(1..=full + 50)).await;
}

#[tokio::test]
async fn a_point_that_is_refused_does_not_stop_the_others() {
    let shared = server().await;
    let server = shared.lock().await;
    server.query("", "CREATE DATABASE conflict").await;
    // What somebody else has written makes the type of a field another one than ours, on one day.
    let mut foreign = sink(&server, json!({"database": "conflict"}));
    let mut other_day = record(99, "message 99");
    let body = String::from_utf8(other_day.body.to_vec()).expect("text");
    other_day.body = body.replace("2024-05-01", "2024-01-01").into();
    let client = http_client().expect("CA certificates of the system");
    let write = client
        .post(format!("{}/write?db=conflict", server.url()))
        .basic_auth("root", Some("root"))
        .body("events count=1.5 1704067200000000000");
    assert_eq!(write.send().await.expect("an answer").status().as_u16(), 204);
    let mut batch = records(20);
    batch.insert(11, other_day);
    let outcomes = settle(foreign.as_mut(), &batch).await;
    for (place, outcome) in outcomes.iter().enumerate() {
        if place == 11 {
            let Outcome::Rejected { reason } = outcome else { panic!("{outcome:?}") };
            assert!(reason.contains("field type conflict"), "{reason}");
        } else {
            assert_eq!(*outcome, Outcome::Accepted, "{place}");
        }
    }
    assert_eq!(server.points("conflict", "events").await.len(), 21);
}

#[tokio::test]
async fn points_that_are_too_old_are_all_refused_at_once() {
    let shared = server().await;
    let server = shared.lock().await;
    server.query("", "CREATE DATABASE short WITH DURATION 1h NAME brief").await;
    let mut sink = sink(&server, json!({"database": "short"}));
    let Delivery::Each(outcomes) = sink.deliver(&records(50)).await else { panic!("one each") };
    let refused = |outcome: &Outcome| matches!(outcome, Outcome::Rejected { reason } if reason.contains("retention policy"));
    assert!(outcomes.len() == 50 && outcomes.iter().all(refused), "{outcomes:?}");
}

#[tokio::test]
async fn what_is_missing_is_created_or_held() {
    let shared = server().await;
    let server = shared.lock().await;
    let held = |delivery: Delivery| match delivery {
        Delivery::Whole(Outcome::Hold { cause }) => cause,
        other => panic!("no hold: {other:?}"),
    };
    let mut forbidden = sink(&server, json!({"database": "missing", "createDatabase": false}));
    let cause = held(forbidden.deliver(&records(1)).await);
    assert!(cause.contains("database not found") && cause.contains("createDatabase"), "{cause}");
    accept(sink(&server, json!({"database": "missing"})).as_mut(), &records(1)).await;
    accept(forbidden.as_mut(), &records(2)).await;
    let with_policy = json!({"database": "missing", "retentionPolicy": "default"});
    accept(sink(&server, with_policy).as_mut(), &records(1)).await;
    let policies = server.query("missing", "SHOW RETENTION POLICIES").await;
    let names: Vec<_> =
        policies["values"].as_array().expect("rows").iter().map(|row| &row[0]).collect();
    assert_eq!(names, ["autogen", "default"]);
}

#[tokio::test]
async fn a_credential_that_is_wrong_or_may_not_write_is_a_hold() {
    let shared = server().await;
    let server = shared.lock().await;
    server.query("", "CREATE USER guest WITH PASSWORD 'guest'").await;
    server.query("", "CREATE DATABASE closed").await;
    for credential in [
        json!({"user": "root", "password": "s3cret-wrong"}),
        json!({"user": "nobody", "password": "s3cret-wrong"}),
        json!({"user": "guest", "password": "guest"}),
        json!({"url": server.url()}),
    ] {
        let mut options = credential.clone();
        options["url"] = server.url().into();
        options["database"] = "closed".into();
        let delivery = build(&options).deliver(&records(2)).await;
        let Delivery::Whole(Outcome::Hold { cause }) = delivery else {
            panic!("{credential}: {delivery:?}")
        };
        assert!(!cause.contains("s3cret"), "{cause}");
    }
    assert!(server.points("closed", "events").await.is_empty());
}

#[tokio::test]
async fn a_server_that_is_away_is_waited_for() {
    let shared = server().await;
    let mut server = shared.lock().await;
    let mut sink = sink(&server, json!({"database": "away"}));
    accept(sink.as_mut(), &records(1)).await;
    server.kill().await;
    let delivery = tokio::time::timeout(Duration::from_secs(10), sink.deliver(&records(2))).await;
    let delivery = delivery.expect("a refused connection is noticed at once");
    assert!(matches!(delivery, Delivery::Whole(Outcome::Retry { .. })), "{delivery:?}");
    tokio::time::timeout(PATIENCE, server.start_again()).await.expect("it starts");
    accept(sink.as_mut(), &records(2)).await;
    assert_eq!(server.points("away", "events").await.len(), 2);
}
