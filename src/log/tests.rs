//! The log as its users see it: append, sync, read, reopen, trim, damage.

#![allow(clippy::cast_possible_truncation)]

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tempfile::TempDir;

use super::*;
use crate::event::{Filter, Generation, Header, Match, Position, Record};

/// A data directory with its log open.
pub(super) struct Opened {
    pub(super) log: Log,
    pub(super) stream: Stream,
}

impl Opened {
    pub(super) fn new(directory: &TempDir) -> Self {
        let directory = DataDirectory::open(directory.path(), Duration::ZERO).expect("directory");
        let log = Log::open(Arc::new(directory), Arc::default()).expect("log");
        let stream = log.stream(&StreamId::all_namespaces()).expect("stream");
        Self { log, stream }
    }

    pub(super) async fn append(&self, versions: impl IntoIterator<Item = u64>) {
        for version in versions {
            self.stream.append(Entry::Record(record(0, version))).await.expect("append");
        }
        self.stream.sync().await.expect("sync");
    }

    pub(super) async fn close(self) {
        self.log.close().await.expect("close");
    }

    pub(super) async fn read(&self, after: Option<Position>) -> Vec<u64> {
        let mut reader = self.stream.reader(after);
        let mut versions = Vec::new();
        while let Some(chunk) = reader.try_next().await.expect("read") {
            if let Chunk::Records { records, .. } = chunk {
                versions.extend(records.iter().map(version));
            }
        }
        versions
    }
}

pub(super) fn position(generation: u32, version: u64) -> Position {
    Position::new(Generation(generation), version.to_string().parse().expect("version"))
}

pub(super) fn version(record: &Record) -> u64 {
    record.position.resource_version.as_str().parse().expect("a number")
}

pub(super) fn record(generation: u32, version: u64) -> NewRecord {
    NewRecord {
        position: position(generation, version),
        received_at: Timestamp::now(),
        header: Header { reason: "Started".into(), uid: version.to_string(), ..Header::default() },
        body: noise(900, version).into(),
    }
}

/// Bytes that do not compress, so that a few thousand records fill segments.
pub(super) fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[4]
    };
    std::iter::repeat_with(next).take(length).collect()
}

pub(super) fn segments(directory: &TempDir) -> Vec<PathBuf> {
    let stream = directory.path().join("streams/all-namespaces");
    let mut paths: Vec<_> =
        fs::read_dir(stream).expect("list").flatten().map(|entry| entry.path()).collect();
    paths.sort_by_key(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.trim_end_matches(".damaged").parse::<Position>().ok()
    });
    paths
}

#[tokio::test]
async fn reads_back_in_order_after_reopening() {
    let directory = tempfile::tempdir().expect("tempdir");
    let opened = Opened::new(&directory);
    opened.append(1..=120).await;
    opened.close().await;
    let opened = Opened::new(&directory);
    opened.append(121..=130).await;
    assert_eq!(opened.read(None).await, (1..=130).collect::<Vec<_>>());
    assert_eq!(opened.read(Some(position(0, 77))).await, (78..=130).collect::<Vec<_>>());
    let frontier = opened.stream.frontier().expect("a frontier");
    assert_eq!((frontier.position, frontier.sequence), (position(0, 130), 130));
    opened.close().await;
}

#[tokio::test]
async fn what_is_there_already_is_not_appended_again() {
    let directory = tempfile::tempdir().expect("tempdir");
    let opened = Opened::new(&directory);
    opened.append([5, 7, 7, 6, 9]).await;
    opened.append([8, 9, 10]).await;
    assert_eq!(opened.read(None).await, [5, 7, 9, 10]);
    opened.close().await;
}

#[tokio::test]
async fn a_position_without_records_moves_the_frontier_durably() {
    let directory = tempfile::tempdir().expect("tempdir");
    let opened = Opened::new(&directory);
    opened.append([5]).await;
    opened.stream.append(Entry::Advance(position(0, 50))).await.expect("append");
    opened.append([40, 60]).await;
    opened.stream.append(Entry::Advance(position(0, 70))).await.expect("append");
    opened.close().await;
    let opened = Opened::new(&directory);
    assert_eq!(opened.stream.frontier().expect("a frontier").position, position(0, 70));
    assert_eq!(opened.read(None).await, [5, 60], "40 lies below the position 50");
    opened.close().await;
}

#[tokio::test]
async fn a_generation_starts_below_and_comes_after() {
    let directory = tempfile::tempdir().expect("tempdir");
    let opened = Opened::new(&directory);
    opened.append([90, 100]).await;
    opened.stream.append(Entry::Record(record(1, 30))).await.expect("append");
    opened.stream.append(Entry::Record(record(1, 95))).await.expect("append");
    opened.stream.sync().await.expect("sync");
    assert_eq!(opened.read(None).await, [90, 100, 30, 95]);
    let found = opened.stream.get(&position(0, 100)).await.expect("read").expect("a record");
    assert_eq!(found.position, position(0, 100));
    assert_eq!(opened.stream.get(&position(1, 100)).await.expect("read"), None);
    for (version, found) in [(90, Some(0)), (30, Some(1)), (95, Some(1)), (31, None)] {
        let version = version.to_string().parse().expect("a version");
        let record = opened.stream.find(&version).await.expect("read");
        assert_eq!(record.map(|record| record.position.generation.0), found, "{version}");
    }
    assert_eq!(opened.stream.held(), Some((position(0, 90), position(1, 95))));
    opened.close().await;
}

#[tokio::test]
async fn a_record_larger_than_a_value_reads_back() {
    let directory = tempfile::tempdir().expect("tempdir");
    let opened = Opened::new(&directory);
    let mut large = record(0, 2);
    large.body = noise(1_500_000, 2).into();
    opened.append([1]).await;
    opened.stream.append(Entry::Record(large.clone())).await.expect("append");
    opened.append([3]).await;
    opened.close().await;
    let opened = Opened::new(&directory);
    assert_eq!(opened.read(None).await, [1, 2, 3]);
    let found = opened.stream.get(&position(0, 2)).await.expect("read").expect("a record");
    assert_eq!(found.body, large.body);
    opened.close().await;
}

#[tokio::test]
async fn a_segment_that_cannot_be_removed_stays_readable_and_goes_the_next_time() {
    let directory = tempfile::tempdir().expect("tempdir");
    let opened = Opened::new(&directory);
    opened.append(1..=8_000).await;
    let end = opened.stream.segments()[0].last.clone().expect("sealed");
    let in_the_way = segments(&directory)[0].with_extension("1.removing");
    fs::create_dir_all(in_the_way.join("full")).expect("create");
    opened.stream.trim(&end).await.expect_err("its name for the removal is taken");
    assert_eq!(opened.read(None).await.len(), 8_000);
    fs::remove_dir_all(&in_the_way).expect("remove");
    assert_eq!(opened.stream.trim(&end).await.expect("trim").segments, 1);
}

#[tokio::test]
async fn trimming_gives_back_whole_segments_behind_a_position() {
    let directory = tempfile::tempdir().expect("tempdir");
    let opened = Opened::new(&directory);
    opened.append(1..=20_000).await;
    let sealed = opened.stream.segments();
    assert!(sealed.len() > 3, "{} segments", sealed.len());
    let second_end = sealed[1].last.clone().expect("sealed");
    let before = opened.log.bytes();
    let trimmed = opened.stream.trim(&second_end).await.expect("trim");
    assert_eq!(trimmed.segments, 2);
    assert_eq!(trimmed.records, sealed[1].end_sequence);
    assert!(opened.log.bytes() <= before - trimmed.bytes);
    let first = second_end.resource_version.as_str().parse::<u64>().expect("number") + 1;
    assert_eq!(opened.read(None).await, (first..=20_000).collect::<Vec<_>>());
    opened.close().await;
    let opened = Opened::new(&directory);
    assert_eq!(opened.read(None).await.first(), Some(&first));
    let trimmed = opened.stream.trim(&position(9, 1)).await.expect("trim");
    assert_eq!(trimmed.segments as usize, sealed.len() - 3, "the one being written stays");
    opened.close().await;
}

#[tokio::test]
async fn readers_never_see_past_the_frontier() {
    let directory = tempfile::tempdir().expect("tempdir");
    let opened = Opened::new(&directory);
    let mut reader = opened.stream.reader(None);
    let stream = opened.stream.clone();
    let writing = tokio::spawn(async move {
        for version in 1..=5_000 {
            stream.append(Entry::Record(record(0, version))).await.expect("append");
        }
        stream.sync().await.expect("sync");
    });
    let mut seen = 0;
    while seen < 5_000 {
        let Chunk::Records { records, end, sequence } = reader.next().await.expect("read") else {
            panic!("nothing is damaged")
        };
        let frontier = opened.stream.frontier().expect("a frontier");
        assert!(end <= frontier.position);
        for record in records.iter() {
            seen += 1;
            assert_eq!(version(record), seen);
        }
        assert_eq!(sequence, seen);
    }
    writing.await.expect("writer");
    opened.close().await;
}

#[tokio::test]
async fn a_commit_that_fails_does_not_move_the_frontier() {
    let directory = tempfile::tempdir().expect("tempdir");
    let opened = Opened::new(&directory);
    opened.append(1..=3).await;
    // The last thing a commit does is to look into this directory.
    fs::remove_dir(segments(&directory)[0].join("blobs")).expect("remove");
    opened.stream.append(Entry::Record(record(0, 4))).await.expect("append");
    opened.stream.sync().await.expect_err("nothing is durable");
    assert_eq!(opened.stream.frontier().map(|frontier| frontier.position), Some(position(0, 3)));
    assert_eq!(opened.read(None).await, [1, 2, 3]);
    opened.close().await;
}

#[tokio::test]
async fn closed_intake_holds_appends_back() {
    let directory = tempfile::tempdir().expect("tempdir");
    let opened = Opened::new(&directory);
    opened.log.set_intake(false);
    {
        let append = std::pin::pin!(opened.append([1]));
        let polled = futures::poll!(append);
        assert!(polled.is_pending(), "intake is closed");
    }
    opened.log.set_intake(true);
    opened.append([2]).await;
    assert_eq!(opened.read(None).await, [2]);
    opened.close().await;
}

#[tokio::test]
async fn staged_pages_come_back_in_order() {
    let directory = tempfile::tempdir().expect("tempdir");
    let opened = Opened::new(&directory);
    let mut staging = opened.stream.stage().await.expect("stage");
    // A fixed permutation: 7919 is prime and does not divide 12,000.
    for page in (0..12_000u64).collect::<Vec<_>>().chunks(500) {
        let page = page.iter().map(|number| record(0, number * 7919 % 12_000 + 1)).collect();
        staging.put(page).await.expect("put");
    }
    let mut versions = Vec::new();
    loop {
        let records = staging.take().await.expect("take");
        if records.is_empty() {
            break;
        }
        versions.extend(records.iter().map(|record| record.position.clone()));
    }
    assert_eq!(versions, (1..=12_000).map(|version| position(0, version)).collect::<Vec<_>>());
    staging.discard().await.expect("discard");
    assert!(!directory.path().join("staging/all-namespaces").exists());
    opened.close().await;
}

/// What a crash leaves of a block in parts: they are written last one first.
fn write_half_a_block(path: &std::path::Path, number: u64, version: u64) {
    let stream = StreamId::all_namespaces();
    let segment = segment::Segment::open(&stream, path).expect("open");
    let mut large = record(0, version);
    large.body = noise(100_000, version).into();
    let end = position(0, version);
    let block = block::Block::new(&stream, number, version - 1, end, Timestamp::now(), vec![large]);
    let mut encoded = block.encode();
    assert!(encoded.pairs.len() > 2, "the block is long enough for parts");
    encoded.pairs.remove(0);
    segment.write(&encoded).expect("write");
    segment.commit().expect("commit");
}

#[tokio::test]
async fn a_block_that_a_crash_cut_in_two_damages_nothing() {
    let directory = tempfile::tempdir().expect("tempdir");
    let opened = Opened::new(&directory);
    opened.append(1..=10).await;
    opened.close().await;
    write_half_a_block(&segments(&directory)[0], 1, 11);
    let opened = Opened::new(&directory);
    assert_eq!(opened.stream.take_damages(), []);
    assert_eq!(opened.stream.frontier().map(|frontier| frontier.position), Some(position(0, 10)));
    // The version that was cut may have been replaced at the API server meanwhile.
    opened.append([12, 13]).await;
    assert_eq!(opened.read(Some(position(0, 9))).await, [10, 12, 13]);
    opened.close().await;
}

#[tokio::test]
async fn the_segment_of_the_frontier_stays_until_the_next_one_has_a_block() {
    let directory = tempfile::tempdir().expect("tempdir");
    let opened = Opened::new(&directory);
    opened.append(1..=10).await;
    // What the writer does between two segments.
    let inner = &opened.stream.inner;
    let segment = inner.place(None).expect("a place").open(inner).expect("open");
    let last = segment.last().expect("read").expect("a block");
    inner.seal(&segment::Seal::new(&last, 0, Timestamp::now()));
    drop(segment);
    inner.begin_segment(&position(0, 11), 10).expect("begin");
    assert_eq!(opened.stream.trim(&position(9, 1)).await.expect("trim").segments, 0);
    opened.close().await;
    let opened = Opened::new(&directory);
    assert_eq!(opened.stream.frontier().map(|frontier| frontier.position), Some(position(0, 10)));
    opened.close().await;
}

#[tokio::test]
async fn the_segment_of_the_frontier_is_never_trimmed() {
    let directory = tempfile::tempdir().expect("tempdir");
    let opened = Opened::new(&directory);
    opened.append(1..=10).await;
    opened.close().await;
    // A crash between sealing a segment and beginning the next.
    let path = &segments(&directory)[0];
    let stream = StreamId::all_namespaces();
    let sealed = segment::Segment::open(&stream, path).expect("open");
    let last = sealed.last().expect("read").expect("a block");
    segment::Seal::new(&last, 0, Timestamp::now()).write(path).expect("seal");
    drop(sealed);
    let opened = Opened::new(&directory);
    assert_eq!(opened.stream.trim(&position(9, 1)).await.expect("trim").segments, 0);
    opened.close().await;
    let opened = Opened::new(&directory);
    assert_eq!(opened.stream.frontier().map(|frontier| frontier.position), Some(position(0, 10)));
    opened.close().await;
}

#[tokio::test]
async fn a_log_that_stops_names_the_cause() {
    let directory = tempfile::tempdir().expect("tempdir");
    let log = Opened::new(&directory);
    log.append(1..=3).await;
    fs::remove_dir_all(directory.path().join("streams")).expect("remove");
    log.stream.append(Entry::Record(record(0, 4))).await.expect("append");
    let error = log.stream.sync().await.expect_err("its files are gone").to_string();
    assert!(error.contains("blobs"), "{error}");
}

/// Whatever a filter lets a reader pass over, it counts, and gives every record that is wanted.
#[tokio::test]
async fn a_reader_passes_over_what_its_filter_excludes_and_counts_it() {
    let directory = tempfile::tempdir().expect("tempdir");
    let opened = Opened::new(&directory);
    // Blocks of 50 records; those of every third hundred are wanted, and one more.
    let is_wanted = |version: u64| version / 100 % 3 == 1 || version == 5;
    for version in 1..=2_000 {
        let mut record = record(0, version);
        record.header.reason = if is_wanted(version) { "Evicted" } else { "Started" }.to_owned();
        opened.stream.append(Entry::Record(record)).await.expect("append");
    }
    opened.stream.sync().await.expect("sync");
    opened.close().await;

    let opened = Opened::new(&directory);
    let wanted = Match { reasons: Some(vec!["Evicted".to_owned()]), ..Match::default() };
    let filter = Filter::new(&wanted, &[]).expect("a filter");
    for after in [0, 1, 49, 50, 75, 100, 120, 199, 777, 1_999, 2_000] {
        let reader = opened.stream.reader((after > 0).then(|| position(0, after)));
        let mut reader = reader.wanting(&filter);
        let (mut passed, mut through, mut skipped) = (Vec::new(), after, 0);
        while let Some(chunk) = reader.try_next().await.expect("read") {
            let (count, first, sequence) = match &chunk {
                Chunk::Records { records, sequence, .. } => {
                    passed.extend(records.iter().map(version).filter(|at| is_wanted(*at)));
                    assert!(records.iter().all(|record| !record.body.is_empty()));
                    (records.len() as u64, records.first().map(|first| &first.position), *sequence)
                }
                Chunk::Excluded { records, first, sequence, .. } => {
                    skipped += records;
                    (*records, first.as_ref(), *sequence)
                }
                Chunk::Damaged { .. } => panic!("{chunk:?}"),
            };
            assert_eq!(first, Some(&position(0, through + 1)), "after {after}");
            assert_eq!(through + count, sequence, "after {after}");
            through = sequence;
        }
        let all: Vec<u64> = (after + 1..=2_000).filter(|at| is_wanted(*at)).collect();
        assert_eq!(passed, all, "after {after}");
        assert_eq!(through, 2_000, "after {after}");
        assert!(after > 1_900 || skipped > 0, "bodies were left alone, after {after}");
    }
}

/// What only a body can decide is left to who has it.
#[tokio::test]
async fn a_reader_passes_over_nothing_that_a_body_could_save() {
    let directory = tempfile::tempdir().expect("tempdir");
    let opened = Opened::new(&directory);
    opened.append(1..=200).await;
    opened.close().await;
    let opened = Opened::new(&directory);
    let started = || Some(vec!["Started".to_owned()]);
    let by_body = Match { reasons: started(), messages: started(), ..Match::default() };
    let by_header = Match { reasons: started(), ..Match::default() };
    for (exclude, expected) in [(by_body, 200), (by_header, 0)] {
        let filter = Filter::new(&Match::default(), &[exclude]).expect("a filter");
        let (mut reader, mut read) = (opened.stream.reader(None).wanting(&filter), 0);
        while let Some(chunk) = reader.try_next().await.expect("read") {
            if let Chunk::Records { records, .. } = chunk {
                read += records.iter().filter(|record| filter.passes(record)).count();
            }
        }
        assert_eq!(read, expected);
    }
}
