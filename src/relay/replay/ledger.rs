//! What a replay writes: its own cursor, and the dead letters of its sink.
//!
//! Invariant: nothing that belongs to the live stream of the sink is written, but for dead letters and the
//! usage of quotas, which are the service's.

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::cursor::{Cursor, DeadLetter, Group, LetterTally, Loss, Slot, State, Usage};
use crate::event::{Position, StreamId};
use crate::log::LogError;
use crate::relay::runner::{Ledger, Mark};

/// The ledger of one replay.
pub(crate) struct ReplayLedger {
    pub(crate) state: State,
    pub(crate) number: u64,
    /// Cancelled when the replay has passed all of its ranges.
    pub(crate) passed: CancellationToken,
}

impl Ledger for ReplayLedger {
    fn move_cursor(&self, _sink: &str, stream: &StreamId, mark: Mark, ahead: Vec<Position>) {
        let Mark { position, sequence } = mark;
        let cursor = Cursor { position, sequence, updated_at: Timestamp::now() };
        self.state.move_replay(self.number, stream, cursor, ahead);
        if self.state.is_replayed(self.number) {
            self.passed.cancel();
        }
    }

    fn bury(&self, letter: DeadLetter) -> Result<(), LogError> {
        self.state.bury(&letter)
    }

    fn letter_tally(&self, sink: &str) -> LetterTally {
        self.state.letter_tally(sink)
    }

    async fn drop_oldest_letters(
        &self,
        sink: &str,
        most: LetterTally,
    ) -> Result<LetterTally, LogError> {
        Ledger::drop_oldest_letters(&self.state, sink, most).await
    }

    fn lose(&self, _sink: &str, _stream: &StreamId, loss: Loss) {
        self.state.lose_in_replay(self.number, loss.records);
    }

    /// Replays do not group, and leave the groups of the live stream alone.
    fn groups(&self, _sink: &str) -> Vec<(u16, Group)> {
        Vec::new()
    }

    fn put_groups(&self, _sink: &str, _slots: Vec<Slot>) {}

    fn move_cursor_into_groups(&self, sink: &str, stream: &StreamId, mark: Mark, _: Vec<Slot>) {
        self.move_cursor(sink, stream, mark, Vec::new());
    }

    fn usage(&self, quota: &str) -> Option<Usage> {
        self.state.usage(quota)
    }

    fn note_usage(&self, quota: &str, usage: Usage) {
        self.state.note_usage(quota, usage);
    }

    async fn settle(&self) -> Result<(), LogError> {
        Ledger::settle(&self.state).await
    }
}
