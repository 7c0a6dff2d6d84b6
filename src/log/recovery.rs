//! What is found in the directory of a stream when it is opened.
//!
//! Invariants:
//! 1. Afterwards only the newest segment may be without a seal, and it can be appended to.
//! 2. What cannot be read is moved aside and reported; what was never acknowledged is removed.

use std::fs;
use std::path::Path;

use super::block::Block;
use super::segment::{self, Seal, Segment};
use super::stream::Inner;
use super::writer::Active;
use super::{LogError, files};
use crate::event::Position;

impl Inner {
    /// Lists the segments, moves a damaged newest one aside, and returns the newest, when it can be
    /// appended to, and the last block.
    pub(super) fn recover(&self) -> Result<(Option<Active>, Option<Block>), LogError> {
        let mut firsts = self.list()?;
        firsts.sort();
        while let Some(first) = firsts.pop() {
            let path = self.path.join(first.to_string());
            if let Some(seal) = Seal::read(&path)? {
                // The newest segment is sealed only when a crash came before its successor began.
                match self.last_of_sealed(&path, &seal) {
                    Ok(last) => {
                        self.know_sealed(firsts)?;
                        self.know(first, path, Some(seal));
                        return Ok((None, Some(last)));
                    }
                    Err(LogError::Damaged { reason, .. }) => {
                        self.move_aside(&path, seal.last, &reason);
                        continue;
                    }
                    Err(error) => return Err(error),
                }
            }
            let verified = Segment::open(&self.id, &path).and_then(|segment| {
                segment.remove_torn_block()?;
                Ok((segment.verify()?, segment))
            });
            match verified {
                Ok((Some(verified), segment)) => {
                    self.know_sealed(firsts)?;
                    let active = Active {
                        segment: segment.clone(),
                        first_sequence: verified.first_sequence,
                        bytes: verified.bytes,
                    };
                    self.begin(first, path, verified.first_sequence, &segment);
                    return Ok((Some(active), Some(verified.last)));
                }
                // Nothing was ever acknowledged in a segment without a block.
                Ok((None, segment)) => {
                    drop(segment);
                    files::remove_directory(&path)?;
                }
                Err(LogError::Damaged { reason, .. }) => self.move_aside(&path, first, &reason),
                Err(error) => return Err(error),
            }
        }
        Ok((None, None))
    }

    /// The positions of all segment directories. Finishes removals that a crash interrupted.
    fn list(&self) -> Result<Vec<Position>, LogError> {
        let listed = |error| LogError::io("list", &self.path, &error);
        let mut firsts = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(listed)? {
            let entry = entry.map_err(listed)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if files::is_doomed(&name) {
                files::remove_doomed(&entry.path())?;
            } else if let Ok(first) = name.parse() {
                firsts.push(first);
            } else if !segment::is_quarantined(&name) {
                tracing::warn!(path = %entry.path().display(), "not a segment; left alone.");
            }
        }
        Ok(firsts)
    }

    fn last_of_sealed(&self, path: &Path, seal: &Seal) -> Result<Block, LogError> {
        let segment = self.context.pool.get(&self.id, path)?;
        let last = segment.last()?.filter(|last| last.number == seal.last_number);
        last.ok_or_else(|| segment.damaged("its last blocks are missing"))
    }

    fn know_sealed(&self, firsts: Vec<Position>) -> Result<(), LogError> {
        for first in firsts {
            let path = self.path.join(first.to_string());
            let seal = match Seal::read(&path)? {
                Some(seal) => Ok(Some(seal)),
                None => self.seal_again(&path),
            };
            match seal {
                Ok(Some(seal)) => self.know(first, path, Some(seal)),
                Ok(None) => files::remove_directory(&path)?,
                Err(LogError::Damaged { reason, .. }) => self.move_aside(&path, first, &reason),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Seals a segment whose seal was lost, as it is found. `None` when there is nothing in it.
    fn seal_again(&self, path: &Path) -> Result<Option<Seal>, LogError> {
        tracing::warn!(segment = %path.display(), "the seal of a segment is missing; it is written again.");
        let segment = Segment::open(&self.id, path)?;
        let Some(found) = segment.verify()? else { return Ok(None) };
        let seal = Seal::new(&found.last, found.first_sequence, found.last.written_at);
        seal.write(path)?;
        Ok(Some(seal))
    }
}
