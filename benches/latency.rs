//! From appending to durable, at 2,000 records a second: the log, and a plain file beside it.
//!
//! `cargo bench --bench latency`. Records are due at even distances; what counts is the time from then.
//! The plain file gets what is due, appended and synced with fdatasync, as soon as the sync before it is
//! done, which is the best that can be had. The two take turns.

#![allow(clippy::expect_used, clippy::cast_precision_loss)]

mod support;

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use kube_event_relay::event::StreamId;
use kube_event_relay::log::{Entry, NewRecord, Stream};
use support::{Events, Verdict, open, quantile};

const PER_SECOND: u32 = 2_000;
const RECORDS: usize = 4_000;
const TURNS: usize = 4;
/// How much later than in the plain file a record may be durable.
const ALLOWANCE_MS: f64 = 2.0;

fn main() -> ExitCode {
    let runtime = tokio::runtime::Runtime::new().expect("runtime");
    let directory = tempfile::tempdir_in("target").expect("tempdir");
    let opened = open(&directory.path().join("log"));
    let stream = {
        let _inside = runtime.enter();
        opened.stream(&StreamId::all_namespaces()).expect("stream")
    };
    let mut events = Events::default();
    let (mut raw, mut log) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        raw.extend(raw_turn(&directory.path().join("raw"), &events.take(RECORDS)));
        log.extend(log_turn(&runtime, &stream, events.take(RECORDS)));
    }
    runtime.block_on(opened.close()).expect("close");
    println!("due -> durable at {PER_SECOND} records per second, ms");
    println!("                          |    p50 |    p99");
    println!("--------------------------|-------:|------:");
    let line = |what: &str, values: &mut [f64]| {
        let p50 = quantile(values, 0.5);
        println!("{what:26}| {p50:6.2} | {:6.2}", quantile(values, 0.99));
        p50
    };
    let raw = line("plain file with fdatasync", &mut raw);
    let log = line("log", &mut log);
    println!("ratio of the medians: {:.2}", log / raw);
    let mut verdict = Verdict::default();
    verdict.at_most("median of the log, ms", log, raw + ALLOWANCE_MS);
    verdict.exit_code()
}

/// When each record is due.
fn schedule() -> impl Iterator<Item = Instant> {
    let begin = Instant::now() + Duration::from_millis(10);
    (0..).map(move |number| begin + Duration::from_secs(1) * number / PER_SECOND)
}

fn wait_until(due: Instant) {
    std::thread::sleep(due.saturating_duration_since(Instant::now()));
}

fn milliseconds_since(due: Instant) -> f64 {
    due.elapsed().as_secs_f64() * 1000.0
}

fn raw_turn(path: &Path, records: &[NewRecord]) -> Vec<f64> {
    let mut file = File::create(path).expect("create");
    let due: Vec<Instant> = schedule().take(records.len()).collect();
    let mut latencies = Vec::with_capacity(records.len());
    while latencies.len() < records.len() {
        let from = latencies.len();
        wait_until(due[from]);
        let now = Instant::now();
        let until = due.partition_point(|due| *due <= now);
        let bytes: Vec<u8> =
            records[from..until].iter().flat_map(|record| record.body.iter().copied()).collect();
        file.write_all(&bytes).expect("write");
        file.sync_data().expect("sync");
        latencies.extend(due[from..until].iter().map(|due| milliseconds_since(*due)));
    }
    latencies
}

fn log_turn(
    runtime: &tokio::runtime::Runtime,
    stream: &Stream,
    records: Vec<NewRecord>,
) -> Vec<f64> {
    let before = stream.frontier().map_or(0, |frontier| frontier.sequence);
    let due: Vec<Instant> = schedule().take(records.len()).collect();
    let mut frontier = stream.subscribe();
    let watched = due.clone();
    let watching = runtime.spawn(async move {
        let mut latencies = Vec::with_capacity(watched.len());
        while latencies.len() < watched.len() {
            frontier.changed().await.expect("an open stream");
            let sequence = frontier.borrow_and_update().as_ref().map_or(0, |at| at.sequence);
            let durable = usize::try_from(sequence - before).expect("a small number");
            let newly = &watched[latencies.len()..durable];
            latencies.extend(newly.iter().map(|due| milliseconds_since(*due)));
        }
        latencies
    });
    for (record, due) in records.into_iter().zip(due) {
        wait_until(due);
        runtime.block_on(stream.append(Entry::Record(record))).expect("append");
    }
    runtime.block_on(watching).expect("all became durable")
}
