//! Configuration: one [`Config`], two ways to write it.
//!
//! Invariants:
//! 1. A [`Config`] that came out of a front end is valid: every sink can be built from it, and
//!    every pattern, name and limit has been checked. Nothing on disk or network was touched.
//! 2. Whatever is wrong is said in one line that names the thing, its place (file, line and column,
//!    or the flag) and the remedy.
//! 3. No message shows a secret.
//!
//! Types sit beside what they configure; this module puts them together.

mod check;
mod error;
mod eventer;
mod eventer_source;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod nearest;
mod preflight;
mod secrets;
mod yaml;

use serde::{Deserialize, Serialize};

use crate::admin::AdminConfig;
use crate::cursor::DeadLettersConfig;
use crate::log::LogConfig;
use crate::setting::Span;
use crate::sink::SinkConfig;
use crate::source::SourceConfig;

pub use check::Problem;
pub use error::ConfigError;
pub use eventer::{Arguments, ConfigFile, DATA_DIRECTORY_VARIABLE, usage};
pub use preflight::{Preflight, preflight};
pub use secrets::Placeholder;

/// Everything the relay is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Config {
    /// Name of the cluster; sinks put it into what they send.
    pub cluster: String,
    /// Where events come from.
    pub source: SourceConfig,
    /// The log on disk.
    pub log: LogConfig,
    /// The listener for health, metrics and the command line.
    pub admin: AdminConfig,
    /// Logs and metrics of the relay itself.
    pub telemetry: TelemetryConfig,
    /// How long deliveries under way may take when the relay is told to stop.
    pub drain_deadline: Span,
    /// How many dead letters each sink may have.
    pub dead_letters: DeadLettersConfig,
    /// Where events go.
    pub sinks: Vec<SinkConfig>,
}

/// `telemetry` in the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct TelemetryConfig {
    /// How much the relay logs, on klog's scale: 0 what an operator needs, 4 and more for debugging.
    pub verbosity: i32,
    /// Whether kube-eventer's counters per event are kept. One of their labels is the object's
    /// name, so they grow with the cluster.
    pub event_metrics: bool,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self { verbosity: 0, event_metrics: true }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            // The name kube-eventer's sinks use when none is given.
            cluster: "default".into(),
            source: SourceConfig::default(),
            log: LogConfig::default(),
            admin: AdminConfig::default(),
            telemetry: TelemetryConfig::default(),
            // Kubernetes kills a pod 30 s after telling it to stop; the log needs some of that to close.
            drain_deadline: Span::from_secs(20),
            dead_letters: DeadLettersConfig::default(),
            sinks: Vec::new(),
        }
    }
}

/// A valid configuration, and what an operator should know about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Things that are allowed but hardly meant.
    pub warnings: Vec<String>,
}

impl Config {
    /// Reads `text`, the content of the file `path`, and checks it.
    pub fn from_yaml(text: &str, path: &std::path::Path) -> Result<Loaded, ConfigError> {
        yaml::load(text, path)
    }

    /// Reads and checks a file.
    pub fn from_file(path: &std::path::Path) -> Result<Loaded, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|cause| ConfigError::Unreadable { path: path.to_owned(), cause })?;
        Self::from_yaml(&text, path)
    }

    /// Reads what follows `run` on the command line: kube-eventer's flags and ours, or
    /// `--config FILE`. `environment` looks up a variable.
    pub fn from_arguments(
        arguments: &[String],
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Arguments, ConfigError> {
        eventer::read(arguments, environment)
    }

    /// The configuration as YAML, with defaults filled in. Literal secrets read `<secret>`.
    pub fn to_masked_yaml(&self) -> Result<String, ConfigError> {
        secrets::redacted(self).map_err(unwritable)?.to_yaml()
    }

    /// The configuration with `{env: NAME}` for every literal secret, and which variables are to
    /// be set for it.
    pub fn with_placeholders(&self) -> Result<(Self, Vec<Placeholder>), ConfigError> {
        secrets::replaced(self).map_err(unwritable)
    }

    /// The configuration as YAML, secrets included.
    pub fn to_yaml(&self) -> Result<String, ConfigError> {
        // A URL, however long, stays on one line; a template keeps its lines.
        let options = serde_saphyr::ser_options! { folded_wrap_chars: usize::MAX };
        serde_saphyr::to_string_with_options(self, options).map_err(unwritable)
    }
}

#[allow(clippy::needless_pass_by_value)] // used as a function value
fn unwritable(reason: impl std::fmt::Display) -> ConfigError {
    ConfigError::Unwritable { reason: reason.to_string() }
}
