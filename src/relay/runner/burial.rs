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

/// What follows within this time is told of with the next line.
const BURST: Duration = Duration::from_mins(1);

/// A sink's dead letters, as its runner sees them.
#[derive(Debug)]
pub(super) struct Letters {
    config: DeadLettersConfig,
    refused: Burst,
    dropped: Burst,
}

/// Records of which one line a minute tells at most: a sink that refuses all it is sent must not fill the log.
#[derive(Debug, Default)]
struct Burst {
    told_at: Option<Instant>,
    untold: u64,
}

impl Letters {
    pub(super) fn new(config: DeadLettersConfig) -> Self {
        Self { config, refused: Burst::default(), dropped: Burst::default() }
    }
}

impl Burst {
    /// How many records a line has to tell of, if it is time for one.
    fn add(&mut self, records: u64) -> Option<u64> {
        self.untold += records;
        if self.told_at.is_some_and(|told_at| told_at.elapsed() < BURST) {
            return None;
        }
        self.told_at = Some(Instant::now());
        Some(std::mem::take(&mut self.untold))
    }
}

impl<F: Feed, L: Ledger> Runner<F, L> {
    /// Keeps what was refused for good. The cursor has not moved past it yet.
    pub(super) async fn bury(
        &mut self,
        flight: &Flight,
        verdict: &Verdict,
    ) -> Result<(), LogError> {
        let Some((first, reason)) = verdict.rejected.first() else { return Ok(()) };
        for (index, reason) in &verdict.rejected {
            let record = flight.records()[*index].clone();
            let (sink, reason) = (self.report.name().to_owned(), reason.clone());
            self.ledger.bury(DeadLetter::new(sink, record, reason, Timestamp::now()))?;
        }
        let records = verdict.rejected.len() as u64;
        self.metrics().dead_lettered.inc_by(records);
        if let Some(records) = self.letters.refused.add(records) {
            tracing::warn!(
                sink = self.report.name(),
                record = flight.records()[*first].place(),
                records,
                reason,
                "the sink refused records for good; they are kept as dead letters"
            );
        }
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
                self.tell_failure(None, None, &cause, true);
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
        if let Some(records) = self.letters.dropped.add(dropped.records) {
            tracing::error!(
                sink = self.report.name(),
                records,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_one_line_a_minute() {
        let mut burst = Burst::default();
        assert_eq!([burst.add(2), burst.add(3), burst.add(4)], [Some(2), None, None]);
        tokio::time::advance(BURST).await;
        assert_eq!([burst.add(1), burst.add(5)], [Some(8), None]);
    }
}
