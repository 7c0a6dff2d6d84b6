//! Until when the stream is known to be complete, and what may be missing.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::state::Snapshot;
use crate::event::{Position, ResourceVersion};
use crate::log::Gap;

/// A reader that had nothing to read for this long has read everything the server sent.
pub(super) const CAUGHT_UP: Duration = Duration::from_secs(1);
/// Longest part of the event TTL that is not relied on: how long a dead watch can go unnoticed.
const LONGEST_MARGIN: SignedDuration = SignedDuration::from_mins(5);
/// Time between two reports.
const REPORT_INTERVAL: SignedDuration = SignedDuration::from_secs(1);

/// Everything stored before a time is in the log, or can still be had by listing.
#[derive(Debug)]
pub(super) struct Completeness {
    /// After this long, something may have expired unseen.
    reliable: SignedDuration,
    event_ttl: Duration,
    until: Option<Timestamp>,
    reported: Option<Timestamp>,
    /// Complete until the time once something at or above the version was appended.
    pending: Option<(ResourceVersion, Timestamp)>,
}

impl Completeness {
    /// With what is known from an earlier run.
    pub(super) fn new(event_ttl: Duration, until: Option<Timestamp>) -> Self {
        let ttl = SignedDuration::try_from(event_ttl).unwrap_or(SignedDuration::MAX);
        let reliable = ttl - (ttl / 10).min(LONGEST_MARGIN);
        Self { reliable, event_ttl, until, reported: None, pending: None }
    }

    /// Nobody can know of the future: what an earlier run left behind was written by a clock that
    /// was wrong.
    pub(super) fn begin(&mut self, now: Timestamp) {
        self.until = self.until.filter(|until| until.duration_since(now) <= LONGEST_MARGIN);
    }

    /// The stream is complete until `time`. Returns the time when it is due to be reported.
    pub(super) fn prove(&mut self, time: Timestamp) -> Option<Timestamp> {
        self.until = self.until.max(Some(time));
        self.due()
    }

    /// The stream will be complete until `time` as soon as `newest` has been appended.
    pub(super) fn expect(&mut self, newest: ResourceVersion, time: Timestamp) {
        self.pending = Some((newest, time));
    }

    /// Something at this version was appended. Returns the time when it is due to be reported.
    pub(super) fn appended(&mut self, version: &ResourceVersion) -> Option<Timestamp> {
        let (_, time) = self.pending.take_if(|(newest, _)| &*newest <= version)?;
        self.prove(time)
    }

    fn due(&mut self) -> Option<Timestamp> {
        let until = self.until?;
        let due =
            self.reported.is_none_or(|reported| until.duration_since(reported) >= REPORT_INTERVAL);
        if due {
            self.reported = Some(until);
        }
        due.then_some(until)
    }

    /// What a list cannot bring back.
    ///
    /// An ordinary list merges count updates and loses no object, so it is no gap. It is one when
    /// more time has passed than the API server keeps events, when nobody knows how much has
    /// passed, and when the list holds items that cannot be read.
    pub(super) fn gap(
        &self,
        after: Option<&Position>,
        end: &Position,
        snapshot: &Snapshot,
        unreadable: u64,
    ) -> Option<Gap> {
        let mut causes = Vec::new();
        if after.is_some() {
            causes.extend(self.expired_unseen(snapshot.answered));
        }
        if unreadable > 0 {
            causes.push(format!(
                "{unreadable} items of the API server's list are not readable as events and were \
                 left out"
            ));
        }
        (!causes.is_empty()).then(|| Gap {
            after: after.cloned(),
            until: end.clone(),
            from_time: self.until,
            to_time: snapshot.answered,
            cause: causes.join("; "),
        })
    }

    fn expired_unseen(&self, now: Timestamp) -> Option<String> {
        let ttl = crate::setting::Span(self.event_ttl);
        let Some(until) = self.until else {
            return Some(format!(
                "it is not known until when the log is complete; what the API server kept for \
                 less than the event TTL of {ttl} may be missing"
            ));
        };
        let absence = now.duration_since(until);
        (absence > self.reliable).then(|| {
            format!(
                "nothing was seen for {} s, and the API server keeps events for {ttl}: what \
                 expired in between is missing",
                absence.as_secs()
            )
        })
    }
}
