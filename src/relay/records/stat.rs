//! What the log holds, in numbers.

use std::path::Path;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::control::{Target, find};
use super::super::error::RelayError;
use super::super::offline::at_rest;
use super::super::survey::{StreamSurvey, end_of};
use crate::event::{Position, StreamId};
use crate::log::{Chunk, LogError, Stream};
use crate::relay::RelayHandle;

/// What the log holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LogStat {
    /// Where it is.
    pub directory: String,
    /// Its streams.
    pub streams: Vec<StreamStat>,
}

/// What a stream holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StreamStat {
    /// Its name.
    pub stream: StreamId,
    /// Number of segments.
    pub segments: u64,
    /// Records that are still held.
    pub records: u64,
    /// All records it has ever had.
    pub appended: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// The oldest record that is still held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest: Option<RecordPlace>,
    /// The newest record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<RecordPlace>,
}

/// Where and when a record was received.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecordPlace {
    /// `GENERATION.RV`.
    pub position: String,
    /// When the relay received it.
    pub received_at: Timestamp,
}

impl RelayHandle {
    /// What the log holds.
    pub async fn log_stat(&self) -> Result<LogStat, LogError> {
        stat(self.shared.directory.path(), self.shared.all_streams()).await
    }
}

/// What the log of a stopped relay holds. Blocking.
pub fn offline_stat(path: &Path) -> Result<LogStat, RelayError> {
    at_rest(path, async |storage, _| {
        Ok(stat(storage.directory.path(), storage.all_streams()).await?)
    })
}

async fn stat(directory: &Path, all: impl Iterator<Item = &Stream>) -> Result<LogStat, LogError> {
    let mut streams = Vec::new();
    for stream in all {
        streams.push(of_stream(stream).await?);
    }
    Ok(LogStat { directory: directory.display().to_string(), streams })
}

async fn of_stream(stream: &Stream) -> Result<StreamStat, LogError> {
    let looked_at = stream.clone();
    // Bytes are asked of the file system.
    let segments = tokio::task::spawn_blocking(move || looked_at.segments()).await;
    let segments = segments.unwrap_or_default();
    let frontier = stream.frontier();
    let end = end_of(frontier.as_ref());
    let last = find(stream, &end, &Target::Back(1)).await?;
    let found = StreamSurvey { id: stream.id().clone(), frontier, segments };
    Ok(StreamStat {
        stream: stream.id().clone(),
        segments: found.segments.len() as u64,
        records: found.held(),
        appended: end.sequence,
        bytes: found.segments.iter().map(|segment| segment.bytes).sum(),
        oldest: first_after(stream, None).await?,
        newest: first_after(stream, last.position).await?,
    })
}

async fn first_after(
    stream: &Stream,
    position: Option<Position>,
) -> Result<Option<RecordPlace>, LogError> {
    let mut reader = stream.reader(position);
    while let Some(chunk) = reader.try_next().await? {
        if let Chunk::Records { records, .. } = chunk
            && let Some(record) = records.first()
        {
            let (position, received_at) = (record.position.to_string(), record.received_at);
            return Ok(Some(RecordPlace { position, received_at }));
        }
    }
    reader.check_room()?;
    Ok(None)
}
