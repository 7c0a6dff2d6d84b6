//! A start under way: what it waits for, and how it is given up.
//!
//! Without room on the volume the log cannot be opened. Ending the process would only have it started
//! again, ever more slowly, so the start waits, and says so.

use tokio_util::sync::CancellationToken;

/// A start under way, seen from outside. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Starting {
    given_up: CancellationToken,
    waiting: CancellationToken,
}

impl Starting {
    /// A start that is given up when `shutdown` is cancelled.
    #[must_use]
    pub fn until(shutdown: &CancellationToken) -> Self {
        Self { given_up: shutdown.clone(), waiting: CancellationToken::new() }
    }

    /// Returns when the volume has been found to have no room to open the log.
    pub async fn waits_for_room(&self) {
        self.waiting.cancelled().await;
    }

    /// The volume has no room. Returns whether it is the first time.
    pub(crate) fn tell_waiting(&self) -> bool {
        let first = !self.waiting.is_cancelled();
        self.waiting.cancel();
        first
    }

    /// Whether nobody waits for it any more.
    pub(crate) fn is_given_up(&self) -> bool {
        self.given_up.is_cancelled()
    }
}
