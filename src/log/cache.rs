//! Recently used blocks, decoded, so that many sinks at the same place decode each block once.
//!
//! Invariant: their bodies and records take at most about [`WEIGHT_LIMIT`] bytes together.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use super::block::Block;
use crate::event::StreamId;

/// About 4,000 records of ordinary size: more than live sinks ever lie apart.
const WEIGHT_LIMIT: usize = 8 << 20;

type Key = (StreamId, u64);

#[derive(Debug, Default)]
pub(super) struct Cache(Mutex<Blocks>);

#[derive(Debug, Default)]
struct Blocks {
    by_number: HashMap<Key, Arc<Block>>,
    oldest_first: VecDeque<Key>,
    weight: usize,
}

impl Cache {
    /// The block with this number.
    pub(super) fn get(&self, stream: &StreamId, number: u64) -> Option<Arc<Block>> {
        let blocks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        blocks.by_number.get(&(stream.clone(), number)).cloned()
    }

    /// Keeps a block; the oldest ones go.
    pub(super) fn put(&self, stream: &StreamId, block: Arc<Block>) {
        let key = (stream.clone(), block.number);
        let mut blocks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        blocks.weight += block.weight();
        if let Some(replaced) = blocks.by_number.insert(key.clone(), block) {
            blocks.weight -= replaced.weight();
        } else {
            blocks.oldest_first.push_back(key);
        }
        while blocks.weight > WEIGHT_LIMIT {
            let Some(oldest) = blocks.oldest_first.pop_front() else { break };
            if let Some(removed) = blocks.by_number.remove(&oldest) {
                blocks.weight -= removed.weight();
            }
        }
    }
}
