//! Reads what the API server sends: pages of a list, lines of a watch, `Status` objects.
//!
//! Items stay raw text until each becomes a record, so that a page is never held as a tree.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::failure::{Failure, Refusal};
use crate::event::{Header, Record, ResourceVersion};

/// A version of an event, not yet placed in a generation.
#[derive(Debug)]
pub(super) struct Observed {
    pub(super) resource_version: ResourceVersion,
    pub(super) header: Header,
    pub(super) body: Bytes,
}

/// A page of a list.
#[derive(Debug)]
pub(super) struct ListPage {
    /// Observed of the list.
    pub(super) resource_version: ResourceVersion,
    /// Token of the next page.
    pub(super) next: Option<String>,
    /// The events on it.
    pub(super) events: Vec<Observed>,
    /// What is no event: beginning of the text, and why.
    pub(super) unreadable: Vec<String>,
}

/// A line of a watch.
#[derive(Debug)]
pub(super) enum Message {
    /// ADDED or MODIFIED.
    Record(Observed),
    /// DELETED or BOOKMARK.
    Advance(ResourceVersion),
    /// ERROR.
    Error(Refusal),
}

#[derive(Deserialize)]
struct RawList<'a> {
    #[serde(borrow, default)]
    items: Option<Vec<&'a RawValue>>,
    metadata: ListMetadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListMetadata {
    resource_version: String,
    #[serde(rename = "continue", default)]
    next: Option<String>,
}

#[derive(Deserialize)]
struct RawMessage<'a> {
    #[serde(borrow, rename = "type", default)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    object: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Versioned {
    metadata: ObjectMetadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ObjectMetadata {
    resource_version: String,
}

#[derive(Deserialize, Default)]
struct RawStatus {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    code: u16,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    details: Option<StatusDetails>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StatusDetails {
    #[serde(default)]
    retry_after_seconds: u64,
}

/// Bytes of a text that is quoted in a message.
const QUOTED: usize = 160;

/// Reads a page of a list. An item that is no event does not spoil the others.
pub(super) fn page(body: &[u8]) -> Result<ListPage, Failure> {
    let list: RawList = serde_json::from_slice(body)
        .map_err(|error| Failure::Unusable(format!("not a list ({error}): {}", quote(body))))?;
    let resource_version =
        list.metadata.resource_version.parse().map_err(|error| {
            Failure::Unusable(format!("the list has no usable version: {error}"))
        })?;
    let mut events = Vec::new();
    let mut unreadable = Vec::new();
    for item in list.items.unwrap_or_default() {
        match observed(item.get().as_bytes()) {
            Ok(event) => events.push(event),
            Err(cause) => unreadable.push(cause),
        }
    }
    let next = list.metadata.next.filter(|token| !token.is_empty());
    Ok(ListPage { resource_version, next, events, unreadable })
}

/// Reads a line of a watch, or says why it cannot be read.
pub(super) fn message(line: &[u8]) -> Result<Message, String> {
    let unreadable = |error: &dyn std::fmt::Display| format!("{error}: {}", quote(line));
    let message: RawMessage = serde_json::from_slice(line).map_err(|error| unreadable(&error))?;
    let object = message.object.map_or(&b"null"[..], |object| object.get().as_bytes());
    match message.kind.as_ref() {
        "ADDED" | "MODIFIED" => observed(object).map(Message::Record),
        "DELETED" | "BOOKMARK" => {
            let object: Versioned =
                serde_json::from_slice(object).map_err(|error| unreadable(&error))?;
            let version = object.metadata.resource_version.parse();
            version.map(Message::Advance).map_err(|error| unreadable(&error))
        }
        "ERROR" => Ok(Message::Error(
            status(object)
                .unwrap_or_else(|| Refusal { message: quote(object), ..Refusal::default() }),
        )),
        // Some proxies pass a Status on as it is.
        "" => {
            status(line).map(Message::Error).ok_or_else(|| unreadable(&"neither type nor Status"))
        }
        other => Err(unreadable(&format_args!("unknown type {other:?}"))),
    }
}

/// Reads a `Status` object.
pub(super) fn status(json: &[u8]) -> Option<Refusal> {
    let status: RawStatus = serde_json::from_slice(json).ok()?;
    let seconds = status.details.map_or(0, |details| details.retry_after_seconds);
    (status.kind == "Status").then(|| Refusal {
        code: status.code,
        reason: status.reason.unwrap_or_default(),
        message: status.message.unwrap_or_default(),
        retry_after: (seconds > 0).then(|| Duration::from_secs(seconds)),
    })
}

/// `message` of an event, for those who count events.
pub(super) fn event_message(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Event {
        #[serde(default)]
        message: Option<String>,
    }
    let event = serde_json::from_slice::<Event>(body);
    event.ok().and_then(|event| event.message).unwrap_or_default()
}

/// The beginning of a text, on one line.
pub(super) fn quote(text: &[u8]) -> String {
    let cut = text.len().min(QUOTED);
    let text: String = String::from_utf8_lossy(&text[..cut])
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    text
}

fn observed(json: &[u8]) -> Result<Observed, String> {
    let (resource_version, header, body) =
        Record::parse_event(json).map_err(|error| format!("{error}: {}", quote(json)))?;
    Ok(Observed { resource_version, header, body })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_a_page_and_leaves_out_what_is_no_event() {
        let page = page(
            br#"{"kind":"EventList","metadata":{"resourceVersion":"9","continue":"abc"},
                "items":[{"metadata":{"uid":"u","resourceVersion":"7"},"reason":"BackOff"},
                {"metadata":{"resourceVersion":""}},17]}"#,
        )
        .expect("a page");
        assert_eq!(page.resource_version.as_str(), "9");
        assert_eq!(page.next.as_deref(), Some("abc"));
        assert_eq!(page.events.len(), 1);
        assert_eq!(page.events[0].header.reason, "BackOff");
        assert_eq!(page.unreadable.len(), 2, "{:?}", page.unreadable);
    }

    #[test]
    fn an_empty_list_is_a_page() {
        for items in ["", r#","items":null"#, r#","items":[]"#] {
            let text = format!(r#"{{"metadata":{{"resourceVersion":"9","continue":""}}{items}}}"#);
            let page = page(text.as_bytes()).expect("a page");
            assert!(page.events.is_empty() && page.next.is_none());
        }
    }

    #[test]
    fn what_is_no_list_is_quoted() {
        let failure = page(b"<html>Please log in</html>").expect_err("no list");
        assert!(matches!(&failure, Failure::Unusable(text) if text.contains("Please log in")));
        assert!(page(br#"{"metadata":{"resourceVersion":"v1.opaque"},"items":[]}"#).is_err());
    }

    #[test]
    fn every_type_of_line_is_read() {
        let line = |kind: &str, object: &str| {
            message(format!(r#"{{"type":"{kind}","object":{object}}}"#).as_bytes())
        };
        let event = r#"{"metadata":{"resourceVersion":"5"}}"#;
        for kind in ["ADDED", "MODIFIED"] {
            assert!(matches!(line(kind, event), Ok(Message::Record(_))), "{kind}");
        }
        for kind in ["DELETED", "BOOKMARK"] {
            assert!(matches!(line(kind, event), Ok(Message::Advance(_))), "{kind}");
        }
        let status = r#"{"kind":"Status","code":410,"reason":"Expired","message":"too old",
            "details":{"retryAfterSeconds":3}}"#;
        let Ok(Message::Error(refusal)) = line("ERROR", status) else { panic!("an error") };
        assert_eq!((refusal.code, refusal.reason.as_str()), (410, "Expired"));
        assert_eq!(refusal.retry_after, Some(Duration::from_secs(3)));
        assert!(matches!(message(status.as_bytes()), Ok(Message::Error(_))));
        for (kind, object) in [("ADDED", "{}"), ("DELETED", "{}"), ("SYNCED", event)] {
            assert!(line(kind, object).is_err(), "{kind}");
        }
        assert!(matches!(line("ERROR", "null"), Ok(Message::Error(_))));
    }

    #[test]
    fn the_message_of_an_event_is_found() {
        assert_eq!(
            event_message(br#"{"a":{"message":"x"},"message":"Back-off \u00e9"}"#),
            "Back-off é"
        );
        assert_eq!(event_message(br#"{"message":null}"#), "");
        assert_eq!(event_message(b"[]"), "");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _page = page(&bytes);
            let _message = message(&bytes);
            let _status = status(&bytes);
        }
    }
}
