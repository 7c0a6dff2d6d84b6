//! One task per sink: reads the log behind the sink's cursors, filters, batches, delivers, and moves
//! the cursors.
//!
//! Invariants:
//! 1. A cursor moves only past records that were accepted, kept as dead letters, or excluded by the filter.
//! 2. A dead letter is kept before the cursor moves past it, and so is a loss.
//! 3. A batch holds records of one stream; streams take turns.
//! 4. No failure of a sink ends its runner: not a time-out, not a panic, not a service that is gone
//!    for a week. Only a failed log does.
//! 5. After `stop` no delivery is begun; one under way may end.

mod attempt;
mod burial;
#[cfg(test)]
pub(in crate::relay) mod fixtures;
mod flight;
mod gate;
mod grouped;
mod grouping;
mod lane;
mod limits;
mod ports;
mod redelivery;
mod retry;
#[cfg(test)]
mod tests;
mod window;

pub(crate) use gate::Windows;
pub(crate) use lane::{Absorbed, Mark};
pub(crate) use limits::Limits;
pub(crate) use ports::{Feed, Ledger, Reading};
pub(crate) use redelivery::{Handed, Redelivery};
pub(crate) use retry::RetrySchedule;

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::select_all;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use self::attempt::{Courier, Failing};
use self::burial::Letters;
use self::gate::{Gate, Pass};
use self::grouped::Clock;
use self::grouping::Grouping;
use self::lane::{Batch, Lane, Readiness};
use super::report::SinkReport;
use super::status::SinkState;
use crate::cursor::DeadLettersConfig;
use crate::event::{Filter, Position, StreamId};
use crate::log::LogError;
use crate::sink::{self, Quota, Retry, Sink, SinkError};
use crate::telemetry::SinkMetrics;

/// Builds a sink from its configuration, as often as needed.
pub(crate) type SinkFactory = Arc<dyn Fn() -> Result<Box<dyn Sink>, SinkError> + Send + Sync>;

/// Chunks read of one stream before the others have their turn.
const CHUNKS_PER_TURN: usize = 64;

/// What a sink is run with.
#[derive(Clone)]
pub(crate) struct Profile {
    /// Builds the sink anew, should it panic.
    pub(crate) build: SinkFactory,
    /// Records it wants.
    pub(crate) filter: Filter,
    /// Limits of a delivery.
    pub(crate) limits: Limits,
    /// Waits between attempts, and how long one may take.
    pub(crate) retry: Retry,
    /// How often a held sink is tried.
    pub(crate) hold_probe: Duration,
    /// How often it may be called.
    pub(crate) quota: Option<Quota>,
    /// Whether equal records are told as one.
    pub(crate) group: Option<sink::Grouping>,
    /// Where the quotas of all sinks are kept.
    pub(crate) windows: Windows,
    /// How many dead letters it may have.
    pub(crate) letters: DeadLettersConfig,
}

/// Runs one sink until it is stopped or the log fails.
pub(crate) struct Runner<F, L> {
    filter: Filter,
    limits: Limits,
    hold_probe: Duration,
    courier: Courier,
    gate: Option<Gate>,
    /// Whether many records become one message.
    digests: bool,
    /// What is told as one, when equal records are, or when groups from before are left.
    grouping: Option<Grouping>,
    clock: Clock,
    retry: RetrySchedule,
    failing: Option<Failing>,
    letters: Letters,
    tracks: Vec<Track<F>>,
    /// The stream whose turn it is.
    turn: usize,
    ledger: L,
    report: Arc<SinkReport>,
    stop: CancellationToken,
}

/// A stream to be read by one sink.
pub(crate) struct Start<F> {
    /// Its name.
    pub(crate) stream: StreamId,
    /// Its records after the mark.
    pub(crate) feed: F,
    /// Where the sink's cursor stands.
    pub(crate) mark: Mark,
    /// What the sink has done beyond it.
    pub(crate) ahead: Vec<Position>,
}

/// A stream with the sink's place in it.
struct Track<F> {
    stream: StreamId,
    feed: F,
    lane: Lane,
}

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Course {
    On,
    Stopped,
}

/// How close one message may follow another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    /// As soon as the windows allow.
    AtOnce,
    /// At the distance at which they would never close.
    Spread,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    TellGroups,
    Deliver(usize),
    WaitUntil(Option<Instant>),
}

impl<F: Feed, L: Ledger> Runner<F, L> {
    /// A runner whose streams begin after the given marks. `report` has one lane for each of them,
    /// in the same order.
    pub(crate) fn new(
        profile: Profile,
        sink: Box<dyn Sink>,
        streams: Vec<Start<F>>,
        ledger: L,
        report: Arc<SinkReport>,
        stop: CancellationToken,
    ) -> Self {
        let track = |Start { stream, feed, mark, ahead }| Track {
            stream,
            feed,
            lane: Lane::new(mark, ahead.into_iter().collect()),
        };
        let gate = profile.quota.map(|quota| profile.windows.gate(quota, &ledger));
        let left = ledger.groups(report.name());
        let grouping = (profile.group.is_some() || !left.is_empty())
            .then(|| Grouping::new(profile.group, left));
        Self {
            gate,
            grouping,
            clock: Clock::start(),
            digests: sink.makes_digests(),
            filter: profile.filter,
            limits: profile.limits,
            hold_probe: profile.hold_probe,
            courier: Courier::new(sink, profile.build, profile.retry.timeout.0),
            retry: RetrySchedule::new(&profile.retry),
            failing: Failing::left_by(&report),
            letters: Letters::new(profile.letters),
            tracks: streams.into_iter().map(track).collect(),
            turn: 0,
            ledger,
            report,
            stop,
        }
    }

    /// Delivers until it is stopped. An error is a failure of the log or of the state.
    pub(crate) async fn run(mut self) -> Result<(), LogError> {
        let result = self.deliver_all().await;
        self.report.set_state(SinkState::Stopped);
        result
    }

    async fn deliver_all(&mut self) -> Result<(), LogError> {
        while !self.stop.is_cancelled() {
            self.read_what_is_there().await?;
            self.put_into_groups();
            match self.next_step(Instant::now()) {
                Step::TellGroups => {
                    if self.tell_groups().await? == Course::Stopped {
                        break;
                    }
                }
                Step::Deliver(index) => {
                    self.turn = index + 1;
                    if self.deliver_from(index).await? == Course::Stopped {
                        break;
                    }
                }
                Step::WaitUntil(deadline) => self.wait_for_records(deadline).await?,
            }
            // A sink that is always ready would otherwise keep its thread for itself.
            tokio::task::coop::consume_budget().await;
        }
        Ok(())
    }

    /// Chooses the stream whose turn it is among those with a batch that can leave.
    fn next_step(&mut self, now: Instant) -> Step {
        let mut earliest: Option<Instant> = None;
        match self.next_step_of_groups() {
            Some(Step::WaitUntil(due)) if !self.takes_into_groups() => earliest = due,
            Some(step) => return step,
            None => {}
        }
        let count = self.tracks.len();
        for offset in 0..count {
            let index = (self.turn + offset) % count;
            match self.tracks[index].lane.readiness(&self.limits, now) {
                Readiness::Now => return Step::Deliver(index),
                Readiness::At(time) => {
                    earliest = Some(earliest.map_or(time, |known| known.min(time)));
                }
                Readiness::Empty => {}
            }
        }
        Step::WaitUntil(earliest)
    }

    async fn deliver_from(&mut self, index: usize) -> Result<Course, LogError> {
        let Some(pass) = self.pass(Pace::AtOnce).await else { return Ok(Course::Stopped) };
        // What came in while the rate limit was closed leaves with this batch.
        self.read_track(index).await?;
        let waiting = self.tracks[index].lane.waiting();
        let one_by_one = self.digests && self.has_room_for(waiting, pass.as_ref());
        drop(pass);
        let mut limits = self.limits;
        if one_by_one {
            limits.max_records = 1;
        } else if self.digests {
            if self.pass(Pace::Spread).await.is_none() {
                return Ok(Course::Stopped);
            }
            self.read_track(index).await?;
        }
        let batch = self.tracks[index].lane.take(&limits);
        self.deliver(index, batch).await
    }

    async fn read_what_is_there(&mut self) -> Result<(), LogError> {
        for index in 0..self.tracks.len() {
            self.read_track(index).await?;
        }
        Ok(())
    }

    /// Reads until a batch is full, or nothing more is there, or the others must have their turn.
    async fn read_track(&mut self, index: usize) -> Result<(), LogError> {
        for _ in 0..CHUNKS_PER_TURN {
            let track = &mut self.tracks[index];
            if !track.lane.wants_more(&self.limits) || self.stop.is_cancelled() {
                return Ok(());
            }
            let Some(reading) = track.feed.try_next().await? else {
                self.pass_over(index, true);
                return Ok(());
            };
            self.absorb(index, &reading);
            self.pass_over(index, false);
        }
        Ok(())
    }

    fn absorb(&mut self, index: usize, reading: &Reading<F::Records>) {
        let track = &mut self.tracks[index];
        if let Some(absorbed) = track.lane.absorb(reading, &self.filter, Instant::now()) {
            if absorbed.filtered > 0 {
                self.report.metrics.filtered.inc_by(absorbed.filtered);
            }
            if let Some(loss) = self.report.lanes[index].advance(&absorbed) {
                self.report.tell_lost(&track.stream, &loss);
                self.ledger.lose(self.report.name(), &track.stream, loss);
            }
        }
        self.tell(index);
    }

    /// Moves the cursor past what the filter excluded.
    fn pass_over(&mut self, index: usize, settled: bool) {
        let track = &self.tracks[index];
        if let Some(mark) = track.lane.passed_over(settled).cloned() {
            self.commit(index, mark, Vec::new());
        }
    }

    /// Moves the cursor. Of the batch under way some records may be done beyond it.
    fn commit(&mut self, index: usize, mark: Mark, mut ahead: Vec<Position>) {
        let track = &mut self.tracks[index];
        track.lane.committed(&mark);
        ahead.extend(track.lane.done_beyond(&mark).cloned());
        self.ledger.move_cursor(self.report.name(), &track.stream, mark, ahead);
    }

    /// Waits until there is something new to read, a batch has waited long enough, or `stop`.
    async fn wait_for_records(&mut self, deadline: Option<Instant>) -> Result<(), LogError> {
        if deadline.is_none() {
            self.forget_failure();
        }
        if self.failing.is_none() {
            self.report.set_state(SinkState::Idle);
        }
        let limits = self.limits;
        let open = self.tracks.iter_mut().enumerate();
        let reads: Vec<_> = open
            .filter(|(_, track)| track.lane.wants_more(&limits))
            .map(|(index, track)| track.feed.next().map(move |reading| (index, reading)).boxed())
            .collect();
        let first = async {
            if reads.is_empty() { std::future::pending().await } else { select_all(reads).await.0 }
        };
        let (index, reading) = tokio::select! {
            biased;
            () = self.stop.cancelled() => return Ok(()),
            read = first => read,
            () = until(deadline) => return Ok(()),
        };
        self.absorb(index, &reading?);
        Ok(())
    }

    fn takes_into_groups(&self) -> bool {
        self.grouping.as_ref().is_some_and(Grouping::takes_in)
    }

    /// Whether so many can go out one by one, and half of what the limit allows is left for what comes
    /// next.
    fn has_room_for(&self, waiting: usize, pass: Option<&Pass>) -> bool {
        let free = match (&self.gate, pass) {
            (Some(gate), Some(pass)) => gate.free(pass, Instant::now()),
            _ => usize::MAX,
        };
        waiting <= (free / 2).max(1)
    }

    /// Publishes the oldest record of a stream that waits.
    fn tell(&self, index: usize) {
        self.report.lanes[index].set_oldest(self.tracks[index].lane.oldest());
    }

    fn metrics(&self) -> &SinkMetrics {
        &self.report.metrics
    }
}

/// Waits, unless the relay stops before.
async fn rest_until(time: Instant, stop: &CancellationToken) -> Course {
    tokio::select! {
        biased;
        () = stop.cancelled() => Course::Stopped,
        () = sleep_until(time) => Course::On,
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
