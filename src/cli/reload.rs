//! The configuration file of a running relay: read again when it changes, on SIGHUP, and when an operator
//! asks for it.
//!
//! Invariants:
//! 1. A file that is not accepted changes nothing, and is told of once.
//! 2. Only sinks are taken over; what else has changed is named, and needs a restart.

use std::time::Duration;

use jiff::Timestamp;
use tokio::signal::unix::Signal;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::admin::ReloadRequest;
use crate::config::{Config, ConfigFile, Loaded, preflight};
use crate::relay::{Change, ControlError, Order, RelayHandle};
use crate::telemetry::ReloadMetrics;

/// How often the file is looked at. A `ConfigMap` that is mounted changes by a switch of links, which is seen
/// by its content only.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// Reads the file again and again.
pub(super) struct Reloader {
    file: ConfigFile,
    /// Its text when it was last read.
    text: Option<String>,
    config: Config,
    relay: RelayHandle,
    metrics: ReloadMetrics,
}

impl Reloader {
    /// For a relay that runs with `config`, which stood in `file`.
    pub(super) fn new(
        file: ConfigFile,
        config: Config,
        relay: RelayHandle,
        metrics: ReloadMetrics,
    ) -> Self {
        metrics.success_seconds.set(Timestamp::now().as_second());
        Self { file, text: None, config, relay, metrics }
    }

    /// Reads the file whenever there is reason to, until `stop`.
    pub(super) async fn run(
        mut self,
        mut hangups: Signal,
        mut requests: mpsc::Receiver<ReloadRequest>,
        stop: CancellationToken,
    ) {
        let mut looks = interval(LOOK_INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = hangups.recv() => self.obey(order("SIGHUP")).await,
                Some((order, answer)) = requests.recv() => {
                    // Whoever asked may have hung up.
                    let _heard = answer.send(self.reload(&order).await);
                }
                _ = looks.tick() => self.look().await,
            }
        }
    }

    async fn look(&mut self) {
        // A file that is being replaced may be away for a moment.
        if let Ok(text) = tokio::fs::read_to_string(self.file.path()).await
            && self.text.as_ref() != Some(&text)
        {
            self.obey(order("the changed file")).await;
        }
    }

    async fn obey(&mut self, order: Order) {
        if let Err(error) = self.reload(&order).await {
            tracing::error!(path = %self.file.path().display(), %error, "the configuration is not taken over");
        }
    }

    async fn reload(&mut self, order: &Order) -> Result<Change, ControlError> {
        let reloaded = self.try_reload(order).await;
        if !order.dry_run {
            self.metrics.successful.set(i64::from(reloaded.is_ok()));
        }
        if reloaded.is_ok() && !order.dry_run {
            self.metrics.success_seconds.set(Timestamp::now().as_second());
        }
        reloaded
    }

    async fn try_reload(&mut self, order: &Order) -> Result<Change, ControlError> {
        if !order.dry_run {
            self.text = tokio::fs::read_to_string(self.file.path()).await.ok();
        }
        let Loaded { config, warnings } = self.file.load().map_err(refused)?;
        if let Some(problem) = preflight(&config).errors.first() {
            return Err(refused(problem));
        }
        let change = self.relay.reconfigure(&config.sinks, order).await?;
        if !order.dry_run && config != self.config {
            for warning in warnings {
                tracing::warn!("{warning}");
            }
            self.tell_what_needs_a_restart(&config);
            self.config = config;
        }
        Ok(change)
    }

    fn tell_what_needs_a_restart(&self, new: &Config) {
        let old = &self.config;
        let parts = [
            ("cluster", old.cluster != new.cluster),
            ("source", old.source != new.source),
            ("log", old.log != new.log),
            ("deadLetters", old.dead_letters != new.dead_letters),
            ("admin", old.admin != new.admin),
            ("telemetry", old.telemetry != new.telemetry),
            ("drainDeadline", old.drain_deadline != new.drain_deadline),
        ];
        let changed: Vec<_> =
            parts.into_iter().filter(|(_, changed)| *changed).map(|(name, _)| name).collect();
        if !changed.is_empty() {
            tracing::warn!(
                changed = changed.join(", "),
                "only sinks are taken over while the relay runs; restart it for the rest"
            );
        }
    }
}

fn order(from: &str) -> Order {
    Order { from: from.to_owned(), dry_run: false }
}

fn refused(reason: impl std::fmt::Display) -> ControlError {
    ControlError::Refused(reason.to_string())
}
