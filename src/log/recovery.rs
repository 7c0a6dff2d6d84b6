//! What is found in the directory of a stream when it is opened.
//!
//! Invariants:
//! 1. Afterwards only the newest segment may be without a seal, and it can be appended to.
//! 2. What cannot be read is moved aside and reported, unless nothing of it was ever published.
//! 3. A stretch that is missing between two segments is found, whoever has removed it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::block::Block;
use super::damage::Aside;
use super::head::Head;
use super::segment::{self, Name, Seal, Segment, Verified};
use super::stream::Inner;
use super::writer::Active;
use super::{LogError, files};
use crate::event::Position;

/// The directories of a stream.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Where segments begin, in order.
    pub(super) firsts: Vec<Position>,
    /// Those that were moved aside because they were damaged.
    pub(super) moved_aside: Vec<Aside>,
    doomed: Vec<PathBuf>,
    foreign: Vec<PathBuf>,
}

/// The segment to append to, when there is one, and the last block.
type Newest = (Option<Active>, Option<Block>);

impl Listing {
    /// What is in the directory of a stream.
    pub(super) fn of(stream: &Path) -> Result<Self, LogError> {
        let mut listing = Self::default();
        for entry in files::list(stream)? {
            let path = entry.path();
            match Name::of(&entry.file_name().to_string_lossy()) {
                Name::Segment(first) => listing.firsts.push(first),
                Name::Quarantined(first) => listing.moved_aside.push(Aside { first, path }),
                Name::Doomed => listing.doomed.push(path),
                Name::Unpublished => {}
                Name::Foreign => listing.foreign.push(path),
            }
        }
        listing.firsts.sort();
        Ok(listing)
    }
}

impl Inner {
    /// Lists the segments, moves damaged ones aside as far as it opens them, and returns the newest.
    pub(super) fn recover(&self) -> Result<Newest, LogError> {
        let mut firsts = self.list()?.firsts;
        let newest = self.recover_newest(&mut firsts)?;
        // With those that were moved aside just now.
        self.find_holes(&self.list()?.moved_aside)?;
        Ok(newest)
    }

    fn recover_newest(&self, firsts: &mut Vec<Position>) -> Result<Newest, LogError> {
        while let Some(first) = firsts.pop() {
            let path = self.path.join(first.to_string());
            if let Some(seal) = Seal::read(&path)? {
                // The newest segment is sealed only when a crash came before its successor began.
                match self.last_of_sealed(&path, &seal) {
                    Ok(last) => {
                        self.know_sealed(std::mem::take(firsts))?;
                        self.know(first, path, Some(seal));
                        return Ok((None, Some(last)));
                    }
                    Err(LogError::Damaged { reason, .. }) => {
                        self.move_aside(&path, seal.last, &reason);
                    }
                    Err(error) => return Err(error),
                }
            } else if let Some((segment, verified)) = self.open_unsealed(&first, &path)? {
                self.know_sealed(std::mem::take(firsts))?;
                let Verified { head, last, bytes, .. } = verified;
                let first_sequence = head.first_sequence;
                self.begin(first, path, first_sequence, &segment);
                let active = Active { segment, first_sequence, bytes, head: None };
                return Ok((Some(active), Some(last)));
            }
        }
        Ok((None, None))
    }

    /// Opens a segment without a seal and reads all of it. `None` when it is out of the way now:
    /// damaged, or nothing was ever published of it.
    fn open_unsealed(
        &self,
        first: &Position,
        path: &Path,
    ) -> Result<Option<(Arc<Segment>, Verified)>, LogError> {
        let opened = Segment::open(&self.id, path).and_then(|segment| {
            segment.remove_torn_block()?;
            Ok((segment.verify()?, segment))
        });
        let published = Head::is_there(path)?;
        match opened {
            Ok((Some(verified), segment)) => {
                if Head::read(path)?.is_none() {
                    verified.head.write(path)?;
                }
                return Ok(Some((segment, verified)));
            }
            Ok((None, segment)) => {
                drop(segment);
                if published {
                    self.move_aside(
                        path,
                        first.clone(),
                        "it opens as if nothing had been written to it",
                    );
                } else {
                    files::remove_directory(path)?;
                }
            }
            Err(LogError::Damaged { reason, .. }) if published => {
                self.move_aside(path, first.clone(), &reason);
            }
            Err(LogError::Damaged { reason, .. }) => {
                let aside = segment::unpublished_name(path);
                tracing::warn!(
                    segment = %path.display(), kept_as = %aside.display(), reason,
                    "a segment was being begun when the relay ended; nothing of it had been published"
                );
                files::rename(path, &aside)?;
            }
            Err(error) => return Err(error),
        }
        Ok(None)
    }

    /// The directories of the stream. Finishes removals that a crash interrupted.
    fn list(&self) -> Result<Listing, LogError> {
        let listing = Listing::of(&self.path)?;
        listing.doomed.iter().try_for_each(|path| files::remove_doomed(path))?;
        for path in &listing.foreign {
            tracing::warn!(path = %path.display(), "not a segment; left alone");
        }
        Ok(listing)
    }

    fn last_of_sealed(&self, path: &Path, seal: &Seal) -> Result<Block, LogError> {
        let segment = self.context.pool.get(&self.id, path)?;
        let last = segment.last()?.filter(|last| last.number == seal.last_number);
        last.ok_or_else(|| segment.damaged("its last blocks are missing"))
    }

    fn know_sealed(&self, firsts: Vec<Position>) -> Result<(), LogError> {
        for first in firsts {
            let path = self.path.join(first.to_string());
            if let Some(seal) = Seal::read(&path)? {
                self.know(first, path, Some(seal));
            } else if let Some((segment, found)) = self.open_unsealed(&first, &path)? {
                tracing::warn!(segment = %path.display(), "the seal of a segment is missing; it is written again");
                drop(segment);
                let seal = Seal::new(&found.last, found.head.first_sequence, found.last.written_at);
                seal.write(&path)?;
                self.know(first, path, Some(seal));
            }
        }
        Ok(())
    }
}
