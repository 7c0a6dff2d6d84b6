//! What is wrong with a document, and where.

use std::fmt::{self, Display};

use serde::de::{self, Expected, Unexpected};

use super::tree::Place;
use crate::config::nearest;

/// One thing that is wrong. The message is a single line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// Where, once it is known: the innermost value that failed.
    pub place: Option<Place>,
    /// What is wrong and what to write instead.
    pub message: String,
}

impl Fault {
    /// A fault of the value at `place`.
    pub(super) fn at(place: Place, message: impl Into<String>) -> Self {
        Self { place: Some(place), message: message.into() }
    }

    /// Gives it a place unless it has one: the innermost value speaks first.
    pub(super) fn or_at(mut self, place: Place) -> Self {
        self.place.get_or_insert(place);
        self
    }

    fn anywhere(message: impl Display) -> Self {
        Self { place: None, message: one_line(&message.to_string()) }
    }
}

impl From<serde_saphyr::Error> for Fault {
    fn from(error: serde_saphyr::Error) -> Self {
        let place = error.location().map(Place::from);
        let message = match error.without_snippet() {
            serde_saphyr::Error::DuplicateMappingKey { key: Some(key), .. } => {
                format!("the key {key:?} is written twice; keep one")
            }
            other => {
                let text = other.to_string();
                // The reader repeats the place in words.
                let words = text.split_once(" at line ").map_or(text.as_str(), |(words, _)| words);
                // A limit against hostile documents, in the reader's own terms.
                if words.contains("budget breached") || words.contains("recursion limit") {
                    "the document is too large, or nested too deeply".to_owned()
                } else {
                    one_line(words.trim_start_matches("error: "))
                }
            }
        };
        Self { place, message }
    }
}

/// The text on one line.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: Display>(message: T) -> Self {
        let message = message.to_string();
        // The standard library's words for `admin.listen` name no remedy.
        if message == "invalid socket address syntax" {
            return Self::anywhere("not an address; write IP:PORT, such as 0.0.0.0:8084");
        }
        Self::anywhere(message)
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::anywhere(format_args!("expected {expected}, found {}", described(&found)))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::anywhere(format_args!("expected {expected}, found {}", described(&found)))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::anywhere(format_args!("unknown key {field:?}{}", nearest::hint(field, expected)))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::anywhere(format_args!(
            "unknown value {variant:?}{}",
            nearest::hint(variant, expected)
        ))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::anywhere(format_args!("the key {field:?} is missing here"))
    }
}

/// A value in the words of a person who writes YAML.
fn described(found: &Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(value) => value.to_string(),
        Unexpected::Unsigned(value) => format!("the number {value}"),
        Unexpected::Signed(value) => format!("the number {value}"),
        Unexpected::Float(value) => format!("the number {value}"),
        // Not shown: it may be a secret in the wrong place.
        Unexpected::Str(_) => "text".into(),
        Unexpected::Unit | Unexpected::Option => "nothing".into(),
        Unexpected::Seq => "a list".into(),
        Unexpected::Map => "a mapping".into(),
        other => other.to_string(),
    }
}
