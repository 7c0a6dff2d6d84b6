//! Open sealed segments, shared by all readers of the log.
//!
//! Invariant: besides those in use at this moment, at most [`OPEN_LIMIT`] sealed segments are open.
//! That, and their small size, is what bounds the memory of reading a log of any length.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::LogError;
use super::segment::Segment;
use crate::event::StreamId;

/// Each takes 4 to 7 MiB once it has been read.
const OPEN_LIMIT: usize = 2;

#[derive(Debug, Default)]
pub(super) struct Pool(Mutex<Segments>);

#[derive(Debug, Default)]
struct Segments {
    /// Least recently used first.
    open: VecDeque<Arc<Segment>>,
    /// Everything that may still be open somewhere: sled cannot open a database twice.
    known: Vec<(PathBuf, Weak<Segment>)>,
}

impl Pool {
    /// The segment at `path`, opened if need be.
    pub(super) fn get(&self, stream: &StreamId, path: &Path) -> Result<Arc<Segment>, LogError> {
        let mut segments = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let segment = segments.find_or_open(stream, path)?;
        segments.open.retain(|open| open.path() != path);
        segments.open.push_back(segment.clone());
        if segments.open.len() > OPEN_LIMIT {
            segments.open.pop_front();
        }
        Ok(segment)
    }

    /// The segment at `path`, opened anew unless somebody is reading it at this moment, and not kept
    /// open: for whoever wants to see what is on disk, and not what is in memory.
    pub(super) fn get_anew(
        &self,
        stream: &StreamId,
        path: &Path,
    ) -> Result<Arc<Segment>, LogError> {
        let mut segments = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        segments.open.retain(|open| open.path() != path);
        segments.find_or_open(stream, path)
    }

    /// Makes the writer's segment known, so that readers share it.
    pub(super) fn adopt(&self, segment: &Arc<Segment>) {
        let mut segments = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        segments.known.push((segment.path().to_owned(), Arc::downgrade(segment)));
    }

    /// Forgets a segment.
    pub(super) fn forget(&self, path: &Path) {
        self.take_away(path, || ());
    }

    /// Forgets a segment whose directory `take` takes away. Nobody opens it meanwhile: sled would
    /// create it anew.
    pub(super) fn take_away<T>(&self, path: &Path, take: impl FnOnce() -> T) -> T {
        let mut segments = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        segments.open.retain(|open| open.path() != path);
        segments.known.retain(|(known, _)| known != path);
        take()
    }
}

impl Segments {
    fn find_or_open(&mut self, stream: &StreamId, path: &Path) -> Result<Arc<Segment>, LogError> {
        self.known.retain(|(_, segment)| segment.strong_count() > 0);
        let known = self.known.iter().find(|(known, _)| known == path);
        if let Some(segment) = known.and_then(|(_, segment)| segment.upgrade()) {
            return Ok(segment);
        }
        let segment = Segment::open_existing(stream, path)?;
        self.known.push((path.to_owned(), Arc::downgrade(&segment)));
        Ok(segment)
    }
}
