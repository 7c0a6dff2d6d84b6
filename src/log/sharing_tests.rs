//! Many sinks, one reading: blocks are decoded once for all readers that are close together.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::{Chunk, DataDirectory, Entry, Log, NewRecord, Stream};
use crate::event::{Generation, Header, Position, StreamId};
use crate::telemetry::Metrics;

const READERS: usize = 15;
/// As many as stay in memory together, so that a machine that is busy proves the same.
const RECORDS: u64 = 1_500;
/// At the limit of 50 records each.
const BLOCKS: u64 = RECORDS / 50;

fn open(path: &Path) -> (Log, Stream, Arc<Metrics>) {
    let directory = DataDirectory::open(path, Duration::ZERO).expect("directory");
    let metrics = Arc::<Metrics>::default();
    let log = Log::open(Arc::new(directory), metrics.clone()).expect("log");
    let stream = log.stream(&StreamId::all_namespaces()).expect("stream");
    (log, stream, metrics)
}

fn record(version: u64) -> NewRecord {
    NewRecord {
        position: Position::new(Generation(0), version.to_string().parse().expect("a version")),
        received_at: Timestamp::UNIX_EPOCH,
        header: Header::default(),
        body: vec![b'x'; 500].into(),
    }
}

async fn append(stream: &Stream) {
    for version in 1..=RECORDS {
        stream.append(Entry::Record(record(version))).await.expect("append");
    }
    stream.sync().await.expect("sync");
}

/// As many readers as there may be sinks, each at its own pace, through all records.
fn start_readers(stream: &Stream) -> Vec<tokio::task::JoinHandle<()>> {
    let read = |mut reader: super::Reader| async move {
        let mut count = 0;
        while count < RECORDS {
            let chunk = reader.next().await.expect("a chunk");
            let Chunk::Records { records, sequence, .. } = chunk else { panic!("{chunk:?}") };
            count += records.len() as u64;
            assert_eq!(count, sequence);
        }
    };
    (0..READERS).map(|_| tokio::spawn(read(stream.reader(None)))).collect()
}

async fn finish(readers: Vec<tokio::task::JoinHandle<()>>) {
    for reader in readers {
        reader.await.expect("a reader that read everything");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifteen_readers_that_catch_up_together_decode_each_block_once() {
    let directory = tempfile::tempdir().expect("tempdir");
    let (log, stream, _) = open(directory.path());
    append(&stream).await;
    log.close().await.expect("close");
    drop((log, stream));
    let (log, stream, metrics) = open(directory.path());
    finish(start_readers(&stream)).await;
    let read = metrics.log().blocks_read.get();
    // Where it begins each reader has to look for itself, and it may come a moment too early for the next.
    let allowed = BLOCKS + 2 * READERS as u64;
    assert!(read <= allowed, "{read} blocks were read, there are {BLOCKS}");
    log.close().await.expect("close");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifteen_live_readers_read_nothing_from_disk() {
    let directory = tempfile::tempdir().expect("tempdir");
    let (log, stream, metrics) = open(directory.path());
    let readers = start_readers(&stream);
    append(&stream).await;
    finish(readers).await;
    let read = metrics.log().blocks_read.get();
    assert!(read <= READERS as u64, "{read} blocks were read, {READERS} were looked for");
    log.close().await.expect("close");
}
