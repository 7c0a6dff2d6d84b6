//! Room kept on the volume: sled cannot even open a database on a full one.
//!
//! A ballast file is given up first when space runs out, so that the log can be opened, drained and
//! trimmed; it is laid down again when there is room. Below a watermark of free space nothing is
//! appended at all, which keeps the volume from becoming full in the first place.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::fs::FallocateFlags;

const BALLAST: &str = "reserve";
/// Opening a segment and rewriting its tail takes up to two of sled's segments; state and sealed
/// segments that readers open need as much again.
const BALLAST_BYTES: u64 = 16 << 20;
/// Appending stops below this much free space: room for a segment of the log (8 MiB on disk), the
/// state database, and what other programs may take between two looks.
pub(crate) const LOW_WATER_BYTES: u64 = 24 << 20;

#[derive(Debug)]
pub(super) struct Reserve {
    directory: PathBuf,
    /// How many wait for room.
    waiting: AtomicUsize,
}

/// Somebody who waits for room, until it is dropped.
#[derive(Debug)]
pub(super) struct Waiting<'a>(&'a AtomicUsize);

impl Reserve {
    pub(super) fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), waiting: AtomicUsize::new(0) }
    }

    /// Somebody begins to wait for room.
    pub(super) fn wait(&self) -> Waiting<'_> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waiting(&self.waiting)
    }

    /// Whether somebody waits for room.
    pub(super) fn is_awaited(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Gives the ballast up or lays it down, as the volume demands.
    pub(super) fn keep(&self) {
        if self.has_room() { self.lay_down() } else { self.give_up() }
    }

    /// Lays the ballast down where the volume has room for it.
    pub(super) fn lay_down(&self) {
        let path = self.directory.join(BALLAST);
        // One that a crash has left shorter is none.
        let is_there = fs::metadata(&path).is_ok_and(|found| found.len() >= BALLAST_BYTES);
        if is_there || self.free_bytes() < BALLAST_BYTES + LOW_WATER_BYTES {
            return;
        }
        let laid = File::create(&path).and_then(|file| {
            rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, BALLAST_BYTES)?;
            file.sync_all()
        });
        if let Err(error) = laid {
            tracing::warn!(%error, "the volume gives no room for a reserve; a full volume will stop the relay");
            self.give_up();
        }
    }

    /// Gives the ballast back to the volume.
    pub(super) fn give_up(&self) {
        if let Err(error) = fs::remove_file(self.directory.join(BALLAST))
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "the reserve cannot be given up");
        }
    }

    /// Whether there is room to append.
    pub(super) fn has_room(&self) -> bool {
        self.free_bytes() >= LOW_WATER_BYTES
    }

    /// Bytes that this process may still use on the volume. Unknown counts as plenty: the write
    /// itself will tell.
    pub(super) fn free_bytes(&self) -> u64 {
        rustix::fs::statvfs(&self.directory)
            .map_or(u64::MAX, |volume| volume.f_bavail.saturating_mul(volume.f_frsize))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
