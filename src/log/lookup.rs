//! Finding a record by what people know of it: its resourceVersion.
//!
//! Invariant: nothing is found beyond the frontier, and a look-up does not read while as many others read
//! as may at a time.

use super::LogError;
use super::stream::{Inner, Stream, blocking};
use crate::event::{Generation, Position, Record, ResourceVersion};

impl Stream {
    /// The record with this version; of several, in different histories of the API server, that of the
    /// newest. An error when the volume has no room to read it.
    pub async fn find(&self, version: &ResourceVersion) -> Result<Option<Record>, LogError> {
        let (inner, version) = (self.inner.clone(), version.clone());
        // It is never closed.
        let _turn = self.inner.context.reading.acquire().await;
        blocking(move || inner.newest_with(&version)).await
    }

    /// Where the oldest record that is still held begins, and the frontier; `None` while it is empty.
    #[must_use]
    pub fn held(&self) -> Option<(Position, Position)> {
        let frontier = self.frontier()?.position;
        let first = self.inner.read_segments().by_first.keys().next().cloned()?;
        Some((first, frontier))
    }
}

impl Inner {
    fn newest_with(&self, version: &ResourceVersion) -> Result<Option<Record>, LogError> {
        let oldest = self.read_segments().by_first.keys().next().map(|first| first.generation);
        let newest = self.frontier.borrow().as_ref().map(|frontier| frontier.position.generation);
        let Some((oldest, newest)) = oldest.zip(newest) else { return Ok(None) };
        for generation in (oldest.0..=newest.0).rev() {
            let found = self.record_at(&Position::new(Generation(generation), version.clone()))?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// The record at exactly this position.
    pub(super) fn record_at(&self, position: &Position) -> Result<Option<Record>, LogError> {
        Ok(self.block_with(position)?.and_then(|mut block| {
            let at = block.records.binary_search_by(|record| record.position.cmp(position)).ok()?;
            Some(block.records.swap_remove(at))
        }))
    }
}
