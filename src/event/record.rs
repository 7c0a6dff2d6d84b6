//! The record and its identity.

use std::fmt;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::{EventObject, InvalidResourceVersion, Position, ResourceVersion, StreamId};

/// One observed version of one Event object.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The watch it came from.
    pub stream: StreamId,
    /// Its place in that stream.
    pub position: Position,
    /// When the relay received it.
    pub received_at: Timestamp,
    /// What filters look at first.
    pub header: Header,
    /// The event's JSON as the API server sent it, minus `managedFields`; always with `kind` and
    /// `apiVersion` in front, which lists leave out and watches send.
    pub body: Bytes,
}

/// The few fields of an event that filters and digests need, stored apart from the body so that a
/// record can be passed over without parsing it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Header {
    /// `metadata.uid` of the Event object.
    pub uid: String,
    /// `type`: `Normal`, `Warning`, or whatever a legacy writer stored.
    pub event_type: String,
    /// `reason`.
    pub reason: String,
    /// `involvedObject.kind`.
    pub kind: String,
    /// `involvedObject.namespace`; empty for nodes and other cluster-scoped objects.
    pub namespace: String,
    /// `involvedObject.name`.
    pub name: String,
}

/// The JSON is not an Event that can be stored.
#[derive(Debug, thiserror::Error)]
pub enum NotAnEvent {
    /// Not JSON, or not an object.
    #[error("the API server sent an event that is not a JSON object: {0}")]
    NotAnObject(String),
    /// `metadata.resourceVersion` is missing or cannot be ordered.
    #[error(transparent)]
    ResourceVersion(#[from] InvalidResourceVersion),
}

impl Record {
    /// Reads an Event object of the API server: takes its header, drops `managedFields`.
    ///
    /// Anything but the resourceVersion may be missing or malformed: such an event is stored as it is.
    pub fn parse_event(json: &[u8]) -> Result<(ResourceVersion, Header, Bytes), NotAnEvent> {
        let value: Value = serde_json::from_slice(json)
            .map_err(|error| NotAnEvent::NotAnObject(error.to_string()))?;
        let Value::Object(mut object) = value else {
            return Err(NotAnEvent::NotAnObject("another JSON value".to_owned()));
        };
        if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
            metadata.shift_remove("managedFields");
        }
        let object = EventObject::from_value(Value::Object(with_type(object)));
        let resource_version = object.text("/metadata/resourceVersion").parse()?;
        Ok((resource_version, Header::of(&object), Bytes::from(object.to_json())))
    }

    /// How log lines and the command line name it: `STREAM/GENERATION.RV`.
    #[must_use]
    pub fn place(&self) -> String {
        format!("{}/{}", self.stream, self.position)
    }

    /// The identity of this record for the idempotency mechanism of a sink.
    #[must_use]
    pub fn id(&self, cluster: &str) -> RecordId {
        let mut digest = Sha256::new();
        digest.update(cluster);
        digest.update([0]);
        if self.position.generation.0 > 0 {
            digest.update(self.position.generation.to_string());
            digest.update([0]);
        }
        digest.update(&self.header.uid);
        digest.update([0]);
        digest.update(self.position.resource_version.as_str());
        let mut id = [0; 16];
        id.copy_from_slice(&digest.finalize()[..16]);
        RecordId(id)
    }

    /// The body, ready to look things up in.
    #[must_use]
    pub fn event(&self) -> EventObject {
        EventObject::parse(&self.body)
    }
}

impl Header {
    /// The header of an event.
    #[must_use]
    pub fn of(object: &EventObject) -> Self {
        let text = |pointer| object.text(pointer).to_owned();
        Self {
            uid: text("/metadata/uid"),
            event_type: text("/type"),
            reason: text("/reason"),
            kind: text("/involvedObject/kind"),
            namespace: text("/involvedObject/namespace"),
            name: text("/involvedObject/name"),
        }
    }
}

/// Items of a list come without `kind` and `apiVersion`; the same version must have the same bytes
/// however it was read.
fn with_type(object: Map<String, Value>) -> Map<String, Value> {
    let mut typed = Map::with_capacity(object.len() + 2);
    typed.insert("kind".to_owned(), "Event".into());
    typed.insert("apiVersion".to_owned(), "v1".into());
    typed.extend(object.into_iter().filter(|(key, _)| key != "kind" && key != "apiVersion"));
    typed
}

/// 128 bits that name a record: the same for every delivery of it, different for every other.
///
/// SHA-256 over cluster, generation (when not 0), uid and resourceVersion, cut to 16 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId([u8; 16]);

impl fmt::Display for RecordId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for RecordId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Generation;

    const LISTED: &str = r#"{"metadata":{"name":"web.17a3","namespace":"shop","uid":"u-1",
        "resourceVersion":"42","managedFields":[{"manager":"kubelet"}]},
        "involvedObject":{"kind":"Pod","namespace":"shop","name":"web"},
        "reason":"BackOff","type":"Warning"}"#;

    fn record(generation: u32, json: &str) -> Record {
        let (resource_version, header, body) = Record::parse_event(json.as_bytes()).expect("event");
        Record {
            stream: StreamId::all_namespaces(),
            position: Position::new(Generation(generation), resource_version),
            received_at: Timestamp::UNIX_EPOCH,
            header,
            body,
        }
    }

    #[test]
    fn a_version_has_the_same_bytes_from_a_list_and_from_a_watch() {
        let watched = LISTED.replacen('{', r#"{"kind":"Event","apiVersion":"v1","#, 1);
        let (listed, watched) = (record(0, LISTED), record(0, &watched));
        assert_eq!(listed.body, watched.body);
        assert!(!listed.body.windows(13).any(|window| window == b"managedFields"));
        assert_eq!(listed.header.name, "web");
    }

    #[test]
    fn an_event_with_odd_fields_is_kept() {
        let odd = record(0, r#"{"metadata":{"resourceVersion":"7"},"type":5,"series":null}"#);
        assert_eq!(odd.header, Header::default());
    }

    #[test]
    fn a_body_that_is_read_again_keeps_its_numbers() {
        let numbers = "[1,-2,0.1,1.0,51.24817837550540,5.4e-324,2.4703282292062327e-308,1e300]";
        let odd = format!(r#"{{"metadata":{{"resourceVersion":"7"}},"x":{numbers}}}"#);
        let body = record(0, &odd).body;
        let again = record(0, std::str::from_utf8(&body).expect("text")).body;
        assert_eq!(body, again);
        assert_eq!(body, record(0, &odd).event().to_json());
    }

    #[test]
    fn an_event_without_a_version_is_an_error() {
        assert!(Record::parse_event(b"{}").is_err());
        assert!(Record::parse_event(b"[]").is_err());
        assert!(Record::parse_event(b"{").is_err());
    }

    #[test]
    fn identity_depends_on_history_and_version() {
        let plain = record(0, LISTED).id("prod");
        assert_eq!(plain.to_string().len(), 32);
        assert_eq!(plain, record(0, LISTED).id("prod"));
        assert_ne!(plain, record(1, LISTED).id("prod"));
        assert_ne!(plain, record(0, LISTED).id("test"));
        assert_ne!(plain, record(0, &LISTED.replace("42", "43")).id("prod"));
    }
}
