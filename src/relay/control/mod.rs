//! What an operator can do to a running relay.
//!
//! Invariants:
//! 1. Every change leaves an audit entry, which is durable no later than the change.
//! 2. With `dry_run` the same is said and nothing is done.
//! 3. A sink is halted before its cursors are moved, and no other sink is.

mod at_rest;
mod places;
mod reconfigure;
mod replays;
mod seek;
mod sinks;

pub use at_rest::{
    offline_cancel_replay, offline_changes, offline_forget, offline_pause, offline_replay,
    offline_replays, offline_seek,
};
pub use places::Target;
pub(crate) use places::find;
pub use replays::{REPLAY_RATE, ReplayError, ReplayRequest, Replayed};
pub(crate) use sinks::{cannot_build, post};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cursor::{AuditEntry, Place, State};
use crate::event::StreamId;
use crate::log::{LogError, Stream};
use crate::sink::SinkError;

/// Who asks for a change, and whether only to see what it would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// From where: an address, or a user.
    pub from: String,
    /// Whether nothing is to be done.
    pub dry_run: bool,
}

/// What a change did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// What was asked for: `cursor seek`.
    pub action: String,
    /// With what: the name of a sink.
    pub subject: String,
    /// How it was before.
    pub before: String,
    /// How it is afterwards.
    pub after: String,
    /// What follows from it.
    pub effect: String,
    /// Whether nothing was done.
    pub dry_run: bool,
}

/// Why nothing was changed. One line, with the remedy.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// There is no such sink.
    #[error("there is no sink {name:?}; there are: {known}")]
    UnknownSink {
        /// As written.
        name: String,
        /// All names.
        known: String,
    },
    /// There is no such stream.
    #[error("there is no stream {name:?}; there are: {known}")]
    UnknownStream {
        /// As written.
        name: String,
        /// All names.
        known: String,
    },
    /// It is in the configuration.
    #[error("sink {0:?} is configured; take it out of the configuration before it is forgotten")]
    Configured(String),
    /// The configuration is not accepted; the one that was there stays.
    #[error("{0}; the configuration stays as it was")]
    Refused(String),
    /// There is no such dead letter.
    #[error(
        "sink {sink:?} has no dead letter {name}; `kube-event-relay dead-letter list {sink}` shows them"
    )]
    UnknownLetter {
        /// The sink.
        sink: String,
        /// As written.
        name: String,
    },
    /// It is not clear which dead letters are meant.
    #[error("{0}")]
    Selection(String),
    /// Nothing goes to a paused sink.
    #[error("sink {0:?} is paused; let it go on with `kube-event-relay cursor resume {0}` first")]
    Paused(String),
    /// As many as may search the log do so.
    #[error(
        "as many as may search the log at a time do so already; wait for one to end, and ask again"
    )]
    Busy,
    /// What was begun ended unexpectedly.
    #[error("the change ended unexpectedly, which is a bug of the relay; its log says why")]
    Interrupted,
    /// There is no log yet.
    #[error("the relay is starting; ask again when it runs")]
    NotRunning,
    /// The sink cannot be built.
    #[error("sink {name:?}: {cause}")]
    Sink {
        /// Its name.
        name: String,
        /// What is wrong.
        cause: SinkError,
    },
    /// A replay was refused.
    #[error(transparent)]
    Replay(ReplayError),
    /// The log or the state has failed.
    #[error(transparent)]
    Log(#[from] LogError),
}

impl Change {
    /// Keeps it as an audit entry, durably, unless nothing was done. Returns the number of the entry.
    pub(in crate::relay) async fn note(
        &self,
        state: &State,
        order: &Order,
    ) -> Result<Option<u64>, LogError> {
        if order.dry_run {
            return Ok(None);
        }
        let Self { action, subject, before, after, effect, .. } = self.clone();
        tracing::info!(
            action,
            subject,
            before,
            after,
            effect,
            from = order.from,
            "a change was asked for"
        );
        let (at, from) = (Timestamp::now(), order.from.clone());
        let entry = AuditEntry { at, from, action, subject, before, after, effect };
        let number = state.note_change(entry);
        state.sync().await?;
        Ok(Some(number))
    }
}

/// A stream that somebody has named is there.
fn check_stream(streams: &[Stream], only: Option<&StreamId>) -> Result<(), ControlError> {
    let Some(name) = only.filter(|name| !streams.iter().any(|one| one.id() == *name)) else {
        return Ok(());
    };
    let known: Vec<_> = streams.iter().map(|stream| stream.id().to_string()).collect();
    Err(ControlError::UnknownStream { name: name.to_string(), known: known.join(", ") })
}

/// `0.4711`, or `beginning`.
fn place_text(place: &Place) -> String {
    place.position.as_ref().map_or_else(|| "beginning".to_owned(), ToString::to_string)
}

/// `1 record`, `2 records`.
fn records(count: u64) -> String {
    if count == 1 { "1 record".to_owned() } else { format!("{count} records") }
}
