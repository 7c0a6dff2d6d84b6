//! What metrics there are, whether or not one has a value yet.

use std::collections::HashMap;

use prometheus::core::Collector;
use prometheus::proto::MetricType;
use serde::Serialize;

/// A family of metrics.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricDescription {
    /// Its name, as `/metrics` has it.
    pub name: String,
    /// `counter`, `gauge`, `histogram` or `summary`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Names of its labels.
    pub labels: Vec<String>,
    /// What it measures.
    pub help: String,
}

/// The families of a collector, by what it says of itself.
pub(super) fn describe(collector: &impl Collector) -> Vec<MetricDescription> {
    let families = collector.collect();
    let kinds: HashMap<_, _> =
        families.iter().map(|family| (family.name().to_owned(), family.get_field_type())).collect();
    let described = collector.desc().into_iter().map(|description| MetricDescription {
        kind: kinds.get(&description.fq_name).map_or("untyped", |kind| name(*kind)),
        name: description.fq_name.clone(),
        labels: description.variable_labels.clone(),
        help: description.help.clone(),
    });
    described.collect()
}

fn name(kind: MetricType) -> &'static str {
    match kind {
        MetricType::COUNTER => "counter",
        MetricType::GAUGE => "gauge",
        MetricType::HISTOGRAM => "histogram",
        MetricType::SUMMARY => "summary",
        MetricType::UNTYPED => "untyped",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::Metrics;
    use super::*;

    /// Labels that are as many as sinks, streams and kinds of sinks are configured.
    const CONFIGURED: [&str; 3] = ["sink", "stream", "exporter"];

    fn labels_beyond(described: &[MetricDescription]) -> BTreeSet<&str> {
        let grows = |family: &&MetricDescription| {
            family.labels.iter().any(|label| !CONFIGURED.contains(&label.as_str()))
        };
        described.iter().filter(grows).map(|family| family.name.as_str()).collect()
    }

    #[test]
    fn no_label_grows_with_objects_but_those_of_kube_eventer_s_event_counters() {
        let metrics = Metrics::new();
        let expected = [
            "eventer_events_error_total",
            "eventer_events_normal_total",
            "eventer_events_warning_total",
        ];
        assert_eq!(labels_beyond(metrics.catalog()), expected.into());
        let without = Metrics::with_event_metrics(false);
        assert_eq!(labels_beyond(without.catalog()), BTreeSet::new());
        assert_eq!(without.catalog().len() + expected.len(), metrics.catalog().len());
    }

    #[test]
    fn every_family_has_a_type_and_help() {
        let metrics = Metrics::new();
        for family in metrics.catalog() {
            assert_ne!(family.kind, "untyped", "{family:?}");
            assert!(family.help.ends_with('.'), "{family:?}");
        }
        let names: BTreeSet<_> = metrics.catalog().iter().map(|family| &family.name).collect();
        assert_eq!(names.len(), metrics.catalog().len(), "each once");
    }

    /// What `/metrics` says is in the catalogue, with the same type and help.
    #[test]
    fn what_is_exported_is_described() {
        let metrics = Metrics::new();
        metrics.sink("oncall").delivered.inc();
        metrics.stream("all-namespaces").gaps.inc();
        let text = metrics.render();
        let exported: BTreeSet<_> =
            text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
        let described: BTreeSet<_> = metrics
            .catalog()
            .iter()
            .map(|family| format!("{} {}", family.name, family.kind))
            .collect();
        assert!(exported.len() > 30, "{text}");
        for line in exported {
            assert!(described.contains(line), "{line}");
        }
    }
}
