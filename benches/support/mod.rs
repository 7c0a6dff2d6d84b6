//! What the benchmarks share: the events they write, quantiles, and the verdict at the end.
//!
//! Invariant: a run fails only when a figure is below half of its target. A noisy machine takes a
//! tenth or two; a regression that matters takes more.

#![allow(
    dead_code, // each benchmark uses a part of it
    unreachable_pub,
    clippy::should_implement_trait,
    clippy::expect_used,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use kube_event_relay::event::{Generation, Position, Record};
use kube_event_relay::log::{DataDirectory, Log, NewRecord};
use kube_event_relay::telemetry::Metrics;

/// Realistic events of about 1.3 kB, each different.
#[derive(Default)]
pub struct Events {
    number: u64,
}

impl Events {
    /// The next event, as the source would append it.
    pub fn next(&mut self) -> NewRecord {
        self.number += 1;
        let number = self.number;
        let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let json = format!(
            r#"{{"metadata":{{"name":"checkout-{mixed:x}.17{number:014x}","namespace":"shop-{}","uid":"{mixed:016x}-{number:016x}","resourceVersion":"{number}","creationTimestamp":"2026-11-22T17:3{}:{:02}Z"}},"involvedObject":{{"kind":"Pod","namespace":"shop-{}","name":"checkout-{mixed:x}","uid":"{:032x}","apiVersion":"v1","resourceVersion":"{}","fieldPath":"spec.containers{{checkout}}"}},"reason":"BackOff","message":"Back-off restarting failed container checkout in pod checkout-{mixed:x}_shop({mixed:032x}): the last attempt ended with exit code 137 after {} seconds; {}","source":{{"component":"kubelet","host":"node-{}.eu-central.example"}},"firstTimestamp":"2026-11-22T17:30:00Z","lastTimestamp":"2026-11-22T17:3{}:{:02}Z","count":{},"type":"Warning","eventTime":null,"reportingComponent":"kubelet","reportingInstance":"node-{}.eu-central.example"}}"#,
            number % 7,
            number % 10,
            number % 60,
            number % 7,
            mixed ^ 0xffff,
            number / 2,
            number % 900,
            "memory limit of the container was reached and the kernel ended its largest process "
                .repeat(4),
            number % 40,
            number % 10,
            number % 60,
            number % 30 + 1,
            number % 40,
        );
        let (version, header, body) = Record::parse_event(json.as_bytes()).expect("an event");
        NewRecord {
            position: Position::new(Generation(0), version),
            received_at: jiff::Timestamp::now(),
            header,
            body,
        }
    }

    /// Several.
    pub fn take(&mut self, count: usize) -> Vec<NewRecord> {
        std::iter::repeat_with(|| self.next()).take(count).collect()
    }
}

/// The program's allocator.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The log of a directory.
pub fn open(path: &Path) -> Log {
    open_with_metrics(path).0
}

/// The log of a directory, with what it counts.
pub fn open_with_metrics(path: &Path) -> (Log, Arc<Metrics>) {
    let directory = DataDirectory::open(path, Duration::ZERO).expect("directory");
    let metrics = Arc::<Metrics>::default();
    (Log::open(Arc::new(directory), metrics.clone()).expect("log"), metrics)
}

/// The value in the middle.
pub fn median(values: &mut [f64]) -> f64 {
    quantile(values, 0.5)
}

/// The value below which `q` of them lie.
pub fn quantile(values: &mut [f64], q: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * q) as usize]
}

/// Compares figures with their targets.
#[derive(Default)]
pub struct Verdict {
    failed: bool,
}

impl Verdict {
    /// A figure that is to be at least its target.
    pub fn at_least(&mut self, what: &str, figure: f64, target: f64) {
        self.judge(what, figure / target, &format!("{figure:.2} of at least {target:.2}"));
    }

    /// A figure that is to be at most its target.
    pub fn at_most(&mut self, what: &str, figure: f64, target: f64) {
        self.judge(what, target / figure, &format!("{figure:.2} of at most {target:.2}"));
    }

    fn judge(&mut self, what: &str, reached: f64, words: &str) {
        let met = if reached >= 1.0 { "yes" } else { "no" };
        println!("{what}: {words}. target met: {met}");
        self.failed |= reached < 0.5;
    }

    /// Failure when any figure is below half of its target.
    pub fn exit_code(&self) -> ExitCode {
        if self.failed {
            eprintln!("a figure is below half of its target.");
            return ExitCode::FAILURE;
        }
        ExitCode::SUCCESS
    }
}
