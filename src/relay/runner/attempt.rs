//! Handing a batch over until every record of it is done.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use jiff::{SignedDuration, Timestamp};
use tokio::time::{Instant, timeout};

use super::flight::{Blocked, Flight, Verdict};
use super::{Batch, Course, Feed, Ledger, Pace, Pass, Runner, SinkFactory, rest_until};
use crate::event::Record;
use crate::log::LogError;
use crate::relay::report::SinkReport;
use crate::relay::status::{FailureStatus, SinkState};
use crate::setting::Span;
use crate::sink::{Delivery, Outcome, Repeats, Sink};

/// Calls a sink, and turns time-outs and panics into outcomes.
pub(super) struct Courier {
    sink: Box<dyn Sink>,
    build: SinkFactory,
    timeout: Duration,
}

/// Since when, and how often, a sink has failed.
#[derive(Debug, Clone)]
pub(super) struct Failing {
    since: Timestamp,
    attempts: u64,
    held: bool,
}

impl Failing {
    /// What the runner before has left: a sink that was halted in the middle of a failure has not recovered.
    pub(super) fn left_by(report: &SinkReport) -> Option<Self> {
        let FailureStatus { since, attempts, .. } = report.failure()?;
        // Whether it is held shows at the next attempt, and is told then.
        Some(Self { since, attempts, held: false })
    }

    fn begun_anew(self) -> Self {
        Self { since: Timestamp::now(), attempts: 0, held: self.held }
    }
}

impl Courier {
    pub(super) fn new(sink: Box<dyn Sink>, build: SinkFactory, timeout: Duration) -> Self {
        Self { sink, build, timeout }
    }

    pub(super) async fn hand_over(
        &mut self,
        records: &[Record],
        repeats: Option<&[Repeats]>,
    ) -> Delivery {
        let call = match repeats {
            Some(repeats) => self.sink.deliver_groups(records, repeats),
            None => self.sink.deliver(records),
        };
        let call = AssertUnwindSafe(call).catch_unwind();
        match timeout(self.timeout, call).await {
            Ok(Ok(delivery)) => delivery,
            Ok(Err(_panic)) => self.replace_after_panic(),
            Err(_elapsed) => failed(format!(
                "no answer within {}; the delivery may or may not have arrived",
                Span(self.timeout)
            )),
        }
    }

    /// A sink that panicked may be in any state; a new one is not.
    fn replace_after_panic(&mut self) -> Delivery {
        match (self.build)() {
            Ok(sink) => self.sink = sink,
            Err(error) => return Delivery::Whole(Outcome::Hold { cause: error.to_string() }),
        }
        failed(
            "the sink panicked, which is a bug of the relay; see the program's output".to_owned(),
        )
    }
}

/// The time of the clock so much later.
fn after(wait: Duration) -> Timestamp {
    let wait = SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX);
    Timestamp::now().saturating_add(wait).unwrap_or(Timestamp::MAX)
}

fn failed(cause: String) -> Delivery {
    Delivery::Whole(Outcome::Retry { after: None, cause })
}

impl<F: Feed, L: Ledger> Runner<F, L> {
    /// Hands a batch over, in as many attempts as it takes. The cursor follows the finished prefix.
    pub(super) async fn deliver(
        &mut self,
        index: usize,
        mut batch: Batch,
    ) -> Result<Course, LogError> {
        self.tell_oldest(index, &batch);
        while !batch.flight.is_over() {
            let Some(verdict) = self.attempt(&mut batch.flight, None).await? else {
                return Ok(Course::Stopped);
            };
            self.bury(&batch.flight, &verdict).await?;
            self.follow(index, &mut batch, &verdict);
            if self.wait_out(&batch.flight, &verdict).await == Course::Stopped {
                return Ok(Course::Stopped);
            }
        }
        self.tell(index);
        Ok(Course::On)
    }

    /// Hands over what is in hand, as soon as the rate limit allows; `None` when the relay stops before.
    /// Of groups it is said how many records each stands for.
    pub(super) async fn attempt(
        &mut self,
        flight: &mut Flight,
        repeats: Option<&[Repeats]>,
    ) -> Result<Option<Verdict>, LogError> {
        if self.have_room_for_letters().await? == Course::Stopped {
            return Ok(None);
        }
        let spread = self.digests && flight.in_hand().len() > 1;
        let pace = if spread { Pace::Spread } else { Pace::AtOnce };
        let Some(mut pass) = self.pass(pace).await else { return Ok(None) };
        let Some(records) = flight.next() else { return Ok(Some(Verdict::default())) };
        if let (Some(gate), Some(pass)) = (&self.gate, &mut pass) {
            gate.begin(pass, &self.ledger).await?;
        }
        if self.failing.is_none() {
            self.report.set_state(SinkState::Delivering);
        }
        let repeats: Option<Vec<_>> =
            repeats.map(|repeats| flight.in_hand().iter().map(|place| repeats[*place]).collect());
        let begun = Instant::now();
        let delivery = self.courier.hand_over(&records, repeats.as_deref()).await;
        drop(records);
        self.report.count_delivery(begun.elapsed());
        let verdict = flight.settle(delivery);
        if let (Some(gate), Some(pass)) = (&self.gate, pass) {
            gate.end(pass, verdict.silence(), &self.ledger);
        }
        Ok(Some(verdict))
    }

    /// Waits until a message may leave; `None` when the relay stops before. Without a quota the pass
    /// is empty.
    pub(super) async fn pass(&mut self, pace: Pace) -> Option<Option<Pass>> {
        let Some(gate) = &self.gate else { return Some(None) };
        loop {
            let pass = tokio::select! {
                biased;
                () = self.stop.cancelled() => return None,
                pass = gate.turn() => pass,
            };
            let now = Instant::now();
            let due = (pace == Pace::Spread).then(|| gate.due_at(&pass)).flatten();
            let opens = gate.opens_at(&pass, now).max(due.filter(|due| *due > now));
            let Some(opens) = opens else {
                self.report.set_throttled_until(None);
                return Some(Some(pass));
            };
            drop(pass);
            if self.failing.is_none() {
                self.report.set_state(SinkState::Throttled);
            }
            self.report.set_throttled_until(Some(after(opens - now)));
            if rest_until(opens, &self.stop).await == Course::Stopped {
                return None;
            }
        }
    }

    /// Moves the cursor over what is finished.
    fn follow(&mut self, index: usize, batch: &mut Batch, verdict: &Verdict) {
        if !verdict.progressed() {
            return;
        }
        let ahead: Vec<_> =
            batch.flight.done_ahead().map(|record| record.position.clone()).collect();
        let mark = batch.advance();
        if mark.is_some() || !ahead.is_empty() {
            let mark = mark.unwrap_or_else(|| self.tracks[index].lane.cursor().clone());
            self.commit(index, mark, ahead);
            self.tell_oldest(index, batch);
        }
        self.note_progress(verdict, verdict.accepted as u64);
    }

    /// What got through ends a failure, or begins it anew when something else is left waiting.
    pub(super) fn note_progress(&mut self, verdict: &Verdict, delivered: u64) {
        self.metrics().delivered.inc_by(delivered);
        if verdict.progressed() && self.failing.is_some() {
            self.retry.reset();
            match &verdict.blocked {
                None => self.recover(),
                Some(_) => self.failing = self.failing.take().map(Failing::begun_anew),
            }
        }
    }

    fn recover(&mut self) {
        let Some(Failing { since, attempts, .. }) = self.failing.take() else { return };
        self.report.set_failure(None);
        tracing::info!(sink = self.report.name(), %since, attempts, "the sink accepts records again");
    }

    /// What a sink failed with does not wait any more: an operator has skipped it, or the filter excludes it now.
    pub(super) fn forget_failure(&mut self) {
        if self.failing.take().is_some() {
            self.report.set_failure(None);
            tracing::info!(sink = self.report.name(), "nothing waits for the sink any more");
        }
    }

    /// Waits as long as a failure demands, if there is one, and shows it.
    pub(super) async fn wait_out(&mut self, flight: &Flight, verdict: &Verdict) -> Course {
        let Some(blocked) = &verdict.blocked else { return Course::On };
        let record = flight.records().get(flight.finished()).map(Record::place);
        let (wait, cause, held) = match blocked {
            Blocked::Retry { after, cause } => (self.retry.next_wait(*after), cause, false),
            Blocked::Hold { cause } => (self.hold_probe, cause, true),
        };
        self.tell_failure(Some(wait), record.as_deref(), cause, held);
        let course = rest_until(Instant::now() + wait, &self.stop).await;
        if course == Course::On {
            self.metrics().retried.inc();
        }
        course
    }

    /// Shows that the sink fails, at which record, and after which wait it is tried again.
    pub(super) fn tell_failure(
        &mut self,
        wait: Option<Duration>,
        record: Option<&str>,
        cause: &str,
        held: bool,
    ) {
        let at = Timestamp::now();
        let before = self.failing.take();
        let changed = before.as_ref().is_none_or(|failing| failing.held != held);
        let since = before.as_ref().map_or(at, |failing| failing.since);
        let attempts = before.map_or(0, |failing| failing.attempts) + 1;
        self.report.set_failure(Some(FailureStatus {
            cause: cause.to_owned(),
            at,
            since,
            attempts,
            next_attempt_at: wait.map(after),
        }));
        self.report.set_state(if held { SinkState::Held } else { SinkState::Retrying });
        self.failing = Some(Failing { since, attempts, held });
        let sink = self.report.name();
        let wait = wait.map(|wait| format!("{:.1}s", wait.as_secs_f64()));
        match (changed, held) {
            (true, true) => tracing::error!(
                sink,
                record,
                cause,
                "the sink is held until an operator has solved this; nothing is discarded"
            ),
            (true, false) => {
                tracing::warn!(sink, record, cause, wait, "delivery failed; trying again");
            }
            (false, _) => {
                tracing::debug!(sink, record, cause, wait, attempts, "delivery failed again");
            }
        }
    }

    /// Publishes the first record of the batch that is not done, as the oldest.
    fn tell_oldest(&self, index: usize, batch: &Batch) {
        let left = batch.flight.records().get(batch.flight.finished());
        let oldest = left.map(|record| record.received_at).or(self.tracks[index].lane.oldest());
        self.report.lanes[index].set_oldest(oldest);
    }
}
