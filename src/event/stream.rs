//! The name of a stream.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Names one watch: all namespaces or one of them. It is stable across restarts, and safe as the
/// name of a directory.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct StreamId(Arc<str>);

/// The text is not the name of a stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a stream: use `all-namespaces` or `namespace-NAME`")]
pub struct InvalidStreamId(pub String);

const ALL: &str = "all-namespaces";
const NAMESPACE_PREFIX: &str = "namespace-";

impl StreamId {
    /// The stream of all namespaces.
    #[must_use]
    pub fn all_namespaces() -> Self {
        Self(ALL.into())
    }

    /// The stream of one namespace.
    pub fn of_namespace(namespace: &str) -> Result<Self, InvalidStreamId> {
        format!("{NAMESPACE_PREFIX}{namespace}").parse()
    }

    /// The namespace this stream watches, or `None` for all of them.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        self.0.strip_prefix(NAMESPACE_PREFIX)
    }

    /// The name itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for StreamId {
    type Err = InvalidStreamId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_label = |name: &str| {
            // The form of a namespace's name: RFC 1123 label, at most 63 characters.
            (1..=63).contains(&name.len())
                && !name.starts_with('-')
                && !name.ends_with('-')
                && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        };
        match text.strip_prefix(NAMESPACE_PREFIX) {
            None if text == ALL => Ok(Self(text.into())),
            Some(namespace) if is_label(namespace) => Ok(Self(text.into())),
            _ => Err(InvalidStreamId(text.to_owned())),
        }
    }
}

impl TryFrom<String> for StreamId {
    type Error = InvalidStreamId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<StreamId> for String {
    fn from(stream: StreamId) -> Self {
        stream.0.as_ref().to_owned()
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_all_namespaces_or_one() {
        assert_eq!(StreamId::all_namespaces().namespace(), None);
        let shop = StreamId::of_namespace("shop").expect("a valid namespace");
        assert_eq!(shop.namespace(), Some("shop"));
        assert_eq!(shop.to_string().parse(), Ok(shop));
    }

    #[test]
    fn refuses_what_could_leave_its_directory() {
        for name in ["..", "a/b", "", "-a", "A"] {
            assert!(StreamId::of_namespace(name).is_err(), "{name:?}");
        }
    }
}
