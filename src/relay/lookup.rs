//! Looking a record up: in a running relay, and in the directory of a stopped one.

use std::path::Path;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::RelayError;
use super::handle::RelayHandle;
use super::offline::at_rest;
use crate::event::{Generation, NotAnEvent, Position, Record, ResourceVersion, StreamId};
use crate::log::{LogError, Stream};

/// A record of the log: plain values, the same in the admin API and the command line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FoundRecord {
    /// The stream it is in.
    pub stream: StreamId,
    /// Which history of the API server.
    pub generation: Generation,
    /// Which version within that history.
    pub resource_version: ResourceVersion,
    /// When the relay received it.
    pub received_at: Timestamp,
    /// The event, as it is delivered.
    pub event: Value,
}

/// Why a record was not found.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// It is not there.
    #[error("the log has no record with resourceVersion {version}: {held}")]
    NotFound {
        /// What was asked for.
        version: ResourceVersion,
        /// What there is instead.
        held: String,
    },
    /// There is no log yet.
    #[error("the relay is starting, so its log cannot be read; ask again when it runs")]
    NotRunning,
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
}

impl RelayHandle {
    /// The record with this resourceVersion.
    pub async fn record(&self, version: &ResourceVersion) -> Result<FoundRecord, LookupError> {
        find(&self.shared.all_streams().collect::<Vec<_>>(), version).await
    }
}

/// The record with this resourceVersion in what a stopped relay left behind. Blocking; may be called inside
/// and outside of an async runtime.
pub fn offline_record(path: &Path, version: &ResourceVersion) -> Result<FoundRecord, RelayError> {
    at_rest(path, async |storage, _| {
        Ok(find(&storage.all_streams().collect::<Vec<_>>(), version).await?)
    })
}

/// Of several records with this version, that which was received last.
async fn find(streams: &[&Stream], version: &ResourceVersion) -> Result<FoundRecord, LookupError> {
    let mut last: Option<Record> = None;
    for stream in streams {
        let found = stream.find(version).await?;
        last = last.into_iter().chain(found).max_by_key(|record| record.received_at);
    }
    last.map(FoundRecord::from)
        .ok_or_else(|| LookupError::NotFound { version: version.clone(), held: held(streams) })
}

/// What the log has: a record that was asked for has never come, or has gone.
fn held(streams: &[&Stream]) -> String {
    let ranges = streams.iter().filter_map(|stream| {
        let (first, last) = stream.held()?;
        Some(format!("stream {} has those from {first} to {last}", stream.id()))
    });
    let ranges: Vec<_> = ranges.collect();
    match ranges.as_slice() {
        [] => "it is empty".to_owned(),
        ranges => format!("{} (generation.resourceVersion)", ranges.join(", ")),
    }
}

impl From<Record> for FoundRecord {
    fn from(record: Record) -> Self {
        let event = record.event().into_value();
        let Record { stream, position, received_at, .. } = record;
        let Position { generation, resource_version } = position;
        Self { stream, generation, resource_version, received_at, event }
    }
}

impl TryFrom<FoundRecord> for Record {
    type Error = NotAnEvent;

    fn try_from(found: FoundRecord) -> Result<Self, NotAnEvent> {
        let FoundRecord { stream, generation, resource_version, received_at, event } = found;
        let (_, header, body) = Self::parse_event(event.to_string().as_bytes())?;
        let position = Position::new(generation, resource_version);
        Ok(Self { stream, position, received_at, header, body })
    }
}
