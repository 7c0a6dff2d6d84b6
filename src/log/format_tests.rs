//! The on-disk format, pinned: bytes that format 1 has written stay readable for ever.
//!
//! A test that fails here means a new format: a new version byte, and a step in `migrations/`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;

use super::block::{self, Block, BlockError};
use super::head::Head;
use super::outline::Outline;
use super::segment::{Seal, Segment};
use super::{DataDirectory, Log, LogError};
use crate::event::{Generation, Header, Position, Record, StreamId};

const BLOCK_KEY: &str = "0000000304343731310000";
const BLOCK_VALUE: &str = "0179a5bc2f0100fc70110100fc87d61200030434383030fd90d3ca9f1703000001\
    353e1c28b52ffd2035a90100010434373131fdf6d0ca9f170300000436663163075761726e696e67074261636b4f66\
    6603506f640473686f7006636172742d301c28b52ffd201ce100007b226b696e64223a224576656e74222c22636f75\
    6e74223a3330307d";
const SEAL: &str = "015d39a0e7030434383030fc70110100fc50d41200fc87d61200fd2ad6ca9f17030000";
const HEAD: &str = "013af78503fc70110100fc87d61200";

fn position(version: &str) -> Position {
    Position::new(Generation(3), version.parse().expect("version"))
}

fn time(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(milliseconds).expect("time")
}

fn block() -> Block {
    let record = Record {
        stream: StreamId::all_namespaces(),
        position: position("4711"),
        received_at: time(1_700_000_000_123),
        header: Header {
            uid: "6f1c".into(),
            event_type: "Warning".into(),
            reason: "BackOff".into(),
            kind: "Pod".into(),
            namespace: "shop".into(),
            name: "cart-0".into(),
        },
        body: Bytes::from_static(br#"{"kind":"Event","count":300}"#),
    };
    let (number, sequence, written_at) = (70_000, 1_234_567, time(1_700_000_000_456));
    Block { number, sequence, end: position("4800"), written_at, records: vec![record] }
}

fn bytes(hex: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal digits");
    (0..hex.len()).step_by(2).map(byte).collect()
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string");
        text
    })
}

#[test]
fn a_block_of_format_1_reads_back() {
    let Block { records, .. } = block();
    let written = block().encode().pairs.remove(0);
    let stream = &records[0].stream;
    let (key, value) = (bytes(BLOCK_KEY), bytes(BLOCK_VALUE));
    let outline: Result<_, BlockError> = block::read(stream, &key, &value, |_| Ok(None));
    let read = outline.and_then(Outline::complete);
    assert_eq!(read, Ok(block()), "written now: {} {}", hex(&written.0), hex(&written.1));
    assert_eq!(written.0, key);
}

#[test]
fn a_seal_of_format_1_reads_back() {
    let directory = tempfile::tempdir().expect("tempdir");
    let seal = Seal::new(&block(), 1_234_000, time(1_700_000_000_789));
    seal.write(directory.path()).expect("write");
    let file = directory.path().join("seal");
    let written = std::fs::read(&file).expect("read");
    std::fs::write(&file, bytes(SEAL)).expect("write");
    let read = Seal::read(directory.path()).expect("read");
    assert_eq!(read, Some(seal), "written now: {}", hex(&written));
}

#[test]
fn a_head_of_format_1_reads_back() {
    let directory = tempfile::tempdir().expect("tempdir");
    let head = Head { first_number: 70_000, first_sequence: 1_234_567 };
    let file = directory.path().join("head");
    head.write(directory.path()).expect("write");
    assert_eq!(hex(&std::fs::read(&file).expect("read")), HEAD);
    std::fs::write(&file, bytes(HEAD)).expect("write");
    assert_eq!(Head::read(directory.path()).expect("read"), Some(head));
}

/// The key and a value that a newer version could have stored: intact, of format 2.
fn newer_block() -> (Vec<u8>, Vec<u8>) {
    let (key, mut value) = (bytes(BLOCK_KEY), bytes(BLOCK_VALUE));
    value[0] = 2;
    let mut sum = crc32fast::Hasher::new();
    for part in [&key, &value[..1], &value[5..]] {
        sum.update(part);
    }
    value[1..5].copy_from_slice(&sum.finalize().to_le_bytes());
    (key, value)
}

#[test]
fn an_intact_block_of_a_newer_format_is_not_taken_for_damage() {
    let directory = tempfile::tempdir().expect("tempdir");
    let stream = StreamId::all_namespaces();
    let segment = Segment::open(&stream, &directory.path().join("3.4711")).expect("open");
    segment.write(&block::Encoded { pairs: vec![newer_block()] }).expect("write");
    segment.commit().expect("commit");
    let error = segment.verify().expect_err("newer");
    assert!(matches!(error, LogError::NewerEntry { found: 2, known: 1, .. }), "{error}");
    assert!(error.to_string().contains("run the newer version again"), "{error}");
}

/// It is intact: moving it aside would lose it for the version that can read it.
#[tokio::test]
async fn a_segment_with_something_newer_in_it_is_refused_and_left_where_it_is() {
    let stream = StreamId::all_namespaces();
    let newer_seal = [&[2], &crc32fast::hash(b"\x02seal").to_le_bytes()[..], b"seal"].concat();
    for seal in [None, Some(newer_seal)] {
        let directory = tempfile::tempdir().expect("tempdir");
        let path = directory.path().join("streams/all-namespaces/3.4711");
        let directory = DataDirectory::open(directory.path(), Duration::ZERO).expect("directory");
        let segment = Segment::open(&stream, &path).expect("open");
        segment.write(&block::Encoded { pairs: vec![newer_block()] }).expect("write");
        segment.commit().expect("commit");
        drop(segment);
        if let Some(seal) = seal {
            std::fs::write(path.join("seal"), seal).expect("write");
        }
        let log = Log::open(Arc::new(directory), Arc::default()).expect("log");
        let error = log.stream(&stream).expect_err("newer");
        assert!(matches!(error, LogError::NewerEntry { found: 2, known: 1, .. }), "{error}");
        assert!(path.exists(), "left where it is");
    }
}

#[test]
fn a_changed_byte_is_damage_also_when_it_is_the_format() {
    let (key, mut value) = (bytes(BLOCK_KEY), bytes(BLOCK_VALUE));
    value[0] = 2;
    let outline: Result<_, BlockError> =
        block::read(&StreamId::all_namespaces(), &key, &value, |_| Ok(None));
    assert_eq!(outline.and_then(Outline::complete), Err(BlockError::Checksum));
}

#[test]
fn the_description_shows_these_bytes() {
    let description = include_str!("../../docs/on-disk-format.md");
    let plain: String = description.split_whitespace().collect();
    for text in [BLOCK_KEY, BLOCK_VALUE, SEAL, HEAD] {
        assert!(plain.contains(text), "{text}");
    }
}
