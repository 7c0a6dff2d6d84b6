//! What goes into the machine and what comes out of it.

use std::time::Duration;

use jiff::Timestamp;

use crate::event::{Generation, Position, ResourceVersion};
use crate::log::Gap;
use crate::source::failure::Failure;
use crate::source::{Phase, RelistCause};

/// All a step may know of time and chance.
#[derive(Debug, Clone, Copy)]
pub(in crate::source) struct Moment {
    /// Calendar time; it may jump.
    pub(in crate::source) wall: Timestamp,
    /// Time since the stream was started; it never goes back.
    pub(in crate::source) steady: Duration,
    /// A random number from 0 to below 1, for jitter.
    pub(in crate::source) chance: f64,
}

/// What happened.
#[derive(Debug)]
pub(in crate::source) enum Input {
    /// The stream is started.
    Begin,
    /// The deadline has come.
    Woke,
    /// The answer to [`Action::Probe`] before a watch, or to [`Action::List`].
    Listed(Page),
    /// [`Action::Drain`] is done: everything is durable up to its end.
    Drained,
    /// [`Action::Watch`] was accepted; items follow.
    Connected,
    /// An item of the watch.
    Item(Item),
    /// The watch is over.
    Broken(Break),
    /// The answer to [`Action::Probe`] beside an open watch.
    Probed {
        /// Version of the list.
        answer: Result<ResourceVersion, Failure>,
        /// How long the watch had had nothing to read.
        waited: Duration,
    },
    /// A request was not fulfilled.
    Failed(Failure),
    /// A stretch of the log was found damaged; the next [`Action::Drain`] fills it.
    Damaged,
}

/// A page of a list; the items stay with the shell.
#[derive(Debug)]
pub(in crate::source) struct Page {
    /// Version of the list, the same on all of its pages.
    pub(in crate::source) resource_version: ResourceVersion,
    /// Token of the next page.
    pub(in crate::source) next: Option<String>,
    /// Items of this page that are not events.
    pub(in crate::source) unreadable: u64,
}

/// An item of the watch; header and body stay with the shell.
#[derive(Debug)]
pub(in crate::source) struct Item {
    /// Its version.
    pub(in crate::source) resource_version: ResourceVersion,
    /// What it is.
    pub(in crate::source) change: Change,
    /// How long the watch had had nothing to read before it.
    pub(in crate::source) waited: Duration,
}

/// What an item of the watch stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::source) enum Change {
    /// ADDED or MODIFIED: a record.
    Record,
    /// DELETED or BOOKMARK: only the frontier moves.
    Advance,
}

/// How a watch came to its end.
#[derive(Debug)]
pub(in crate::source) enum Break {
    /// The server ended it between two items.
    Closed,
    /// The connection failed, or ended within an item.
    Cut(String),
    /// An ERROR event.
    Error(Failure),
    /// An item that cannot be read.
    Unreadable(String),
}

/// What to do, in order.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::source) enum Action {
    /// LIST with limit 1 and without resourceVersion.
    Probe,
    /// LIST a page; without a token from the beginning, dropping pages of an earlier attempt.
    List {
        /// Token of the page.
        token: Option<String>,
    },
    /// Put the items of the page at hand aside, as of this generation.
    Stage(Generation),
    /// Append what was put aside, in order of position.
    Drain(DrainPlan),
    /// WATCH changes after a version.
    Watch {
        /// That version.
        from: ResourceVersion,
        /// When the server shall end it.
        timeout: Duration,
    },
    /// Give up the watch and the probe beside it.
    HangUp,
    /// Use new connections and newly read credentials from now on.
    Renew,
    /// Append the item at hand as a record.
    Keep(Position),
    /// The same, unless the same version is in the log from an earlier generation: then only the
    /// frontier moves.
    KeepUnlessKnown(Position),
    /// Move the frontier.
    Advance(Position),
    /// Wait until everything appended is durable.
    Sync,
    /// Report a gap, durably.
    Report(Gap),
    /// Everything stored before this time is in the log.
    CompleteUntil(Timestamp),
    /// The phase changed.
    Enter(Phase),
    /// A list begins.
    Relisted(RelistCause),
}

/// How a complete list is taken over into the log.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::source) struct DrainPlan {
    /// Only what lies after this position is appended.
    pub(in crate::source) after: Option<Position>,
    /// Position of the list. What lies after it comes with the watch.
    pub(in crate::source) end: Position,
    /// On a first start: only what was last seen after this time.
    pub(in crate::source) since: Option<Timestamp>,
    /// Whether the list begins a new generation.
    pub(in crate::source) replaced: bool,
}
