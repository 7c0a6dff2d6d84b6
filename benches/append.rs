//! Durable append, as a ratio to appending the same bytes to a file and calling fdatasync.
//!
//! `cargo bench --bench append`. Both sides write the same events in the same group sizes, turn by
//! turn, in the same file system; the medians of the turns are compared.

#![allow(clippy::expect_used, clippy::cast_precision_loss)]

mod support;

use std::fs::File;
use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use kube_event_relay::event::StreamId;
use kube_event_relay::log::{Entry, Stream};
use support::{Events, Verdict, median, open, quantile};

/// Group sizes, each with the least ratio to the plain file that is aimed for.
const GROUPS: [(usize, f64); 4] = [(1, 0.5), (10, 0.6), (100, 0.6), (1000, 0.6)];
const TURNS: usize = 9;
const TURN: Duration = Duration::from_millis(400);

fn main() -> ExitCode {
    let runtime = tokio::runtime::Runtime::new().expect("runtime");
    let mut verdict = Verdict::default();
    println!("group | raw events/s | log events/s | ratio | log commit p50 ms | p99 ms");
    println!("-----:|-------------:|-------------:|------:|------------------:|-------:");
    let ratios = GROUPS.map(|(group, _)| runtime.block_on(measure(group)));
    for ((group, target), ratio) in GROUPS.into_iter().zip(ratios) {
        verdict.at_least(&format!("ratio at groups of {group}"), ratio, target);
    }
    verdict.exit_code()
}

/// Prints a line of the table and returns the ratio.
async fn measure(group: usize) -> f64 {
    let directory = tempfile::tempdir_in("target").expect("tempdir");
    let mut events = Events::default();
    let (mut raw, mut log, mut commits) = (Vec::new(), Vec::new(), Vec::new());
    let opened = open(&directory.path().join("log"));
    let stream = opened.stream(&StreamId::all_namespaces()).expect("stream");
    let mut file = File::create(directory.path().join("raw")).expect("create");
    for _ in 0..TURNS {
        raw.push(raw_turn(&mut file, &mut events, group));
        log.push(log_turn(&stream, &mut events, group, &mut commits).await);
    }
    opened.close().await.expect("close");
    let (raw, log) = (median(&mut raw), median(&mut log));
    let (p50, p99) = (quantile(&mut commits, 0.5), quantile(&mut commits, 0.99));
    let ratio = log / raw;
    println!("{group:5} | {raw:12.0} | {log:12.0} | {ratio:5.2} | {p50:17.2} | {p99:6.2}");
    ratio
}

fn raw_turn(file: &mut File, events: &mut Events, group: usize) -> f64 {
    let mut count = 0;
    let mut spent = Duration::ZERO;
    while spent < TURN {
        let bytes: Vec<u8> = events.take(group).into_iter().flat_map(|event| event.body).collect();
        let begun = Instant::now();
        file.write_all(&bytes).expect("write");
        file.sync_data().expect("sync");
        spent += begun.elapsed();
        count += group;
    }
    count as f64 / spent.as_secs_f64()
}

async fn log_turn(
    stream: &Stream,
    events: &mut Events,
    group: usize,
    commits: &mut Vec<f64>,
) -> f64 {
    let mut count = 0;
    let mut spent = Duration::ZERO;
    while spent < TURN {
        let records = events.take(group);
        let begun = Instant::now();
        for record in records {
            stream.append(Entry::Record(record)).await.expect("append");
        }
        stream.sync().await.expect("sync");
        let took = begun.elapsed();
        commits.push(took.as_secs_f64() * 1000.0);
        spent += took;
        count += group;
    }
    count as f64 / spent.as_secs_f64()
}
