//! Answers to requests: probes, pages, and failures.

use jiff::Timestamp;

use super::backoff::THROTTLED_WAIT;
use super::state::{List, Request, Snapshot, State, Watching};
use super::{Action, DrainPlan, Machine, Moment, Page};
use crate::event::{Generation, Position, ResourceVersion};
use crate::source::failure::{Failure, Meaning};
use crate::source::{PhaseName, RelistCause};

impl Machine {
    /// A probe before a watch was answered.
    pub(super) fn probed(
        &mut self,
        now: Moment,
        asked: Timestamp,
        newest: ResourceVersion,
        out: &mut Vec<Action>,
    ) {
        self.trouble.credentials_renewed = false;
        match &self.position {
            None => {
                // First start from now on: the version of the probe is where the log begins.
                let position = Position::new(Generation::default(), newest);
                self.position = Some(position.clone());
                out.push(Action::Advance(position));
                out.push(Action::Sync);
                out.extend(self.completeness.prove(asked).map(Action::CompleteUntil));
                self.watch(now, out);
            }
            Some(_) if self.is_rewound(&newest) => {
                self.relist(now, RelistCause::HistoryReplaced, out);
            }
            Some(position) => {
                if position.resource_version == newest {
                    out.extend(self.completeness.prove(asked).map(Action::CompleteUntil));
                }
                if position.generation > Generation::default() && self.shared_until.is_none() {
                    // The first probe: whatever is newer was written while this process runs.
                    self.shared_until = Some(newest);
                }
                self.watch(now, out);
            }
        }
    }

    /// A page has come.
    pub(super) fn listed(
        &mut self,
        now: Moment,
        asked: Timestamp,
        mut list: List,
        page: Page,
        out: &mut Vec<Action>,
    ) {
        self.trouble.credentials_renewed = false;
        let snapshot = list.snapshot.take().unwrap_or_else(|| {
            out.push(Action::Relisted(list.cause));
            let replaced = self.is_rewound(&page.resource_version);
            let generation = self.generation();
            Snapshot {
                resource_version: page.resource_version,
                generation: if replaced { generation.next() } else { generation },
                replaced,
                asked,
                answered: now.wall,
            }
        });
        out.push(Action::Stage(snapshot.generation));
        list.unreadable += page.unreadable;
        if let Some(token) = page.next {
            let list = List { token: Some(token), snapshot: Some(snapshot), ..list };
            return self.ask(now, Request::Page(list), out);
        }
        self.drain(&list, &snapshot, out);
    }

    fn drain(&mut self, list: &List, snapshot: &Snapshot, out: &mut Vec<Action>) {
        let end = Position::new(snapshot.generation, snapshot.resource_version.clone());
        let after = self.position.clone();
        let gap = self.completeness.gap(after.as_ref(), &end, snapshot, list.unreadable);
        out.extend(gap.map(Action::Report));
        if after.is_none() {
            // A first start promises nothing about what expired before it was done.
            out.extend(self.completeness.prove(snapshot.asked).map(Action::CompleteUntil));
        }
        let (since, replaced) = (list.since, snapshot.replaced);
        out.push(Action::Drain(DrainPlan { after, end: end.clone(), since, replaced }));
        self.state = State::Draining { end, snapshot_at: snapshot.asked };
    }

    /// A list is in the log.
    pub(super) fn drained(
        &mut self,
        now: Moment,
        end: Position,
        snapshot_at: Timestamp,
        out: &mut Vec<Action>,
    ) {
        // What follows a complete list is newer than anything the generations share.
        self.shared_until = Some(end.resource_version.clone());
        self.position = Some(end);
        self.damaged = false;
        self.trouble.listed();
        out.extend(self.completeness.prove(snapshot_at).map(Action::CompleteUntil));
        self.watch(now, out);
    }

    /// A watch was accepted.
    pub(super) fn connected(
        &mut self,
        now: Moment,
        timeout: std::time::Duration,
        out: &mut Vec<Action>,
    ) {
        self.trouble.credentials_renewed = false;
        self.live = true;
        self.enter(PhaseName::Watching, None, out);
        self.state = State::Watching(Watching::new(now, timeout));
    }

    /// A request was not fulfilled.
    pub(super) fn failed(
        &mut self,
        now: Moment,
        request: Request,
        failure: &Failure,
        out: &mut Vec<Action>,
    ) {
        let reason = failure.explain(request.verb(), &self.rules.stream);
        let asked_for = failure.retry_after();
        match failure.meaning() {
            Meaning::TooOld => self.too_old(now, request, reason, out),
            Meaning::Throttled => {
                let wait = self.trouble.next_wait(now).max(THROTTLED_WAIT);
                self.rest(now, asked_for.unwrap_or(wait), request, reason, out);
            }
            Meaning::Unauthorized if !self.trouble.credentials_renewed => {
                self.trouble.credentials_renewed = true;
                out.push(Action::Renew);
                self.ask(now, request, out);
            }
            Meaning::Unauthorized => {
                self.trouble.credentials_renewed = false;
                let wait = self.trouble.next_refused_wait(now);
                self.rest(now, wait, request, reason, out);
            }
            Meaning::Refused => {
                let wait = self.trouble.next_refused_wait(now);
                self.rest(now, wait, request, reason, out);
            }
            Meaning::Unavailable => {
                if matches!(failure, Failure::Network(_)) {
                    // A pooled connection may be dead without knowing it.
                    out.push(Action::Renew);
                }
                let wait = self.trouble.next_wait(now).max(asked_for.unwrap_or_default());
                let then = match request {
                    Request::Watch { .. } => Request::Probe,
                    same => same,
                };
                self.rest(now, wait, then, reason, out);
            }
        }
    }

    fn too_old(&mut self, now: Moment, request: Request, reason: String, out: &mut Vec<Action>) {
        match request {
            Request::Watch { .. } => self.relist(now, RelistCause::TooOld, out),
            Request::Page(list) => {
                // The token of a "consistent" continuation is gone; the one the server offers
                // instead would mix two states. Staged pages are dropped with the restart.
                let list = list.restarted(RelistCause::ContinuationExpired);
                let wait = self.trouble.next_wait(now);
                self.rest(now, wait, Request::Page(list), reason, out);
            }
            Request::Probe => {
                let wait = self.trouble.next_wait(now);
                self.rest(now, wait, Request::Probe, reason, out);
            }
        }
    }
}
