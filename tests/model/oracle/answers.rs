//! What an answer has to be, and what is known after it.

use kube_event_relay::event::Position;

use super::super::history::History;
use super::super::protocol::{
    Answer, Command, Outcome, SeenChunk, SeenLetter, SeenRecord, Written,
};
use super::visible::trimmed;
use super::{Checked, Known, Model};

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

    /// Checks the dead letters of a sink, all of which are durable now.
    pub(super) fn found_letters(&mut self, sink: usize, found: &[SeenLetter]) -> Checked {
        let mut found = found.iter().peekable();
        for ((_, position), letter) in self.letters.iter_mut().filter(|((of, _), _)| *of == sink) {
            let next = found.next_if(|found| found.record.position == *position);
            letter.found(&next.cloned())?;
        }
        match found.next() {
            Some(letter) => Err(format!("a letter that nobody has written, or twice: {letter:?}")),
            None => Ok(()),
        }
    }

    fn sync_state(&mut self) {
        self.cursors.iter_mut().for_each(History::sync);
        self.letters.values_mut().for_each(History::sync);
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
