//! What the source needs of the log, so that it can be tried without one.

use std::future::Future;

use crate::event::{Position, Record, StreamId};
use crate::log::{self, Entry, HoleChanges, LogError, NewRecord};

/// Where records go: one stream of the log.
pub(super) trait Intake: Send + Sync {
    /// Scratch area for the pages of a list.
    type Stage: Stage;
    /// Fills a stretch that the log has lost.
    type Repair: Repair;
    /// Tells when such stretches are found or filled.
    type Changes: Changes;

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
    /// One for each stretch that the log has lost.
    fn repairs(&self) -> Vec<Self::Repair>;
    /// Tells when such stretches are found or filled.
    fn changes(&self) -> Self::Changes;
}

/// Fills a stretch that the log has lost.
pub(super) trait Repair: Send {
    /// Whether a record belongs there.
    fn wants(&self, position: &Position) -> bool;
    /// Adds a record, above all that were added before.
    fn put(&mut self, record: NewRecord) -> impl Future<Output = Result<(), LogError>> + Send;
    /// That was all there is.
    fn finish(self) -> impl Future<Output = Result<(), LogError>> + Send;
}

/// Tells when what is missing changes.
pub(super) trait Changes: Send {
    /// Waits for a change since the last call.
    fn changed(&mut self) -> impl Future<Output = ()> + Send;
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
    type Repair = log::Repair;
    type Changes = HoleChanges;

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

    fn repairs(&self) -> Vec<log::Repair> {
        self.holes().into_iter().map(|hole| self.repair(hole)).collect()
    }

    fn changes(&self) -> HoleChanges {
        self.hole_changes()
    }
}

impl Repair for log::Repair {
    fn wants(&self, position: &Position) -> bool {
        self.wants(position)
    }

    async fn put(&mut self, record: NewRecord) -> Result<(), LogError> {
        self.put(record).await
    }

    async fn finish(self) -> Result<(), LogError> {
        self.finish().await.map(drop)
    }
}

impl Changes for HoleChanges {
    async fn changed(&mut self) {
        self.changed().await;
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
