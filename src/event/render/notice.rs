//! What a person wants to know of a record.

use bytes::Bytes;
use jiff::Timestamp;

use super::text::{on_one_line, printable};
use crate::event::Record;

/// A record, read for people. Texts are printable, and all but the message are on one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// `type`.
    pub level: String,
    /// `reason`.
    pub reason: String,
    /// Kind of the object.
    pub kind: String,
    /// Namespace of the object; empty for nodes and the like.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
    /// Namespace of the event itself, which kube-eventer shows.
    pub event_namespace: String,
    /// Name of the event itself, which kube-eventer shows.
    pub event_name: String,
    /// `message`.
    pub message: String,
    /// `source.host`.
    pub node: String,
    /// Who reported it.
    pub component: String,
    /// How often it happened.
    pub count: u64,
    /// When it last happened, as kube-eventer sees it: `lastTimestamp`, else `eventTime`.
    pub at: Timestamp,
    /// When it last happened.
    pub seen: Timestamp,
    /// How many records it stands for.
    pub records: u64,
    /// When the first of those happened.
    pub since: Timestamp,
    /// The whole event as JSON, as it came.
    pub body: Bytes,
}

impl Notice {
    /// Reads a record. A record without any time happened when it was received.
    #[must_use]
    pub fn of(record: &Record) -> Self {
        let event = record.event();
        let line = |pointer| on_one_line(event.text(pointer));
        let seen = event.last_seen().unwrap_or(record.received_at);
        Self {
            level: line("/type"),
            reason: line("/reason"),
            kind: line("/involvedObject/kind"),
            namespace: line("/involvedObject/namespace"),
            name: line("/involvedObject/name"),
            event_namespace: line("/metadata/namespace"),
            event_name: line("/metadata/name"),
            message: printable(event.text("/message")).into_owned(),
            node: line("/source/host"),
            component: on_one_line(event.component()),
            count: event.count(),
            at: event.occurred().unwrap_or(seen),
            seen,
            records: 1,
            since: seen,
            body: record.body.clone(),
        }
    }

    /// The same as the newest of so many records, of which the first happened then.
    #[must_use]
    pub fn of_many(self, records: u64, since: Timestamp) -> Self {
        Self { records, since: since.min(self.seen), ..self }
    }

    /// The object, such as `shop/Pod/web-1` or `Node/worker-3`.
    #[must_use]
    pub fn object(&self) -> String {
        let parts = [&self.namespace, &self.kind, &self.name];
        parts.into_iter().filter(|part| !part.is_empty()).cloned().collect::<Vec<_>>().join("/")
    }

    /// The same with every text but the message cut to so many bytes, for events with names that no
    /// service would take.
    #[must_use]
    pub fn with_short_names(&self, limit: usize) -> Self {
        let short = |text: &String| super::cut(text, limit).into_owned();
        Self {
            level: short(&self.level),
            reason: short(&self.reason),
            kind: short(&self.kind),
            namespace: short(&self.namespace),
            name: short(&self.name),
            event_namespace: short(&self.event_namespace),
            event_name: short(&self.event_name),
            node: short(&self.node),
            component: short(&self.component),
            ..self.clone()
        }
    }
}
