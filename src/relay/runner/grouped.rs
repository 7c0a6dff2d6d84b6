//! A runner whose sink tells equal records as one: what it reads goes into groups, and groups that are
//! due go out.

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::flight::Flight;
use super::{Course, Feed, Ledger, Pace, Runner, Step};
use crate::event::Record;
use crate::log::LogError;
use crate::sink::Repeats;

/// The time of day as of the start and what has passed since: nobody can set it back, and it stands still
/// with the time of a test.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    instant: Instant,
    time: Timestamp,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self { instant: Instant::now(), time: Timestamp::now() }
    }

    fn now(self) -> Timestamp {
        let passed = SignedDuration::try_from(self.instant.elapsed()).unwrap_or_default();
        self.time.saturating_add(passed).unwrap_or(Timestamp::MAX)
    }

    fn instant(self, time: Timestamp) -> Instant {
        let wait = std::time::Duration::try_from(time.duration_since(self.time));
        // Far away is never.
        self.instant.checked_add(wait.unwrap_or_default()).unwrap_or(self.instant)
    }
}

impl<F: Feed, L: Ledger> Runner<F, L> {
    /// What groups there are to be told, or when; `None` when the sink tells records by themselves.
    pub(super) fn next_step_of_groups(&mut self) -> Option<Step> {
        let now = self.clock.now();
        let grouping = self.grouping.as_mut()?;
        if !grouping.due(now).is_empty() {
            return Some(Step::TellGroups);
        }
        let wait = grouping.next_due().map(|due| self.clock.instant(due));
        (grouping.takes_in() || wait.is_some()).then_some(Step::WaitUntil(wait))
    }

    /// Puts what was read into groups, and moves the cursors past it.
    pub(super) fn put_into_groups(&mut self) {
        let now = self.clock.now();
        let Some(grouping) = self.grouping.as_mut().filter(|grouping| grouping.takes_in()) else {
            return;
        };
        for (track, lane) in self.tracks.iter_mut().zip(&self.report.lanes) {
            let mut mark = None;
            while track.lane.first().is_some_and(|first| grouping.take_in(first, now)) {
                mark = track.lane.pass_first();
            }
            if let Some(mark) = mark {
                track.lane.committed(&mark);
                let changed = grouping.take_changed();
                let name = self.report.name();
                self.ledger.move_cursor_into_groups(name, &track.stream, mark, changed);
            }
            lane.set_oldest(track.lane.oldest());
        }
    }

    /// Tells groups that are due: one alone while the limit has room for all, else as many as fit.
    pub(super) async fn tell_groups(&mut self) -> Result<Course, LogError> {
        let Some(pass) = self.pass(Pace::AtOnce).await else { return Ok(Course::Stopped) };
        let mut due = self.due_groups().await?;
        let alone = self.has_room_for(due.len(), pass.as_ref());
        drop(pass);
        if alone {
            due.truncate(1);
        } else {
            if self.pass(Pace::Spread).await.is_none() {
                return Ok(Course::Stopped);
            }
            due = self.due_groups().await?;
            due.truncate(self.limits.max_records);
        }
        self.deliver_groups(&due).await
    }

    /// What is due after all that is there was read.
    async fn due_groups(&mut self) -> Result<Vec<u16>, LogError> {
        self.read_what_is_there().await?;
        self.put_into_groups();
        let now = self.clock.now();
        Ok(self.grouping.as_mut().map(|grouping| grouping.due(now)).unwrap_or_default())
    }

    async fn deliver_groups(&mut self, places: &[u16]) -> Result<Course, LogError> {
        let (records, repeats) = self.groups_at(places);
        let mut flight = Flight::new(records);
        let mut told = vec![false; places.len()];
        while !flight.is_over() {
            let Some(verdict) = self.attempt(&mut flight, Some(&repeats)).await? else {
                return Ok(Course::Stopped);
            };
            self.bury(&flight, &verdict).await?;
            let now = self.clock.now();
            let mut delivered = 0;
            for index in (0..places.len()).filter(|index| flight.is_done(*index)) {
                if !std::mem::replace(&mut told[index], true) {
                    delivered += repeats[index].records;
                    self.grouping.iter_mut().for_each(|grouping| grouping.told(places[index], now));
                }
            }
            let refused = verdict.rejected.iter().map(|(index, _)| repeats[*index].records);
            self.keep_groups();
            self.note_progress(&verdict, delivered - refused.sum::<u64>());
            if self.wait_out(&flight, &verdict).await == Course::Stopped {
                return Ok(Course::Stopped);
            }
        }
        Ok(Course::On)
    }

    fn groups_at(&self, places: &[u16]) -> (Vec<Record>, Vec<Repeats>) {
        let group = |place: &u16| self.grouping.as_ref()?.get(*place);
        places.iter().filter_map(group).map(|(record, repeats)| (record.clone(), repeats)).unzip()
    }

    fn keep_groups(&mut self) {
        if let Some(grouping) = &mut self.grouping {
            let changed = grouping.take_changed();
            if !changed.is_empty() {
                self.ledger.put_groups(self.report.name(), changed);
            }
        }
    }
}
