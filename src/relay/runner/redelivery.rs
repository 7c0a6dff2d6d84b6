//! Handing records to a sink once more, beside its runner.
//!
//! Invariants:
//! 1. It has a sink of its own; the runner's is not touched. The window of the quota is shared with it.
//! 2. Nothing is tried again: what is not taken now is left for later.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::attempt::Courier;
use super::flight::{Blocked, Flight, Verdict};
use super::gate::{Gate, Pass};
use super::ports::Ledger;
use super::{Course, Limits, Profile, rest_until};
use crate::event::Record;
use crate::log::LogError;
use crate::relay::report::SinkReport;
use crate::setting::Span;
use crate::sink::Sink;

/// A window that stays closed for longer is not waited for.
const WINDOW_PATIENCE: Duration = Duration::from_mins(2);

/// A sink of its own, and the way to it.
pub(crate) struct Redelivery {
    courier: Courier,
    gate: Option<Gate>,
    limits: Limits,
    digests: bool,
    stop: CancellationToken,
}

/// What became of records that were handed over.
#[derive(Debug, Default)]
pub(crate) struct Handed {
    /// Places of those the sink has taken.
    pub(crate) accepted: Vec<usize>,
    /// Places of those it has refused again, with its words.
    pub(crate) refused: Vec<(usize, String)>,
    /// Why the others have to wait.
    pub(crate) blocked: Option<String>,
}

impl Redelivery {
    /// Uses a sink that was built for it.
    pub(crate) fn new<L: Ledger>(
        profile: Profile,
        sink: Box<dyn Sink>,
        ledger: &L,
        stop: CancellationToken,
    ) -> Self {
        let gate = profile.quota.map(|quota| profile.windows.gate(quota, ledger));
        let digests = sink.makes_digests();
        let courier = Courier::new(sink, profile.build, profile.retry.timeout.0);
        Self { courier, gate, limits: profile.limits, digests, stop }
    }

    /// How many of these records, given by their bytes, go out together.
    pub(crate) async fn portion(&mut self, bytes: impl ExactSizeIterator<Item = usize>) -> usize {
        let waiting = bytes.len();
        if self.digests && self.has_room_for(waiting).await {
            return 1.min(waiting);
        }
        let mut sum = 0;
        let fit = bytes.take(self.limits.max_records).take_while(|bytes| {
            sum += *bytes as u64;
            sum <= self.limits.max_bytes
        });
        fit.count().max(1).min(waiting)
    }

    /// Hands records over, in order, until each is taken or refused, or the rest has to wait. `settled` is
    /// told at once what was taken or refused.
    pub(crate) async fn hand_over<L: Ledger>(
        &mut self,
        records: Vec<Record>,
        ledger: &L,
        report: &SinkReport,
        mut settled: impl FnMut(&Handed) -> Result<(), LogError>,
    ) -> Result<Option<String>, LogError> {
        let mut flight = Flight::new(records);
        let mut told = vec![false; flight.records().len()];
        while !flight.is_over() {
            let verdict = match self.attempt(&mut flight, ledger, report).await? {
                Ok(verdict) => verdict,
                Err(cause) => return Ok(Some(cause)),
            };
            let handed = handed(&flight, &mut told, verdict);
            settled(&handed)?;
            if handed.blocked.is_some() {
                return Ok(handed.blocked);
            }
        }
        Ok(None)
    }

    /// One attempt, or why there is none.
    async fn attempt<L: Ledger>(
        &mut self,
        flight: &mut Flight,
        ledger: &L,
        report: &SinkReport,
    ) -> Result<Result<Verdict, String>, LogError> {
        let mut pass = match self.pass().await {
            Ok(pass) => pass,
            Err(cause) => return Ok(Err(cause)),
        };
        let Some(records) = flight.next() else { return Ok(Ok(Verdict::default())) };
        if let (Some(gate), Some(pass)) = (&self.gate, &mut pass) {
            gate.begin(pass, ledger).await?;
        }
        let begun = Instant::now();
        let delivery = self.courier.hand_over(&records, None).await;
        drop(records);
        report.count_delivery(begun.elapsed());
        let verdict = flight.settle(delivery);
        if let (Some(gate), Some(pass)) = (&self.gate, pass) {
            gate.end(pass, verdict.silence(), ledger);
        }
        Ok(Ok(verdict))
    }

    /// Waits until a message may leave, if that is soon.
    async fn pass(&mut self) -> Result<Option<Pass>, String> {
        loop {
            if self.stop.is_cancelled() {
                return Err("the relay is stopping; go on when it runs again".to_owned());
            }
            let Some(gate) = &self.gate else { return Ok(None) };
            let pass = gate.turn().await;
            let now = Instant::now();
            let Some(opens) = gate.opens_at(&pass, now) else { return Ok(Some(pass)) };
            drop(pass);
            let wait = opens - now;
            if wait > WINDOW_PATIENCE {
                let wait = Span(Duration::from_secs(wait.as_secs()));
                return Err(format!(
                    "the rate limit or a penalty of the service keeps the sink waiting for {wait}"
                ));
            }
            // The end of the relay is looked for above.
            let _course: Course = rest_until(opens, &self.stop).await;
        }
    }

    async fn has_room_for(&mut self, waiting: usize) -> bool {
        let Some(gate) = &self.gate else { return true };
        let pass = gate.turn().await;
        waiting <= (gate.free(&pass, Instant::now()) / 2).max(1)
    }
}

/// What of a flight has come to an end, and was not told before.
fn handed(flight: &Flight, told: &mut [bool], verdict: Verdict) -> Handed {
    let mut handed = Handed::default();
    for (place, told) in told.iter_mut().enumerate() {
        if flight.is_done(place) && !std::mem::replace(told, true) {
            handed.accepted.push(place);
        }
    }
    handed.refused = verdict.rejected;
    handed.accepted.retain(|place| !handed.refused.iter().any(|(refused, _)| refused == place));
    handed.blocked = verdict.blocked.map(|blocked| match blocked {
        Blocked::Retry { cause, .. } => format!("not now: {cause}"),
        Blocked::Hold { cause } => cause,
    });
    handed
}
