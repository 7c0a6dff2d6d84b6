//! Keys of the state database.
//!
//! A key is a tag, then names with their length in front, so that no name can be taken for another.
//! Tags are in the order in which one commit writes: cursors last, after all that they passed.

use crate::event::{Position, StreamId};

/// What sinks have lost: sink, stream.
pub(super) const LOSS: u8 = 0;
/// Dead letters: sink, stream, position, part.
pub(super) const LETTER: u8 = 1;
/// Gaps: stream, position of the end.
pub(super) const GAP: u8 = 2;
/// How far a stream was: stream.
pub(super) const MARK: u8 = 3;
/// Cursors: sink, stream.
pub(super) const CURSOR: u8 = 4;
/// Number of the last commit.
pub(super) const REVISION: [u8; 1] = [5];
/// How much of a quota was used: quota.
pub(super) const USAGE: u8 = 6;
/// What is done beyond a cursor: sink, stream.
pub(super) const AHEAD: u8 = 7;
/// Groups: sink, place.
pub(super) const GROUP: u8 = 8;

/// Sinks that are paused: sink.
pub(super) const PAUSED: u8 = 9;
/// What operators have changed: number.
pub(super) const AUDIT: u8 = 10;
/// Replays: number.
pub(super) const REPLAY: u8 = 12;

/// Builds a key.
#[derive(Debug, Clone)]
pub(super) struct Key(Vec<u8>);

impl Key {
    pub(super) fn new(tag: u8) -> Self {
        Self(vec![tag])
    }

    pub(super) fn name(mut self, name: &str) -> Self {
        // Names of sinks are checked to be short; a cut length would only make a key collide with itself.
        let length = u16::try_from(name.len()).unwrap_or(u16::MAX);
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(name.as_bytes());
        self
    }

    pub(super) fn position(mut self, position: &Position) -> Self {
        self.0.extend_from_slice(&position.to_key());
        self
    }

    pub(super) fn part(mut self, part: u16) -> Self {
        self.0.extend_from_slice(&part.to_be_bytes());
        self
    }

    pub(super) fn number(mut self, number: u64) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    pub(super) fn bytes(self) -> Vec<u8> {
        self.0
    }
}

/// Reads names and positions from a key again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parts<'a>(&'a [u8]);

impl<'a> Parts<'a> {
    /// The key behind its tag.
    pub(super) fn of(key: &'a [u8]) -> Option<Self> {
        key.split_first().map(|(_, rest)| Self(rest))
    }

    pub(super) fn name(&mut self) -> Option<&'a str> {
        let (length, rest) = self.0.split_first_chunk::<2>()?;
        let (name, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        self.0 = rest;
        std::str::from_utf8(name).ok()
    }

    pub(super) fn stream(&mut self) -> Option<StreamId> {
        self.name()?.parse().ok()
    }

    pub(super) fn position(&mut self) -> Option<Position> {
        let (position, rest) = Position::split_key(self.0)?;
        self.0 = rest;
        Some(position)
    }

    pub(super) fn number(&mut self) -> Option<u64> {
        let (number, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some(u64::from_be_bytes(*number))
    }

    pub(super) fn part(&mut self) -> Option<u16> {
        let (part, rest) = self.0.split_first_chunk::<2>()?;
        self.0 = rest;
        Some(u16::from_be_bytes(*part))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_read_back() {
        let position: Position = "1.42".parse().expect("position");
        let key =
            Key::new(LETTER).name("a").name("all-namespaces").position(&position).part(7).bytes();
        let mut parts = Parts::of(&key).expect("a tag");
        assert_eq!(parts.name(), Some("a"));
        assert_eq!(parts.stream(), Some(StreamId::all_namespaces()));
        assert_eq!(parts.position(), Some(position));
        assert_eq!(parts.part(), Some(7));
        assert_eq!(parts.part(), None);
    }

    #[test]
    fn one_name_is_never_the_beginning_of_another() {
        let long = Key::new(CURSOR).name("webhook-2").bytes();
        let short = Key::new(CURSOR).name("webhook").bytes();
        assert!(!long.starts_with(&short));
    }
}
