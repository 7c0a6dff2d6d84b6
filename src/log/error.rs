//! What can go wrong with the log.

use std::path::{Path, PathBuf};

/// A failure of the log or of the state beside it. Cheap to clone: every user of a stopped log
/// gets the same cause.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LogError {
    /// The data directory cannot be used as it is; nothing in it was changed.
    #[error("data directory {path}: {reason}")]
    Directory {
        /// Its path.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
    /// Another process holds the data directory.
    #[error(
        "data directory {path} is in use by {holder}; stop that process, or give this one a \
         directory of its own"
    )]
    Locked {
        /// Its path.
        path: PathBuf,
        /// Process, host and time of the holder, as it wrote them.
        holder: String,
    },
    /// The data directory was written by a newer version.
    #[error(
        "data directory {path} has format {found}, this version knows formats up to {known}; \
         run the newer version again"
    )]
    Newer {
        /// Its path.
        path: PathBuf,
        /// Format found.
        found: u32,
        /// Newest format this program knows.
        known: u32,
    },
    /// Something in the data directory was written by a newer version. It is intact: nothing is moved
    /// aside.
    #[error(
        "{path} holds {what} of format {found}, this version knows formats up to {known}; run the \
         newer version again"
    )]
    NewerEntry {
        /// The database or file.
        path: PathBuf,
        /// What was found there, such as `a block`.
        what: &'static str,
        /// Format found.
        found: u32,
        /// Newest format this program knows.
        known: u32,
    },
    /// The data directory belongs to another cluster.
    #[error(
        "data directory {path} belongs to the cluster with uid {owner}, but the API server is the \
         cluster with uid {found}; use another directory, or connect to the first cluster"
    )]
    OtherCluster {
        /// Its path.
        path: PathBuf,
        /// The cluster it belongs to.
        owner: String,
        /// The cluster that answered.
        found: String,
    },
    /// An operation of the file system failed.
    #[error("cannot {action} {path}: {reason}")]
    Io {
        /// What was tried, such as `create directory`.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        reason: String,
    },
    /// The volume has no room left.
    #[error("no space left for {path}; free space or enlarge the volume")]
    Full {
        /// What could not be written.
        path: PathBuf,
    },
    /// Stored bytes are not what was written.
    #[error("{path} is damaged: {reason}")]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What was noticed.
        reason: String,
    },
    /// The writer of a stream has stopped after a failure; only a restart helps.
    #[error("the log of stream {stream} stopped: {cause}")]
    Stopped {
        /// The stream.
        stream: String,
        /// The first failure.
        cause: String,
    },
}

impl LogError {
    pub(crate) fn io(action: &'static str, path: &Path, error: &std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::StorageFull {
            return Self::Full { path: path.to_owned() };
        }
        Self::Io { action, path: path.to_owned(), reason: error.to_string() }
    }

    pub(crate) fn newer_entry(path: &Path, what: &'static str, found: u8, known: u8) -> Self {
        let (found, known) = (found.into(), known.into());
        Self::NewerEntry { path: path.to_owned(), what, found, known }
    }

    /// Never "full", whatever the cause: what a failed sync has lost cannot be synced again.
    pub(crate) fn sync(path: &Path, error: &std::io::Error) -> Self {
        Self::Io { action: "sync", path: path.to_owned(), reason: error.to_string() }
    }

    /// Whether the volume has no room left.
    pub(crate) const fn is_full(&self) -> bool {
        matches!(self, Self::Full { .. })
    }

    pub(crate) fn damaged(path: &Path, reason: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), reason: reason.into() }
    }
}
