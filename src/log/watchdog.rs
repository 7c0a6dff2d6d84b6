//! Ends the process when an operation hangs for ever.
//!
//! sled waits on condition variables without a time limit for I/O threads that may have panicked. A
//! hung writer would stop delivery silently; a restart is always safe, so the process is aborted.

use std::sync::{Mutex, Once, PoisonError};
use std::time::{Duration, Instant};

/// Guards one operation, from [`Watchdog::start`] until it is dropped.
pub(crate) struct Watchdog {
    id: u64,
}

#[derive(Debug)]
struct Running {
    next_id: u64,
    operations: Vec<Operation>,
}

#[derive(Debug)]
struct Operation {
    id: u64,
    what: &'static str,
    limit: Duration,
    started: Instant,
}

static RUNNING: Mutex<Running> = Mutex::new(Running { next_id: 0, operations: Vec::new() });
static THREAD: Once = Once::new();

/// How often the operations are looked at; limits are exact to this much.
const TICK: Duration = Duration::from_secs(1);

impl Watchdog {
    /// Aborts the process unless the value is dropped within `limit`.
    pub(crate) fn start(what: &'static str, limit: Duration) -> Self {
        THREAD.call_once(spawn);
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        running.next_id += 1;
        let id = running.next_id;
        running.operations.push(Operation { id, what, limit, started: Instant::now() });
        Self { id }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        running.operations.retain(|operation| operation.id != self.id);
    }
}

fn spawn() {
    let watch = || loop {
        std::thread::sleep(TICK);
        let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        let overdue = |operation: &&Operation| operation.started.elapsed() > operation.limit;
        if let Some(operation) = running.operations.iter().find(overdue) {
            tracing::error!(
                seconds = operation.limit.as_secs(),
                "{} hangs; ending the process, a restart is safe",
                operation.what
            );
            std::process::abort();
        }
    };
    if let Err(error) = std::thread::Builder::new().name("log-watchdog".to_owned()).spawn(watch) {
        tracing::error!(%error, "the watchdog of the log cannot start");
    }
}
