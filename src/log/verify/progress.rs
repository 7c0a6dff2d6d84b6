//! How far somebody has got who looks for damage.

use std::sync::atomic::{AtomicU64, Ordering};

/// Segments read of those there are, for whoever watches. Nobody looks as long as there are none.
#[derive(Debug, Default)]
pub struct Progress {
    done: AtomicU64,
    total: AtomicU64,
}

/// Somebody looks for damage, until this is dropped.
#[derive(Debug)]
pub struct Looking<'a>(&'a Progress);

impl Progress {
    /// Somebody begins to read so many segments.
    pub fn begin(&self, segments: u64) -> Looking<'_> {
        self.done.store(0, Ordering::Relaxed);
        self.total.store(segments, Ordering::Relaxed);
        Looking(self)
    }

    /// Segments read, and segments there are, while somebody looks.
    #[must_use]
    pub fn get(&self) -> Option<(u64, u64)> {
        let total = self.total.load(Ordering::Relaxed);
        // Segments that are begun meanwhile are read, too.
        let done = self.done.load(Ordering::Relaxed).min(total);
        (total > 0).then_some((done, total))
    }
}

impl Looking<'_> {
    /// One more segment was read.
    pub fn step(&self) {
        self.0.done.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Looking<'_> {
    fn drop(&mut self) {
        self.0.total.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_there_while_somebody_looks() {
        let progress = Progress::default();
        assert_eq!(progress.get(), None);
        let looking = progress.begin(2);
        looking.step();
        assert_eq!(progress.get(), Some((1, 2)));
        looking.step();
        looking.step();
        assert_eq!(progress.get(), Some((2, 2)), "never more than there are");
        drop(looking);
        assert_eq!(progress.get(), None);
    }
}
