//! Metrics of the log on disk.

use prometheus::{Histogram, IntCounter, IntGauge};

use super::family::Registrar;

/// Metrics of the log. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LogMetrics {
    /// Bytes on disk.
    pub bytes: IntGauge,
    /// Configured bound.
    pub max_bytes: IntGauge,
    /// Records held.
    pub records: IntGauge,
    /// Records appended.
    pub appended: IntCounter,
    /// Blocks read from disk and decoded: sinks that are close together share them.
    pub blocks_read: IntCounter,
    /// Segments moved aside because they were damaged.
    pub damaged_segments: IntCounter,
    /// 1 while intake waits because the log is full.
    pub full: IntGauge,
    /// Duration of writing a group.
    pub append_seconds: Histogram,
    /// Duration of making it durable.
    pub sync_seconds: Histogram,
}

impl LogMetrics {
    pub(super) fn register(registrar: &Registrar<'_>) -> Self {
        Self {
            bytes: registrar.gauge("log_bytes", "Bytes on disk."),
            max_bytes: registrar.gauge("log_max_bytes", "Configured bound of bytes on disk."),
            records: registrar.gauge("log_records", "Records held."),
            appended: registrar.counter("log_appended_records_total", "Records appended."),
            blocks_read: registrar
                .counter("log_blocks_read_total", "Blocks of records read from disk and decoded."),
            damaged_segments: registrar.counter(
                "log_damaged_segments_total",
                "Segments moved aside because they were damaged.",
            ),
            full: registrar.gauge("log_full", "1 while intake waits because the log is full."),
            append_seconds: registrar
                .histogram("log_append_seconds", "Duration of writing a group of records."),
            sync_seconds: registrar
                .histogram("log_sync_seconds", "Duration of making a group of records durable."),
        }
    }
}
