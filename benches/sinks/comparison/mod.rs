//! A sink beside the bare client of its service: turns, medians, and the table.
//!
//! Invariant: both sides send like records in batches of one size to the same server, in turn, batch by batch, so that what
//! else the machine does meets both. Of the client only the time until the service has answered is measured; of the sink
//! all that it does. The ratio is the median of the turns'.

#![allow(
    dead_code, // each benchmark uses a part of it
    unreachable_pub,
    clippy::expect_used,
    clippy::cast_precision_loss
)]

#[path = "../../support/mod.rs"]
mod support;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use kube_event_relay::event::{Record, StreamId};
use kube_event_relay::sink::{Delivery, Outcome, Sink, SinkContext, http_client, registry};
use serde_json::Value;
use support::{Events, Verdict, median};

/// Name of the cluster, part of the records' identities.
pub const CLUSTER: &str = "bench";

/// The least ratio to the bare client that is aimed for.
const TARGET: f64 = 0.7;

const TURNS: usize = 9;

/// Batches of a turn, of each side.
const BATCHES: usize = 10;

/// The events of both sides, each different.
#[derive(Default)]
pub struct Supply(Events);

impl Supply {
    /// So many records.
    pub fn take(&mut self, count: usize) -> Vec<Record> {
        let events = self.0.take(count).into_iter();
        events
            .map(|event| Record {
                stream: StreamId::all_namespaces(),
                position: event.position,
                received_at: event.received_at,
                header: event.header,
                body: event.body,
            })
            .collect()
    }
}

/// A sink of this kind.
pub fn sink(kind: &str, options: &Value) -> Box<dyn Sink> {
    let http = http_client().expect("CA certificates of the system");
    let context = SinkContext { cluster: CLUSTER.into(), http, config_maps: None };
    let kind = registry::find(kind).expect("a kind");
    (kind.build)(options.as_object().expect("an object"), &context).expect("a sink")
}

/// Measures both sides in turns and prints a line. `bare` takes a batch and returns how long the service took; what has
/// to be made of the records before it is its own affair, and not measured.
pub async fn compare(
    name: &str,
    mut sink: Box<dyn Sink>,
    mut bare: impl AsyncFnMut(&[Record]) -> Duration,
) -> ExitCode {
    let kind = registry::find(name).expect("a kind");
    let size = kind.batch.max_records.expect("every kind states it");
    let mut supply = Supply::default();
    let (mut by_client, mut by_sink, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    // The first turn warms up.
    for turn in 0..=TURNS {
        let (mut client_took, mut sink_took) = (Duration::ZERO, Duration::ZERO);
        for _ in 0..BATCHES {
            client_took += bare(&supply.take(size)).await;
            let batch = supply.take(size);
            let begun = Instant::now();
            deliver(sink.as_mut(), &batch).await;
            sink_took += begun.elapsed();
        }
        if turn > 0 {
            by_client.push((BATCHES * size) as f64 / client_took.as_secs_f64());
            by_sink.push((BATCHES * size) as f64 / sink_took.as_secs_f64());
            ratios.push(client_took.as_secs_f64() / sink_took.as_secs_f64());
        }
    }
    let (by_client, by_sink) = (median(&mut by_client), median(&mut by_sink));
    let ratio = median(&mut ratios);
    println!("sink | batch | bare client, records/s | sink, records/s | ratio");
    println!("-----|------:|-----------------------:|----------------:|------:");
    println!("{name} | {size} | {by_client:.0} | {by_sink:.0} | {ratio:.2}");
    let mut verdict = Verdict::default();
    verdict.at_least(&format!("ratio of {name}"), ratio, TARGET);
    verdict.exit_code()
}

/// Hands over a batch, all of which is to be accepted.
pub async fn deliver(sink: &mut dyn Sink, batch: &[Record]) {
    match sink.deliver(batch).await {
        Delivery::Whole(Outcome::Accepted) => {}
        Delivery::Each(outcomes) if outcomes.iter().all(|one| *one == Outcome::Accepted) => {}
        other => panic!("{other:?}"),
    }
}
