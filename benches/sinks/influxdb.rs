//! The `influxdb` sink beside bare `/write` requests of the same HTTP client, with the same points.
//!
//! `cargo bench --bench influxdb`. The sink makes the points of the events itself; those of the client are ready.

#![allow(clippy::expect_used)]

mod comparison;

use std::process::ExitCode;
use std::time::Instant;

use kube_event_relay::event::Record;
use kube_event_relay::sink::http_client;
use rig::InfluxDb;
use serde_json::json;

#[tokio::main]
async fn main() -> ExitCode {
    let server = InfluxDb::start().await;
    server.query("", "CREATE DATABASE bare").await;
    let options = json!({"url": server.url(), "user": "root", "password": "root"});
    let client = http_client().expect("CA certificates of the system");
    let write = format!("{}/write?db=bare&precision=ns", server.url());
    let bare = async |batch: &[Record]| {
        let body: String = batch.iter().map(line).collect();
        let begun = Instant::now();
        let request = client.post(&write).basic_auth("root", Some("root")).body(body);
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status().as_u16(), 204);
        begun.elapsed()
    };
    comparison::compare("influxdb", comparison::sink("influxdb", &options), bare).await
}

/// No text of these events needs to be escaped.
fn line(record: &Record) -> String {
    let event = record.event();
    let text = |pointer| event.text(pointer);
    let version: i64 = record.position.resource_version.as_str().parse().expect("a number");
    let second = event.time("/lastTimestamp").expect("a time").as_second();
    format!(
        "events,cluster_name={},component={},hostname={},kind={},namespace_name={},reason={},type={} \
         count={}i,message=\"{}\",object_name=\"{}\",object_uid=\"{}\",uid=\"{}\" {}\n",
        comparison::CLUSTER,
        text("/source/component"),
        text("/source/host"),
        text("/involvedObject/kind"),
        text("/metadata/namespace"),
        text("/reason"),
        text("/type"),
        event.count(),
        text("/message"),
        text("/involvedObject/name"),
        text("/involvedObject/uid"),
        text("/metadata/uid"),
        second * 1_000_000_000 + version,
    )
}
