//! Bodies of requests.
//!
//! Invariant: the same records give the same bytes.

use std::fmt::Write;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;
use serde_json::{Value, json};

use crate::event::Record;
use crate::sink::Outcome;
use crate::sink::event_json::event_json;

use super::options::Format;
use super::template::Template;

/// What is sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Body {
    pub(super) bytes: Vec<u8>,
    /// Its type, unless it is not known.
    pub(super) content_type: Option<&'static str>,
}

const JSON: &str = "application/json";

impl Body {
    fn json(bytes: Vec<u8>) -> Self {
        Self { bytes, content_type: Some(JSON) }
    }
}

/// One event as it is.
pub(super) fn event(record: &Record) -> Result<Body, Outcome> {
    Ok(Body::json(event_json(record)?.get().as_bytes().to_vec()))
}

/// One event by a template. Times are shown in `zone`.
pub(super) fn templated(
    template: &Template,
    record: &Record,
    zone: &TimeZone,
) -> Result<Body, Outcome> {
    let event = record.event();
    let last_seen = event.last_seen();
    let mut event = event.into_value();
    if let (Some(time), Some(object)) = (last_seen, event.as_object_mut()) {
        // kube-eventer puts the time of the event there before it renders.
        object.insert("lastTimestamp".to_owned(), time.to_string().into());
    }
    let rendered = template
        .render(&event, zone)
        .map_err(|error| Outcome::Rejected { reason: error.to_string() })?;
    Ok(Body { bytes: rendered.text.into_bytes(), content_type: rendered.is_json.then_some(JSON) })
}

/// A batch in one body. One record that cannot be written refuses all: the runner finds it.
pub(super) fn batch(records: &[Record], format: Format, cluster: &str) -> Result<Body, Outcome> {
    match format {
        Format::Event | Format::Array => {
            // In one piece of the right size: a buffer that grows takes twice as much on its way.
            let mut bytes = Vec::with_capacity(room_for(records));
            let mut before = b'[';
            for record in records {
                bytes.push(before);
                bytes.extend_from_slice(event_json(record)?.get().as_bytes());
                before = b',';
            }
            bytes.push(b']');
            Ok(Body::json(bytes))
        }
        Format::Ndjson => {
            let mut bytes = Vec::with_capacity(room_for(records));
            for record in records {
                bytes.extend_from_slice(event_json(record)?.get().as_bytes());
                bytes.push(b'\n');
            }
            Ok(Body { bytes, content_type: Some("application/x-ndjson") })
        }
        Format::CloudeventsBatch => {
            let mut events = Vec::with_capacity(records.len());
            for record in records {
                events.push(cloud_event(record, cluster)?);
            }
            let content_type = Some("application/cloudevents-batch+json; charset=UTF-8");
            Ok(Body { bytes: written(&events)?, content_type })
        }
    }
}

/// Bytes of the events with a separator each, and a pair of brackets.
fn room_for(records: &[Record]) -> usize {
    records.iter().map(|record| record.body.len() + 1).sum::<usize>() + 2
}

/// A `CloudEvent` 1.0. `source` and `id` together name the record, whatever relay sends it.
fn cloud_event(record: &Record, cluster: &str) -> Result<Value, Outcome> {
    let header = &record.header;
    let subject = if header.namespace.is_empty() {
        format!("{}/{}", header.kind, header.name)
    } else {
        format!("{}/{}/{}", header.namespace, header.kind, header.name)
    };
    let time: Timestamp = record.event().last_seen().unwrap_or(record.received_at);
    // Read again from the same bytes: `event_json` has its order and its numbers as they are.
    let data: Value = serde_json::from_str(event_json(record)?.get()).map_err(refused)?;
    Ok(json!({
        "specversion": "1.0",
        "id": record.id(cluster).to_string(),
        "source": format!("/kube-event-relay/{}", escaped(cluster)),
        "type": "io.k8s.core.v1.Event",
        "subject": subject,
        "time": time.to_string(),
        "datacontenttype": JSON,
        "data": data,
    }))
}

/// As a segment of a URI reference.
fn escaped(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut escaped, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _written = write!(escaped, "%{byte:02X}");
        }
        escaped
    })
}

fn written(value: &impl Serialize) -> Result<Vec<u8>, Outcome> {
    serde_json::to_vec(value).map_err(refused)
}

#[allow(clippy::needless_pass_by_value)] // the signature `map_err` asks for
fn refused(error: serde_json::Error) -> Outcome {
    Outcome::Rejected { reason: format!("it cannot be written as JSON: {error}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::testing::record;

    fn text(body: &Body) -> &str {
        std::str::from_utf8(&body.bytes).expect("UTF-8")
    }

    #[test]
    fn batches_have_the_form_that_was_asked_for() {
        let records = [record("7", r#"{"a":1}"#), record("8", "{\n\"b\":2}")];
        let array = batch(&records, Format::Array, "c").expect("a body");
        assert_eq!((text(&array), array.content_type), (r#"[{"a":1},{"b":2}]"#, Some(JSON)));
        let lines = batch(&records, Format::Ndjson, "c").expect("a body");
        assert_eq!(text(&lines), "{\"a\":1}\n{\"b\":2}\n");
    }

    #[test]
    fn a_cloud_event_names_its_record() {
        let mut pod = record("7", r#"{"lastTimestamp":"2024-05-01T02:00:00Z"}"#);
        pod.header.kind = "Pod".into();
        pod.header.namespace = "shop".into();
        pod.header.name = "web".into();
        let body =
            batch(std::slice::from_ref(&pod), Format::CloudeventsBatch, "prod/1").expect("a body");
        let events: Value = serde_json::from_slice(&body.bytes).expect("JSON");
        assert_eq!(events[0]["id"], pod.id("prod/1").to_string());
        assert_eq!(events[0]["source"], "/kube-event-relay/prod%2F1");
        assert_eq!(events[0]["subject"], "shop/Pod/web");
        assert_eq!(events[0]["time"], "2024-05-01T02:00:00Z");
        assert_eq!(events[0]["data"]["lastTimestamp"], "2024-05-01T02:00:00Z");
    }
}
