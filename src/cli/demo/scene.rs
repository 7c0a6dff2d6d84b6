//! The state of the demo at one moment, and how it reads on one line.

use std::time::Duration;

use crate::cli::output;
use crate::relay::{SinkState, SinkStatus};

/// What there is to show.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scene {
    /// Since the first event.
    pub(super) elapsed: Duration,
    /// Events the API server has served so far.
    pub(super) generated: u64,
    /// Whether more will come.
    pub(super) generating: bool,
    /// One for each receiver.
    pub(super) receivers: Vec<ReceiverScene>,
}

/// One receiver, and what the relay says about its sink.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ReceiverScene {
    /// Name of the sink.
    pub(super) name: &'static str,
    /// Whether it takes events.
    pub(super) open: bool,
    /// Different events it has taken.
    pub(super) received: u64,
    /// What the sink does, in a few words.
    pub(super) doing: String,
}

impl Scene {
    /// `12s  604 events; oncall 400 received, 204 behind, down: retrying …`
    pub(super) fn line(&self) -> String {
        let mut line = format!("{:>4}  {}", output::duration(self.elapsed), self.events());
        for receiver in &self.receivers {
            line.push_str("; ");
            line.push_str(&receiver.line(self.generated));
        }
        line
    }

    /// `604 events`, and whether there will be more.
    pub(super) fn events(&self) -> String {
        let events = output::plural(self.generated, "event");
        if self.generating { events } else { events + " (no more)" }
    }
}

impl ReceiverScene {
    /// Events that were generated and have not arrived here.
    pub(super) fn behind(&self, generated: u64) -> u64 {
        generated.saturating_sub(self.received)
    }

    /// Whether it is down, and what its sink does.
    pub(super) fn state(&self) -> String {
        if self.open { self.doing.clone() } else { format!("DOWN, {}", self.doing) }
    }

    fn line(&self, generated: u64) -> String {
        format!(
            "{} {} received, {} behind, {}",
            self.name,
            output::count(self.received),
            output::count(self.behind(generated)),
            self.state()
        )
    }
}

/// What a sink does, in a few words.
pub(super) fn doing(sink: &SinkStatus, now: jiff::Timestamp) -> String {
    match (sink.state, &sink.failure) {
        (SinkState::Held, Some(failure)) => format!("held: {}", failure.cause),
        (_, Some(failure)) => {
            let attempts = output::plural(failure.attempts, "failed attempt");
            let next = failure.next_attempt_at.filter(|next| *next > now);
            next.map_or_else(
                || format!("{attempts}, trying now"),
                |next| format!("{attempts}, next in {}", seconds(now, next)),
            )
        }
        (SinkState::Throttled, None) => "waiting for its rate limit".to_owned(),
        (SinkState::Idle, None) => "idle".to_owned(),
        (_, None) if sink.lag_records > 0 => "delivering".to_owned(),
        (_, None) => "idle".to_owned(),
    }
}

/// Waits of the demo are around a second: one decimal tells more.
fn seconds(from: jiff::Timestamp, to: jiff::Timestamp) -> String {
    format!("{:.1}s", to.duration_since(from).as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::status::fixture;

    #[test]
    fn a_line_says_who_is_behind_and_why() {
        let sinks = fixture::troubled().sinks;
        let scene = Scene {
            elapsed: Duration::from_secs(12),
            generated: 1_604,
            generating: true,
            receivers: vec![
                ReceiverScene {
                    name: "oncall",
                    open: false,
                    received: 400,
                    doing: doing(&sinks[0], fixture::now()),
                },
                ReceiverScene {
                    name: "archive",
                    open: true,
                    received: 1_604,
                    doing: doing(&sinks[2], fixture::now()),
                },
            ],
        };
        assert_eq!(
            scene.line(),
            " 12s  1,604 events; oncall 400 received, 1,204 behind, DOWN, 412 failed attempts, \
             next in 40.0s; archive 1,604 received, 0 behind, idle"
        );
        assert!(Scene { generating: false, ..scene }.line().contains("(no more)"));
    }
}
