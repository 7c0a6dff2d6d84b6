//! Pausing sinks, letting them go on, forgetting and trying them.

use super::{Change, ControlError, Order};
use crate::cursor::State;
use crate::relay::RelayHandle;
use crate::relay::outflows::{Post, Posts};
use crate::relay::status::SinkState;
use crate::sink::{SinkError, Trial, try_out};

impl RelayHandle {
    /// Stops deliveries to a sink until they are resumed, also across restarts. Nothing is discarded.
    pub async fn pause(&self, sink: &str, order: &Order) -> Result<Change, ControlError> {
        let mut posts = self.outflows.lock().await;
        let post = post(&mut posts, sink)?;
        let state = &self.shared.state;
        let change = pausing(state, sink, post.report().state(), true, order.dry_run);
        if !order.dry_run {
            change.note(state, order).await?;
            post.halt().await;
            state.set_paused(sink, true);
            post.report().set_state(SinkState::Paused);
            state.sync().await?;
        }
        Ok(change)
    }

    /// Lets a paused sink go on. One that waits for something tries again at once.
    pub async fn resume(&self, sink: &str, order: &Order) -> Result<Change, ControlError> {
        let mut posts = self.outflows.lock().await;
        let post = post(&mut posts, sink)?;
        let state = &self.shared.state;
        let change = pausing(state, sink, post.report().state(), false, order.dry_run);
        if !order.dry_run {
            change.note(state, order).await?;
            post.halt().await;
            state.set_paused(sink, false);
            state.sync().await?;
            self.outflows.go_on(post).map_err(|cause| cannot_build(sink, cause))?;
        }
        Ok(change)
    }

    /// Removes what is known of a sink that is not configured any more.
    pub async fn forget(&self, sink: &str, order: &Order) -> Result<Change, ControlError> {
        let posts = self.outflows.lock().await;
        if posts.contains_key(sink) {
            return Err(ControlError::Configured(sink.to_owned()));
        }
        forget(&self.shared.state, sink, order).await
    }

    /// Sends one event marked as a test through a sink, beside what it delivers.
    pub async fn test(&self, sink: &str, order: &Order) -> Result<Trial, ControlError> {
        let config = post(&mut *self.outflows.lock().await, sink)?.config.clone();
        let tried = try_out(&config, &self.outflows.provisions().context).await;
        let trial = tried.map_err(|cause| cannot_build(sink, cause))?;
        tried_out(sink, &trial).note(&self.shared.state, order).await?;
        Ok(trial)
    }

    /// What operators have changed, oldest first.
    #[must_use]
    pub fn changes(&self) -> Vec<crate::cursor::AuditEntry> {
        self.shared.state.changes()
    }
}

/// Removes what is known of a sink that does not run.
pub(crate) async fn forget(
    state: &State,
    sink: &str,
    order: &Order,
) -> Result<Change, ControlError> {
    let cursors = state.cursors();
    let of_sink = cursors.iter().filter(|(name, ..)| name == sink);
    let places: Vec<_> = of_sink
        .map(|(_, stream, cursor)| {
            let position = cursor.position.as_ref().map(ToString::to_string);
            format!("{stream} {}", position.as_deref().unwrap_or("beginning"))
        })
        .collect();
    if places.is_empty() {
        let mut known: Vec<_> = cursors.into_iter().map(|(name, ..)| name).collect();
        known.dedup();
        return Err(ControlError::UnknownSink { name: sink.to_owned(), known: known.join(", ") });
    }
    let change = Change {
        action: "cursor forget".to_owned(),
        subject: sink.to_owned(),
        before: places.join(", "),
        after: "unknown".to_owned(),
        effect: forgetting(state, sink),
        dry_run: order.dry_run,
    };
    if !order.dry_run {
        change.note(state, order).await?;
        state.forget(sink);
        state.sync().await?;
    }
    Ok(change)
}

/// Pauses a sink that does not run, or lets it go on when it runs again.
pub(crate) async fn set_paused(
    state: &State,
    sink: &str,
    paused: bool,
    order: &Order,
) -> Result<Change, ControlError> {
    let change = pausing(state, sink, SinkState::Stopped, paused, order.dry_run);
    if !order.dry_run {
        change.note(state, order).await?;
        state.set_paused(sink, paused);
        state.sync().await?;
    }
    Ok(change)
}

/// What follows from forgetting a sink.
fn forgetting(state: &State, sink: &str) -> String {
    let letters = match state.dead_letter_count(sink) {
        0 => "",
        _ => "; its dead letters stay",
    };
    format!("its replays end, and added again it begins with what arrives then{letters}")
}

/// A test of a sink, as it stands among what operators have done.
fn tried_out(sink: &str, trial: &Trial) -> Change {
    Change {
        action: "sink test".to_owned(),
        subject: sink.to_owned(),
        before: String::new(),
        after: trial.outcome.word().to_owned(),
        effect: "one event that is marked as a test was sent".to_owned(),
        dry_run: false,
    }
}

/// `now` is what the sink does: one that is held is not just running.
fn pausing(state: &State, sink: &str, now: SinkState, pause: bool, dry_run: bool) -> Change {
    let paused = state.is_paused(sink);
    let before = match now {
        _ if paused => "paused",
        SinkState::Held => "held",
        SinkState::Retrying => "retrying",
        SinkState::Throttled => "throttled",
        SinkState::Idle | SinkState::Delivering | SinkState::Paused | SinkState::Stopped => {
            "running"
        }
    };
    let effect = match (paused, pause) {
        (true, true) => "it is paused already",
        (false, true) => "its records wait in the log until it is resumed",
        (true, false) => "it goes on where it stopped",
        (false, false) => "it tries again at once",
    };
    Change {
        action: if pause { "cursor pause" } else { "cursor resume" }.to_owned(),
        subject: sink.to_owned(),
        before: before.to_owned(),
        after: if pause { "paused" } else { "running" }.to_owned(),
        effect: effect.to_owned(),
        dry_run,
    }
}

/// The sink of this name.
pub(crate) fn post<'a>(posts: &'a mut Posts, sink: &str) -> Result<&'a mut Post, ControlError> {
    if !posts.contains_key(sink) {
        let known = posts.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        return Err(ControlError::UnknownSink { name: sink.to_owned(), known });
    }
    posts.get_mut(sink).ok_or(ControlError::NotRunning)
}

pub(crate) fn cannot_build(sink: &str, cause: SinkError) -> ControlError {
    ControlError::Sink { name: sink.to_owned(), cause }
}
