//! Giving letters up.

use std::path::Path;

use super::super::control::{Change, ControlError, Order};
use super::super::error::RelayError;
use super::super::offline::at_rest;
use super::select::Portion;
use super::{
    LetterChange, LetterOutcome, LetterResult, LetterSelection, check_known, letters, tally_text,
};
use crate::cursor::{DeadLetter, LetterId, LetterTally, State};
use crate::relay::RelayHandle;

/// Letters of a portion: their names fit into one answer.
const PORTION: usize = 1_000;

impl RelayHandle {
    /// Removes a portion of the letters of a sink for good.
    pub async fn discard_letters(
        &self,
        sink: &str,
        selection: &LetterSelection,
        order: &Order,
    ) -> Result<LetterChange, ControlError> {
        self.check_letters_of(sink).await?;
        discard(&self.shared.state, sink, selection, order).await
    }
}

/// Removes a portion of the letters that a stopped relay left behind. Blocking.
pub fn offline_discard(
    path: &Path,
    sink: &str,
    selection: &LetterSelection,
    order: &Order,
) -> Result<LetterChange, RelayError> {
    at_rest(path, async |storage, _| {
        check_known(&storage.state, std::iter::empty(), sink)?;
        Ok(discard(&storage.state, sink, selection, order).await?)
    })
}

async fn discard(
    state: &State,
    sink: &str,
    selection: &LetterSelection,
    order: &Order,
) -> Result<LetterChange, ControlError> {
    let selector = selection.read()?;
    let keep = |letter: DeadLetter| letter.id();
    // Of a letter only its name is kept.
    let portion = selector.portion(state, sink, PORTION, usize::MAX, keep).await?;
    let Portion { letters: ids, next } = portion;
    let change = describe(sink, state.letter_tally(sink), ids.len() as u64, order);
    if !order.dry_run && !ids.is_empty() {
        change.note(state, order).await?;
        for id in &ids {
            state.remove_letter(sink, id);
        }
        state.sync().await?;
    }
    let letters = ids.into_iter().map(discarded).collect();
    Ok(LetterChange { change, letters, next, as_of: selector.as_of, stopped: None })
}

fn discarded(id: LetterId) -> LetterResult {
    LetterResult { id, outcome: LetterOutcome::Discarded, reply: None }
}

fn describe(sink: &str, tally: LetterTally, removed: u64, order: &Order) -> Change {
    let effect = match removed {
        0 => "nothing changes".to_owned(),
        1 => "1 letter is removed for good".to_owned(),
        many => format!("{many} letters are removed for good"),
    };
    Change {
        action: "dead-letter discard".to_owned(),
        subject: sink.to_owned(),
        before: tally_text(tally),
        after: letters(tally.records.saturating_sub(removed)),
        effect,
        dry_run: order.dry_run,
    }
}
