//! The block: up to 50 records as one value of the database. `docs/on-disk-format.md` describes it.
//!
//! Invariants:
//! 1. No stored value is longer than [`VALUE_LIMIT`]: above it sled moves values to files it never
//!    syncs. A block that is still too long with a single record is stored in parts.
//! 2. A block is used only when the checksum over its key and every byte of it is right.
//! 3. Blocks of a stream are numbered without holes, and so are records.
//!
//! ```text
//! key    position of the first record (or of the frontier, in an empty block) · part (u16, big endian)
//! value  format (1) · checksum (CRC-32 of key and rest) · number of parts (u16) · payload of this part
//! payload of all parts together
//!        bincode Preface · zstd(bincode of each RecordHead) · zstd(bodies, one after another)
//! ```

use std::borrow::Cow;
use std::collections::VecDeque;

use bincode::Options;
use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::NewRecord;
use super::compression::{self, Effort};
use super::outline::Outline;
use crate::event::{Generation, Header, Position, Record, StreamId};

/// Most records in a block.
pub(super) const RECORDS_LIMIT: usize = 50;
/// Longest stored value, in bytes: an eighteenth of a quarter of sled's segment. A leaf of sled holds
/// up to 17 values and must stay below that quarter.
pub(crate) const VALUE_LIMIT: usize = SLED_SEGMENT / 4 / 18;
/// sled's segment size in the databases of the log.
pub(super) const SLED_SEGMENT: usize = 1 << 20;
/// Bodies of a block add up to about this many bytes, unless a single one is larger.
pub(super) const BODIES_TARGET: usize = 96 << 10;

/// The format of blocks.
pub(super) const FORMAT: u8 = 1;
const HEAD: usize = 7;
const PART_LIMIT: usize = VALUE_LIMIT - HEAD;
/// Larger than any event: the API server refuses objects above 1.5 MiB, times the most a block holds.
const DECODED_LIMIT: usize = 256 << 20;
/// Larger than any preface: numbers, and a version of 255 digits.
const PREFACE_LIMIT: u64 = 512;

/// A decoded block.
#[derive(Debug, PartialEq)]
pub(crate) struct Block {
    /// Running number in its stream, from 0.
    pub(super) number: u64,
    /// Records of the stream up to its end.
    pub(super) sequence: u64,
    /// The frontier moves here with this block.
    pub(super) end: Position,
    /// When it was written.
    pub(super) written_at: Timestamp,
    /// Its records, in order.
    pub(super) records: Vec<Record>,
}

/// Values of one block, ready to be inserted under their keys.
#[derive(Debug)]
pub(super) struct Encoded {
    /// Key and value of each part.
    pub(super) pairs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// The first thing in a payload.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Preface {
    pub(super) number: u64,
    pub(super) sequence: u64,
    pub(super) generation: u32,
    /// resourceVersion of the frontier after this block.
    pub(super) end: String,
    /// Milliseconds since 1970.
    pub(super) written_at: i64,
    pub(super) records: u32,
    pub(super) heads_length: u32,
    pub(super) heads_compressed: u32,
    pub(super) bodies_length: u32,
}

/// What is stored of a record beside its body.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RecordHead<'a> {
    resource_version: &'a str,
    /// Milliseconds since 1970.
    received_at: i64,
    header: Cow<'a, Header>,
    pub(super) body_length: u32,
}

/// Why a block cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum BlockError {
    /// A block of a later version.
    #[error("block of unknown format {0}")]
    Format(u8),
    /// Bytes have changed since they were written.
    #[error("checksum does not match")]
    Checksum,
    /// The bytes are intact but not a block.
    #[error("not a block: {0}")]
    Malformed(&'static str),
}

impl Block {
    /// A block of `records`, which are consecutive and of `end`'s generation.
    pub(super) fn new(
        stream: &StreamId,
        number: u64,
        sequence_before: u64,
        end: Position,
        written_at: Timestamp,
        records: Vec<NewRecord>,
    ) -> Self {
        let records: Vec<Record> = records
            .into_iter()
            .map(|record| Record {
                stream: stream.clone(),
                position: record.position,
                received_at: record.received_at,
                header: record.header,
                body: record.body,
            })
            .collect();
        let sequence = sequence_before + records.len() as u64;
        Self { number, sequence, end, written_at, records }
    }

    /// Its key: the position of its first record, or of its end when it has none.
    pub(super) fn first(&self) -> &Position {
        self.records.first().map_or(&self.end, |record| &record.position)
    }

    /// Bytes it takes in memory, roughly.
    pub(super) fn weight(&self) -> usize {
        const PER_RECORD: usize = 400;
        self.records.iter().map(|record| record.body.len() + PER_RECORD).sum::<usize>() + PER_RECORD
    }

    /// Its records, without their stream.
    pub(super) fn into_new_records(self) -> VecDeque<NewRecord> {
        let of = |record: Record| NewRecord {
            position: record.position,
            received_at: record.received_at,
            header: record.header,
            body: record.body,
        };
        self.records.into_iter().map(of).collect()
    }

    /// Encodes it, in as many parts as it takes.
    pub(super) fn encode(&self) -> Encoded {
        let payload = self.to_payload();
        let parts = payload.len().div_ceil(PART_LIMIT).max(1);
        let count = u16::try_from(parts).unwrap_or(u16::MAX);
        let pairs = (0..count)
            .zip(payload.chunks(PART_LIMIT))
            .map(|(part, chunk)| {
                let key = part_key(self.first(), part);
                let mut value = Vec::with_capacity(HEAD + chunk.len());
                value.push(FORMAT);
                value.extend_from_slice(&[0; 4]);
                value.extend_from_slice(&count.to_le_bytes());
                value.extend_from_slice(chunk);
                let sum = checksum(&key, &value);
                value[1..5].copy_from_slice(&sum.to_le_bytes());
                (key, value)
            })
            .collect();
        Encoded { pairs }
    }

    /// What its parts hold together.
    pub(super) fn to_payload(&self) -> Vec<u8> {
        let heads: Vec<RecordHead<'_>> = self.records.iter().map(RecordHead::of).collect();
        let heads = encode(&heads);
        let (heads, heads_length) =
            compression::compress(Effort::Little, [heads.as_slice()].into_iter());
        let bodies = self.records.iter().map(|record| record.body.as_ref());
        let (bodies, bodies_length) = compression::compress(Effort::Usual, bodies);
        let mut payload = encode(&Preface {
            number: self.number,
            sequence: self.sequence,
            generation: self.end.generation.0,
            end: self.end.resource_version.to_string(),
            written_at: self.written_at.as_millisecond(),
            records: length(self.records.len()),
            heads_length: length(heads_length),
            heads_compressed: length(heads.len()),
            bodies_length: length(bodies_length),
        });
        payload.extend_from_slice(&heads);
        payload.extend_from_slice(&bodies);
        payload
    }

    /// Decodes the joined payload of all parts.
    pub(super) fn from_payload(stream: &StreamId, payload: &[u8]) -> Result<Self, BlockError> {
        Outline::from_payload(stream, payload)?.complete()
    }

    /// Its records that lie above a position.
    pub(super) fn above(&self, after: Option<&Position>) -> &[Record] {
        &self.records[self.count_through(after)..]
    }

    /// How many of its records lie at or below a position.
    pub(super) fn count_through(&self, after: Option<&Position>) -> usize {
        after.map_or(0, |after| self.records.partition_point(|record| record.position <= *after))
    }
}

impl Preface {
    /// Decodes it from the front of `bytes` and moves them past it.
    pub(super) fn from_front(bytes: &mut &[u8]) -> Result<Self, BlockError> {
        // bincode makes room for a text before it looks whether that is there.
        let few = bincode::DefaultOptions::new().with_limit(PREFACE_LIMIT);
        few.deserialize_from(bytes).map_err(|_| UNDECODABLE)
    }
}

impl<'a> RecordHead<'a> {
    fn of(record: &'a Record) -> Self {
        Self {
            resource_version: record.position.resource_version.as_str(),
            received_at: record.received_at.as_millisecond(),
            header: Cow::Borrowed(&record.header),
            body_length: length(record.body.len()),
        }
    }

    /// The record, without its body.
    pub(super) fn into_bare_record(
        self,
        stream: &StreamId,
        generation: Generation,
    ) -> Result<Record, BlockError> {
        let version =
            self.resource_version.parse().map_err(|_| BlockError::Malformed("position"))?;
        Ok(Record {
            stream: stream.clone(),
            position: Position::new(generation, version),
            received_at: time(self.received_at)?,
            header: self.header.into_owned(),
            body: Bytes::new(),
        })
    }
}

/// A single record, for keeping it outside the log.
pub(crate) fn encode_record(record: &Record) -> Vec<u8> {
    let block = Block {
        number: 0,
        sequence: 1,
        end: record.position.clone(),
        written_at: record.received_at,
        records: vec![record.clone()],
    };
    block.to_payload()
}

/// Reads a record kept by [`encode_record`].
pub(crate) fn decode_record(stream: &StreamId, bytes: &[u8]) -> Option<Record> {
    Block::from_payload(stream, bytes).ok()?.records.pop()
}

/// Joins the parts of a block and decodes its outline: `key` and `value` are its first pair, `next`
/// reads the value of another key.
pub(super) fn read<E: From<BlockError>>(
    stream: &StreamId,
    key: &[u8],
    value: &[u8],
    mut next: impl FnMut(&[u8]) -> Result<Option<Vec<u8>>, E>,
) -> Result<Outline, E> {
    let (position, 0) = split_part_key(key).ok_or(BlockError::Malformed("key"))? else {
        return Err(BlockError::Malformed("first part is missing").into());
    };
    let (parts, first) = open_part(key, value)?;
    if parts == 1 {
        return Ok(Outline::from_payload(stream, first)?);
    }
    let mut payload = first.to_vec();
    for part in 1..parts {
        let key = part_key(&position, part);
        let value = next(&key)?.ok_or(BlockError::Malformed("a part is missing"))?;
        let (same_parts, chunk) = open_part(&key, &value)?;
        if same_parts != parts {
            return Err(BlockError::Malformed("parts of different blocks").into());
        }
        payload.extend_from_slice(chunk);
    }
    Ok(Outline::from_payload(stream, &payload)?)
}

/// The key of a part.
pub(super) fn part_key(first: &Position, part: u16) -> Vec<u8> {
    let mut key = first.to_key();
    key.extend_from_slice(&part.to_be_bytes());
    key
}

/// Position and part number of a key.
pub(super) fn split_part_key(key: &[u8]) -> Option<(Position, u16)> {
    let (position, part) = Position::split_key(key)?;
    Some((position, u16::from_be_bytes(part.try_into().ok()?)))
}

fn open_part<'a>(key: &[u8], value: &'a [u8]) -> Result<(u16, &'a [u8]), BlockError> {
    let (head, payload) =
        value.split_first_chunk::<HEAD>().ok_or(BlockError::Malformed("value is too short"))?;
    let [format, sum @ .., low, high] = *head;
    if u32::from_le_bytes(sum) != checksum(key, value) {
        return Err(BlockError::Checksum);
    }
    // Every format begins like this one, so only an intact block is taken for a newer one.
    match format {
        FORMAT => {}
        0 => return Err(BlockError::Malformed("format")),
        newer => return Err(BlockError::Format(newer)),
    }
    Ok((u16::from_le_bytes([low, high]), payload))
}

/// CRC-32 (IEEE) over key, format, number of parts and payload.
fn checksum(key: &[u8], value: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(key);
    sum.update(&value[..1]);
    sum.update(&value[5..]);
    sum.finalize()
}

fn codec() -> impl Options {
    bincode::DefaultOptions::new()
}

/// Structs of numbers and text always serialise.
#[allow(clippy::expect_used)]
fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec().serialize_into(&mut bytes, value).expect("plain values");
    bytes
}

/// Decodes the value that `bytes` hold.
pub(super) fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, BlockError> {
    codec().with_limit(DECODED_LIMIT as u64).deserialize(bytes).map_err(|_| UNDECODABLE)
}

const UNDECODABLE: BlockError = BlockError::Malformed("cannot be decoded");

pub(super) fn decompress(bytes: &[u8], length: u32) -> Result<Vec<u8>, BlockError> {
    if length as usize > DECODED_LIMIT {
        return Err(BlockError::Malformed("length"));
    }
    let plain = compression::decompress(bytes, length as usize)
        .ok_or(BlockError::Malformed("cannot be decompressed"))?;
    if plain.len() == length as usize { Ok(plain) } else { Err(BlockError::Malformed("length")) }
}

/// Lengths inside a block are far below 4 GiB; see [`DECODED_LIMIT`].
fn length(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

pub(super) fn time(milliseconds: i64) -> Result<Timestamp, BlockError> {
    Timestamp::from_millisecond(milliseconds).map_err(|_| BlockError::Malformed("time"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::group::block_length;
    use proptest::prelude::*;

    fn stream() -> StreamId {
        StreamId::all_namespaces()
    }

    fn record(version: u64, body: Vec<u8>) -> NewRecord {
        NewRecord {
            position: Position::new(Generation(1), version.to_string().parse().expect("version")),
            received_at: Timestamp::from_millisecond(1_700_000_000_000).expect("time"),
            header: Header { reason: format!("Reason{version}"), ..Header::default() },
            body: body.into(),
        }
    }

    fn block(bodies: Vec<Vec<u8>>) -> Block {
        let records: Vec<_> =
            (10..).zip(bodies).map(|(version, body)| record(version, body)).collect();
        let end = Position::new(Generation(1), "99999".parse().expect("version"));
        let written_at = Timestamp::from_millisecond(1_700_000_000_123).expect("time");
        Block::new(&stream(), 3, 40, end, written_at, records)
    }

    fn decode(pairs: &[(Vec<u8>, Vec<u8>)]) -> Result<Block, BlockError> {
        let (key, value) = pairs.first().ok_or(BlockError::Malformed("nothing"))?;
        let outline = read(&stream(), key, value, |wanted| {
            Ok(pairs.iter().find(|(key, _)| key == wanted).map(|(_, value)| value.clone()))
        });
        outline?.complete()
    }

    fn incompressible(length: usize, seed: u64) -> Vec<u8> {
        let mut state = seed | 1;
        let byte = |_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        };
        (0..length).map(byte).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn reads_back_what_was_written(
            bodies in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..3000), 0..50),
        ) {
            let block = block(bodies);
            let encoded = block.encode();
            prop_assert!(encoded.pairs.iter().all(|(_, value)| value.len() <= VALUE_LIMIT));
            prop_assert_eq!(decode(&encoded.pairs), Ok(block));
        }

        #[test]
        fn every_changed_byte_is_noticed(length in 0usize..200, at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let mut pairs = block(vec![incompressible(length, 7)]).encode().pairs;
            let (key, value) = &mut pairs[0];
            let place = at.index(key.len() + value.len());
            let byte = if place < key.len() { &mut key[place] } else { &mut value[place - key.len()] };
            *byte ^= 1 << bit;
            prop_assert!(decode(&pairs).is_err());
        }

        #[test]
        fn no_bytes_make_it_panic(key in proptest::collection::vec(any::<u8>(), 0..20),
                                  value in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(decode(&[(key, value)]).is_err());
        }

        #[test]
        fn intact_bytes_that_are_no_block_are_refused(payload in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Block::from_payload(&stream(), &payload).is_err());
        }
    }

    #[test]
    fn a_record_above_the_limit_is_stored_in_parts() {
        let block = block(vec![incompressible(1 << 20, 9)]);
        let mut encoded = block.encode();
        assert!(encoded.pairs.len() > 70);
        assert!(encoded.pairs.iter().all(|(_, value)| value.len() <= VALUE_LIMIT));
        assert!(encoded.pairs.is_sorted());
        assert_eq!(decode(&encoded.pairs), Ok(block));
        encoded.pairs.remove(5);
        assert_eq!(decode(&encoded.pairs), Err(BlockError::Malformed("a part is missing")));
    }

    #[test]
    fn a_block_without_records_carries_a_position() {
        let empty = block(vec![]);
        assert_eq!(empty.first(), &empty.end);
        assert_eq!(decode(&empty.encode().pairs), Ok(empty));
    }

    #[test]
    fn blocks_end_with_their_generation_and_at_their_limits() {
        let mut records: Vec<_> = (1..200).map(|version| record(version, vec![0; 10])).collect();
        assert_eq!(block_length(&records), RECORDS_LIMIT);
        records[7].position.generation = Generation(2);
        assert_eq!(block_length(&records), 7);
        assert_eq!(block_length(&[record(1, vec![0; BODIES_TARGET * 2])]), 1);
        assert_eq!(block_length(&[]), 0);
    }
}
