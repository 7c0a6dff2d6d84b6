//! What to ask the API server next, decided without asking: a pure state machine.
//!
//! It reads no clock, draws no random number and touches neither network nor log: the shell
//! ([`super::run`]) hands in what happened together with a [`Moment`], and carries out the
//! [`Action`]s that come back, in order.
//!
//! ```text
//!            ┌────────────── failure: wait, then ask again ──────────────┐
//!            ▼                                                           │
//!  Idle ─► Asking(probe) ─► Asking(watch) ─► Watching ─ clean end ─► Asking(watch)
//!            │    list is below the frontier    │ too old, silence, no progress
//!            ▼                                  ▼
//!          Asking(page) ─► … ─► Draining ─► Asking(watch)
//! ```
//!
//! Invariants:
//! 1. The position moves only by an item taken from the watch, or to the version of a list that
//!    has been appended completely. A probe never moves it, except to begin an empty log.
//! 2. A gap is reported before anything beyond it is appended.
//! 3. Whatever fails is tried again, and never faster than the backoff allows unless there was
//!    progress in between.
//! 4. `complete_until` is never later than a moment at which everything older is known to be in
//!    the log, or can still be had by listing.

mod asking;
mod backoff;
mod completeness;
mod protocol;
mod state;
#[cfg(test)]
mod tests;
mod watching;

use std::time::Duration;

use jiff::Timestamp;

pub(super) use protocol::{Action, Break, Change, DrainPlan, Input, Item, Moment, Page};

use super::{Phase, PhaseName, RelistCause, Start};
use crate::event::{Generation, Position, ResourceVersion, StreamId};
use backoff::Trouble;
use completeness::Completeness;
use state::{List, Request, State};

/// What the machine goes by; constant while it runs.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    /// The stream, for messages.
    pub(super) stream: StreamId,
    /// What a first start takes over.
    pub(super) start: Start,
    /// How long the API server keeps events.
    pub(super) event_ttl: Duration,
}

/// The state machine of one stream.
#[derive(Debug)]
pub(super) struct Machine {
    rules: Rules,
    /// Everything up to here was handed to the log.
    position: Option<Position>,
    completeness: Completeness,
    trouble: Trouble,
    /// After a restart in a generation above the first: versions up to this one may belong to the
    /// history it shares with earlier generations, when taking that over had been interrupted.
    shared_until: Option<ResourceVersion>,
    /// Whether the newest watch and the newest probe were in order.
    live: bool,
    /// Whether the log has lost a stretch that a list may bring back.
    damaged: bool,
    phase: Option<Phase>,
    state: State,
}

impl Machine {
    /// A machine that resumes after `position`, the frontier of the log.
    pub(super) fn new(
        rules: Rules,
        position: Option<Position>,
        complete_until: Option<Timestamp>,
    ) -> Self {
        let completeness = Completeness::new(rules.event_ttl, complete_until);
        Self {
            rules,
            position,
            completeness,
            trouble: Trouble::default(),
            shared_until: None,
            live: false,
            damaged: false,
            phase: None,
            state: State::Idle,
        }
    }

    /// Everything up to here was handed to the log.
    pub(super) fn position(&self) -> Option<&Position> {
        self.position.as_ref()
    }

    /// The steady time at which [`Input::Woke`] is due, unless something happens before.
    pub(super) fn deadline(&self) -> Option<Duration> {
        match &self.state {
            State::Resting { until, .. } => Some(*until),
            State::Watching(watching) => Some(watching.deadline()),
            State::Idle | State::Asking { .. } | State::Draining { .. } => None,
        }
    }

    /// Takes in what happened and tells what to do about it. An input that does not belong to the
    /// state, such as an answer to a request that was given up, changes nothing.
    pub(super) fn step(&mut self, now: Moment, input: Input) -> Vec<Action> {
        let mut out = Vec::new();
        match (std::mem::replace(&mut self.state, State::Idle), input) {
            (State::Idle, Input::Begin) => self.begin(now, &mut out),
            (State::Resting { until, then }, Input::Woke) if now.steady >= until => {
                self.ask(now, then, &mut out);
            }
            (State::Asking { request: Request::Probe, asked }, Input::Listed(page)) => {
                self.probed(now, asked, page.resource_version, &mut out);
            }
            (State::Asking { request: Request::Page(list), asked }, Input::Listed(page)) => {
                self.listed(now, asked, list, page, &mut out);
            }
            (State::Asking { request: Request::Watch { timeout }, .. }, Input::Connected) => {
                self.connected(now, timeout, &mut out);
            }
            (State::Asking { request, .. }, Input::Failed(failure)) => {
                self.failed(now, request, &failure, &mut out);
            }
            (State::Draining { end, snapshot_at }, Input::Drained) => {
                self.drained(now, end, snapshot_at, &mut out);
            }
            (state, Input::Damaged) => self.damaged(now, state, &mut out),
            (State::Watching(watching), input) => self.watching(now, watching, input, &mut out),
            (state, _) => self.state = state,
        }
        out
    }

    fn begin(&mut self, now: Moment, out: &mut Vec<Action>) {
        self.completeness.begin(now.wall);
        let first_list =
            |since| Request::Page(List { since, ..List::new(RelistCause::FirstStart) });
        let request = match (&self.position, self.rules.start) {
            (Some(_), _) | (None, Start::Now) => Request::Probe,
            (None, Start::All) => first_list(None),
            // A duration that reaches back before the beginning of time takes everything.
            (None, Start::Since(span)) => first_list(now.wall.checked_sub(span.0).ok()),
        };
        self.ask(now, request, out);
    }

    /// Makes a request.
    fn ask(&mut self, now: Moment, request: Request, out: &mut Vec<Action>) {
        let (name, action) = match &request {
            Request::Probe => (PhaseName::Connecting, Action::Probe),
            Request::Page(list) => (PhaseName::Listing, Action::List { token: list.token.clone() }),
            Request::Watch { timeout } => {
                let Some(position) = &self.position else {
                    // Every way here passes a list or a probe that sets the position.
                    return self.ask(now, Request::Probe, out);
                };
                let from = position.resource_version.clone();
                (PhaseName::Connecting, Action::Watch { from, timeout: *timeout })
            }
        };
        // While it is not live, the reason stands until something else is known.
        let standing = self.phase.as_ref().filter(|_| !self.live);
        let reason = standing.and_then(|phase| phase.reason.clone());
        self.enter(name, reason, out);
        out.push(action);
        self.state = State::Asking { request, asked: now.wall };
    }

    /// The log has lost a stretch: the next thing to open is a list, not a watch.
    fn damaged(&mut self, now: Moment, state: State, out: &mut Vec<Action>) {
        self.damaged = true;
        if matches!(state, State::Watching(_)) {
            out.push(Action::HangUp);
            self.relist(now, RelistCause::Damaged, out);
        } else {
            self.state = state;
        }
    }

    /// Opens the next watch.
    fn watch(&mut self, now: Moment, out: &mut Vec<Action>) {
        if self.damaged {
            return self.relist(now, RelistCause::Damaged, out);
        }
        self.ask(now, Request::Watch { timeout: state::watch_timeout(now) }, out);
    }

    /// Waits before a request and says why.
    fn rest(
        &mut self,
        now: Moment,
        delay: Duration,
        then: Request,
        reason: String,
        out: &mut Vec<Action>,
    ) {
        self.live = false;
        self.enter(PhaseName::Waiting, Some(reason), out);
        self.state = State::Resting { until: now.steady + delay, then };
    }

    /// Lists everything anew, at once when there was progress since the last time.
    fn relist(&mut self, now: Moment, cause: RelistCause, out: &mut Vec<Action>) {
        let request = Request::Page(List::new(cause));
        let delay = self.trouble.before_relist(now);
        if delay.is_zero() {
            self.ask(now, request, out);
        } else {
            self.rest(now, delay, request, format!("listing anew soon: {cause}"), out);
        }
    }

    /// Tells the phase when it changed.
    fn enter(&mut self, name: PhaseName, reason: Option<String>, out: &mut Vec<Action>) {
        let phase = Phase { name, live: self.live, reason };
        if self.phase.as_ref() != Some(&phase) {
            self.phase = Some(phase.clone());
            out.push(Action::Enter(phase));
        }
    }

    /// Generation of what comes from a list or watch now.
    fn generation(&self) -> Generation {
        self.position.as_ref().map_or_else(Generation::default, |position| position.generation)
    }

    /// Whether the API server's history goes on after what is in the log.
    fn is_behind(&self, newest: &ResourceVersion) -> bool {
        self.position.as_ref().is_some_and(|position| position.resource_version < *newest)
    }

    /// Whether the API server's history ends before what is in the log.
    fn is_rewound(&self, newest: &ResourceVersion) -> bool {
        self.position.as_ref().is_some_and(|position| *newest < position.resource_version)
    }
}
