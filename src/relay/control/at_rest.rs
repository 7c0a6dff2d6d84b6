//! The same changes in the data directory of a stopped relay.

use std::path::Path;

use super::{Change, ControlError, Order, ReplayRequest, Replayed, Target, replays, seek, sinks};
use crate::cursor::{AuditEntry, State};
use crate::event::StreamId;
use crate::relay::error::RelayError;
use crate::relay::offline::at_rest;
use crate::relay::replay::ReplayStatus;

/// Moves the cursors of a sink. Blocking.
pub fn offline_seek(
    path: &Path,
    sink: &str,
    stream: Option<&StreamId>,
    target: &Target,
    order: &Order,
) -> Result<Change, RelayError> {
    at_rest(path, async |storage, _| {
        check_known(&storage.state, sink)?;
        let streams: Vec<_> = storage.all_streams().cloned().collect();
        Ok(seek::seek(&storage.state, sink, &streams, stream, target, order).await?)
    })
}

/// Pauses a sink, or lets it go on when the relay runs again. Blocking.
pub fn offline_pause(
    path: &Path,
    sink: &str,
    paused: bool,
    order: &Order,
) -> Result<Change, RelayError> {
    at_rest(path, async |storage, _| {
        check_known(&storage.state, sink)?;
        Ok(sinks::set_paused(&storage.state, sink, paused, order).await?)
    })
}

/// Removes what is known of a sink. Blocking.
pub fn offline_forget(path: &Path, sink: &str, order: &Order) -> Result<Change, RelayError> {
    at_rest(path, async |storage, _| Ok(sinks::forget(&storage.state, sink, order).await?))
}

/// Keeps a replay, which begins when the relay runs again. Blocking.
pub fn offline_replay(
    path: &Path,
    request: &ReplayRequest,
    order: &Order,
) -> Result<Replayed, RelayError> {
    at_rest(path, async |storage, _| {
        check_known(&storage.state, &request.sink)?;
        let streams: Vec<_> = storage.all_streams().cloned().collect();
        Ok(replays::at_rest(&storage.state, &streams, request, order).await?)
    })
}

/// Ends a replay. Blocking.
pub fn offline_cancel_replay(
    path: &Path,
    number: u64,
    order: &Order,
) -> Result<Change, RelayError> {
    at_rest(path, async |storage, _| {
        Ok(replays::cancel_at_rest(&storage.state, number, order).await?)
    })
}

/// All replays that are kept, oldest first. Blocking.
pub fn offline_replays(path: &Path) -> Result<Vec<ReplayStatus>, RelayError> {
    at_rest(path, async |storage, _| Ok(replays::all(&storage.state, |_| None)))
}

/// What operators have changed. Blocking.
pub fn offline_changes(path: &Path) -> Result<Vec<AuditEntry>, RelayError> {
    at_rest(path, async |storage, _| Ok(storage.state.changes()))
}

fn check_known(state: &State, sink: &str) -> Result<(), ControlError> {
    let mut known: Vec<_> = state.cursors().into_iter().map(|(name, ..)| name).collect();
    known.dedup();
    if known.iter().any(|name| name == sink) {
        return Ok(());
    }
    Err(ControlError::UnknownSink { name: sink.to_owned(), known: known.join(", ") })
}
