//! What a runner needs of the log and of the state, and no more.
//!
//! The runner knows the log and the state by these two traits only, so that its promises can be
//! tested against scripted ones.

use std::ops::Deref;

use jiff::Timestamp;

use super::lane::Mark;
use crate::cursor::{Cursor, DeadLetter, Group, LetterTally, Loss, Slot, State, Usage};
use crate::event::{Position, Record, StreamId};
use crate::log::{Chunk, LogError, Reader, Records};

/// One stream, read in order. Cancelling a call loses nothing.
pub(crate) trait Feed: Send {
    /// Records, wherever they are kept.
    type Records: Deref<Target = [Record]> + Send;

    /// What follows; waits for it.
    fn next(&mut self) -> impl Future<Output = Result<Reading<Self::Records>, LogError>> + Send;

    /// What follows, if it is there.
    fn try_next(
        &mut self,
    ) -> impl Future<Output = Result<Option<Reading<Self::Records>>, LogError>> + Send;
}

/// What a feed gives: a [`Chunk`] of the log.
#[derive(Debug)]
pub(crate) enum Reading<R> {
    /// Records, and how far one has got when they are done.
    Records {
        /// In order; may be empty.
        records: R,
        /// Position after these records; it may lie past the last of them.
        end: Position,
        /// Number of records of the stream up to `end`.
        sequence: u64,
    },
    /// Records that the sink's filter excludes.
    Excluded {
        /// How many.
        records: u64,
        /// The first of them.
        first: Option<Position>,
        /// Position after them.
        end: Position,
        /// Number of records of the stream up to `end`.
        sequence: u64,
    },
    /// Records before the next ones that are read may be missing.
    Damaged,
}

/// Where a runner writes what must survive a restart.
pub(crate) trait Ledger: Send + Sync {
    /// Moves a cursor beyond which the records at the positions `ahead` are done. Visible at once,
    /// durable soon.
    fn move_cursor(&self, sink: &str, stream: &StreamId, mark: Mark, ahead: Vec<Position>);
    /// Keeps a dead letter; durable no later than any cursor moved after this call.
    fn bury(&self, letter: DeadLetter) -> Result<(), LogError>;
    /// How many dead letters a sink has.
    fn letter_tally(&self, sink: &str) -> LetterTally;
    /// Removes the oldest dead letters of a sink until there are no more than `most`. Returns what was
    /// removed; nothing, while the volume is full.
    fn drop_oldest_letters(
        &self,
        sink: &str,
        most: LetterTally,
    ) -> impl Future<Output = Result<LetterTally, LogError>> + Send;
    /// Keeps a loss; durable no later than any cursor moved after this call.
    fn lose(&self, sink: &str, stream: &StreamId, loss: Loss);
    /// The groups of a sink, with their places.
    fn groups(&self, sink: &str) -> Vec<(u16, Group)>;
    /// Puts groups into their places. Durable soon.
    fn put_groups(&self, sink: &str, slots: Vec<Slot>);
    /// Moves a cursor past records that are in these groups now, in one commit.
    fn move_cursor_into_groups(&self, sink: &str, stream: &StreamId, mark: Mark, slots: Vec<Slot>);
    /// How much of a quota was used, as far as is known.
    fn usage(&self, quota: &str) -> Option<Usage>;
    /// Notes how much of a quota is used. Durable soon.
    fn note_usage(&self, quota: &str, usage: Usage);
    /// Waits until everything before this call is durable. On a full volume it is not, and the call
    /// returns all the same.
    fn settle(&self) -> impl Future<Output = Result<(), LogError>> + Send;
}

impl From<Chunk> for Reading<Records> {
    fn from(chunk: Chunk) -> Self {
        match chunk {
            Chunk::Records { records, end, sequence } => Self::Records { records, end, sequence },
            Chunk::Excluded { records, first, end, sequence } => {
                Self::Excluded { records, first, end, sequence }
            }
            Chunk::Damaged { .. } => Self::Damaged,
        }
    }
}

impl Feed for Reader {
    type Records = Records;

    async fn next(&mut self) -> Result<Reading<Records>, LogError> {
        Reader::next(self).await.map(Into::into)
    }

    async fn try_next(&mut self) -> Result<Option<Reading<Records>>, LogError> {
        Ok(Reader::try_next(self).await?.map(Into::into))
    }
}

fn cursor_at(mark: Mark) -> Cursor {
    let Mark { position, sequence } = mark;
    Cursor { position, sequence, updated_at: Timestamp::now() }
}

impl Ledger for State {
    fn move_cursor(&self, sink: &str, stream: &StreamId, mark: Mark, ahead: Vec<Position>) {
        self.move_cursor_with(sink, stream, cursor_at(mark), ahead);
    }

    fn bury(&self, letter: DeadLetter) -> Result<(), LogError> {
        State::bury(self, &letter)
    }

    fn letter_tally(&self, sink: &str) -> LetterTally {
        State::letter_tally(self, sink)
    }

    async fn drop_oldest_letters(
        &self,
        sink: &str,
        most: LetterTally,
    ) -> Result<LetterTally, LogError> {
        match State::drop_oldest_letters(self, sink, most).await {
            Err(LogError::Full { .. }) => Ok(LetterTally::default()),
            dropped => dropped,
        }
    }

    fn lose(&self, sink: &str, stream: &StreamId, loss: Loss) {
        State::lose(self, sink, stream, loss);
    }

    fn groups(&self, sink: &str) -> Vec<(u16, Group)> {
        State::groups(self, sink)
    }

    fn put_groups(&self, sink: &str, slots: Vec<Slot>) {
        State::put_groups(self, sink, slots);
    }

    fn move_cursor_into_groups(&self, sink: &str, stream: &StreamId, mark: Mark, slots: Vec<Slot>) {
        State::move_cursor_into_groups(self, sink, stream, cursor_at(mark), slots);
    }

    fn usage(&self, quota: &str) -> Option<Usage> {
        State::usage(self, quota)
    }

    fn note_usage(&self, quota: &str, usage: Usage) {
        State::note_usage(self, quota, usage);
    }

    async fn settle(&self) -> Result<(), LogError> {
        match self.sync().await {
            Err(LogError::Full { .. }) => Ok(()),
            settled => settled,
        }
    }
}
