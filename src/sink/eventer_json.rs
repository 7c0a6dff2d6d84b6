//! An event as kube-eventer writes it whole: `json.MarshalIndent` of the `Event` of client-go.
//!
//! Keys have the order of the Go structs. What is empty is left out, except where Go's tags say otherwise, and
//! what those structs do not know is not there. Invariant: equal events give equal bytes.
//!
//! Source: kube-eventer's sinks, and `Event` and `ObjectMeta` in `k8s.io/api` and `k8s.io/apimachinery`. One
//! thing is missing: `managedFields`, which the log does not keep.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::ser::PrettyFormatter;
use serde_json::{Map, Serializer, Value};

use super::chat::go_json;
use crate::event::EventObject;

/// What a key holds.
#[derive(Clone, Copy)]
enum Shape {
    Text,
    /// Whole, and left out when 0.
    Number,
    /// A time in whole seconds.
    Seconds,
    /// A time in microseconds.
    Micros,
    Flag,
    /// Texts by key, which Go sorts.
    Texts,
    /// A list of texts.
    List,
    Struct(&'static [Key]),
    /// A list of structs.
    Structs(&'static [Key]),
}

/// A key of a Go struct.
struct Key {
    name: &'static str,
    shape: Shape,
    /// Whether it is there when it is empty.
    always: bool,
}

const fn key(name: &'static str, shape: Shape) -> Key {
    Key { name, shape, always: false }
}

const fn always(name: &'static str, shape: Shape) -> Key {
    Key { name, shape, always: true }
}

use Shape::{Flag, List, Micros, Number, Seconds, Struct, Structs, Text, Texts};

const EVENT: &[Key] = &[
    always("metadata", Struct(METADATA)),
    always("involvedObject", Struct(REFERENCE)),
    key("reason", Text),
    key("message", Text),
    always("source", Struct(SOURCE)),
    always("firstTimestamp", Seconds),
    always("lastTimestamp", Seconds),
    key("count", Number),
    key("type", Text),
    always("eventTime", Micros),
    key("series", Struct(SERIES)),
    key("action", Text),
    key("related", Struct(REFERENCE)),
    always("reportingComponent", Text),
    always("reportingInstance", Text),
];

const METADATA: &[Key] = &[
    key("name", Text),
    key("generateName", Text),
    key("namespace", Text),
    key("selfLink", Text),
    key("uid", Text),
    key("resourceVersion", Text),
    key("generation", Number),
    always("creationTimestamp", Seconds),
    key("deletionTimestamp", Seconds),
    key("deletionGracePeriodSeconds", Number),
    key("labels", Texts),
    key("annotations", Texts),
    key("ownerReferences", Structs(OWNER)),
    key("finalizers", List),
    key("clusterName", Text),
];

const REFERENCE: &[Key] = &[
    key("kind", Text),
    key("namespace", Text),
    key("name", Text),
    key("uid", Text),
    key("apiVersion", Text),
    key("resourceVersion", Text),
    key("fieldPath", Text),
];

const OWNER: &[Key] = &[
    always("apiVersion", Text),
    always("kind", Text),
    always("name", Text),
    always("uid", Text),
    key("controller", Flag),
    key("blockOwnerDeletion", Flag),
];

const SOURCE: &[Key] = &[key("component", Text), key("host", Text)];

const SERIES: &[Key] =
    &[key("count", Number), always("lastObservedTime", Micros), key("state", Text)];

/// The event with one space of indentation per level.
pub(super) fn indented(event: &EventObject) -> String {
    let value = Value::Object(fields(event.value(), EVENT));
    let mut bytes = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut bytes, PrettyFormatter::with_indent(b" "));
    // Writing a JSON value to memory cannot fail, and gives UTF-8.
    let _written = value.serialize(&mut serializer).is_ok();
    go_json(&String::from_utf8_lossy(&bytes))
}

fn fields(value: &Value, keys: &[Key]) -> Map<String, Value> {
    let mut fields = Map::new();
    for Key { name, shape, always } in keys {
        let found = value.get(name).filter(|value| !value.is_null());
        let shown = found.and_then(|value| shown(value, *shape));
        let shown = shown.or_else(|| always.then(|| empty(*shape)));
        fields.extend(shown.map(|value| ((*name).to_owned(), value)));
    }
    fields
}

/// What Go shows of a value; nothing when it is empty, or no value of this shape.
fn shown(value: &Value, shape: Shape) -> Option<Value> {
    match shape {
        Text => value.as_str().filter(|text| !text.is_empty()).map(Value::from),
        Number => value.as_i64().filter(|number| *number != 0).map(Value::from),
        Flag => value.as_bool().map(Value::from),
        Seconds => time(value, "%Y-%m-%dT%H:%M:%SZ"),
        Micros => time(value, "%Y-%m-%dT%H:%M:%S%.6fZ"),
        Texts => {
            let sorted: BTreeMap<_, _> = value.as_object()?.iter().collect();
            (!sorted.is_empty()).then(|| {
                sorted.into_iter().map(|(key, text)| (key.clone(), text.clone())).collect()
            })
        }
        List => value.as_array().filter(|list| !list.is_empty()).cloned().map(Value::Array),
        Struct(keys) => value.is_object().then(|| Value::Object(fields(value, keys))),
        Structs(keys) => {
            let list = value.as_array().filter(|list| !list.is_empty())?;
            Some(list.iter().map(|value| Value::Object(fields(value, keys))).collect())
        }
    }
}

fn time(value: &Value, format: &str) -> Option<Value> {
    let time: Timestamp = value.as_str()?.parse().ok()?;
    Some(time.strftime(format).to_string().into())
}

/// What Go shows of an empty value that is not left out.
fn empty(shape: Shape) -> Value {
    match shape {
        Text => "".into(),
        Struct(keys) => Value::Object(fields(&Value::Null, keys)),
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(json: &str) -> String {
        indented(&EventObject::parse(json.as_bytes()))
    }

    #[test]
    fn an_empty_event_has_what_go_never_leaves_out() {
        assert_eq!(
            shown("{}"),
            "{\n \"metadata\": {\n  \"creationTimestamp\": null\n },\n \"involvedObject\": {},\n \
             \"source\": {},\n \"firstTimestamp\": null,\n \"lastTimestamp\": null,\n \
             \"eventTime\": null,\n \"reportingComponent\": \"\",\n \"reportingInstance\": \"\"\n}"
        );
    }

    #[test]
    fn keys_have_the_order_and_texts_the_escapes_of_go() {
        let event = r#"{"kind":"Event","apiVersion":"v1","type":"Warning","message":"<a> & b",
            "metadata":{"labels":{"b":"2","a":"1"},"name":"n","creationTimestamp":"2024-05-01T10:00:00+08:00",
                "ownerReferences":[{"uid":"u","kind":"K","name":"o","apiVersion":"v1","controller":true}]},
            "eventTime":"2024-05-01T02:00:00.5Z","count":0,"series":{"count":2,"lastObservedTime":null},
            "involvedObject":{"name":"web","kind":"Pod"},"unknown":1,"lastTimestamp":"2024-05-01T02:00:00Z"}"#;
        let expected = r#"{
 "metadata": {
  "name": "n",
  "creationTimestamp": "2024-05-01T02:00:00Z",
  "labels": {
   "a": "1",
   "b": "2"
  },
  "ownerReferences": [
   {
    "apiVersion": "v1",
    "kind": "K",
    "name": "o",
    "uid": "u",
    "controller": true
   }
  ]
 },
 "involvedObject": {
  "kind": "Pod",
  "name": "web"
 },
 "message": "\u003ca\u003e \u0026 b",
 "source": {},
 "firstTimestamp": null,
 "lastTimestamp": "2024-05-01T02:00:00Z",
 "type": "Warning",
 "eventTime": "2024-05-01T02:00:00.500000Z",
 "series": {
  "count": 2,
  "lastObservedTime": null
 },
 "reportingComponent": "",
 "reportingInstance": ""
}"#;
        assert_eq!(shown(event), expected);
    }
}
