//! The plain model: what log and state have to look like after each action.
//!
//! Everything that was handed over is kept in one list; what is durable is a position in it. After a
//! crash the model follows what was found, if that is something a crash may leave.

#[path = "oracle/answers.rs"]
mod answers;
#[path = "oracle/crash.rs"]
mod crash;
#[path = "oracle/visible.rs"]
mod visible;

use std::cell::OnceCell;
use std::collections::BTreeMap;

use kube_event_relay::event::{Generation, Position};

use super::action::{Action, Item, Place};
use super::history::History;
use super::process::digest_of;
use super::protocol::{
    Buried, Command, Missing, Moved, SeenLetter, SeenRecord, SeenSegment, Start, Written,
};

type Checked = Result<(), String>;

/// What was handed over, and is above everything before it.
#[derive(Debug, Clone)]
struct Known {
    position: Position,
    /// Seed and length.
    record: Option<(u64, usize)>,
    /// Records up to and with it.
    sequence: u64,
    /// Digest of the record, once it was needed.
    digest: OnceCell<String>,
}

/// Where a reader is.
#[derive(Debug, Clone, Default)]
struct Reading {
    after: Option<Position>,
    /// Whether the process has it.
    begun: bool,
}

/// A dead letter: the last refusal counts.
type Letter = History<Option<SeenLetter>>;

/// The model.
#[derive(Debug)]
pub struct Model {
    entries: Vec<Known>,
    /// Entries before the group that was handed over last.
    entries_before: usize,
    /// The frontier as it was last seen.
    durable: Option<Position>,
    segments: Vec<SeenSegment>,
    /// A trim that has not been answered.
    trimming: Option<Position>,
    readers: [Reading; 3],
    cursors: [History<Option<Moved>>; 2],
    letters: BTreeMap<(usize, Position), Letter>,
    gaps: History<Vec<Missing>>,
    noted: History<Option<Position>>,
    complete: History<Option<i64>>,
    /// Counts all changes.
    clock: i64,
    /// Whether the volume is full.
    pub full: bool,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            entries_before: 0,
            durable: None,
            segments: Vec::new(),
            trimming: None,
            readers: Default::default(),
            cursors: [const { None }; 2].map(History::new),
            letters: BTreeMap::new(),
            gaps: History::new(Vec::new()),
            noted: History::new(None),
            complete: History::new(None),
            clock: 0,
            full: false,
        }
    }
}

/// What an action comes to, and what may be the case from the moment the process is told.
impl Model {
    /// The command for an action that is one command; `None` when it makes no sense now.
    pub fn command(&mut self, action: &Action) -> Option<Command> {
        self.clock += 1;
        let command = match action {
            Action::Append(items) => {
                let items = self.append(items);
                Command::Append { items, full: self.full }
            }
            Action::Commit => Command::Commit { full: self.full },
            Action::Read { reader, chunks } => self.read(*reader, *chunks),
            Action::Seek { reader, to } => {
                self.readers[*reader] = Reading { after: self.place(*to), begun: false };
                return None;
            }
            Action::Get(place) => Command::Get(self.place(*place)?),
            Action::MoveCursor { sink, to } => {
                // A sink has only what it has read.
                let position = self.place(*to).min(self.durable.clone());
                let sequence = self.sequence(position.as_ref());
                let to = Moved { position, sequence, at: self.clock };
                self.cursors[*sink].change(self.clock, Some(to.clone()));
                Command::Move { sink: *sink, to }
            }
            Action::Bury { sink, record, words } => self.bury(*sink, *record, *words)?,
            Action::Letters(sink) => Command::Letters(*sink),
            Action::SyncState => Command::SyncState,
            Action::NoteFrontier => {
                let frontier = self.durable.clone()?;
                self.noted.change(self.clock, Some(frontier.clone()));
                Command::NoteFrontier(frontier)
            }
            Action::NoteComplete => {
                self.complete.change(self.clock, Some(self.clock));
                Command::NoteComplete(self.clock)
            }
            Action::ReportGap { grown } => self.report(*grown)?,
            Action::Trim(place) => {
                self.trimming = Some(self.place(*place)?);
                Command::Trim(self.trimming.clone()?)
            }
            Action::Reopen => Command::Close,
            Action::Crash(_) | Action::Fill(_) | Action::Free => return None,
        };
        Some(command)
    }

    /// A group that moves the frontier at once; `None` when there is no record in it to do so.
    pub fn watched(&mut self, items: &[Item]) -> Option<Command> {
        let items = self.append(items);
        let fresh = self.entries[self.entries_before..].iter().any(|known| known.record.is_some());
        if !fresh {
            self.entries.truncate(self.entries_before);
        }
        fresh.then_some(Command::AppendAndWatch(items))
    }

    fn append(&mut self, items: &[Item]) -> Vec<Written> {
        self.entries_before = self.entries.len();
        let mut written = Vec::new();
        for item in items {
            self.clock += 1;
            // On a full volume little fits into the queue.
            let longest = if self.full { 3000 } else { usize::MAX };
            let record = item.body.map(|length| (self.clock as u64, length.min(longest)));
            let item = Written { position: self.position(item), record };
            self.note(&item);
            written.push(item);
        }
        written
    }

    /// What is at or below the highest position is there already.
    fn note(&mut self, item: &Written) {
        let highest = self.entries.last();
        if highest.is_none_or(|highest| item.position > highest.position) {
            let sequence =
                highest.map_or(0, |highest| highest.sequence) + u64::from(item.record.is_some());
            let (position, record) = (item.position.clone(), item.record);
            self.entries.push(Known { position, record, sequence, digest: OnceCell::new() });
        }
    }

    fn position(&self, item: &Item) -> Position {
        let (generation, version) = match self.entries.last() {
            Some(highest) => (highest.position.generation.0, version(&highest.position)),
            None => (0, 100),
        };
        let base = if item.generation > 0 { 0 } else { version };
        let generation = generation.saturating_add_signed(item.generation.into());
        position(generation, base.saturating_add_signed(item.step).max(1))
    }

    fn read(&mut self, reader: usize, chunks: usize) -> Command {
        let reading = &mut self.readers[reader];
        let from = (!reading.begun).then(|| Start { after: reading.after.clone() });
        reading.begun = true;
        Command::Read { reader, chunks, from }
    }

    fn bury(&mut self, sink: usize, record: u16, words: usize) -> Option<Command> {
        let seen = self.sequence(self.durable.as_ref());
        let number = seen * u64::from(record) / 65_536 + 1;
        let known = self.entries.iter().find(|known| known.sequence == number && seen > 0)?;
        let (position, record) = (known.position.clone(), known.record?);
        let seen = known.seen()?;
        let reason = format!("{} {}", self.clock, "x".repeat(words));
        let letter = SeenLetter { record: seen, reason: reason.clone() };
        let history =
            self.letters.entry((sink, position.clone())).or_insert_with(|| History::new(None));
        history.change(self.clock, Some(letter));
        Some(Command::Bury(Buried { sink, position, record, reason }))
    }

    fn report(&mut self, grown: bool) -> Option<Command> {
        let until = self.durable.clone()?;
        let mut gaps = self.gaps.current().clone();
        let last = gaps.last().filter(|last| grown || last.until >= until).cloned();
        let after = self.place(Place::At(self.clock as u16)).min(Some(until.clone()));
        let mut gap = Missing { after, until, from_time: Some(self.clock), to_time: self.clock };
        if let Some(last) = last {
            gap.from_time = last.from_time;
            gap.until = gap.until.max(last.until.clone());
        }
        let command = Command::Report(gap.clone());
        if let Some(last) = gaps.pop_if(|last| last.from_time == gap.from_time) {
            gap.after = gap.after.min(last.after);
        }
        gaps.push(gap);
        self.gaps.change(self.clock, gaps);
        Some(command)
    }

    fn place(&self, place: Place) -> Option<Position> {
        match place {
            Place::Beginning => None,
            Place::At(part) => {
                let index = self.entries.len() * usize::from(part) / 65_536;
                self.entries.get(index).map(|known| known.position.clone())
            }
            Place::Frontier => self.durable.clone(),
            Place::Beyond(versions) => {
                let highest = &self.entries.last()?.position;
                Some(position(highest.generation.0, version(highest) + u64::from(versions)))
            }
        }
    }

    /// Records up to a position.
    fn sequence(&self, position: Option<&Position>) -> u64 {
        let up_to = self.entries.partition_point(|known| Some(&known.position) <= position);
        up_to.checked_sub(1).map_or(0, |last| self.entries[last].sequence)
    }

    fn knows(&self, position: &Position) -> bool {
        self.entries.binary_search_by(|known| known.position.cmp(position)).is_ok()
    }
}

impl Known {
    fn seen(&self) -> Option<SeenRecord> {
        let record = self.record?;
        let digest = self.digest.get_or_init(|| digest_of(&self.position, record)).clone();
        Some(SeenRecord { position: self.position.clone(), digest })
    }
}

fn equal<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, expected: &T) -> Checked {
    if found == expected { Ok(()) } else { Err(format!("{what}: {found:?}, not {expected:?}")) }
}

fn position(generation: u32, version: u64) -> Position {
    Position::new(Generation(generation), version.to_string().parse().expect("a version"))
}

fn version(position: &Position) -> u64 {
    position.resource_version.as_str().parse().expect("a number")
}
