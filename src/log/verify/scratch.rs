//! Copies of databases, for sled to open: it changes what it opens, and what it changes is evidence.
//!
//! Invariants:
//! 1. There is one copy at a time, and none when the value is gone. What a killed process left behind is in
//!    nobody's way.
//! 2. What cannot be read where it is counts as damage; what cannot be written to the copy does not.

use std::cell::Cell;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::log::{LogError, files};

const COPY_BYTES: usize = 1 << 20;

/// Why damage could not be looked for.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// There is no place for copies.
    #[error(
        "cannot copy what is to be checked to {path}: {cause}; name a directory with more room, outside \
         the data directory, with --scratch"
    )]
    Scratch {
        /// Where copies are made.
        path: PathBuf,
        /// What went wrong there.
        cause: String,
    },
    /// The data directory cannot be used.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// A directory for copies. It is removed when this is dropped.
#[derive(Debug)]
pub struct Scratch {
    directory: TempDir,
    copies: Cell<u64>,
}

impl Scratch {
    /// Makes a directory in `parent`, which must not lie in the data directory `data`. Nobody else may
    /// read it.
    pub fn new(parent: &Path, data: &Path) -> Result<Self, VerifyError> {
        let failed = |cause: String| VerifyError::Scratch { path: parent.to_owned(), cause };
        let inside =
            |parent: PathBuf| data.canonicalize().is_ok_and(|data| parent.starts_with(data));
        if parent.canonicalize().is_ok_and(inside) {
            return Err(failed("it lies in the data directory, which is not to change".to_owned()));
        }
        let directory = tempfile::Builder::new()
            .prefix("kube-event-relay-verify-")
            .tempdir_in(parent)
            .map_err(|error| failed(error.to_string()))?;
        Ok(Self { directory, copies: Cell::new(0) })
    }

    /// Looks at a copy of a database. What is wrong with the database itself is the inner error, in
    /// words.
    pub(crate) fn look<T>(
        &self,
        database: &Path,
        look: impl FnOnce(&Path) -> Result<T, LogError>,
    ) -> Result<Result<T, String>, VerifyError> {
        // Another name each time: threads of sled may still be about to close the copy before.
        self.copies.set(self.copies.get() + 1);
        let copy = self.directory.path().join(self.copies.get().to_string());
        let looked = match copy_all(database, &copy) {
            Ok(()) => look(&copy),
            Err(CopyError::Unreadable(reason)) => Err(LogError::damaged(database, reason)),
            Err(CopyError::Unwritable(cause)) => Err(cause),
        };
        let removed = fs::remove_dir_all(&copy);
        let looked = match looked {
            Ok(seen) => Ok(seen),
            Err(LogError::Damaged { reason, .. }) => Err(reason),
            Err(LogError::NewerEntry { what, found, known, .. }) => {
                let path = database.to_owned();
                return Err(LogError::NewerEntry { path, what, found, known }.into());
            }
            Err(error) => return Err(self.failed(&error)),
        };
        removed.map_err(|error| self.failed(&LogError::io("remove", &copy, &error)))?;
        Ok(looked)
    }

    fn failed(&self, cause: &LogError) -> VerifyError {
        VerifyError::Scratch { path: self.directory.path().to_owned(), cause: cause.to_string() }
    }
}

enum CopyError {
    Unreadable(String),
    Unwritable(LogError),
}

fn unwritable(action: &'static str, path: &Path, error: &std::io::Error) -> CopyError {
    CopyError::Unwritable(LogError::io(action, path, error))
}

fn copy_all(from: &Path, to: &Path) -> Result<(), CopyError> {
    fs::create_dir(to).map_err(|error| unwritable("create directory", to, &error))?;
    let entries = files::list(from).map_err(|error| CopyError::Unreadable(error.to_string()))?;
    for entry in entries {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() { copy_all(&from, &to)? } else { copy_file(&from, &to)? }
    }
    Ok(())
}

fn copy_file(from: &Path, to: &Path) -> Result<(), CopyError> {
    let unreadable = |error| CopyError::Unreadable(LogError::io("read", from, &error).to_string());
    let mut source = File::open(from).map_err(unreadable)?;
    let mut copy = File::create(to).map_err(|error| unwritable("create", to, &error))?;
    let mut bytes = vec![0; COPY_BYTES];
    loop {
        let count = match source.read(&mut bytes) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(unreadable(error)),
        };
        let read = bytes.get(..count).unwrap_or_default();
        copy.write_all(read).map_err(|error| unwritable("write", to, &error))?;
    }
}
