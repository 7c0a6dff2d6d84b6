//! What can be seen without reading: frontier, segments, and what the state says of itself.

use kube_event_relay::event::Position;

use super::super::protocol::{SINKS, Seen, SeenSegment};
use super::{Checked, Letter, Model, equal};

impl Model {
    /// Checks everything that can be seen without reading.
    pub(super) fn check(&mut self, seen: &Seen) -> Checked {
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

    fn letters_of(&self, sink: usize) -> impl Iterator<Item = &Letter> {
        self.letters.iter().filter(move |((of, _), _)| *of == sink).map(|(_, letter)| letter)
    }

    fn replacing(&self, sink: usize) -> u64 {
        self.letters_of(sink).map(Letter::changes).sum()
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
}

/// Checks that only segments that end at or below a position are gone, and never the last one; all of
/// those that end before the frontier of a trim that was answered. Returns how many are gone, and their records.
pub(super) fn trimmed(
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
