//! What happens while a watch is open.

use std::time::Duration;

use jiff::Timestamp;

use super::backoff::{FIRST_WAIT, LONGEST_WAIT, THROTTLED_WAIT, refused_wait};
use super::completeness::CAUGHT_UP;
use super::protocol::Item;
use super::state::{Probe, Request, State, Watching, next_probe};
use super::{Action, Break, Change, Input, Machine, Moment};
use crate::event::{Generation, Position, ResourceVersion};
use crate::source::failure::{Failure, Meaning};
use crate::source::{PhaseName, RelistCause};

/// A watch that is closed this soon, without an item, was not able to start where it was told to
/// (sink-protocols.md 11.3, shape C).
const CLOSED_AT_ONCE: Duration = Duration::from_secs(2);
/// A watch may end this much before its time and still have lasted as long as it was asked to.
const TIMEOUT_TOLERANCE: Duration = Duration::from_secs(5);
/// A watch that lasted this long shows that the way to the API server is in order.
const STEADY: Duration = Duration::from_secs(30);
/// A watch that is silent for this long while the API server's history goes on may be dead. It may
/// also be that no event was written: that cannot be told apart, and a new watch costs little.
const SILENT: Duration = Duration::from_secs(30);
/// Probes that fail in a row before the watch beside them is no longer believed.
const FAILED_PROBES: u32 = 2;

impl Machine {
    pub(super) fn watching(
        &mut self,
        now: Moment,
        watching: Watching,
        input: Input,
        out: &mut Vec<Action>,
    ) {
        match input {
            Input::Item(item) => self.item(now, watching, item, out),
            Input::Broken(end) => self.broken(now, &watching, end, out),
            Input::Woke => self.woke(now, watching, out),
            Input::Probed { answer, waited } => {
                self.probe_answered(now, watching, answer, waited, out);
            }
            _ => self.state = State::Watching(watching),
        }
    }

    fn item(&mut self, now: Moment, mut watching: Watching, item: Item, out: &mut Vec<Action>) {
        let position = Position::new(self.generation(), item.resource_version);
        if let Some(current) = self.position.as_ref().filter(|current| position < **current) {
            let what = format!("an item at {position} came after {current}");
            return self.broken(now, &watching, Break::Unreadable(what), out);
        }
        // Deletions by one expired lease share a version: equal is in order.
        if self.position.as_ref() != Some(&position) {
            self.position = Some(position.clone());
            self.trouble.progress();
            out.push(match item.change {
                Change::Record if self.may_be_shared(&position) => {
                    Action::KeepUnlessKnown(position.clone())
                }
                Change::Record => Action::Keep(position.clone()),
                Change::Advance => Action::Advance(position.clone()),
            });
        }
        watching.had_items = true;
        let proven = if item.waited >= CAUGHT_UP {
            self.completeness.prove(now.wall)
        } else {
            self.completeness.appended(&position.resource_version)
        };
        out.extend(proven.map(Action::CompleteUntil));
        self.state = State::Watching(watching);
    }

    fn may_be_shared(&self, position: &Position) -> bool {
        position.generation > Generation::default()
            && self.shared_until.as_ref().is_some_and(|until| position.resource_version <= *until)
    }

    /// The deadline has come: either the watch is overdue, or a probe is due.
    fn woke(&mut self, now: Moment, mut watching: Watching, out: &mut Vec<Action>) {
        if now.steady >= watching.read_deadline() {
            let what = format!(
                "the server did not end it after {} s as asked",
                watching.timeout.as_secs()
            );
            out.push(Action::Renew);
            return self.broken(now, &watching, Break::Cut(what), out);
        }
        if matches!(watching.probe, Probe::Due(at) if now.steady >= at) {
            self.begin_probe(now, &mut watching, out);
        }
        self.state = State::Watching(watching);
    }

    fn begin_probe(&self, now: Moment, watching: &mut Watching, out: &mut Vec<Action>) {
        if let Some(position) = self.position.clone() {
            watching.probe = Probe::UnderWay { asked: now.wall, position };
            out.push(Action::Probe);
        }
    }

    fn probe_answered(
        &mut self,
        now: Moment,
        mut watching: Watching,
        answer: Result<ResourceVersion, Failure>,
        waited: Duration,
        out: &mut Vec<Action>,
    ) {
        let Probe::UnderWay { asked, position } = watching.probe.clone() else {
            self.state = State::Watching(watching);
            return;
        };
        match answer {
            Ok(newest) if newest < position.resource_version => {
                // Shape D: the watch waits in silence for versions that lie far in the future.
                self.live = false;
                out.push(Action::HangUp);
                self.relist(now, RelistCause::HistoryReplaced, out);
            }
            Ok(newest) => {
                watching.failed_probes = 0;
                watching.probe = Probe::Due(next_probe(now));
                let doubted = waited >= SILENT && self.is_behind(&newest);
                self.probe_agreed(asked, newest, waited, out);
                self.live = true;
                if doubted {
                    self.trouble.steady();
                    out.push(Action::HangUp);
                    return self.watch(now, out);
                }
                self.enter(PhaseName::Watching, None, out);
                self.state = State::Watching(watching);
            }
            Err(failure) => self.probe_failed(now, watching, &failure, out),
        }
    }

    /// A reader that has caught up shows that everything older than the probe has been read;
    /// otherwise the version of the probe has to be reached first.
    fn probe_agreed(
        &mut self,
        asked: Timestamp,
        newest: ResourceVersion,
        waited: Duration,
        out: &mut Vec<Action>,
    ) {
        let reached =
            self.position.as_ref().is_some_and(|position| position.resource_version >= newest);
        if reached || waited >= CAUGHT_UP {
            out.extend(self.completeness.prove(asked).map(Action::CompleteUntil));
        } else {
            self.completeness.expect(newest, asked);
        }
    }

    fn probe_failed(
        &mut self,
        now: Moment,
        mut watching: Watching,
        failure: &Failure,
        out: &mut Vec<Action>,
    ) {
        let meaning = failure.meaning();
        if meaning != Meaning::Throttled {
            watching.failed_probes += 1;
        }
        let doubted = watching.failed_probes >= FAILED_PROBES;
        let reason = failure.explain("list", &self.rules.stream);
        if let Failure::Network(_) = failure {
            if doubted {
                // What swallows probes has swallowed the watch as well.
                out.push(Action::Renew);
                return self.broken(now, &watching, Break::Cut(reason), out);
            }
            out.push(Action::Renew);
            self.begin_probe(now, &mut watching, out);
            self.state = State::Watching(watching);
            return;
        }
        let wait = match meaning {
            Meaning::Unauthorized if !doubted => {
                out.push(Action::Renew);
                Duration::ZERO
            }
            Meaning::Unauthorized | Meaning::Refused => refused_wait(now),
            Meaning::Throttled => failure.retry_after().unwrap_or(THROTTLED_WAIT),
            Meaning::Unavailable | Meaning::TooOld => {
                let backoff = FIRST_WAIT.saturating_mul(1 << watching.failed_probes.min(16));
                backoff.min(LONGEST_WAIT).max(failure.retry_after().unwrap_or_default())
            }
        };
        watching.probe = Probe::Due(now.steady + wait);
        if doubted {
            self.live = false;
            self.enter(PhaseName::Watching, Some(reason), out);
        }
        self.state = State::Watching(watching);
    }

    /// The watch is over.
    fn broken(&mut self, now: Moment, watching: &Watching, end: Break, out: &mut Vec<Action>) {
        out.push(Action::HangUp);
        let lasted = now.steady.saturating_sub(watching.since);
        if lasted >= STEADY {
            self.trouble.steady();
        }
        let (what, asked_for, unreadable) = match end {
            Break::Closed => return self.closed(now, watching, lasted, out),
            Break::Error(failure) if failure.meaning() == Meaning::TooOld => {
                return self.relist(now, RelistCause::TooOld, out);
            }
            Break::Error(failure) => {
                (failure.explain("watch", &self.rules.stream), failure.retry_after(), false)
            }
            Break::Cut(cause) => (format!("the watch was cut: {cause}"), None, false),
            Break::Unreadable(cause) => {
                (format!("the watch sent what cannot be read: {cause}"), None, true)
            }
        };
        let position = self.position.clone();
        if unreadable && self.trouble.unreadable(position.as_ref()) {
            return self.relist(now, RelistCause::Unreadable, out);
        }
        if self.trouble.broke() {
            return self.relist(now, RelistCause::NoProgress, out);
        }
        let wait = self.trouble.next_wait(now).max(asked_for.unwrap_or_default());
        self.rest(now, wait, Request::Probe, what, out);
    }

    /// The server ended the watch between two items.
    fn closed(
        &mut self,
        now: Moment,
        watching: &Watching,
        lasted: Duration,
        out: &mut Vec<Action>,
    ) {
        let early = lasted + TIMEOUT_TOLERANCE < watching.timeout;
        if watching.had_items || !early {
            self.trouble.ended_early = false;
            if lasted < THROTTLED_WAIT {
                let wait = self.trouble.next_wait(now);
                let reason = "the API server ends watches at once".to_owned();
                return self.rest(now, wait, Request::Probe, reason, out);
            }
            return self.watch(now, out);
        }
        if lasted < CLOSED_AT_ONCE || self.trouble.ended_early {
            self.trouble.ended_early = false;
            return self.relist(now, RelistCause::EmptyClose, out);
        }
        self.trouble.ended_early = true;
        self.watch(now, out);
    }
}
