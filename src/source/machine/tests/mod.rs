//! Every transition of the machine, without a runtime.

mod asking;
mod listing;
mod probing;
mod starting;
mod watching;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{Action, Break, Change, Input, Item, Machine, Moment, Page, Rules};
use crate::event::{Position, ResourceVersion, StreamId};
use crate::source::failure::{Failure, Refusal};
use crate::source::{Phase, RelistCause, Start};

/// A machine on a workbench: time moves when the test says so, and chance is one half.
struct Bench {
    machine: Machine,
    steady: Duration,
}

const HOUR: Duration = Duration::from_secs(3600);

fn base() -> Timestamp {
    "2026-01-01T12:00:00Z".parse().expect("a time")
}

/// The time so many seconds after the bench was set up.
fn at(seconds: i64) -> Timestamp {
    base() + SignedDuration::from_secs(seconds)
}

fn version(number: u64) -> ResourceVersion {
    number.to_string().parse().expect("a version")
}

fn position(text: &str) -> Position {
    text.parse().expect("a position")
}

fn answer(code: u16) -> Failure {
    Failure::Answer(Refusal { code, ..Refusal::default() })
}

fn answer_after(code: u16, seconds: u64) -> Failure {
    let retry_after = Some(Duration::from_secs(seconds));
    Failure::Answer(Refusal { code, retry_after, ..Refusal::default() })
}

fn network() -> Failure {
    Failure::Network("connection refused".to_owned())
}

fn page(newest: u64) -> Input {
    Input::Listed(Page { resource_version: version(newest), next: None, unreadable: 0 })
}

fn page_of_more(newest: u64, token: &str) -> Input {
    let next = Some(token.to_owned());
    Input::Listed(Page { resource_version: version(newest), next, unreadable: 0 })
}

fn item(number: u64) -> Input {
    item_of(number, Change::Record, Duration::ZERO)
}

fn item_of(number: u64, change: Change, waited: Duration) -> Input {
    Input::Item(Item { resource_version: version(number), change, waited })
}

fn closed() -> Input {
    Input::Broken(Break::Closed)
}

fn cut() -> Input {
    Input::Broken(Break::Cut("connection reset".to_owned()))
}

fn error_event(failure: Failure) -> Input {
    Input::Broken(Break::Error(failure))
}

fn unreadable() -> Input {
    Input::Broken(Break::Unreadable("not JSON".to_owned()))
}

impl Bench {
    fn new(start: Start, frontier: Option<&str>, complete_until: Option<Timestamp>) -> Self {
        let rules = Rules { stream: StreamId::all_namespaces(), start, event_ttl: HOUR };
        let machine = Machine::new(rules, frontier.map(position), complete_until);
        Self { machine, steady: Duration::ZERO }
    }

    /// A log that ends at 0.100 and was complete a minute ago.
    fn resumed() -> Self {
        Self::new(Start::Now, Some("0.100"), Some(at(-60)))
    }

    /// The same with an open watch.
    fn watching() -> Self {
        let mut bench = Self::resumed();
        bench.step(Input::Begin);
        bench.step(page(100));
        bench.step(Input::Connected);
        bench
    }

    /// The same with a probe under way beside the watch.
    fn probing() -> Self {
        let mut bench = Self::watching();
        assert!(bench.wake().contains(&Action::Probe));
        bench
    }

    fn after(&mut self, seconds: u64) -> &mut Self {
        self.steady += Duration::from_secs(seconds);
        self
    }

    fn step(&mut self, input: Input) -> Vec<Action> {
        let wall = base() + SignedDuration::try_from(self.steady).expect("a short time");
        self.machine.step(Moment { wall, steady: self.steady, chance: 0.5 }, input)
    }

    /// Lets the deadline come.
    fn wake(&mut self) -> Vec<Action> {
        self.steady = self.machine.deadline().expect("something is due");
        self.step(Input::Woke)
    }

    /// How long until the deadline.
    fn due_in(&self) -> Duration {
        self.machine.deadline().expect("something is due").saturating_sub(self.steady)
    }

    fn at(&self) -> String {
        self.machine.position().expect("a position").to_string()
    }
}

/// The requests among the actions.
fn requests(actions: &[Action]) -> Vec<String> {
    let describe = |action: &Action| match action {
        Action::Probe => Some("probe".to_owned()),
        Action::List { token: None } => Some("list".to_owned()),
        Action::List { token: Some(token) } => Some(format!("list {token}")),
        Action::Watch { from, .. } => Some(format!("watch {from}")),
        Action::Drain(plan) => Some(format!("drain {}", plan.end)),
        Action::HangUp => Some("hang up".to_owned()),
        Action::Renew => Some("renew".to_owned()),
        _ => None,
    };
    actions.iter().filter_map(describe).collect()
}

fn phase(actions: &[Action]) -> Option<&Phase> {
    actions.iter().rev().find_map(|action| match action {
        Action::Enter(phase) => Some(phase),
        _ => None,
    })
}

fn reason(actions: &[Action]) -> String {
    phase(actions).and_then(|phase| phase.reason.clone()).expect("a reason")
}

fn complete_until(actions: &[Action]) -> Option<Timestamp> {
    actions.iter().find_map(|action| match action {
        Action::CompleteUntil(time) => Some(*time),
        _ => None,
    })
}

fn relisted(actions: &[Action]) -> Option<RelistCause> {
    actions.iter().find_map(|action| match action {
        Action::Relisted(cause) => Some(*cause),
        _ => None,
    })
}
