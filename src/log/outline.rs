//! The outline of a block: everything but its bodies, which stay compressed until somebody wants one.
//!
//! Invariant: what an outline says of a block is what the whole block says, so that a reader may pass
//! over a block that it does not want without decompressing the bodies, which are nearly all of it.

use bytes::Bytes;

use super::block::{Block, BlockError, Preface, RecordHead, decode, decompress, time};
use crate::event::{Generation, Position, Record, StreamId};

/// A block whose bodies are not decompressed yet.
#[derive(Debug)]
pub(super) struct Outline {
    /// The block; the bodies of its records are empty.
    bare: Block,
    body_lengths: Vec<u32>,
    bodies_length: u32,
    bodies: Vec<u8>,
}

impl Outline {
    /// Decodes the joined payload of all parts, but for the bodies.
    pub(super) fn from_payload(stream: &StreamId, payload: &[u8]) -> Result<Self, BlockError> {
        let mut rest = payload;
        let preface = Preface::from_front(&mut rest)?;
        let (heads, bodies) = rest
            .split_at_checked(preface.heads_compressed as usize)
            .ok_or(BlockError::Malformed("heads are cut"))?;
        let heads = decompress(heads, preface.heads_length)?;
        let heads: Vec<RecordHead<'_>> = decode(&heads)?;
        if heads.len() != preface.records as usize {
            return Err(BlockError::Malformed("number of records"));
        }
        let generation = Generation(preface.generation);
        let body_lengths = heads.iter().map(|head| head.body_length).collect();
        let records = heads
            .into_iter()
            .map(|head| head.into_bare_record(stream, generation))
            .collect::<Result<_, _>>()?;
        let end = preface.end.parse().map_err(|_| BlockError::Malformed("position"))?;
        let bare = Block {
            number: preface.number,
            sequence: preface.sequence,
            end: Position::new(generation, end),
            written_at: time(preface.written_at)?,
            records,
        };
        let bodies = bodies.to_vec();
        Ok(Self { bare, body_lengths, bodies_length: preface.bodies_length, bodies })
    }

    /// The block, whose records have empty bodies.
    pub(super) fn bare(&self) -> &Block {
        &self.bare
    }

    /// Its records that lie above a position; their bodies are empty.
    pub(super) fn above(&self, after: Option<&Position>) -> &[Record] {
        self.bare.above(after)
    }

    /// The whole block.
    pub(super) fn complete(self) -> Result<Block, BlockError> {
        let Self { bare: mut block, body_lengths, bodies_length, bodies } = self;
        let mut bodies = Bytes::from(decompress(&bodies, bodies_length)?);
        for (record, length) in block.records.iter_mut().zip(body_lengths) {
            let length = length as usize;
            if bodies.len() < length {
                return Err(BlockError::Malformed("bodies are cut"));
            }
            record.body = bodies.split_to(length);
        }
        Ok(block)
    }
}
