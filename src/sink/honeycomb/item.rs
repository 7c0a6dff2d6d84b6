//! One event as Honeycomb takes it.
//!
//! Sources: kube-eventer, `common/honeycomb`, for the columns; Honeycomb, "Events API", for `time` and `data`,
//! which kube-eventer writes as `Timestamp` and `Data`, so that its events have the time of their arrival.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::event::render::cut;
use crate::event::{EventObject, Record};
use crate::sink::Outcome;

/// Longest text of a column, in bytes: Honeycomb takes 64 KiB.
const LONGEST_TEXT: usize = 64_000;

/// Longest text of a column but the message. Names of Kubernetes have 253.
const LONGEST_NAME: usize = 1_000;

/// Longest item, in bytes of JSON. Today 1,000,000 are taken; older documents say 100 KB.
const LONGEST_ITEM: usize = 100_000;

/// Longest message where escapes make the item too long: each byte of it may become six.
const SHORT_MESSAGE: usize = 14_000;

#[derive(Serialize)]
struct Item<'a> {
    time: String,
    data: Data<'a>,
}

/// The columns of kube-eventer, in its order, and two more.
#[derive(Serialize)]
struct Data<'a> {
    namespace: String,
    kind: String,
    name: String,
    subobject: String,
    #[serde(rename = "source.component")]
    component: String,
    #[serde(rename = "source.host")]
    host: String,
    count: u64,
    r#type: String,
    reason: String,
    message: String,
    cluster: &'a str,
    /// The same in every copy: there is no other way to recognise one.
    record_id: String,
}

/// The item of a record. One that is not JSON can never be sent: only a damaged log holds it.
pub(super) fn item(record: &Record, cluster: &str) -> Result<String, Outcome> {
    let value: Value = serde_json::from_slice(&record.body)
        .map_err(|error| Outcome::Rejected { reason: format!("its body is not JSON: {error}") })?;
    let event = EventObject::from_value(value);
    let item = json(record, &event, cluster, LONGEST_TEXT)?;
    if item.len() <= LONGEST_ITEM { Ok(item) } else { json(record, &event, cluster, SHORT_MESSAGE) }
}

fn json(
    record: &Record,
    event: &EventObject,
    cluster: &str,
    message_limit: usize,
) -> Result<String, Outcome> {
    let name = |pointer| cut(event.text(pointer), LONGEST_NAME).into_owned();
    let data = Data {
        namespace: name("/involvedObject/namespace"),
        kind: name("/involvedObject/kind"),
        name: name("/involvedObject/name"),
        subobject: name("/involvedObject/fieldPath"),
        component: cut(event.component(), LONGEST_NAME).into_owned(),
        host: name("/source/host"),
        count: event.count(),
        r#type: name("/type"),
        reason: name("/reason"),
        message: cut(event.text("/message"), message_limit).into_owned(),
        cluster,
        record_id: record.id(cluster).to_string(),
    };
    let item = Item { time: time(record, event).to_string(), data };
    serde_json::to_string(&item).map_err(|error| Outcome::Rejected { reason: error.to_string() })
}

/// When it last happened. Never the clock: an event without a time has that of its arrival in the log.
fn time(record: &Record, event: &EventObject) -> Timestamp {
    let seen = event.last_seen().filter(|time| *time > Timestamp::UNIX_EPOCH);
    seen.unwrap_or(record.received_at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::testing::record;

    fn shown(event: &str) -> String {
        item(&record("7", event), "prod").expect("an event")
    }

    #[test]
    fn an_item_has_the_columns_of_kube_eventer_and_its_own_time() {
        let event = r#"{"involvedObject":{"kind":"Pod","namespace":"shop","name":"web",
            "fieldPath":"spec.containers{web}"},"source":{"component":"kubelet","host":"node-1"},
            "reason":"BackOff","type":"Warning","message":"say \"hi\" 🎉","count":3,
            "lastTimestamp":null,"eventTime":"2024-05-01T10:00:00.25+08:00"}"#;
        let id = record("7", event).id("prod");
        assert_eq!(
            shown(event),
            format!(
                r#"{{"time":"2024-05-01T02:00:00.25Z","data":{{"namespace":"shop","kind":"Pod","name":"web","subobject":"spec.containers{{web}}","source.component":"kubelet","source.host":"node-1","count":3,"type":"Warning","reason":"BackOff","message":"say \"hi\" 🎉","cluster":"prod","record_id":"{id}"}}}}"#
            )
        );
    }

    #[test]
    fn an_event_without_a_time_has_that_of_its_arrival() {
        for event in ["{}", r#"{"lastTimestamp":"0001-01-01T00:00:00Z"}"#] {
            assert!(shown(event).starts_with(r#"{"time":"1970-01-01T00:00:00Z","#), "{event}");
        }
    }

    #[test]
    fn no_item_is_longer_than_honeycomb_takes() {
        for character in ["x", "é", "\\n", "\\u0001"] {
            let long = character.repeat(1 << 20);
            let event = format!(r#"{{"message":"{long}","reason":"{long}","type":"{long}"}}"#);
            let item = shown(&event);
            assert!(item.len() <= LONGEST_ITEM, "{character}: {}", item.len());
            assert!(item.contains('…'));
        }
    }
}
