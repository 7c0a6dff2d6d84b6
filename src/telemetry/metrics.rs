//! Every metric the relay exports.
//!
//! Invariant: no label grows with objects of the cluster, except in kube-eventer's own three event
//! counters, which `--event-metrics=false` switches off.

use prometheus::core::Collector;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};

/// All metrics, in a registry of their own.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    log: LogMetrics,
    sink: SinkFamilies,
    stream: StreamFamilies,
}

#[derive(Debug)]
struct SinkFamilies {
    delivered: IntCounterVec,
    retried: IntCounterVec,
    dead_lettered: IntCounterVec,
    filtered: IntCounterVec,
    lost: IntCounterVec,
    held: IntGaugeVec,
    lag_records: IntGaugeVec,
    lag_seconds: GaugeVec,
    delivery_seconds: HistogramVec,
}

#[derive(Debug)]
struct StreamFamilies {
    records: IntCounterVec,
    relists: IntCounterVec,
    watches: IntCounterVec,
    gaps: IntCounterVec,
    live: IntGaugeVec,
    frontier: GaugeVec,
    last_message: GaugeVec,
}

/// Bounds of durations: from a local disk's sync to a service's time-out.
const SECONDS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 10.0, 30.0];

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Registers all families.
    #[must_use]
    pub fn new() -> Self {
        let registry = Registry::new();
        let sink = SinkFamilies {
            delivered: register(
                &registry,
                counters("sink_delivered_total", "Records accepted.", &["sink"]),
            ),
            retried: register(
                &registry,
                counters("sink_retried_total", "Deliveries tried again.", &["sink"]),
            ),
            dead_lettered: register(
                &registry,
                counters("sink_dead_lettered_total", "Records refused for good.", &["sink"]),
            ),
            filtered: register(
                &registry,
                counters("sink_filtered_total", "Records excluded by the filter.", &["sink"]),
            ),
            lost: register(
                &registry,
                counters(
                    "sink_lost_total",
                    "Records dropped before the sink had received them.",
                    &["sink"],
                ),
            ),
            held: register(
                &registry,
                gauges("sink_held", "1 while the sink waits for an operator.", &["sink"]),
            ),
            lag_records: register(
                &registry,
                gauges(
                    "sink_lag_records",
                    "Records behind the frontier, before filtering.",
                    &["sink"],
                ),
            ),
            lag_seconds: register(
                &registry,
                float_gauges(
                    "sink_lag_seconds",
                    "Age of the oldest undelivered record.",
                    &["sink"],
                ),
            ),
            delivery_seconds: register(
                &registry,
                histograms("sink_delivery_seconds", "Duration of deliveries.", &["sink"]),
            ),
        };
        let stream = StreamFamilies {
            records: register(
                &registry,
                counters("stream_records_total", "Records received.", &["stream"]),
            ),
            relists: register(
                &registry,
                counters("stream_relists_total", "Lists begun.", &["stream"]),
            ),
            watches: register(
                &registry,
                counters("stream_watches_total", "Watches opened.", &["stream"]),
            ),
            gaps: register(&registry, counters("stream_gaps_total", "Gaps reported.", &["stream"])),
            live: register(
                &registry,
                gauges("stream_live", "1 while a watch is open and the probes agree.", &["stream"]),
            ),
            frontier: register(
                &registry,
                float_gauges(
                    "stream_frontier",
                    "resourceVersion up to which records are durable.",
                    &["stream"],
                ),
            ),
            last_message: register(
                &registry,
                float_gauges(
                    "stream_last_message_timestamp_seconds",
                    "Unix time of the newest message from the API server.",
                    &["stream"],
                ),
            ),
        };
        let log = LogMetrics {
            bytes: register(&registry, gauge("log_bytes", "Bytes on disk.")),
            max_bytes: register(
                &registry,
                gauge("log_max_bytes", "Configured bound of bytes on disk."),
            ),
            appended: register(
                &registry,
                counter("log_appended_records_total", "Records appended."),
            ),
            damaged_segments: register(
                &registry,
                counter(
                    "log_damaged_segments_total",
                    "Segments moved aside because they were damaged.",
                ),
            ),
            full: register(
                &registry,
                gauge("log_full", "1 while intake waits because the log is full."),
            ),
            append_seconds: register(
                &registry,
                histogram("log_append_seconds", "Duration of writing a group of records."),
            ),
            sync_seconds: register(
                &registry,
                histogram("log_sync_seconds", "Duration of making a group of records durable."),
            ),
        };
        Self { registry, log, sink, stream }
    }

    /// The text of `/metrics`.
    #[must_use]
    pub fn render(&self) -> String {
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }

    /// Metrics of the log.
    #[must_use]
    pub fn log(&self) -> &LogMetrics {
        &self.log
    }

    /// Metrics of a sink.
    #[must_use]
    pub fn sink(&self, name: &str) -> SinkMetrics {
        let family = &self.sink;
        SinkMetrics {
            delivered: family.delivered.with_label_values(&[name]),
            retried: family.retried.with_label_values(&[name]),
            dead_lettered: family.dead_lettered.with_label_values(&[name]),
            filtered: family.filtered.with_label_values(&[name]),
            lost: family.lost.with_label_values(&[name]),
            held: family.held.with_label_values(&[name]),
            lag_records: family.lag_records.with_label_values(&[name]),
            lag_seconds: family.lag_seconds.with_label_values(&[name]),
            delivery_seconds: family.delivery_seconds.with_label_values(&[name]),
        }
    }

    /// Metrics of a stream.
    #[must_use]
    pub fn stream(&self, name: &str) -> StreamMetrics {
        let family = &self.stream;
        StreamMetrics {
            records: family.records.with_label_values(&[name]),
            relists: family.relists.with_label_values(&[name]),
            watches: family.watches.with_label_values(&[name]),
            gaps: family.gaps.with_label_values(&[name]),
            live: family.live.with_label_values(&[name]),
            frontier: family.frontier.with_label_values(&[name]),
            last_message: family.last_message.with_label_values(&[name]),
        }
    }
}

type Family<T> = prometheus::Result<T>;

fn options(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace("kube_event_relay")
}

fn counter(name: &str, help: &str) -> Family<IntCounter> {
    IntCounter::with_opts(options(name, help))
}

fn counters(name: &str, help: &str, labels: &[&str]) -> Family<IntCounterVec> {
    IntCounterVec::new(options(name, help), labels)
}

fn gauge(name: &str, help: &str) -> Family<IntGauge> {
    IntGauge::with_opts(options(name, help))
}

fn gauges(name: &str, help: &str, labels: &[&str]) -> Family<IntGaugeVec> {
    IntGaugeVec::new(options(name, help), labels)
}

fn float_gauges(name: &str, help: &str, labels: &[&str]) -> Family<GaugeVec> {
    GaugeVec::new(options(name, help), labels)
}

fn histogram(name: &str, help: &str) -> Family<Histogram> {
    Histogram::with_opts(HistogramOpts::from(options(name, help)).buckets(SECONDS.to_vec()))
}

fn histograms(name: &str, help: &str, labels: &[&str]) -> Family<HistogramVec> {
    HistogramVec::new(HistogramOpts::from(options(name, help)).buckets(SECONDS.to_vec()), labels)
}

/// Names and labels are constants of this file, so neither step can fail after it has been run once.
#[allow(clippy::expect_used)]
fn register<T: Collector + Clone + 'static>(registry: &Registry, family: Family<T>) -> T {
    let family = family.expect("a valid metric name");
    registry.register(Box::new(family.clone())).expect("a metric name used once");
    family
}

/// Metrics of one sink. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SinkMetrics {
    /// Records accepted.
    pub delivered: IntCounter,
    /// Deliveries tried again.
    pub retried: IntCounter,
    /// Records dead-lettered.
    pub dead_lettered: IntCounter,
    /// Records excluded by the filter.
    pub filtered: IntCounter,
    /// Records dropped before the sink had received them.
    pub lost: IntCounter,
    /// 1 while the sink waits for an operator.
    pub held: IntGauge,
    /// Records behind the frontier.
    pub lag_records: IntGauge,
    /// Age of the oldest undelivered record.
    pub lag_seconds: Gauge,
    /// Duration of deliveries.
    pub delivery_seconds: Histogram,
}

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

/// Metrics of the log.
#[derive(Debug, Clone)]
pub struct LogMetrics {
    /// Bytes on disk.
    pub bytes: IntGauge,
    /// Configured bound.
    pub max_bytes: IntGauge,
    /// Records appended.
    pub appended: IntCounter,
    /// Segments moved aside because they were damaged.
    pub damaged_segments: IntCounter,
    /// 1 while intake waits because the log is full.
    pub full: IntGauge,
    /// Duration of writing a group.
    pub append_seconds: Histogram,
    /// Duration of making it durable.
    pub sync_seconds: Histogram,
}
