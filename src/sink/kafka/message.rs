//! A record as a message: key, value, headers and time.
//!
//! Invariants: the same record gives the same bytes, whenever it is sent; the events of one object have one
//! key, so that they are in one partition and in order there.
//!
//! Sources: kube-eventer, `common/kafka` (the value); Apache Kafka's documentation of the message format.

use std::fmt::Write;
use std::sync::Arc;

use jiff::Timestamp;
use rdkafka::message::{Header, OwnedHeaders};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::{Record, RecordId, last_seen};
use crate::sink::Outcome;
use crate::sink::event_json::event_json;
use crate::sink::eventer_json::{Place, Tree, escape, write_indented};

/// What the value of a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Value {
    /// kube-eventer's.
    #[default]
    EventerJson,
    /// The event, as the API server sent it.
    Json,
}

/// A record that is ready to be sent.
pub(super) struct Message {
    /// The object it is about.
    pub(super) key: String,
    /// JSON.
    pub(super) value: Vec<u8>,
    /// Milliseconds, when it happened.
    pub(super) time: i64,
    /// What a reader wants to know before it reads the value.
    pub(super) headers: OwnedHeaders,
}

/// What all messages of a sink have in common.
#[derive(Clone)]
pub(super) struct Form {
    pub(super) topic: String,
    pub(super) value: Value,
    /// Name of the cluster.
    pub(super) cluster: Arc<str>,
}

impl Form {
    /// The message of `record`, which has this identity.
    pub(super) fn message(&self, record: &Record, id: RecordId) -> Result<Message, Outcome> {
        Message::of(record, id, self.value, &self.cluster)
    }
}

/// librdkafka takes 0 for "now".
const EARLIEST: i64 = 1;

/// Room for the value of most events.
const USUAL_LENGTH: usize = 3 << 10;

impl Message {
    /// The message of `record`. What is not JSON, which only a damaged log holds, is refused.
    fn of(record: &Record, id: RecordId, value: Value, cluster: &str) -> Result<Self, Outcome> {
        let event = Tree::read(&record.body).map_err(|error| Outcome::Rejected {
            reason: format!("its body is not JSON: {error}"),
        })?;
        // Where an event has no time at all, that of its arrival is at least always the same.
        let at = last_seen(|path| event.text(path)).unwrap_or(record.received_at);
        let bytes = match value {
            Value::EventerJson => eventer_value(&event, at).into_bytes(),
            Value::Json => event_json(record)?.get().as_bytes().to_vec(),
        };
        Ok(Self {
            key: key(&event, cluster),
            value: bytes,
            time: at.as_millisecond().max(EARLIEST),
            headers: headers(record, id, cluster),
        })
    }
}

/// `CLUSTER/UID` of the involved object, or its namespace and name where it has no uid.
fn key(event: &Tree<'_>, cluster: &str) -> String {
    match event.text("/involvedObject/uid") {
        "" => {
            let namespace = event.text("/involvedObject/namespace");
            format!("{cluster}/{namespace}/{}", event.text("/involvedObject/name"))
        }
        uid => format!("{cluster}/{uid}"),
    }
}

fn headers(record: &Record, id: RecordId, cluster: &str) -> OwnedHeaders {
    let id = id.to_string();
    let fields = [
        ("record_id", id.as_str()),
        ("content-type", "application/json"),
        ("cluster", cluster),
        ("uid", &record.header.uid),
        ("resource_version", record.position.resource_version.as_str()),
    ];
    let headers = OwnedHeaders::new_with_capacity(fields.len());
    fields
        .into_iter()
        .fold(headers, |headers, (key, value)| headers.insert(Header { key, value: Some(value) }))
}

/// kube-eventer's value, written at once: the event is a text in it. Go writes maps in the order of their keys.
fn eventer_value(event: &Tree<'_>, at: Timestamp) -> String {
    let mut value = String::with_capacity(USUAL_LENGTH);
    value.push_str(r#"{"EventValue":""#);
    write_indented(event, Place::Text, &mut value);
    // Writing to a String cannot fail.
    let _written = write!(value, r#"","EventTimestamp":"{at}","EventTags":{{"#).is_ok();
    write_tag(&mut value, r#""eventID":""#, event.text("/metadata/uid"));
    write_tag(&mut value, r#","hostname":""#, event.text("/source/host"));
    if event.text("/involvedObject/kind") == "Pod" {
        write_tag(&mut value, r#","pod_id":""#, event.text("/involvedObject/uid"));
        write_tag(&mut value, r#","pod_name":""#, event.text("/involvedObject/name"));
    }
    value.push_str("}}");
    value
}

fn write_tag(value: &mut String, before: &str, text: &str) {
    value.push_str(before);
    escape(value, text, Place::Document);
    value.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventObject;
    use crate::sink::chat::go_json;
    use crate::sink::eventer_json::indented;
    use crate::sink::testing::record;
    use proptest::prelude::*;
    use rdkafka::message::Headers;

    const BODY: &str = r#"{"metadata":{"name":"web.17a3","namespace":"shop","uid":"e-1","resourceVersion":"7"},
        "involvedObject":{"kind":"Pod","namespace":"shop","name":"web","uid":"p-1"},
        "reason":"BackOff","message":"<a>","type":"Warning","source":{"host":"n&1"},
        "lastTimestamp":"2024-05-01T02:00:00Z"}"#;

    fn message(body: &str, value: Value) -> Message {
        let record = record("7", body);
        Message::of(&record, record.id("prod"), value, "prod").expect("JSON")
    }

    #[test]
    fn the_value_is_kube_eventers_byte_for_byte() {
        let value = String::from_utf8(message(BODY, Value::EventerJson).value).expect("UTF-8");
        let (front, rest) = value.split_once(r#"","EventTimestamp""#).expect("a time");
        assert!(
            front.starts_with(r#"{"EventValue":"{\n \"metadata\": {\n  \"name\": \"web.17a3\","#)
        );
        assert!(front.contains(r#"\"message\": \"\\u003ca\\u003e\""#), "{front}");
        let tags = r#"{"eventID":"e-1","hostname":"n\u00261","pod_id":"p-1","pod_name":"web"}"#;
        assert_eq!(rest, format!(r#":"2024-05-01T02:00:00Z","EventTags":{tags}}}"#));
    }

    /// The same value made step by step.
    fn value_by_steps(event: &EventObject, at: Timestamp) -> String {
        let mut tags = serde_json::Map::new();
        tags.insert("eventID".to_owned(), event.text("/metadata/uid").into());
        tags.insert("hostname".to_owned(), event.text("/source/host").into());
        if event.text("/involvedObject/kind") == "Pod" {
            tags.insert("pod_id".to_owned(), event.text("/involvedObject/uid").into());
            tags.insert("pod_name".to_owned(), event.text("/involvedObject/name").into());
        }
        let value = serde_json::json!({
            "EventValue": indented(event),
            "EventTimestamp": at.to_string(),
            "EventTags": tags,
        });
        go_json(&value.to_string())
    }

    proptest! {
        #[test]
        fn the_value_is_the_same_at_once_and_by_steps(
            kind in "(Pod|Node|P\"<&)", texts in proptest::array::uniform5(any::<String>()), second in 0i64..99_999_999_999,
        ) {
            let [uid, host, object, name, message] = texts;
            let event = EventObject::from_value(serde_json::json!({
                "metadata": {"uid": uid}, "source": {"host": host}, "message": message,
                "involvedObject": {"kind": kind, "uid": object, "name": name},
            }));
            let at = Timestamp::from_second(second).expect("a time");
            let json = event.to_json();
            let tree = Tree::read(&json).expect("JSON");
            prop_assert_eq!(eventer_value(&tree, at), value_by_steps(&event, at));
        }
    }

    #[test]
    fn the_event_alone_is_as_it_was_sent() {
        let body = r#"{"b": 1,"a":"<x>"}"#;
        assert_eq!(message(body, Value::Json).value, body.as_bytes());
    }

    #[test]
    fn an_object_has_one_key() {
        assert_eq!(message(BODY, Value::Json).key, "prod/p-1");
        let without = BODY.replace(r#","uid":"p-1""#, "");
        assert_eq!(message(&without, Value::Json).key, "prod/shop/web");
        let node = r#"{"involvedObject":{"kind":"Node","name":"n1"}}"#;
        assert_eq!(message(node, Value::Json).key, "prod//n1");
    }

    #[test]
    fn time_and_headers_tell_what_it_is() {
        let message = message(BODY, Value::Json);
        assert_eq!(message.time, 1_714_528_800_000);
        let id = record("7", BODY).id("prod").to_string();
        let header = message.headers.get_as::<str>(0).expect("text");
        assert_eq!((header.key, header.value), ("record_id", Some(id.as_str())));
        let names: Vec<_> = message.headers.iter().map(|header| header.key).collect();
        assert_eq!(names, ["record_id", "content-type", "cluster", "uid", "resource_version"]);
    }

    #[test]
    fn what_is_not_json_is_refused() {
        let record = record("7", "{");
        let refused = Message::of(&record, record.id("prod"), Value::EventerJson, "prod");
        assert!(matches!(refused, Err(Outcome::Rejected { .. })));
    }
}
