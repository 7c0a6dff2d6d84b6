//! The second copy of the cursors: a small text file that a person can read.
//!
//! It is written after the database was synced, so it never runs ahead of it; when it is nevertheless
//! ahead, the database has lost its end.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Cursor;
use crate::event::StreamId;
use crate::log::{LogError, replace_file};

const FILE: &str = "cursors.json";

/// All cursors as of one commit of the database.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Copy {
    pub(super) revision: u64,
    pub(super) cursors: Vec<Line>,
}

/// One cursor.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Line {
    pub(super) sink: String,
    pub(super) stream: StreamId,
    /// `generation.resourceVersion`.
    position: Option<String>,
    sequence: u64,
    updated_at: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct Sealed {
    format: u32,
    /// CRC-32 of the compact JSON of `content`.
    checksum: u32,
    content: Copy,
}

impl Line {
    pub(super) fn new(sink: &str, stream: &StreamId, cursor: &Cursor) -> Self {
        Self {
            sink: sink.to_owned(),
            stream: stream.clone(),
            position: cursor.position.as_ref().map(ToString::to_string),
            sequence: cursor.sequence,
            updated_at: cursor.updated_at,
        }
    }

    pub(super) fn cursor(&self) -> Option<Cursor> {
        let position = match &self.position {
            Some(text) => Some(text.parse().ok()?),
            None => None,
        };
        Some(Cursor { position, sequence: self.sequence, updated_at: self.updated_at })
    }
}

impl Copy {
    /// Writes it, durably.
    pub(super) fn write(self, directory: &Path) -> Result<(), LogError> {
        let checksum = checksum(&self);
        let sealed = Sealed { format: 1, checksum, content: self };
        let text = serde_json::to_string_pretty(&sealed).unwrap_or_default() + "\n";
        replace_file(&path(directory), text.as_bytes())
    }

    /// Reads it; `None` when it is absent, or not as it was written.
    pub(super) fn read(directory: &Path) -> Option<Self> {
        let text = std::fs::read(path(directory)).ok()?;
        let sealed: Sealed = serde_json::from_slice(&text).ok()?;
        (sealed.format == 1 && sealed.checksum == checksum(&sealed.content))
            .then_some(sealed.content)
    }
}

fn path(directory: &Path) -> PathBuf {
    directory.join(FILE)
}

fn checksum(copy: &Copy) -> u32 {
    crc32fast::hash(&serde_json::to_vec(copy).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_copy_is_not_believed() {
        let directory = tempfile::tempdir().expect("tempdir");
        let position = "0.17".parse().ok();
        let cursor = Cursor { position, sequence: 3, updated_at: Timestamp::UNIX_EPOCH };
        let line = Line::new("oncall", &StreamId::all_namespaces(), &cursor);
        Copy { revision: 9, cursors: vec![line] }.write(directory.path()).expect("write");
        let read = Copy::read(directory.path()).expect("as written");
        assert_eq!(read.cursors[0].cursor(), Some(cursor));
        let file = path(directory.path());
        let text = std::fs::read_to_string(&file).expect("read").replace("0.17", "0.18");
        std::fs::write(&file, text).expect("write");
        assert_eq!(Copy::read(directory.path()), None);
    }
}
