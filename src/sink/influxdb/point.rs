//! The points of events.
//!
//! Invariant: a record has one point, whenever and however often it is sent, and two records have two.
//! `InfluxDB` knows a point by measurement, tags and time, and the time of an event has seconds only. So the
//! part of the time below the second is made of the record's resourceVersion, which no other record of the
//! cluster has: sent again, a point replaces itself.
//!
//! Sources: kube-eventer, `common/influxdb`; InfluxDB's documentation of tags, each combination of which is kept
//! in memory: what is different for every event is a field.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::line::Line;
use crate::event::{EventObject, Record, ResourceVersion};
use crate::sink::Outcome;
use crate::sink::eventer_json::indented;

/// What a point has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Points {
    /// A field for each thing that is worth a look.
    #[default]
    Fields,
    /// The event as JSON.
    Json,
    /// kube-eventer's points without `withfields`.
    EventerJson,
    /// kube-eventer's points with `withfields=true`.
    EventerFields,
}

/// What holds the event as JSON, with kube-eventer and here.
const WHOLE: &str = "log/events";
const PARTS: &str = "events";

const NANOSECONDS: i64 = 1_000_000_000;

/// Digits of a number below [`NANOSECONDS`].
const DIGITS: usize = 9;

/// `InfluxDB` takes no time beyond 2262, the last second of an i64 of nanoseconds.
const LAST_SECOND: i64 = i64::MAX / NANOSECONDS - 1;

/// The line of a record. One that is not JSON can never be sent: only a damaged log holds it.
pub(super) fn line(record: &Record, points: Points, cluster: &str) -> Result<String, Outcome> {
    let value: Value = serde_json::from_slice(&record.body)
        .map_err(|error| Outcome::Rejected { reason: format!("its body is not JSON: {error}") })?;
    let event = EventObject::from_value(value);
    let timestamp = timestamp(record, &event);
    Ok(match points {
        Points::Fields => fields(&event, timestamp, cluster),
        Points::Json => json(&event, timestamp, cluster),
        Points::EventerJson => eventer_json(&event, timestamp, cluster),
        Points::EventerFields => eventer_fields(&event, timestamp, cluster),
    })
}

/// The tags that have few values.
fn bounded<'a>(
    measurement: &'static str,
    timestamp: i64,
    event: &'a EventObject,
    cluster: &'a str,
) -> Line<'a> {
    Line::new(measurement, timestamp)
        .tag("cluster_name", cluster)
        .tag("component", event.component())
        .tag("hostname", event.text("/source/host"))
        .tag("kind", event.text("/involvedObject/kind"))
        .tag("namespace_name", event.text("/metadata/namespace"))
        .tag("reason", event.text("/reason"))
        .tag("type", event.text("/type"))
}

fn fields(event: &EventObject, timestamp: i64, cluster: &str) -> String {
    bounded(PARTS, timestamp, event, cluster)
        .integer("count", event.count())
        .text("message", event.text("/message"))
        .text("object_name", event.text("/involvedObject/name"))
        .text("object_uid", event.text("/involvedObject/uid"))
        .text("uid", event.text("/metadata/uid"))
        .to_string()
}

fn json(event: &EventObject, timestamp: i64, cluster: &str) -> String {
    let value = event.value().to_string();
    bounded(WHOLE, timestamp, event, cluster)
        .text("uid", event.text("/metadata/uid"))
        .text("value", &value)
        .to_string()
}

fn eventer_json(event: &EventObject, timestamp: i64, cluster: &str) -> String {
    let value = indented(event);
    let line = Line::new(WHOLE, timestamp)
        .tag("uid", event.text("/metadata/uid"))
        .tag("hostname", event.text("/source/host"))
        .tag("cluster_name", cluster)
        .tag("pod_id", of_pod(event, "/involvedObject/uid"))
        .tag("pod_name", of_pod(event, "/involvedObject/name"))
        .text("value", &value);
    line.to_string()
}

fn eventer_fields(event: &EventObject, timestamp: i64, cluster: &str) -> String {
    bounded(PARTS, timestamp, event, cluster)
        .tag("component", event.text("/source/component"))
        .tag("uid", event.text("/metadata/uid"))
        .tag("object_name", event.text("/involvedObject/name"))
        .tag("pod_id", of_pod(event, "/involvedObject/uid"))
        .text("message", event.text("/message"))
        .to_string()
}

/// A text of events about pods.
fn of_pod<'a>(event: &'a EventObject, pointer: &str) -> &'a str {
    if event.text("/involvedObject/kind") == "Pod" { event.text(pointer) } else { "" }
}

/// The second in which it last happened, and the version of its record below that.
///
/// Never the clock: an event that has no time that `InfluxDB` takes has that of its arrival in the log.
fn timestamp(record: &Record, event: &EventObject) -> i64 {
    let fits = |time: &Timestamp| (1..=LAST_SECOND).contains(&time.as_second());
    let time = event.last_seen().filter(fits).unwrap_or(record.received_at);
    let second = time.as_second().clamp(0, LAST_SECOND);
    second * NANOSECONDS + below_second(&record.position.resource_version)
}

/// The last digits of a version. Records of one second that had the same would be 10^9 changes of the cluster
/// apart.
fn below_second(version: &ResourceVersion) -> i64 {
    let digits = version.as_str();
    let last = digits.get(digits.len().saturating_sub(DIGITS)..).unwrap_or_default();
    last.parse().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::testing::record;

    const POD: &str = r#"{"metadata":{"name":"web.17a3","namespace":"shop","uid":"u-1"},
        "involvedObject":{"kind":"Pod","namespace":"shop","name":"web","uid":"p-1"},
        "source":{"component":"kubelet","host":"node 1"},"reason":"BackOff","type":"Warning",
        "message":"say \"hi\"\n<b>","count":3,"lastTimestamp":"2024-05-01T02:00:00Z"}"#;

    fn shown(points: Points, event: &str, version: &str) -> String {
        line(&record(version, event), points, "prod").expect("an event")
    }

    #[test]
    fn kube_eventers_points_have_its_bytes() {
        let value = concat!(
            r#"{\n"#,
            r#" \"metadata\": {\n  \"name\": \"web.17a3\",\n  \"namespace\": \"shop\",\n"#,
            r#"  \"uid\": \"u-1\",\n  \"creationTimestamp\": null\n },\n"#,
            r#" \"involvedObject\": {\n  \"kind\": \"Pod\",\n  \"namespace\": \"shop\",\n"#,
            r#"  \"name\": \"web\",\n  \"uid\": \"p-1\"\n },\n"#,
            r#" \"reason\": \"BackOff\",\n \"message\": \"say \\\"hi\\\"\\n\\u003cb\\u003e\",\n"#,
            r#" \"source\": {\n  \"component\": \"kubelet\",\n  \"host\": \"node 1\"\n },\n"#,
            r#" \"firstTimestamp\": null,\n \"lastTimestamp\": \"2024-05-01T02:00:00Z\",\n"#,
            r#" \"count\": 3,\n \"type\": \"Warning\",\n \"eventTime\": null,\n"#,
            r#" \"reportingComponent\": \"\",\n \"reportingInstance\": \"\"\n}"#,
        );
        // The line breaks of the JSON itself are real ones; those of its texts are escaped.
        let value = value.replace(r"\\n", "\0").replace(r"\n", "\n").replace('\0', r"\\n");
        let tags = r"cluster_name=prod,hostname=node\ 1,pod_id=p-1,pod_name=web,uid=u-1";
        assert_eq!(
            shown(Points::EventerJson, POD, "4711"),
            format!("log/events,{tags} value=\"{value}\" 1714528800000004711")
        );
    }

    #[test]
    fn kube_eventers_points_with_fields_have_its_bytes() {
        assert_eq!(
            shown(Points::EventerFields, POD, "4711"),
            "events,cluster_name=prod,component=kubelet,hostname=node\\ 1,kind=Pod,\
             namespace_name=shop,object_name=web,pod_id=p-1,reason=BackOff,type=Warning,uid=u-1 \
             message=\"say \\\"hi\\\"\n<b>\" 1714528800000004711"
        );
        let node = POD.replace("\"Pod\"", "\"Node\"");
        assert!(!shown(Points::EventerFields, &node, "1").contains("pod_id"));
        assert!(!shown(Points::EventerJson, &node, "1").contains("pod_name"));
    }

    #[test]
    fn what_is_different_for_every_event_is_a_field() {
        let tags = "cluster_name=prod,component=kubelet,hostname=node\\ 1,kind=Pod,\
                    namespace_name=shop,reason=BackOff,type=Warning";
        assert_eq!(
            shown(Points::Fields, POD, "4711"),
            format!(
                "events,{tags} count=3i,message=\"say \\\"hi\\\"\n<b>\",object_name=\"web\",\
                 object_uid=\"p-1\",uid=\"u-1\" 1714528800000004711"
            )
        );
        let json = shown(Points::Json, POD, "4711");
        assert!(json.starts_with(&format!("log/events,{tags} uid=\"u-1\",value=\"{{\\\"metadata")));
        assert!(!json.contains('\n'), "{json}");
    }

    #[test]
    fn the_time_is_that_of_the_event_and_different_for_every_version() {
        let at = |event: &str, version: &str| {
            let line = shown(Points::Fields, event, version);
            line.rsplit_once(' ').expect("a time").1.parse::<i64>().expect("a number")
        };
        let second = 1_714_528_800 * NANOSECONDS;
        assert_eq!(at(POD, "8"), second + 8);
        assert_eq!(at(POD, "123456789012"), second + 456_789_012);
        let fraction = r#"{"lastTimestamp":null,"eventTime":"2024-05-01T02:00:00.999999Z"}"#;
        assert_eq!(at(fraction, "9"), second + 9);
        let series = r#"{"lastTimestamp":"2024-05-01T01:00:00Z",
            "series":{"lastObservedTime":"2024-05-01T02:00:00.000001Z"}}"#;
        assert_eq!(at(series, "9"), second + 9);
        // The records of these tests arrived at the very beginning of time.
        for none in ["0001-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "2300-01-01T00:00:00Z", "x"] {
            assert_eq!(at(&format!(r#"{{"lastTimestamp":"{none}"}}"#), "9"), 9, "{none}");
        }
    }
}
