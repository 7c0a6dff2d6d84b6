//! The sinks of a running relay, each with its runner: begun, halted and begun again one by one.
//!
//! Invariants:
//! 1. A sink has one runner at most. Whoever changes its cursors or its configuration has halted it before.
//! 2. Halting lets a delivery under way end, as the end of the relay does.
//! 3. A runner that ends by itself has failed, and so has the relay.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use tokio::sync::{Mutex, MutexGuard, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::destination::Destination;
use super::error::RelayError;
use super::outflow::Outflow;
use super::report::SinkReport;
use super::runner::{Profile, Windows};
use super::shared::Shared;
use super::status::SinkState;
use crate::sink::{Sink, SinkConfig, SinkContext, SinkError};

/// The sinks, by name.
pub(crate) type Posts = BTreeMap<String, Post>;

/// All sinks of a relay. One change at a time.
pub(crate) struct Outflows {
    shared: Arc<Shared>,
    windows: Windows,
    context: SinkContext,
    posts: Mutex<Posts>,
    stop: CancellationToken,
    failures: mpsc::UnboundedSender<RelayError>,
}

/// One sink.
pub(crate) struct Post {
    /// As it is configured.
    pub(crate) config: SinkConfig,
    report: Arc<SinkReport>,
    profile: Profile,
    running: Option<Running>,
}

struct Running {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Outflows {
    /// No sinks yet. What fails is told to `failures`; all runners stop with `stop`.
    pub(crate) fn new(
        shared: Arc<Shared>,
        windows: Windows,
        context: SinkContext,
        stop: CancellationToken,
        failures: mpsc::UnboundedSender<RelayError>,
    ) -> Self {
        Self { shared, windows, context, posts: Mutex::default(), stop, failures }
    }

    /// All sinks, for as long as nobody else may change them.
    pub(crate) async fn lock(&self) -> MutexGuard<'_, Posts> {
        self.posts.lock().await
    }

    /// Adds a sink and begins it, unless it is paused.
    pub(crate) fn add(&self, posts: &mut Posts, destination: Destination) {
        let Destination { config, identity, profile, sink } = destination;
        let name = identity.name.clone();
        let report = self.shared.add_sink(identity);
        let mut post = Post { config, report, profile, running: None };
        let outflow = self.outflow(&post);
        outflow.begin();
        if self.shared.state.is_paused(&name) {
            post.report.set_state(SinkState::Paused);
        } else {
            post.running = Some(self.spawn(outflow, post.profile.clone(), sink));
        }
        posts.insert(name, post);
    }

    /// Begins a sink that was halted again, unless it is paused.
    pub(crate) fn go_on(&self, post: &mut Post) -> Result<(), SinkError> {
        if self.shared.state.is_paused(post.report.name()) {
            post.report.set_state(SinkState::Paused);
            return Ok(());
        }
        post.report.set_failure(None);
        let sink = (post.profile.build)()?;
        let outflow = self.outflow(post);
        post.running = Some(self.spawn(outflow, post.profile.clone(), sink));
        Ok(())
    }

    /// Where the quotas of all sinks are kept.
    pub(crate) fn windows(&self) -> &Windows {
        &self.windows
    }

    /// What sinks are built with.
    pub(crate) fn context(&self) -> &SinkContext {
        &self.context
    }

    /// Waits for the runners, which were told to stop by the token of all. Returns how many there are
    /// still when it is dropped.
    pub(crate) async fn join(&self) {
        let mut posts = self.posts.lock().await;
        for post in posts.values_mut() {
            if let Some(running) = &mut post.running {
                // A runner that panicked has been told of.
                let _ended = (&mut running.task).await;
                post.running = None;
            }
        }
    }

    /// Ends whatever still runs. What was under way is delivered again after a restart.
    pub(crate) async fn abort(&self) -> usize {
        let mut posts = self.posts.lock().await;
        let running: Vec<_> = posts.values_mut().filter_map(|post| post.running.take()).collect();
        for Running { task, .. } in &running {
            task.abort();
        }
        let mut aborted = 0;
        for Running { task, .. } in running {
            aborted += usize::from(task.await.is_err());
        }
        aborted
    }

    fn outflow(&self, post: &Post) -> Outflow {
        Outflow {
            streams: self.shared.all_streams().cloned().collect(),
            state: self.shared.state.clone(),
            report: post.report.clone(),
            stop: self.stop.child_token(),
        }
    }

    fn spawn(&self, outflow: Outflow, profile: Profile, sink: Box<dyn Sink>) -> Running {
        let stop = outflow.stop.clone();
        let (stopped, failures) = (stop.clone(), self.failures.clone());
        let name = outflow.report.name().to_owned();
        let task = tokio::spawn(async move {
            let run = AssertUnwindSafe(outflow.run(profile, sink)).catch_unwind();
            let failure = match run.await {
                Ok(Ok(())) if stopped.is_cancelled() => return,
                Ok(Err(error)) => RelayError::Log(error),
                Ok(Ok(())) | Err(_) => RelayError::Bug(format!("the runner of sink {name:?}")),
            };
            // An error: the relay stops already.
            let _told = failures.send(failure);
        });
        Running { stop, task }
    }
}

impl Post {
    /// Its own account.
    pub(crate) fn report(&self) -> &Arc<SinkReport> {
        &self.report
    }

    /// Stops its runner, and waits until a delivery under way has ended.
    pub(crate) async fn halt(&mut self) {
        if let Some(Running { stop, task }) = self.running.take() {
            stop.cancel();
            // What it has failed with was told.
            let _ended = task.await;
        }
    }
}
