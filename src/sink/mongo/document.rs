//! A record as a document of kube-eventer's collection, and the command that stores many.
//!
//! Source: kube-eventer, `sinks/mongo`: names, types and order of the fields; what is empty or zero is left
//! out. `_id` alone is new: kube-eventer's is random.

use jiff::Timestamp;
use mongodb::bson::raw::{CStr, cstr};
use mongodb::bson::{DateTime, RawArrayBuf, RawDocumentBuf, rawdoc};

use crate::event::{EventObject, Record};

/// How long the servers may take to confirm a write, in milliseconds. With what it may take to find a server
/// and to connect (see `connection`) it fits into the 30 s that the runner waits.
const CONFIRMATION_LIMIT: i32 = 10_000;

/// Fields with texts of the event.
const TEXTS: [(&CStr, &str); 7] = [
    (cstr!("namespace"), "/involvedObject/namespace"),
    (cstr!("kind"), "/involvedObject/kind"),
    (cstr!("name"), "/involvedObject/name"),
    (cstr!("type"), "/type"),
    (cstr!("reason"), "/reason"),
    (cstr!("message"), "/message"),
    (cstr!("event_id"), "/metadata/uid"),
];

/// The document of a record.
pub(super) fn of(record: &Record, cluster: &str) -> RawDocumentBuf {
    let event = record.event();
    let mut document = rawdoc! { "_id": record.id(cluster).to_string() };
    if let Some(count) = count(&event) {
        document.append(cstr!("count"), count);
    }
    for (field, pointer) in TEXTS {
        let text = event.text(pointer);
        if !text.is_empty() {
            document.append(field, text);
        }
    }
    let mut date = |field: &CStr, time: Timestamp| {
        document.append(field, DateTime::from_millis(time.as_millisecond()));
    };
    // Go's zero time stands for none.
    let first = event.time("/firstTimestamp").filter(|time| *time > Timestamp::UNIX_EPOCH);
    if let Some(first) = first {
        date(cstr!("first_occurrence_time"), first);
    }
    date(cstr!("last_occurrence_time"), event.occurred().unwrap_or(record.received_at));
    document
}

/// The event's own count, which is 32 bits wide in Kubernetes; not that of its series.
fn count(event: &EventObject) -> Option<i32> {
    let count = event.value().pointer("/count")?.as_i64()?;
    i32::try_from(count).ok().filter(|count| *count != 0)
}

/// The command that stores documents. Each is tried, whatever becomes of the others.
pub(super) fn insert(collection: &str, documents: RawArrayBuf) -> RawDocumentBuf {
    rawdoc! {
        "insert": collection,
        "ordered": false,
        "writeConcern": {"w": "majority", "j": true, "wtimeout": CONFIRMATION_LIMIT},
        "documents": documents,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Record;
    use crate::sink::testing::record;
    use mongodb::bson::{Document, doc};

    fn document(body: &str) -> Document {
        Document::try_from(of(&record("7", body), "prod")).expect("a document")
    }

    fn id(body: &str) -> String {
        let record: Record = record("7", body);
        record.id("prod").to_string()
    }

    fn at(time: &str) -> DateTime {
        DateTime::parse_rfc3339_str(time).expect("a time")
    }

    #[test]
    fn a_document_has_the_fields_of_kube_eventer_in_its_order() {
        let body = r#"{"metadata":{"uid":"u-1","name":"web.17a3","namespace":"shop"},
            "involvedObject":{"kind":"Pod","namespace":"shop","name":"web"},"reason":"BackOff",
            "message":"why","type":"Warning","count":3,"firstTimestamp":"2024-05-01T09:00:00+08:00",
            "lastTimestamp":"2024-05-01T02:00:00Z","series":{"count":9}}"#;
        let expected = doc! {
            "_id": id(body), "count": 3, "namespace": "shop", "kind": "Pod", "name": "web",
            "type": "Warning", "reason": "BackOff", "message": "why", "event_id": "u-1",
            "first_occurrence_time": at("2024-05-01T01:00:00Z"),
            "last_occurrence_time": at("2024-05-01T02:00:00Z"),
        };
        let document = document(body);
        assert_eq!(document, expected);
        assert!(document.keys().eq(expected.keys()), "{document}");
    }

    #[test]
    fn what_is_empty_or_zero_is_left_out() {
        let body = r#"{"involvedObject":{"kind":"Node","namespace":"","name":"n-1"},"message":"",
            "count":0,"firstTimestamp":"0001-01-01T00:00:00Z","lastTimestamp":null,
            "eventTime":"2024-05-01T02:00:00.123456Z"}"#;
        let expected = doc! {
            "_id": id(body), "kind": "Node", "name": "n-1",
            "last_occurrence_time": at("2024-05-01T02:00:00.123Z"),
        };
        assert_eq!(document(body), expected);
        let nothing = doc! { "_id": id("{}"), "last_occurrence_time": DateTime::from_millis(0) };
        assert_eq!(document("{}"), nothing, "when it was received");
    }

    #[test]
    fn odd_fields_do_not_stop_an_event() {
        let odd =
            document(r#"{"count":4294967296,"type":5,"reason":null,"message":"a\u0000b 🎉"}"#);
        assert_eq!(odd.get_str("message").ok(), Some("a\0b 🎉"));
        assert_eq!(odd.len(), 3, "{odd}");
    }

    #[test]
    fn the_command_demands_what_accepted_means() {
        let mut documents = RawArrayBuf::new();
        documents.push(rawdoc! { "_id": 1 });
        let command = Document::try_from(insert("event", documents)).expect("a document");
        let expected = doc! {
            "insert": "event", "ordered": false,
            "writeConcern": {"w": "majority", "j": true, "wtimeout": 10_000},
            "documents": [{"_id": 1}],
        };
        assert_eq!(command, expected);
        assert_eq!(command.keys().next().map(String::as_str), Some("insert"));
    }
}
