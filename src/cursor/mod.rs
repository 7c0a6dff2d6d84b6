//! What must be remembered beside the log: cursors, dead letters, losses, gaps, and how far each stream
//! was.
//!
//! Invariants:
//! 1. Changes are visible at once and durable within [`State::SYNC_INTERVAL`], in an order that never
//!    lets a cursor become durable before the dead letters it passed.
//! 2. Losing the last changes only means delivering again.
//! 3. A loss is durable no later than any cursor that moved past it.
//! 4. Cursors are few and precious: a second copy of them survives the loss of the database.

mod ahead;
mod audit;
mod copy;
mod cursors;
mod encoding;
mod forget;
#[cfg(test)]
mod format_tests;
mod furthest;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod groups;
mod keys;
mod letters;
mod losses;
mod paused;
mod replays;
mod state;
#[cfg(test)]
mod tests;
mod usage;
mod verify;
mod writer;

pub use audit::AuditEntry;
pub use groups::{Group, GroupId, Slot};
pub use letters::{
    DeadLetter, DeadLettersConfig, InvalidLetterId, LetterId, LetterTally, LettersFull,
};
pub use losses::{Loss, LossCause, Place};
pub use replays::{Replay, ReplayEnd, ReplayRange};
pub use state::State;
pub use usage::Usage;
pub use verify::{CopyFindings, StateFindings, state_at_rest};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::event::Position;

/// Everything at or below it has been delivered, dead-lettered or filtered out for a sink.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// `None`: nothing yet, the beginning of the log.
    pub position: Option<Position>,
    /// Number of records of the stream up to it.
    pub sequence: u64,
    /// When it last moved.
    pub updated_at: Timestamp,
}
