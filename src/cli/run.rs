//! `run`: the relay until it is told to stop.

use std::sync::Arc;

use clap::Args;
use futures::future::OptionFuture;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::exit::Failure;
use super::output;
use super::reload::Reloader;
use crate::admin::{self, Admin, AdminToken, ListenError, Reloads, StartingRelay};
use crate::config::{Arguments, Config, ConfigFile, Loaded, Problem, preflight, usage};
use crate::log::LogError;
use crate::relay::{self, Relay, RelayConfig, RelayError, Starting};
use crate::telemetry::{self, Metrics};

/// Arguments of `run`.
#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// `--config FILE`, or kube-eventer's flags; `run --help` lists them
    #[arg(value_name = "FLAGS", trailing_var_arg = true, allow_hyphen_values = true)]
    pub(super) arguments: Vec<std::ffi::OsString>,
}

/// Runs the relay with these arguments. Everything that can be wrong with them is found before
/// anything on disk or network is touched.
pub(super) fn run(arguments: &[String]) -> Result<(), Failure> {
    let environment = |name: &str| std::env::var(name).ok();
    let arguments = Config::from_arguments(arguments, &environment)?;
    let print = |text: &str| output::print(text).map_err(Failure::failed);
    let (Loaded { config, warnings }, file) = match arguments {
        Arguments::Help => return print(&usage()),
        Arguments::Version => return print(&version()),
        Arguments::Flags(loaded) => (*loaded, None),
        Arguments::File(file) => (file.load()?, Some(file)),
    };
    let machine = preflight(&config);
    if let Some(problem) = machine.errors.first() {
        return Err(Failure::failed(problem));
    }
    telemetry::init_logs(config.telemetry.verbosity);
    for warning in warnings.into_iter().chain(machine.warnings.iter().map(Problem::to_string)) {
        tracing::warn!("{warning}");
    }
    super::wait_for(serve(config, file))
}

/// The line of kube-eventer's `--version`, which ends with an empty one.
fn version() -> String {
    format!("kube-eventer version: {} (kube-event-relay)\n\n", env!("CARGO_PKG_VERSION"))
}

async fn serve(config: Config, file: Option<ConfigFile>) -> Result<(), RunError> {
    let shutdown = relay::shutdown_on_signals()?;
    // From here on a hang-up ends nothing.
    let hangups = signal(SignalKind::hangup()).map_err(RelayError::System)?;
    let metrics = Arc::new(Metrics::with_event_metrics(config.telemetry.event_metrics));
    // A port that is taken is found before the log is opened.
    let listener = config.admin.bind().await?;
    let data_dir = config.log.data_dir.clone();
    let shown = StartingRelay::new(config.cluster.clone(), data_dir, config.log.max_bytes.0);
    let (admin_stop, token) = (CancellationToken::new(), AdminToken::of(&config.log.data_dir));
    let (reloads, requests) = match &file {
        Some(_) => Reloads::channel(),
        None => (Reloads::default(), mpsc::channel(1).1),
    };
    let admin = Admin { metrics: metrics.clone(), token: token.clone(), reloads };
    let mut admin = Some(admin::serve(listener, shown.clone(), admin, admin_stop.clone()));
    let mut serving = None;
    let starting = Starting::until(&shutdown);
    let start = Relay::start(relay_config(config.clone()), metrics.clone(), starting.clone());
    tokio::pin!(start);
    let started = tokio::select! {
        started = &mut start => started,
        // It is seen from outside what the start waits for, and that it lives.
        () = starting.waits_for_room() => {
            serving = admin.take().map(tokio::spawn);
            start.await
        }
    };
    let relay = match started {
        Err(RelayError::Log(LogError::Full { .. })) if shutdown.is_cancelled() => return Ok(()),
        started => started?,
    };
    if let Err(error) = token.prepare() {
        tracing::warn!(%error, "the admin interface only shows");
    }
    shown.has_started(relay.handle());
    let serving = serving.or_else(|| admin.take().map(tokio::spawn));
    if let Some(file) = file {
        let metrics = metrics.reload().clone();
        let reloader = Reloader::new(file, config, relay.handle(), metrics);
        tokio::spawn(reloader.run(hangups, requests, shutdown.clone()));
    }
    let outcome = relay.run_until(shutdown).await;
    // Last, so that health and metrics can be seen while the relay drains.
    admin_stop.cancel();
    if let Some(Err(error)) = OptionFuture::from(serving).await {
        tracing::error!(%error, "the admin server failed");
    }
    Ok(outcome?)
}

/// Why a valid configuration did not run.
#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Relay(#[from] RelayError),
}

fn relay_config(config: Config) -> RelayConfig {
    RelayConfig {
        cluster: config.cluster,
        source: config.source,
        log: config.log,
        sinks: config.sinks,
        drain_deadline: config.drain_deadline,
        dead_letters: config.dead_letters,
    }
}
