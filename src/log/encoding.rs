//! Blocks on their way to disk. Those of a large group are encoded by two threads, the earlier ones
//! while the later ones are still coming in: compressing is most of what writing a block costs.
//!
//! Invariants:
//! 1. A block is encoded once, by whichever thread comes to it first.
//! 2. A group that makes a single block never leaves the writer's thread.

use std::sync::{Arc, OnceLock, mpsc};

use super::block::{Block, Encoded};

/// A block that is not written yet.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) block: Arc<Block>,
    encoded: OnceLock<Encoded>,
}

impl Draft {
    pub(super) fn new(block: Block) -> Arc<Self> {
        Arc::new(Self { block: Arc::new(block), encoded: OnceLock::new() })
    }

    /// Its values; encodes them, or waits for the thread that is at it.
    pub(super) fn encoded(&self) -> &Encoded {
        self.encoded.get_or_init(|| self.block.encode())
    }
}

/// Encodes all of them. The helper comes from the front, so the end is where there is work left, and
/// where the two meet everything is done.
pub(super) fn encode_all(drafts: &[Arc<Draft>]) {
    for draft in drafts.iter().rev() {
        draft.encoded();
    }
}

/// A second thread, from the first large group on.
#[derive(Debug, Default)]
pub(super) struct Helper(Option<mpsc::Sender<Arc<Draft>>>);

impl Helper {
    /// Has a block encoded beforehand. Without a second thread the writer does it later.
    pub(super) fn encode(&mut self, draft: &Arc<Draft>) {
        let helper = self.0.get_or_insert_with(spawn);
        let _gone = helper.send(draft.clone());
    }
}

fn spawn() -> mpsc::Sender<Arc<Draft>> {
    let (drafts, received) = mpsc::channel::<Arc<Draft>>();
    let work = move || {
        for draft in received {
            draft.encoded();
        }
    };
    if let Err(error) = std::thread::Builder::new().name("log-encoder".to_owned()).spawn(work) {
        tracing::warn!(%error, "blocks are encoded by one thread: a second one cannot start");
    }
    drafts
}
