//! Dead letters of a runner: kept before its cursor moves past them, and bounded.
//!
//! Invariants:
//! 1. What was refused is kept, whatever the bound: it is exceeded by what one delivery refuses at most.
//! 2. Where a full box holds the sink, nothing is sent until there is room again. Where the oldest make room,
//!    what is dropped is counted.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::flight::{Flight, Verdict};
use super::{Course, Feed, Ledger, Runner, rest_until};
use crate::cursor::{DeadLetter, DeadLettersConfig, LetterTally, LettersFull};
use crate::log::LogError;

/// How often a sink that is held by its dead letters looks whether there is room.
const ROOM_POLL: Duration = Duration::from_secs(1);

/// Drops that follow each other within this time are one burst, told once.
const BURST: Duration = Duration::from_mins(1);

/// A sink's dead letters, as its runner sees them.
#[derive(Debug)]
pub(super) struct Letters {
    config: DeadLettersConfig,
    dropped_at: Option<Instant>,
}

impl Letters {
    pub(super) fn new(config: DeadLettersConfig) -> Self {
        Self { config, dropped_at: None }
    }
}

impl<F: Feed, L: Ledger> Runner<F, L> {
    /// Keeps what was refused for good. The cursor has not moved past it yet.
    pub(super) async fn bury(
        &mut self,
        flight: &Flight,
        verdict: &Verdict,
    ) -> Result<(), LogError> {
        let Some((_, reason)) = verdict.rejected.first() else { return Ok(()) };
        for (index, reason) in &verdict.rejected {
            let record = flight.records()[*index].clone();
            let (sink, reason) = (self.report.name().to_owned(), reason.clone());
            self.ledger.bury(DeadLetter::new(sink, record, reason, Timestamp::now()))?;
        }
        let records = verdict.rejected.len();
        self.metrics().dead_lettered.inc_by(records as u64);
        tracing::warn!(
            sink = self.report.name(),
            records,
            reason,
            "the sink refused records for good; they are kept as dead letters"
        );
        self.drop_oldest_letters().await
    }

    /// Before a delivery: waits until a letter more has its place, or makes room.
    pub(super) async fn have_room_for_letters(&mut self) -> Result<Course, LogError> {
        match self.letters.config.when_full {
            LettersFull::DropOldest => self.drop_oldest_letters().await.map(|()| Course::On),
            LettersFull::Hold => Ok(self.wait_for_letter_room().await),
        }
    }

    async fn wait_for_letter_room(&mut self) -> Course {
        let most = self.letters.config.most();
        let mut held = false;
        loop {
            let tally = self.ledger.letter_tally(self.report.name());
            if !tally.is_full(most) {
                break;
            }
            if !std::mem::replace(&mut held, true) {
                let cause = full(self.report.name(), tally, &self.letters.config);
                self.tell_failure(None, &cause, true);
            }
            if rest_until(Instant::now() + ROOM_POLL, &self.stop).await == Course::Stopped {
                return Course::Stopped;
            }
        }
        if held {
            self.failing = None;
            self.report.set_failure(None);
            tracing::info!(
                sink = self.report.name(),
                "there is room for dead letters; the sink goes on"
            );
        }
        Course::On
    }

    async fn drop_oldest_letters(&mut self) -> Result<(), LogError> {
        let DeadLettersConfig { when_full, .. } = self.letters.config;
        let most = self.letters.config.most();
        let name = self.report.name();
        if when_full != LettersFull::DropOldest || !self.ledger.letter_tally(name).exceeds(most) {
            return Ok(());
        }
        let dropped = self.ledger.drop_oldest_letters(name, most).await?;
        self.metrics().dead_letters_dropped.inc_by(dropped.records);
        let before = self.letters.dropped_at.replace(Instant::now());
        if before.is_none_or(|before| before.elapsed() > BURST) {
            tracing::error!(
                sink = self.report.name(),
                records = dropped.records,
                "the dead letters are full and the oldest are dropped; kube_event_relay_sink_dead_letters_dropped_total \
                 counts them; retry or discard letters, or raise deadLetters.maxRecords and deadLetters.maxBytes"
            );
        }
        Ok(())
    }
}

/// What an operator is told.
fn full(sink: &str, tally: LetterTally, config: &DeadLettersConfig) -> String {
    let LetterTally { records, bytes } = tally;
    let DeadLettersConfig { max_records, max_bytes, .. } = config;
    format!(
        "its dead letters are full: {records} of {max_records}, {bytes} bytes of {max_bytes}; look with \
         `kube-event-relay dead-letter list {sink}`, make room with `dead-letter retry` or `dead-letter \
         discard`, or raise deadLetters.maxRecords or deadLetters.maxBytes"
    )
}
