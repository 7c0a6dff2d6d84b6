//! The way out to a service that counts messages.
//!
//! Invariants:
//! 1. Sinks with one credential share one window.
//! 2. A message is durably noted before it leaves, so that no restart opens a fresh window.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;

use super::ports::Ledger;
use super::window::Window;
use crate::log::LogError;
use crate::sink::{Quota, Rate};

type SharedWindow = Arc<tokio::sync::Mutex<Window>>;

/// The windows of all quotas.
#[derive(Debug, Clone, Default)]
pub(crate) struct Windows(Arc<Mutex<HashMap<String, SharedWindow>>>);

/// One sink's access to a window.
#[derive(Debug)]
pub(super) struct Gate {
    quota: Quota,
    window: SharedWindow,
}

/// The right to send one message. Nobody else under the quota sends while it is held.
#[derive(Debug)]
pub(super) struct Pass(OwnedMutexGuard<Window>);

/// Below this distance between messages each is noted with the next commit only: a limit so high
/// would be slower than it allows, and at most as many as fit into that time are forgotten.
const SLOW: Duration = Duration::from_millis(100);

impl Windows {
    pub(super) fn gate<L: Ledger>(&self, quota: Quota, ledger: &L) -> Gate {
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let restore = || {
            let known = ledger.usage(quota.key());
            let now = (Instant::now(), Timestamp::now());
            known.map(|usage| Window::restore(&usage, now.0, now.1)).unwrap_or_default()
        };
        let window = windows
            .entry(quota.key().to_owned())
            .or_insert_with(|| Arc::new(tokio::sync::Mutex::new(restore())))
            .clone();
        Gate { quota, window }
    }
}

impl Gate {
    /// Waits for its turn among the sinks of the quota.
    pub(super) async fn turn(&self) -> Pass {
        let mut window = self.window.clone().lock_owned().await;
        window.serve(self.quota.rates());
        Pass(window)
    }

    /// When the next message may begin, if that is not now.
    pub(super) fn opens_at(&self, pass: &Pass, now: Instant) -> Option<Instant> {
        pass.0.opens_at(self.quota.rates(), now)
    }

    /// How many messages may begin at once.
    pub(super) fn free(&self, pass: &Pass, now: Instant) -> usize {
        pass.0.free(self.quota.rates(), now)
    }

    /// When the next message is due, if all that a window allows are spread over it.
    pub(super) fn due_at(&self, pass: &Pass) -> Option<Instant> {
        pass.0.last().map(|last| last + self.pace())
    }

    /// Notes that a message is about to leave.
    pub(super) async fn begin<L: Ledger>(
        &self,
        pass: &mut Pass,
        ledger: &L,
    ) -> Result<(), LogError> {
        pass.0.begin(Instant::now());
        self.note(pass, ledger);
        if self.pace() < SLOW { Ok(()) } else { ledger.settle().await }
    }

    /// Notes that it has ended, and for how long the service wants silence.
    pub(super) fn end<L: Ledger>(&self, mut pass: Pass, silence: Option<Duration>, ledger: &L) {
        let now = Instant::now();
        pass.0.end(now);
        if let Some(until) = silence.and_then(|silence| now.checked_add(silence)) {
            pass.0.close_until(until);
        }
        self.note(&pass, ledger);
    }

    fn note<L: Ledger>(&self, pass: &Pass, ledger: &L) {
        let usage = pass.0.usage(Instant::now(), Timestamp::now());
        ledger.note_usage(self.quota.key(), usage);
    }

    fn pace(&self) -> Duration {
        let pace = |rate: &Rate| rate.per.0 / rate.messages.max(1);
        self.quota.rates().first().map(pace).unwrap_or_default()
    }
}
