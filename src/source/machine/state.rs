//! The states and their ways out.

use std::time::Duration;

use jiff::Timestamp;

use super::protocol::Moment;
use crate::event::{Generation, Position, ResourceVersion};
use crate::source::RelistCause;

/// How long a watch is asked to last. Below the 5 minutes after which load balancers cut
/// connections, and below the API server's own limit.
const WATCH_TIMEOUT: Duration = Duration::from_secs(230);
/// Spread of that time, so that streams do not reconnect in step.
const WATCH_TIMEOUT_SPREAD: Duration = Duration::from_secs(20);
/// How long after its time-out a watch that was not ended by the server is given up.
const READ_GRACE: Duration = Duration::from_secs(15);
/// Time between probes beside an open watch.
const PROBE_INTERVAL: Duration = Duration::from_secs(55);
/// Spread of that time.
const PROBE_SPREAD: Duration = Duration::from_secs(10);

/// Where the machine stands.
#[derive(Debug)]
pub(super) enum State {
    /// Not started. Way out: `Begin`.
    Idle,
    /// Waiting after a failure. Way out: `Woke` at `until`, then the request is made.
    Resting {
        /// Steady time.
        until: Duration,
        /// What is asked next.
        then: Request,
    },
    /// A request is under way. Way out: its answer (`Listed`, `Connected`) or `Failed`.
    Asking {
        /// What was asked.
        request: Request,
        /// When.
        asked: Timestamp,
    },
    /// A complete list is being appended. Way out: `Drained`.
    Draining {
        /// Position of the list.
        end: Position,
        /// When the list was asked for.
        snapshot_at: Timestamp,
    },
    /// A watch is open. Ways out: `Broken`; a probe that shows an older history or fails twice;
    /// the read deadline.
    Watching(Watching),
}

/// A request to the API server.
#[derive(Debug, Clone)]
pub(super) enum Request {
    /// LIST with limit 1.
    Probe,
    /// A page of a list.
    Page(List),
    /// A watch from the position.
    Watch {
        /// How long it is asked to last.
        timeout: Duration,
    },
}

impl Request {
    /// The RBAC verb it needs.
    pub(super) fn verb(&self) -> &'static str {
        match self {
            Self::Probe | Self::Page(_) => "list",
            Self::Watch { .. } => "watch",
        }
    }
}

/// A list under way.
#[derive(Debug, Clone)]
pub(super) struct List {
    /// Why it was begun.
    pub(super) cause: RelistCause,
    /// On a first start: only what was last seen after this time.
    pub(super) since: Option<Timestamp>,
    /// The page that is due; none for the first.
    pub(super) token: Option<String>,
    /// Known from the first page on.
    pub(super) snapshot: Option<Snapshot>,
    /// Items that are not events.
    pub(super) unreadable: u64,
}

/// The state of the API server that a list shows.
#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    /// Version of the list.
    pub(super) resource_version: ResourceVersion,
    /// Generation its items belong to.
    pub(super) generation: Generation,
    /// Whether it begins a new generation.
    pub(super) replaced: bool,
    /// When the first page was asked for: everything stored before is in the list.
    pub(super) asked: Timestamp,
    /// When the first page had arrived.
    pub(super) answered: Timestamp,
}

impl List {
    /// A list from the beginning.
    pub(super) fn new(cause: RelistCause) -> Self {
        Self { cause, since: None, token: None, snapshot: None, unreadable: 0 }
    }

    /// The same list from the beginning.
    pub(super) fn restarted(&self, cause: RelistCause) -> Self {
        Self { since: self.since, ..Self::new(cause) }
    }
}

/// An open watch.
#[derive(Debug)]
pub(super) struct Watching {
    /// Steady time at which it was opened.
    pub(super) since: Duration,
    /// How long it was asked to last.
    pub(super) timeout: Duration,
    /// Whether anything came.
    pub(super) had_items: bool,
    /// The probe beside it.
    pub(super) probe: Probe,
    /// Probes that failed since the last that did not.
    pub(super) failed_probes: u32,
}

/// The probe beside an open watch.
#[derive(Debug, Clone)]
pub(super) enum Probe {
    /// The next is due at this steady time.
    Due(Duration),
    /// One is under way.
    UnderWay {
        /// When it was asked for.
        asked: Timestamp,
        /// The position at that time: the answer must not lie below it.
        position: Position,
    },
}

impl Watching {
    /// A watch that was just opened.
    pub(super) fn new(now: Moment, timeout: Duration) -> Self {
        Self {
            since: now.steady,
            timeout,
            had_items: false,
            probe: Probe::Due(next_probe(now)),
            failed_probes: 0,
        }
    }

    /// Steady time at which the server should long have ended it.
    pub(super) fn read_deadline(&self) -> Duration {
        self.since + self.timeout + READ_GRACE
    }

    /// Steady time at which something is due.
    pub(super) fn deadline(&self) -> Duration {
        match self.probe {
            Probe::Due(at) => at.min(self.read_deadline()),
            Probe::UnderWay { .. } => self.read_deadline(),
        }
    }
}

/// How long the next watch is asked to last.
pub(super) fn watch_timeout(now: Moment) -> Duration {
    // Whole seconds: the parameter has no fractions.
    Duration::from_secs((WATCH_TIMEOUT + WATCH_TIMEOUT_SPREAD.mul_f64(now.chance)).as_secs())
}

/// Steady time of the next probe.
pub(super) fn next_probe(now: Moment) -> Duration {
    now.steady + PROBE_INTERVAL + PROBE_SPREAD.mul_f64(now.chance)
}
