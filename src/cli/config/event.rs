//! The events that `config explain` explains: from a file, or from the log of a relay.

use std::{fmt, fs, io};

use jiff::Timestamp;
use serde_json::Value;

use crate::event::{EventObject, Generation, Header, Position, Record, ResourceVersion, StreamId};

/// What `--event` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// A record of the log.
    Log(ResourceVersion),
    /// A file, or standard input.
    File(String),
}

/// Why there is no event to explain. One line, with the place and the remedy.
#[derive(Debug, thiserror::Error)]
pub(super) enum EventError {
    /// Neither a version nor hardly a file.
    #[error(
        "--event {0:?} is not a resourceVersion, which begins with 1 to 9; write ./{0} for a file of this name"
    )]
    Version(String),
    /// The file cannot be read.
    #[error("cannot read the event {name}: {cause}; check the path and its permissions")]
    Unreadable { name: String, cause: io::Error },
    /// The file is neither JSON nor YAML.
    #[error(
        "{name}{place}: not {language}: {reason}; write what `kubectl get event NAME -o yaml` prints"
    )]
    Malformed { name: String, language: &'static str, place: Place, reason: String },
    /// The reader of YAML limits what it takes.
    #[error("{name}: there is too much of it to read as YAML; write it as JSON, with `-o json`")]
    TooLarge { name: String },
    /// It is something else.
    #[error(
        "{name}{item}: {found}, not an event of core/v1; write what `kubectl get event NAME -o yaml` prints"
    )]
    NotAnEvent { name: String, item: String, found: String },
    /// A list without items.
    #[error("{name}: the list has no items, so there is no event to explain")]
    NoItems { name: String },
}

/// Line and column, as far as they are known.
#[derive(Debug, Default)]
pub(super) struct Place(Option<(u64, u64)>);

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |(line, column)| write!(formatter, ":{line}:{column}"))
    }
}

impl Origin {
    /// All digits are a version, anything else is a file.
    pub(super) fn of(written: &str) -> Result<Self, EventError> {
        if written.is_empty() || !written.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(Self::File(written.to_owned()));
        }
        let version = written.parse().map_err(|_| EventError::Version(written.to_owned()))?;
        Ok(Self::Log(version))
    }
}

/// The events of a file: one, or the items of a list.
pub(super) fn read_file(name: &str) -> Result<Vec<Record>, EventError> {
    let (name, text) = if name == "-" {
        ("standard input", io::read_to_string(io::stdin()))
    } else {
        (name, fs::read_to_string(name))
    };
    let text = text.map_err(|cause| EventError::Unreadable { name: name.to_owned(), cause })?;
    read(&text, name)
}

fn read(text: &str, name: &str) -> Result<Vec<Record>, EventError> {
    let is_json = text.trim_start().starts_with('{');
    let mut value = if is_json { json(text, name) } else { yaml(text, name) }?;
    let is_list = value["kind"].as_str().is_some_and(|kind| kind.ends_with("List"));
    let items = value.get_mut("items").and_then(Value::as_array_mut).filter(|_| is_list);
    let Some(items) = items else {
        return Ok(vec![event(value, name, String::new())?]);
    };
    if items.is_empty() {
        return Err(EventError::NoItems { name: name.to_owned() });
    }
    let items = std::mem::take(items).into_iter().enumerate();
    items.map(|(index, item)| event(item, name, format!(": items[{index}]"))).collect()
}

fn json(text: &str, name: &str) -> Result<Value, EventError> {
    serde_json::from_str(text).map_err(|error| {
        let whole = error.to_string();
        let reason = whole.split(" at line ").next().unwrap_or_default().to_owned();
        let place = Place(Some((error.line() as u64, error.column().max(1) as u64)));
        EventError::Malformed { name: name.to_owned(), language: "JSON", place, reason }
    })
}

fn yaml(text: &str, name: &str) -> Result<Value, EventError> {
    serde_saphyr::from_str(text).map_err(|error| {
        let place = Place(error.location().map(|at| (at.line(), at.column())));
        let whole = error.without_snippet().to_string();
        // A limit against hostile documents, in the reader's own terms.
        if whole.contains("budget breached") {
            return EventError::TooLarge { name: name.to_owned() };
        }
        let reason = whole.split(" at line ").next().unwrap_or_default();
        let reason = reason.trim_start_matches("error: ").to_owned();
        EventError::Malformed { name: name.to_owned(), language: "YAML", place, reason }
    })
}

/// An event as a record. Filters look at its header and its body, which are as they would be in the log.
fn event(event: Value, name: &str, item: String) -> Result<Record, EventError> {
    if let Some(found) = another_thing(&event) {
        return Err(EventError::NotAnEvent { name: name.to_owned(), item, found });
    }
    let event = EventObject::from_value(event);
    // One that somebody wrote to try a filter has no version.
    let version = event.text("/metadata/resourceVersion").parse();
    let version = version.unwrap_or_else(|_| ResourceVersion::first());
    Ok(Record {
        stream: StreamId::all_namespaces(),
        position: Position::new(Generation::default(), version),
        received_at: Timestamp::UNIX_EPOCH,
        header: Header::of(&event),
        body: event.to_json().into(),
    })
}

/// What a value is, when it is no event as the relay reads them.
fn another_thing(value: &Value) -> Option<String> {
    let Some(object) = value.as_object() else { return Some("it is no object".to_owned()) };
    let text = |key: &str| object.get(key).and_then(Value::as_str);
    match (text("kind"), text("apiVersion")) {
        (Some("Event"), Some("v1") | None) => None,
        (None, _) if object.contains_key("involvedObject") => None,
        (Some(kind), version) => Some(format!("it is {kind:?} of {:?}", version.unwrap_or("v1"))),
        (None, _) => Some("it has neither kind nor involvedObject".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_digits_are_a_version() {
        assert_eq!(
            Origin::of("4711").expect("a version"),
            Origin::Log("4711".parse().expect("it"))
        );
        for name in ["./4711", "-", "event.yaml", "", "47a"] {
            assert_eq!(Origin::of(name).expect("a file"), Origin::File(name.to_owned()));
        }
        let error = Origin::of("007").expect_err("neither").to_string();
        assert!(error.ends_with("write ./007 for a file of this name"), "{error}");
    }

    #[test]
    fn one_event_or_a_list_of_them_as_json_or_yaml() {
        let json =
            r#"{"kind":"Event","apiVersion":"v1","reason":"A","metadata":{"resourceVersion":"7"}}"#;
        let yaml =
            "kind: List\nitems:\n- kind: Event\n  reason: A\n- {reason: B, involvedObject: {}}\n";
        let reasons = |text: &str| {
            let records = read(text, "x").expect("events").into_iter();
            records.map(|record| record.header.reason).collect::<Vec<_>>()
        };
        assert_eq!(reasons(json), ["A"]);
        assert_eq!(reasons(yaml), ["A", "B"]);
        assert_eq!(reasons(&format!("{{\"kind\":\"EventList\",\"items\":[{json}]}}")), ["A"]);
    }

    #[test]
    fn a_list_too_long_for_yaml_is_read_as_json() {
        let items = vec!["{kind: Event}"; 150_000].join(", ");
        let error = read(&format!("kind: List\nitems: [{items}]"), "x").expect_err("too much");
        assert!(error.to_string().ends_with("with `-o json`"), "{error}");
        let items = vec![r#"{"kind":"Event"}"#; 150_000].join(", ");
        let json = format!("{{\"kind\":\"List\",\"items\":[{items}]}}");
        assert_eq!(read(&json, "x").expect("events").len(), 150_000);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let cases = [
            ("{\"kind\":\n oops}", "x:2:2: not JSON: expected value; "),
            ("kind: Event\n  reason: [", "x:2:"),
            (
                "kind: Pod\napiVersion: v1\n",
                "x: it is \"Pod\" of \"v1\", not an event of core/v1; ",
            ),
            (
                "{\"kind\":\"List\",\"items\":[{\"reason\":\"A\"}]}",
                "x: items[0]: it has neither kind ",
            ),
            ("kind: List\nitems: []\n", "x: the list has no items"),
            ("just text", "x: it is no object, not an event"),
            ("", "x: it is no object"),
            (
                "kind: Event\napiVersion: events.k8s.io/v1\n",
                "x: it is \"Event\" of \"events.k8s.io/v1\", not an event of core/v1",
            ),
        ];
        for (text, expected) in cases {
            let error = read(text, "x").expect_err(text).to_string();
            assert!(error.starts_with(expected) && !error.contains('\n'), "{text}: {error}");
        }
    }
}
