//! The head of a segment: which block it begins with.
//!
//! Invariants:
//! 1. It is written after the first block is durable, and before anything of the segment is published.
//! 2. It never changes: a segment whose first block is another one has lost its beginning.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use bincode::Options;
use serde::{Deserialize, Serialize};

use super::block::Block;
use super::{LogError, files, stamp};

const HEAD: &str = "head";
const FORMAT: u8 = 1;

/// What is known of the beginning of a segment without opening it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    /// Number of its first block.
    pub(super) first_number: u64,
    /// Records of the stream before it.
    pub(super) first_sequence: u64,
}

impl Head {
    /// The head of a segment that begins with this block.
    pub(super) fn new(first: &Block) -> Self {
        let first_sequence = first.sequence.saturating_sub(first.records.len() as u64);
        Self { first_number: first.number, first_sequence }
    }

    /// The head of the segment at `path`. One that is damaged counts as absent.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, LogError> {
        let file = path.join(HEAD);
        match fs::read(&file) {
            Ok(bytes) => {
                stamp::refuse_newer(&file, "a head", &bytes, FORMAT)?;
                Ok(Self::from_bytes(&bytes))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(LogError::io("read", &file, &error)),
        }
    }

    /// Whether something of the segment at `path` was ever published, as far as its head tells: also
    /// a damaged one does.
    pub(super) fn is_there(path: &Path) -> Result<bool, LogError> {
        let file = path.join(HEAD);
        file.try_exists().map_err(|error| LogError::io("look for", &file, &error))
    }

    /// Writes it, durably.
    pub(super) fn write(&self, path: &Path) -> Result<(), LogError> {
        let file = path.join(HEAD);
        let bytes = self.to_bytes().map_err(|error| LogError::damaged(&file, error.to_string()))?;
        files::replace(&file, &bytes)
    }

    /// Format, checksum, bincode.
    fn to_bytes(&self) -> Result<Vec<u8>, bincode::Error> {
        let payload = bincode::DefaultOptions::new().serialize(self)?;
        let mut bytes = vec![FORMAT];
        bytes.extend_from_slice(&crc32fast::hash(&payload).to_le_bytes());
        bytes.extend_from_slice(&payload);
        Ok(bytes)
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (head, payload) = bytes.split_first_chunk::<5>()?;
        let [FORMAT, sum @ ..] = *head else { return None };
        if u32::from_le_bytes(sum) != crc32fast::hash(payload) {
            return None;
        }
        bincode::DefaultOptions::new().deserialize(payload).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_reads_back_and_a_changed_one_counts_as_absent() {
        let directory = tempfile::tempdir().expect("tempdir");
        assert_eq!(Head::read(directory.path()).expect("read"), None);
        let head = Head { first_number: 70_000, first_sequence: 1_234_567 };
        head.write(directory.path()).expect("write");
        assert_eq!(Head::read(directory.path()).expect("read"), Some(head));
        let file = directory.path().join(HEAD);
        let bytes = fs::read(&file).expect("read");
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 4;
            fs::write(&file, &changed).expect("write");
            assert_eq!(Head::read(directory.path()).expect("read"), None, "byte {at}");
            fs::write(&file, &bytes[..at]).expect("write");
            assert_eq!(Head::read(directory.path()).expect("read"), None, "cut at {at}");
        }
    }
}
