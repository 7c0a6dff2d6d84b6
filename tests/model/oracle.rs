//! The plain model: what log and state have to look like after each action.
//!
//! Everything that was handed over is kept in one list; what is durable is a position in it. After a
//! crash the model follows what was found, if that is something a crash may leave.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use kube_event_relay::event::{Generation, Position};

use super::action::{Action, Item, LARGE, Place};
use super::history::History;
use super::process::{
    Answer, Buried, Command, Missing, Moved, Outcome, SINKS, Seen, SeenChunk, SeenLetter,
    SeenRecord, SeenSegment, Start, Written, digest_of,
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

/// A dead letter.
#[derive(Debug)]
struct Letter {
    history: History<Option<SeenLetter>>,
    /// Whether it is stored in parts: of those the one that is stored first stays.
    in_parts: bool,
}

impl Letter {
    /// What was buried before this time is durable.
    fn sync_before(&mut self, time: i64) {
        if !self.in_parts {
            self.history.sync_before(time);
        } else if self.history.earliest().is_none() {
            self.history.keep_one_before(time);
        }
    }
}

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
        let letters = self
            .letters
            .entry((sink, position.clone()))
            .or_insert_with(|| Letter { history: History::new(None), in_parts: record.1 >= LARGE });
        letters.history.change(self.clock, Some(letter));
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

/// What an answer has to be.
impl Model {
    /// Checks an answer to a command.
    pub fn conclude(&mut self, command: &Command, answer: &Answer) -> Checked {
        let durable_before = self.durable.clone();
        let segments_before = self.segments.clone();
        if let Some(seen) = &answer.seen {
            if let (Command::Append { items, .. }, Outcome::Appended(count)) =
                (command, &answer.outcome)
            {
                self.appended(items, *count)?;
            }
            self.check(seen)?;
        }
        match (command, &answer.outcome) {
            (_, Outcome::Full) if self.full => self.trimming = None,
            (Command::Commit { .. }, Outcome::Pending) if self.full => {}
            (Command::Commit { .. }, Outcome::Done) => {
                let highest = self.entries.last().map(|known| &known.position);
                if self.durable.as_ref() != highest {
                    return Err(format!("synced to {highest:?}, frontier {:?}", self.durable));
                }
            }
            (Command::Read { reader, chunks, .. }, Outcome::Chunks(seen)) => {
                seen.iter().try_for_each(|chunk| self.check_chunk(*reader, chunk))?;
                let after = &self.readers[*reader].after;
                if seen.len() < *chunks && *after < durable_before && !self.full {
                    return Err(format!("reading ends at {after:?} before {durable_before:?}"));
                }
            }
            (Command::Get(position), Outcome::Record(found)) => {
                self.check_record(position, found.as_ref(), durable_before.as_ref())?;
            }
            (Command::Letters(sink), Outcome::Letters(found)) => {
                self.sync_state();
                self.found_letters(*sink, found)?;
            }
            // With a gap everything is made durable.
            (Command::SyncState | Command::Report(_), Outcome::Done) => self.sync_state(),
            (Command::Trim(position), Outcome::Trimmed { segments, records }) => {
                self.trimming = None;
                let gone =
                    trimmed(&segments_before, &self.segments, position, durable_before.as_ref())?;
                // Others may have been sealed, and trimmed, since they were last seen.
                if *segments < gone.0 || *records != gone.1 {
                    return Err(format!("{segments} segments and {records} records, but {gone:?}"));
                }
            }
            (Command::Close, Outcome::Done) => self.closed(),
            (
                Command::Move { .. }
                | Command::Bury(_)
                | Command::NoteFrontier(_)
                | Command::NoteComplete(_)
                | Command::AppendAndWatch(_),
                Outcome::Done,
            )
            | (Command::Append { .. }, Outcome::Appended(_)) => {}
            (_, outcome) => return Err(format!("{outcome:?}")),
        }
        Ok(())
    }

    fn appended(&mut self, items: &[Written], count: usize) -> Checked {
        if count < items.len() {
            if !self.full {
                return Err(format!("{count} of {} were appended", items.len()));
            }
            self.entries.truncate(self.entries_before);
            items[..count].iter().for_each(|item| self.note(item));
        }
        Ok(())
    }

    /// Checks everything that can be seen without reading.
    fn check(&mut self, seen: &Seen) -> Checked {
        if !seen.trouble.is_empty() {
            return Err(format!("trouble: {:?}", seen.trouble));
        }
        self.check_frontier(seen)?;
        self.check_segments(&seen.segments, seen.frontier.as_ref())?;
        for (sink, name) in SINKS.iter().enumerate() {
            let history = &mut self.cursors[sink];
            equal(&format!("cursor of {name}"), &seen.cursors[sink], history.current())?;
            history.promised(&seen.durable_cursors[sink])?;
            let letters = self.letters_of(sink).count() as u64;
            // One that has replaced another is counted twice until it is durable.
            if !(letters..=letters + self.replacing(sink)).contains(&seen.letters[sink]) {
                return Err(format!("{} letters of {name}, not {letters}", seen.letters[sink]));
            }
        }
        equal("gaps", &seen.gaps, self.gaps.current())?;
        equal("noted frontier", &seen.noted, self.noted.current())?;
        equal("complete until", &seen.complete, self.complete.current())
    }

    /// It is at something that was handed over, never goes back, and counts right.
    fn check_frontier(&mut self, seen: &Seen) -> Checked {
        let position = seen.frontier.as_ref().map(|(position, _)| position);
        if position < self.durable.as_ref() {
            return Err(format!("frontier at {position:?}, it was at {:?}", self.durable));
        }
        if let Some((position, sequence)) = &seen.frontier {
            if !self.knows(position) {
                return Err(format!("frontier at {position}, which nobody has appended"));
            }
            equal("records up to the frontier", sequence, &self.sequence(Some(position)))?;
        }
        self.durable = position.cloned();
        Ok(())
    }

    /// They do not overlap, have no hole, and begin where they began.
    fn check_segments(
        &mut self,
        segments: &[SeenSegment],
        frontier: Option<&(Position, u64)>,
    ) -> Checked {
        let wrong = |what: &str| Err(format!("{what}: {segments:#?}"));
        for pair in segments.windows(2) {
            if pair[0].last.as_ref().is_none_or(|last| *last >= pair[1].first) {
                return wrong("segments overlap, or one before the last is not sealed");
            }
            if pair[0].end_sequence != pair[1].first_sequence {
                return wrong("sequences have a hole");
            }
        }
        for segment in segments {
            let known = self.entries.partition_point(|known| known.position < segment.first);
            let before = known.checked_sub(1).map_or(0, |last| self.entries[last].sequence);
            if !self.knows(&segment.first) || segment.first_sequence != before {
                return wrong("a segment begins where nothing does, or counts wrong");
            }
            let end_is_right = if let Some(last) = &segment.last {
                *last >= segment.first
                    && self.knows(last)
                    && segment.end_sequence == self.sequence(Some(last))
            } else {
                let frontier = frontier.map_or(0, |(_, sequence)| *sequence);
                (before..=frontier).contains(&segment.end_sequence)
            };
            if !end_is_right {
                return wrong("a segment ends where nothing does, or counts wrong");
            }
        }
        if segments.is_empty() && frontier.is_some() {
            return wrong("the segment of the frontier is missing");
        }
        if self.trimming.is_none()
            && let (Some(before), Some(after)) = (self.segments.first(), segments.first())
        {
            equal("beginning of the log", &after.first, &before.first)?;
        }
        self.segments = segments.to_vec();
        Ok(())
    }

    /// It holds exactly the records that lie between the place and its end.
    fn check_chunk(&mut self, reader: usize, chunk: &SeenChunk) -> Checked {
        let after = self.readers[reader].after.clone();
        let end = &chunk.end;
        let wrong = |what: &str| Err(format!("{what}, in the chunk after {after:?}: {chunk:?}"));
        if after.as_ref() >= Some(end) || Some(end) > self.durable.as_ref() || !self.knows(end) {
            return wrong("it ends before its beginning, beyond the frontier, or nowhere");
        }
        if chunk.sequence != self.sequence(Some(end)) {
            return wrong("it counts wrong");
        }
        let from = self.entries.partition_point(|known| Some(&known.position) <= after.as_ref());
        let to = self.entries.partition_point(|known| known.position <= *end);
        let between = self.entries[from..to].iter().filter(|known| known.record.is_some());
        // What was trimmed may still be remembered.
        let gone = self.segments.first().map(|segment| &segment.first);
        let missing = between.clone().count().checked_sub(chunk.records.len());
        let Some(missing) = missing else { return wrong("it has too many records") };
        for (index, known) in between.enumerate() {
            if index < missing {
                if gone.is_none_or(|gone| known.position >= *gone) {
                    return wrong(&format!("{} is missing", known.position));
                }
                continue;
            }
            let expected = known.seen();
            if Some(&chunk.records[index - missing]) != expected.as_ref() {
                return wrong(&format!("instead of {expected:?}"));
            }
        }
        self.readers[reader].after = Some(end.clone());
        Ok(())
    }

    fn check_record(
        &self,
        position: &Position,
        found: Option<&SeenRecord>,
        durable: Option<&Position>,
    ) -> Checked {
        let known = self.entries.iter().find(|known| known.position == *position);
        let expected = known.and_then(Known::seen);
        let gone = self.segments.first().is_some_and(|segment| *position < segment.first);
        let may_be_missing = gone || Some(position) > durable;
        if found == expected.as_ref() || (found.is_none() && may_be_missing) {
            return Ok(());
        }
        Err(format!("{found:?} instead of {expected:?}"))
    }

    fn letters_of(&self, sink: usize) -> impl Iterator<Item = &Letter> {
        self.letters.iter().filter(move |((of, _), _)| *of == sink).map(|(_, letter)| letter)
    }

    fn replacing(&self, sink: usize) -> u64 {
        self.letters_of(sink).map(|letter| letter.history.changes()).sum()
    }

    /// Checks the dead letters of a sink, all of which are durable now.
    fn found_letters(&mut self, sink: usize, found: &[SeenLetter]) -> Checked {
        let mut found = found.iter().peekable();
        for ((_, position), letter) in self.letters.iter_mut().filter(|((of, _), _)| *of == sink) {
            let next = found.next_if(|found| found.record.position == *position);
            letter.history.found(&next.cloned())?;
        }
        match found.next() {
            Some(letter) => Err(format!("a letter that nobody has written, or twice: {letter:?}")),
            None => Ok(()),
        }
    }

    fn sync_state(&mut self) {
        self.cursors.iter_mut().for_each(History::sync);
        self.letters.values_mut().for_each(|letter| letter.sync_before(i64::MAX));
        self.gaps.sync();
        self.noted.sync();
        self.complete.sync();
    }

    /// Closing in order makes everything durable.
    fn closed(&mut self) {
        if !self.full {
            self.durable = self.entries.last().map(|known| known.position.clone());
            self.sync_state();
        }
    }
}

/// What a crash, or closing, may leave.
impl Model {
    /// Checks what was found, and follows it. `letters` are those of each sink.
    pub fn found(&mut self, seen: &Seen, letters: [Vec<SeenLetter>; 2]) -> Checked {
        self.found_log(seen)?;
        let mut newest = 0;
        for (sink, history) in self.cursors.iter_mut().enumerate() {
            newest = newest.max(history.found(&seen.cursors[sink])?);
        }
        for (sink, letters) in letters.into_iter().enumerate() {
            // A letter is durable no later than a cursor that moved after it.
            self.letters.values_mut().for_each(|letter| letter.sync_before(newest));
            self.found_letters(sink, &letters)?;
        }
        self.letters.retain(|_, letter| letter.history.current().is_some());
        self.gaps.found(&seen.gaps)?;
        self.noted.found(&seen.noted)?;
        self.complete.found(&seen.complete)?;
        let frontier = self.durable.as_ref();
        let passed = seen.cursors.iter().flatten().map(|moved| &moved.position);
        if let Some(ahead) = passed.chain([&seen.noted]).find(|at| at.as_ref() > frontier) {
            return Err(format!("{ahead:?} is in the state, the log ends at {frontier:?}"));
        }
        self.check(seen)
    }

    /// Its frontier lies between what was durable and what was handed over.
    fn found_log(&mut self, seen: &Seen) -> Checked {
        let frontier = seen.frontier.as_ref().map(|(position, _)| position);
        if frontier < self.durable.as_ref() {
            return Err(format!("{:?} was durable, found {frontier:?}", self.durable));
        }
        self.entries.retain(|known| Some(&known.position) <= frontier);
        // A segment without a durable block is none.
        self.segments.retain(|segment| Some(&segment.first) <= frontier);
        if let Some(position) = self.trimming.take() {
            trimmed(&self.segments, &seen.segments, &position, None)?;
            self.segments.clone_from(&seen.segments);
        }
        for reading in &mut self.readers {
            reading.begun = false;
        }
        Ok(())
    }

    /// A reader at the beginning, to read everything with.
    pub fn read_all(&mut self) -> Command {
        self.readers[0] = Reading::default();
        self.read(0, usize::MAX)
    }
}

/// Checks that only segments that end at or below a position are gone, and never the last one; all of
/// those that end before the frontier of a trim that was answered. Returns how many are gone, and their records.
fn trimmed(
    before: &[SeenSegment],
    after: &[SeenSegment],
    position: &Position,
    frontier: Option<&Position>,
) -> Result<(u64, u64), String> {
    let Some(kept) = after.first() else {
        return if before.is_empty() { Ok((0, 0)) } else { Err("nothing is left".to_owned()) };
    };
    let gone: Vec<_> = before.iter().take_while(|segment| segment.first < kept.first).collect();
    // One that was not sealed before may have been sealed and trimmed since.
    if let Some(gone) = gone.iter().find(|gone| gone.last.as_ref().is_some_and(|l| l > position)) {
        return Err(format!("trimmed up to {position}, but {gone:?} is gone"));
    }
    // One that was sealed only after the trim, or held the frontier then, is none of its business.
    let could_go = |segment: &SeenSegment| {
        segment.last.as_ref().is_some_and(|last| last <= position && Some(last) < frontier)
    };
    if before.iter().any(|segment| segment.first == kept.first && could_go(segment)) {
        return Err(format!("trimmed up to {position}, but {kept:?} is still there"));
    }
    let records = gone.first().map_or(0, |first| kept.first_sequence - first.first_sequence);
    Ok((gone.len() as u64, records))
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
