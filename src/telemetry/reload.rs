//! Metrics of the configuration file.

use prometheus::IntGauge;

use super::family::Registrar;

/// Metrics of the configuration file. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ReloadMetrics {
    /// 1 while the file is what the relay runs with.
    pub successful: IntGauge,
    /// When the file was last taken over, in seconds since 1970.
    pub success_seconds: IntGauge,
}

impl ReloadMetrics {
    pub(super) fn register(registrar: &Registrar<'_>) -> Self {
        let metrics = Self {
            successful: registrar.gauge(
                "config_last_reload_successful",
                "1 while the configuration file is what the relay runs with.",
            ),
            success_seconds: registrar.gauge(
                "config_last_reload_success_timestamp_seconds",
                "When the configuration file was last taken over.",
            ),
        };
        metrics.successful.set(1);
        metrics
    }
}
