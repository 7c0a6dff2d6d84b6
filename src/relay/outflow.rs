//! One task per sink: its runner, begun anew should it panic.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::report::SinkReport;
use super::runner::{Mark, Profile, Runner, Start};
use super::status::{FailureStatus, SinkState};
use super::survey::begin_of;
use crate::cursor::{Place, State};
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
    pub(crate) async fn run(self, profile: Profile, sink: Box<dyn Sink>) -> Result<(), LogError> {
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

    /// Puts the sink's account to where its cursors stand, and reports what is missing there. To be
    /// done before anything is removed from the log, and again before each runner.
    pub(crate) fn begin(&self) {
        for stream in &self.streams {
            let counted = self.report_missing(stream);
            if let Some(lane) = self.report.lane(stream.id()) {
                let cursor = self.state.cursor(self.report.name(), stream.id());
                lane.begin(cursor.as_ref().map(Place::from).unwrap_or_default(), counted);
            }
        }
    }

    fn runner(&self, profile: Profile, sink: Box<dyn Sink>) -> Runner<crate::log::Reader, State> {
        self.begin();
        let track = |stream: &Stream| {
            let cursor = self.state.cursor(self.report.name(), stream.id());
            let (position, sequence) =
                cursor.map_or((None, 0), |cursor| (cursor.position, cursor.sequence));
            let feed = stream.reader(position.clone()).wanting(&profile.filter);
            Start {
                stream: stream.id().clone(),
                feed,
                mark: Mark { position, sequence },
                ahead: self.state.ahead(self.report.name(), stream.id()),
            }
        };
        let tracks = self.streams.iter().map(track).collect();
        let (report, stop) = (self.report.clone(), self.stop.clone());
        Runner::new(profile, sink, tracks, self.state.clone(), report, stop)
    }

    /// Reports what is not in the log any more and was neither received nor reported: it was in memory
    /// when the relay was killed, or somebody else has removed it. Returns up to where all is reported.
    fn report_missing(&self, stream: &Stream) -> Place {
        let (sink, id) = (self.report.name(), stream.id());
        let begin = begin_of(&stream.segments());
        for loss in self.state.unreported_losses(sink, id, &begin) {
            self.report.tell_lost(id, &loss);
            self.state.lose(sink, id, loss);
        }
        let last = self.state.losses(sink, id).pop().map(|loss| loss.until);
        last.filter(|last| last.position > begin.position).unwrap_or(begin)
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
