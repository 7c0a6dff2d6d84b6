//! The data directory: who may use it, its format, and the cluster it belongs to.
//!
//! Invariants:
//! 1. A directory that is refused (locked, newer, of another cluster) is left as it was found.
//! 2. One that is open has the format of this program: an older one is migrated before.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::identity::Identity;
use super::migration::{self, Step};
use super::{LogError, files};

const LOCK: &str = "LOCK";
/// How often a held lock is tried again.
const LOCK_POLL: Duration = Duration::from_millis(100);

/// The exclusive right to a data directory. The lock ends with this value, or with the process.
#[derive(Debug)]
pub struct DataDirectory {
    path: PathBuf,
    identity: Mutex<Identity>,
    migrated: &'static [Step],
    _lock: File,
}

impl DataDirectory {
    /// Locks `path`, creating it when it is new, and waits up to `patience` for another holder to
    /// go: after a node was lost, the old pod's lock can outlive it for a moment. A directory of an
    /// older format is migrated. Blocking.
    pub fn open(path: &Path, patience: Duration) -> Result<Self, LogError> {
        Self::check(path, None)?;
        files::create_directory(path)?;
        let lock = lock(path, patience)?;
        // Whoever held the lock until now may have been newer.
        Self::check(path, None)?;
        let mut identity = match Identity::read(path)? {
            Some(identity) => identity,
            None => Identity::create(path)?,
        };
        let migrated = migration::run(path, &mut identity)?;
        Ok(Self { path: path.to_owned(), identity: Mutex::new(identity), migrated, _lock: lock })
    }

    /// Checks without changing anything that the directory is absent or of a known format, and of
    /// the cluster with this uid (when that is known).
    pub fn check(path: &Path, cluster_uid: Option<&str>) -> Result<(), LogError> {
        let Some(identity) = Identity::read(path)? else { return Ok(()) };
        identity.refuse_newer(path)?;
        match (cluster_uid, identity.cluster_uid) {
            (Some(found), Some(owner)) if found != owner => Err(LogError::OtherCluster {
                path: path.to_owned(),
                owner,
                found: found.to_owned(),
            }),
            _ => Ok(()),
        }
    }

    /// Remembers which cluster the directory belongs to, or refuses another one.
    pub fn claim(&self, cluster_uid: &str) -> Result<(), LogError> {
        Self::check(&self.path, Some(cluster_uid))?;
        let mut identity = self.identity.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if identity.cluster_uid.is_none() {
            identity.cluster_uid = Some(cluster_uid.to_owned());
            identity.write(&self.path)?;
        }
        Ok(())
    }

    /// The steps that opening it has run, because it was of an older format.
    #[must_use]
    pub fn migrated(&self) -> &'static [Step] {
        self.migrated
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// A data directory that nobody writes as long as this value lives, for whoever only looks: nothing in
/// it changes, not even the note of who holds the lock.
#[derive(Debug)]
pub struct DirectoryAtRest {
    path: PathBuf,
    /// `None`: nobody has ever locked it.
    lock: Option<File>,
}

impl DirectoryAtRest {
    /// Refuses a directory that is in use, or of a newer format.
    pub fn open(path: &Path) -> Result<Self, LogError> {
        let file_path = path.join(LOCK);
        let lock = match File::open(&file_path) {
            Ok(file) => Some(file),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(LogError::io("open", &file_path, &error)),
        };
        if let Some(file) = &lock {
            // Others who only look do no harm.
            file.try_lock_shared().map_err(|error| match error {
                TryLockError::WouldBlock => held(path, file),
                TryLockError::Error(error) => LogError::io("lock", &file_path, &error),
            })?;
        }
        DataDirectory::check(path, None)?;
        Ok(Self { path: path.to_owned(), lock })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// An error when somebody has begun to use it after all, for want of a lock.
    pub fn was_at_rest(&self) -> Result<(), LogError> {
        match File::open(self.path.join(LOCK)) {
            Ok(file) if self.lock.is_none() => Err(held(&self.path, &file)),
            _ => Ok(()),
        }
    }
}

fn lock(path: &Path, patience: Duration) -> Result<File, LogError> {
    let file_path = path.join(LOCK);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&file_path)
        .map_err(|error| LogError::io("open", &file_path, &error))?;
    let give_up = Instant::now() + patience;
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if Instant::now() < give_up => {
                std::thread::sleep(LOCK_POLL);
            }
            Err(TryLockError::WouldBlock) => return Err(held(path, &file)),
            Err(TryLockError::Error(error)) => {
                return Err(LogError::io("lock", &file_path, &error));
            }
        }
    }
    let note = format!(
        "process {} on host {} since {:.0}\n",
        std::process::id(),
        host_name(),
        Timestamp::now()
    );
    let noted =
        file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(note.as_bytes()));
    if let Err(error) = noted {
        // The lock is what counts. On a full volume the reserve is given up only behind it.
        tracing::warn!(path = %file_path.display(), %error, "cannot note who holds the lock");
    }
    Ok(file)
}

/// The error that says who holds the lock.
fn held(path: &Path, mut lock: &File) -> LogError {
    let mut holder = String::new();
    // Whoever holds the lock has written who it is; an unreadable note is no reason to go on.
    let _unreadable = lock.read_to_string(&mut holder);
    let holder = if holder.is_empty() { "another process" } else { holder.trim() };
    LogError::Locked { path: path.to_owned(), holder: holder.to_owned() }
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::FORMAT;
    use crate::log::identity::IDENTITY;

    #[test]
    fn a_second_holder_is_refused_and_told_who_holds_it() {
        let parent = tempfile::tempdir().expect("tempdir");
        let path = parent.path().join("data");
        let first = DataDirectory::open(&path, Duration::ZERO).expect("free");
        let error = DataDirectory::open(&path, Duration::ZERO).expect_err("held");
        assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
        drop(first);
        DataDirectory::open(&path, Duration::ZERO).expect("free again");
    }

    #[test]
    fn a_newer_format_is_refused_and_left_alone() {
        let directory = tempfile::tempdir().expect("tempdir");
        let newer = FORMAT + 1;
        for text in [
            format!(r#"{{"format":{newer}}}"#),
            // A newer version was interrupted while it migrated.
            format!(r#"{{"format":{newer},"migratingFrom":{FORMAT}}}"#),
        ] {
            std::fs::write(directory.path().join(IDENTITY), text).expect("write");
            let error = DataDirectory::open(directory.path(), Duration::ZERO).expect_err("newer");
            assert!(matches!(error, LogError::Newer { found, .. } if found == newer), "{error}");
            assert_eq!(std::fs::read_dir(directory.path()).expect("list").count(), 1);
        }
    }

    #[test]
    fn looking_at_a_directory_keeps_writers_out_and_changes_nothing() {
        let directory = tempfile::tempdir().expect("tempdir");
        let writer = DataDirectory::open(directory.path(), Duration::ZERO).expect("free");
        let error = DirectoryAtRest::open(directory.path()).expect_err("in use");
        assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
        drop(writer);
        let note = std::fs::read(directory.path().join(LOCK)).expect("read");
        let one = DirectoryAtRest::open(directory.path()).expect("free");
        let other = DirectoryAtRest::open(directory.path()).expect("for any number");
        assert!(DataDirectory::open(directory.path(), Duration::ZERO).is_err());
        assert_eq!(std::fs::read(directory.path().join(LOCK)).expect("read"), note);
        assert!(one.was_at_rest().is_ok());
        drop((one, other));
        DataDirectory::open(directory.path(), Duration::ZERO).expect("free again");
    }

    #[test]
    fn a_directory_that_was_never_locked_is_looked_at_all_the_same() {
        let directory = tempfile::tempdir().expect("tempdir");
        let at_rest = DirectoryAtRest::open(directory.path()).expect("nobody is there");
        assert!(at_rest.was_at_rest().is_ok());
        assert_eq!(std::fs::read_dir(directory.path()).expect("list").count(), 0);
        let _writer = DataDirectory::open(directory.path(), Duration::ZERO).expect("free");
        assert!(matches!(at_rest.was_at_rest(), Err(LogError::Locked { .. })));
    }

    #[test]
    fn another_cluster_is_refused() {
        let directory = tempfile::tempdir().expect("tempdir");
        let held = DataDirectory::open(directory.path(), Duration::ZERO).expect("free");
        held.claim("one").expect("first claim");
        held.claim("one").expect("same cluster");
        assert!(matches!(held.claim("two"), Err(LogError::OtherCluster { .. })));
        drop(held);
        assert!(DataDirectory::check(directory.path(), Some("two")).is_err());
        assert!(DataDirectory::check(directory.path(), Some("one")).is_ok());
        assert!(DataDirectory::check(directory.path(), None).is_ok());
    }
}
