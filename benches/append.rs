//! Durable append, as a ratio to appending the same bytes to a file and calling fdatasync.
//!
//! `cargo bench --bench append`. Both sides write the same events in the same group sizes, turn by
//! turn, in the same file system; the medians of the turns are compared.

#![allow(
    clippy::expect_used,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube_event_relay::event::{Generation, Position, Record, StreamId};
use kube_event_relay::log::{DataDirectory, Entry, Log, NewRecord, Stream};

const GROUPS: [usize; 4] = [1, 10, 100, 1000];
const TURNS: usize = 7;
const TURN: Duration = Duration::from_millis(700);

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("runtime");
    println!("group | raw events/s | log events/s | ratio | log commit p50 ms | p99 ms");
    println!("-----:|-------------:|-------------:|------:|------------------:|-------:");
    for group in GROUPS {
        let directory = tempfile::tempdir_in(".").expect("tempdir");
        let mut events = Events::default();
        let mut raw = Vec::new();
        let mut log = Vec::new();
        let mut commits = Vec::new();
        runtime.block_on(async {
            let opened = open(&directory.path().join("log"));
            let stream = opened.stream(&StreamId::all_namespaces()).expect("stream");
            let mut file = File::create(directory.path().join("raw")).expect("create");
            for _ in 0..TURNS {
                raw.push(raw_turn(&mut file, &mut events, group));
                log.push(log_turn(&stream, &mut events, group, &mut commits).await);
            }
            opened.close().await.expect("close");
        });
        let (raw, log) = (median(&mut raw), median(&mut log));
        let (p50, p99) = (quantile(&mut commits, 0.5), quantile(&mut commits, 0.99));
        println!(
            "{group:5} | {raw:12.0} | {log:12.0} | {:5.2} | {p50:17.2} | {p99:6.2}",
            log / raw
        );
    }
}

fn open(path: &Path) -> Log {
    let directory = DataDirectory::open(path, Duration::ZERO).expect("directory");
    Log::open(Arc::new(directory), Arc::default()).expect("log")
}

fn raw_turn(file: &mut File, events: &mut Events, group: usize) -> f64 {
    let mut count = 0;
    let mut spent = Duration::ZERO;
    while spent < TURN {
        let bytes: Vec<u8> = (0..group).flat_map(|_| events.next().body).collect();
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
        let records: Vec<NewRecord> = (0..group).map(|_| events.next()).collect();
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

/// Realistic events of about 1.3 kB, each different.
#[derive(Default)]
struct Events {
    number: u64,
}

impl Events {
    fn next(&mut self) -> NewRecord {
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
}

fn median(values: &mut [f64]) -> f64 {
    quantile(values, 0.5)
}

fn quantile(values: &mut [f64], q: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * q) as usize]
}
