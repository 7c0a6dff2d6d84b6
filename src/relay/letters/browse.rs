//! Looking at letters.

use std::path::Path;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::control::ControlError;
use super::super::error::RelayError;
use super::super::lookup::FoundRecord;
use super::super::offline::at_rest;
use super::check_known;
use super::select::{self, PAGE};
use crate::cursor::{DeadLetter, LetterId, LetterTally, State};
use crate::event::Header;
use crate::relay::RelayHandle;

/// Letters of a page at most, and unless another number is asked for.
const PAGE_MAX: usize = 500;

/// Which letters to list.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct LetterQuery {
    /// At most so many, up to 500; 100 unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Those behind this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<LetterId>,
    /// Those whose record this matches: a sink's `match` in YAML's flow form.
    #[serde(rename = "match", skip_serializing_if = "Option::is_none")]
    pub matching: Option<String>,
}

/// Some letters of a sink, the oldest of each stream first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LetterPage {
    /// The sink.
    pub sink: String,
    /// How many letters it has.
    pub records: u64,
    /// How many bytes they take.
    pub bytes: u64,
    /// Those of this page.
    pub letters: Vec<LetterStatus>,
    /// Behind which letter the next page begins; absent when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<LetterId>,
}

/// A letter in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LetterStatus {
    /// Its name: `STREAM/GENERATION.RV`.
    pub id: LetterId,
    /// When the sink first refused the record.
    pub first_at: Timestamp,
    /// When it last did.
    pub last_at: Timestamp,
    /// How often it did.
    pub attempts: u64,
    /// The service's words, when it last did.
    pub reply: String,
    /// `Normal`, `Warning`.
    #[serde(rename = "type")]
    pub event_type: String,
    /// Reason of the event.
    pub reason: String,
    /// Kind of the involved object.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// A letter with its record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LetterView {
    /// What a list shows of it.
    #[serde(flatten)]
    pub letter: LetterStatus,
    /// The whole record.
    pub record: FoundRecord,
}

impl RelayHandle {
    /// Some dead letters of a sink.
    pub async fn letters(
        &self,
        sink: &str,
        query: &LetterQuery,
    ) -> Result<LetterPage, ControlError> {
        self.check_letters_of(sink).await?;
        list(&self.shared.state, sink, query).await
    }

    /// One dead letter of a sink, by its name or by its resourceVersion.
    pub async fn letter(&self, sink: &str, name: &str) -> Result<LetterView, ControlError> {
        self.check_letters_of(sink).await?;
        show(&self.shared.state, sink, name).await
    }

    pub(super) async fn check_letters_of(&self, sink: &str) -> Result<(), ControlError> {
        let posts = self.outflows.lock().await;
        check_known(&self.shared.state, posts.keys().map(String::as_str), sink)
    }
}

/// Some dead letters that a stopped relay left behind. Blocking.
pub fn offline_letters(
    path: &Path,
    sink: &str,
    query: &LetterQuery,
) -> Result<LetterPage, RelayError> {
    at_rest(path, async |storage, _| {
        check_known(&storage.state, std::iter::empty(), sink)?;
        Ok(list(&storage.state, sink, query).await?)
    })
}

/// One dead letter that a stopped relay left behind. Blocking.
pub fn offline_letter(path: &Path, sink: &str, name: &str) -> Result<LetterView, RelayError> {
    at_rest(path, async |storage, _| {
        check_known(&storage.state, std::iter::empty(), sink)?;
        Ok(show(&storage.state, sink, name).await?)
    })
}

async fn list(state: &State, sink: &str, query: &LetterQuery) -> Result<LetterPage, ControlError> {
    let filter = select::filter(query.matching.as_deref())?;
    let limit = query.limit.unwrap_or(PAGE).clamp(1, PAGE_MAX);
    let (mut letters, mut last) = (Vec::new(), query.after.clone());
    let next = 'read: loop {
        let page = state.letters_after(sink, last.as_ref(), PAGE).await?;
        if page.is_empty() {
            break None;
        }
        for letter in page {
            if letters.len() == limit {
                break 'read last;
            }
            last = Some(letter.id());
            if filter.passes(&letter.record) {
                letters.push(LetterStatus::from(&letter));
            }
        }
    };
    let LetterTally { records, bytes } = state.letter_tally(sink);
    Ok(LetterPage { sink: sink.to_owned(), records, bytes, letters, next })
}

async fn show(state: &State, sink: &str, name: &str) -> Result<LetterView, ControlError> {
    let id = select::find(state, sink, name).await?;
    let letter = state.letter(sink, &id).await?.ok_or_else(|| select::unknown(sink, name))?;
    Ok(LetterView { letter: LetterStatus::from(&letter), record: letter.record.into() })
}

impl From<&DeadLetter> for LetterStatus {
    fn from(letter: &DeadLetter) -> Self {
        let Header { event_type, reason, kind, namespace, name, .. } = letter.record.header.clone();
        Self {
            id: letter.id(),
            first_at: letter.first_at,
            last_at: letter.last_at,
            attempts: letter.attempts,
            reply: letter.reason.clone(),
            event_type,
            reason,
            kind,
            namespace,
            name,
        }
    }
}
