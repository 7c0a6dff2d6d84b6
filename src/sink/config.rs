//! What a person configures about a sink, whatever its kind.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::event::{FilterError, Match};
use crate::setting::{ByteSize, Span};

use super::{Sink, registry};

/// One entry under `sinks`.
///
/// Its options may contain literal secrets: `Debug` shows only their names, and who prints a
/// configuration prints [`SinkConfig::redacted`].
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SinkConfig {
    /// Unique name: the key of its cursors, the label of its metrics.
    pub name: String,
    /// Its kind, such as `webhook`.
    pub kind: String,
    /// Options of that kind, checked by the registry.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub options: Map<String, Value>,
    /// Records it wants.
    #[serde(default, rename = "match", skip_serializing_if = "is_default")]
    pub include: Match,
    /// Records it does not want although they match.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<Match>,
    /// How many records go out at once; what is absent is the kind's own default.
    #[serde(default, skip_serializing_if = "is_default")]
    pub batch: Batch,
    /// How it tries again.
    #[serde(default, skip_serializing_if = "is_default")]
    pub retry: Retry,
    /// At most so many deliveries in a window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// Whether equal records are told as one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Grouping>,
    /// Whether undelivered records hold the log when it is full. A best-effort sink (`false`) does not.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub required: bool,
}

impl SinkConfig {
    /// The same with every literal secret replaced, fit to be shown.
    pub fn redacted(&self) -> Result<Self, SinkError> {
        let options = (registry::find(&self.kind)?.redact)(&self.options)?;
        Ok(Self { options, ..self.clone() })
    }
}

impl SinkConfig {
    /// Whether this sink can tell equal records as one, if it is to.
    pub fn check_group(&self, sink: &dyn Sink) -> Result<(), SinkError> {
        match &self.group {
            Some(_) if !sink.makes_digests() => Err(SinkError::Group(
                "only sinks whose readers are people tell equal records as one; leave it out",
            )),
            Some(group) if group.by.is_empty() => Err(SinkError::Group(
                "`by` names nothing that records have in common; name a property, or leave it out",
            )),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for SinkConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SinkConfig")
            .field("name", &self.name)
            .field("kind", &self.kind)
            .field("options", &self.options.keys().collect::<Vec<_>>())
            .field("include", &self.include)
            .field("exclude", &self.exclude)
            .field("batch", &self.batch)
            .field("retry", &self.retry)
            .field("rate", &self.rate)
            .field("group", &self.group)
            .field("required", &self.required)
            .finish()
    }
}

/// Limits of one delivery. `None` is the default of the sink's kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Batch {
    /// At most so many records.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_records: Option<usize>,
    /// At most so many bytes of event JSON (one record may be larger).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<ByteSize>,
    /// How long the first record of a batch waits for company.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_wait: Option<Span>,
}

/// Exponential backoff with jitter. It never gives up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Retry {
    /// First wait.
    pub initial: Span,
    /// Longest wait.
    pub max: Span,
    /// A delivery that takes longer has failed with unknown effect.
    pub timeout: Span,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            initial: Span::from_secs(1),
            // Recovery is noticed within minutes, and a dead service is asked twice a minute at most
            // by a relay that has been waiting long.
            max: Span::from_secs(60),
            timeout: Span::from_secs(30),
        }
    }
}

/// At most `messages` deliveries in any window of length `per`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rate {
    /// Deliveries per window, at least 1.
    pub messages: u32,
    /// Length of the window.
    pub per: Span,
}

/// Repeats of one thing become one message, told again as long as it goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Grouping {
    /// What equal records have in common.
    pub by: Vec<Property>,
    /// How long the first of them waits for others.
    pub wait: Span,
    /// How long after it was told a thing that goes on is told again.
    pub repeat: Span,
}

impl Default for Grouping {
    fn default() -> Self {
        Self {
            by: vec![Property::Namespace, Property::Kind, Property::Name, Property::Reason],
            wait: Span::from_secs(10),
            repeat: Span::from_secs(600),
        }
    }
}

/// What records can have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Property {
    /// Namespace of the object.
    Namespace,
    /// Kind of the object.
    Kind,
    /// Name of the object.
    Name,
    /// Reason of the event.
    Reason,
    /// Type of the event.
    Type,
}

/// A sink that cannot be built from its configuration. The message names the option.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The kind does not exist.
    #[error("unknown sink kind {kind:?}{hint}; known kinds: {known}")]
    UnknownKind {
        /// As written.
        kind: String,
        /// `; did you mean …?` or nothing.
        hint: String,
        /// All kinds.
        known: String,
    },
    /// An option is unknown, missing or has a bad value.
    #[error("option {option}: {reason}")]
    Option {
        /// Its name.
        option: String,
        /// What is wrong and what to write instead.
        reason: String,
    },
    /// `group` does not fit the sink.
    #[error("group: {0}")]
    Group(&'static str),
    /// A pattern of `match` or `exclude` cannot be read.
    #[error(transparent)]
    Filter(#[from] FilterError),
}

fn yes() -> bool {
    true
}

#[allow(clippy::trivially_copy_pass_by_ref)] // the signature serde asks for
fn is_true(value: &bool) -> bool {
    *value
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
