//! A stream of a running log, segment by segment, the way its readers take.
//!
//! Invariants:
//! 1. A damaged sealed segment takes the same way as when a reader comes upon it: it is moved aside, and
//!    the hole it leaves is there to be repaired.
//! 2. Blocks are read from disk, and leave the cache of the readers as it is.
//!
//! Whoever drives it decides on the pace.

use super::check::{Checked, check, check_growing, flaws};
use super::{Damage, StreamFindings};
use crate::event::Position;
use crate::log::segment::Name;
use crate::log::stream::{Place, Stream};
use crate::log::{LogError, files};

const LEFT_ALONE: &str =
    "it is being written, so it was left alone; restart the relay, which then repairs it";

/// A stream that is being looked through.
#[derive(Debug)]
pub struct Inspection {
    stream: Stream,
    /// The frontier when it began: it need not run after a busy writer.
    until: Option<Position>,
    next: Option<Place>,
    findings: StreamFindings,
}

impl Stream {
    /// Begins to look for damage.
    #[must_use]
    pub fn inspect(&self) -> Inspection {
        Inspection {
            stream: self.clone(),
            until: self.frontier().map(|frontier| frontier.position),
            next: self.inner.place(None),
            findings: StreamFindings::new(self.id().clone()),
        }
    }
}

impl Inspection {
    /// Looks at the next segment. Returns whether there was one. Blocking.
    pub fn step(&mut self) -> Result<bool, LogError> {
        let until = self.until.as_ref();
        let Some(here) = self.next.take().filter(|here| Some(here.first()) <= until) else {
            return Ok(false);
        };
        let looked = self.look(&here);
        let is_there = self.stream.inner.has(&here);
        match looked {
            // Trimmed, or moved aside for a reader, while it was looked at.
            Err(_) if !is_there => {}
            Err(error @ LogError::Damaged { .. }) => self.damaged(&here, &error),
            Err(error @ LogError::Io { .. }) => self.unreadable(&here, &error),
            looked => looked?,
        }
        self.next = self.stream.inner.place_after(here.first());
        Ok(true)
    }

    /// What was found, with the holes that are open now.
    pub fn finish(self) -> Result<StreamFindings, LogError> {
        let Self { stream, mut findings, .. } = self;
        for entry in files::list(&stream.inner.path)? {
            let name = entry.file_name().to_string_lossy().into_owned();
            if matches!(Name::of(&name), Name::Quarantined(_)) {
                findings.kept.push(name);
            }
        }
        findings.kept.sort();
        let found = |until: &Position| {
            findings.damages.iter().any(|damage| damage.until.as_ref() == Some(until))
        };
        let holes = stream.holes();
        findings.holes = holes.into_iter().filter(|hole| !found(&hole.until)).collect();
        Ok(findings)
    }

    fn look(&mut self, here: &Place) -> Result<(), LogError> {
        let Some(seal) = here.seal() else {
            let read = here.open(&self.stream.inner).and_then(|active| check_growing(&active))?;
            if let Some(checked) = read {
                self.findings.whole(here.first(), &checked, Vec::new());
            }
            return Ok(());
        };
        let context = &self.stream.inner.context;
        let segment = context.pool.get_anew(self.stream.id(), here.path())?;
        let checked: Checked = check(&segment, here.first(), Some(seal))?;
        drop(segment);
        self.findings.whole(here.first(), &checked, flaws(here.path(), true)?);
        Ok(())
    }

    fn damaged(&mut self, here: &Place, error: &LogError) {
        let reason = match error {
            LogError::Damaged { reason, .. } => reason.clone(),
            other => other.to_string(),
        };
        let segment = Some(here.first().clone());
        let damage = match self.stream.inner.quarantine(here, error) {
            Some((hole, aside)) => Damage {
                segment,
                records: Some(hole.records()),
                after: hole.after,
                until: Some(hole.until),
                reason,
                action: format!(
                    "moved aside as {}; what the API server still has is read again",
                    aside.display()
                ),
            },
            None if here.seal().is_some() => return,
            None => Damage { action: LEFT_ALONE.to_owned(), ..self.unexplained(here, reason) },
        };
        self.findings.damages.push(damage);
    }

    /// The disk does not give it: that may pass, so it stays where it is.
    fn unreadable(&mut self, here: &Place, error: &LogError) {
        let action = "left where it is; look after the disk, and check again".to_owned();
        let damage = Damage { action, ..self.unexplained(here, error.to_string()) };
        self.findings.damages.push(damage);
    }

    fn unexplained(&self, here: &Place, reason: String) -> Damage {
        let seal = here.seal();
        let before = self.stream.inner.end_before(here.first());
        Damage {
            segment: Some(here.first().clone()),
            after: before,
            until: seal.map_or_else(|| self.until.clone(), |seal| Some(seal.last.clone())),
            records: seal.map(|seal| seal.end_sequence.saturating_sub(seal.first_sequence)),
            reason,
            action: String::new(),
        }
    }
}
