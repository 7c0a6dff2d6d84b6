//! One task per sink: its runner, begun anew should it panic.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::destination::Destination;
use super::report::SinkReport;
use super::runner::{Mark, Profile, Runner};
use super::status::{FailureStatus, SinkState};
use crate::cursor::State;
use crate::log::{LogError, Stream};
use crate::sink::{Sink, SinkError};

/// How long a sink rests whose runner panicked. It begins again behind its cursor.
const REST_AFTER_PANIC: Duration = Duration::from_secs(10);

/// The way of all streams into one sink.
pub(crate) struct Outflow {
    pub(crate) streams: Vec<Stream>,
    pub(crate) state: State,
    pub(crate) report: Arc<SinkReport>,
    pub(crate) stop: CancellationToken,
}

impl Outflow {
    /// Delivers until the relay stops. An error is a failure of the log or of the state.
    pub(crate) async fn run(self, destination: Destination) -> Result<(), LogError> {
        let Destination { profile, sink, .. } = destination;
        let mut sink: Result<Box<dyn Sink>, SinkError> = Ok(sink);
        loop {
            match sink {
                Ok(sink) => {
                    let run = self.runner(profile.clone(), sink).run();
                    match AssertUnwindSafe(run).catch_unwind().await {
                        Ok(result) => return result,
                        Err(_panic) => self.tell("the sink's runner panicked, a bug of the relay"),
                    }
                }
                Err(error) => self.tell(&error.to_string()),
            }
            tokio::select! {
                () = self.stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(REST_AFTER_PANIC) => {}
            }
            sink = (profile.build)();
        }
    }

    fn runner(&self, profile: Profile, sink: Box<dyn Sink>) -> Runner<crate::log::Reader, State> {
        let track = |stream: &Stream| {
            let cursor = self.state.cursor(self.report.name(), stream.id());
            let (position, sequence) =
                cursor.map_or((None, 0), |cursor| (cursor.position, cursor.sequence));
            let removed = stream.segments().first().map_or(0, |oldest| oldest.first_sequence);
            if let Some(lane) = self.report.lane(stream.id()) {
                lane.begin(sequence, removed);
            }
            let feed = stream.reader(position.clone());
            (stream.id().clone(), feed, Mark { position, sequence })
        };
        let tracks = self.streams.iter().map(track).collect();
        let (report, stop) = (self.report.clone(), self.stop.clone());
        Runner::new(profile, sink, tracks, self.state.clone(), report, stop)
    }

    fn tell(&self, cause: &str) {
        let at = Timestamp::now();
        let before = self.report.failure();
        let since = before.as_ref().map_or(at, |failure| failure.since);
        let attempts = before.map_or(0, |failure| failure.attempts) + 1;
        let next_attempt_at = at.checked_add(REST_AFTER_PANIC).ok();
        let cause = cause.to_owned();
        tracing::error!(sink = self.report.name(), cause, "the sink rests before it begins again");
        self.report.set_state(SinkState::Retrying);
        let failure = FailureStatus { cause, at, since, attempts, next_attempt_at };
        self.report.set_failure(Some(failure));
    }
}
