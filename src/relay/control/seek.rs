//! Moving the cursors of a sink.

use jiff::Timestamp;

use super::{Change, ControlError, Order, Target, check_stream, find, place_text, records};
use crate::cursor::{Cursor, Place, State};
use crate::event::StreamId;
use crate::log::{LogError, Stream};
use crate::relay::RelayHandle;

/// Where a cursor stands and where it is to stand.
pub(crate) struct Move {
    stream: StreamId,
    before: Place,
    after: Place,
}

impl RelayHandle {
    /// Moves the live cursors of a sink, in one stream or in all: back delivers again, forward skips.
    pub async fn seek(
        &self,
        sink: &str,
        stream: Option<&StreamId>,
        target: &Target,
        order: &Order,
    ) -> Result<Change, ControlError> {
        let mut posts = self.outflows.lock().await;
        let post = super::sinks::post(&mut posts, sink)?;
        let streams: Vec<_> = self.shared.all_streams().cloned().collect();
        if order.dry_run {
            let moves = moves(&self.shared.state, sink, &streams, stream, target).await?;
            return Ok(describe(sink, &moves, true));
        }
        post.halt().await;
        let moved = seek(&self.shared.state, sink, &streams, stream, target, order).await;
        self.outflows.go_on(post).map_err(|cause| super::sinks::cannot_build(sink, cause))?;
        moved
    }
}

/// Moves cursors of a sink that does not run.
pub(crate) async fn seek(
    state: &State,
    sink: &str,
    streams: &[Stream],
    stream: Option<&StreamId>,
    target: &Target,
    order: &Order,
) -> Result<Change, ControlError> {
    let moves = moves(state, sink, streams, stream, target).await?;
    let change = describe(sink, &moves, order.dry_run);
    if !order.dry_run {
        change.note(state, order).await?;
        apply(state, sink, moves).await?;
    }
    Ok(change)
}

async fn moves(
    state: &State,
    sink: &str,
    streams: &[Stream],
    only: Option<&StreamId>,
    target: &Target,
) -> Result<Vec<Move>, ControlError> {
    check_stream(streams, only)?;
    let mut moves = Vec::new();
    for stream in streams.iter().filter(|stream| only.is_none_or(|only| only == stream.id())) {
        let cursor = state.cursor(sink, stream.id());
        let before = cursor.as_ref().map(Place::from).unwrap_or_default();
        let after = find(stream, &before, target).await?;
        moves.push(Move { stream: stream.id().clone(), before, after });
    }
    Ok(moves)
}

async fn apply(state: &State, sink: &str, moves: Vec<Move>) -> Result<(), LogError> {
    for Move { stream, after: Place { position, sequence }, .. } in moves {
        let updated_at = Timestamp::now();
        state.move_cursor(sink, &stream, Cursor { position, sequence, updated_at });
    }
    state.sync().await
}

fn describe(sink: &str, moves: &[Move], dry_run: bool) -> Change {
    let places = |place: fn(&Move) -> &Place| {
        let texts = moves.iter().map(|one| format!("{} {}", one.stream, place_text(place(one))));
        texts.collect::<Vec<_>>().join(", ")
    };
    let sum = |count: fn(&Move) -> u64| moves.iter().map(count).sum::<u64>();
    let again = sum(|one| one.before.sequence.saturating_sub(one.after.sequence));
    let skipped = sum(|one| one.after.sequence.saturating_sub(one.before.sequence));
    let effect = match (again, skipped) {
        (0, 0) => "nothing changes".to_owned(),
        (again, 0) => format!("{} delivered again", will_be(again)),
        (0, skipped) => format!("{} skipped and never delivered", will_be(skipped)),
        (again, skipped) => {
            format!("{} delivered again, {} skipped", will_be(again), will_be(skipped))
        }
    };
    Change {
        action: "cursor seek".to_owned(),
        subject: sink.to_owned(),
        before: places(|one| &one.before),
        after: places(|one| &one.after),
        effect,
        dry_run,
    }
}

fn will_be(count: u64) -> String {
    format!("{} {}", records(count), if count == 1 { "is" } else { "are" })
}
