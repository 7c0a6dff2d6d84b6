//! Pages of a list, collected on disk and given back in order of position.
//!
//! A list comes sorted by name and may be larger than memory, while the log takes positions in
//! order only. Sorted runs of a few thousand records are written to scratch files and merged, so
//! memory stays flat: one run while collecting, one block of each run while merging.
//!
//! The files are scratch: never synced, and removed when the next list begins.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::block::Block;
use super::stream::blocking;
use super::{LogError, NewRecord, group};
use crate::event::{Position, StreamId};

/// Bytes of bodies in a run: the memory that collecting takes.
const RUN_BYTES: usize = 4 << 20;
/// Records given back at once.
const TAKE_RECORDS: usize = 500;

/// Pages of a list, collected on disk and given back in order of position.
#[derive(Debug)]
pub struct Staging {
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
    pub(super) fn begin(stream: StreamId, path: PathBuf) -> Result<Self, LogError> {
        remove(&path)?;
        fs::create_dir_all(&path)
            .map_err(|error| LogError::io("create directory", &path, &error))?;
        let (pending, pending_bytes, runs) = (Vec::new(), 0, 0);
        let area = Area { stream, path, pending, pending_bytes, runs, merge: None };
        Ok(Self { area: Some(area) })
    }

    /// Adds records, in any order. Not after [`Staging::take`].
    pub async fn put(&mut self, records: Vec<NewRecord>) -> Result<(), LogError> {
        self.with(move |area| area.put(records)).await
    }

    /// The next records in order of position, the newest version of each; empty at the end.
    pub async fn take(&mut self) -> Result<Vec<NewRecord>, LogError> {
        self.with(Area::take).await
    }

    /// Removes everything.
    pub async fn discard(mut self) -> Result<(), LogError> {
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
        let Some(mut area) = self.area.take() else {
            return Err(LogError::damaged(Path::new("staging"), "an earlier call was cancelled"));
        };
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
    fn put(&mut self, records: Vec<NewRecord>) -> Result<(), LogError> {
        self.pending_bytes += records.iter().map(|record| record.body.len()).sum::<usize>();
        self.pending.extend(records);
        if self.pending_bytes >= RUN_BYTES { self.write_run() } else { Ok(()) }
    }

    fn write_run(&mut self) -> Result<(), LogError> {
        let mut records = std::mem::take(&mut self.pending);
        self.pending_bytes = 0;
        if records.is_empty() {
            return Ok(());
        }
        records.sort_by(|left, right| left.position.cmp(&right.position));
        let path = self.path.join(format!("run-{}", self.runs));
        self.runs += 1;
        let error = |error: std::io::Error| LogError::io("write", &path, &error);
        let mut file = BufWriter::new(File::create(&path).map_err(error)?);
        while !records.is_empty() {
            let rest = records.split_off(group::block_length(&records));
            let part = std::mem::replace(&mut records, rest);
            let Some(end) = part.last().map(|record| record.position.clone()) else { break };
            let payload =
                Block::new(&self.stream, 0, 0, end, Timestamp::UNIX_EPOCH, part).to_payload();
            let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
            file.write_all(&length.to_le_bytes()).map_err(error)?;
            file.write_all(&payload).map_err(error)?;
        }
        file.flush().map_err(error)
    }

    fn take(&mut self) -> Result<Vec<NewRecord>, LogError> {
        if self.merge.is_none() {
            self.write_run()?;
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

fn remove(path: &Path) -> Result<(), LogError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(LogError::io("remove", path, &error))
        }
        _ => Ok(()),
    }
}
