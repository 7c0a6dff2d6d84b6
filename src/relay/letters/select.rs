//! Which letters: named, matched, old, or all; a portion at a time.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::control::ControlError;
use crate::cursor::{DeadLetter, LetterId, State};
use crate::event::{Filter, Match, ResourceVersion};

/// Letters read at a time.
pub(super) const PAGE: usize = 100;

/// Which letters of a sink: those with these names, or all that match, are old enough, or are there.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct LetterSelection {
    /// These, at most a hundred: `STREAM/GENERATION.RV`, or the resourceVersion where only one has it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<String>,
    /// Those whose record this matches: a sink's `match` in YAML's flow form, `{reasons: [BackOff]}`.
    #[serde(rename = "match", skip_serializing_if = "Option::is_none")]
    pub matching: Option<String>,
    /// Those that were first refused before this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Timestamp>,
    /// All of them.
    pub all: bool,
    /// Only those behind this one: the `next` of the portion before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<LetterId>,
    /// Only those that were last refused before: the `asOf` of the first portion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub as_of: Option<Timestamp>,
}

/// The letters of a portion.
pub(super) struct Portion<T> {
    pub(super) letters: Vec<T>,
    /// Behind which the next portion begins.
    pub(super) next: Option<LetterId>,
}

/// A selection that has been read.
pub(super) struct Selector {
    ids: Vec<String>,
    filter: Filter,
    before: Option<Timestamp>,
    after: Option<LetterId>,
    pub(super) as_of: Timestamp,
}

impl LetterSelection {
    pub(super) fn read(&self) -> Result<Selector, ControlError> {
        let named = !self.ids.is_empty();
        let others = self.matching.is_some() || self.before.is_some();
        let refused = |text: &str| Err(ControlError::Selection(text.to_owned()));
        match (named, others, self.all) {
            (false, false, false) => return refused("name letters, a match, an age, or all"),
            (true, true, _) | (true, _, true) | (_, true, true) => {
                return refused(
                    "letters are named, or matched and of an age, or all: not several of these",
                );
            }
            _ => {}
        }
        if self.ids.len() > PAGE {
            return refused("name at most 100 letters at a time");
        }
        Ok(Selector {
            ids: self.ids.clone(),
            filter: filter(self.matching.as_deref())?,
            before: self.before,
            after: self.after.clone(),
            as_of: self.as_of.unwrap_or_else(Timestamp::now),
        })
    }
}

/// A filter as it is written in one line.
pub(super) fn filter(matching: Option<&str>) -> Result<Filter, ControlError> {
    let refused = |reason: String| ControlError::Selection(format!("match: {reason}"));
    let wanted: Match = match matching {
        Some(text) => {
            text.parse().map_err(|error: crate::event::MatchError| refused(error.to_string()))?
        }
        None => Match::default(),
    };
    Filter::new(&wanted, &[]).map_err(|error| refused(error.to_string()))
}

impl Selector {
    /// At most so many of the letters that are selected, each as `keep` has it, and no more than about `bytes`
    /// of their events.
    pub(super) async fn portion<T>(
        &self,
        state: &State,
        sink: &str,
        limit: usize,
        bytes: usize,
        keep: impl Fn(DeadLetter) -> T,
    ) -> Result<Portion<T>, ControlError> {
        if !self.ids.is_empty() {
            return self.named(state, sink, keep).await;
        }
        let (mut letters, mut taken) = (Vec::new(), 0);
        let mut next = self.after.clone();
        loop {
            let page = state.letters_after(sink, next.as_ref(), PAGE).await?;
            if page.is_empty() {
                return Ok(Portion { letters, next: None });
            }
            for letter in page {
                let id = letter.id();
                if self.wants(&letter) {
                    taken += letter.record.body.len();
                    letters.push(keep(letter));
                }
                next = Some(id);
                if letters.len() >= limit || taken >= bytes {
                    return Ok(Portion { letters, next });
                }
            }
        }
    }

    async fn named<T>(
        &self,
        state: &State,
        sink: &str,
        keep: impl Fn(DeadLetter) -> T,
    ) -> Result<Portion<T>, ControlError> {
        let mut ids = Vec::new();
        for name in &self.ids {
            let done = |id: &LetterId| self.after.as_ref().is_some_and(|after| id <= after);
            if name.parse().is_ok_and(|id| done(&id)) {
                continue;
            }
            ids.push(find(state, sink, name).await?);
        }
        ids.sort_unstable();
        ids.dedup();
        let mut letters = Vec::new();
        for id in ids {
            let letter = state.letter(sink, &id).await?;
            letters.push(keep(letter.ok_or_else(|| unknown(sink, &id.to_string()))?));
        }
        Ok(Portion { letters, next: None })
    }

    fn wants(&self, letter: &DeadLetter) -> bool {
        letter.last_at <= self.as_of
            && self.before.is_none_or(|before| letter.first_at < before)
            && self.filter.passes(&letter.record)
    }
}

/// The letter of this name.
pub(super) async fn find(state: &State, sink: &str, name: &str) -> Result<LetterId, ControlError> {
    let Ok(version) = name.parse::<ResourceVersion>() else {
        let id: LetterId = name.parse().map_err(|error: crate::cursor::InvalidLetterId| {
            ControlError::Selection(error.to_string())
        })?;
        return match state.letter(sink, &id).await? {
            Some(_) => Ok(id),
            None => Err(unknown(sink, name)),
        };
    };
    let mut found = state.letters_with_version(sink, &version).await?;
    match (found.pop(), found.is_empty()) {
        (Some(id), true) => Ok(id),
        (Some(id), false) => {
            found.push(id);
            let names = found.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            Err(ControlError::Selection(format!(
                "{version} is the version of several letters; name one: {names}"
            )))
        }
        (None, _) => Err(unknown(sink, name)),
    }
}

pub(super) fn unknown(sink: &str, name: &str) -> ControlError {
    ControlError::UnknownLetter { sink: sink.to_owned(), name: name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(selection: &LetterSelection) -> String {
        selection.read().err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn exactly_one_way_to_select_is_used() {
        let all = || LetterSelection { all: true, ..LetterSelection::default() };
        let named = || LetterSelection { ids: vec!["7".into()], ..LetterSelection::default() };
        let matching = Some("{reasons: [BackOff]}".to_owned());
        assert_eq!(read(&all()), "");
        assert_eq!(read(&named()), "");
        let before = Some(Timestamp::UNIX_EPOCH);
        let both = LetterSelection { matching: matching.clone(), before, ..named() };
        assert_eq!(read(&LetterSelection { ids: vec![], ..both.clone() }), "");
        assert!(read(&LetterSelection::default()).contains("or all"));
        for wrong in
            [both, LetterSelection { all: true, ..named() }, LetterSelection { before, ..all() }]
        {
            assert!(read(&wrong).contains("not several"));
        }
        let many = LetterSelection { ids: vec!["7".into(); 101], ..named() };
        assert!(read(&many).contains("at most 100"));
    }

    #[test]
    fn a_match_that_cannot_be_read_is_refused_in_one_line() {
        for (text, part) in [
            ("{reason: [BackOff]}", "reason"),
            ("{reasons: ['*']}", "regular expression"),
            ("{", "match: "),
        ] {
            let selection =
                LetterSelection { matching: Some(text.to_owned()), ..LetterSelection::default() };
            let error = read(&selection);
            assert!(error.contains(part) && error.lines().count() == 1, "{text}: {error}");
        }
    }
}
