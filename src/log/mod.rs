//! The write-ahead log of records.
//!
//! Invariants:
//! 1. A record is durable before the frontier passes it; readers never see past the frontier.
//! 2. Positions of a stream only grow; what is at or below the frontier is never appended again.
//! 3. A crash at any moment leaves a correct prefix.
//! 4. Nothing damaged is deleted, and nothing missing goes unnoticed.
//!
//! It knows nothing of Kubernetes and nothing of sinks. sled is named in `database` only; why the log
//! is laid out as it is stands in `docs/adr/0001-log-layout.md`.

mod block;
mod cache;
mod compression;
mod config;
mod damage;
#[cfg(test)]
mod damage_tests;
mod database;
mod directory;
mod encoding;
mod entry;
mod error;
mod files;
#[cfg(test)]
mod format_tests;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod group;
mod head;
mod hole;
mod identity;
mod lookup;
mod migration;
mod outline;
mod pool;
mod reader;
mod recovery;
mod repair;
mod reserve;
mod room;
mod segment;
#[cfg(test)]
mod sharing_tests;
mod staging;
mod stamp;
mod stream;
#[cfg(test)]
mod tests;
mod verify;
mod watchdog;
mod writer;

pub(crate) use block::{VALUE_LIMIT, decode_record, encode_record};
pub use config::{LogConfig, WhenFull};
pub(crate) use database::Database;
pub(crate) use database::settings_are_intact;
pub use directory::{DataDirectory, DirectoryAtRest};
pub use entry::{Chunk, Entry, Frontier, Gap, NewRecord, Records, SegmentInfo, Trimmed};
pub use error::LogError;
pub(crate) use files::{rename, replace as replace_file};
pub use hole::{Hole, HoleChanges};
pub use identity::FORMAT;
pub use migration::{Plan, Step, plan as plan_migration};
pub use reader::Reader;
pub use repair::{Repair, Repaired};
pub(crate) use reserve::LOW_WATER_BYTES;
pub(crate) use room::ROOM_POLL;
pub(crate) use segment::TUNING as SEGMENT_TUNING;
pub use staging::Staging;
pub use stream::Stream;
pub use verify::{
    Damage, Inspection, Looking, Progress, Scratch, StreamFindings, Tally, VerifyError,
    streams_at_rest,
};

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::{Semaphore, watch};

use crate::event::StreamId;
use crate::telemetry::Metrics;

/// All streams. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Log {
    context: Arc<stream::Context>,
    streams: Arc<Mutex<BTreeMap<StreamId, Running>>>,
}

/// A stream with the thread that writes it.
#[derive(Debug)]
struct Running {
    stream: Stream,
    writer: Option<JoinHandle<()>>,
}

impl Log {
    /// The log of a data directory. Blocking.
    pub fn open(directory: Arc<DataDirectory>, metrics: Arc<Metrics>) -> Result<Self, LogError> {
        let reserve = reserve::Reserve::new(directory.path());
        // Opening takes room: with too little left, the reserve is what it is for.
        reserve.keep();
        let streams = directory.path().join(stream::STREAMS);
        files::create_directory(&streams)?;
        // One that is there may be a killed process's, which has not synced its name.
        files::sync_parent(&streams)?;
        let context = stream::Context {
            directory,
            metrics,
            pool: pool::Pool::default(),
            cache: cache::Cache::default(),
            reserve,
            reading: Semaphore::new(stream::READS_AT_A_TIME),
            intake: watch::Sender::new(true),
            closing: AtomicBool::new(false),
        };
        Ok(Self { context: Arc::new(context), streams: Arc::default() })
    }

    /// Opens or creates a stream. Blocking; to be called within a runtime.
    pub fn stream(&self, id: &StreamId) -> Result<Stream, LogError> {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = streams.get(id) {
            return Ok(running.stream.clone());
        }
        let (stream, writer, commands) = Stream::open(&self.context, id)?;
        let runtime = tokio::runtime::Handle::current();
        let writer = std::thread::Builder::new()
            .name("log-writer".to_owned())
            .spawn(move || writer.run(commands, &runtime))
            .map_err(|error| {
                LogError::io("start the writer of", self.context.directory.path(), &error)
            })?;
        streams.insert(id.clone(), Running { stream: stream.clone(), writer: Some(writer) });
        Ok(stream)
    }

    /// All streams on disk, opened. Blocking; to be called within a runtime.
    pub fn streams(&self) -> Result<Vec<Stream>, LogError> {
        let path = self.context.directory.path().join(stream::STREAMS);
        let mut ids: Vec<StreamId> = files::list(&path)?
            .iter()
            .filter_map(|entry| entry.file_name().to_string_lossy().parse().ok())
            .collect();
        ids.sort();
        ids.iter().map(|id| self.stream(id)).collect()
    }

    /// Bytes of everything in the data directory. Blocking for a few milliseconds.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        files::bytes_below(self.context.directory.path())
    }

    /// Opens or closes intake; while it is closed, appending waits.
    pub fn set_intake(&self, open: bool) {
        self.context.intake.send_if_modified(|now| std::mem::replace(now, open) != open);
    }

    /// Whether a writer waits for room on the volume.
    #[must_use]
    pub fn is_out_of_room(&self) -> bool {
        self.context.reserve.is_awaited()
    }

    /// Bytes that may still be used on the volume.
    #[must_use]
    pub fn free_bytes(&self) -> u64 {
        self.context.reserve.free_bytes()
    }

    /// Gives the reserve up when the volume has little room left, and lays it down when there is enough.
    pub fn keep_reserve(&self) {
        self.context.reserve.keep();
    }

    /// Stops the writers after what they were given is durable.
    pub async fn close(&self) -> Result<(), LogError> {
        self.context.closing.store(true, Ordering::Relaxed);
        let running: Vec<Running> = {
            let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *streams).into_values().collect()
        };
        for Running { stream, writer } in running {
            stream.close().await;
            let joined = stream::blocking(move || Ok(writer.map(JoinHandle::join))).await?;
            if matches!(joined, Some(Err(_))) {
                return Err(LogError::Stopped {
                    stream: stream.id().to_string(),
                    cause: "its writer panicked".to_owned(),
                });
            }
        }
        Ok(())
    }
}
