//! A lenient view of an Event's JSON.
//!
//! Recorders write odd things: nulls, missing timestamps, numbers as text. No look-up here fails;
//! what is missing or of another type reads as empty.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::render::{cut, printable};

/// Fields of the short form of an event: where, which.
const SHORT_FORM: [(&str, &[&str]); 5] = [
    ("/metadata", &["name", "namespace", "uid", "resourceVersion", "creationTimestamp"]),
    ("/involvedObject", &["kind", "namespace", "name", "uid"]),
    (
        "",
        &[
            "reason",
            "message",
            "type",
            "count",
            "firstTimestamp",
            "lastTimestamp",
            "eventTime",
            "reportingComponent",
        ],
    ),
    ("/source", &["component", "host"]),
    ("/series", &["count", "lastObservedTime"]),
];

/// Longest text in the short form but for the message, in bytes. Names have 253 at most.
const SHORT_TEXT: usize = 253;

/// Longest message in the short form, in bytes.
const SHORT_MESSAGE: usize = 1_500;

/// An Event object of core/v1, as JSON.
#[derive(Debug, Clone, PartialEq)]
pub struct EventObject(Value);

impl EventObject {
    /// Reads JSON; what is not JSON reads as an empty object.
    #[must_use]
    pub fn parse(json: &[u8]) -> Self {
        Self(serde_json::from_slice(json).unwrap_or_default())
    }

    /// Wraps a value that has been read already.
    #[must_use]
    pub fn from_value(value: Value) -> Self {
        Self(value)
    }

    /// The value itself.
    #[must_use]
    pub fn value(&self) -> &Value {
        &self.0
    }

    /// Takes the value out.
    #[must_use]
    pub fn into_value(self) -> Value {
        self.0
    }

    /// Compact JSON, keys in the order they were read.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        self.0.to_string().into_bytes()
    }

    /// The text at a JSON pointer (RFC 6901), or "".
    #[must_use]
    pub fn text(&self, pointer: &str) -> &str {
        self.at(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    /// A label of the event itself, or "".
    #[must_use]
    pub fn label(&self, key: &str) -> &str {
        let labels = self.at("/metadata/labels");
        labels.and_then(|labels| labels.get(key)).and_then(Value::as_str).unwrap_or_default()
    }

    /// Who reported it: `source.component`, else `reportingComponent`.
    #[must_use]
    pub fn component(&self) -> &str {
        match self.text("/source/component") {
            "" => self.text("/reportingComponent"),
            component => component,
        }
    }

    /// The time at a JSON pointer, if there is one.
    #[must_use]
    pub fn time(&self, pointer: &str) -> Option<Timestamp> {
        self.text(pointer).parse().ok()
    }

    /// When the thing last happened as kube-eventer sees it: `lastTimestamp`, else `eventTime`; where there is
    /// neither, which is the wall clock there, as [`Self::last_seen`] says.
    #[must_use]
    pub fn occurred(&self) -> Option<Timestamp> {
        let time = |pointer| self.time(pointer).filter(|time| *time > Timestamp::UNIX_EPOCH);
        time("/lastTimestamp").or_else(|| time("/eventTime")).or_else(|| self.last_seen())
    }

    /// How often the thing happened: the series' count, or the event's, or 1.
    #[must_use]
    pub fn count(&self) -> u64 {
        let at = |pointer| self.at(pointer).and_then(Value::as_u64).filter(|count| *count > 0);
        at("/series/count").or_else(|| at("/count")).unwrap_or(1)
    }

    /// The same in at most so many bytes of JSON: when it is longer, what people and filters read of it,
    /// with long texts cut. Not shorter than some 6 KiB.
    #[must_use]
    pub fn shortened(&self, limit: usize) -> Self {
        if self.to_json().len() <= limit {
            return self.clone();
        }
        let mut event = json!({"kind": "Event", "apiVersion": "v1"});
        for (place, keys) in SHORT_FORM {
            for key in keys {
                let Some(value) = self.0.pointer(&format!("{place}/{key}")) else { continue };
                let limit = if *key == "message" { SHORT_MESSAGE } else { SHORT_TEXT };
                let value = match value {
                    // What is escaped in JSON with six bytes would make it longer than it looks.
                    Value::String(text) => cut(&printable(text), limit).into_owned().into(),
                    Value::Number(_) => value.clone(),
                    _ => continue,
                };
                match place.strip_prefix('/') {
                    Some(object) => event[object][key] = value,
                    None => event[*key] = value,
                }
            }
        }
        Self(event)
    }

    /// The value at a JSON pointer. `Value::pointer` makes two copies of every name to look for escapes in it; none of
    /// ours has one.
    fn at(&self, pointer: &str) -> Option<&Value> {
        let names = pointer.strip_prefix('/').filter(|names| !names.contains('~'));
        let Some(names) = names else { return self.0.pointer(pointer) };
        let mut value = &self.0;
        for name in names.split('/') {
            value = match value {
                Value::Object(object) => object.get(name)?,
                // It has numbers for names.
                Value::Array(_) => return self.0.pointer(pointer),
                _ => return None,
            };
        }
        Some(value)
    }

    /// When the thing last happened.
    ///
    /// The later of `series.lastObservedTime` and `lastTimestamp`, else `eventTime`, `firstTimestamp`,
    /// `metadata.creationTimestamp`. Never the wall clock: a redelivery must carry the same time.
    #[must_use]
    pub fn last_seen(&self) -> Option<Timestamp> {
        last_seen(|pointer| self.text(pointer))
    }
}

/// [`EventObject::last_seen`] of an event whose texts at JSON pointers are these.
pub fn last_seen<'a>(text: impl Fn(&'static str) -> &'a str) -> Option<Timestamp> {
    let time = |pointer| text(pointer).parse::<Timestamp>().ok();
    time("/series/lastObservedTime")
        .max(time("/lastTimestamp"))
        .or_else(|| time("/eventTime"))
        .or_else(|| time("/firstTimestamp"))
        .or_else(|| time("/metadata/creationTimestamp"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(json: &str) -> EventObject {
        EventObject::parse(json.as_bytes())
    }

    #[test]
    fn counts_the_series_first() {
        assert_eq!(object(r#"{"count":3,"series":{"count":7}}"#).count(), 7);
        assert_eq!(object(r#"{"count":3,"series":null}"#).count(), 3);
        assert_eq!(object(r#"{"count":0}"#).count(), 1);
    }

    #[test]
    fn a_pointer_finds_what_the_standard_says() {
        let value = json!({"a": {"b": ["x", {"c": "y"}], "": "z", "d/e": "w", "n": null}, "": "v"});
        let object = EventObject::from_value(value.clone());
        for pointer in [
            "", "/", "/a", "/a/", "/a/b", "/a/b/0", "/a/b/1/c", "/a/b/01", "/a/b/2", "/a/b/-",
            "/a/d~1e", "/a/n", "/a/n/x", "/a/b/0/x", "/x", "/x/y", "a", "a/b",
        ] {
            assert_eq!(object.at(pointer), value.pointer(pointer), "{pointer:?}");
        }
    }

    #[test]
    fn last_seen_prefers_the_latest_observation() {
        let both = object(
            r#"{"series":{"lastObservedTime":"2026-01-02T03:04:05.000001Z"},
                "lastTimestamp":"2026-01-02T03:04:06Z","eventTime":"2026-01-01T00:00:00.000000Z"}"#,
        );
        assert_eq!(both.last_seen(), "2026-01-02T03:04:06Z".parse().ok());
        let new_style =
            object(r#"{"lastTimestamp":null,"eventTime":"2026-01-01T00:00:00.000000Z"}"#);
        assert_eq!(new_style.last_seen(), "2026-01-01T00:00:00Z".parse().ok());
        assert_eq!(object("{}").last_seen(), None);
    }

    #[test]
    fn kube_eventer_does_not_look_at_a_series() {
        let series = object(
            r#"{"series":{"lastObservedTime":"2026-01-02T00:00:00.000000Z"},
                "lastTimestamp":"0001-01-01T00:00:00Z","eventTime":"2026-01-01T00:00:00.000000Z"}"#,
        );
        assert_eq!(series.occurred(), "2026-01-01T00:00:00Z".parse().ok());
        let created = object(r#"{"metadata":{"creationTimestamp":"2026-01-03T00:00:00Z"}}"#);
        assert_eq!(created.occurred(), created.last_seen());
    }
}
