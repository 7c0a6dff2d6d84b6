//! Recently used blocks, decoded, so that many sinks at the same place decode each block once.
//!
//! Invariants:
//! 1. Their bodies and records take at most about [`WEIGHT_LIMIT`] bytes together.
//! 2. A block is found under the position it follows. Numbers would not do: a repaired stretch has
//!    other blocks under the numbers of those that were lost.
//! 3. Whoever has the turn of a number is the only one to read a block of that number.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::block::Block;
use crate::event::{Position, StreamId};

/// About 1,000 records of ordinary size: more than live sinks lie apart while they keep up.
const WEIGHT_LIMIT: usize = 2 << 20;

type Key = (StreamId, Position);

/// Numbers that lie further apart than this may share a turn; it only costs a wait.
const TURNS: usize = 16;

#[derive(Debug, Default)]
pub(super) struct Cache {
    blocks: Mutex<Blocks>,
    turns: [Mutex<()>; TURNS],
}

#[derive(Debug, Default)]
struct Blocks {
    by_place: HashMap<Key, Arc<Block>>,
    oldest_first: VecDeque<Key>,
    weight: usize,
}

impl Cache {
    /// The block that follows the one that ends at `after`.
    pub(super) fn get(&self, stream: &StreamId, after: &Position) -> Option<Arc<Block>> {
        let blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        blocks.by_place.get(&(stream.clone(), after.clone())).cloned()
    }

    /// Waits for the turn to read a block with this number, of whatever stream. Blocking.
    pub(super) fn turn(&self, number: u64) -> MutexGuard<'_, ()> {
        let turn = usize::try_from(number % TURNS as u64).unwrap_or_default();
        self.turns[turn].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the block that follows the one that ends at `after`, and returns the oldest ones, which
    /// go: taking them apart may take a while.
    pub(super) fn put(
        &self,
        stream: &StreamId,
        after: &Position,
        block: Arc<Block>,
    ) -> Vec<Arc<Block>> {
        let mut evicted = Vec::new();
        let key = (stream.clone(), after.clone());
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
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
                evicted.push(removed);
            }
        }
        evicted
    }
}
