//! Which records a sink wants, and why.
//!
//! Invariants:
//! 1. What passes may pass: the header alone excludes nothing that the whole record would not.
//! 2. The body of a record is read at most once, and only when the header has not decided.
//! 3. An explanation comes of the same rules, in the same order, as the decision.

mod explanation;
mod field;
mod rule;
#[cfg(test)]
mod tests;
mod wanted;

pub use explanation::{Explanation, Matched, Unmatched};
pub use field::Field;
pub use rule::FilterError;
pub use wanted::{Match, MatchError};

use self::field::Subject;
use self::rule::Rule;
use super::{Header, Record};

/// Compiled `match` and `exclude`: a record passes when the first matches and none of the others does.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    include: Rule,
    exclude: Vec<Rule>,
}

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
        self.include.is_empty() && self.exclude.is_empty()
    }

    /// Whether a record with this header may pass, whatever its body is. Where no rule looks at the
    /// body, it does.
    #[must_use]
    pub fn may_pass(&self, header: &Header) -> bool {
        self.of_header(header).unwrap_or(true)
    }

    /// Whether the sink wants a record.
    #[must_use]
    pub fn passes(&self, record: &Record) -> bool {
        self.of_header(&record.header).unwrap_or_else(|| {
            let subject = Subject::of(record);
            self.include.matches(&subject)
                && !self.exclude.iter().any(|rule| rule.matches(&subject))
        })
    }

    /// Which rule decides about a record, and with which values.
    #[must_use]
    pub fn explain(&self, record: &Record) -> Explanation {
        let subject = Subject::of(record);
        let matched = match self.include.judge(&subject) {
            Ok(matched) => matched,
            Err(unmatched) => return Explanation::NotMatched(unmatched),
        };
        let mut spared = Vec::new();
        for (exclude, rule) in self.exclude.iter().enumerate() {
            match rule.judge(&subject) {
                Ok(matched) => return Explanation::Excluded { exclude, matched },
                Err(unmatched) => spared.push(unmatched),
            }
        }
        Explanation::Passes { matched, spared }
    }

    /// What is known from the header alone: whether the record passes, or `None` when its body decides.
    fn of_header(&self, header: &Header) -> Option<bool> {
        let mut known = self.include.matches_header(header);
        if known == Some(false) {
            return known;
        }
        for rule in &self.exclude {
            match rule.matches_header(header) {
                Some(true) => return Some(false),
                Some(false) => {}
                None => known = None,
            }
        }
        known
    }
}
