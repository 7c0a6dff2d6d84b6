//! The configuration file of a running relay: read again when it changes, on SIGHUP, and when an operator
//! asks for it.
//!
//! Invariants:
//! 1. A file that is not accepted changes nothing. It is told of once, shown in the status as long as it is so,
//!    and tried again by itself: what is missing may be an environment, a secret's file or room on the disk.
//! 2. Only sinks are taken over; what else has changed is named, and needs a restart.

use std::time::Duration;

use jiff::Timestamp;
use tokio::signal::unix::Signal;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::admin::ReloadRequest;
use crate::config::{Config, ConfigFile, Loaded, preflight};
use crate::relay::{
    Change, ConfigurationRefusal, ConfigurationStatus, ControlError, Order, RelayHandle,
};
use crate::telemetry::ReloadMetrics;

/// How often the file is looked at. A `ConfigMap` that is mounted changes by a switch of links, which is seen
/// by its content only.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// How long after a refusal an unchanged file is tried again.
const RETRY_INTERVAL: Duration = Duration::from_secs(10);

/// Where the relay's own order to try again comes from.
const AGAIN: &str = "the file, tried again";

/// Reads the file again and again.
pub(super) struct Reloader {
    file: ConfigFile,
    /// Its text when it was last read.
    text: Option<String>,
    /// When it was last read.
    read_at: Instant,
    /// What the process was started with.
    started_with: Config,
    /// What was last taken over.
    config: Config,
    status: ConfigurationStatus,
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
        let taken_over_at = Timestamp::now();
        let status = ConfigurationStatus {
            path: file.path().display().to_string(),
            taken_over_at,
            refusal: None,
            needs_restart: Vec::new(),
        };
        metrics.success_seconds.set(taken_over_at.as_second());
        relay.show_configuration(status.clone());
        let started_with = config.clone();
        let read_at = Instant::now();
        Self { file, text: None, read_at, started_with, config, status, relay, metrics }
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
                _ = hangups.recv() => drop(self.reload(&order("SIGHUP")).await),
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
        let Ok(text) = tokio::fs::read_to_string(self.file.path()).await else { return };
        let is_due = self.status.refusal.is_some() && self.read_at.elapsed() >= RETRY_INTERVAL;
        if self.text.as_ref() != Some(&text) && self.says_the_same() {
            self.text = Some(text);
        } else if self.text.as_ref() != Some(&text) {
            drop(self.reload(&order("the changed file")).await);
        } else if is_due {
            drop(self.reload(&order(AGAIN)).await);
        }
    }

    /// Whether the file means what is in force, though it may be written in another way.
    fn says_the_same(&self) -> bool {
        self.status.refusal.is_none() && self.load().is_ok_and(|(config, _)| config == self.config)
    }

    async fn reload(&mut self, order: &Order) -> Result<Change, ControlError> {
        if order.dry_run {
            let (config, _) = self.load()?;
            return self.relay.reconfigure(&config.sinks, order).await;
        }
        self.text = tokio::fs::read_to_string(self.file.path()).await.ok();
        self.read_at = Instant::now();
        let reloaded = self.take_over(order).await;
        match &reloaded {
            Ok(_) => self.accepted(),
            Err(error) => self.refused(error.to_string(), order),
        }
        self.relay.show_configuration(self.status.clone());
        reloaded
    }

    /// The file as it stands, checked, and what is to be said of it.
    fn load(&self) -> Result<(Config, Vec<String>), ControlError> {
        let Loaded { config, warnings } = self.file.load().map_err(not_accepted)?;
        match preflight(&config).errors.first() {
            Some(problem) => Err(not_accepted(problem)),
            None => Ok((config, warnings)),
        }
    }

    async fn take_over(&mut self, order: &Order) -> Result<Change, ControlError> {
        let (config, warnings) = self.load()?;
        let change = self.relay.reconfigure(&config.sinks, order).await?;
        if config != self.config {
            for warning in warnings {
                tracing::warn!("{warning}");
            }
            self.config = config;
        }
        Ok(change)
    }

    fn accepted(&mut self) {
        let now = Timestamp::now();
        self.metrics.successful.set(1);
        self.metrics.success_seconds.set(now.as_second());
        self.status.taken_over_at = now;
        if self.status.refusal.take().is_some() {
            tracing::info!(path = self.status.path, "the configuration is taken over again");
        }
        let needs_restart = needs_restart(&self.started_with, &self.config);
        if needs_restart != self.status.needs_restart && !needs_restart.is_empty() {
            tracing::warn!(
                changed = needs_restart.join(", "),
                "only sinks are taken over while the relay runs; restart it for the rest"
            );
        }
        self.status.needs_restart = needs_restart;
    }

    fn refused(&mut self, reason: String, order: &Order) {
        self.metrics.successful.set(0);
        let known = self.status.refusal.take();
        let is_known = known.as_ref().is_some_and(|known| known.reason == reason);
        if !is_known || order.from != AGAIN {
            let path = &self.status.path;
            tracing::error!(path, error = reason, "the configuration is not taken over");
        }
        let since = known.map_or_else(Timestamp::now, |known| known.since);
        self.status.refusal = Some(ConfigurationRefusal { reason, since });
    }
}

/// Parts of a configuration that a running relay does not take over, and that differ.
fn needs_restart(old: &Config, new: &Config) -> Vec<String> {
    let parts = [
        ("cluster", old.cluster != new.cluster),
        ("source", old.source != new.source),
        ("log", old.log != new.log),
        ("deadLetters", old.dead_letters != new.dead_letters),
        ("admin", old.admin != new.admin),
        ("telemetry", old.telemetry != new.telemetry),
        ("drainDeadline", old.drain_deadline != new.drain_deadline),
    ];
    let changed = parts.into_iter().filter(|(_, changed)| *changed);
    changed.map(|(name, _)| name.to_owned()).collect()
}

fn order(from: &str) -> Order {
    Order { from: from.to_owned(), dry_run: false }
}

fn not_accepted(reason: impl std::fmt::Display) -> ControlError {
    ControlError::Refused(reason.to_string())
}
