//! One segment: its blocks, and whether its name, head, seal and settings agree with them.

use std::path::Path;

use super::Flaw;
use crate::event::Position;
use crate::log::LogError;
use crate::log::block::Block;
use crate::log::database::settings_are_intact;
use crate::log::head::Head;
use crate::log::segment::{Seal, Segment, Verified};

/// A segment whose blocks are all there.
#[derive(Debug)]
pub(in crate::log) struct Checked {
    pub(super) blocks: u64,
    pub(super) records: u64,
    pub(super) bytes: u64,
    pub(super) head: Head,
    pub(super) last: Block,
}

/// Reads a segment that is not being written, and compares it with its name and its seal.
pub(super) fn check(
    segment: &Segment,
    name: &Position,
    seal: Option<&Seal>,
) -> Result<Checked, LogError> {
    let mut order = Order::default();
    let verified = segment.verify_each(|block| order.see(block))?;
    let Some(Verified { first, head, last, bytes }) = verified else {
        return Err(segment.damaged("it opens as if nothing had been written to it"));
    };
    if first != *name {
        return Err(segment.damaged("its first blocks are missing"));
    }
    if let Some(wrong) = seal.and_then(|seal| disagreement(seal, &head, &last, order.blocks)) {
        return Err(segment.damaged(wrong));
    }
    Ok(Checked { blocks: order.blocks, records: order.records, bytes, head, last })
}

/// Reads a segment that is being written, as far as it is there.
pub(super) fn check_growing(segment: &Segment) -> Result<Option<Checked>, LogError> {
    let mut order = Order::default();
    let Some((_, head, last)) = segment.each_block(|block| order.see(block))? else {
        return Ok(None);
    };
    let (Order { blocks, records, .. }, bytes) = (order, segment.bytes()?);
    Ok(Some(Checked { blocks, records, bytes, head, last }))
}

/// What a seal says that is not so.
fn disagreement(seal: &Seal, head: &Head, last: &Block, blocks: u64) -> Option<&'static str> {
    if last.number < seal.last_number || last.end < seal.last {
        return Some("its last blocks are missing");
    }
    // A block that fills a hole alone counts up to the end of the hole, as if it began later.
    let begins = seal.first_sequence == head.first_sequence
        || (blocks == 1 && seal.first_sequence < head.first_sequence);
    let ends = (&seal.last, seal.last_number, seal.end_sequence)
        == (&last.end, last.number, last.sequence);
    (!begins || !ends).then_some("its seal is that of other blocks")
}

/// What is wrong beside the blocks of the published segment at `path`, which should have a seal or not.
pub(super) fn flaws(path: &Path, sealed: bool) -> Result<Vec<Flaw>, LogError> {
    let mut flaws = Vec::new();
    if sealed && Seal::read(path)?.is_none() {
        flaws.push(Flaw {
            reason: "its seal is missing or damaged",
            action: "nothing is missing; the next start writes it again",
        });
    }
    if Head::read(path)?.is_none() {
        flaws.push(Flaw {
            reason: "its head is missing or damaged",
            action: "nothing is missing; the newest segment gets a new one at the next start, the others can do without",
        });
    }
    if !settings_are_intact(path)? {
        flaws.push(Flaw {
            reason: "the settings of its database (conf) are missing or damaged",
            action: "nothing is missing; its blocks can be read all the same",
        });
    }
    Ok(flaws)
}

/// The order of blocks within a segment, beside their numbers.
#[derive(Debug, Default)]
struct Order {
    blocks: u64,
    records: u64,
    /// End and sequence of the block before.
    before: Option<(Position, u64)>,
    /// Whether the block before counted records that are not there.
    jumped: bool,
}

impl Order {
    fn see(&mut self, block: &Block) -> Result<(), &'static str> {
        let records = block.records.len() as u64;
        let begins = block.sequence.checked_sub(records).ok_or("its records are miscounted")?;
        let (above, sequence) = match &self.before {
            Some((end, sequence)) => (Some(end), *sequence),
            None => (None, begins),
        };
        // The last block of a stretch that was repaired counts what could not be brought back, too.
        if begins < sequence || self.jumped {
            return Err("its records are miscounted");
        }
        let positions = block.records.iter().map(|record| &record.position);
        let ascends = above.into_iter().chain(positions).is_sorted_by(|one, next| one < next);
        let highest = block.records.last().map(|record| &record.position).max(above);
        if !ascends || highest.is_some_and(|highest| *highest > block.end) {
            return Err("its records are out of order");
        }
        self.jumped = begins > sequence;
        self.blocks += 1;
        self.records += records;
        self.before = Some((block.end.clone(), block.sequence));
        Ok(())
    }
}
