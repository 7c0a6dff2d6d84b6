//! What a person writes under `match` and `exclude`.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The lists of one rule. Every list is "any of these", an absent list matches anything, an empty one
/// nothing, and all lists that are given must match.
///
/// The entries are regular expressions over the whole value: `prod-.*` matches `prod-eu`, not
/// `my-prod-eu`. A `|prod-.*` also matches an empty value, such as the namespace of a node.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Match {
    /// `Normal`, `Warning`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none", with = "one_or_many")]
    pub types: Option<Vec<String>>,
    /// Namespace of the involved object.
    #[serde(skip_serializing_if = "Option::is_none", with = "one_or_many")]
    pub namespaces: Option<Vec<String>>,
    /// Kind of the involved object.
    #[serde(skip_serializing_if = "Option::is_none", with = "one_or_many")]
    pub kinds: Option<Vec<String>>,
    /// Name of the involved object.
    #[serde(skip_serializing_if = "Option::is_none", with = "one_or_many")]
    pub names: Option<Vec<String>>,
    /// Reason of the event.
    #[serde(skip_serializing_if = "Option::is_none", with = "one_or_many")]
    pub reasons: Option<Vec<String>>,
    /// Message of the event, all its lines: here `.` is also a line break.
    #[serde(skip_serializing_if = "Option::is_none", with = "one_or_many")]
    pub messages: Option<Vec<String>>,
    /// Who reported the event: `source.component`, else `reportingComponent`.
    #[serde(skip_serializing_if = "Option::is_none", with = "one_or_many")]
    pub components: Option<Vec<String>>,
    /// Labels of the event itself, each with its list. A label that is absent reads as empty.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "each_one_or_many")]
    pub labels: BTreeMap<String, Vec<String>>,
}

/// The text is no rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}; write it as under a sink's match, such as {{type: Warning, reasons: [BackOff]}}")]
pub struct MatchError(String);

impl FromStr for Match {
    type Err = MatchError;

    /// Reads YAML, most likely in its flow form: `{type: Warning, reasons: [BackOff]}`.
    fn from_str(text: &str) -> Result<Self, MatchError> {
        serde_saphyr::from_str(text).map_err(|error| {
            let text = error.without_snippet().to_string();
            MatchError(text.lines().next().unwrap_or_default().to_owned())
        })
    }
}

/// `type: Warning` as well as `type: [Normal, Warning]`.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a pattern, or a list of patterns")]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl From<OneOrMany> for Vec<String> {
    fn from(written: OneOrMany) -> Self {
        match written {
            OneOrMany::One(text) => vec![text],
            OneOrMany::Many(texts) => texts,
        }
    }
}

fn each_one_or_many<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, Vec<String>>, D::Error> {
    let written = BTreeMap::<String, OneOrMany>::deserialize(deserializer)?;
    Ok(written.into_iter().map(|(key, patterns)| (key, patterns.into())).collect())
}

mod one_or_many {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::OneOrMany;

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Vec<String>>, D::Error> {
        Ok(Option::<OneOrMany>::deserialize(deserializer)?.map(Into::into))
    }

    #[allow(clippy::ref_option)] // the signature serde asks for
    pub(super) fn serialize<S: Serializer>(
        value: &Option<Vec<String>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.serialize(serializer)
    }
}
