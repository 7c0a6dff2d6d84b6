//! What the source needs of the log, so that it can be tried without one.

use std::future::Future;

use crate::event::{Position, Record, StreamId};
use crate::log::{self, Entry, LogError, NewRecord};

/// Where records go: one stream of the log.
pub(super) trait Intake: Send + Sync {
    /// Scratch area for the pages of a list.
    type Stage: Stage;

    /// Name of the stream.
    fn id(&self) -> &StreamId;
    /// Up to where it is durable.
    fn frontier(&self) -> Option<Position>;
    /// Hands an entry over; waits for room.
    fn append(&self, entry: Entry) -> impl Future<Output = Result<(), LogError>> + Send;
    /// Waits until everything appended is durable.
    fn sync(&self) -> impl Future<Output = Result<(), LogError>> + Send;
    /// The record at exactly this position.
    fn get(
        &self,
        position: &Position,
    ) -> impl Future<Output = Result<Option<Record>, LogError>> + Send;
    /// A new scratch area.
    fn stage(&self) -> impl Future<Output = Result<Self::Stage, LogError>> + Send;
}

/// Pages of a list, given back in order of position.
pub(super) trait Stage: Send {
    /// Adds records in any order.
    fn put(&mut self, records: Vec<NewRecord>)
    -> impl Future<Output = Result<(), LogError>> + Send;
    /// The next records in order; empty at the end.
    fn take(&mut self) -> impl Future<Output = Result<Vec<NewRecord>, LogError>> + Send;
    /// Removes everything.
    fn discard(self) -> impl Future<Output = Result<(), LogError>> + Send;
}

impl Intake for log::Stream {
    type Stage = log::Staging;

    fn id(&self) -> &StreamId {
        self.id()
    }

    fn frontier(&self) -> Option<Position> {
        self.frontier().map(|frontier| frontier.position)
    }

    async fn append(&self, entry: Entry) -> Result<(), LogError> {
        self.append(entry).await
    }

    async fn sync(&self) -> Result<(), LogError> {
        self.sync().await
    }

    async fn get(&self, position: &Position) -> Result<Option<Record>, LogError> {
        self.get(position).await
    }

    async fn stage(&self) -> Result<Self::Stage, LogError> {
        self.stage().await
    }
}

impl Stage for log::Staging {
    async fn put(&mut self, records: Vec<NewRecord>) -> Result<(), LogError> {
        self.put(records).await
    }

    async fn take(&mut self) -> Result<Vec<NewRecord>, LogError> {
        self.take().await
    }

    async fn discard(self) -> Result<(), LogError> {
        self.discard().await
    }
}
