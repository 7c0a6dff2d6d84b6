//! How values of the state database are written: their format in front, then bincode.

use std::path::Path;

use bincode::Options;
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::state::DIRECTORY;
use crate::log::LogError;

/// Format of every stored value.
const FORMAT: u8 = 1;

/// A value with its format in front.
pub(super) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, LogError> {
    let mut bytes = vec![FORMAT];
    bincode::DefaultOptions::new()
        .serialize_into(&mut bytes, value)
        .map_err(|error| LogError::damaged(DIRECTORY.as_ref(), error.to_string()))?;
    Ok(bytes)
}

/// Reads a value of the database at `path`; `what` is what it should be.
pub(super) fn decode<T: DeserializeOwned>(
    path: &Path,
    what: &'static str,
    bytes: &[u8],
) -> Result<T, LogError> {
    let damaged = || LogError::damaged(path, format!("{what} cannot be decoded"));
    match bytes.split_first() {
        Some((&FORMAT, payload)) => {
            bincode::DefaultOptions::new().deserialize(payload).map_err(|_| damaged())
        }
        // sled has checked its checksum over these bytes: it was written like this.
        Some((&newer, _)) if newer > FORMAT => {
            Err(LogError::newer_entry(path, what, newer, FORMAT))
        }
        _ => Err(damaged()),
    }
}

/// A stored time.
pub(super) fn time(milliseconds: i64) -> Option<Timestamp> {
    Timestamp::from_millisecond(milliseconds).ok()
}
