//! A sled database with the guards that sled 0.34.7 needs (docs/adr/0001-log-layout.md).
//!
//! Invariants:
//! 1. What [`Database::commit`] returned for is durable: `flush` alone is not an fsync, so our own
//!    descriptor of sled's file is synced after it.
//! 2. No panic of sled leaves this module; a panic is damage.
//! 3. After a failed write or sync the database is not used again, and a sync that failed is never
//!    taken for a full volume, after which the same would be tried again.
//! 4. sled opens only what has just been read without an error.
//!
//! The only file that names sled. Everything here blocks, and none of it may run on an async worker.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{LogError, files, watchdog::Watchdog};
use crate::fault::Fault;

/// A commit that takes longer will never end: sled waits without a time limit for an I/O thread that
/// may have died. The process is ended instead; a restart is safe.
const COMMIT_LIMIT: Duration = Duration::from_secs(30);

/// How long a database that is still locked is waited for. The directory is locked for this process,
/// so the holder is an earlier handle that is being closed: sled syncs while it closes, and its own
/// threads let go of the file a little later still.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);
/// How often a held lock is tried again.
const LOCK_POLL: Duration = Duration::from_millis(2);

/// How often a file is read before it counts as unreadable, and how long is waited in between.
const READ_ATTEMPTS: u32 = 3;
const READ_PAUSE: Duration = Duration::from_millis(100);
/// Bytes read at once.
const READ_BYTES: usize = 1 << 20;

/// How a database uses memory and disk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tuning {
    /// sled's unit of allocation, in bytes. Fixed for the life of a database.
    pub(crate) segment_size: usize,
    /// Bytes of pages kept in memory; sled treats it as a hint.
    pub(crate) cache_capacity: u64,
}

/// A database in a directory of its own.
#[derive(Debug)]
pub(crate) struct Database {
    path: PathBuf,
    /// `None` only while dropping.
    db: Option<sled::Db>,
    /// Our own descriptor of sled's file.
    file: File,
}

/// A key and its value.
pub(crate) type Pair = (sled::IVec, sled::IVec);

impl Database {
    /// Opens or creates a database. It, and everything found in it, is durable afterwards: a process
    /// that was killed may have left behind what it had not synced, even the creation.
    pub(crate) fn open(path: &Path, tuning: Tuning) -> Result<Self, LogError> {
        files::create_directory(path)?;
        let mut own = OpenOptions::new();
        own.read(true).write(true).create(true).truncate(false);
        let database = Self::open_with(path, tuning, &own)?;
        database.sync_all()?;
        Ok(database)
    }

    /// Opens a database that must exist.
    pub(crate) fn open_existing(path: &Path, tuning: Tuning) -> Result<Self, LogError> {
        Self::open_with(path, tuning, OpenOptions::new().read(true))
    }

    fn open_with(path: &Path, tuning: Tuning, own: &OpenOptions) -> Result<Self, LogError> {
        let file_path = path.join("db");
        // Before sled has it open: a descriptor tells of failures since it was opened.
        let file = own.open(&file_path).map_err(|error| {
            // Without its directory it was trimmed meanwhile, which is another thing.
            let lost = error.kind() == ErrorKind::NotFound && path.is_dir();
            if lost {
                LogError::damaged(path, "its file is gone")
            } else {
                LogError::io("open", &file_path, &error)
            }
        })?;
        read_through(&file_path, &file)?;
        remove_snapshots(path, |name| name.ends_with(".generating"))?;
        let opened = match open_once(path, tuning) {
            // A damaged snapshot is only an index: without it sled reads the log itself.
            Err(LogError::Damaged { .. }) if remove_snapshots(path, |_| true)? > 0 => {
                open_once(path, tuning)
            }
            opened => opened,
        };
        let db = opened.or_else(|error| check_full(path, &file, error))?;
        Ok(Self { path: path.to_owned(), db: Some(db), file })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a value; durable after the next commit.
    pub(crate) fn insert(&self, key: &[u8], value: &[u8]) -> Result<(), LogError> {
        self.guard(|db| db.insert(key, value).map(drop))
    }

    /// Removes a value; durably with the next commit.
    pub(crate) fn remove(&self, key: &[u8]) -> Result<(), LogError> {
        self.guard(|db| db.remove(key).map(drop))
    }

    /// The value of a key.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<sled::IVec>, LogError> {
        self.guard(|db| db.get(key))
    }

    /// The last pair whose key is below `key`.
    pub(crate) fn below(&self, key: &[u8]) -> Result<Option<Pair>, LogError> {
        self.guard(|db| db.get_lt(key))
    }

    /// The first pair whose key is above `key`.
    pub(crate) fn above(&self, key: &[u8]) -> Result<Option<Pair>, LogError> {
        self.guard(|db| db.get_gt(key))
    }

    /// The last pair.
    pub(crate) fn last(&self) -> Result<Option<Pair>, LogError> {
        self.guard(|db| db.last())
    }

    /// All pairs whose key begins with `prefix`, in order. Only for small databases.
    pub(crate) fn with_prefix(&self, prefix: &[u8]) -> Result<Vec<Pair>, LogError> {
        self.guard(|db| db.scan_prefix(prefix).collect())
    }

    /// Shows every pair whose key begins with `prefix`, in order.
    pub(crate) fn each_pair(
        &self,
        prefix: &[u8],
        mut show: impl FnMut(&[u8], &[u8]),
    ) -> Result<(), LogError> {
        self.guard(|db| {
            for pair in db.scan_prefix(prefix) {
                let (key, value) = pair?;
                show(&key, &value);
            }
            Ok(())
        })
    }

    /// Makes everything written so far durable. After an error nothing more may be written.
    pub(crate) fn commit(&self) -> Result<(), LogError> {
        let _watchdog = Watchdog::start("commit of the log", COMMIT_LIMIT);
        self.guard(|db| db.flush().map(drop))?;
        if Fault::SkipSync.is_on() {
            return Ok(());
        }
        let mut synced = self.file.sync_data();
        if Fault::RetryFailedSync.is_on() {
            synced = synced.or_else(|_| self.file.sync_data());
        }
        synced.map_err(|error| LogError::sync(&self.path, &error))?;
        self.sync_blobs()
    }

    /// sled moves large values to files that it never syncs. The limit on values keeps it from doing
    /// so; should it happen all the same, nothing is lost.
    fn sync_blobs(&self) -> Result<(), LogError> {
        let folder = self.path.join("blobs");
        let blobs = files::list(&folder)?;
        for blob in &blobs {
            files::sync_file(&blob.path())?;
        }
        if !blobs.is_empty() {
            tracing::error!(path = %self.path.display(), "a value is larger than the limit that keeps it in the database");
            files::sync_directory(&folder)?;
        }
        Ok(())
    }

    fn sync_all(&self) -> Result<(), LogError> {
        self.commit()?;
        for name in ["conf", "db"] {
            files::sync_file(&self.path.join(name))?;
        }
        files::sync_directory(&self.path.join("blobs"))?;
        files::sync_directory(&self.path)?;
        files::sync_parent(&self.path)
    }

    fn guard<T>(
        &self,
        operation: impl FnOnce(&sled::Db) -> sled::Result<T>,
    ) -> Result<T, LogError> {
        let Some(db) = &self.db else { return Err(LogError::damaged(&self.path, "it is closed")) };
        guarded(&self.path, || operation(db))
            .or_else(|error| check_full(&self.path, &self.file, error))
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let db = self.db.take();
        // sled flushes when it is dropped and panics when that fails; nothing unsynced was promised to anyone.
        if catch_unwind(AssertUnwindSafe(|| drop(db))).is_err() {
            tracing::warn!(path = %self.path.display(), "closing the database failed");
        }
    }
}

/// Whether the settings that sled keeps beside a database are as it wrote them: text, and its CRC-32.
/// Without them it writes new ones when it opens the database, and says nothing.
pub(crate) fn settings_are_intact(path: &Path) -> Result<bool, LogError> {
    let file = path.join("conf");
    match fs::read(&file) {
        Ok(bytes) => Ok(bytes.split_last_chunk::<4>().is_some_and(|(text, sum)| {
            !text.is_empty() && u32::from_le_bytes(*sum) == crc32fast::hash(text)
        })),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(LogError::io("read", &file, &error)),
    }
}

fn open_once(path: &Path, tuning: Tuning) -> Result<sled::Db, LogError> {
    let config = sled::Config::new()
        .path(path)
        .segment_size(tuning.segment_size)
        .cache_capacity(tuning.cache_capacity)
        // sled's own flusher swallows errors of fsync and dies silently after the first.
        .flush_every_ms(None);
    let give_up = Instant::now() + LOCK_PATIENCE;
    loop {
        match guarded(path, || config.open()) {
            Err(LogError::Io { reason, .. })
                if reason.contains("could not acquire lock") && Instant::now() < give_up =>
            {
                std::thread::sleep(LOCK_POLL);
            }
            opened => return opened,
        }
    }
}

/// Reads a whole file. sled takes what it cannot read while it opens a database for the end of the log,
/// and overwrites what follows; what has just been read is in the page cache, and does not fail again.
fn read_through(path: &Path, mut file: &File) -> Result<(), LogError> {
    let mut bytes = vec![0; READ_BYTES];
    let mut read = || {
        file.rewind()?;
        loop {
            match file.read(&mut bytes) {
                Ok(0) => return Ok(()),
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
        }
    };
    for _ in 1..READ_ATTEMPTS {
        match read() {
            Ok(()) => return Ok(()),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "reading failed; trying again");
                std::thread::sleep(READ_PAUSE);
            }
        }
    }
    read().map_err(|error| LogError::io("read", path, &error))
}

/// What "full" was: sled says it both of a write, which can be done again, and of pages that could
/// not be written back, which are lost. Our own descriptor tells of the latter, as of every failure
/// since it was opened.
fn check_full<T>(path: &Path, file: &File, error: LogError) -> Result<T, LogError> {
    if error.is_full() {
        file.sync_data().map_err(|error| LogError::sync(path, &error))?;
    }
    Err(error)
}

fn guarded<T>(path: &Path, operation: impl FnOnce() -> sled::Result<T>) -> Result<T, LogError> {
    match catch_unwind(AssertUnwindSafe(operation)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(sled::Error::Io(error))) if error.kind() == ErrorKind::UnexpectedEof => {
            Err(LogError::damaged(path, "its file is cut short"))
        }
        Ok(Err(sled::Error::Io(error))) => Err(LogError::io("use", path, &error)),
        Ok(Err(error)) if !is_of_the_file(&error) => {
            Err(LogError::Io { action: "use", path: path.to_owned(), reason: error.to_string() })
        }
        Ok(Err(error)) => Err(LogError::damaged(path, error.to_string())),
        Err(_panic) => Err(LogError::damaged(path, "sled panicked while reading it")),
    }
}

/// Whether the file is to blame: not for having been written with other settings or by another
/// version, nor when a thread that all databases share has died, which only a restart mends.
fn is_of_the_file(error: &sled::Error) -> bool {
    match error {
        sled::Error::Unsupported(_) => false,
        sled::Error::ReportableBug(what) => !what.starts_with("IO thread"),
        _ => true,
    }
}

/// Removes sled's snapshots whose name passes, and returns how many. An unfinished one, left by a kill
/// during open, makes every later open fail.
fn remove_snapshots(path: &Path, unwanted: impl Fn(&str) -> bool) -> Result<usize, LogError> {
    let mut removed = 0;
    for entry in files::list(path)? {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("snap.") && unwanted(&name) {
            fs::remove_file(entry.path())
                .map_err(|error| LogError::io("remove", &entry.path(), &error))?;
            removed += 1;
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TUNING: Tuning = Tuning { segment_size: 1 << 20, cache_capacity: 4 << 20 };

    #[test]
    fn reads_back_what_was_committed() {
        let directory = tempfile::tempdir().expect("tempdir");
        let path = directory.path().join("database");
        let database = Database::open(&path, TUNING).expect("open");
        database.insert(b"a", b"1").expect("insert");
        database.insert(b"c", b"3").expect("insert");
        database.commit().expect("commit");
        drop(database);
        let database = Database::open(&path, TUNING).expect("open again");
        assert_eq!(database.above(b"a").expect("read").expect("a pair").0, b"c");
        assert_eq!(database.below(b"b").expect("read").expect("a pair").0, b"a");
        assert!(is_empty(&path.join("blobs")));
    }

    #[test]
    fn a_value_that_spills_to_a_file_is_synced_too() {
        let directory = tempfile::tempdir().expect("tempdir");
        let path = directory.path().join("database");
        let database = Database::open(&path, TUNING).expect("open");
        database.insert(b"large", &vec![1; TUNING.segment_size]).expect("insert");
        database.commit().expect("commit");
        assert!(!is_empty(&path.join("blobs")), "the value was large enough to spill");
    }

    #[test]
    fn settings_that_were_changed_are_noticed() {
        let directory = tempfile::tempdir().expect("tempdir");
        let path = directory.path().join("database");
        drop(Database::open(&path, TUNING).expect("open"));
        let intact = || settings_are_intact(&path).expect("readable");
        assert!(intact(), "as sled wrote them");
        let bytes = fs::read(path.join("conf")).expect("read");
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 4;
            fs::write(path.join("conf"), &changed).expect("write");
            assert!(!intact(), "byte {at}");
            fs::write(path.join("conf"), &bytes[..at]).expect("write");
            assert!(!intact(), "cut at {at}");
        }
        fs::remove_file(path.join("conf")).expect("remove");
        assert!(!intact(), "removed");
    }

    #[test]
    fn a_database_that_must_exist_is_not_created() {
        let directory = tempfile::tempdir().expect("tempdir");
        let path = directory.path().join("database");
        assert!(Database::open_existing(&path, TUNING).is_err());
        assert!(!path.exists());
    }

    #[test]
    fn a_database_that_is_still_being_closed_is_waited_for() {
        let directory = tempfile::tempdir().expect("tempdir");
        let path = directory.path().join("database");
        let first = Database::open(&path, TUNING).expect("open");
        let closing = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            drop(first);
        });
        Database::open(&path, TUNING).expect("open as soon as it is closed");
        closing.join().expect("closed");
    }

    #[test]
    fn other_settings_are_no_damage() {
        let directory = tempfile::tempdir().expect("tempdir");
        let path = directory.path().join("database");
        drop(Database::open(&path, TUNING).expect("open"));
        let other = Tuning { segment_size: 1 << 19, ..TUNING };
        let error = Database::open(&path, other).expect_err("another segment size");
        assert!(matches!(error, LogError::Io { .. }), "{error}");
    }

    fn is_empty(path: &Path) -> bool {
        fs::read_dir(path).expect("list").next().is_none()
    }

    #[test]
    fn survives_an_unfinished_and_a_damaged_snapshot() {
        let directory = tempfile::tempdir().expect("tempdir");
        let path = directory.path().join("database");
        for round in 0..3u8 {
            let database = Database::open(&path, TUNING).expect("open");
            database.insert(&[round], b"value").expect("insert");
            database.commit().expect("commit");
        }
        fs::write(path.join("snap.0000000000000001.generating"), b"half").expect("write");
        for entry in fs::read_dir(&path).expect("list").flatten() {
            if entry.file_name().to_string_lossy().starts_with("snap.") {
                fs::write(entry.path(), b"damage").expect("write");
            }
        }
        let database = Database::open(&path, TUNING).expect("open despite its snapshot");
        assert_eq!(database.with_prefix(&[]).expect("read").len(), 3);
    }

    #[test]
    fn damage_in_the_middle_is_an_error_or_a_shorter_database_and_never_a_panic() {
        let directory = tempfile::tempdir().expect("tempdir");
        let path = directory.path().join("database");
        let tuning = Tuning { segment_size: 1 << 16, cache_capacity: 1 << 20 };
        let database = Database::open(&path, tuning).expect("open");
        for key in 0..2000u32 {
            database.insert(&key.to_be_bytes(), &[7; 500]).expect("insert");
        }
        database.commit().expect("commit");
        drop(database);
        remove_snapshots(&path, |_| true).expect("remove");
        let mut bytes = fs::read(path.join("db")).expect("read");
        // Much of the file is dead versions of pages; stripes are sure to hit a live one.
        let from = bytes.len() / 8;
        bytes[from..].iter_mut().step_by(256).for_each(|byte| *byte ^= 0xff);
        fs::write(path.join("db"), bytes).expect("write");
        let read = Database::open(&path, tuning).and_then(|database| database.with_prefix(&[]));
        // sled drops what follows a torn write without a word: numbers and seals notice that.
        match read {
            Ok(pairs) => assert!(pairs.len() < 2000, "{} pairs", pairs.len()),
            Err(error) => assert!(matches!(error, LogError::Damaged { .. }), "{error}"),
        }
    }
}
