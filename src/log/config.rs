//! What a person configures about the log.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::setting::{ByteSize, Span};

/// `log` in the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct LogConfig {
    /// The data directory.
    pub data_dir: PathBuf,
    /// Hard bound on disk.
    pub max_bytes: ByteSize,
    /// Delivered records are kept this long, for replay.
    pub retain: Span,
    /// What happens when the log is full.
    pub when_full: WhenFull,
}

impl LogConfig {
    /// Below, what is on its way when the log is found to be full would exceed the bound: the reserve, the
    /// segment that is written and one before it take 32 MiB.
    pub const MAX_BYTES_MIN: ByteSize = ByteSize::mib(64);
}

/// What happens when the log is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhenFull {
    /// Stop reading the watch until there is room.
    Pause,
    /// Drop the oldest segment; what a sink had not received is counted as lost.
    DropOldest,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("/var/lib/kube-event-relay"),
            // A cluster with 50 events per second fills this in about three days of sink outage.
            max_bytes: ByteSize::mib(2048),
            retain: Span::from_secs(24 * 3600),
            when_full: WhenFull::Pause,
        }
    }
}
