//! Fills a hole with what the API server still has.
//!
//! Invariants:
//! 1. The segment becomes part of the log when it is complete and sealed. A crash before leaves a
//!    segment that fills a part of the hole; the rest is a hole again.
//! 2. Its last block carries the number of records up to the end of the hole, so that what could not
//!    be brought back is missing in the numbers, and the hole is not found again.

use std::sync::Arc;

use jiff::Timestamp;

use super::block::Block;
use super::damage::gap;
use super::group::block_length;
use super::head::Head;
use super::hole::Hole;
use super::segment::{Seal, Segment};
use super::stream::{Inner, blocking};
use super::{LogError, NewRecord, files};
use crate::event::Position;

/// Bytes of bodies that are held before they are written.
const PENDING_BYTES: usize = 1 << 20;

/// A hole that is being filled.
#[derive(Debug)]
pub struct Repair {
    stream: Arc<Inner>,
    hole: Hole,
    pending: Vec<NewRecord>,
    pending_bytes: usize,
    written: Written,
}

#[derive(Debug, Clone, Default)]
struct Written {
    segment: Option<Arc<Segment>>,
    head: Option<Head>,
    first: Option<Position>,
    blocks: u64,
    records: u64,
}

/// What a repair came to, in records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repaired {
    /// Brought back.
    pub records: u64,
    /// Missing for good.
    pub missing: u64,
}

impl Repair {
    pub(super) fn new(stream: Arc<Inner>, hole: Hole) -> Self {
        Self { stream, hole, pending: Vec::new(), pending_bytes: 0, written: Written::default() }
    }

    /// Whether a record belongs here.
    #[must_use]
    pub fn wants(&self, position: &Position) -> bool {
        self.hole.contains(position)
    }

    /// Adds a record that lies in the hole, above all that were added before.
    pub async fn put(&mut self, record: NewRecord) -> Result<(), LogError> {
        self.pending_bytes += record.body.len();
        self.pending.push(record);
        if self.pending_bytes < PENDING_BYTES {
            return Ok(());
        }
        // The last one waits: whatever is last reaches to the end of the hole.
        let kept = self.pending.split_off(self.pending.len() - 1);
        let records = std::mem::replace(&mut self.pending, kept);
        self.pending_bytes = 0;
        self.write(records, false).await
    }

    /// Makes the segment durable and a part of the log.
    pub async fn finish(mut self) -> Result<Repaired, LogError> {
        let records = std::mem::take(&mut self.pending);
        self.write(records, true).await?;
        let brought_back = self.written.records;
        let missing = self.hole.records().saturating_sub(brought_back);
        let hole = &self.hole;
        tracing::warn!(
            stream = %self.stream.id, until = %hole.until, records = brought_back, missing,
            "a damaged stretch of the log was read again from the API server"
        );
        let cause = format!(
            "a stretch of the log was damaged; {brought_back} of its {} records were read again from the API server",
            hole.records().max(brought_back)
        );
        self.stream.report(gap(hole.after.clone(), hole.reported_until.clone(), cause));
        Ok(Repaired { records: brought_back, missing })
    }

    async fn write(&mut self, records: Vec<NewRecord>, ends: bool) -> Result<(), LogError> {
        let (stream, hole, written) =
            (self.stream.clone(), self.hole.clone(), self.written.clone());
        self.written = blocking(move || written.go_on(&stream, &hole, records, ends)).await?;
        Ok(())
    }
}

impl Written {
    fn go_on(
        mut self,
        stream: &Inner,
        hole: &Hole,
        records: Vec<NewRecord>,
        ends: bool,
    ) -> Result<Self, LogError> {
        let blocks = self.blocks(stream, hole, records, ends);
        let Some(last) = blocks.last() else { return Ok(self) };
        let segment = self.begin(stream, &blocks[0])?;
        for block in &blocks {
            segment.write(&block.encode())?;
        }
        segment.commit()?;
        if ends {
            self.publish(stream, hole, &segment, last)?;
        }
        Ok(self)
    }

    /// Cuts records into blocks; the last one ends where the hole does.
    fn blocks(
        &mut self,
        stream: &Inner,
        hole: &Hole,
        records: Vec<NewRecord>,
        ends: bool,
    ) -> Vec<Block> {
        let now = Timestamp::now();
        let mut blocks = Vec::new();
        let mut rest = records;
        while !rest.is_empty() || (ends && self.blocks + blocks.len() as u64 == 0) {
            let after = rest.split_off(block_length(&rest));
            let records = std::mem::replace(&mut rest, after);
            let end = records.last().map_or(&hole.until, |record| &record.position).clone();
            let (number, before) =
                (hole.first_number + self.blocks, hole.first_sequence + self.records);
            let block = Block::new(&stream.id, number, before, end, now, records);
            self.blocks += 1;
            self.records += block.records.len() as u64;
            blocks.push(block);
        }
        if let Some(last) = blocks.last_mut().filter(|_| ends) {
            // Its key stays the position of its first record: only the end moves.
            last.end = hole.until.clone();
            last.sequence = last.sequence.max(hole.end_sequence);
        }
        blocks
    }

    fn begin(&mut self, stream: &Inner, block: &Block) -> Result<Arc<Segment>, LogError> {
        if let Some(segment) = &self.segment {
            return Ok(segment.clone());
        }
        let path = stream.path.join(block.first().to_string());
        if path.exists() {
            return Err(LogError::damaged(
                &path,
                "it could not be moved aside, so it is not repaired",
            ));
        }
        let segment = Segment::open(&stream.id, &path)?;
        self.head = Some(Head::new(block));
        self.first = Some(block.first().clone());
        Ok(self.segment.insert(segment).clone())
    }

    fn publish(
        &mut self,
        stream: &Inner,
        hole: &Hole,
        segment: &Arc<Segment>,
        last: &Block,
    ) -> Result<(), LogError> {
        let (Some(head), Some(first)) = (&self.head, &self.first) else { return Ok(()) };
        head.write(segment.path())?;
        let seal = Seal::new(last, hole.first_sequence, Timestamp::now());
        seal.write(segment.path())?;
        if !stream.holes.list().contains(hole) {
            // Trimmed meanwhile: nobody needs what was missing there.
            return stream
                .context
                .pool
                .take_away(segment.path(), || files::remove_directory(segment.path()));
        }
        stream.context.pool.adopt(segment);
        stream.know(first.clone(), segment.path().to_owned(), Some(seal));
        stream.holes.close(hole);
        self.segment = None;
        Ok(())
    }
}
