//! The `elasticsearch` sink beside bare `_bulk` requests of the same HTTP client, with the same documents.
//!
//! `cargo bench --bench elasticsearch`. The sink makes the documents of the events itself and reads the answer for each
//! of them; those of the client are ready, and of its answer it looks at `errors` only.

#![allow(clippy::expect_used)]

mod comparison;

use std::process::ExitCode;
use std::time::Instant;

use kube_event_relay::event::Record;
use kube_event_relay::sink::http_client;
use rig::{SearchProduct, SearchServer};
use serde_json::{Value, json};

#[tokio::main]
async fn main() -> ExitCode {
    let server = SearchServer::start(SearchProduct::OpenSearch2).await;
    let sink = comparison::sink("elasticsearch", &json!({"nodes": [server.url()]}));
    let client = http_client().expect("CA certificates of the system");
    let bulk = format!("{}/_bulk", server.url());
    let bare = async |batch: &[Record]| {
        let body: String = batch.iter().map(lines).collect();
        let begun = Instant::now();
        let request = client.post(&bulk).header("content-type", "application/x-ndjson").body(body);
        let answer = request.send().await.expect("an answer").bytes().await.expect("an answer");
        assert!(answer.windows(14).take(100).any(|part| part == br#""errors":false"#));
        begun.elapsed()
    };
    comparison::compare("elasticsearch", sink, bare).await
}

/// Action and document.
fn lines(record: &Record) -> String {
    let event = record.event();
    let part = |pointer| event.value().pointer(pointer).cloned().unwrap_or_default();
    let id = record.id(comparison::CLUSTER).to_string();
    let action = json!({"create": {"_index": "bare-2026.11.22", "_id": id}});
    let document: Value = json!({
        "Count": part("/count"),
        "Metadata": part("/metadata"),
        "InvolvedObject": part("/involvedObject"),
        "Source": part("/source"),
        "FirstOccurrenceTimestamp": part("/firstTimestamp"),
        "LastOccurrenceTimestamp": part("/lastTimestamp"),
        "Message": part("/message"),
        "Reason": part("/reason"),
        "Type": part("/type"),
        "EventTags": {
            "cluster_name": comparison::CLUSTER,
            "eventID": part("/metadata/uid"),
            "hostname": part("/source/host"),
            "pod_id": part("/involvedObject/uid"),
            "pod_name": part("/involvedObject/name"),
        },
    });
    format!("{action}\n{document}\n")
}
