//! The shell around the machine: makes its requests, reads its watch, feeds its log.
//!
//! Invariants:
//! 1. Actions are carried out in order; when one is given up because the relay stops, none follows.
//! 2. Nothing is read from the watch while the log has no room.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use kube::client::Body;
use tokio_util::sync::CancellationToken;

use super::api::{Api, events_path};
use super::clock::Clock;
use super::failure::Failure;
use super::intake::{Changes, Intake};
use super::machine::{Action, Break, Change, Input, Item, Machine, Moment, Page, Rules};
use super::parse::{self, ListPage, Message, Observed};
use super::reader::{Read, WatchReader};
use super::{Known, SourceError, SourceObserver};
use crate::telemetry::StreamMetrics;

/// Longest wait for the log when the relay stops.
const SYNC_PATIENCE: Duration = Duration::from_secs(10);
/// Time between two looks at a frontier that lags behind what was appended.
const FRONTIER_INTERVAL: Duration = Duration::from_secs(1);

/// Everything one stream needs to run.
pub(super) struct Shell<I: Intake> {
    pub(super) api: Api,
    pub(super) intake: I,
    pub(super) known: Known,
    pub(super) metrics: StreamMetrics,
    pub(super) observer: Arc<dyn SourceObserver>,
    pub(super) stop: CancellationToken,
    pub(super) path: String,
    clock: Clock,
    machine: Machine,
    /// The moment of the step whose actions are being carried out.
    pub(super) now: Moment,
    request: Option<BoxFuture<'static, Answer>>,
    probe: Option<BoxFuture<'static, Result<ListPage, Failure>>>,
    watch: Option<WatchReader>,
    /// The reason that was logged last.
    pub(super) warned: Option<String>,
    /// The page at hand.
    pub(super) page: Vec<Observed>,
    /// The item at hand.
    pub(super) item: Option<Observed>,
    pub(super) stage: Option<I::Stage>,
    changes: I::Changes,
}

enum Answer {
    Listed(Result<ListPage, Failure>),
    Connected(Result<Body, Failure>),
}

enum Event {
    Stop,
    Answer(Answer),
    Probed(Result<ListPage, Failure>),
    Woke,
    Read(Read),
    /// What the log has lost has changed.
    Changed,
    /// Nothing happened; the frontier may have moved.
    Refresh,
}

/// What follows an action.
pub(super) enum Next {
    Continue,
    Feed(Input),
    /// The action was given up because the relay stops.
    Stop,
}

impl<I: Intake> Shell<I> {
    /// A stream that resumes from the frontier of its log.
    pub(super) fn new(
        api: Api,
        intake: I,
        rules: Rules,
        known: Known,
        metrics: StreamMetrics,
        observer: Arc<dyn SourceObserver>,
        stop: CancellationToken,
    ) -> Self {
        let clock = Clock::new();
        let path = events_path(&rules.stream);
        let machine = Machine::new(rules, intake.frontier(), known.complete_until);
        Self {
            now: clock.moment(),
            changes: intake.changes(),
            api,
            intake,
            known,
            metrics,
            observer,
            stop,
            path,
            clock,
            machine,
            request: None,
            probe: None,
            watch: None,
            warned: None,
            page: Vec::new(),
            item: None,
            stage: None,
        }
    }

    /// Runs until it is told to stop, or the log fails.
    pub(super) async fn run(mut self) -> Result<(), SourceError> {
        let outcome = self.drive().await;
        self.metrics.live.set(0);
        outcome?;
        super::listing::discard(self.stage.take()).await?;
        if let Ok(synced) = tokio::time::timeout(SYNC_PATIENCE, self.intake.sync()).await {
            synced?;
        } else {
            tracing::warn!(
                stream = %self.intake.id(),
                "the log did not become durable in time; what is missing will be read again"
            );
        }
        self.refresh_frontier();
        Ok(())
    }

    async fn drive(&mut self) -> Result<(), SourceError> {
        self.look_for_damage().await?;
        self.feed(Input::Begin).await?;
        while !self.stop.is_cancelled() {
            match self.next_event().await {
                Event::Stop => break,
                Event::Answer(answer) => {
                    self.request = None;
                    self.answered(answer).await?;
                }
                Event::Probed(answer) => {
                    self.probe = None;
                    let waited = self.watch.as_ref().map(WatchReader::waited).unwrap_or_default();
                    if answer.is_ok() {
                        self.heard();
                    }
                    let answer = answer.map(|page| page.resource_version);
                    self.feed(Input::Probed { answer, waited }).await?;
                }
                Event::Woke => self.feed(Input::Woke).await?,
                Event::Read(Read::Line(line, waited)) => self.take_lines(line, waited).await?,
                Event::Read(Read::End(end)) => self.feed(Input::Broken(end)).await?,
                Event::Changed => self.look_for_damage().await?,
                Event::Refresh => {}
            }
            self.refresh_frontier();
        }
        Ok(())
    }

    async fn next_event(&mut self) -> Event {
        let deadline = self.machine.deadline().map(|steady| self.clock.instant(steady));
        let wake = async {
            match deadline {
                Some(instant) => tokio::time::sleep_until(instant).await,
                None => std::future::pending().await,
            }
        };
        let lags = self.intake.frontier().as_ref() != self.machine.position();
        let refresh = async {
            if !lags {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(FRONTIER_INTERVAL).await;
        };
        let Self { request, probe, watch, stop, changes, .. } = self;
        // In order of urgency; reading comes after the timer, or a busy watch would never be probed.
        tokio::select! {
            biased;
            () = stop.cancelled() => Event::Stop,
            answer = finished(request) => Event::Answer(answer),
            answer = finished(probe) => Event::Probed(answer),
            () = wake => Event::Woke,
            () = changes.changed() => Event::Changed,
            read = next_read(watch) => Event::Read(read),
            () = refresh => Event::Refresh,
        }
    }

    async fn look_for_damage(&mut self) -> Result<(), SourceError> {
        if self.intake.repairs().is_empty() { Ok(()) } else { self.feed(Input::Damaged).await }
    }

    async fn answered(&mut self, answer: Answer) -> Result<(), SourceError> {
        let input = match answer {
            Answer::Listed(Ok(page)) => self.page_input(page),
            Answer::Connected(Ok(body)) => {
                self.heard();
                self.metrics.watches.inc();
                self.watch = Some(WatchReader::new(body));
                Input::Connected
            }
            Answer::Listed(Err(failure)) | Answer::Connected(Err(failure)) => {
                tracing::debug!(stream = %self.intake.id(), ?failure, "request failed");
                Input::Failed(failure)
            }
        };
        self.feed(input).await
    }

    fn page_input(&mut self, page: ListPage) -> Input {
        self.heard();
        for cause in &page.unreadable {
            tracing::error!(
                stream = %self.intake.id(), %cause,
                "an item of the API server's list is not readable as an event and is left out"
            );
        }
        self.page = page.events;
        Input::Listed(Page {
            resource_version: page.resource_version,
            next: page.next,
            unreadable: page.unreadable.len() as u64,
        })
    }

    /// Takes an item and all that were received with it.
    async fn take_lines(&mut self, first: Bytes, waited: Duration) -> Result<(), SourceError> {
        self.heard();
        let mut line = Some((first, waited));
        while let Some((text, waited)) = line {
            self.take_line(&text, waited).await?;
            if self.stop.is_cancelled() {
                return Ok(());
            }
            let next = self.watch.as_mut().and_then(WatchReader::next_line);
            line = next.map(|text| (text, Duration::ZERO));
        }
        Ok(())
    }

    async fn take_line(&mut self, text: &[u8], waited: Duration) -> Result<(), SourceError> {
        let input = match parse::message(text) {
            Ok(Message::Record(event)) => {
                let resource_version = event.resource_version.clone();
                self.item = Some(event);
                Input::Item(Item { resource_version, change: Change::Record, waited })
            }
            Ok(Message::Advance(resource_version)) => {
                Input::Item(Item { resource_version, change: Change::Advance, waited })
            }
            Ok(Message::Error(refusal)) => Input::Broken(Break::Error(Failure::Answer(refusal))),
            Err(cause) => {
                tracing::error!(
                    stream = %self.intake.id(), after = ?self.machine.position(), %cause,
                    "an item of the watch cannot be read"
                );
                Input::Broken(Break::Unreadable(cause))
            }
        };
        self.feed(input).await
    }

    /// Lets the machine take a step and carries out what it says, and so on.
    async fn feed(&mut self, input: Input) -> Result<(), SourceError> {
        let mut input = Some(input);
        while let Some(next) = input.take() {
            self.now = self.clock.moment();
            for action in self.machine.step(self.now, next) {
                match self.perform(action).await? {
                    Next::Continue => {}
                    Next::Feed(next) => input = Some(next),
                    Next::Stop => return Ok(()),
                }
            }
        }
        Ok(())
    }

    async fn perform(&mut self, action: Action) -> Result<Next, SourceError> {
        match action {
            Action::Probe => {
                let (api, path) = self.target();
                if self.watch.is_some() {
                    self.probe = Some(Box::pin(api.probe(path)));
                } else {
                    self.request = Some(Box::pin(async { Answer::Listed(api.probe(path).await) }));
                }
            }
            Action::List { token } => {
                if token.is_none() {
                    super::listing::discard(self.stage.take()).await?;
                }
                let (api, path) = self.target();
                let page = async { Answer::Listed(api.page(path, token).await) };
                self.request = Some(Box::pin(page));
            }
            Action::Watch { from, timeout } => {
                let (api, path) = self.target();
                let watch = async move { Answer::Connected(api.watch(path, from, timeout).await) };
                self.request = Some(Box::pin(watch));
            }
            Action::HangUp => {
                self.watch = None;
                self.probe = None;
            }
            Action::Renew => tokio::select! {
                () = self.api.renew() => {}
                () = self.stop.cancelled() => return Ok(Next::Stop),
            },
            other => return self.carry_out(other).await,
        }
        Ok(Next::Continue)
    }

    /// Where requests go.
    fn target(&self) -> (Api, String) {
        (self.api.clone(), self.path.clone())
    }

    fn heard(&self) {
        let seconds = jiff::Timestamp::now().as_duration().as_secs_f64();
        self.metrics.last_message.set(seconds);
    }

    fn refresh_frontier(&self) {
        let Some(position) = self.intake.frontier() else { return };
        if let Ok(version) = position.resource_version.as_str().parse() {
            self.metrics.frontier.set(version);
        }
    }
}

async fn finished<T>(future: &mut Option<BoxFuture<'static, T>>) -> T {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

async fn next_read(watch: &mut Option<WatchReader>) -> Read {
    match watch {
        Some(watch) => watch.read().await,
        None => std::future::pending().await,
    }
}
