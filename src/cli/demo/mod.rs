//! `demo`: the real relay between an API server and two receivers that exist only for a moment.
//!
//! No cluster, no configuration. One receiver is down for the middle third of the time; the
//! terminal shows how its backlog grows and drains, and in the end every event is accounted for.
//!
//! Invariants:
//! 1. Everything is bound to 127.0.0.1 and to free ports.
//! 2. Whatever ends the demo, its files, ports and tasks are gone afterwards.

pub mod api_server;
mod directory;
mod play;
mod receiver;
mod relay;
mod scene;
mod screen;
mod stage;
#[cfg(test)]
mod testing;
pub mod workload;

pub use receiver::{Ledger, Receiver};

use std::io;
use std::time::Duration;

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::admin::ListenError;
use crate::cli::output::{self, Tone};
use crate::relay::RelayError;
use crate::setting::Span;
use screen::Screen;
use stage::Stage;
use workload::Pace;

/// How long the relay may take to open its watch on this machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Arguments of `demo`.
#[derive(Debug, Clone, Args)]
pub struct DemoArgs {
    /// How long events are generated, such as 30s or 5m
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    pub duration: Span,
    /// Events per second in the mean; they come in bursts
    #[arg(long, value_name = "EVENTS", default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub rate: u32,
    /// Which stream of events; the same seed makes the same events
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,
}

/// Why the demo did not come to a good end.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The promise was broken.
    #[error("events are missing: {0}")]
    Missing(String),
    /// A signal ended it.
    #[error("stopped before the end; nothing is left behind")]
    Signal,
    /// The relay stopped while it was needed.
    #[error("the relay stopped by itself; run with RUST_LOG=info to see why")]
    Stopped,
    /// The relay does not watch the demo's API server.
    #[error("the relay does not get on with the demo's API server: {0}")]
    NotLive(String),
    /// The relay refused to start, or failed while it stopped.
    #[error(transparent)]
    Relay(#[from] RelayError),
    /// The admin interface has no port.
    #[error(transparent)]
    Admin(#[from] ListenError),
    /// A port of 127.0.0.1 cannot be used.
    #[error("cannot serve on 127.0.0.1: {0}")]
    Network(#[source] io::Error),
    /// The data directory cannot be created.
    #[error("cannot create a temporary directory: {0}; set TMPDIR to one that is writable")]
    Directory(#[source] io::Error),
    /// The generator made an event that the API server does not take.
    #[error("the event generator failed, which is a bug of the demo: {0}")]
    Generator(#[from] api_server::NotNamed),
    /// A task of the demo panicked.
    #[error("a task of the demo failed, which is a bug: {0}")]
    Interrupted(#[source] tokio::task::JoinError),
    /// Standard output does not take what is shown, or signals cannot be waited for.
    #[error("cannot use the terminal: {0}")]
    Terminal(#[from] io::Error),
}

/// Runs the demo. Ends with [`DemoError::Signal`] after Ctrl-C or SIGTERM; a second one does not
/// wait until the relay has stopped in order.
pub async fn run(args: DemoArgs) -> Result<(), DemoError> {
    let mut signals = Signals::new()?;
    // Not interrupted: what has been set can be cleared, what is half set cannot.
    let mut stage = Stage::set(args.seed).await?;
    let played = tokio::select! {
        played = show(&args, &mut stage) => played,
        () = signals.next() => Err(DemoError::Signal),
    };
    let cleared = tokio::select! {
        cleared = stage.clear() => cleared,
        () = signals.next() => Err(DemoError::Signal),
    };
    played.and(cleared)
}

async fn show(args: &DemoArgs, stage: &mut Stage) -> Result<(), DemoError> {
    stage.wait_until_live(PATIENCE).await?;
    let duration = args.duration.0;
    let mut screen = Screen::new(duration, &[stage::ONCALL, stage::ARCHIVE]);
    screen.say(Tone::Plain, &introduction(stage.admin(), duration))?;
    play::play(stage, &mut screen, duration, Pace::new(f64::from(args.rate))).await
}

fn introduction(admin: &str, duration: Duration) -> String {
    format!(
        "A local API server, the real relay, and two receivers, one of which will be down for {}.\n\
         Meanwhile, in another terminal:\n\n  \
         kube-event-relay status --server {admin}\n  \
         kube-event-relay cursor list --server {admin}\n",
        output::duration(duration / 3),
    )
}

/// Ctrl-C, SIGTERM, and the closing of the terminal.
struct Signals([Signal; 3]);

impl Signals {
    /// From now on they no longer end the process.
    fn new() -> io::Result<Self> {
        Ok(Self([
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        ]))
    }

    /// Waits for one of them.
    async fn next(&mut self) {
        let [interrupt, terminate, hang_up] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hang_up.recv() => {}
        }
    }
}
