//! The thread that makes the state durable.
//!
//! Invariant: one commit holds everything that was pending when it began, cursors written last.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Weak;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::copy::{Copy, Line};
use super::letters::{self, Difference};
use super::state::{Shared, State};
use super::{LetterTally, keys, verify};
use crate::log::{Database, LogError, SEGMENT_TUNING};

/// How often the second copy of the cursors is written at most.
const COPY_INTERVAL: Duration = Duration::from_secs(5);

/// Reads in the database, unless that cannot be read now.
pub(super) type Read = Box<dyn FnOnce(Result<&Database, LogError>) + Send>;

/// What the writer is asked for.
pub(super) enum Request {
    Sync {
        answer: tokio::sync::oneshot::Sender<Result<(), LogError>>,
    },
    SyncBlocking {
        answer: std::sync::mpsc::Sender<Result<(), LogError>>,
    },
    Read(Read),
    TrimLetters {
        sink: String,
        most: LetterTally,
        answer: tokio::sync::oneshot::Sender<Result<LetterTally, LogError>>,
    },
    Verify {
        answer: std::sync::mpsc::Sender<Result<(), LogError>>,
    },
    Close,
}

/// The value of an entry that is to be removed: no other value is empty.
pub(super) const REMOVED: &[u8] = &[];

/// Keys and values of the next commit.
pub(super) type Pending = BTreeMap<Vec<u8>, Vec<u8>>;

struct Writer {
    path: PathBuf,
    /// `None` after the volume was full.
    database: Option<Database>,
    /// Set after the volume was full: some of a commit may be stored that was not counted.
    miscounted: bool,
    copied_at: Option<Instant>,
    copied_revision: u64,
}

/// Runs until it is told to close, the state is gone, or a commit fails.
pub(super) fn run(shared: &Weak<Shared>, database: Database, requests: &Receiver<Request>) {
    let mut writer = Writer {
        path: database.path().to_owned(),
        database: Some(database),
        miscounted: false,
        copied_at: None,
        copied_revision: 0,
    };
    let mut full = false;
    loop {
        let request = match requests.recv_timeout(State::SYNC_INTERVAL) {
            Ok(request) => Some(request),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let Some(shared) = shared.upgrade() else { return };
        let committed = writer.commit(&shared, matches!(request, Some(Request::Close)));
        let was_full =
            std::mem::replace(&mut full, matches!(committed, Err(LogError::Full { .. })));
        let failed = match &committed {
            Ok(()) => {
                if was_full {
                    tracing::info!("the volume has room again; cursors are durable");
                }
                false
            }
            // Nothing is lost: the next commit tries again. Whoever asked is told that it is not durable.
            Err(LogError::Full { path }) => {
                if !was_full {
                    tracing::warn!(path = %path.display(), "the volume is full; cursors are kept in memory");
                }
                false
            }
            Err(error) => {
                tracing::error!(%error, "the state cannot be made durable");
                shared.memory().failure = Some(error.clone());
                true
            }
        };
        // Whoever asked may have stopped waiting.
        match request {
            Some(Request::Sync { answer }) => drop(answer.send(committed)),
            Some(Request::SyncBlocking { answer }) => drop(answer.send(committed)),
            Some(Request::Read(read)) => read(writer.open()),
            Some(Request::TrimLetters { sink, most, answer }) => {
                let trimmed = writer.trim_letters(&shared, &sink, most);
                let fatal = trimmed.as_ref().err().filter(|error| !error.is_full()).cloned();
                drop(answer.send(trimmed));
                if let Some(error) = fatal {
                    tracing::error!(%error, "dead letters cannot be removed");
                    shared.memory().failure = Some(error);
                    return;
                }
            }
            Some(Request::Verify { answer }) => drop(answer.send(writer.verify())),
            Some(Request::Close) => return,
            None => {}
        }
        if failed {
            return;
        }
    }
}

impl Writer {
    fn commit(&mut self, shared: &Shared, closing: bool) -> Result<(), LogError> {
        let (pending, cursors, revision) = {
            let mut memory = shared.memory();
            if !memory.pending.is_empty() {
                memory.revision += 1;
            }
            (std::mem::take(&mut memory.pending), memory.cursors.clone(), memory.revision)
        };
        if !pending.is_empty() {
            let written = self.write(&pending, revision);
            if matches!(written, Err(LogError::Full { .. })) {
                self.put_back(shared, pending);
            }
            let differences = written?;
            shared.memory().durable.clone_from(&cursors);
            self.correct_counts(shared, differences)?;
        }
        let due = closing || self.copied_at.is_none_or(|at| at.elapsed() >= COPY_INTERVAL);
        if due && self.copied_revision != revision {
            let line = |((sink, stream), cursor)| Line::new(sink, stream, cursor);
            let lines =
                cursors.iter().map(|((sink, stream), cursor)| line(((sink, stream), cursor)));
            match (Copy { revision, cursors: lines.collect() }).write(shared.directory.path()) {
                // It is the second copy: the first has just been synced.
                Err(error) => {
                    tracing::warn!(%error, "the second copy of the cursors cannot be written");
                }
                Ok(()) => self.copied_revision = revision,
            }
            self.copied_at = Some(Instant::now());
        }
        Ok(())
    }

    /// Writes and syncs. Returns which letters were counted wrongly.
    fn write(&mut self, pending: &Pending, revision: u64) -> Result<Vec<Difference>, LogError> {
        // After a full volume: sled repeats its failure for ever, so the database is opened anew.
        let database = match self.database.take() {
            Some(database) => database,
            None => Database::open(&self.path, SEGMENT_TUNING)?,
        };
        let database = self.database.insert(database);
        let (letter, behind) = (vec![keys::LETTER], vec![keys::LETTER + 1]);
        for (key, value) in pending.range(..letter) {
            put(database, key, value)?;
        }
        let differences = letters::write(database, pending)?;
        // Cursors after all letters.
        for (key, value) in pending.range(behind..) {
            put(database, key, value)?;
        }
        database.insert(&keys::REVISION, &super::encoding::encode(&revision)?)?;
        database.commit()?;
        Ok(differences)
    }

    /// Every letter was counted when it was buried, also one that was there before.
    fn correct_counts(
        &mut self,
        shared: &Shared,
        differences: Vec<Difference>,
    ) -> Result<(), LogError> {
        let Some(database) = &self.database else { return Ok(()) };
        let mut memory = shared.memory();
        if std::mem::take(&mut self.miscounted) {
            memory.letters = letters::count(database, &memory.pending)?;
        } else {
            memory.correct_letters(differences);
        }
        Ok(())
    }

    /// Keeps what could not be written for the next commit.
    fn put_back(&mut self, shared: &Shared, pending: Pending) {
        self.database = None;
        self.miscounted = true;
        let mut memory = shared.memory();
        for (key, value) in pending {
            memory.pending.entry(key).or_insert(value);
        }
    }

    /// Removes the oldest letters of a sink, durably.
    fn trim_letters(
        &mut self,
        shared: &Shared,
        sink: &str,
        most: LetterTally,
    ) -> Result<LetterTally, LogError> {
        let tally = shared.memory().letters.get(sink).copied().unwrap_or_default();
        let database = self.open()?;
        let trimmed = letters::trim(database, sink, tally, most)
            .and_then(|removed| database.commit().map(|()| removed));
        match trimmed {
            Ok(removed) => {
                let mut memory = shared.memory();
                let tally = memory.letters.entry(sink.to_owned()).or_default();
                tally.records = tally.records.saturating_sub(removed.records);
                tally.bytes = tally.bytes.saturating_sub(removed.bytes);
                Ok(removed)
            }
            Err(error) => {
                if error.is_full() {
                    self.put_back(shared, Pending::new());
                }
                Err(error)
            }
        }
    }

    fn verify(&self) -> Result<(), LogError> {
        verify::read_all(self.open()?).map(drop)
    }

    fn open(&self) -> Result<&Database, LogError> {
        self.database.as_ref().ok_or_else(|| LogError::Full { path: self.path.clone() })
    }
}

fn put(database: &Database, key: &[u8], value: &[u8]) -> Result<(), LogError> {
    if value == REMOVED { database.remove(key) } else { database.insert(key, value) }
}
