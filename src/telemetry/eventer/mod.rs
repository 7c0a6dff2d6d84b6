//! The metrics of kube-eventer under their own names, so that dashboards and alerts keep working.
//!
//! Names, types and labels are kube-eventer's, byte by byte. Two differences: the label sets of the
//! event counters are bounded, and `eventer_manager_last_time_seconds` moves with every intake and
//! every export, because nothing waits for a housekeeping round here.

mod bounded;
mod classification;
mod summary;

pub use classification::{Class, EventFacts, classify};

use std::time::Duration;

use jiff::Timestamp;
use prometheus::{IntCounter, IntGauge, Opts};

use super::family::Registrar;
use bounded::BoundedCounters;
use summary::Summaries;

/// kube-eventer's families.
#[derive(Debug)]
pub struct EventerMetrics {
    intake_time: IntGauge,
    intake_events: IntCounter,
    intake_milliseconds: Summaries,
    manager_time: IntGauge,
    export_milliseconds: Summaries,
    events: Option<EventCounters>,
}

#[derive(Debug)]
struct EventCounters {
    normal: BoundedCounters<3>,
    warning: BoundedCounters<4>,
    error: BoundedCounters<4>,
}

impl EventerMetrics {
    pub(super) fn register(registrar: &Registrar<'_>, event_metrics: bool) -> Self {
        let gauge = |name, help: &str| registrar.keep(IntGauge::new(name, help));
        Self {
            intake_time: gauge(
                "eventer_scraper_last_time_seconds",
                "Last time events were taken in, in Unix seconds.",
            ),
            intake_events: registrar
                .keep(IntCounter::new("eventer_scraper_events_total_number", "Events taken in.")),
            intake_milliseconds: registrar.keep(Summaries::new(
                "eventer_scraper_duration_milliseconds",
                "Time spent taking events in, in milliseconds.",
                None,
            )),
            manager_time: gauge(
                "eventer_manager_last_time_seconds",
                "Last time events were taken in or exported, in Unix seconds.",
            ),
            export_milliseconds: registrar.keep(Summaries::new(
                "eventer_exporter_duration_milliseconds",
                "Time spent exporting a batch, in milliseconds.",
                Some("exporter"),
            )),
            events: event_metrics.then(|| EventCounters::register(registrar)),
        }
    }

    /// Counts an event that was added or modified, when the event counters are switched on.
    pub fn observe_event(&self, event: &EventFacts<'_>) {
        if let Some(counters) = &self.events {
            counters.observe(event);
        }
    }

    /// A batch was handed to the sink that kube-eventer calls `exporter`.
    pub fn observe_export(&self, exporter: &str, duration: Duration) {
        self.export_milliseconds.observe(exporter, milliseconds(duration));
        self.manager_time.set(Timestamp::now().as_second());
    }

    /// `count` events were taken in. Called at least twice a minute, with 0 when it is quiet: alerts
    /// on the age of these gauges were written for a program that wakes every 30 s.
    pub fn observe_intake(&self, count: u64, duration: Duration) {
        let now = Timestamp::now().as_second();
        self.intake_time.set(now);
        self.intake_events.inc_by(count);
        self.intake_milliseconds.observe("", milliseconds(duration));
        self.manager_time.set(now);
    }
}

impl EventCounters {
    fn register(registrar: &Registrar<'_>) -> Self {
        let options = |class: &str| {
            let help = format!("Events of class {class}, counted when they were received.");
            Opts::new(format!("eventer_events_{class}_total"), help)
        };
        let labels = ["reason", "kind", "name", "namespace"];
        Self {
            normal: registrar
                .keep(BoundedCounters::new(options("normal"), ["reason", "namespace", "kind"])),
            warning: registrar.keep(BoundedCounters::new(options("warning"), labels)),
            error: registrar.keep(BoundedCounters::new(options("error"), labels)),
        }
    }

    fn observe(&self, event: &EventFacts<'_>) {
        let labels = |reason| [reason, event.kind, event.name, event.object_namespace];
        match classify(event) {
            Class::Error(class) => self.error.increment(labels(class)),
            Class::Warning => self.warning.increment(labels(event.reason)),
            Class::Normal => self.normal.increment([event.reason, event.namespace, event.kind]),
        }
    }
}

/// With their fraction, as kube-eventer measures them.
fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

#[cfg(test)]
mod tests {
    use super::super::Metrics;
    use super::*;

    const BACK_OFF: EventFacts<'_> = EventFacts {
        event_type: "Warning",
        reason: "BackOff",
        kind: "Pod",
        namespace: "shop",
        object_namespace: "shop",
        name: "web-1",
        message: "Back-off restarting failed container",
    };

    fn has_line(text: &str, line: &str) {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }

    #[test]
    fn names_types_and_labels_are_those_of_kube_eventer() {
        let metrics = Metrics::new();
        let eventer = metrics.eventer();
        eventer.observe_intake(3, Duration::from_micros(2_500));
        eventer.observe_export("DingTalkSink", Duration::from_millis(40));
        eventer.observe_export("DingTalkSink", Duration::from_millis(2));
        eventer.observe_event(&BACK_OFF);
        eventer.observe_event(&EventFacts { reason: "Unhealthy", ..BACK_OFF });
        eventer.observe_event(&EventFacts {
            event_type: "Normal",
            reason: "Rotated",
            kind: "Node",
            namespace: "default",
            object_namespace: "",
            ..BACK_OFF
        });
        let text = metrics.render();
        for line in [
            "# TYPE eventer_scraper_last_time_seconds gauge",
            "# TYPE eventer_scraper_events_total_number counter",
            "eventer_scraper_events_total_number 3",
            "# TYPE eventer_scraper_duration_milliseconds summary",
            "eventer_scraper_duration_milliseconds_sum 2.5",
            "eventer_scraper_duration_milliseconds_count 1",
            "# TYPE eventer_manager_last_time_seconds gauge",
            "# TYPE eventer_exporter_duration_milliseconds summary",
            "eventer_exporter_duration_milliseconds_sum{exporter=\"DingTalkSink\"} 42",
            "eventer_exporter_duration_milliseconds_count{exporter=\"DingTalkSink\"} 2",
            "# TYPE eventer_events_error_total counter",
            "eventer_events_error_total{kind=\"Pod\",name=\"web-1\",namespace=\"shop\",reason=\"PodCrash\"} 1",
            "eventer_events_warning_total{kind=\"Pod\",name=\"web-1\",namespace=\"shop\",reason=\"Unhealthy\"} 1",
            "eventer_events_normal_total{kind=\"Node\",namespace=\"default\",reason=\"Rotated\"} 1",
        ] {
            has_line(&text, line);
        }
    }

    #[test]
    fn gauges_of_time_are_unix_seconds() {
        let before = Timestamp::now().as_second();
        let metrics = Metrics::new();
        metrics.eventer().observe_intake(0, Duration::ZERO);
        let text = metrics.render();
        for name in ["eventer_scraper_last_time_seconds", "eventer_manager_last_time_seconds"] {
            let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            let value: i64 = value.and_then(|value| value.parse().ok()).expect("a whole number");
            assert!((before..=Timestamp::now().as_second()).contains(&value), "{name} {value}");
        }
    }

    #[test]
    fn event_counters_exist_only_when_asked_for() {
        let metrics = Metrics::with_event_metrics(false);
        metrics.eventer().observe_event(&BACK_OFF);
        metrics.eventer().observe_intake(1, Duration::ZERO);
        let text = metrics.render();
        assert!(!text.contains("eventer_events_"), "{text}");
        has_line(&text, "eventer_scraper_events_total_number 1");
    }
}
