//! Dead letters in an operator's hands: shown, retried, discarded.
//!
//! Invariants:
//! 1. Letters are worked on in portions, in order; a portion says where the next one begins. No more than a
//!    portion is in memory.
//! 2. A letter is removed only after its sink has taken the record, or an operator has given it up. A crash in
//!    between hands it over twice.
//! 3. Every portion that changes something leaves an audit entry, noted before the change.

mod browse;
mod discard;
mod retry;
mod select;

pub use browse::{
    LetterPage, LetterQuery, LetterStatus, LetterView, offline_letter, offline_letters,
};
pub use discard::offline_discard;
pub use select::LetterSelection;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::control::{Change, ControlError};
use crate::cursor::{LetterId, LetterTally, State};

/// What a portion did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LetterChange {
    /// The portion as a whole.
    #[serde(flatten)]
    pub change: Change,
    /// What became of each letter, in order.
    pub letters: Vec<LetterResult>,
    /// Behind which letter the next portion begins; absent when this was the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<LetterId>,
    /// Letters that are refused later belong to no portion.
    pub as_of: Timestamp,
    /// Why it stopped before its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
}

/// What became of a letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LetterResult {
    /// Which letter.
    pub id: LetterId,
    /// What became of it.
    pub outcome: LetterOutcome,
    /// The service's words, when it has refused it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<String>,
}

/// What became of a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LetterOutcome {
    /// It would be handed to the sink again.
    Selected,
    /// The sink has taken it, and the letter is gone.
    Accepted,
    /// The sink has refused it again.
    Refused,
    /// It is gone, or would be.
    Discarded,
}

/// `1 letter`, `2 letters`.
fn letters(count: u64) -> String {
    if count == 1 { "1 letter".to_owned() } else { format!("{count} letters") }
}

fn tally_text(LetterTally { records, bytes }: LetterTally) -> String {
    format!("{}, {bytes} bytes", letters(records))
}

/// Refuses the name of a sink that is neither configured nor has letters.
fn check_known<'a>(
    state: &State,
    configured: impl Iterator<Item = &'a str>,
    sink: &str,
) -> Result<(), ControlError> {
    let mut known: Vec<_> = configured.map(str::to_owned).collect();
    known.extend(state.cursors().into_iter().map(|(name, ..)| name));
    known.extend(state.sinks_with_letters());
    known.sort_unstable();
    known.dedup();
    if known.iter().any(|name| name == sink) {
        return Ok(());
    }
    Err(ControlError::UnknownSink { name: sink.to_owned(), known: known.join(", ") })
}
