//! Looking for damage in both copies of the state.
//!
//! Invariant: what nobody has open is not changed.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::channel;

use super::copy::{self, Copy};
use super::furthest::further;
use super::state::{self, Memory};
use super::writer::Request;
use super::{State, letters};
use crate::event::{Position, StreamId};
use crate::log::{
    Database, DirectoryAtRest, LogError, SEGMENT_TUNING, Scratch, VerifyError, settings_are_intact,
};

/// One of the two copies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyFindings {
    /// Its name in the data directory.
    pub name: &'static str,
    /// What is wrong with it, and what is done about it or is to be done.
    pub damage: Option<(String, &'static str)>,
}

/// What was found in the state.
#[derive(Debug)]
pub struct StateFindings {
    /// The database and the second copy of the cursors.
    pub copies: [CopyFindings; 2],
    /// How far each stream is known to have been.
    pub reached: BTreeMap<StreamId, Position>,
}

const DATABASE_LOST: &str = "left as it is; a relay that starts here moves it aside and takes cursors from \
                             cursors.json; dead letters and losses stay in the damaged one";
const DATABASE_FAILS: &str =
    "restart the relay, which moves it aside and takes cursors from their second copy";
const COPY_RETURNS: &str = "nothing is missing; it is written again with the next change";
const ALL_LOST: &str =
    "both copies are lost: restore them, or every sink receives again all that the log holds";
const END_LOST: &str = "a relay that starts here takes cursors from cursors.json";
const SETTINGS: &str = "the settings of the database (conf) are missing or damaged";

/// Looks at the state of a data directory that nobody uses.
pub fn state_at_rest(
    directory: &DirectoryAtRest,
    scratch: &Scratch,
) -> Result<StateFindings, VerifyError> {
    let path = directory.path().join(state::DIRECTORY);
    let is_there = path.is_dir();
    let read = |copy: &Path| read_all(&Database::open_existing(copy, SEGMENT_TUNING)?);
    let looked = if is_there {
        scratch.look(&path, read)?
    } else if directory.path().join(copy::FILE).exists() {
        Err("it is missing".to_owned())
    } else {
        Ok(Memory::default())
    };
    let second = read_copy(directory.path())?;
    let memory = looked.as_ref().ok();
    let copy = second.as_ref().ok().and_then(Option::as_ref);
    let ahead = copy.is_some_and(|copy| memory.is_some_and(|found| copy.revision > found.revision));
    let lost = if copy.is_some() { DATABASE_LOST } else { ALL_LOST };
    let database = match &looked {
        Err(reason) => Some((reason.clone(), lost)),
        Ok(_) if ahead => Some(("it has lost its last changes".to_owned(), END_LOST)),
        Ok(_) if is_there && !settings_are_intact(&path)? => {
            Some((SETTINGS.to_owned(), "nothing is missing; it can be read all the same"))
        }
        Ok(_) => None,
    };
    let mut reached = looked.as_ref().map(Memory::furthest).unwrap_or_default();
    for line in copy.iter().flat_map(|copy| &copy.cursors) {
        if let Some(position) = line.cursor().and_then(|cursor| cursor.position) {
            further(&mut reached, &line.stream, &position);
        }
    }
    // The first commit writes the database first.
    let expected = memory.is_none_or(|memory| memory.revision > 1);
    Ok(StateFindings { copies: [of_database(database), of_copy(second, expected)], reached })
}

impl State {
    /// Looks at both copies while they are in use. Blocking.
    pub fn verify(&self) -> Result<[CopyFindings; 2], LogError> {
        let (answer, answered) = channel();
        self.0.requests.send(Request::Verify { answer }).map_err(|_| self.failure())?;
        let database = match answered.recv().map_err(|_| self.failure())? {
            Ok(()) => None,
            Err(LogError::Damaged { reason, .. }) => Some((reason, DATABASE_FAILS)),
            Err(error) => return Err(error),
        };
        // It may be about to be written for the first time.
        let second = read_copy(self.0.directory.path())?;
        Ok([of_database(database), of_copy(second, false)])
    }
}

/// Reads everything in a database.
pub(super) fn read_all(database: &Database) -> Result<Memory, LogError> {
    let memory = Memory::load(database)?;
    for sink in memory.letters.keys() {
        letters::each(database, sink)?;
    }
    Ok(memory)
}

/// The second copy: absent, or what is wrong with it.
fn read_copy(directory: &Path) -> Result<Result<Option<Copy>, String>, LogError> {
    Ok(match Copy::read(directory) {
        Ok(None) if directory.join(copy::FILE).exists() => Err("it is damaged".to_owned()),
        Err(error @ LogError::NewerEntry { .. }) => return Err(error),
        Err(error) => Err(error.to_string()),
        Ok(copy) => Ok(copy),
    })
}

fn of_database(damage: Option<(String, &'static str)>) -> CopyFindings {
    CopyFindings { name: state::DIRECTORY, damage }
}

fn of_copy(second: Result<Option<Copy>, String>, expected: bool) -> CopyFindings {
    let reason = match second {
        Ok(None) if expected => Some("it is missing".to_owned()),
        Ok(_) => None,
        Err(reason) => Some(reason),
    };
    CopyFindings { name: copy::FILE, damage: reason.map(|reason| (reason, COPY_RETURNS)) }
}
