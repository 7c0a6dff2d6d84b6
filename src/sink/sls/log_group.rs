//! Records as a `LogGroup`, the protocol buffer that SLS stores.
//!
//! Source: "`PutLogs`" and "Data encoding" of the API reference; the contents are those of kube-eventer's
//! `sinks/sls`. Invariant: equal records give equal bytes, as long as their time is within what SLS takes.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use prost::Message;

use crate::event::Record;
use crate::event::render::{Notice, cut};
use crate::sink::eventer_json;

/// Several logs with what they have in common.
#[derive(Clone, PartialEq, Message)]
pub(super) struct LogGroup {
    #[prost(message, repeated, tag = "1")]
    logs: Vec<Log>,
    #[prost(string, optional, tag = "3")]
    topic: Option<String>,
    #[prost(string, optional, tag = "4")]
    source: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
struct Log {
    /// Seconds since 1970.
    #[prost(uint32, required, tag = "1")]
    time: u32,
    #[prost(message, repeated, tag = "2")]
    contents: Vec<Content>,
}

#[derive(Clone, PartialEq, Message)]
struct Content {
    #[prost(string, required, tag = "1")]
    key: String,
    #[prost(string, required, tag = "2")]
    value: String,
}

/// Longest value: 1 MiB are allowed.
const VALUE_LIMIT: usize = 1_000_000;

/// One log that is older refuses its whole request: seven days are allowed.
const OLDEST: SignedDuration = SignedDuration::from_hours(7 * 24 - 1);

/// One log that is further in the future refuses its whole request: 15 minutes are allowed.
const NEWEST: SignedDuration = SignedDuration::from_mins(10);

/// What is put into every log.
#[derive(Debug, Clone, Default)]
pub(super) struct Fields {
    pub(super) topic: String,
    pub(super) labels: BTreeMap<String, String>,
    /// With it the identity of each record is a field.
    pub(super) cluster: Option<String>,
}

impl LogGroup {
    /// The logs of these records, as of now.
    pub(super) fn of(records: &[Record], fields: &Fields, now: Timestamp) -> Self {
        Self {
            logs: records.iter().map(|record| log(record, fields, now)).collect(),
            topic: Some(fields.topic.clone()),
            source: Some(String::new()),
        }
    }

    /// Its bytes.
    pub(super) fn bytes(&self) -> Vec<u8> {
        self.encode_to_vec()
    }
}

fn log(record: &Record, fields: &Fields, now: Timestamp) -> Log {
    let event = record.event();
    let text = |pointer: &str| event.text(pointer).to_owned();
    let whole = eventer_json::indented(&event);
    let mut contents = vec![
        content("eventId", cut(&whole, VALUE_LIMIT).into_owned()),
        content("hostname", text("/source/host")),
        content("level", text("/type")),
    ];
    if event.text("/involvedObject/kind") == "Pod" {
        contents.push(content("pod_id", text("/involvedObject/uid")));
        contents.push(content("pod_name", text("/involvedObject/name")));
    }
    contents.extend(fields.labels.iter().map(|(key, value)| content(key, value.clone())));
    if let Some(cluster) = &fields.cluster {
        contents.push(content("record_id", record.id(cluster).to_string()));
    }
    Log { time: seconds(Notice::of(record).at, now), contents }
}

/// The time of an event, or now where SLS would refuse it; the true one is in the event.
fn seconds(at: Timestamp, now: Timestamp) -> u32 {
    let age = now.duration_since(at);
    let at = if age > OLDEST || age < -NEWEST { now } else { at };
    u32::try_from(at.as_second()).unwrap_or_default()
}

fn content(key: &str, value: String) -> Content {
    Content { key: key.to_owned(), value }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::testing::record;

    fn hexadecimal(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
    }

    #[test]
    fn bytes_are_those_of_the_documentation_and_of_kube_eventer() {
        let one = |time, key: &str, value: &str, topic: &str, source: &str| LogGroup {
            logs: vec![Log { time, contents: vec![content(key, value.to_owned())] }],
            topic: Some(topic.to_owned()),
            source: Some(source.to_owned()),
        };
        assert_eq!(
            hexadecimal(&one(1_700_000_000, "level", "Warning", "k8s", "").bytes()),
            "0a180880e2cfaa0612100a056c6576656c12075761726e696e671a036b38732200"
        );
        assert_eq!(
            hexadecimal(
                &one(1_405_409_656, "TestKey", "TestContent", "", "10.230.201.117").bytes()
            ),
            "0a1e08f8b2939e0512160a07546573744b6579120b54657374436f6e74656e741a00220e31302e3233302e3230312e313137"
        );
    }

    #[test]
    fn a_pod_s_event_has_the_fields_of_kube_eventer_in_its_order() {
        let body = r#"{"metadata":{"uid":"u-1","name":"web.17a3"},"type":"Warning","source":{"host":"n1"},
            "involvedObject":{"kind":"Pod","uid":"p-1","name":"web"},"lastTimestamp":"2024-05-01T02:00:00Z"}"#;
        let fields =
            Fields { labels: [("team".to_owned(), "ops".to_owned())].into(), ..Fields::default() };
        let now = "2024-05-02T00:00:00Z".parse().expect("a time");
        let group = LogGroup::of(&[record("7", body)], &fields, now);
        let keys: Vec<_> =
            group.logs[0].contents.iter().map(|content| content.key.as_str()).collect();
        assert_eq!(keys, ["eventId", "hostname", "level", "pod_id", "pod_name", "team"]);
        assert_eq!(group.logs[0].time, 1_714_528_800);
        assert!(group.logs[0].contents[0].value.starts_with("{\n \"metadata\": {"));
    }

    #[test]
    fn a_time_that_would_refuse_the_whole_request_is_now() {
        let now: Timestamp = "2024-05-08T02:00:00Z".parse().expect("a time");
        let seconds = |text: &str| seconds(text.parse().expect("a time"), now);
        let now = u32::try_from(now.as_second()).expect("in range");
        assert_eq!(seconds("2024-05-01T02:30:00Z"), now);
        assert_eq!(seconds("2024-05-01T04:00:00Z"), now - 7 * 86_400 + 7_200);
        assert_eq!(seconds("2024-05-08T02:11:00Z"), now);
        assert_eq!(seconds("2024-05-08T02:09:00Z"), now + 540);
    }
}
