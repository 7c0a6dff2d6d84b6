//! An event as kube-eventer writes it whole: `json.MarshalIndent` of the `Event` of client-go.
//!
//! Keys have the order of the Go structs. What is empty is left out, except where Go's tags say otherwise, and
//! what those structs do not know is not there. Invariant: equal events give equal bytes.
//!
//! Source: kube-eventer's sinks, and `Event` and `ObjectMeta` in `k8s.io/api` and `k8s.io/apimachinery`. One
//! thing is missing: `managedFields`, which the log does not keep.

#[cfg(test)]
mod oracle;
mod tree;
mod writer;

use jiff::Timestamp;

pub(super) use self::tree::Tree;
use self::writer::Writer;
pub(super) use self::writer::{Place, escape};
use crate::event::EventObject;

/// Room for most events.
const USUAL_LENGTH: usize = 2 << 10;

/// Times as Go writes them, zeros for digits.
const SECONDS: &str = "0000-00-00T00:00:00Z";
const MICROS: &str = "0000-00-00T00:00:00.000000Z";

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
    let mut text = String::with_capacity(USUAL_LENGTH);
    write_indented(&Tree::of(event.value()), Place::Document, &mut text);
    text
}

/// Appends the same, or what it is inside of a JSON text.
pub(super) fn write_indented(event: &Tree<'_>, place: Place, out: &mut String) {
    fields(&mut Writer::new(out, place), event, EVENT);
}

fn fields(writer: &mut Writer<'_>, value: &Tree<'_>, keys: &[Key]) {
    writer.open('{');
    for key in keys {
        let found = value.get(key.name).filter(|value| **value != Tree::Null);
        let shown = found.and_then(|value| show(writer, value, key));
        if shown.is_none() && key.always {
            writer.key(key.name);
            empty(writer, key.shape);
        }
    }
    writer.close('}');
}

/// Writes what Go shows of a value; nothing when it is empty, or no value of this shape.
fn show(writer: &mut Writer<'_>, value: &Tree<'_>, Key { name, shape, .. }: &Key) -> Option<()> {
    match (shape, value) {
        (Text, Tree::Text(text)) if !text.is_empty() => {
            writer.key(name);
            writer.text(text);
        }
        (Number, Tree::Number(number)) => {
            let number = number.as_i64().filter(|number| *number != 0)?;
            writer.key(name);
            writer.plain(number);
        }
        (Flag, Tree::Flag(flag)) => {
            writer.key(name);
            writer.plain(flag);
        }
        (Seconds, Tree::Text(text)) => time(writer, name, text, SECONDS, "%Y-%m-%dT%H:%M:%SZ")?,
        (Micros, Tree::Text(text)) => time(writer, name, text, MICROS, "%Y-%m-%dT%H:%M:%S%.6fZ")?,
        (Texts, Tree::Object(pairs)) if !pairs.is_empty() => {
            let mut sorted = Tree::pairs(pairs);
            sorted.sort_unstable_by_key(|(key, _)| *key);
            writer.key(name);
            writer.pairs(sorted);
        }
        (List, Tree::List(list)) if !list.is_empty() => {
            writer.key(name);
            writer.value(value);
        }
        (Struct(keys), Tree::Object(_)) => {
            writer.key(name);
            fields(writer, value, keys);
        }
        (Structs(keys), Tree::List(list)) if !list.is_empty() => {
            writer.key(name);
            structs(writer, list, keys);
        }
        _ => return None,
    }
    Some(())
}

fn structs(writer: &mut Writer<'_>, list: &[Tree<'_>], keys: &[Key]) {
    writer.open('[');
    for value in list {
        writer.item();
        fields(writer, value, keys);
    }
    writer.close(']');
}

/// Writes a time, which most often is in the wanted form already.
fn time(writer: &mut Writer<'_>, name: &str, text: &str, form: &str, format: &str) -> Option<()> {
    let time: Timestamp = text.parse().ok()?;
    writer.key(name);
    if has_form(text, form) {
        writer.text(text);
    } else {
        writer.text(&time.strftime(format).to_string());
    }
    Some(())
}

/// Whether a valid time is written like this, with digits for the zeros.
fn has_form(text: &str, form: &str) -> bool {
    /// Of the second, which is 60 in a leap second. Go has none.
    const TENS: usize = "0000-00-00T00:00:".len();
    text.len() == form.len()
        && text.bytes().zip(form.bytes()).all(|(byte, wanted)| match wanted {
            b'0' => byte.is_ascii_digit(),
            _ => byte == wanted,
        })
        && text.as_bytes().get(TENS) != Some(&b'6')
}

/// Writes what Go shows of an empty value that is not left out.
fn empty(writer: &mut Writer<'_>, shape: Shape) {
    match shape {
        Text => writer.text(""),
        Struct(keys) => fields(writer, &Tree::Null, keys),
        _ => writer.value(&Tree::Null),
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
