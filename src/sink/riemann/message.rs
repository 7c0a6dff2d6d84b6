//! Riemann's protocol buffers (`proto.proto` of riemann-java-client), as far as they are needed, and a
//! record as an event of Riemann, with the fields kube-eventer gives it.

use prost::Message;

use crate::event::Record;
use crate::event::render::Notice;

/// What is sent, and what is answered.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Msg {
    #[prost(bool, optional, tag = "2")]
    pub(super) ok: Option<bool>,
    #[prost(string, optional, tag = "3")]
    pub(super) error: Option<String>,
    #[prost(message, repeated, tag = "6")]
    pub(super) events: Vec<Event>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Event {
    /// Seconds since 1970.
    #[prost(int64, optional, tag = "1")]
    time: Option<i64>,
    #[prost(string, optional, tag = "2")]
    state: Option<String>,
    #[prost(string, optional, tag = "3")]
    service: Option<String>,
    #[prost(string, optional, tag = "4")]
    host: Option<String>,
    #[prost(string, optional, tag = "5")]
    description: Option<String>,
    #[prost(string, repeated, tag = "7")]
    tags: Vec<String>,
    /// Seconds after which the event is forgotten.
    #[prost(float, optional, tag = "8")]
    ttl: Option<f32>,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<Attribute>,
    #[prost(int64, optional, tag = "10")]
    time_micros: Option<i64>,
    #[prost(sint64, optional, tag = "13")]
    metric: Option<i64>,
}

#[derive(Clone, PartialEq, Message)]
struct Attribute {
    #[prost(string, required, tag = "1")]
    key: String,
    #[prost(string, optional, tag = "2")]
    value: Option<String>,
}

/// What all events have in common.
#[derive(Debug, Clone)]
pub(super) struct Common {
    pub(super) ttl: f32,
    pub(super) tags: Vec<String>,
    /// The host of events that name none.
    pub(super) host: String,
}

/// Attributes with the field of the event each shows, in kube-eventer's order.
const ATTRIBUTES: [(&str, &str); 9] = [
    ("api-version", "/involvedObject/apiVersion"),
    ("component", "/source/component"),
    ("field-path", "/involvedObject/fieldPath"),
    ("first-timestamp", "/firstTimestamp"),
    ("last-timestamp", "/lastTimestamp"),
    ("name", "/involvedObject/name"),
    ("namespace", "/involvedObject/namespace"),
    ("resource-version", "/involvedObject/resourceVersion"),
    ("uid", "/involvedObject/uid"),
];

impl Event {
    /// The event of a record. Its time is its own, not that of the batch as in kube-eventer: the same
    /// record is the same event whenever it is sent.
    pub(super) fn of(record: &Record, common: &Common) -> Self {
        let event = record.event();
        let text = |pointer: &str| event.text(pointer).to_owned();
        let at = Notice::of(record).at;
        let state = if event.text("/type") == "Normal" { "ok" } else { "warning" };
        let host = event.text("/source/host");
        let host = if host.is_empty() { &common.host } else { host };
        let service = format!("{}.{}", event.text("/involvedObject/kind"), event.text("/reason"));
        let attribute = |(key, pointer): (&str, &str)| {
            let value = if key.ends_with("-timestamp") {
                event.time(pointer).map(|time| time.as_second().to_string()).unwrap_or_default()
            } else {
                text(pointer)
            };
            Attribute { key: key.to_owned(), value: Some(value) }
        };
        Self {
            time: Some(at.as_second()),
            state: Some(state.to_owned()),
            service: Some(service),
            host: Some(host.to_owned()),
            description: Some(text("/message")),
            tags: common.tags.clone(),
            ttl: Some(common.ttl),
            attributes: ATTRIBUTES.into_iter().map(attribute).collect(),
            time_micros: Some(at.as_microsecond()),
            metric: i64::try_from(event.count()).ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::testing::record;

    #[test]
    fn bytes_are_those_of_the_protocol() {
        let attribute =
            Attribute { key: "namespace".to_owned(), value: Some("default".to_owned()) };
        let event = Event {
            time: Some(1_700_000_000),
            state: Some("warning".to_owned()),
            service: Some("Pod.BackOff".to_owned()),
            host: Some("node-1".to_owned()),
            description: Some("m".to_owned()),
            tags: vec!["heapster".to_owned()],
            ttl: Some(60.0),
            attributes: vec![attribute],
            time_micros: None,
            metric: Some(3),
        };
        let bytes = Msg { ok: None, error: None, events: vec![event] }.encode_to_vec();
        let digits: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            digits.concat(),
            "324e0880e2cfaa0612077761726e696e671a0b506f642e4261636b4f666622066e6f64652d312a016d3a0868656170\
             7374657245000070424a140a096e616d657370616365120764656661756c746806"
        );
    }

    #[test]
    fn an_event_has_the_fields_of_kube_eventer() {
        let body = r#"{"involvedObject":{"kind":"Pod","name":"web","namespace":"shop"},"reason":"BackOff",
            "type":"Warning","message":"why","count":3,"lastTimestamp":"2024-05-01T02:00:00Z"}"#;
        let common = Common { ttl: 60.0, tags: vec!["heapster".into()], host: "relay-0".into() };
        let event = Event::of(&record("7", body), &common);
        assert_eq!(event.service.as_deref(), Some("Pod.BackOff"));
        assert_eq!((event.state.as_deref(), event.metric), (Some("warning"), Some(3)));
        assert_eq!((event.host.as_deref(), event.time), (Some("relay-0"), Some(1_714_528_800)));
        assert_eq!(event.attributes[4].value.as_deref(), Some("1714528800"));
        assert_eq!(event.attributes[3].value.as_deref(), Some(""));
    }
}
