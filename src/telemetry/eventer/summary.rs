//! A summary without quantiles, which the `prometheus` crate does not have.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::core::{Collector, Desc};
use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType, Summary};

/// Sums and counts, one pair per value of the label. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Summaries {
    description: Desc,
    label: Option<&'static str>,
    totals: Arc<Mutex<BTreeMap<String, Total>>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Total {
    sum: f64,
    count: u64,
}

impl Summaries {
    /// With a label, a value appears once it has been observed; without one, it is there from the start.
    pub(super) fn new(
        name: &str,
        help: &str,
        label: Option<&'static str>,
    ) -> prometheus::Result<Self> {
        let labels = label.iter().map(ToString::to_string).collect();
        let description = Desc::new(name.to_owned(), help.to_owned(), labels, HashMap::new())?;
        let mut totals = BTreeMap::new();
        if label.is_none() {
            totals.insert(String::new(), Total::default());
        }
        Ok(Self { description, label, totals: Arc::new(Mutex::new(totals)) })
    }

    /// Adds one observation under a value of the label ("" when there is no label).
    pub(super) fn observe(&self, label_value: &str, value: f64) {
        let mut totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        if !totals.contains_key(label_value) {
            totals.insert(label_value.to_owned(), Total::default());
        }
        if let Some(total) = totals.get_mut(label_value) {
            total.sum += value;
            total.count += 1;
        }
    }

    fn metric(&self, label_value: &str, total: Total) -> Metric {
        let mut summary = Summary::default();
        summary.set_sample_sum(total.sum);
        summary.set_sample_count(total.count);
        let pairs = self.label.map(|name| {
            let mut pair = LabelPair::default();
            pair.set_name(name.to_owned());
            pair.set_value(label_value.to_owned());
            pair
        });
        let mut metric = Metric::from_label(pairs.into_iter().collect());
        metric.set_summary(summary);
        metric
    }
}

impl Collector for Summaries {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.description]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        let metrics = totals.iter().map(|(value, total)| self.metric(value, *total)).collect();
        let mut family = MetricFamily::default();
        family.set_name(self.description.fq_name.clone());
        family.set_help(self.description.help.clone());
        family.set_field_type(MetricType::SUMMARY);
        family.set_metric(metrics);
        vec![family]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::{Registry, TextEncoder};

    fn text(summaries: &Summaries) -> String {
        let registry = Registry::new();
        registry.register(Box::new(summaries.clone())).expect("a new name");
        TextEncoder::new().encode_to_string(&registry.gather()).expect("text")
    }

    #[test]
    fn without_a_label_it_starts_at_zero() {
        let summaries = Summaries::new("time", "Time.", None).expect("valid");
        assert_eq!(
            text(&summaries),
            "# HELP time Time.\n# TYPE time summary\ntime_sum 0\ntime_count 0\n"
        );
    }

    #[test]
    fn with_a_label_values_appear_when_they_are_observed() {
        let summaries = Summaries::new("time", "Time.", Some("exporter")).expect("valid");
        assert_eq!(text(&summaries), "");
        summaries.observe("b", 1.5);
        summaries.observe("a", 2.0);
        summaries.observe("b", 1.0);
        assert_eq!(
            text(&summaries),
            "# HELP time Time.\n# TYPE time summary\n\
             time_sum{exporter=\"a\"} 2\ntime_count{exporter=\"a\"} 1\n\
             time_sum{exporter=\"b\"} 2.5\ntime_count{exporter=\"b\"} 2\n"
        );
    }
}
