//! Looking at a running relay from outside.

use std::fmt::Write;
use std::sync::Arc;

use super::outflows::Outflows;
use super::overview::overview;
use super::shared::Shared;
use super::status::{ConfigurationStatus, Status};
use crate::telemetry::Metrics;

/// Housekeeping comes around every second; after so long without, something is stuck for good.
const BEAT_AGE_MAX_MILLISECONDS: u64 = 60_000;

/// A view of a running relay. Cheap to clone; outlives the relay.
#[derive(Clone)]
pub struct RelayHandle {
    pub(super) shared: Arc<Shared>,
    pub(super) outflows: Arc<Outflows>,
}

impl RelayHandle {
    /// Everything there is to see. May block briefly.
    #[must_use]
    pub fn status(&self) -> Status {
        overview(&self.shared)
    }

    /// Whether the log is open and every stream is live; if not, why, one reason per line. A sink
    /// that is down is no reason: another pod would not reach it either.
    pub fn ready(&self) -> Result<(), String> {
        let mut reasons = String::new();
        if self.shared.is_stopping() {
            reasons.push_str("the relay is stopping\n");
        }
        for watched in &self.shared.watched {
            let phase = watched.report.phase();
            if !phase.live {
                let reason = phase.reason.as_deref().unwrap_or("not live yet");
                // Writing to a string cannot fail.
                let _written =
                    writeln!(reasons, "stream {}: {}: {reason}", watched.stream.id(), phase.name);
            }
        }
        if reasons.is_empty() { Ok(()) } else { Err(reasons.trim_end().to_owned()) }
    }

    /// Whether the relay still turns; if not, what is stuck. A restart is the remedy.
    pub fn alive(&self) -> Result<(), String> {
        let age = self.shared.beat.age_milliseconds();
        if age <= BEAT_AGE_MAX_MILLISECONDS || self.shared.is_stopping() {
            return Ok(());
        }
        Err(format!("housekeeping has not come around for {} s", age / 1000))
    }

    /// Shows in the status what became of the configuration file.
    pub fn show_configuration(&self, configuration: ConfigurationStatus) {
        self.shared.set_configuration(configuration);
    }

    /// All metrics.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.shared.metrics
    }
}
