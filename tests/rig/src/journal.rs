//! A growing list that tests can wait on.
//!
//! Invariant: a waiter looks at the list again after every entry added since its
//! last look, so no entry is missed and nothing is polled by sleeping.

use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;

/// Entries in the order in which they were added; clones share one list.
#[derive(Debug)]
pub struct Journal<T> {
    entries: Arc<Mutex<Vec<T>>>,
    changes: watch::Sender<()>,
}

impl<T> Clone for Journal<T> {
    fn clone(&self) -> Self {
        Self { entries: Arc::clone(&self.entries), changes: self.changes.clone() }
    }
}

impl<T> Default for Journal<T> {
    fn default() -> Self {
        Self { entries: Arc::default(), changes: watch::Sender::new(()) }
    }
}

impl<T> Journal<T> {
    /// Adds an entry and wakes the waiters.
    pub fn push(&self, entry: T) {
        self.entries.lock().unwrap().push(entry);
        self.changes.send_replace(());
    }

    /// Calls `look` with all entries so far.
    pub fn with<R>(&self, look: impl FnOnce(&[T]) -> R) -> R {
        look(&self.entries.lock().unwrap())
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.with(<[T]>::len)
    }

    /// Whether there is no entry yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets all entries.
    pub fn clear(&self) {
        self.entries.lock().unwrap().clear();
    }

    /// Waits until `find` answers something; `None` when the time is over first.
    pub async fn find<R>(
        &self,
        timeout: Duration,
        mut find: impl FnMut(&[T]) -> Option<R>,
    ) -> Option<R> {
        let mut changes = self.changes.subscribe();
        let search = async {
            loop {
                if let Some(found) = self.with(&mut find) {
                    return found;
                }
                changes.changed().await.expect("the journal holds a sender itself");
            }
        };
        tokio::time::timeout(timeout, search).await.ok()
    }
}

impl<T: Clone> Journal<T> {
    /// A copy of all entries so far.
    #[must_use]
    pub fn snapshot(&self) -> Vec<T> {
        self.with(<[T]>::to_vec)
    }
}
