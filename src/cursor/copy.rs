//! The second copy of the cursors: a small text file that a person can read.
//!
//! It is written after the database was synced, so it never runs ahead of it; when it is nevertheless
//! ahead, the database has lost its end.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Cursor;
use crate::event::StreamId;
use crate::log::{LogError, replace_file};

pub(super) const FILE: &str = "cursors.json";

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
struct Sealed<T> {
    format: u8,
    /// CRC-32 of the compact JSON of `content`. In every later format, of the format as a decimal
    /// number and that JSON: a changed digit is not taken for a newer format.
    checksum: u32,
    content: T,
}

const FORMAT: u8 = 1;

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
        let sealed = Sealed { format: FORMAT, checksum, content: self };
        let text = serde_json::to_string_pretty(&sealed).unwrap_or_default() + "\n";
        replace_file(&path(directory), text.as_bytes())
    }

    /// Reads it; `None` when it is absent, or not as it was written. One that a newer version has
    /// written is refused.
    pub(super) fn read(directory: &Path) -> Result<Option<Self>, LogError> {
        let path = path(directory);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(LogError::io("read", &path, &error)),
        };
        if let Some(found) = newer(&text) {
            return Err(LogError::newer_entry(&path, "cursors", found, FORMAT));
        }
        let sealed: Option<Sealed<Self>> = serde_json::from_slice(&text).ok();
        Ok(sealed
            .filter(|sealed| {
                sealed.format == FORMAT && sealed.checksum == checksum(&sealed.content)
            })
            .map(|sealed| sealed.content))
    }
}

/// The format of an intact copy that a newer version has written.
fn newer(text: &[u8]) -> Option<u8> {
    let sealed: Sealed<serde_json::Value> = serde_json::from_slice(text).ok()?;
    let covered = format!("{}{}", sealed.format, sealed.content);
    let intact = sealed.checksum == crc32fast::hash(covered.as_bytes());
    (intact && sealed.format > FORMAT).then_some(sealed.format)
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
        let read = Copy::read(directory.path()).expect("readable").expect("as written");
        assert_eq!(read.cursors[0].cursor(), Some(cursor));
        let file = path(directory.path());
        let text = std::fs::read_to_string(&file).expect("read");
        for (from, to) in [("0.17", "0.18"), ("\"format\": 1", "\"format\": 3")] {
            let changed = text.replace(from, to);
            assert_ne!(changed, text);
            std::fs::write(&file, changed).expect("write");
            assert_eq!(Copy::read(directory.path()).expect("readable"), None, "{to}");
        }
    }

    #[test]
    fn a_copy_of_a_newer_format_is_refused() {
        let directory = tempfile::tempdir().expect("tempdir");
        let checksum = crc32fast::hash(br#"2{"revision":7,"places":[]}"#);
        let text = serde_json::json!({
            "format": 2, "checksum": checksum, "content": {"revision": 7, "places": []}
        });
        std::fs::write(path(directory.path()), text.to_string()).expect("write");
        let error = Copy::read(directory.path()).expect_err("newer");
        assert!(error.to_string().contains("cursors of format 2"), "{error}");
        assert!(error.to_string().contains("run the newer version again"), "{error}");
    }

    #[test]
    fn a_copy_that_cannot_be_read_is_not_an_absent_one() {
        let directory = tempfile::tempdir().expect("tempdir");
        assert_eq!(Copy::read(directory.path()).expect("absent"), None);
        std::fs::create_dir(path(directory.path())).expect("in its place");
        assert!(Copy::read(directory.path()).is_err());
    }
}
