//! A relay that does not run, from its data directory: its status, and whatever else is read there.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::error::RelayError;
use super::integrity;
use super::observer::PhaseReport;
use super::overview::{cursors, known_sinks, log_status, loss_status, pause, stream_status};
use super::replay;
use super::status::{LossStatus, SinkState, SinkStatus, Status};
use super::storage::{Storage, first_received_after};
use super::survey::{StreamSurvey, Survey, begin_of};
use crate::cursor::State;
use crate::log::{DataDirectory, LogError, plan_migration};
use crate::telemetry::Metrics;

/// The file that every data directory has; opening a directory without it would make it one.
const IDENTITY: &str = "relay.json";

/// What a stopped relay left behind. What only a running relay or its configuration knows is empty
/// or zero: the cluster's name, the kinds of sinks, counters, limits.
///
/// Blocking; may be called inside and outside of an async runtime. Fails when another process holds
/// the directory, and when it is of an older format: whoever only looks does not migrate it.
pub fn offline_status(path: &Path) -> Result<Status, RelayError> {
    at_rest(path, read_status)
}

/// Opens the directory of a stopped relay, reads something in it, and closes it again.
pub(super) fn at_rest<T: Send>(
    path: &Path,
    read: impl AsyncFnOnce(&Storage, &Arc<Metrics>) -> Result<T, RelayError> + Send,
) -> Result<T, RelayError> {
    refuse_other_formats(path)?;
    let directory = Arc::new(DataDirectory::open(path, Duration::ZERO).map_err(running)?);
    let read = || -> Result<T, RelayError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(RelayError::System)?.block_on(read_directory(directory, read))
    };
    // A runtime cannot be started on a thread that already drives one.
    let result = std::thread::scope(|scope| scope.spawn(read).join());
    result.unwrap_or_else(|_panic| Err(RelayError::Bug("reading the log".to_owned())))
}

/// Refuses what is no data directory, or not of this program's format.
pub(super) fn refuse_other_formats(path: &Path) -> Result<(), RelayError> {
    if !path.join(IDENTITY).is_file() {
        return Err(RelayError::NoDirectory(path.to_owned()));
    }
    match plan_migration(path)?.filter(|plan| !plan.steps.is_empty()) {
        Some(plan) => {
            let (found, known) = (plan.from, plan.to);
            Err(RelayError::Older { path: path.to_owned(), found, known })
        }
        None => Ok(()),
    }
}

/// Who only wants to look need not stop the relay that holds the directory.
pub(super) fn running(error: LogError) -> RelayError {
    match error {
        LogError::Locked { path, holder } => RelayError::Running { path, holder },
        other => other.into(),
    }
}

async fn read_directory<T>(
    directory: Arc<DataDirectory>,
    read: impl AsyncFnOnce(&Storage, &Arc<Metrics>) -> Result<T, RelayError>,
) -> Result<T, RelayError> {
    let metrics = Arc::new(Metrics::new());
    let storage = Storage::of(directory, &[], metrics.clone())?;
    let read = read(&storage, &metrics).await;
    // Reading is what finds damage, and nobody else will look before the segment is gone.
    storage
        .all_streams()
        .try_for_each(|stream| integrity::report_damage(stream, &storage.state, &metrics))?;
    storage.log.close().await?;
    storage.state.close().await?;
    read
}

async fn read_status(storage: &Storage, metrics: &Arc<Metrics>) -> Result<Status, RelayError> {
    let survey = Survey::of(&storage.log, storage.all_streams());
    let mut sinks = Vec::new();
    for name in known_sinks(&storage.state) {
        let oldest = oldest_undelivered(storage, &name).await?;
        sinks.push(stopped_sink(storage, name, oldest, &survey.streams));
    }
    Ok(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        cluster: String::new(),
        started_at: None,
        configuration: None,
        log: log_status(storage.directory.path(), metrics, &survey),
        streams: survey
            .streams
            .iter()
            .map(|found| stream_status(&storage.state, found, stopped()))
            .collect(),
        sinks,
        removed: Vec::new(),
    })
}

fn stopped() -> PhaseReport {
    let reason = Some("the relay is not running".to_owned());
    PhaseReport { name: "stopped".to_owned(), live: false, reason }
}

fn stopped_sink(
    storage: &Storage,
    name: String,
    oldest: Option<Timestamp>,
    streams: &[StreamSurvey],
) -> SinkStatus {
    let cursors = cursors(&storage.state, &name, streams);
    let losses: Vec<_> =
        streams.iter().flat_map(|found| losses(&storage.state, &name, found)).collect();
    let age = oldest.map(|oldest| Timestamp::now().duration_since(oldest).as_secs_f64());
    let grouped = storage.state.grouped(&name);
    let paused = storage.state.is_paused(&name);
    SinkStatus {
        pause: pause(&storage.state, &name),
        dead_letters: storage.state.dead_letter_count(&name),
        replays: replay::statuses(&storage.state, &name, None),
        name,
        kind: String::new(),
        state: if paused { SinkState::Paused } else { SinkState::Stopped },
        required: true,
        lag_records: cursors.iter().map(|cursor| cursor.lag_records).sum(),
        lag_seconds: age.unwrap_or_default().max(0.0),
        delivered: 0,
        retried: 0,
        filtered: 0,
        lost: losses.iter().map(|loss| loss.records).sum(),
        losses,
        grouped,
        throttled_until: None,
        failure: None,
        cursors,
    }
}

/// What a sink has lost in a stream: what is reported, and what the next start will report.
fn losses(state: &State, sink: &str, found: &StreamSurvey) -> Vec<LossStatus> {
    let losses = state.all_losses(sink, &found.id, &begin_of(&found.segments));
    losses.into_iter().map(|loss| loss_status(&found.id, loss)).collect()
}

/// When the oldest record was received that a sink has not passed, before filtering.
async fn oldest_undelivered(storage: &Storage, sink: &str) -> Result<Option<Timestamp>, LogError> {
    let mut oldest: Option<Timestamp> = None;
    for stream in storage.all_streams() {
        if let Some(cursor) = storage.state.cursor(sink, stream.id()) {
            let next = first_received_after(stream, cursor.position).await?;
            oldest = [oldest, next].into_iter().flatten().min();
        }
    }
    Ok(oldest)
}
