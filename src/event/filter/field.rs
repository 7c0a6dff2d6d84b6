//! What a list of a rule looks at.

use std::cell::OnceCell;
use std::fmt;

use serde::{Serialize, Serializer};

use crate::event::{EventObject, Header, Record};

/// A list of a [`Match`](super::Match), by the key it is written under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    /// `type`
    Type,
    /// `namespaces`
    Namespaces,
    /// `kinds`
    Kinds,
    /// `names`
    Names,
    /// `reasons`
    Reasons,
    /// `messages`
    Messages,
    /// The list of one label, under `labels`.
    Label(String),
    /// `components`
    Components,
}

/// A record whose body is read once, and not before something asks for it.
pub(super) struct Subject<'a> {
    record: &'a Record,
    event: OnceCell<EventObject>,
}

impl Field {
    /// The keys that lead to it within a rule.
    #[must_use]
    pub fn path(&self) -> Vec<&str> {
        match self {
            Self::Type => vec!["type"],
            Self::Namespaces => vec!["namespaces"],
            Self::Kinds => vec!["kinds"],
            Self::Names => vec!["names"],
            Self::Reasons => vec!["reasons"],
            Self::Messages => vec!["messages"],
            Self::Label(key) => vec!["labels", key],
            Self::Components => vec!["components"],
        }
    }

    /// Its value, when the header has it; `None` when the body has to be read for it.
    pub(super) fn of_header<'a>(&self, header: &'a Header) -> Option<&'a str> {
        match self {
            Self::Type => Some(&header.event_type),
            Self::Namespaces => Some(&header.namespace),
            Self::Kinds => Some(&header.kind),
            Self::Names => Some(&header.name),
            Self::Reasons => Some(&header.reason),
            Self::Messages | Self::Label(_) | Self::Components => None,
        }
    }

    /// Its value.
    pub(super) fn of<'a>(&self, subject: &'a Subject<'_>) -> &'a str {
        self.of_header(&subject.record.header).unwrap_or_else(|| match self {
            Self::Messages => subject.event().text("/message"),
            Self::Label(key) => subject.event().label(key),
            _ => subject.event().component(),
        })
    }
}

impl<'a> Subject<'a> {
    pub(super) fn of(record: &'a Record) -> Self {
        Self { record, event: OnceCell::new() }
    }

    fn event(&self) -> &EventObject {
        self.event.get_or_init(|| self.record.event())
    }

    /// Whether the body has been read.
    #[cfg(test)]
    pub(super) fn is_read(&self) -> bool {
        self.event.get().is_some()
    }
}

impl fmt::Display for Field {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.path().join("."))
    }
}

impl Serialize for Field {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
