//! Every metric the relay exports.
//!
//! Invariant: no label grows with objects of the cluster, except in kube-eventer's own three event
//! counters, which are bounded (`eventer::BoundedCounters`) and which `--event-metrics=false`
//! switches off.

use prometheus::{Registry, TextEncoder};

use super::catalog::describe;
use super::eventer::EventerMetrics;
use super::family::Registrar;
use super::sink::SinkFamilies;
use super::stream::StreamFamilies;
use super::{LogMetrics, MetricDescription, ReloadMetrics, SinkMetrics, StreamMetrics};

/// All metrics, in a registry of their own: `kube_event_relay_*`, kube-eventer's `eventer_*`, and
/// `process_*`.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    catalog: Vec<MetricDescription>,
    log: LogMetrics,
    sink: SinkFamilies,
    stream: StreamFamilies,
    reload: ReloadMetrics,
    eventer: EventerMetrics,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Registers all families, kube-eventer's event counters included.
    #[must_use]
    pub fn new() -> Self {
        Self::with_event_metrics(true)
    }

    /// Registers all families; the event counters (`eventer_events_*_total`) only when asked to,
    /// as `--event-metrics` does.
    #[must_use]
    pub fn with_event_metrics(event_metrics: bool) -> Self {
        let registry = Registry::new();
        let registrar = Registrar::new(&registry);
        let log = LogMetrics::register(&registrar);
        let sink = SinkFamilies::register(&registrar);
        let stream = StreamFamilies::register(&registrar);
        let reload = ReloadMetrics::register(&registrar);
        let eventer = EventerMetrics::register(&registrar, event_metrics);
        let mut catalog = registrar.into_catalog();
        catalog.extend(register_process(&registry));
        Self { registry, catalog, log, sink, stream, reload, eventer }
    }

    /// The text of `/metrics`.
    #[must_use]
    pub fn render(&self) -> String {
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }

    /// All families, whether or not one has a value yet.
    #[must_use]
    pub fn catalog(&self) -> &[MetricDescription] {
        &self.catalog
    }

    /// Metrics of the log.
    #[must_use]
    pub fn log(&self) -> &LogMetrics {
        &self.log
    }

    /// Metrics of a sink.
    #[must_use]
    pub fn sink(&self, name: &str) -> SinkMetrics {
        self.sink.of(name)
    }

    /// The series of a sink end: it is there no more.
    pub fn forget_sink(&self, name: &str) {
        self.sink.forget(name);
    }

    /// Metrics of the configuration file.
    #[must_use]
    pub fn reload(&self) -> &ReloadMetrics {
        &self.reload
    }

    /// Metrics of a stream.
    #[must_use]
    pub fn stream(&self, name: &str) -> StreamMetrics {
        self.stream.of(name)
    }

    /// Metrics that carry kube-eventer's names.
    #[must_use]
    pub fn eventer(&self) -> &EventerMetrics {
        &self.eventer
    }
}

/// `process_*`: CPU, memory, descriptors, start time. They need `/proc`.
#[cfg(target_os = "linux")]
#[allow(clippy::expect_used)] // the names are the collector's own and used once
fn register_process(registry: &Registry) -> Vec<MetricDescription> {
    use prometheus::process_collector::ProcessCollector;
    let process = ProcessCollector::for_self();
    let described = describe(&process);
    registry.register(Box::new(process)).expect("a metric name used once");
    described
}

#[cfg(not(target_os = "linux"))]
fn register_process(_registry: &Registry) -> Vec<MetricDescription> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_is_rendered_once_it_is_used() {
        let metrics = Metrics::new();
        metrics.sink("oncall").delivered.inc_by(3);
        metrics.stream("all-namespaces").gaps.inc();
        metrics.log().bytes.set(7);
        let text = metrics.render();
        for line in [
            "kube_event_relay_sink_delivered_total{sink=\"oncall\"} 3",
            "kube_event_relay_stream_gaps_total{stream=\"all-namespaces\"} 1",
            "kube_event_relay_log_bytes 7",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_process_is_measured() {
        let text = Metrics::new().render();
        assert!(text.contains("\nprocess_resident_memory_bytes "), "{text}");
        assert!(text.contains("\nprocess_open_fds "), "{text}");
    }
}
