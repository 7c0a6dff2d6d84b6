//! Metrics of the sinks, labelled with the sink's configured name.

use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Registry,
};

use super::family::Registrar;

/// Metrics of one sink. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SinkMetrics {
    /// Records accepted.
    pub delivered: IntCounter,
    /// Deliveries tried again.
    pub retried: IntCounter,
    /// Records dead-lettered.
    pub dead_lettered: IntCounter,
    /// Dead letters there are.
    pub dead_letters: IntGauge,
    /// Bytes they take.
    pub dead_letter_bytes: IntGauge,
    /// Dead letters dropped to make room.
    pub dead_letters_dropped: IntCounter,
    /// Records excluded by the filter.
    pub filtered: IntCounter,
    /// Records dropped before the sink had received them.
    pub lost: IntCounter,
    /// 1 while the sink waits for an operator.
    pub held: IntGauge,
    /// 1 while an operator has stopped it.
    pub paused: IntGauge,
    /// 1 while a rate limit or a penalty keeps the sink waiting.
    pub throttled: IntGauge,
    /// Records behind the frontier.
    pub lag_records: IntGauge,
    /// Age of the oldest undelivered record.
    pub lag_seconds: Gauge,
    /// Duration of deliveries.
    pub delivery_seconds: Histogram,
    /// Records accepted again, of replays.
    pub replayed: IntCounter,
    /// Records that replays have yet to pass.
    pub replay_remaining: IntGauge,
}

impl SinkMetrics {
    /// What a replay to this sink counts: its dead letters and durations with the sink's, what is accepted
    /// as replayed, and the rest for itself.
    #[must_use]
    pub fn of_replay(&self) -> Self {
        // Nobody reads this registry.
        let apart = SinkFamilies::register(&Registrar::new(&Registry::new())).of("");
        Self {
            delivered: self.replayed.clone(),
            dead_lettered: self.dead_lettered.clone(),
            delivery_seconds: self.delivery_seconds.clone(),
            ..apart
        }
    }
}

/// The families the metrics of every sink belong to.
#[derive(Debug)]
pub(super) struct SinkFamilies {
    delivered: IntCounterVec,
    retried: IntCounterVec,
    dead_lettered: IntCounterVec,
    dead_letters: IntGaugeVec,
    dead_letter_bytes: IntGaugeVec,
    dead_letters_dropped: IntCounterVec,
    filtered: IntCounterVec,
    lost: IntCounterVec,
    held: IntGaugeVec,
    paused: IntGaugeVec,
    throttled: IntGaugeVec,
    lag_records: IntGaugeVec,
    lag_seconds: GaugeVec,
    delivery_seconds: HistogramVec,
    replayed: IntCounterVec,
    replay_remaining: IntGaugeVec,
}

impl SinkFamilies {
    pub(super) fn register(registrar: &Registrar<'_>) -> Self {
        let counters = |name, help| registrar.counters(name, help, "sink");
        let gauges = |name, help| registrar.gauges(name, help, "sink");
        Self {
            delivered: counters("sink_delivered_total", "Records accepted."),
            retried: counters("sink_retried_total", "Deliveries tried again."),
            dead_lettered: counters("sink_dead_lettered_total", "Records refused for good."),
            dead_letters: gauges("sink_dead_letters", "Dead letters that are kept."),
            dead_letter_bytes: gauges(
                "sink_dead_letter_bytes",
                "Bytes of the dead letters that are kept.",
            ),
            dead_letters_dropped: counters(
                "sink_dead_letters_dropped_total",
                "Dead letters dropped to make room for newer ones.",
            ),
            filtered: counters("sink_filtered_total", "Records excluded by the filter."),
            lost: counters("sink_lost_total", "Records dropped before the sink had received them."),
            held: gauges("sink_held", "1 while the sink waits for an operator."),
            paused: gauges("sink_paused", "1 while an operator has stopped the sink."),
            throttled: gauges(
                "sink_throttled",
                "1 while a rate limit or a penalty of the service keeps the sink waiting.",
            ),
            lag_records: gauges(
                "sink_lag_records",
                "Records behind the frontier, before filtering.",
            ),
            lag_seconds: registrar.float_gauges(
                "sink_lag_seconds",
                "Age of the oldest undelivered record.",
                "sink",
            ),
            delivery_seconds: registrar.histograms(
                "sink_delivery_seconds",
                "Duration of deliveries.",
                "sink",
            ),
            replayed: counters("sink_replayed_total", "Records accepted again, of replays."),
            replay_remaining: gauges(
                "sink_replay_remaining_records",
                "Records that replays have yet to pass, before filtering.",
            ),
        }
    }

    /// Series of a sink that is there no more end.
    pub(super) fn forget(&self, name: &str) {
        let Self { delivered, retried, dead_lettered, filtered, lost, replayed, .. } = self;
        let Self { held, paused, throttled, lag_records, replay_remaining, dead_letters, .. } =
            self;
        let Self { dead_letter_bytes, dead_letters_dropped, .. } = self;
        let Self { lag_seconds, delivery_seconds, .. } = self;
        let counted =
            [delivered, retried, dead_lettered, dead_letters_dropped, filtered, lost, replayed];
        for counters in counted {
            // An error: there is no such series.
            let _removed = counters.remove_label_values(&[name]);
        }
        let gauged = [
            held,
            paused,
            throttled,
            lag_records,
            replay_remaining,
            dead_letters,
            dead_letter_bytes,
        ];
        for gauges in gauged {
            let _removed = gauges.remove_label_values(&[name]);
        }
        let _removed = lag_seconds.remove_label_values(&[name]);
        let _removed = delivery_seconds.remove_label_values(&[name]);
    }

    pub(super) fn of(&self, name: &str) -> SinkMetrics {
        SinkMetrics {
            delivered: self.delivered.with_label_values(&[name]),
            retried: self.retried.with_label_values(&[name]),
            dead_lettered: self.dead_lettered.with_label_values(&[name]),
            dead_letters: self.dead_letters.with_label_values(&[name]),
            dead_letter_bytes: self.dead_letter_bytes.with_label_values(&[name]),
            dead_letters_dropped: self.dead_letters_dropped.with_label_values(&[name]),
            filtered: self.filtered.with_label_values(&[name]),
            lost: self.lost.with_label_values(&[name]),
            held: self.held.with_label_values(&[name]),
            paused: self.paused.with_label_values(&[name]),
            throttled: self.throttled.with_label_values(&[name]),
            lag_records: self.lag_records.with_label_values(&[name]),
            lag_seconds: self.lag_seconds.with_label_values(&[name]),
            delivery_seconds: self.delivery_seconds.with_label_values(&[name]),
            replayed: self.replayed.with_label_values(&[name]),
            replay_remaining: self.replay_remaining.with_label_values(&[name]),
        }
    }
}
