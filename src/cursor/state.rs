//! The state as everybody else sees it: plain values in memory, with a writer behind them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::copy::Copy;
use super::encoding::{decode, encode, time};
use super::keys::{self, Key, Parts};
use super::losses::{self, Loss, Place};
use super::writer::{self, Pending, Request};
use super::{AuditEntry, Cursor, Group, LetterTally, Replay, Usage, letters};
use crate::event::{Position, StreamId};
use crate::log::{DataDirectory, Database, Gap, LogError, SEGMENT_TUNING};

/// The state database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct State(pub(super) Arc<Shared>);

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) directory: Arc<DataDirectory>,
    memory: Mutex<Memory>,
    pub(super) requests: Sender<Request>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// Everything, as of now.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) cursors: BTreeMap<(String, StreamId), Cursor>,
    /// Cursors as of the last sync.
    pub(super) durable: BTreeMap<(String, StreamId), Cursor>,
    gaps: HashMap<StreamId, Vec<Gap>>,
    pub(super) marks: HashMap<StreamId, Mark>,
    pub(super) letters: HashMap<String, LetterTally>,
    pub(super) losses: BTreeMap<(String, StreamId), Vec<Loss>>,
    pub(super) usages: HashMap<String, Usage>,
    pub(super) ahead: BTreeMap<(String, StreamId), Vec<Position>>,
    /// By sink and place.
    pub(super) groups: BTreeMap<(String, u16), Group>,
    pub(super) paused: BTreeSet<String>,
    /// By number.
    pub(super) replays: BTreeMap<u64, Replay>,
    /// By number.
    pub(super) audit: BTreeMap<u64, AuditEntry>,
    /// What the next commit writes.
    pub(super) pending: Pending,
    pub(super) revision: u64,
    /// Why nothing is written any more.
    pub(super) failure: Option<LogError>,
}

/// How far a stream was.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Mark {
    /// Milliseconds since 1970.
    complete_until: Option<i64>,
    pub(super) frontier: Option<Position>,
}

/// A cursor as it is stored.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StoredCursor {
    position: Option<Position>,
    sequence: u64,
    /// Milliseconds since 1970.
    updated_at: i64,
}

/// A gap as it is stored; times in milliseconds since 1970.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StoredGap {
    after: Option<Position>,
    until: Position,
    from_time: Option<i64>,
    to_time: i64,
    cause: String,
}

pub(super) const DIRECTORY: &str = "state";

impl State {
    /// Longest time a change stays volatile.
    pub const SYNC_INTERVAL: Duration = Duration::from_millis(200);

    /// Opens it. A database that cannot be read is moved aside, and cursors come from their second
    /// copy; one that a newer version has written is refused. Blocking.
    pub fn open(directory: Arc<DataDirectory>) -> Result<Self, LogError> {
        let path = directory.path().join(DIRECTORY);
        let opened = Database::open(&path, SEGMENT_TUNING)
            .and_then(|database| Ok((Memory::load(&database)?, database)));
        let copy = Copy::read(directory.path());
        let (mut memory, database) = match opened {
            Err(LogError::Damaged { reason, .. }) => {
                // Before anything is moved: now the copy is all there is.
                let copy = copy?;
                let aside = move_aside(&path)?;
                tracing::error!(
                    kept_as = %aside.display(), reason,
                    "the state database is damaged; cursors are taken from their second copy, dead letters are in the damaged one"
                );
                let mut memory = Memory::default();
                memory.merge(copy);
                (memory, Database::open(&path, SEGMENT_TUNING)?)
            }
            opened => {
                let (mut memory, database) = opened?;
                match copy {
                    Ok(copy) => memory.merge(copy),
                    Err(error @ LogError::NewerEntry { .. }) => return Err(error),
                    Err(error) => {
                        tracing::warn!(%error, "the second copy of the cursors cannot be read; the first is whole");
                    }
                }
                (memory, database)
            }
        };
        memory.drop_cursors_of_no_replay();
        let (requests, receiver) = channel();
        let shared = Arc::new(Shared {
            directory,
            memory: Mutex::new(memory),
            requests,
            writer: Mutex::new(None),
        });
        let state = Self(shared.clone());
        state.spawn(database, receiver)?;
        Ok(state)
    }

    fn spawn(&self, database: Database, receiver: Receiver<Request>) -> Result<(), LogError> {
        let shared = Arc::downgrade(&self.0);
        let thread = std::thread::Builder::new()
            .name("state-writer".to_owned())
            .spawn(move || writer::run(&shared, database, &receiver))
            .map_err(|error| {
                LogError::io("start the writer of", self.0.directory.path(), &error)
            })?;
        *self.0.writer.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok(())
    }

    /// Keeps a loss; durable no later than any cursor moved after this call.
    pub fn lose(&self, sink: &str, stream: &StreamId, loss: Loss) {
        let key = Key::new(keys::LOSS).name(sink).name(stream.as_str()).bytes();
        let mut memory = self.memory();
        let losses = memory.losses.entry((sink.to_owned(), stream.clone())).or_default();
        losses::keep(losses, loss);
        match losses::encode(losses) {
            Ok(value) => drop(memory.pending.insert(key, value)),
            Err(error) => memory.failure = Some(error),
        }
    }

    /// Whether a loss is not durable yet.
    #[must_use]
    pub fn has_volatile_losses(&self) -> bool {
        self.memory().pending.keys().any(|key| key.first() == Some(&keys::LOSS))
    }

    /// Losses of a sink in a stream, in order.
    #[must_use]
    pub fn losses(&self, sink: &str, stream: &StreamId) -> Vec<Loss> {
        self.memory().losses.get(&(sink.to_owned(), stream.clone())).cloned().unwrap_or_default()
    }

    /// What lies between a sink's cursor and the beginning of the log, and is not among its losses yet.
    #[must_use]
    pub fn unreported_losses(&self, sink: &str, stream: &StreamId, begin: &Place) -> Vec<Loss> {
        let Some(cursor) = self.cursor(sink, stream) else { return Vec::new() };
        losses::missing(&self.losses(sink, stream), Place::from(&cursor), begin)
    }

    /// Losses of a sink in a stream, with those that are not among them yet.
    #[must_use]
    pub fn all_losses(&self, sink: &str, stream: &StreamId, begin: &Place) -> Vec<Loss> {
        let mut losses = self.losses(sink, stream);
        for loss in self.unreported_losses(sink, stream, begin) {
            losses::keep(&mut losses, loss);
        }
        losses
    }

    /// Keeps a gap, durably before it returns (a few milliseconds). The same gap reported again
    /// replaces itself; it may have grown at its end.
    pub fn report_gap(&self, stream: &StreamId, gap: Gap) -> Result<(), LogError> {
        let key = Key::new(keys::GAP).name(stream.as_str()).position(&gap.until).bytes();
        {
            let mut memory = self.memory();
            let gap = keep_gap(memory.gaps.entry(stream.clone()).or_default(), gap);
            let stored = StoredGap {
                after: gap.after,
                until: gap.until,
                from_time: gap.from_time.map(Timestamp::as_millisecond),
                to_time: gap.to_time.as_millisecond(),
                cause: gap.cause,
            };
            memory.put(key, &stored);
        }
        let (answer, durable) = channel();
        let sent = self.0.requests.send(Request::SyncBlocking { answer });
        sent.map_err(|_| self.failure())?;
        durable.recv().map_err(|_| self.failure())?
    }

    /// Gaps of a stream, oldest first.
    #[must_use]
    pub fn gaps(&self, stream: &StreamId) -> Vec<Gap> {
        self.memory().gaps.get(stream).cloned().unwrap_or_default()
    }

    /// Until when the stream is known to be complete.
    #[must_use]
    pub fn complete_until(&self, stream: &StreamId) -> Option<Timestamp> {
        let milliseconds = self.memory().marks.get(stream)?.complete_until?;
        Timestamp::from_millisecond(milliseconds).ok()
    }

    /// Remembers until when the stream is complete.
    pub fn set_complete_until(&self, stream: &StreamId, time: Timestamp) {
        self.mark(stream, |mark| mark.complete_until = Some(time.as_millisecond()));
    }

    /// The frontier when it was last noted: if the log ends before it, the log has lost its end.
    #[must_use]
    pub fn noted_frontier(&self, stream: &StreamId) -> Option<Position> {
        self.memory().marks.get(stream)?.frontier.clone()
    }

    /// Notes a durable frontier.
    pub fn note_frontier(&self, stream: &StreamId, frontier: &Position) {
        if self.noted_frontier(stream).as_ref() != Some(frontier) {
            self.mark(stream, |mark| mark.frontier = Some(frontier.clone()));
        }
    }

    /// Waits until every change so far is durable.
    pub async fn sync(&self) -> Result<(), LogError> {
        self.ask(|answer| Request::Sync { answer }).await?
    }

    /// Whether changes are still being made durable.
    pub fn health(&self) -> Result<(), LogError> {
        self.memory().failure.clone().map_or(Ok(()), Err)
    }

    /// Makes everything durable and closes. Later changes are lost.
    pub async fn close(&self) -> Result<(), LogError> {
        let synced = self.sync().await;
        // A writer that has failed is gone already.
        let _gone = self.0.requests.send(Request::Close);
        let writer = self.0.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The thread returns nothing, and a panic in it has been logged.
        let _joined = tokio::task::spawn_blocking(move || writer.map(JoinHandle::join)).await;
        synced
    }

    fn mark(&self, stream: &StreamId, change: impl FnOnce(&mut Mark)) {
        let mut memory = self.memory();
        let mark = memory.marks.entry(stream.clone()).or_default();
        change(mark);
        let mark = mark.clone();
        memory.put(Key::new(keys::MARK).name(stream.as_str()).bytes(), &mark);
    }

    /// Reads in the database, behind all changes so far.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Database) -> Result<T, LogError> + Send + 'static,
    ) -> Result<T, LogError> {
        self.sync().await?;
        self.ask(|answer| {
            // Whoever asked may have stopped waiting.
            Request::Read(Box::new(move |database| drop(answer.send(database.and_then(read)))))
        })
        .await?
    }

    pub(super) async fn ask<T>(
        &self,
        request: impl FnOnce(tokio::sync::oneshot::Sender<T>) -> Request,
    ) -> Result<T, LogError> {
        let (answer, answered) = tokio::sync::oneshot::channel();
        self.0.requests.send(request(answer)).map_err(|_| self.failure())?;
        answered.await.map_err(|_| self.failure())
    }

    pub(super) fn failure(&self) -> LogError {
        let closed = || LogError::Stopped { stream: "state".into(), cause: "it was closed".into() };
        self.memory().failure.clone().unwrap_or_else(closed)
    }

    pub(super) fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.memory()
    }
}

impl Shared {
    pub(super) fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    pub(super) fn load(database: &Database) -> Result<Self, LogError> {
        let mut memory = Self::default();
        let path = database.path();
        let damaged = || LogError::damaged(path, "an entry cannot be decoded");
        for (key, value) in database.with_prefix(&[keys::CURSOR])? {
            let (sink, stream) = sink_and_stream(&key).ok_or_else(damaged)?;
            let stored: StoredCursor = decode(path, "a cursor", &value)?;
            let updated_at = time(stored.updated_at).ok_or_else(damaged)?;
            let cursor =
                Cursor { position: stored.position, sequence: stored.sequence, updated_at };
            memory.cursors.insert((sink, stream), cursor);
        }
        for (key, value) in database.with_prefix(&[keys::LOSS])? {
            let place = sink_and_stream(&key).ok_or_else(damaged)?;
            memory.losses.insert(place, losses::decode(path, &value)?);
        }
        for (key, value) in database.with_prefix(&[keys::GAP])? {
            let stream =
                Parts::of(&key).and_then(|mut parts| parts.stream()).ok_or_else(damaged)?;
            let stored: StoredGap = decode(path, "a gap", &value)?;
            let gap = Gap {
                after: stored.after,
                until: stored.until,
                from_time: stored.from_time.and_then(time),
                to_time: time(stored.to_time).ok_or_else(damaged)?,
                cause: stored.cause,
            };
            keep_gap(memory.gaps.entry(stream).or_default(), gap);
        }
        for (key, value) in database.with_prefix(&[keys::MARK])? {
            let stream =
                Parts::of(&key).and_then(|mut parts| parts.stream()).ok_or_else(damaged)?;
            memory.marks.insert(stream, decode(path, "a mark", &value)?);
        }
        if let Some(value) = database.get(&keys::REVISION)? {
            memory.revision = decode(path, "a revision", &value)?;
        }
        memory.load_usages(database)?;
        memory.load_ahead(database)?;
        memory.load_groups(database)?;
        memory.load_paused(database)?;
        memory.load_audit(database)?;
        memory.load_replays(database)?;
        memory.letters = letters::tallies(database)?;
        letters::left_over(database)?.into_iter().for_each(|part| memory.remove(part));
        memory.durable.clone_from(&memory.cursors);
        Ok(memory)
    }

    /// Takes the cursors of a copy that is ahead of the database.
    fn merge(&mut self, copy: Option<Copy>) {
        let Some(copy) = copy.filter(|copy| copy.revision > self.revision) else { return };
        tracing::warn!(
            database = self.revision,
            copy = copy.revision,
            "the state database has lost its last changes; cursors are taken from their second copy"
        );
        for line in copy.cursors {
            let Some(cursor) = line.cursor() else { continue };
            let key = Key::new(keys::CURSOR).name(&line.sink).name(line.stream.as_str()).bytes();
            let stored = StoredCursor {
                position: cursor.position.clone(),
                sequence: cursor.sequence,
                updated_at: cursor.updated_at.as_millisecond(),
            };
            self.put(key, &stored);
            self.cursors.insert((line.sink, line.stream), cursor);
        }
        self.revision = copy.revision;
    }

    pub(super) fn move_cursor(
        &mut self,
        sink: &str,
        stream: &StreamId,
        cursor: Cursor,
        ahead: Vec<Position>,
    ) {
        let key = Key::new(keys::CURSOR).name(sink).name(stream.as_str()).bytes();
        let stored = StoredCursor {
            position: cursor.position.clone(),
            sequence: cursor.sequence,
            updated_at: cursor.updated_at.as_millisecond(),
        };
        self.put(key, &stored);
        self.cursors.insert((sink.to_owned(), stream.clone()), cursor);
        self.set_ahead(sink, stream, ahead);
    }

    pub(super) fn put<T: Serialize>(&mut self, key: Vec<u8>, value: &T) {
        match encode(value) {
            Ok(value) => {
                self.pending.insert(key, value);
            }
            Err(error) => self.failure = Some(error),
        }
    }
}

impl Memory {
    /// Removes an entry with the next commit.
    pub(super) fn remove(&mut self, key: Vec<u8>) {
        self.pending.insert(key, writer::REMOVED.to_vec());
    }
}

/// Adds a gap as it is kept, which is returned. A gap that begins at the same time as a known one is
/// that one: the relay was stopped before the stream was complete again, and has found it anew.
fn keep_gap(gaps: &mut Vec<Gap>, mut gap: Gap) -> Gap {
    // What is stored is the same before and after a restart.
    let stored = |exact: Timestamp| time(exact.as_millisecond()).unwrap_or(exact);
    gap.from_time = gap.from_time.map(stored);
    gap.to_time = stored(gap.to_time);
    gaps.retain(|known| {
        let begins_with = gap.from_time.is_some() && known.from_time == gap.from_time;
        if begins_with {
            gap.after = known.after.clone().min(gap.after.take());
        }
        known.until != gap.until && !begins_with
    });
    gaps.push(gap.clone());
    gap
}

pub(super) fn sink_and_stream(key: &[u8]) -> Option<(String, StreamId)> {
    let mut parts = Parts::of(key)?;
    Some((parts.name()?.to_owned(), parts.stream()?))
}

fn move_aside(path: &Path) -> Result<PathBuf, LogError> {
    let mut aside = path.with_file_name(format!("{DIRECTORY}.damaged"));
    let mut attempt = 1;
    while aside.exists() {
        attempt += 1;
        aside = path.with_file_name(format!("{DIRECTORY}-{attempt}.damaged"));
    }
    crate::log::rename(path, &aside)?;
    Ok(aside)
}
