//! Documents: the fields kube-eventer writes, in its order (`sinks/elasticsearch`).
//!
//! Invariants: the same record gives the same bytes, wherever and whenever it is sent, since no time in
//! it is that of the delivery; a document is one line.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::event::{EventObject, Record};
use crate::sink::Outcome;

/// Fields of `metadata` in the order of Kubernetes' `ObjectMeta`. `managedFields` would make a mapping
/// of thousands of fields.
const METADATA: [&str; 14] = [
    "name",
    "generateName",
    "namespace",
    "selfLink",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "labels",
    "annotations",
    "ownerReferences",
    "finalizers",
];

/// Fields of `involvedObject` in the order of `ObjectReference`.
const OBJECT: [&str; 7] =
    ["kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath"];

const SOURCE: [&str; 2] = ["component", "host"];

/// What Go writes for a time that is not there.
const NO_TIME: &str = "0001-01-01T00:00:00Z";

/// A record in the form in which it is kept.
pub(super) struct Document {
    /// When it happened: the index depends on it.
    pub(super) time: Timestamp,
    /// Namespace of the event.
    pub(super) namespace: String,
    /// JSON on one line.
    pub(super) json: String,
}

/// Which fields documents have.
#[derive(Debug, Clone)]
pub(super) struct Form {
    /// `EventTags.cluster_name`.
    pub(super) cluster_name: String,
    /// Whether they have the `@timestamp` that data streams demand.
    pub(super) timestamp: bool,
}

impl Form {
    /// The document of `record`. What is not JSON, which only a damaged log holds, is refused.
    pub(super) fn document(&self, record: &Record) -> Result<Document, Outcome> {
        let event: Value = serde_json::from_slice(&record.body).map_err(|error| {
            Outcome::Rejected { reason: format!("its body is not JSON: {error}") }
        })?;
        let event = EventObject::from_value(event);
        // Where an event has no time at all, that of its arrival is at least always the same.
        let time = event.last_seen().unwrap_or(record.received_at);
        let fields = self.fields(&event, time);
        Ok(Document {
            time,
            namespace: event.text("/metadata/namespace").to_owned(),
            json: go_json(&Value::Object(fields)),
        })
    }

    fn fields(&self, event: &EventObject, time: Timestamp) -> Map<String, Value> {
        let first = event.time("/firstTimestamp").map(|time| time.to_string());
        let fields = [
            ("Count", count(event)),
            ("Metadata", metadata(event)),
            ("InvolvedObject", part(event, "/involvedObject", &OBJECT)),
            ("Source", part(event, "/source", &SOURCE)),
            ("FirstOccurrenceTimestamp", first.unwrap_or_else(|| NO_TIME.to_owned()).into()),
            ("LastOccurrenceTimestamp", time.to_string().into()),
            ("Message", event.text("/message").into()),
            ("Reason", event.text("/reason").into()),
            ("Type", event.text("/type").into()),
            ("EventTags", self.tags(event)),
        ];
        let timestamp = self.timestamp.then(|| ("@timestamp", Value::from(time.to_string())));
        fields.into_iter().chain(timestamp).map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Go writes maps in the order of their keys.
    fn tags(&self, event: &EventObject) -> Value {
        let mut tags = json!({
            "cluster_name": self.cluster_name,
            "eventID": event.text("/metadata/uid"),
            "hostname": event.text("/source/host"),
        });
        if event.text("/involvedObject/kind") == "Pod" {
            tags["pod_id"] = event.text("/involvedObject/uid").into();
            tags["pod_name"] = event.text("/involvedObject/name").into();
        }
        tags
    }
}

/// kube-eventer writes 0 for what is counted in a series.
fn count(event: &EventObject) -> Value {
    let at = |pointer| event.value().pointer(pointer).and_then(Value::as_u64);
    at("/count").filter(|count| *count > 0).or_else(|| at("/series/count")).unwrap_or(0).into()
}

fn metadata(event: &EventObject) -> Value {
    let mut metadata = part(event, "/metadata", &METADATA);
    for map in ["labels", "annotations"] {
        if let Some(Value::Object(map)) = metadata.get_mut(map) {
            map.sort_keys();
        }
    }
    metadata
}

/// The fields of an object that are there, in this order.
fn part(event: &EventObject, pointer: &str, names: &[&str]) -> Value {
    let object = event.value().pointer(pointer);
    let field = |name: &&str| {
        let value = object.and_then(|object| object.get(name)).filter(|value| !is_empty(value));
        match value {
            Some(value) => Some(((*name).to_owned(), value.clone())),
            // The one field that Go writes in any case.
            None => (*name == "creationTimestamp").then(|| ((*name).to_owned(), Value::Null)),
        }
    };
    Value::Object(names.iter().filter_map(field).collect())
}

/// What Go leaves out (`omitempty`).
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Number(number) => number.as_u64() == Some(0),
        Value::Bool(_) => false,
    }
}

/// JSON as Go writes it, which makes it safe inside HTML. These characters stand in texts only.
fn go_json(value: &Value) -> String {
    let plain = value.to_string();
    let mut escaped = String::with_capacity(plain.len());
    for character in plain.chars() {
        match character {
            '<' => escaped.push_str("\\u003c"),
            '>' => escaped.push_str("\\u003e"),
            '&' => escaped.push_str("\\u0026"),
            '\u{2028}' => escaped.push_str("\\u2028"),
            '\u{2029}' => escaped.push_str("\\u2029"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::testing::record;

    fn form(timestamp: bool) -> Form {
        Form { cluster_name: "default".to_owned(), timestamp }
    }

    const POD: &str = r#"{"kind":"Event","apiVersion":"v1","metadata":{"name":"web.17a3","namespace":"shop",
        "uid":"u-1","resourceVersion":"42","creationTimestamp":"2024-05-01T01:00:00Z",
        "annotations":{"b":"2","a":"<1>"},"managedFields":[{"manager":"kubelet"}]},
        "involvedObject":{"apiVersion":"v1","kind":"Pod","namespace":"shop","name":"web","uid":"p-1",
        "fieldPath":"spec.containers{web}"},"reason":"BackOff","message":"back-off & wait\n",
        "source":{"host":"node-1","component":"kubelet"},"firstTimestamp":"2024-05-01T01:00:00Z",
        "lastTimestamp":"2024-05-01T02:00:00Z","count":3,"type":"Warning","eventTime":null}"#;

    #[test]
    fn a_document_has_the_bytes_of_kube_eventer() {
        let Ok(document) = form(false).document(&record("42", POD)) else { panic!("a document") };
        let expected = concat!(
            r#"{"Count":3,"Metadata":{"name":"web.17a3","namespace":"shop","uid":"u-1","#,
            r#""resourceVersion":"42","creationTimestamp":"2024-05-01T01:00:00Z","#,
            r#""annotations":{"a":"\u003c1\u003e","b":"2"}},"#,
            r#""InvolvedObject":{"kind":"Pod","namespace":"shop","name":"web","uid":"p-1","#,
            r#""apiVersion":"v1","fieldPath":"spec.containers{web}"},"#,
            r#""Source":{"component":"kubelet","host":"node-1"},"#,
            r#""FirstOccurrenceTimestamp":"2024-05-01T01:00:00Z","#,
            r#""LastOccurrenceTimestamp":"2024-05-01T02:00:00Z","#,
            r#""Message":"back-off \u0026 wait\n","Reason":"BackOff","Type":"Warning","#,
            r#""EventTags":{"cluster_name":"default","eventID":"u-1","hostname":"node-1","#,
            r#""pod_id":"p-1","pod_name":"web"}}"#,
        );
        assert_eq!(document.json, expected);
        assert_eq!(document.time.to_string(), "2024-05-01T02:00:00Z");
        assert_eq!(document.namespace, "shop");
    }

    #[test]
    fn an_event_without_anything_is_a_document_with_the_time_of_its_arrival() {
        let Ok(document) = form(true).document(&record("7", "{}")) else { panic!("a document") };
        let expected = concat!(
            r#"{"Count":0,"Metadata":{"creationTimestamp":null},"InvolvedObject":{},"Source":{},"#,
            r#""FirstOccurrenceTimestamp":"0001-01-01T00:00:00Z","#,
            r#""LastOccurrenceTimestamp":"1970-01-01T00:00:00Z","Message":"","Reason":"","Type":"","#,
            r#""EventTags":{"cluster_name":"default","eventID":"","hostname":""},"#,
            r#""@timestamp":"1970-01-01T00:00:00Z"}"#,
        );
        assert_eq!(document.json, expected);
    }

    #[test]
    fn a_series_has_its_own_count_and_time() {
        let series = r#"{"count":0,"series":{"count":7,"lastObservedTime":"2024-05-01T02:00:00.120000Z"},
            "eventTime":"2024-05-01T01:00:00.000000Z"}"#;
        let Ok(document) = form(false).document(&record("7", series)) else { panic!("one") };
        assert!(document.json.contains(r#""Count":7,"#), "{}", document.json);
        assert!(document.json.contains(r#""LastOccurrenceTimestamp":"2024-05-01T02:00:00.12Z""#));
    }

    #[test]
    fn what_is_no_json_is_refused() {
        let refused = form(false).document(&record("7", "{"));
        assert!(matches!(refused, Err(Outcome::Rejected { .. })));
    }
}
