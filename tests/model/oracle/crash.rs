//! What a crash, or closing, may leave.

use super::super::protocol::{Command, Seen, SeenLetter};
use super::visible::trimmed;
use super::{Checked, Model, Reading};

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
        self.letters.retain(|_, letter| letter.current().is_some());
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
