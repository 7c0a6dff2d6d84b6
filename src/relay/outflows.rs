//! The sinks of a running relay, each with its runner: begun, halted and begun again one by one.
//!
//! Invariants:
//! 1. A sink has one runner at most, and one for a replay beside it. Whoever changes its cursors or its configuration has halted it before.
//! 2. Halting lets a delivery under way end, as the end of the relay does.
//! 3. A runner that ends by itself has failed, and so has the relay.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use tokio::sync::{Mutex, MutexGuard, Notify, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::destination::{Destination, Provisions};
use super::error::RelayError;
use super::outflow::Outflow;
use super::replay::ReplayQueue;
use super::report::SinkReport;
use super::runner::Profile;
use super::shared::Shared;
use super::status::SinkState;
use crate::event::Filter;
use crate::log::LogError;
use crate::sink::{Sink, SinkConfig, SinkError};

/// The sinks, by name.
pub(crate) type Posts = BTreeMap<String, Post>;

/// All sinks of a relay. One change at a time.
pub(crate) struct Outflows {
    shared: Arc<Shared>,
    provisions: Provisions,
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
    /// Its replays, one after another.
    replays: Option<Running>,
    /// Told of when there is a new replay.
    wake: Arc<Notify>,
    /// Held by whoever hands its dead letters over again.
    retrying: Arc<Mutex<()>>,
}

struct Running {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Outflows {
    /// No sinks yet. What fails is told to `failures`; all runners stop with `stop`.
    pub(crate) fn new(
        shared: Arc<Shared>,
        provisions: Provisions,
        stop: CancellationToken,
        failures: mpsc::UnboundedSender<RelayError>,
    ) -> Self {
        Self { shared, provisions, posts: Mutex::default(), stop, failures }
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
        let mut post = Post {
            config,
            report,
            profile,
            running: None,
            replays: None,
            wake: Arc::default(),
            retrying: Arc::default(),
        };
        let outflow = self.outflow(&post);
        outflow.begin();
        if self.shared.state.is_paused(&name) {
            post.report.set_state(SinkState::Paused);
        } else {
            post.running = Some(self.spawn(outflow, post.profile.clone(), sink));
            self.begin_replays(&mut post);
        }
        posts.insert(name, post);
    }

    /// Begins a sink that was halted again, unless it is paused.
    pub(crate) fn go_on(&self, post: &mut Post) -> Result<(), SinkError> {
        if self.shared.state.is_paused(post.report.name()) {
            post.report.set_state(SinkState::Paused);
            return Ok(());
        }
        let sink = (post.profile.build)()?;
        let outflow = self.outflow(post);
        post.running = Some(self.spawn(outflow, post.profile.clone(), sink));
        self.begin_replays(post);
        Ok(())
    }

    /// What sinks are built with.
    pub(crate) fn provisions(&self) -> &Provisions {
        &self.provisions
    }

    /// Begins the replays of a sink, or goes on with them.
    pub(crate) fn begin_replays(&self, post: &mut Post) {
        let queue = ReplayQueue {
            shared: self.shared.clone(),
            live: post.report.clone(),
            profile: post.profile.clone(),
            wake: post.wake.clone(),
            stop: self.stop.child_token(),
        };
        let name = format!("the replays of sink {:?}", post.report.name());
        post.replays = Some(self.watch_over(queue.stop.clone(), name, queue.run()));
    }

    /// Cancelled when all have to stop.
    pub(crate) fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Waits for the runners, which were told to stop by the token of all. Returns how many there are
    /// still when it is dropped.
    pub(crate) async fn join(&self) {
        let mut posts = self.posts.lock().await;
        for post in posts.values_mut() {
            for place in [&mut post.running, &mut post.replays] {
                if let Some(running) = place {
                    // A runner that panicked has been told of.
                    let _ended = (&mut running.task).await;
                    *place = None;
                }
            }
            // It ends with the delivery under way.
            let _idle = post.retrying.lock().await;
        }
    }

    /// Ends whatever still runs. What was under way is delivered again after a restart.
    pub(crate) async fn abort(&self) -> usize {
        let mut posts = self.posts.lock().await;
        let take = |post: &mut Post| [post.running.take(), post.replays.take()];
        let running: Vec<_> = posts.values_mut().flat_map(take).flatten().collect();
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
        let name = format!("the runner of sink {:?}", outflow.report.name());
        self.watch_over(outflow.stop.clone(), name, outflow.run(profile, sink))
    }

    /// Runs something until it is stopped; whoever is told of failures hears when it ends before.
    fn watch_over(
        &self,
        stop: CancellationToken,
        name: String,
        run: impl Future<Output = Result<(), LogError>> + Send + 'static,
    ) -> Running {
        let (stopped, failures) = (stop.clone(), self.failures.clone());
        let task = tokio::spawn(async move {
            let failure = match AssertUnwindSafe(run).catch_unwind().await {
                Ok(Ok(())) if stopped.is_cancelled() => return,
                Ok(Err(error)) => RelayError::Log(error),
                Ok(Ok(())) | Err(_) => RelayError::Bug(name),
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

    /// How it is run.
    pub(crate) fn profile(&self) -> &Profile {
        &self.profile
    }

    /// To be held by whoever hands its dead letters over again.
    pub(crate) fn retrying(&self) -> Arc<Mutex<()>> {
        self.retrying.clone()
    }

    /// Records it wants.
    pub(crate) fn filter(&self) -> &Filter {
        &self.profile.filter
    }

    /// Stops its runner and its replays, and waits until deliveries under way have ended.
    pub(crate) async fn halt(&mut self) {
        if let Some(running) = &self.running {
            running.stop.cancel();
        }
        self.halt_replays().await;
        if let Some(running) = self.running.take() {
            running.halt().await;
        }
    }

    /// Stops its replays, and waits until a delivery under way has ended. Returns whether they ran.
    pub(crate) async fn halt_replays(&mut self) -> bool {
        let Some(replays) = self.replays.take() else { return false };
        replays.halt().await;
        true
    }

    /// There is a new replay.
    pub(crate) fn wake_replays(&self) {
        self.wake.notify_one();
    }
}

impl Running {
    async fn halt(self) {
        self.stop.cancel();
        // What it has failed with was told.
        let _ended = self.task.await;
    }
}
