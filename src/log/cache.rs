//! Recently used blocks, decoded, so that many sinks at the same place decode each block once.
//!
//! Invariants:
//! 1. Their bodies and records take at most about [`WEIGHT_LIMIT`] bytes together.
//! 2. A block is found under the position it follows. Numbers would not do: a repaired stretch has
//!    other blocks under the numbers of those that were lost.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use super::block::Block;
use crate::event::{Position, StreamId};

/// About 4,000 records of ordinary size: more than live sinks ever lie apart.
const WEIGHT_LIMIT: usize = 8 << 20;

type Key = (StreamId, Position);

#[derive(Debug, Default)]
pub(super) struct Cache(Mutex<Blocks>);

#[derive(Debug, Default)]
struct Blocks {
    by_place: HashMap<Key, Arc<Block>>,
    oldest_first: VecDeque<Key>,
    weight: usize,
}

impl Cache {
    /// The block that follows the one that ends at `after`.
    pub(super) fn get(&self, stream: &StreamId, after: &Position) -> Option<Arc<Block>> {
        let blocks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        blocks.by_place.get(&(stream.clone(), after.clone())).cloned()
    }

    /// Keeps the block that follows the one that ends at `after`; the oldest ones go.
    pub(super) fn put(&self, stream: &StreamId, after: &Position, block: Arc<Block>) {
        let key = (stream.clone(), after.clone());
        let mut blocks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        blocks.weight += block.weight();
        if let Some(replaced) = blocks.by_place.insert(key.clone(), block) {
            blocks.weight -= replaced.weight();
        } else {
            blocks.oldest_first.push_back(key);
        }
        while blocks.weight > WEIGHT_LIMIT {
            let Some(oldest) = blocks.oldest_first.pop_front() else { break };
            if let Some(removed) = blocks.by_place.remove(&oldest) {
                blocks.weight -= removed.weight();
            }
        }
    }
}
