//! Which records a sink wants.

use regex::Regex;
use serde::{Deserialize, Serialize};

use super::Header;

/// What a person writes under `match` and `exclude`. Every list is "any of these", an absent list
/// matches anything, and all lists that are given must match.
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
}

/// A pattern that is not a regular expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {pattern:?} is not a regular expression: {reason}")]
pub struct FilterError {
    /// The list it stands in, such as `reasons`.
    pub field: &'static str,
    /// The pattern as written.
    pub pattern: String,
    /// Where and why it cannot be read, on one line.
    pub reason: String,
}

/// Compiled `match` and `exclude`: a record passes when the first matches and none of the others does.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    include: Rule,
    exclude: Vec<Rule>,
}

/// The tests of one [`Match`]. No patterns at all matches everything; an empty list matches nothing.
#[derive(Debug, Clone, Default)]
struct Rule {
    tests: Vec<(Field, Vec<Regex>)>,
}

type Field = fn(&Header) -> &str;

impl Filter {
    /// Compiles the patterns.
    pub fn new(include: &Match, exclude: &[Match]) -> Result<Self, FilterError> {
        Ok(Self {
            include: Rule::new(include)?,
            exclude: exclude.iter().map(Rule::new).collect::<Result<_, _>>()?,
        })
    }

    /// Whether it passes every record.
    #[must_use]
    pub fn passes_everything(&self) -> bool {
        self.include.tests.is_empty() && self.exclude.is_empty()
    }

    /// Whether the sink wants a record with this header.
    #[must_use]
    pub fn passes(&self, header: &Header) -> bool {
        self.include.matches(header) && !self.exclude.iter().any(|rule| rule.matches(header))
    }
}

impl Rule {
    fn new(wanted: &Match) -> Result<Self, FilterError> {
        let fields: [(&'static str, &Option<Vec<String>>, Field); 5] = [
            ("type", &wanted.types, |header| &header.event_type),
            ("namespaces", &wanted.namespaces, |header| &header.namespace),
            ("kinds", &wanted.kinds, |header| &header.kind),
            ("names", &wanted.names, |header| &header.name),
            ("reasons", &wanted.reasons, |header| &header.reason),
        ];
        let mut tests = Vec::new();
        for (name, patterns, field) in fields {
            if let Some(patterns) = patterns {
                let compiled = patterns.iter().map(|pattern| compile(name, pattern));
                tests.push((field, compiled.collect::<Result<_, _>>()?));
            }
        }
        Ok(Self { tests })
    }

    fn matches(&self, header: &Header) -> bool {
        self.tests
            .iter()
            .all(|(field, patterns)| patterns.iter().any(|pattern| pattern.is_match(field(header))))
    }
}

fn compile(field: &'static str, pattern: &str) -> Result<Regex, FilterError> {
    let refused = |error: &regex::Error| FilterError {
        field,
        pattern: pattern.to_owned(),
        // The last line of the crate's drawing says what is wrong; the drawing itself needs many lines.
        reason: error
            .to_string()
            .lines()
            .last()
            .unwrap_or_default()
            .trim()
            .trim_start_matches("error: ")
            .to_owned(),
    };
    // Compiled alone first, so that an error speaks of what was written and not of the anchors.
    Regex::new(pattern).map_err(|error| refused(&error))?;
    Regex::new(&format!("^(?:{pattern})$")).map_err(|error| refused(&error))
}

/// Accepts `type: Warning` as well as `type: [Normal, Warning]`.
mod one_or_many {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a pattern, or a list of patterns")]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Vec<String>>, D::Error> {
        Ok(Option::<OneOrMany>::deserialize(deserializer)?.map(|value| match value {
            OneOrMany::One(text) => vec![text],
            OneOrMany::Many(texts) => texts,
        }))
    }

    #[allow(clippy::ref_option)] // the signature serde asks for
    pub(super) fn serialize<S: Serializer>(
        value: &Option<Vec<String>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(namespace: &str, reason: &str) -> Header {
        Header {
            event_type: "Warning".into(),
            namespace: namespace.into(),
            reason: reason.into(),
            ..Header::default()
        }
    }

    fn wanted(json: &str) -> Match {
        serde_json::from_str(json).expect("a valid match")
    }

    #[test]
    fn an_empty_filter_passes_everything() {
        assert!(Filter::default().passes(&header("prod", "BackOff")));
    }

    #[test]
    fn patterns_cover_the_whole_value() {
        let filter =
            Filter::new(&wanted(r#"{"namespaces":["prod|prod-.*"]}"#), &[]).expect("regex");
        assert!(filter.passes(&header("prod-eu", "")));
        assert!(!filter.passes(&header("my-prod", "")));
        assert!(!filter.passes(&header("", "")), "a node has no namespace");
    }

    #[test]
    fn exclusion_wins_over_inclusion() {
        let filter = Filter::new(
            &wanted(r#"{"type":"Warning"}"#),
            &[wanted(r#"{"reasons":["BackOff"],"namespaces":["test"]}"#)],
        )
        .expect("regex");
        assert!(filter.passes(&header("prod", "BackOff")));
        assert!(!filter.passes(&header("test", "BackOff")));
    }

    #[test]
    fn an_empty_list_matches_nothing() {
        let filter = Filter::new(&wanted(r#"{"kinds":[]}"#), &[]).expect("regex");
        assert!(!filter.passes(&header("prod", "BackOff")));
    }

    #[test]
    fn a_bad_pattern_is_named_with_its_list() {
        let error = Filter::new(&wanted(r#"{"reasons":["*test*"]}"#), &[]).expect_err("invalid");
        assert_eq!(error.field, "reasons");
        assert!(!error.to_string().contains('\n'), "{error}");
    }
}
