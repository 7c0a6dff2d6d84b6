//! A log in memory, an observer that remembers, and the source between them and a fake server.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use jiff::Timestamp;

use super::server::Server;
use crate::event::{Header, Position, Record, StreamId};
use crate::log::{Entry, Gap, LogError, NewRecord};
use crate::source::api::Api;
use crate::source::intake::{Changes, Intake, Repair, Stage};
use crate::source::machine::Rules;
use crate::source::run::Shell;
use crate::source::{Known, Phase, RelistCause, SourceError, SourceObserver, Start};
use crate::telemetry::{Metrics, StreamMetrics};

/// A stream of the log, in memory. Cheap to clone.
#[derive(Clone)]
pub(super) struct MemoryLog {
    id: StreamId,
    state: Arc<Mutex<Contents>>,
    /// One permit per entry there is room for.
    room: Arc<Semaphore>,
    /// Counts what happens to lost stretches.
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct Contents {
    frontier: Option<Position>,
    records: BTreeMap<Position, NewRecord>,
    /// Records that were handed over although they were there already.
    dropped: usize,
    broken: bool,
    /// Stretches that were lost: after the first position, up to the second.
    lost: Vec<(Position, Position)>,
}

impl MemoryLog {
    pub(super) fn new() -> Self {
        Self::of(StreamId::all_namespaces())
    }

    pub(super) fn of(id: StreamId) -> Self {
        let room = Arc::new(Semaphore::new(Semaphore::MAX_PERMITS));
        Self { id, state: Arc::default(), room, changes: watch::Sender::new(0) }
    }

    /// A log with room for so many entries.
    pub(super) fn with_room(entries: usize) -> Self {
        Self { room: Arc::new(Semaphore::new(entries)), ..Self::new() }
    }

    pub(super) fn fail(&self) {
        self.contents().broken = true;
    }

    fn contents(&self) -> std::sync::MutexGuard<'_, Contents> {
        self.state.lock().expect("no test panicked with it")
    }

    /// Positions of the records, in order.
    pub(super) fn positions(&self) -> Vec<String> {
        self.contents().records.keys().map(ToString::to_string).collect()
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.contents().records.values().map(|record| record.header.name.clone()).collect()
    }

    pub(super) fn frontier_text(&self) -> String {
        self.contents().frontier.as_ref().map(ToString::to_string).unwrap_or_default()
    }

    /// Bodies of the records, in order.
    pub(super) fn bodies(&self) -> Vec<Bytes> {
        self.contents().records.values().map(|record| record.body.clone()).collect()
    }

    /// Forgets the newest records of the newest generation, as a crash does with what was not yet
    /// durable.
    pub(super) fn forget_newest(&self, count: usize) {
        let mut contents = self.contents();
        let Some(generation) = contents.frontier.as_ref().map(|end| end.generation) else { return };
        for _ in 0..count {
            let newest = contents.records.keys().next_back().cloned();
            let before = contents.records.keys().rev().nth(1).cloned();
            match (newest, before) {
                (Some(newest), Some(before)) if before.generation == generation => {
                    contents.records.remove(&newest);
                    contents.frontier = Some(before);
                }
                _ => return,
            }
        }
    }

    /// Loses what lies between its first record and its last, as a damaged segment does.
    pub(super) fn lose_middle(&self) {
        let mut contents = self.contents();
        let first = contents.records.keys().next().expect("a record").clone();
        let last = contents.records.keys().next_back().expect("a record").clone();
        contents.records.retain(|position, _| *position == first || *position == last);
        let until = last.previous().expect("a position before");
        contents.lost.push((first, until));
        drop(contents);
        self.changes.send_modify(|count| *count += 1);
    }

    /// Whether nothing is missing any more.
    pub(super) fn is_whole(&self) -> bool {
        self.contents().lost.is_empty()
    }

    pub(super) fn dropped(&self) -> usize {
        self.contents().dropped
    }
}

impl Intake for MemoryLog {
    type Stage = MemoryStage;
    type Repair = MemoryRepair;
    type Changes = MemoryChanges;

    fn id(&self) -> &StreamId {
        &self.id
    }

    fn frontier(&self) -> Option<Position> {
        self.contents().frontier.clone()
    }

    async fn append(&self, entry: Entry) -> Result<(), LogError> {
        self.room.acquire().await.expect("never closed").forget();
        let mut contents = self.contents();
        if contents.broken {
            return Err(LogError::Stopped {
                stream: self.id.to_string(),
                cause: "the disk is gone".to_owned(),
            });
        }
        let position = match &entry {
            Entry::Record(record) => record.position.clone(),
            Entry::Advance(position) => position.clone(),
        };
        if contents.frontier.as_ref().is_some_and(|frontier| position <= *frontier) {
            contents.dropped += usize::from(matches!(entry, Entry::Record(_)));
            return Ok(());
        }
        contents.frontier = Some(position.clone());
        if let Entry::Record(record) = entry {
            contents.records.insert(position, record);
        }
        Ok(())
    }

    async fn sync(&self) -> Result<(), LogError> {
        Ok(())
    }

    async fn get(&self, position: &Position) -> Result<Option<Record>, LogError> {
        let found = self.contents().records.get(position).cloned();
        Ok(found.map(|record| Record {
            stream: self.id.clone(),
            position: record.position,
            received_at: record.received_at,
            header: record.header,
            body: record.body,
        }))
    }

    async fn stage(&self) -> Result<MemoryStage, LogError> {
        Ok(MemoryStage(BTreeMap::new()))
    }

    fn repairs(&self) -> Vec<MemoryRepair> {
        let lost = self.contents().lost.clone();
        let repair = |(after, until)| MemoryRepair { log: self.clone(), after, until };
        lost.into_iter().map(repair).collect()
    }

    fn changes(&self) -> MemoryChanges {
        MemoryChanges(self.changes.subscribe())
    }
}

/// Fills a lost stretch.
pub(super) struct MemoryRepair {
    log: MemoryLog,
    after: Position,
    until: Position,
}

impl Repair for MemoryRepair {
    fn wants(&self, position: &Position) -> bool {
        self.after < *position && *position <= self.until
    }

    async fn put(&mut self, record: NewRecord) -> Result<(), LogError> {
        self.log.contents().records.insert(record.position.clone(), record);
        Ok(())
    }

    async fn finish(self) -> Result<(), LogError> {
        self.log.contents().lost.retain(|(_, until)| *until != self.until);
        self.log.changes.send_modify(|count| *count += 1);
        Ok(())
    }
}

/// Tells of lost stretches.
pub(super) struct MemoryChanges(watch::Receiver<u64>);

impl Changes for MemoryChanges {
    async fn changed(&mut self) {
        self.0.changed().await.expect("the log is there");
    }
}

/// Staged pages in memory.
pub(super) struct MemoryStage(BTreeMap<Position, NewRecord>);

impl Stage for MemoryStage {
    async fn put(&mut self, records: Vec<NewRecord>) -> Result<(), LogError> {
        self.0.extend(records.into_iter().map(|record| (record.position.clone(), record)));
        Ok(())
    }

    async fn take(&mut self) -> Result<Vec<NewRecord>, LogError> {
        // A few at a time, as the real one does.
        let first: Vec<Position> = self.0.keys().take(7).cloned().collect();
        Ok(first.iter().filter_map(|position| self.0.remove(position)).collect())
    }

    async fn discard(self) -> Result<(), LogError> {
        Ok(())
    }
}

/// What the observer was told.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    pub(super) phases: Vec<Phase>,
    pub(super) gaps: Vec<Gap>,
    pub(super) relists: Vec<RelistCause>,
    pub(super) records: Vec<String>,
    pub(super) complete_until: Option<Timestamp>,
}

impl Seen {
    pub(super) fn is_live(&self) -> bool {
        self.phases.last().is_some_and(|phase| phase.live && phase.name.as_str() == "watching")
    }

    pub(super) fn reason(&self) -> String {
        self.phases.last().and_then(|phase| phase.reason.clone()).unwrap_or_default()
    }
}

struct Observer(watch::Sender<Seen>);

impl SourceObserver for Observer {
    fn phase(&self, phase: &Phase) {
        self.0.send_modify(|seen| seen.phases.push(phase.clone()));
    }

    fn complete_until(&self, time: Timestamp) {
        self.0.send_modify(|seen| seen.complete_until = Some(time));
    }

    fn gap(&self, gap: &Gap) -> Result<(), LogError> {
        self.0.send_modify(|seen| seen.gaps.push(gap.clone()));
        Ok(())
    }

    fn record(&self, header: &Header, message: &str) {
        self.0.send_modify(|seen| seen.records.push(format!("{}: {message}", header.reason)));
    }

    fn relisted(&self, cause: RelistCause) {
        self.0.send_modify(|seen| seen.relists.push(cause));
    }
}

/// One run of the source.
pub(super) struct World {
    pub(super) metrics: StreamMetrics,
    seen: watch::Receiver<Seen>,
    /// How long something may take to happen.
    patience: Duration,
    stop: CancellationToken,
    task: JoinHandle<Result<(), SourceError>>,
}

/// With a paused clock: a time that no scenario needs.
const PAUSED_PATIENCE: Duration = Duration::from_secs(6 * 3600);
/// With a real clock.
const REAL_PATIENCE: Duration = Duration::from_secs(30);

impl World {
    /// Runs the source between a server and a log.
    pub(super) async fn start(
        server: &Server,
        log: &MemoryLog,
        start: Start,
        known: Known,
    ) -> Self {
        let api = Api::new(Arc::new(server.clone())).await.expect("a client");
        Self { patience: PAUSED_PATIENCE, ..Self::with_api(api, log, start, known) }
    }

    /// The same with any API server and any log, and a clock that runs.
    pub(super) fn with_api<I>(api: Api, log: &I, start: Start, known: Known) -> Self
    where
        I: Intake + Clone + 'static,
    {
        let event_ttl = Duration::from_secs(3600);
        let rules = Rules { stream: log.id().clone(), start, event_ttl };
        let (sender, seen) = watch::channel(Seen::default());
        let stop = CancellationToken::new();
        let metrics = Metrics::new().stream(log.id().as_str());
        let shell = Shell::new(
            api,
            log.clone(),
            rules,
            known,
            metrics.clone(),
            Arc::new(Observer(sender)),
            stop.clone(),
        );
        let task = tokio::spawn(shell.run());
        Self { metrics, seen, patience: REAL_PATIENCE, stop, task }
    }

    /// Starts and waits until the stream is live.
    pub(super) async fn live(server: &Server, log: &MemoryLog) -> Self {
        let known = Known { complete_until: Some(Timestamp::now()), ..Known::default() };
        let world = Self::start(server, log, Start::Now, known).await;
        world.until(Seen::is_live).await;
        world
    }

    /// Waits until the observer has been told something.
    pub(super) async fn until(&self, condition: impl FnMut(&Seen) -> bool) -> Seen {
        let mut seen = self.seen.clone();
        let waited = tokio::time::timeout(self.patience, seen.wait_for(condition)).await;
        let what = match waited {
            Ok(Ok(seen)) => return seen.clone(),
            Ok(Err(_)) => "the source ended",
            Err(_) => "it never happened",
        };
        let mut seen = self.seen();
        seen.phases = seen.phases.split_off(seen.phases.len().saturating_sub(4));
        panic!("{what}: {seen:?}");
    }

    /// Waits for so many records since the start.
    pub(super) async fn records(&self, count: usize) -> Seen {
        self.until(|seen| seen.records.len() >= count).await
    }

    pub(super) fn seen(&self) -> Seen {
        self.seen.borrow().clone()
    }

    /// Ends it without any farewell, as a crash does.
    pub(super) async fn crash(self) {
        self.task.abort();
        assert!(self.task.await.is_err(), "it was running");
    }

    /// Tells it to stop and waits for its end.
    pub(super) async fn stop(self) -> Result<(), SourceError> {
        self.stop.cancel();
        self.end().await
    }

    /// Tells it to stop and returns all that the observer was told.
    pub(super) async fn seen_until_stopped(self) -> Seen {
        let seen = self.seen.clone();
        self.stop().await.expect("stopped");
        let seen = seen.borrow();
        seen.clone()
    }

    /// Waits for its end.
    pub(super) async fn end(self) -> Result<(), SourceError> {
        tokio::time::timeout(self.patience, self.task).await.expect("it ends").expect("no panic")
    }
}
