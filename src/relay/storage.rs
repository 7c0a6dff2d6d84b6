//! Opening the data directory, and giving new sinks their place.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::task::spawn_blocking;

use super::error::RelayError;
use super::integrity::check_opened;
use super::starting::Starting;
use super::survey::{begin_of, end_of};
use crate::cursor::{Cursor, Place, State};
use crate::event::{Position, StreamId};
use crate::log::{Chunk, DataDirectory, Log, LogError, ROOM_POLL, Stream};
use crate::telemetry::Metrics;

/// How long a start waits for another process to leave the directory: a pod that is replaced is
/// given some time to close it.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is on disk, opened.
pub(crate) struct Storage {
    pub(crate) directory: Arc<DataDirectory>,
    pub(crate) log: Log,
    pub(crate) state: State,
    /// The streams asked for.
    pub(crate) watched: Vec<Stream>,
    /// Streams found beside them.
    pub(crate) left_over: Vec<Stream>,
}

impl Storage {
    /// Opens the directory. It is refused, and nothing is written, when it belongs to another
    /// cluster than `cluster_uid`.
    pub(crate) async fn open(
        path: &Path,
        cluster_uid: Option<String>,
        streams: Vec<StreamId>,
        metrics: Arc<Metrics>,
        starting: Starting,
    ) -> Result<Self, RelayError> {
        let path = path.to_owned();
        let opened = spawn_blocking(move || {
            DataDirectory::check(&path, cluster_uid.as_deref())?;
            let directory = Arc::new(DataDirectory::open(&path, PATIENCE)?);
            wait_for_room(&directory, &starting)?;
            if let Some(uid) = cluster_uid {
                directory.claim(&uid)?;
            }
            let storage = Self::of(directory, &streams, metrics.clone())?;
            storage.check(&metrics)?;
            // Whatever is watched has a source that repairs it.
            storage.watched.iter().for_each(Stream::expect_repairs);
            Ok(storage)
        });
        opened.await.map_err(|_panic| RelayError::Bug("opening the log".to_owned()))?
    }

    /// What is in a directory that is open already. Blocking; to be called within a runtime.
    pub(crate) fn of(
        directory: Arc<DataDirectory>,
        streams: &[StreamId],
        metrics: Arc<Metrics>,
    ) -> Result<Self, RelayError> {
        let log = Log::open(directory.clone(), metrics)?;
        let state = State::open(directory.clone())?;
        let watched =
            streams.iter().map(|stream| log.stream(stream)).collect::<Result<Vec<_>, _>>()?;
        let mut left_over = log.streams()?;
        left_over.retain(|stream| !streams.contains(stream.id()));
        Ok(Self { directory, log, state, watched, left_over })
    }

    fn check(&self, metrics: &Metrics) -> Result<(), LogError> {
        self.all_streams().try_for_each(|stream| check_opened(stream, &self.state, metrics))
    }

    /// Watched streams, then those left over.
    pub(crate) fn all_streams(&self) -> impl Iterator<Item = &Stream> {
        self.watched.iter().chain(&self.left_over)
    }
}

/// Gives every sink a cursor in every stream where it has none, durably: what arrives later is
/// behind it even if the process dies at once.
pub(crate) async fn place_new_sinks<'a>(
    state: &State,
    streams: impl Iterator<Item = &'a Stream>,
    sinks: &[&str],
) -> Result<(), LogError> {
    let now = Timestamp::now();
    // A log with records but without a single cursor has lost them all: delivering again what is
    // held is better than passing over what some sink had not received.
    let lost = state.cursors().is_empty();
    for stream in streams {
        let place =
            if lost { begin_of(&stream.segments()) } else { end_of(stream.frontier().as_ref()) };
        if lost && stream.frontier().is_some() {
            tracing::warn!(
                stream = %stream.id(),
                "no cursor is known for this log; every sink receives all that it holds"
            );
        }
        for sink in sinks {
            if state.cursor(sink, stream.id()).is_none() {
                let Place { position, sequence } = place.clone();
                let cursor = Cursor { position, sequence, updated_at: now };
                tell_place(sink, stream.id(), &cursor);
                state.move_cursor(sink, stream.id(), cursor);
            }
        }
    }
    state.sync().await
}

/// Waits until the volume has room to open what is in the directory. Blocking.
fn wait_for_room(directory: &DataDirectory, starting: &Starting) -> Result<(), LogError> {
    loop {
        let Err(error) = directory.make_room() else { return Ok(()) };
        if starting.is_given_up() {
            return Err(error);
        }
        if starting.tell_waiting() {
            tracing::error!(%error, "the log cannot be opened; the start waits for room");
        }
        std::thread::sleep(ROOM_POLL);
    }
}

/// When the first record after `position` was received, if there is one.
pub(crate) async fn first_received_after(
    stream: &Stream,
    position: Option<Position>,
) -> Result<Option<Timestamp>, LogError> {
    let mut reader = stream.reader(position);
    while let Some(chunk) = reader.try_next().await? {
        if let Chunk::Records { records, .. } = chunk
            && let Some(record) = records.first()
        {
            return Ok(Some(record.received_at));
        }
    }
    reader.check_room()?;
    Ok(None)
}

fn tell_place(sink: &str, stream: &StreamId, cursor: &Cursor) {
    if let Some(after) = &cursor.position {
        tracing::info!(
            sink, %stream, %after,
            "the sink is new to this log; it receives what arrives from now on"
        );
    }
}
