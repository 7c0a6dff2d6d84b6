//! Replays: ranges of the log that a sink receives again, beside its live stream.
//!
//! Invariants:
//! 1. One replay of a sink runs at a time; the others wait in the order in which they were asked for.
//! 2. The live cursor does not move, and the order of what is live does not change: a replay has a runner,
//!    an instance of the sink and a cursor of its own.
//! 3. Every record of the range that the filters pass arrives at least once, in order, also when the relay
//!    is killed meanwhile, or is a dead letter, or is counted as lost.
//! 4. The log keeps what a replay has yet to read, as for a required sink.

mod feed;
mod ledger;
mod status;
#[cfg(test)]
mod tests;
mod turn;

pub use status::{ReplayState, ReplayStatus, ReplayedRange};
pub(crate) use status::{remaining, statuses};
pub(crate) use turn::Turn;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use jiff::Timestamp;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use self::feed::RangeFeed;
use self::ledger::ReplayLedger;
use super::report::SinkReport;
use super::runner::{Feed, Mark, Profile, Runner, Start};
use super::shared::Shared;
use super::status::{FailureStatus, SinkState};
use crate::cursor::{Cursor, Place, Replay, ReplayRange};
use crate::event::{Filter, FilterError};
use crate::log::{LogError, Reader, Stream};

/// How long the replays of a sink rest after one could not run: the sink cannot be built, or its runner
/// panicked.
const REST: Duration = Duration::from_secs(10);

/// The replays of one sink, one after another.
pub(crate) struct ReplayQueue {
    pub(crate) shared: Arc<Shared>,
    /// The account of the live stream.
    pub(crate) live: Arc<SinkReport>,
    pub(crate) profile: Profile,
    /// Told of when there is a new one.
    pub(crate) wake: Arc<Notify>,
    pub(crate) stop: CancellationToken,
}

impl ReplayQueue {
    /// Runs until it is stopped. An error is a failure of the log or of the state.
    pub(crate) async fn run(self) -> Result<(), LogError> {
        while !self.stop.is_cancelled() {
            let Some((number, replay)) = self.shared.state.next_replay(self.live.name()) else {
                tokio::select! {
                    () = self.stop.cancelled() => {}
                    () = self.wake.notified() => {}
                }
                continue;
            };
            let served = self.serve(number, &replay).await;
            self.live.set_beside(None);
            served?;
        }
        Ok(())
    }

    /// Runs a replay until it has ended, or this is stopped.
    async fn serve(&self, number: u64, replay: &Replay) -> Result<(), LogError> {
        let (state, sink) = (&self.shared.state, self.live.name());
        tracing::info!(sink, replay = number, records = replay.total(), "a replay goes on");
        self.pass_what_is_nowhere(number, replay);
        if !state.is_replayed(number) {
            let cause = match self.deliver(number, replay) {
                Err(cause) => Some(cause),
                Ok(run) => match AssertUnwindSafe(run).catch_unwind().await {
                    Ok(ended) => {
                        ended?;
                        None
                    }
                    Err(_panic) => Some("its runner panicked, a bug of the relay".to_owned()),
                },
            };
            if let Some(cause) = cause {
                self.tell(number, cause);
                tokio::select! {
                    () = self.stop.cancelled() => {}
                    () = tokio::time::sleep(REST) => {}
                }
            }
        }
        if state.is_replayed(number) {
            state.end_replay(number, false).await?;
            tracing::info!(sink, replay = number, "a replay is done");
        }
        Ok(())
    }

    /// The run of a replay, from where it has got to.
    fn deliver(
        &self,
        number: u64,
        replay: &Replay,
    ) -> Result<impl Future<Output = Result<(), LogError>> + use<>, String> {
        let filters = filters(&self.profile.filter, replay).map_err(|error| error.to_string())?;
        let sink = (self.profile.build)().map_err(|error| error.to_string())?;
        let turn = Arc::new(Turn::new(replay.rate, self.live.clone()));
        let track = |range: &ReplayRange| {
            let stream = self.stream_of(range)?;
            let place = self.shared.state.replayed_until(number, range);
            let rest = ReplayRange { after: place.clone(), ..range.clone() };
            let Place { position, sequence } = place;
            Some(Start {
                stream: range.stream.clone(),
                feed: read(stream, &rest, filters.clone(), Some(turn.clone()))?,
                mark: Mark { position, sequence },
                ahead: self.shared.state.replayed_ahead(number, &range.stream),
            })
        };
        let tracks: Vec<_> = replay.ranges.iter().filter_map(track).collect();
        let streams: Vec<_> = tracks.iter().map(|track| track.stream.clone()).collect();
        let report = Arc::new(self.live.of_replay(number, &streams));
        for (lane, track) in report.lanes.iter().zip(&tracks) {
            let Mark { position, sequence } = track.mark.clone();
            let place = Place { position, sequence };
            lane.begin(place.clone(), place);
        }
        self.live.set_beside(Some(report.clone()));
        let passed = self.stop.child_token();
        let state = self.shared.state.clone();
        let ledger = ReplayLedger { state, number, passed: passed.clone() };
        // The feed has filtered already, and what is told as one is told of what is live.
        let profile = Profile { filter: Filter::default(), group: None, ..self.profile.clone() };
        Ok(Runner::new(profile, sink, tracks, ledger, report, passed).run())
    }

    /// Shows why a replay rests.
    fn tell(&self, number: u64, cause: String) {
        tracing::error!(
            sink = self.live.name(),
            replay = number,
            cause,
            "a replay rests before it goes on"
        );
        let at = Timestamp::now();
        let next_attempt_at = at.checked_add(REST).ok();
        let report = self.live.of_replay(number, &[]);
        report.set_state(SinkState::Retrying);
        let failure = FailureStatus { cause, at, since: at, attempts: 1, next_attempt_at };
        report.set_failure(Some(failure));
        self.live.set_beside(Some(Arc::new(report)));
    }

    /// What was to be read of streams that are not there any more is lost.
    fn pass_what_is_nowhere(&self, number: u64, replay: &Replay) {
        let state = &self.shared.state;
        for range in replay.ranges.iter().filter(|range| self.stream_of(range).is_none()) {
            let reached = state.replayed_until(number, range);
            state.lose_in_replay(number, range.until.sequence.saturating_sub(reached.sequence));
            let Place { position, sequence } = range.until.clone();
            let cursor = Cursor { position, sequence, updated_at: Timestamp::now() };
            state.move_replay(number, &range.stream, cursor, Vec::new());
        }
    }

    fn stream_of(&self, range: &ReplayRange) -> Option<&Stream> {
        self.shared.all_streams().find(|stream| *stream.id() == range.stream)
    }
}

/// What a record must pass to be sent: the sink's own filter, and that of the replay.
fn filters(of_sink: &Filter, replay: &Replay) -> Result<Arc<[Filter]>, FilterError> {
    let own = Filter::new(&replay.filter, &[])?;
    let filters = [of_sink.clone(), own].into_iter();
    Ok(filters.filter(|filter| !filter.passes_everything()).collect())
}

/// Reads a range; `None` when there is nothing in it.
fn read(
    stream: &Stream,
    range: &ReplayRange,
    filters: Arc<[Filter]>,
    turn: Option<Arc<Turn>>,
) -> Option<RangeFeed<Reader>> {
    let until = range.until.position.clone();
    let until = until.filter(|until| range.after.position.as_ref() < Some(until))?;
    let reader = stream.reader(range.after.position.clone());
    let reader = filters.iter().fold(reader, Reader::wanting);
    Some(RangeFeed::new(reader, until, range.until.sequence, filters, turn))
}

/// How many records of a range pass the filters. Reads it, unless there is nothing to be filtered.
pub(crate) async fn count(
    stream: &Stream,
    range: &ReplayRange,
    of_sink: &Filter,
    replay: &Replay,
) -> Result<u64, CountError> {
    let filters = filters(of_sink, replay)?;
    if filters.is_empty() {
        return Ok(range.records());
    }
    let Some(mut feed) = read(stream, range, filters, None) else { return Ok(0) };
    let mut count = 0;
    while !feed.is_over() {
        if let super::runner::Reading::Records { records, .. } = feed.next().await? {
            count += records.len() as u64;
        }
    }
    Ok(count)
}

/// Why the records of a range cannot be counted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CountError {
    /// The filter is none.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// The log has failed.
    #[error(transparent)]
    Log(#[from] LogError),
}
