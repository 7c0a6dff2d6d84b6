//! Pages of a list, collected on disk and given back in order of position.
//!
//! A list comes sorted by name and may be larger than memory, while the log takes positions in
//! order only. Sorted runs of a few thousand records are written to scratch files and merged, so
//! memory stays flat: one run while collecting, one block of each run while merging.
//!
//! The files are scratch: never synced, and removed when the next list begins. Like the log they wait
//! while intake is closed, and leave the last room of the volume alone.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;

use super::block::Block;
use super::room::ROOM_POLL;
use super::stream::{Context, blocking};
use super::{LogError, NewRecord, group};
use crate::event::{Position, StreamId};

/// Bytes of bodies in a run: the memory that collecting takes.
const RUN_BYTES: usize = 4 << 20;
/// Records given back at once.
const TAKE_RECORDS: usize = 500;

/// Pages of a list, collected on disk and given back in order of position.
#[derive(Debug)]
pub struct Staging {
    context: Arc<Context>,
    /// `None` only while a blocking call has it.
    area: Option<Area>,
}

#[derive(Debug)]
struct Area {
    stream: StreamId,
    path: PathBuf,
    pending: Vec<NewRecord>,
    pending_bytes: usize,
    runs: u32,
    merge: Option<Merge>,
}

/// Runs being merged; the heap holds the next position of each.
#[derive(Debug)]
struct Merge {
    runs: Vec<Run>,
    next: BinaryHeap<Reverse<(Position, usize)>>,
}

#[derive(Debug)]
struct Run {
    stream: StreamId,
    file: BufReader<File>,
    path: PathBuf,
    block: VecDeque<NewRecord>,
}

impl Staging {
    pub(super) fn begin(
        stream: StreamId,
        path: PathBuf,
        context: Arc<Context>,
    ) -> Result<Self, LogError> {
        remove(&path)?;
        fs::create_dir_all(&path)
            .map_err(|error| LogError::io("create directory", &path, &error))?;
        let (pending, pending_bytes, runs) = (Vec::new(), 0, 0);
        let area = Area { stream, path, pending, pending_bytes, runs, merge: None };
        Ok(Self { context, area: Some(area) })
    }

    /// Adds records, in any order; waits for open intake and for room. Not after [`Staging::take`].
    pub async fn put(&mut self, records: Vec<NewRecord>) -> Result<(), LogError> {
        let Some(area) = &mut self.area else { return Err(cancelled()) };
        area.hold(records);
        if area.pending_bytes >= RUN_BYTES { self.write_run().await } else { Ok(()) }
    }

    /// The next records in order of position, the newest version of each; empty at the end.
    pub async fn take(&mut self) -> Result<Vec<NewRecord>, LogError> {
        if self.area.as_ref().is_some_and(|area| area.merge.is_none()) {
            self.write_run().await?;
        }
        self.with(Area::take).await
    }

    async fn write_run(&mut self) -> Result<(), LogError> {
        let context = self.context.clone();
        context.open_intake().await;
        let mut waiting = None;
        loop {
            if context.reserve.has_room() {
                match self.with(Area::write_run).await {
                    Err(LogError::Full { .. }) => {}
                    written => return written,
                }
            }
            if waiting.is_none() {
                tracing::warn!("the volume is nearly full; a list of events waits for room");
                waiting = Some(context.reserve.wait());
            }
            context.reserve.give_up();
            tokio::time::sleep(ROOM_POLL).await;
        }
    }

    /// Removes everything. After a call that was cancelled nothing: that is left to the next list.
    pub async fn discard(mut self) -> Result<(), LogError> {
        if self.area.is_none() {
            return Ok(());
        }
        self.with(|area| {
            area.merge = None;
            remove(&area.path)
        })
        .await
    }

    async fn with<T: Send + 'static>(
        &mut self,
        operation: impl FnOnce(&mut Area) -> Result<T, LogError> + Send + 'static,
    ) -> Result<T, LogError> {
        let mut area = self.area.take().ok_or_else(cancelled)?;
        let (area, result) = blocking(move || {
            let result = operation(&mut area);
            Ok((area, result))
        })
        .await?;
        self.area = Some(area);
        result
    }
}

impl Area {
    fn hold(&mut self, records: Vec<NewRecord>) {
        self.pending_bytes += records.iter().map(|record| record.body.len()).sum::<usize>();
        self.pending.extend(records);
    }

    /// Writes what is held, and holds it on when that fails; the next try writes over the failed one.
    fn write_run(&mut self) -> Result<(), LogError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        self.pending.sort_by(|left, right| left.position.cmp(&right.position));
        let path = self.path.join(format!("run-{}", self.runs));
        self.write_pending(&path).map_err(|error| LogError::io("write", &path, &error))?;
        self.runs += 1;
        self.pending.clear();
        self.pending_bytes = 0;
        Ok(())
    }

    fn write_pending(&self, path: &Path) -> std::io::Result<()> {
        let mut file = BufWriter::new(File::create(path)?);
        let mut records = self.pending.as_slice();
        while let Some((part, rest)) = records.split_at_checked(group::block_length(records))
            && let Some(last) = part.last()
        {
            records = rest;
            let end = last.position.clone();
            let block = Block::new(&self.stream, 0, 0, end, Timestamp::UNIX_EPOCH, part.to_vec());
            let payload = block.to_payload();
            let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
            file.write_all(&length.to_le_bytes())?;
            file.write_all(&payload)?;
        }
        file.flush()
    }

    fn take(&mut self) -> Result<Vec<NewRecord>, LogError> {
        if self.merge.is_none() {
            self.merge = Some(Merge::begin(&self.stream, &self.path, self.runs)?);
        }
        let mut records = Vec::with_capacity(TAKE_RECORDS);
        if let Some(merge) = &mut self.merge {
            while records.len() < TAKE_RECORDS
                && let Some(record) = merge.pop()?
            {
                records.push(record);
            }
        }
        Ok(records)
    }
}

impl Merge {
    fn begin(stream: &StreamId, path: &Path, runs: u32) -> Result<Self, LogError> {
        let mut merge = Self { runs: Vec::new(), next: BinaryHeap::new() };
        for run in 0..runs {
            let path = path.join(format!("run-{run}"));
            let file = File::open(&path).map_err(|error| LogError::io("open", &path, &error))?;
            let file = BufReader::new(file);
            merge.runs.push(Run { stream: stream.clone(), file, path, block: [].into() });
            merge.refill(run as usize)?;
        }
        Ok(merge)
    }

    fn pop(&mut self) -> Result<Option<NewRecord>, LogError> {
        let Some(Reverse((_, run))) = self.next.pop() else { return Ok(None) };
        let record = self.runs.get_mut(run).and_then(|run| run.block.pop_front());
        self.refill(run)?;
        Ok(record)
    }

    /// Puts the next position of a run on the heap, reading its next block when need be.
    fn refill(&mut self, index: usize) -> Result<(), LogError> {
        let Some(run) = self.runs.get_mut(index) else { return Ok(()) };
        if run.block.is_empty() {
            run.read_block()?;
        }
        if let Some(record) = run.block.front() {
            self.next.push(Reverse((record.position.clone(), index)));
        }
        Ok(())
    }
}

impl Run {
    fn read_block(&mut self) -> Result<(), LogError> {
        let error = |error: std::io::Error| LogError::io("read", &self.path, &error);
        let mut length = [0; 4];
        // Unlike `read`, it goes on after an interruption.
        match self.file.by_ref().bytes().next() {
            None => return Ok(()),
            Some(first) => length[0] = first.map_err(error)?,
        }
        self.file.read_exact(&mut length[1..]).map_err(error)?;
        let mut payload = vec![0; u32::from_le_bytes(length) as usize];
        self.file.read_exact(&mut payload).map_err(error)?;
        let block = Block::from_payload(&self.stream, &payload)
            .map_err(|error| LogError::damaged(&self.path, error.to_string()))?;
        self.block = block.into_new_records();
        Ok(())
    }
}

fn cancelled() -> LogError {
    LogError::damaged(Path::new("staging"), "an earlier call was cancelled")
}

fn remove(path: &Path) -> Result<(), LogError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(LogError::io("remove", path, &error))
        }
        _ => Ok(()),
    }
}
