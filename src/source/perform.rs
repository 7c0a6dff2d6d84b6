//! Carries out what the machine says about the log and the observer.

use tokio_util::sync::CancellationToken;

use super::intake::{Intake, Stage};
use super::listing::{self, Repairs, Selection};
use super::machine::{Action, DrainPlan, Input};
use super::parse::Observed;
use super::run::{Next, Shell};
use super::{Phase, PhaseName, RelistCause, SourceError, objects, parse};
use crate::event::{Generation, Position};
use crate::log::{Entry, Gap, LogError, NewRecord, ROOM_POLL};

impl<I: Intake> Shell<I> {
    /// Actions that need no request.
    pub(super) async fn carry_out(&mut self, action: Action) -> Result<Next, SourceError> {
        let done = match action {
            Action::Keep(position) => self.keep(position, false).await?,
            Action::KeepUnlessKnown(position) => self.keep(position, true).await?,
            Action::Advance(position) => self.append(Entry::Advance(position)).await?,
            Action::Sync => self.sync().await?,
            Action::Stage(generation) => self.put_aside(generation).await?,
            Action::Drain(plan) => {
                if self.drain(&plan).await? {
                    return Ok(Next::Feed(Input::Drained));
                }
                false
            }
            Action::Report(gap) => self.report(&gap).await?,
            Action::CompleteUntil(time) => {
                self.observer.complete_until(time);
                true
            }
            Action::Enter(phase) => {
                self.enter(&phase);
                true
            }
            Action::Relisted(cause) => {
                self.relisted(cause);
                true
            }
            // Requests are made by `perform`.
            _ => true,
        };
        Ok(if done { Next::Continue } else { Next::Stop })
    }

    /// Appends the item at hand.
    async fn keep(&mut self, position: Position, may_be_known: bool) -> Result<bool, SourceError> {
        // The machine speaks of an item only while there is one.
        let Some(Observed { header, body, .. }) = self.item.take() else { return Ok(true) };
        let record = NewRecord { position, received_at: self.now.wall, header, body };
        if may_be_known && listing::is_known(&self.intake, &record).await? {
            return self.append(Entry::Advance(record.position)).await;
        }
        self.append_record(record).await
    }

    async fn append(&mut self, entry: Entry) -> Result<bool, SourceError> {
        unless_stopped(&self.stop, self.intake.append(entry)).await
    }

    async fn sync(&mut self) -> Result<bool, SourceError> {
        unless_stopped(&self.stop, self.intake.sync()).await
    }

    async fn append_record(&mut self, record: NewRecord) -> Result<bool, SourceError> {
        let header = record.header.clone();
        let message = parse::event_message(&record.body);
        let done = self.append(Entry::Record(record)).await?;
        if done {
            self.metrics.records.inc();
            self.observer.record(&header, &message);
        }
        Ok(done)
    }

    async fn put_aside(&mut self, generation: Generation) -> Result<bool, SourceError> {
        let events = std::mem::take(&mut self.page);
        let records = listing::placed(events, generation, self.now.wall);
        let stage = match &mut self.stage {
            Some(stage) => stage,
            empty => empty.insert(self.intake.stage().await?),
        };
        unless_stopped(&self.stop, stage.put(records)).await
    }

    /// Appends a complete list. Returns whether it was finished.
    async fn drain(&mut self, plan: &DrainPlan) -> Result<bool, SourceError> {
        if plan.replaced {
            self.check_cluster().await?;
        }
        if let Some(mut stage) = self.stage.take() {
            if !self.append_selected(plan, &mut stage).await? {
                self.stage = Some(stage);
                return Ok(false);
            }
            stage.discard().await?;
        }
        Ok(self.append(Entry::Advance(plan.end.clone())).await? && self.sync().await?)
    }

    async fn append_selected(
        &mut self,
        plan: &DrainPlan,
        stage: &mut I::Stage,
    ) -> Result<bool, SourceError> {
        let selection = Selection::new(plan, self.known.log_covers_since);
        let mut repairs = Repairs::new(self.intake.repairs());
        loop {
            let records = tokio::select! {
                biased;
                records = stage.take() => records?,
                () = self.stop.cancelled() => return Ok(false),
            };
            if records.is_empty() {
                repairs.finish().await;
                return Ok(true);
            }
            for record in records {
                let Some(record) = repairs.take(record).await else { continue };
                if selection.wants(&record)
                    && !listing::is_known(&self.intake, &record).await?
                    && !self.append_record(record).await?
                {
                    return Ok(false);
                }
            }
        }
    }

    /// A replaced history may be that of another cluster behind the same address.
    async fn check_cluster(&mut self) -> Result<(), SourceError> {
        let Some(expected) = self.known.cluster_uid.clone() else { return Ok(()) };
        match objects::cluster_uid(&self.api).await {
            Ok(Some(found)) if found != expected => {
                Err(SourceError::AnotherCluster { expected, found })
            }
            Ok(_) => Ok(()),
            Err(error) => {
                tracing::warn!(%error, "cannot check whether this is still the same cluster");
                Ok(())
            }
        }
    }

    /// Returns when the gap is durable, and whether it is.
    async fn report(&mut self, gap: &Gap) -> Result<bool, SourceError> {
        tracing::error!(
            stream = %self.intake.id(),
            after = gap.after.as_ref().map(tracing::field::display),
            until = %gap.until,
            from_time = gap.from_time.map(tracing::field::display),
            to_time = %gap.to_time,
            cause = %gap.cause,
            "events may be missing"
        );
        self.metrics.gaps.inc();
        let durable = async {
            loop {
                match self.observer.gap(gap) {
                    // Nothing is appended behind a gap that a crash would forget.
                    Err(LogError::Full { .. }) => tokio::time::sleep(ROOM_POLL).await,
                    reported => return reported,
                }
            }
        };
        unless_stopped(&self.stop, durable).await
    }

    fn enter(&mut self, phase: &Phase) {
        let stream = self.intake.id();
        if phase.reason.is_some() && phase.reason != self.warned {
            let reason = phase.reason.as_deref().unwrap_or_default();
            tracing::warn!(%stream, phase = %phase.name, "{reason}");
        } else if phase.name == PhaseName::Watching && self.metrics.live.get() == 0 {
            tracing::info!(%stream, "watching events");
        } else {
            tracing::debug!(%stream, phase = %phase.name, "phase changed");
        }
        self.warned.clone_from(&phase.reason);
        self.metrics.live.set(i64::from(phase.live));
        self.observer.phase(phase);
    }

    fn relisted(&self, cause: RelistCause) {
        let stream = self.intake.id();
        if cause == RelistCause::HistoryReplaced {
            tracing::warn!(%stream, "listing all events of a new generation: {cause}");
        } else {
            tracing::info!(%stream, "listing all events: {cause}");
        }
        self.metrics.relists.inc();
        self.observer.relisted(cause);
    }
}

/// Waits for the log, but not longer than the relay runs. Returns whether it was done.
async fn unless_stopped(
    stop: &CancellationToken,
    work: impl Future<Output = Result<(), LogError>>,
) -> Result<bool, SourceError> {
    tokio::select! {
        biased;
        done = work => done.map(|()| true).map_err(SourceError::from),
        () = stop.cancelled() => Ok(false),
    }
}
