//! Metrics of the streams, labelled with the stream's id.

use prometheus::{Gauge, GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::family::Registrar;

/// Metrics of one stream. Cheap to clone.
#[derive(Debug, Clone)]
pub struct StreamMetrics {
    /// Records received.
    pub records: IntCounter,
    /// Lists.
    pub relists: IntCounter,
    /// Watches opened.
    pub watches: IntCounter,
    /// Gaps reported.
    pub gaps: IntCounter,
    /// 1 while a watch is open and the probes agree.
    pub live: IntGauge,
    /// resourceVersion of the frontier.
    pub frontier: Gauge,
    /// Unix time of the newest message from the API server.
    pub last_message: Gauge,
}

/// The families the metrics of every stream belong to.
#[derive(Debug)]
pub(super) struct StreamFamilies {
    records: IntCounterVec,
    relists: IntCounterVec,
    watches: IntCounterVec,
    gaps: IntCounterVec,
    live: IntGaugeVec,
    frontier: GaugeVec,
    last_message: GaugeVec,
}

impl StreamFamilies {
    pub(super) fn register(registrar: &Registrar<'_>) -> Self {
        let counters = |name, help| registrar.counters(name, help, "stream");
        let float_gauges = |name, help| registrar.float_gauges(name, help, "stream");
        Self {
            records: counters("stream_records_total", "Records received."),
            relists: counters("stream_relists_total", "Lists begun."),
            watches: counters("stream_watches_total", "Watches opened."),
            gaps: counters("stream_gaps_total", "Gaps reported."),
            live: registrar.gauges(
                "stream_live",
                "1 while a watch is open and the probes agree.",
                "stream",
            ),
            frontier: float_gauges(
                "stream_frontier",
                "resourceVersion up to which records are durable.",
            ),
            last_message: float_gauges(
                "stream_last_message_timestamp_seconds",
                "Unix time of the newest message from the API server.",
            ),
        }
    }

    pub(super) fn of(&self, name: &str) -> StreamMetrics {
        StreamMetrics {
            records: self.records.with_label_values(&[name]),
            relists: self.relists.with_label_values(&[name]),
            watches: self.watches.with_label_values(&[name]),
            gaps: self.gaps.with_label_values(&[name]),
            live: self.live.with_label_values(&[name]),
            frontier: self.frontier.with_label_values(&[name]),
            last_message: self.last_message.with_label_values(&[name]),
        }
    }
}
