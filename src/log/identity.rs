//! `relay.json`: the format of a data directory and the cluster it belongs to.
//!
//! Invariants:
//! 1. `format` is never below that of anything in the directory: a program that does not know it has
//!    to leave all of it alone, and that is all such a program looks at.
//! 2. While a migration runs, or after it was interrupted, `migratingFrom` is the format from which
//!    everything can still be brought to `format`.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::stream::STREAMS;
use super::{LogError, files};

/// The format this program writes. `migrations/` has the steps that lead to it.
pub const FORMAT: u32 = 2;

pub(super) const IDENTITY: &str = "relay.json";

/// The first format, and the one from which all steps can be run: each finds out what is left to do.
const OLDEST: u32 = 1;

/// What `relay.json` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Identity {
    pub(super) format: u32,
    /// The format that a migration started from, until it has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) migrating_from: Option<u32>,
    /// uid of the namespace `kube-system`; absent until the API server has told it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cluster_uid: Option<String>,
}

impl Identity {
    /// Reads it; `None` when it is absent.
    pub(super) fn read(directory: &Path) -> Result<Option<Self>, LogError> {
        let file = directory.join(IDENTITY);
        let text = match std::fs::read(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(LogError::io("read", &file, &error)),
        };
        let unreadable = |why: &str| LogError::Directory {
            path: directory.to_owned(),
            reason: format!(
                "{IDENTITY} cannot be read ({why}); restore it, or, if the directory is a relay's, \
                 write {{\"format\":{OLDEST}}} into it"
            ),
        };
        let identity: Self =
            serde_json::from_slice(&text).map_err(|error| unreadable(&error.to_string()))?;
        if identity.stored() < OLDEST {
            return Err(unreadable("there is no such format"));
        }
        Ok(Some(identity))
    }

    /// Writes it into a directory that has none. A directory that has data all the same is brought to
    /// this format from the oldest.
    pub(super) fn create(directory: &Path) -> Result<Self, LogError> {
        let format = if directory.join(STREAMS).exists() { OLDEST } else { FORMAT };
        let identity = Self { format, migrating_from: None, cluster_uid: None };
        identity.write(directory)?;
        Ok(identity)
    }

    /// Writes it, durably.
    pub(super) fn write(&self, directory: &Path) -> Result<(), LogError> {
        let text = serde_json::json!(self).to_string() + "\n";
        files::replace(&directory.join(IDENTITY), text.as_bytes())
    }

    /// The format that everything in the directory has at least.
    pub(super) fn stored(&self) -> u32 {
        self.migrating_from.unwrap_or(self.format).min(self.format)
    }

    /// Refuses a directory of a format that this program does not know.
    pub(super) fn refuse_newer(&self, directory: &Path) -> Result<(), LogError> {
        if self.format <= FORMAT {
            return Ok(());
        }
        Err(LogError::Newer { path: directory.to_owned(), found: self.format, known: FORMAT })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<Identity>, LogError> {
        let directory = tempfile::tempdir().expect("tempdir");
        std::fs::write(directory.path().join(IDENTITY), text).expect("write");
        Identity::read(directory.path())
    }

    #[test]
    fn an_identity_of_format_1_reads_back() {
        let identity = read("{\"format\":1,\"clusterUid\":\"6f1c\"}\n").expect("readable");
        let expected =
            Identity { format: 1, migrating_from: None, cluster_uid: Some("6f1c".into()) };
        assert_eq!(identity, Some(expected));
        assert_eq!(read("{\"format\":1}\n").expect("readable").expect("present").cluster_uid, None);
    }

    #[test]
    fn a_migration_that_was_interrupted_begins_again_where_it_began() {
        let identity = read("{\"format\":2,\"migratingFrom\":1}").expect("readable");
        assert_eq!(identity.expect("present").stored(), 1);
    }

    #[test]
    fn what_is_no_identity_is_refused_with_a_remedy() {
        for text in ["", "{}", "{\"format\":0}", "{\"format\":2,\"migratingFrom\":0}", "[1]"] {
            let error = read(text).expect_err(text).to_string();
            assert!(error.contains("write {\"format\":1} into it"), "{error}");
        }
    }

    #[test]
    fn data_without_an_identity_is_taken_for_the_oldest_format() {
        let directory = tempfile::tempdir().expect("tempdir");
        assert_eq!(Identity::create(directory.path()).expect("new").format, FORMAT);
        std::fs::create_dir(directory.path().join(STREAMS)).expect("create");
        assert_eq!(Identity::create(directory.path()).expect("old").format, OLDEST);
    }
}
