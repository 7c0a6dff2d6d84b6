//! Catching up: records decoded a second by one reader, all of them and past a narrow filter; and what
//! fifteen readers take from disk.
//!
//! `cargo bench --bench read`. The page cache is dropped before each cold turn, which only root may do;
//! otherwise the line says that it was warm. Beside it the log's files are read as they are, which is
//! what the disk can give.

#![allow(clippy::expect_used, clippy::cast_precision_loss)]

mod support;

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use kube_event_relay::event::{Filter, Match, StreamId};
use kube_event_relay::log::{Chunk, Entry, Reader};
use support::{Events, Verdict, median, open};

const RECORDS: u64 = 150_000;
const TURNS: usize = 5;
const DECODED_TARGET: f64 = 250_000.0;
const FILTERED_TARGET: f64 = 1_000_000.0;
const READERS: usize = 15;

fn main() -> ExitCode {
    let runtime = tokio::runtime::Runtime::new().expect("runtime");
    let directory = tempfile::tempdir_in("target").expect("tempdir");
    let path = directory.path().join("log");
    runtime.block_on(write(&path));
    let wanted = Match { reasons: Some(vec!["Evicted".to_owned()]), ..Match::default() };
    let narrow = Filter::new(&wanted, &[]).expect("a filter");
    let (mut plain, mut all, mut filtered) = (Vec::new(), Vec::new(), Vec::new());
    let mut cold = true;
    for _ in 0..TURNS {
        cold &= drop_page_cache();
        let begun = Instant::now();
        read_files(&path);
        plain.push(RECORDS as f64 / begun.elapsed().as_secs_f64());
        cold &= drop_page_cache();
        all.push(runtime.block_on(turn(&path, &Filter::default(), RECORDS)));
        filtered.push(runtime.block_on(turn(&path, &narrow, 0)));
    }
    let state = if cold { "cold" } else { "warm, the page cache could not be dropped" };
    let (plain, all, filtered) = (median(&mut plain), median(&mut all), median(&mut filtered));
    println!("{RECORDS} records ({state})             | records/s | ratio");
    println!("--------------------------------------|----------:|-----:");
    println!("reading the files, decoding nothing   | {plain:9.0} |  1.00");
    println!("one reader, everything                | {all:9.0} | {:5.2}", all / plain);
    println!("one reader, a filter that passes none | {filtered:9.0} | {:5.2}", filtered / plain);
    let reads = runtime.block_on(together(&path));
    println!("{READERS} readers together: {reads:.2} blocks read for each block there is");
    let mut verdict = Verdict::default();
    verdict.at_least("records decoded per second", all, DECODED_TARGET);
    verdict.at_least("records filtered per second (warm)", filtered, FILTERED_TARGET);
    verdict.at_most("blocks read for each block by 15 readers", reads, 1.1);
    verdict.exit_code()
}

async fn write(path: &Path) {
    let log = open(path);
    let stream = log.stream(&StreamId::all_namespaces()).expect("stream");
    let mut events = Events::default();
    for _ in 0..RECORDS {
        stream.append(Entry::Record(events.next())).await.expect("append");
    }
    stream.sync().await.expect("sync");
    log.close().await.expect("close");
}

/// Whether it could be dropped.
fn drop_page_cache() -> bool {
    rustix::fs::sync();
    std::fs::write("/proc/sys/vm/drop_caches", "3").is_ok()
}

fn read_files(path: &Path) -> usize {
    let entries = std::fs::read_dir(path).expect("list").flatten();
    let size = |entry: std::fs::DirEntry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => read_files(&entry.path()),
        _ => std::fs::read(entry.path()).map_or(0, |bytes| bytes.len()),
    };
    entries.map(size).sum()
}

/// Reads everything and returns the records per second; every byte of those that pass is looked at.
async fn turn(path: &Path, filter: &Filter, expected: u64) -> f64 {
    let log = open(path);
    let stream = log.stream(&StreamId::all_namespaces()).expect("stream");
    let begun = Instant::now();
    let passed = read_all(stream.reader(None).wanting(filter), filter).await;
    let rate = RECORDS as f64 / begun.elapsed().as_secs_f64();
    assert_eq!(passed, expected, "the filter passes what it should");
    log.close().await.expect("close");
    rate
}

async fn read_all(mut reader: Reader, filter: &Filter) -> u64 {
    let (mut passed, mut bytes, mut through) = (0, 0, 0);
    while let Some(chunk) = reader.try_next().await.expect("readable") {
        let (records, sequence) = match chunk {
            Chunk::Records { records, sequence, .. } => (records, sequence),
            Chunk::Excluded { sequence, .. } => {
                through = sequence;
                continue;
            }
            Chunk::Damaged { .. } => panic!("{chunk:?}"),
        };
        through = sequence;
        for record in records.iter().filter(|record| filter.passes(record)) {
            passed += 1;
            bytes += record.body.iter().map(|byte| usize::from(*byte)).sum::<usize>();
        }
        // As a runner does between batches.
        tokio::task::yield_now().await;
    }
    assert_eq!(through, RECORDS, "the end was reached");
    assert_eq!(passed == 0, bytes == 0, "what passes has a body");
    passed
}

/// Blocks that readers at the same place take from disk, for each block there is.
async fn together(path: &Path) -> f64 {
    let (log, metrics) = support::open_with_metrics(path);
    let stream = log.stream(&StreamId::all_namespaces()).expect("stream");
    let one = read_all(stream.reader(None), &Filter::default()).await;
    assert_eq!(one, RECORDS);
    let blocks = metrics.log().blocks_read.get();
    let read = |reader: Reader| async move { read_all(reader, &Filter::default()).await };
    let readers: Vec<_> = (0..READERS).map(|_| tokio::spawn(read(stream.reader(None)))).collect();
    for reader in readers {
        assert_eq!(reader.await.expect("a reader"), RECORDS);
    }
    let reads = metrics.log().blocks_read.get() - blocks;
    log.close().await.expect("close");
    reads as f64 / blocks as f64
}
