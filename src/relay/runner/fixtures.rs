//! A log, a state and a sink that do as they are told.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::mpsc;

use super::ports::Reading;
use super::{Feed, Ledger, Mark};
use crate::cursor::{DeadLetter, Group, LetterTally, Loss, Slot, Usage};
use crate::event::{Generation, Header, Position, Record, StreamId};
use crate::log::LogError;
use crate::sink::{Delivery, Outcome, Repeats, Sink};

pub(crate) fn position(version: u64) -> Position {
    Position::new(Generation(0), version.to_string().parse().expect("a version"))
}

/// A record with ten bytes of body; those of version 13, 113, … have the reason `Unlucky`.
pub(crate) fn record(version: u64) -> Record {
    let reason = if version % 100 == 13 { "Unlucky" } else { "Lucky" };
    Record {
        stream: StreamId::all_namespaces(),
        position: position(version),
        received_at: Timestamp::from_second(1_000_000).expect("in range"),
        header: Header { reason: reason.to_owned(), ..Header::default() },
        body: Bytes::from_static(b"0123456789"),
    }
}

pub(crate) fn version(record: &Record) -> u64 {
    version_at(&record.position)
}

pub(crate) fn version_at(position: &Position) -> u64 {
    position.resource_version.as_str().parse().expect("digits")
}

/// Records of these versions, which are also their running numbers.
pub(crate) fn records(versions: std::ops::RangeInclusive<u64>) -> Reading<Vec<Record>> {
    let end = *versions.end();
    Reading::Records { records: versions.map(record).collect(), end: position(end), sequence: end }
}

/// A stream a test writes to while the runner reads it.
pub(crate) struct ScriptedFeed(mpsc::UnboundedReceiver<Reading<Vec<Record>>>);

pub(crate) fn feed() -> (mpsc::UnboundedSender<Reading<Vec<Record>>>, ScriptedFeed) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (sender, ScriptedFeed(receiver))
}

impl Feed for ScriptedFeed {
    type Records = Vec<Record>;

    async fn next(&mut self) -> Result<Reading<Vec<Record>>, LogError> {
        let ended =
            || LogError::Stopped { stream: "scripted".to_owned(), cause: "its end".to_owned() };
        self.0.recv().await.ok_or_else(ended)
    }

    async fn try_next(&mut self) -> Result<Option<Reading<Vec<Record>>>, LogError> {
        Ok(self.0.try_recv().ok())
    }
}

/// What a runner wrote, in order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Entry {
    /// With what is done beyond it.
    Moved(StreamId, Mark, Vec<Position>),
    Accepted(u64),
    Buried(u64, String),
    Lost(Loss),
}

#[derive(Clone, Default)]
pub(crate) struct Book(
    Arc<Mutex<Vec<Entry>>>,
    Arc<Mutex<HashMap<String, Usage>>>,
    Arc<Mutex<BTreeMap<u16, Group>>>,
    /// Dead letters that were removed.
    Arc<Mutex<u64>>,
);

impl Book {
    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sequences the cursor moved to.
    pub(crate) fn moves(&self) -> Vec<u64> {
        let moved = |entry: &Entry| match entry {
            Entry::Moved(_, mark, _) => Some(mark.sequence),
            _ => None,
        };
        self.entries().iter().filter_map(moved).collect()
    }

    /// What was done beyond the cursor when it last moved.
    pub(crate) fn ahead(&self) -> Vec<Position> {
        let moved = |entry: Entry| match entry {
            Entry::Moved(_, _, ahead) => Some(ahead),
            _ => None,
        };
        self.entries().into_iter().rev().find_map(moved).unwrap_or_default()
    }

    /// An operator removes some dead letters.
    pub(crate) fn remove_letters(&self, count: u64) {
        *self.removed() += count;
    }

    fn removed(&self) -> MutexGuard<'_, u64> {
        self.3.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept_groups(&self) -> MutexGuard<'_, BTreeMap<u16, Group>> {
        self.2.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn usages(&self) -> MutexGuard<'_, HashMap<String, Usage>> {
        self.1.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, entry: Entry) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
    }
}

impl Ledger for Book {
    fn move_cursor(&self, _sink: &str, stream: &StreamId, mark: Mark, ahead: Vec<Position>) {
        self.enter(Entry::Moved(stream.clone(), mark, ahead));
    }

    fn bury(&self, letter: DeadLetter) -> Result<(), LogError> {
        self.enter(Entry::Buried(version(&letter.record), letter.reason));
        Ok(())
    }

    fn letter_tally(&self, _sink: &str) -> LetterTally {
        let buried = |entry: &Entry| matches!(entry, Entry::Buried(..));
        let buried = self.entries().iter().filter(|entry| buried(entry)).count() as u64;
        LetterTally { records: buried - *self.removed(), bytes: 0 }
    }

    async fn drop_oldest_letters(
        &self,
        sink: &str,
        most: LetterTally,
    ) -> Result<LetterTally, LogError> {
        let records = self.letter_tally(sink).records - most.records;
        self.remove_letters(records);
        Ok(LetterTally { records, bytes: 0 })
    }

    fn lose(&self, _sink: &str, _stream: &StreamId, loss: Loss) {
        self.enter(Entry::Lost(loss));
    }

    fn groups(&self, _sink: &str) -> Vec<(u16, Group)> {
        self.kept_groups().clone().into_iter().collect()
    }

    fn put_groups(&self, _sink: &str, slots: Vec<Slot>) {
        for (place, group) in slots {
            match group {
                Some(group) => drop(self.kept_groups().insert(place, group)),
                None => drop(self.kept_groups().remove(&place)),
            }
        }
    }

    fn move_cursor_into_groups(&self, sink: &str, stream: &StreamId, mark: Mark, slots: Vec<Slot>) {
        self.put_groups(sink, slots);
        self.move_cursor(sink, stream, mark, Vec::new());
    }

    fn usage(&self, quota: &str) -> Option<Usage> {
        self.usages().get(quota).cloned()
    }

    fn note_usage(&self, quota: &str, usage: Usage) {
        self.usages().insert(quota.to_owned(), usage);
    }

    async fn settle(&self) -> Result<(), LogError> {
        Ok(())
    }
}

/// One act of a scripted sink.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    Answer(Delivery),
    /// An outcome for each record, over and over.
    Sort(Vec<u8>),
    /// Accepts the records at those of these places that there are.
    TakePart(Vec<usize>),
    TakeTime(Duration),
    Panic,
}

/// What was sent, at which time since the start, to the how-many-eth sink built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) versions: Vec<u64>,
    /// How many records each stands for, when it is a group.
    pub(crate) repeats: Vec<u64>,
    pub(crate) at: Duration,
}

#[derive(Clone)]
pub(crate) struct Stage {
    script: Arc<Mutex<VecDeque<Act>>>,
    sent: mpsc::UnboundedSender<Sent>,
    begun: tokio::time::Instant,
    book: Book,
    digests: bool,
}

impl Stage {
    /// Sinks that follow one script, and accept everything after its end.
    /// What they accept is entered into the book.
    pub(crate) fn new(script: Vec<Act>, book: Book) -> (Self, mpsc::UnboundedReceiver<Sent>) {
        let (sent, receiver) = mpsc::unbounded_channel();
        let script = Arc::new(Mutex::new(script.into()));
        (Self { script, sent, begun: tokio::time::Instant::now(), book, digests: false }, receiver)
    }
}

impl Stage {
    /// The same as a sink that makes one message of many records.
    pub(crate) fn making_digests(self) -> Self {
        Self { digests: true, ..self }
    }

    fn enter_accepted(&self, batch: &[Record], delivery: &Delivery) {
        let accepted = |index: usize| match delivery {
            Delivery::Whole(outcome) => *outcome == Outcome::Accepted,
            Delivery::Each(each) => each.len() == batch.len() && each[index] == Outcome::Accepted,
            Delivery::Part { records, outcome } => {
                records.contains(&index) && *outcome == Outcome::Accepted
            }
        };
        let accepted = batch.iter().enumerate().filter(|(index, _)| accepted(*index));
        accepted.for_each(|(_, record)| self.book.enter(Entry::Accepted(version(record))));
    }
}

/// 0 accepted, 1 rejected, 2 retry, 3 hold.
pub(crate) fn outcome(code: u8) -> Outcome {
    match code {
        0 => Outcome::Accepted,
        1 => Outcome::Rejected { reason: "too odd".to_owned() },
        2 => Outcome::Retry { after: None, cause: "busy".to_owned() },
        _ => Outcome::Hold { cause: "renew the token".to_owned() },
    }
}

#[async_trait]
impl Sink for Stage {
    fn makes_digests(&self) -> bool {
        self.digests
    }

    async fn deliver(&mut self, batch: &[Record]) -> Delivery {
        self.deliver_groups(batch, &[]).await
    }

    async fn deliver_groups(&mut self, batch: &[Record], repeats: &[Repeats]) -> Delivery {
        let versions = batch.iter().map(version).collect();
        let repeats = repeats.iter().map(|repeats| repeats.records).collect();
        let sent = Sent { versions, repeats, at: self.begun.elapsed() };
        self.sent.send(sent).expect("the test listens");
        let act = self.script.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let delivery = match act.unwrap_or(Act::Answer(Delivery::Whole(Outcome::Accepted))) {
            Act::Answer(delivery) => delivery,
            Act::Sort(codes) => {
                let codes = codes.iter().cycle().take(batch.len());
                Delivery::Each(codes.map(|code| outcome(*code)).collect())
            }
            Act::TakePart(places) => Delivery::Part {
                records: places.into_iter().filter(|place| *place < batch.len()).collect(),
                outcome: Outcome::Accepted,
            },
            Act::TakeTime(duration) => {
                tokio::time::sleep(duration).await;
                Delivery::Whole(Outcome::Accepted)
            }
            Act::Panic => panic!("a scripted panic"),
        };
        self.enter_accepted(batch, &delivery);
        delivery
    }
}
