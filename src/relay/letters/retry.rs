//! Handing letters to their sink again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::super::control::{Change, ControlError, Order, cannot_build, post};
use super::super::report::SinkReport;
use super::super::runner::{Handed, Redelivery};
use super::select::{PAGE, Portion};
use super::{LetterChange, LetterOutcome, LetterResult, LetterSelection, letters, tally_text};
use crate::cursor::{DeadLetter, LetterTally, State};
use crate::log::LogError;
use crate::relay::RelayHandle;

/// Bytes of events after which a portion ends.
const PORTION_BYTES: usize = 4 << 20;

/// A portion ends after this time, so that whoever waits sees how far it is. A delivery under way ends before.
const PORTION_TIME: Duration = Duration::from_secs(20);

impl RelayHandle {
    /// Hands a portion of the letters of a sink over again, through a sink of its own. What it takes is
    /// removed, what it refuses stays. Ends although nobody waits for it any more.
    pub async fn retry_letters(
        &self,
        sink: &str,
        selection: &LetterSelection,
        order: &Order,
    ) -> Result<LetterChange, ControlError> {
        let (relay, sink) = (self.clone(), sink.to_owned());
        let (selection, order) = (selection.clone(), order.clone());
        let retry =
            tokio::spawn(async move { relay.retry_portion(&sink, &selection, &order).await });
        retry.await.map_err(|_panic| ControlError::Interrupted)?
    }

    async fn retry_portion(
        &self,
        sink: &str,
        selection: &LetterSelection,
        order: &Order,
    ) -> Result<LetterChange, ControlError> {
        let state = &self.shared.state;
        let selector = selection.read()?;
        let (profile, report, turn) = {
            let mut posts = self.outflows.lock().await;
            let post = post(&mut posts, sink)?;
            (post.profile().clone(), post.report().clone(), post.retrying())
        };
        if state.is_paused(sink) {
            return Err(ControlError::Paused(sink.to_owned()));
        }
        // One at a time: two would hand the same letters over twice.
        let _turn = turn.lock_owned().await;
        let portion = selector.portion(state, sink, PAGE, PORTION_BYTES, |letter| letter).await?;
        let Portion { letters, next } = portion;
        let as_of = selector.as_of;
        let change = describe(sink, state.letter_tally(sink), letters.len() as u64, order);
        if order.dry_run || letters.is_empty() {
            let selected = |letter: &DeadLetter| result(letter, LetterOutcome::Selected, None);
            let letters = letters.iter().map(selected).collect();
            return Ok(LetterChange { change, letters, next, as_of, stopped: None });
        }
        let own = (profile.build)().map_err(|cause| cannot_build(sink, cause))?;
        let entry = change.note(state, order).await?;
        let way = Redelivery::new(profile, own, state, self.outflows.stop().clone());
        let mut retry = Retry { state, report, way, letters: &letters, results: Vec::new() };
        let (ended, stopped) = retry.run().await?;
        if let Some(entry) = entry {
            let after = tally_text(state.letter_tally(sink));
            state.amend_change(entry, after, outcome(&retry.results, stopped.as_deref()));
        }
        state.sync().await?;
        let early = letters.get(..ended).and_then(<[_]>::last).map(DeadLetter::id);
        let next = if ended < letters.len() { early.or(selection.after.clone()) } else { next };
        let letters = retry.results;
        Ok(LetterChange { change, letters, next, as_of, stopped })
    }
}

struct Retry<'a> {
    state: &'a State,
    report: Arc<SinkReport>,
    way: Redelivery,
    letters: &'a [DeadLetter],
    results: Vec<LetterResult>,
}

impl Retry<'_> {
    /// Returns how many letters it has gone through, and why it stopped before their end.
    async fn run(&mut self) -> Result<(usize, Option<String>), LogError> {
        let (begun, mut ended) = (Instant::now(), 0);
        while ended < self.letters.len() && begun.elapsed() < PORTION_TIME {
            let rest = &self.letters[ended..];
            let count = self.way.portion(rest.iter().map(|letter| letter.record.body.len())).await;
            let batch = &rest[..count];
            let records = batch.iter().map(|letter| letter.record.clone()).collect();
            let Self { state, report, results, .. } = self;
            let settled = |handed: &Handed| settle(state, report, batch, handed, results);
            let stopped = self.way.hand_over(records, *state, report, settled).await?;
            if stopped.is_some() {
                return Ok((ended, stopped));
            }
            ended += count;
        }
        Ok((ended, None))
    }
}

/// Removes what was taken, and notes what was refused again.
fn settle(
    state: &State,
    report: &SinkReport,
    batch: &[DeadLetter],
    handed: &Handed,
    results: &mut Vec<LetterResult>,
) -> Result<(), LogError> {
    for letter in handed.accepted.iter().filter_map(|place| batch.get(*place)) {
        state.remove_letter(&letter.sink, &letter.id());
        results.push(result(letter, LetterOutcome::Accepted, None));
    }
    report.metrics.delivered.inc_by(handed.accepted.len() as u64);
    for (place, reply) in &handed.refused {
        let Some(letter) = batch.get(*place) else { continue };
        let DeadLetter { sink, record, .. } = letter.clone();
        state.bury(&DeadLetter::new(sink, record, reply.clone(), Timestamp::now()))?;
        results.push(result(letter, LetterOutcome::Refused, Some(reply.clone())));
    }
    Ok(())
}

fn result(letter: &DeadLetter, outcome: LetterOutcome, reply: Option<String>) -> LetterResult {
    LetterResult { id: letter.id(), outcome, reply }
}

/// What came of it.
fn outcome(results: &[LetterResult], stopped: Option<&str>) -> String {
    let count = |wanted| results.iter().filter(|result| result.outcome == wanted).count();
    let taken = letters(count(LetterOutcome::Accepted) as u64);
    let refused = count(LetterOutcome::Refused);
    let stopped = stopped.map(|cause| format!("; stopped: {cause}")).unwrap_or_default();
    format!("{taken} taken by the sink and removed, {refused} refused again{stopped}")
}

fn describe(sink: &str, tally: LetterTally, count: u64, order: &Order) -> Change {
    let effect = match count {
        0 => "nothing changes".to_owned(),
        1 => "1 letter is handed to the sink again".to_owned(),
        many => format!("{} are handed to the sink again", letters(many)),
    };
    Change {
        action: "dead-letter retry".to_owned(),
        subject: sink.to_owned(),
        before: tally_text(tally),
        after: "what the sink takes is removed".to_owned(),
        effect,
        dry_run: order.dry_run,
    }
}
