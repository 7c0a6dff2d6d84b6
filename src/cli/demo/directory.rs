//! A directory that disappears with its guard.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

/// A directory of this process, readable by its user only, removed with everything in it on drop.
#[derive(Debug)]
pub(super) struct TemporaryDirectory(PathBuf);

impl TemporaryDirectory {
    /// Creates it among the system's temporary files.
    pub(super) fn create() -> io::Result<Self> {
        let (process, moment) = (std::process::id(), Timestamp::now().as_nanosecond());
        let name = format!("kube-event-relay-demo-{process}-{moment}");
        let path = std::env::temp_dir().join(name);
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryDirectory {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "a temporary directory is left behind");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_behind() {
        let directory = TemporaryDirectory::create().expect("room");
        let path = directory.path().to_owned();
        std::fs::create_dir(path.join("log")).expect("room");
        std::fs::write(path.join("log/segment"), "x").expect("room");
        drop(directory);
        assert!(!path.exists());
    }
}
