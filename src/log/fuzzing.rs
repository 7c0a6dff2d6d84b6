//! What is promised of the log for any input: see [`crate::fuzzing`].

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bincode::Options;
use bytes::Bytes;
use jiff::Timestamp;

use super::block::{self, Block, BlockError, RECORDS_LIMIT, VALUE_LIMIT};
use super::compression::{self, Effort};
use super::outline::Outline;
use super::segment::Seal;
use super::{Chunk, DataDirectory, Entry, Log, NewRecord, Stream};
use crate::event::{Generation, Header, Position, ResourceVersion, StreamId};
use crate::fuzzing::Input;
use crate::telemetry::Metrics;

/// Largest body of a record.
const BODY: usize = 40_000;

/// Bytes never decode to something else than what was encoded, and decode or fail without a panic.
pub(crate) fn block(data: &[u8]) {
    let mut input = Input::new(data);
    match input.byte() % 4 {
        0 => any_value(&mut input),
        1 => any_payload(&mut input),
        2 => any_plain_parts(&mut input),
        _ => any_records(&mut input),
    }
}

/// Any key and value, with the checksum as it is and as it should be. The first parts of a block that
/// says it has more are the same value again.
fn any_value(input: &mut Input<'_>) {
    const PARTS: u16 = 20;
    let stream = StreamId::all_namespaces();
    let length = input.byte().into();
    let key = input.bytes(length);
    let value = input.rest();
    for correct in [false, true] {
        let sealed = |key: &[u8]| {
            let mut value = value.to_vec();
            if correct {
                correct_checksum(key, &mut value);
            }
            value
        };
        let next = |key: &[u8]| {
            let is_there = block::split_part_key(key).is_some_and(|(_, part)| part < PARTS);
            Ok::<_, BlockError>(is_there.then(|| sealed(key)))
        };
        drop(block::read(&stream, key, &sealed(key), next).and_then(Outline::complete));
    }
}

/// Gives a value the checksum it should have.
fn correct_checksum(key: &[u8], value: &mut [u8]) {
    if value.len() >= 5 {
        let sum = crc32fast::hash(&[key, &value[..1], &value[5..]].concat());
        value[1..5].copy_from_slice(&sum.to_le_bytes());
    }
}

fn any_payload(input: &mut Input<'_>) {
    let stream = StreamId::all_namespaces();
    let payload = input.rest();
    if let Ok(block) = Block::from_payload(&stream, payload) {
        reads_back(&stream, &block);
    }
    drop(block::decode_record(&stream, payload));
}

/// What compression hides from the fuzzer: any bytes as preface, heads and bodies.
fn any_plain_parts(input: &mut Input<'_>) {
    let stream = StreamId::all_namespaces();
    let records = input.byte();
    let (heads_length, bodies_length) = (input.word() % 2000, input.word() % 2000);
    let heads = input.bytes(heads_length.into());
    let bodies = input.bytes(bodies_length.into());
    let (heads_length, bodies_length) = (heads.len() as u64, bodies.len() as u64);
    // As a tuple, the preface has the same bytes.
    let compress = |plain| compression::compress(Effort::Usual, [plain].into_iter()).0;
    let compressed = [compress(heads), compress(bodies)];
    let heads_compressed = compressed[0].len() as u64;
    let written_at = i64::from(input.word());
    let preface = (
        (input.number(), input.number(), u32::from(input.word()), input.text(), written_at),
        (u32::from(records), heads_length, heads_compressed, bodies_length),
    );
    let Ok(mut payload) = bincode::DefaultOptions::new().serialize(&preface) else { return };
    payload.extend(compressed.concat());
    if let Ok(block) = Block::from_payload(&stream, &payload) {
        reads_back(&stream, &block);
    }
}

fn any_records(input: &mut Input<'_>) {
    let stream = StreamId::all_namespaces();
    let (flip_at, flip_with) = (usize::from(input.word()), input.byte().max(1));
    let mut records = Vec::new();
    let mut version = 0;
    while !input.is_empty() && records.len() < RECORDS_LIMIT {
        version += 1 + u64::from(input.byte());
        records.push(new_record(input, version));
    }
    let end = position(1, version + 1);
    let block = Block::new(&stream, input.number() >> 1, 7, end, time(input), records);
    reads_back(&stream, &block);
    let mut pairs = block.encode().pairs;
    let part = flip_at % pairs.len();
    let (_, value) = &mut pairs[part];
    let at = flip_at.wrapping_mul(31) % value.len();
    value[at] ^= flip_with;
    let read = read_pairs(&stream, &pairs);
    assert!(read.is_err(), "byte {at} of part {part} was changed, and nobody noticed");
}

fn new_record(input: &mut Input<'_>, version: u64) -> NewRecord {
    let header = Header {
        uid: input.text(),
        event_type: input.text(),
        reason: input.text(),
        ..Header::default()
    };
    let received_at = time(input);
    // Short inputs shall make long bodies, too, of bytes that cannot be compressed; but not many, which
    // would take long.
    let length = usize::from(input.word());
    let mut body = input.bytes(length % 300).to_vec();
    if length % 7 == 0 && version % 16 == 1 {
        let mut noise = u64::from(input.byte());
        body.resize_with(BODY.min(length), || {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888);
            noise.to_be_bytes()[0]
        });
    }
    NewRecord { position: position(1, version), received_at, header, body: Bytes::from(body) }
}

/// A block encodes to values below the limit, which read back as the same block.
fn reads_back(stream: &StreamId, block: &Block) {
    let encoded = block.encode();
    for (key, value) in &encoded.pairs {
        assert!(value.len() <= VALUE_LIMIT, "a value of {} bytes", value.len());
        assert!(block::split_part_key(key).is_some(), "a key that cannot be read");
    }
    let read = read_pairs(stream, &encoded.pairs);
    assert_eq!(read.as_ref(), Ok(block));
}

fn read_pairs(stream: &StreamId, pairs: &[(Vec<u8>, Vec<u8>)]) -> Result<Block, BlockError> {
    let next = |wanted: &[u8]| {
        let found = pairs.iter().find(|(key, _)| key == wanted);
        Ok(found.map(|(_, value)| value.clone()))
    };
    let Some((key, value)) = pairs.first() else { panic!("a block of no parts") };
    block::read(stream, key, value, next).and_then(Outline::complete)
}

fn position(generation: u32, version: u64) -> Position {
    match version.to_string().parse() {
        Ok(version) => Position::new(Generation(generation), version),
        Err(_) => Position::new(Generation(generation), ResourceVersion::first()),
    }
}

/// A time a block can hold: whole milliseconds.
fn time(input: &mut Input<'_>) -> Timestamp {
    let milliseconds = i64::from(input.word()) * 1_000_003;
    Timestamp::from_millisecond(milliseconds).unwrap_or_default()
}

/// Keys sort as positions do, and positions, keys and names of streams read back.
pub(crate) fn key_order(data: &[u8]) {
    let mut input = Input::new(data);
    let (left, right) = (any_position(&mut input), any_position(&mut input));
    let (left_part, right_part) = (input.word(), input.word());
    assert_eq!(left.to_key().cmp(&right.to_key()), left.cmp(&right));
    let key = |position: &Position, part| block::part_key(position, part);
    assert_eq!(
        key(&left, left_part).cmp(&key(&right, right_part)),
        (&left, left_part).cmp(&(&right, right_part))
    );
    assert_eq!(block::split_part_key(&key(&left, left_part)), Some((left.clone(), left_part)));
    assert_eq!(left.to_string().parse().as_ref(), Ok(&left));

    let rest = input.rest();
    if let Some((position, tail)) = Position::split_key(rest) {
        assert_eq!([&position.to_key(), tail].concat(), rest, "two keys for one position");
    }
    let Ok(text) = std::str::from_utf8(rest) else { return };
    if let Ok(position) = text.parse::<Position>() {
        assert_eq!(position.to_string(), text, "two names for one position");
    }
    if let Ok(version) = text.parse::<ResourceVersion>() {
        assert_eq!(version.to_string(), text);
    }
    if let Ok(stream) = text.parse::<StreamId>() {
        assert_eq!(stream.to_string(), text);
        assert!(Path::new(text).components().count() == 1, "no name of a directory: {text:?}");
        if let Some(namespace) = stream.namespace() {
            assert_eq!(StreamId::of_namespace(namespace).as_ref(), Ok(&stream));
        }
    }
}

/// Generation and digits: few generations, so that order within one is tried most.
fn any_position(input: &mut Input<'_>) -> Position {
    let generation = match input.byte() {
        few @ 0..=3 => few.into(),
        _ => u32::from(input.word()) << 16 | u32::from(input.word()),
    };
    let length = input.byte().max(1).into();
    let mut digits: String =
        input.bytes(length).iter().map(|byte| char::from(b'0' + byte % 10)).collect();
    if !digits.starts_with(|first| first > '0') {
        digits.insert(0, '1');
    }
    digits.truncate(ResourceVersion::MAX_DIGITS);
    let version = digits.parse().unwrap_or_else(|_| ResourceVersion::first());
    Position::new(Generation(generation), version)
}

/// Seals and the identity of a directory: any bytes, with the checksum as it is and as it should be.
pub(crate) fn stored(data: &[u8]) {
    if let Some(seal) = Seal::from_bytes(data) {
        assert_eq!(seal.to_bytes().ok().as_deref().and_then(Seal::from_bytes), Some(seal));
    }
    if data.len() >= 5 {
        let mut sealed = data.to_vec();
        let sum = crc32fast::hash(&sealed[5..]);
        sealed[1..5].copy_from_slice(&sum.to_le_bytes());
        if let Some(seal) = Seal::from_bytes(&sealed) {
            let _time = seal.sealed_at();
        }
    }
    with_file("relay.json", data, |directory| {
        // Whether it is refused depends on the bytes.
        drop(DataDirectory::check(directory, Some("a cluster")));
    });
}

/// Calls `check` with a directory that holds a file of this name and content.
pub(crate) fn with_file(name: &str, content: &[u8], check: impl FnOnce(&Path)) {
    let directory = Scratch::new();
    let written = std::fs::write(directory.0.join(name), content);
    assert!(written.is_ok(), "{written:?}");
    check(&directory.0);
}

/// A directory for one input.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("kube-event-relay-fuzz-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let made = std::fs::create_dir_all(&path);
        assert!(made.is_ok(), "{}: {made:?}", path.display());
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays behind is in the directory for temporary files.
        let _removed = std::fs::remove_dir_all(&self.0);
    }
}

/// What the log should hold.
#[derive(Default)]
struct Model {
    /// Version and body of each record that was accepted, trimmed ones excepted.
    records: Vec<(Position, Bytes)>,
    /// Highest position appended.
    highest: Option<Position>,
    /// Number of records accepted.
    sequence: u64,
}

/// The log as a whole: whatever is asked of it, a list in memory gives the same answers.
pub(crate) fn operations(data: &[u8]) {
    let Ok(runtime) =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()
    else {
        panic!("a runtime");
    };
    runtime.block_on(run_operations(Input::new(data)));
}

/// Most operations of one input: the log is real, and an input should take milliseconds.
const OPERATIONS: usize = 40;

#[allow(clippy::expect_used)] // an error here is a finding
async fn run_operations(mut input: Input<'_>) {
    let directory = Scratch::new();
    let mut model = Model::default();
    let (mut log, mut stream) = open(&directory.0);
    for _ in 0..OPERATIONS {
        if input.is_empty() {
            break;
        }
        match input.byte() % 8 {
            0..=2 => append(&mut input, &stream, &mut model).await,
            3 => {
                let to = next_position(&mut input, &model);
                stream.append(Entry::Advance(to.clone())).await.expect("advance");
                model.highest = model.highest.max(Some(to));
            }
            4 => check_frontier(&stream, &model).await,
            5 => {
                log.close().await.expect("close");
                drop((log, stream));
                (log, stream) = open(&directory.0);
                check_all(&stream, &model, None).await;
            }
            6 => trim(&mut input, &stream, &mut model).await,
            _ => {
                stream.sync().await.expect("sync");
                let after = pick(&mut input, &model);
                check_all(&stream, &model, after).await;
            }
        }
    }
    check_frontier(&stream, &model).await;
    check_all(&stream, &model, None).await;
    log.close().await.expect("close");
}

#[allow(clippy::expect_used)]
fn open(path: &Path) -> (Log, Stream) {
    let directory = DataDirectory::open(path, Duration::from_secs(5)).expect("the directory");
    let log = Log::open(Arc::new(directory), Arc::new(Metrics::default())).expect("the log");
    let stream = log.stream(&StreamId::all_namespaces()).expect("the stream");
    (log, stream)
}

/// Mostly above everything there is; sometimes at or below it, which the log has to drop.
fn next_position(input: &mut Input<'_>, model: &Model) -> Position {
    let step = input.byte();
    let (generation, version) = match &model.highest {
        Some(highest) => {
            (highest.generation.0, highest.resource_version.as_str().parse().unwrap_or(0u64))
        }
        None => (0, 0),
    };
    match step {
        250 => position(generation + 1, 1),
        240.. => position(generation, version.saturating_sub(u64::from(step - 240))),
        _ => position(generation, version + 1 + u64::from(step)),
    }
}

#[allow(clippy::expect_used)]
async fn append(input: &mut Input<'_>, stream: &Stream, model: &mut Model) {
    for _ in 0..=input.byte() % 4 {
        let position = next_position(input, model);
        let record = NewRecord { position: position.clone(), ..new_record(input, 1) };
        let body = record.body.clone();
        stream.append(Entry::Record(record)).await.expect("append");
        if model.highest.as_ref().is_none_or(|highest| position > *highest) {
            model.highest = Some(position.clone());
            model.records.push((position, body));
            model.sequence += 1;
        }
    }
}

#[allow(clippy::expect_used)]
async fn check_frontier(stream: &Stream, model: &Model) {
    stream.sync().await.expect("sync");
    let frontier = stream.frontier();
    assert_eq!(frontier.as_ref().map(|frontier| &frontier.position), model.highest.as_ref());
    assert_eq!(frontier.map_or(0, |frontier| frontier.sequence), model.sequence);
}

#[allow(clippy::expect_used)]
async fn trim(input: &mut Input<'_>, stream: &Stream, model: &mut Model) {
    let Some(to) = pick(input, model) else { return };
    let trimmed = stream.trim(&to).await.expect("trim");
    let count = usize::try_from(trimmed.records).expect("a count");
    let gone: Vec<_> = model.records.drain(..count).collect();
    assert!(gone.iter().all(|(position, _)| *position <= to), "trimmed beyond {to}");
}

/// The position of a record, or one beside it.
fn pick(input: &mut Input<'_>, model: &Model) -> Option<Position> {
    let at = usize::from(input.byte());
    let records = model.records.len();
    (at < 250 && records > 0).then(|| model.records[at % records].0.clone())
}

/// Everything above `after` is read, in order, and nothing else; each record is found alone, too.
#[allow(clippy::expect_used)]
async fn check_all(stream: &Stream, model: &Model, after: Option<Position>) {
    let durable = stream.frontier().map(|frontier| frontier.position);
    let mut reader = stream.reader(after.clone());
    let mut found = Vec::new();
    while let Some(chunk) = reader.try_next().await.expect("read") {
        let Chunk::Records { records, .. } = chunk else {
            panic!("nothing was damaged: {chunk:?}")
        };
        found.extend(records.iter().map(|record| (record.position.clone(), record.body.clone())));
    }
    let wanted = |(position, _): &&(Position, Bytes)| {
        after.as_ref().is_none_or(|after| position > after)
            && durable.as_ref().is_some_and(|durable| position <= durable)
    };
    let expected: Vec<_> = model.records.iter().filter(wanted).cloned().collect();
    assert_eq!(found, expected);
    if let Some((position, body)) = expected.last() {
        let record = stream.get(position).await.expect("get").expect("the record");
        assert_eq!((&record.position, &record.body), (position, body));
    }
    assert!(stream.take_damages().is_empty());
}
