//! Where a record stands in its stream.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{InvalidResourceVersion, ResourceVersion};

/// Counts up when the API server's history was replaced (etcd restored, cluster recreated), because
/// its resourceVersions then start again below those already in the log.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(transparent)]
pub struct Generation(pub u32);

impl Generation {
    /// The generation that follows this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// The place of a record in its stream. Positions of one stream are totally ordered.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// Which history of the API server.
    pub generation: Generation,
    /// Which version within that history.
    pub resource_version: ResourceVersion,
}

impl Position {
    /// A position from its two parts.
    #[must_use]
    pub fn new(generation: Generation, resource_version: ResourceVersion) -> Self {
        Self { generation, resource_version }
    }

    /// The position right before this one in its generation, if there is one.
    #[must_use]
    pub fn previous(&self) -> Option<Self> {
        Some(Self::new(self.generation, self.resource_version.previous()?))
    }

    /// Bytes that sort as positions do: generation (big endian), number of digits, digits.
    #[must_use]
    pub fn to_key(&self) -> Vec<u8> {
        let digits = self.resource_version.as_str().as_bytes();
        let mut key = Vec::with_capacity(5 + digits.len());
        key.extend_from_slice(&self.generation.0.to_be_bytes());
        // `ResourceVersion::MAX_DIGITS` keeps the length within one byte.
        key.push(u8::try_from(digits.len()).unwrap_or(u8::MAX));
        key.extend_from_slice(digits);
        key
    }

    /// Reads a position from the front of `key` and returns what follows it.
    #[must_use]
    pub fn split_key(key: &[u8]) -> Option<(Self, &[u8])> {
        let (generation, rest) = key.split_first_chunk::<4>()?;
        let (length, rest) = rest.split_first()?;
        let (digits, rest) = rest.split_at_checked(usize::from(*length))?;
        let resource_version = std::str::from_utf8(digits).ok()?.parse().ok()?;
        Some((Self::new(Generation(u32::from_be_bytes(*generation)), resource_version), rest))
    }
}

impl fmt::Display for Position {
    /// `generation.resourceVersion`; also the name of a segment's directory.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.generation, self.resource_version)
    }
}

impl FromStr for Position {
    type Err = InvalidResourceVersion;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidResourceVersion(text.to_owned());
        let (generation, resource_version) = text.split_once('.').ok_or_else(invalid)?;
        // Only digits without zeros in front: one position has one name.
        let digits = generation;
        let generation: u32 = digits.parse().map_err(|_| invalid())?;
        if generation.to_string() != digits {
            return Err(invalid());
        }
        Ok(Self::new(Generation(generation), resource_version.parse()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_position() -> impl Strategy<Value = Position> {
        (0u32..4, "[1-9][0-9]{0,24}").prop_map(|(generation, digits)| {
            Position::new(Generation(generation), digits.parse().expect("digits"))
        })
    }

    #[test]
    fn a_position_has_one_name() {
        assert!("1.5".parse::<Position>().is_ok());
        for text in ["01.5", "+1.5", "1.05", "1.", ".5", "1.5.", " 1.5", "4294967296.5"] {
            assert!(text.parse::<Position>().is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn keys_sort_as_positions_do(left in any_position(), right in any_position()) {
            prop_assert_eq!(left.to_key().cmp(&right.to_key()), left.cmp(&right));
        }

        #[test]
        fn keys_and_text_read_back(position in any_position(), tail in any::<[u8; 2]>()) {
            let mut key = position.to_key();
            key.extend_from_slice(&tail);
            prop_assert_eq!(Position::split_key(&key), Some((position.clone(), &tail[..])));
            prop_assert_eq!(position.to_string().parse::<Position>(), Ok(position));
        }

        #[test]
        fn no_bytes_make_split_key_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _read = Position::split_key(&bytes);
        }
    }
}
