//! Records to deliver.

use jiff::Timestamp;
use kube_event_relay::event::{Generation, Position, Record, StreamId};
use serde_json::json;

/// A record of a pod's event with this version and message. It happened long ago.
pub fn record(resource_version: u64, message: &str) -> Record {
    record_at(resource_version, message, "2024-05-01T02:00:00Z".parse().expect("a time"))
}

/// The same, of an event that happened then.
pub fn record_at(resource_version: u64, message: &str, happened: Timestamp) -> Record {
    let event = json!({
        "metadata": {
            "name": "web.17a3", "namespace": "shop", "uid": "u-1",
            "resourceVersion": resource_version.to_string(),
        },
        "involvedObject": {"kind": "Pod", "namespace": "shop", "name": "web"},
        "reason": "BackOff",
        "message": message,
        "type": "Warning",
        "lastTimestamp": happened,
        "count": 3,
    });
    let (resource_version, header, body) =
        Record::parse_event(event.to_string().as_bytes()).expect("an event");
    Record {
        stream: StreamId::all_namespaces(),
        position: Position::new(Generation(0), resource_version),
        received_at: Timestamp::UNIX_EPOCH,
        header,
        body,
    }
}

/// `count` records, with versions from 1 on and the version in the message.
pub fn records(count: u64) -> Vec<Record> {
    (1..=count).map(|version| record(version, &format!("message {version}"))).collect()
}
