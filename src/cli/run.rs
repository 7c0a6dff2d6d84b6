//! `run`: the relay until it is told to stop.

use std::sync::Arc;

use clap::Args;
use futures::future::OptionFuture;
use tokio_util::sync::CancellationToken;

use super::exit::Failure;
use super::output;
use crate::admin::{self, AdminToken, ListenError, StartingRelay};
use crate::config::{Arguments, Config, Loaded, Problem, preflight, usage};
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
    let Loaded { config, warnings } = match arguments {
        Arguments::Help => return print(&usage()),
        Arguments::Version => return print(&version()),
        Arguments::Flags(loaded) => *loaded,
        Arguments::File(file) => file.load()?,
    };
    let machine = preflight(&config);
    if let Some(problem) = machine.errors.first() {
        return Err(Failure::failed(problem));
    }
    telemetry::init_logs(config.telemetry.verbosity);
    for warning in warnings.into_iter().chain(machine.warnings.iter().map(Problem::to_string)) {
        tracing::warn!("{warning}");
    }
    super::wait_for(serve(config))
}

/// The line of kube-eventer's `--version`, which ends with an empty one.
fn version() -> String {
    format!("kube-eventer version: {} (kube-event-relay)\n\n", env!("CARGO_PKG_VERSION"))
}

async fn serve(config: Config) -> Result<(), RunError> {
    let shutdown = relay::shutdown_on_signals()?;
    let metrics = Arc::new(Metrics::with_event_metrics(config.telemetry.event_metrics));
    // A port that is taken is found before the log is opened.
    let listener = config.admin.bind().await?;
    let data_dir = config.log.data_dir.clone();
    let shown = StartingRelay::new(config.cluster.clone(), data_dir, config.log.max_bytes.0);
    let (admin_stop, token) = (CancellationToken::new(), AdminToken::of(&config.log.data_dir));
    let serve =
        admin::serve(listener, shown.clone(), metrics.clone(), token.clone(), admin_stop.clone());
    let mut admin = Some(serve);
    let mut serving = None;
    let starting = Starting::until(&shutdown);
    let start = Relay::start(relay_config(config), metrics, starting.clone());
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
    let outcome = relay.run_until(shutdown).await;
    // Last, so that health and metrics can be seen while the relay drains.
    admin_stop.cancel();
    if let Some(Err(error)) = OptionFuture::from(serving).await {
        tracing::error!(%error, "The admin server failed.");
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
    }
}
