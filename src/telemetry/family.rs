//! Building blocks of the families: one prefix, one set of buckets, registration that cannot fail.

use std::cell::RefCell;

use prometheus::core::Collector;
use prometheus::{
    GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry,
};

use super::catalog::{self, MetricDescription};

/// In front of every name that is not kube-eventer's.
const PREFIX: &str = "kube_event_relay";

/// Bounds of durations: from a local disk's sync to a service's time-out.
const SECONDS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 10.0, 30.0];

type Family<T> = prometheus::Result<T>;

fn options(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace(PREFIX)
}

/// Registers families in one registry, hands them back, and keeps what they say of themselves.
pub(super) struct Registrar<'a> {
    registry: &'a Registry,
    catalog: RefCell<Vec<MetricDescription>>,
}

impl<'a> Registrar<'a> {
    pub(super) fn new(registry: &'a Registry) -> Self {
        Self { registry, catalog: RefCell::default() }
    }

    /// What was registered, in order.
    pub(super) fn into_catalog(self) -> Vec<MetricDescription> {
        self.catalog.into_inner()
    }

    pub(super) fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.keep(IntCounter::with_opts(options(name, help)))
    }

    pub(super) fn counters(&self, name: &str, help: &str, label: &str) -> IntCounterVec {
        self.keep(IntCounterVec::new(options(name, help), &[label]))
    }

    pub(super) fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.keep(IntGauge::with_opts(options(name, help)))
    }

    pub(super) fn gauges(&self, name: &str, help: &str, label: &str) -> IntGaugeVec {
        self.keep(IntGaugeVec::new(options(name, help), &[label]))
    }

    pub(super) fn float_gauges(&self, name: &str, help: &str, label: &str) -> GaugeVec {
        self.keep(GaugeVec::new(options(name, help), &[label]))
    }

    pub(super) fn histogram(&self, name: &str, help: &str) -> Histogram {
        self.keep(Histogram::with_opts(buckets(name, help)))
    }

    pub(super) fn histograms(&self, name: &str, help: &str, label: &str) -> HistogramVec {
        self.keep(HistogramVec::new(buckets(name, help), &[label]))
    }

    /// Names and labels are constants of this module, so neither step can fail after it has been
    /// run once.
    #[allow(clippy::expect_used)]
    pub(super) fn keep<T: Collector + Clone + 'static>(&self, family: Family<T>) -> T {
        let family = family.expect("a valid metric name");
        self.catalog.borrow_mut().extend(catalog::describe(&family));
        self.registry.register(Box::new(family.clone())).expect("a metric name used once");
        family
    }
}

fn buckets(name: &str, help: &str) -> HistogramOpts {
    HistogramOpts::from(options(name, help)).buckets(SECONDS.to_vec())
}
