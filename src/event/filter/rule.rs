//! One rule, compiled: the tests that must all succeed for it to match.

use regex::Regex;

use super::explanation::{Matched, Unmatched};
use super::field::{Field, Subject};
use super::wanted::Match;
use crate::event::Header;

/// A pattern that is not a regular expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {pattern:?} is not a regular expression: {reason}")]
pub struct FilterError {
    /// The list it stands in, such as `reasons`.
    pub field: Field,
    /// The pattern as written.
    pub pattern: String,
    /// Where and why it cannot be read, on one line.
    pub reason: String,
}

/// The tests of one [`Match`], those that need only the header in front. No tests at all match everything.
#[derive(Debug, Clone, Default)]
pub(super) struct Rule {
    tests: Vec<Test>,
}

/// A value that must match one of the patterns; none at all match nothing.
#[derive(Debug, Clone)]
struct Test {
    field: Field,
    patterns: Vec<Pattern>,
}

#[derive(Debug, Clone)]
struct Pattern {
    written: String,
    compiled: Regex,
}

impl Rule {
    pub(super) fn new(wanted: &Match) -> Result<Self, FilterError> {
        let lists = [
            (Field::Type, &wanted.types),
            (Field::Namespaces, &wanted.namespaces),
            (Field::Kinds, &wanted.kinds),
            (Field::Names, &wanted.names),
            (Field::Reasons, &wanted.reasons),
            (Field::Messages, &wanted.messages),
            (Field::Components, &wanted.components),
        ];
        let lists = lists.into_iter().filter_map(|(field, list)| Some((field, list.as_ref()?)));
        let labels = wanted.labels.iter().map(|(key, list)| (Field::Label(key.clone()), list));
        let tests = lists.chain(labels).map(|(field, list)| Test::new(field, list));
        Ok(Self { tests: tests.collect::<Result<_, _>>()? })
    }

    /// Whether it matches every record.
    pub(super) fn is_empty(&self) -> bool {
        self.tests.is_empty()
    }

    /// What is known from the header alone: whether it matches, or `None` when the body decides.
    pub(super) fn matches_header(&self, header: &Header) -> Option<bool> {
        let mut known = Some(true);
        for test in &self.tests {
            match test.field.of_header(header).map(|value| test.matching(value).is_some()) {
                Some(true) => {}
                Some(false) => return Some(false),
                None => known = None,
            }
        }
        known
    }

    pub(super) fn matches(&self, subject: &Subject<'_>) -> bool {
        self.tests.iter().all(|test| test.matching(test.field.of(subject)).is_some())
    }

    /// What each of its lists matched with, or the first that does not match.
    pub(super) fn judge(&self, subject: &Subject<'_>) -> Result<Vec<Matched>, Unmatched> {
        self.tests.iter().map(|test| test.judge(test.field.of(subject))).collect()
    }
}

impl Test {
    fn new(field: Field, patterns: &[String]) -> Result<Self, FilterError> {
        let patterns = patterns.iter().map(|pattern| Pattern::new(&field, pattern));
        Ok(Self { patterns: patterns.collect::<Result<_, _>>()?, field })
    }

    /// The first pattern that the value matches.
    fn matching(&self, value: &str) -> Option<&Pattern> {
        self.patterns.iter().find(|pattern| pattern.compiled.is_match(value))
    }

    fn judge(&self, value: &str) -> Result<Matched, Unmatched> {
        let (field, value) = (self.field.clone(), value.to_owned());
        if let Some(pattern) = self.matching(&value) {
            return Ok(Matched { field, value, pattern: pattern.written.clone() });
        }
        let patterns = self.patterns.iter().map(|pattern| pattern.written.clone()).collect();
        Err(Unmatched { field, value, patterns })
    }
}

impl Pattern {
    fn new(field: &Field, written: &str) -> Result<Self, FilterError> {
        let refused = |error: &regex::Error| FilterError {
            field: field.clone(),
            pattern: written.to_owned(),
            reason: one_line(error, written),
        };
        // Compiled alone first, so that an error speaks of what was written and not of the anchors.
        Regex::new(written).map_err(|error| refused(&error))?;
        // A message may have many lines, and `.*` is meant to be all of them.
        let flags = if *field == Field::Messages { "s" } else { "" };
        let anchored = format!("^(?{flags}:{written})$");
        let compiled = Regex::new(&anchored).map_err(|error| refused(&error))?;
        Ok(Self { written: written.to_owned(), compiled })
    }
}

/// The last line of the crate's drawing says what is wrong; the drawing itself needs many lines.
fn one_line(error: &regex::Error, written: &str) -> String {
    let text = error.to_string();
    let reason = text.lines().last().unwrap_or_default().trim().trim_start_matches("error: ");
    let glob = if written.starts_with('*') { "; what is * in a glob is .* here" } else { "" };
    format!("{reason}{glob}")
}
