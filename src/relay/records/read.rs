//! Reading records that match, from the oldest on, and waiting for more.

use std::path::Path;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::select_all;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::super::control::{ControlError, Target, find};
use super::super::error::RelayError;
use super::super::lookup::FoundRecord;
use super::super::offline::at_rest;
use super::query::RecordQuery;
use crate::cursor::Place;
use crate::event::{Filter, Record, StreamId};
use crate::log::{Chunk, LogError, Reader, Stream};
use crate::relay::RelayHandle;

/// Lines that wait for whoever reads them.
const LINES_WAITING: usize = 16;

/// One line of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum RecordLine {
    /// A record.
    Record(FoundRecord),
    /// Something to know about what follows.
    Notice {
        /// In words.
        notice: String,
    },
    /// Why nothing follows although there may be more.
    Error {
        /// In words.
        error: String,
    },
}

/// Lines as they are read. Dropping it ends the reading.
#[derive(Debug)]
pub struct RecordStream {
    lines: mpsc::Receiver<RecordLine>,
}

/// What a search comes upon: records of one block, or something to know about what follows.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) records: Vec<Record>,
    notice: Option<String>,
}

/// Reads until the end, or for as long as somebody listens.
pub(super) struct Search {
    ways: Vec<Way>,
    filter: Filter,
    until: Option<Timestamp>,
    left: u64,
}

/// A stream that is searched.
struct Way {
    stream: StreamId,
    reader: Reader,
}

impl RecordStream {
    /// What follows; `None` at the end.
    pub async fn next(&mut self) -> Option<RecordLine> {
        self.lines.recv().await
    }
}

impl RelayHandle {
    /// Reads the records of the log that a query is about. Few may do so at a time.
    pub async fn records(&self, query: &RecordQuery) -> Result<RecordStream, ControlError> {
        let turn = self.shared.searching.clone();
        let turn = turn.try_acquire_owned().map_err(|_| ControlError::Busy)?;
        let streams: Vec<_> = self.shared.all_streams().cloned().collect();
        let search = Search::begin(&streams, query).await?;
        let (sender, lines) = mpsc::channel(LINES_WAITING);
        tokio::spawn(answer(search, query.follow, sender, self.outflows.stop().clone(), turn));
        Ok(RecordStream { lines })
    }
}

/// How many may search the log at a time.
pub(crate) fn searches() -> Arc<Semaphore> {
    const SEARCHES_MAX: usize = 4;
    Arc::new(Semaphore::new(SEARCHES_MAX))
}

/// Runs a search until its end, until nobody listens, or until the relay stops.
async fn answer(
    mut search: Search,
    follow: bool,
    lines: mpsc::Sender<RecordLine>,
    stop: CancellationToken,
    _turn: OwnedSemaphorePermit,
) {
    let listened = async {
        loop {
            let found = match search.next(follow).await {
                Ok(Some(found)) => found,
                Ok(None) => return,
                Err(error) => {
                    let error = RecordLine::Error { error: error.to_string() };
                    // Whoever asked may have gone.
                    return drop(lines.send(error).await);
                }
            };
            for line in found.into_lines() {
                if lines.send(line).await.is_err() {
                    return;
                }
            }
        }
    };
    tokio::select! {
        () = listened => {}
        () = lines.closed() => {}
        () = stop.cancelled() => {}
    }
}

/// Shows the records of a stopped relay's log that a query is about, as long as `show` wants more. Blocking.
pub fn offline_records(
    path: &Path,
    query: &RecordQuery,
    mut show: impl FnMut(RecordLine) -> bool + Send,
) -> Result<(), RelayError> {
    at_rest(path, async move |storage, _| {
        let streams: Vec<_> = storage.all_streams().cloned().collect();
        let mut search = Search::begin(&streams, query).await?;
        while let Some(found) = search.next(false).await? {
            if !found.into_lines().all(&mut show) {
                break;
            }
        }
        Ok(())
    })
}

impl Search {
    pub(super) async fn begin(
        streams: &[Stream],
        query: &RecordQuery,
    ) -> Result<Self, ControlError> {
        let filter = query.filter()?;
        if let Some(name) = &query.stream
            && !streams.iter().any(|stream| stream.id() == name)
        {
            let known: Vec<_> = streams.iter().map(|stream| stream.id().to_string()).collect();
            let (name, known) = (name.to_string(), known.join(", "));
            return Err(ControlError::UnknownStream { name, known });
        }
        let mut ways = Vec::new();
        let wanted =
            |stream: &&Stream| query.stream.as_ref().is_none_or(|name| name == stream.id());
        for stream in streams.iter().filter(wanted) {
            let from = match query.since {
                Some(since) => {
                    find(stream, &Place::default(), &Target::Time(since)).await?.position
                }
                None => None,
            };
            let reader = stream.reader(from).wanting(&filter);
            ways.push(Way { stream: stream.id().clone(), reader });
        }
        let left = query.limit.unwrap_or(u64::MAX);
        Ok(Self { ways, filter, until: query.until, left })
    }

    /// What follows, of one block of the log at most; `None` at the end.
    pub(super) async fn next(&mut self, follow: bool) -> Result<Option<Found>, LogError> {
        while self.left > 0 && !self.ways.is_empty() {
            let Some((way, chunk)) = self.read(follow).await? else { return Ok(None) };
            let found = self.take(way, chunk);
            if !found.records.is_empty() || found.notice.is_some() {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// What comes next, stream after stream; when all are read to their end and `follow` holds, whatever
    /// comes first.
    async fn read(&mut self, follow: bool) -> Result<Option<(usize, Chunk)>, LogError> {
        for (index, way) in self.ways.iter_mut().enumerate() {
            if let Some(chunk) = way.reader.try_next().await? {
                return Ok(Some((index, chunk)));
            }
            if !follow {
                way.reader.check_room()?;
            }
        }
        if !follow {
            return Ok(None);
        }
        let readers = self.ways.iter_mut().enumerate();
        let readers = readers.map(|(index, way)| {
            way.reader.next().map(move |chunk| chunk.map(|chunk| (index, chunk))).boxed()
        });
        select_all(readers).await.0.map(Some)
    }

    fn take(&mut self, way: usize, chunk: Chunk) -> Found {
        match chunk {
            Chunk::Excluded { .. } => Found::default(),
            Chunk::Damaged { end } => {
                let stream = self.ways.get(way).map(|way| way.stream.to_string());
                let stream = stream.unwrap_or_default();
                let notice =
                    format!("stream {stream}: records up to {end} are missing: the log is damaged");
                Found { records: Vec::new(), notice: Some(notice) }
            }
            Chunk::Records { records, .. } => {
                let until = self.until;
                let ended =
                    |record: &&Record| until.is_some_and(|until| record.received_at >= until);
                let is_over = records.iter().any(|record| ended(&record));
                let before = records.iter().filter(|record| !ended(record));
                let wanted = before.filter(|record| self.filter.passes(record));
                let left = usize::try_from(self.left).unwrap_or(usize::MAX);
                let records: Vec<_> = wanted.take(left).cloned().collect();
                self.left -= records.len() as u64;
                if is_over {
                    self.ways.remove(way);
                }
                Found { records, notice: None }
            }
        }
    }
}

impl Found {
    fn into_lines(self) -> impl Iterator<Item = RecordLine> {
        let notice = self.notice.map(|notice| RecordLine::Notice { notice });
        let records = self.records.into_iter().map(|record| RecordLine::Record(record.into()));
        notice.into_iter().chain(records)
    }
}
