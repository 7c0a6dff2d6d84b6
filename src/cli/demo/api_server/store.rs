//! The events of the API server, shared between who makes them and who watches them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::watch;

use super::history::{History, NotNamed};

/// Where a fresh cluster's events begin, after some thousand writes of its components.
const FIRST_VERSION: u64 = 4_000;

/// A set of events with its history. Cheap to clone; clones share the events.
#[derive(Debug, Clone)]
pub struct EventStore {
    history: Arc<Mutex<History>>,
    latest: watch::Sender<u64>,
}

impl EventStore {
    /// An empty store that remembers the last `limit` changes; older ones are "too old".
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            history: Arc::new(Mutex::new(History::new(FIRST_VERSION, limit.max(1)))),
            latest: watch::Sender::new(FIRST_VERSION),
        }
    }

    /// Creates or updates an event: a JSON object of core/v1 without `kind` and `apiVersion`,
    /// identified by `metadata.namespace` and `metadata.name`. Returns the resourceVersion it was
    /// given.
    pub fn put(&self, event: Value) -> Result<u64, NotNamed> {
        let version = self.history().put(event)?;
        self.announce(version);
        Ok(version)
    }

    /// Removes an event, as its time to live does. Returns the resourceVersion of the removal, or
    /// `None` when there is no such event.
    #[must_use]
    pub fn delete(&self, namespace: &str, name: &str) -> Option<u64> {
        let version = self.history().delete(namespace, name)?;
        self.announce(version);
        Some(version)
    }

    /// Forgets the changes up to a resourceVersion, as etcd's compaction does.
    pub fn compact(&self, version: u64) {
        self.history().compact(version);
    }

    /// resourceVersion of the newest change.
    #[must_use]
    pub fn latest(&self) -> u64 {
        self.history().latest()
    }

    /// Tells when there are new changes.
    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.latest.subscribe()
    }

    pub(super) fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn announce(&self, version: u64) {
        self.latest.send_replace(version);
    }
}
