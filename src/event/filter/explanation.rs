//! Why a record passes a filter, or does not.

use std::fmt;

use serde::Serialize;

use super::field::Field;

/// What decided, in the words of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "decision")]
pub enum Explanation {
    /// It passes: `match` matches, and no `exclude` does.
    Passes {
        /// What each list of `match` matched with.
        matched: Vec<Matched>,
        /// Of each `exclude`, the first list that does not match.
        spared: Vec<Unmatched>,
    },
    /// It is stopped by `match`: this is the first of its lists that does not match.
    NotMatched(Unmatched),
    /// It is stopped by an `exclude`.
    Excluded {
        /// Which one, from 0.
        exclude: usize,
        /// What each of its lists matched with.
        matched: Vec<Matched>,
    },
}

/// A list that matches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Matched {
    /// The list.
    pub field: Field,
    /// The value of the record.
    pub value: String,
    /// The first pattern that the value matches.
    pub pattern: String,
}

/// A list that does not match.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unmatched {
    /// The list.
    pub field: Field,
    /// The value of the record.
    pub value: String,
    /// All patterns, none of which the value matches.
    pub patterns: Vec<String>,
}

/// Characters of a value that a sentence shows: a message may have a thousand.
const SHOWN: usize = 120;

impl Explanation {
    /// Whether the record passes.
    #[must_use]
    pub fn passes(&self) -> bool {
        matches!(self, Self::Passes { .. })
    }
}

impl fmt::Display for Explanation {
    /// One sentence on one line.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passes { matched, spared } => {
                write!(formatter, "match: {}", all(matched))?;
                for (index, unmatched) in spared.iter().enumerate() {
                    write!(formatter, "; exclude[{index}] does not apply: {unmatched}")?;
                }
                Ok(())
            }
            Self::NotMatched(unmatched) => write!(formatter, "match: {unmatched}"),
            Self::Excluded { exclude, matched } => {
                write!(formatter, "exclude[{exclude}]: {}", all(matched))
            }
        }
    }
}

impl fmt::Display for Matched {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { field, value, pattern } = self;
        write!(formatter, "{field} {} matches {pattern:?}", quoted(value))
    }
}

impl fmt::Display for Unmatched {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { field, value, patterns } = self;
        match patterns.as_slice() {
            [] => write!(formatter, "{field} is an empty list, which matches nothing"),
            [pattern] => {
                write!(formatter, "{field} {} does not match {pattern:?}", quoted(value))
            }
            patterns => {
                let patterns: Vec<_> =
                    patterns.iter().map(|pattern| format!("{pattern:?}")).collect();
                let value = quoted(value);
                write!(formatter, "{field} {value} matches none of {}", patterns.join(", "))
            }
        }
    }
}

fn all(matched: &[Matched]) -> String {
    if matched.is_empty() {
        return "it is empty, and matches everything".to_owned();
    }
    matched.iter().map(Matched::to_string).collect::<Vec<_>>().join(", ")
}

/// The beginning of a value, between quotes.
fn quoted(value: &str) -> String {
    match value.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}…", value.get(..end).unwrap_or_default()),
        None => format!("{value:?}"),
    }
}
