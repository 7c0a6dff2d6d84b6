//! The format of the state, pinned: bytes that format 1 has written stay readable for ever, and what a
//! newer version has written is refused and left where it is.
//!
//! A test that fails here means a new format: a new version byte, and a step in `migrations/`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;

use super::{
    AuditEntry, Cursor, DeadLetter, Group, Place, Replay, ReplayEnd, ReplayRange, State, Usage,
};
use crate::event::{Header, Position, Record, StreamId};
use crate::log::{DataDirectory, Database, Gap, LogError, SEGMENT_TUNING};

/// Key and value of each kind of entry.
const CURSOR: [&str; 2] = [
    "0400066f6e63616c6c000e616c6c2d6e616d65737061636573",
    "0101030434373131fc87d61200fd90d3ca9f17030000",
];
const GAP: [&str; 2] = [
    "02000e616c6c2d6e616d65737061636573000000030434383030",
    "010103043437313103043438303001fdf6d0ca9f17030000fd90d3ca9f170300000f73746f7070656420666f7220322068",
];
const MARK: [&str; 2] =
    ["03000e616c6c2d6e616d65737061636573", "0101fd90d3ca9f1703000001030434383030"];
const REVISION: [&str; 2] = ["05", "01fc70110100"];
const LETTER: [&str; 2] = [
    "0100066f6e63616c6c000e616c6c2d6e616d657370616365730000000304343731310000",
    "01960000001a000000010f343030204261642052657175657374fd2ad6ca9f170300000001030434373131fdf6d0ca9f17\
     03000001353e1c28b52ffd2035a90100010434373131fdf6d0ca9f170300000436663163075761726e696e67074261636b4f\
     666603506f640473686f7006636172742d301c28b52ffd201ce100007b226b696e64223a224576656e74222c22636f756e74\
     223a3330307d",
];
/// The same as format 2 has it: part 0 and part 1.
const LETTER_2: [[&str; 2]; 2] = [
    [
        "0100066f6e63616c6c000e616c6c2d6e616d657370616365730000000304343731310000",
        "02010078000000010f34303020426164205265717565737402fd2ad6ca9f17030000fdeaaacc9f17030000",
    ],
    [
        "0100066f6e63616c6c000e616c6c2d6e616d657370616365730000000304343731310001",
        "0001030434373131fdf6d0ca9f1703000001353e1c28b52ffd2035a90100010434373131fdf6d0ca9f1703000004\
         36663163075761726e696e67074261636b4f666603506f640473686f7006636172742d301c28b52ffd201ce10000\
         7b226b696e64223a224576656e74222c22636f756e74223a3330307d",
    ],
];
const USAGE: [&str; 2] = [
    "06001964696e6774616c6b3a31613736373465623465653738646637",
    "0102fdf6d0ca9f17030000fb9a020101fd50a8cc9f17030000",
];
const AHEAD: [&str; 2] =
    ["0700066f6e63616c6c000e616c6c2d6e616d65737061636573", "0102030434373135030434373230"];
const GROUP: [&str; 2] = [
    "0800066f6e63616c6c0003",
    "0101070707070707070707070707070707070e616c6c2d6e616d65737061636573030434373131fdf6d0ca9f17\
     030000107b226b696e64223a224576656e74227d02fdf6d0ca9f17030000fd90d3ca9f17030000fd50a8cc9f17\
     030000",
];
const PAUSED: [&str; 2] = ["0900066f6e63616c6c", "01"];
const AUDIT: [&str; 2] = [
    "0a0000000000000007",
    "01fd90d3ca9f170300000d31302e302e302e373a343731310c637572736f72207061757365066f6e63616c6c0772\
     756e6e696e6706706175736564057761697473",
];
const REPLAY: [&str; 2] = [
    "0c0000000000000001",
    "01066f6e63616c6c010e616c6c2d6e616d6573706163657301030434373131fc87d6120001030434383030fca8d61200\
     147b2274797065223a5b225761726e696e67225d7d14fbe803fdf6d0ca9f170300000f3132372e302e302e313a343030\
     30300201fd90d3ca9f170300000021",
];
const ENTRIES: [[&str; 2]; 11] =
    [CURSOR, GAP, MARK, REVISION, LETTER, USAGE, AHEAD, GROUP, PAUSED, AUDIT, REPLAY];

/// The quota of `USAGE`.
const QUOTA: &str = "dingtalk:1a7674eb4ee78df7";

const COPY: &str = r#"{
  "format": 1,
  "checksum": 3812120273,
  "content": {
    "revision": 70001,
    "cursors": [
      {
        "sink": "oncall",
        "stream": "all-namespaces",
        "position": "3.4711",
        "sequence": 1234567,
        "updatedAt": "2023-11-14T22:13:20.456Z"
      }
    ]
  }
}
"#;

fn bytes(hex: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal digits");
    (0..hex.len()).step_by(2).map(byte).collect()
}

fn time(after: i64) -> Timestamp {
    Timestamp::from_millisecond(1_700_000_000_000 + after).expect("time")
}

fn position(version: &str) -> Position {
    format!("3.{version}").parse().expect("position")
}

fn cursor() -> Cursor {
    Cursor { position: Some(position("4711")), sequence: 1_234_567, updated_at: time(456) }
}

fn letter() -> DeadLetter {
    let header = Header {
        uid: "6f1c".into(),
        event_type: "Warning".into(),
        reason: "BackOff".into(),
        kind: "Pod".into(),
        namespace: "shop".into(),
        name: "cart-0".into(),
    };
    let record = Record {
        stream: StreamId::all_namespaces(),
        position: position("4711"),
        received_at: time(123),
        header,
        body: Bytes::from_static(br#"{"kind":"Event","count":300}"#),
    };
    let (sink, reason) = ("oncall".to_owned(), "400 Bad Request".to_owned());
    DeadLetter::new(sink, record, reason, time(789))
}

fn group() -> Group {
    let newest = Record {
        stream: StreamId::all_namespaces(),
        position: position("4711"),
        received_at: time(123),
        header: Header::default(),
        body: Bytes::from_static(br#"{"kind":"Event"}"#),
    };
    let (first, last, due) = (time(123), time(456), time(60_456));
    Group { id: [7; 16], newest, records: 2, first, last, due }
}

fn gap() -> Gap {
    Gap {
        after: Some(position("4711")),
        until: position("4800"),
        from_time: Some(time(123)),
        to_time: time(456),
        cause: "stopped for 2 h".into(),
    }
}

fn usage() -> Usage {
    Usage {
        messages: vec![time(123), time(456)],
        under_way: true,
        closed_until: Some(time(60_456)),
    }
}

fn ahead() -> Vec<Position> {
    vec![position("4715"), position("4720")]
}

fn change() -> AuditEntry {
    AuditEntry {
        at: time(456),
        from: "10.0.0.7:4711".to_owned(),
        action: "cursor pause".to_owned(),
        subject: "oncall".to_owned(),
        before: "running".to_owned(),
        after: "paused".to_owned(),
        effect: "waits".to_owned(),
    }
}

fn replay() -> Replay {
    let place = |version, sequence| Place { position: Some(position(version)), sequence };
    let range = ReplayRange {
        stream: StreamId::all_namespaces(),
        after: place("4711", 1_234_567),
        until: place("4800", 1_234_600),
    };
    Replay {
        sink: "oncall".to_owned(),
        ranges: vec![range],
        filter: serde_json::from_str(r#"{"type":"Warning"}"#).expect("a match"),
        rate: "20/s".parse().expect("a rate"),
        asked_at: time(123),
        asked_by: "127.0.0.1:40000".to_owned(),
        lost: 2,
        end: Some(ReplayEnd { at: time(456), cancelled: false, passed: 33 }),
    }
}

/// The same record, refused a second time.
fn letter_of_format_2() -> DeadLetter {
    DeadLetter { attempts: 2, last_at: time(60_789), ..letter() }
}

/// A state database with these entries.
fn write(directory: &Path, entries: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>) {
    let database = Database::open(&directory.join("state"), SEGMENT_TUNING).expect("open");
    for (key, value) in entries {
        database.insert(&key, &value).expect("insert");
    }
    database.commit().expect("commit");
}

fn entries() -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    ENTRIES.into_iter().map(|[key, value]| (bytes(key), bytes(value)))
}

fn open(directory: &Path) -> Result<State, LogError> {
    let directory = DataDirectory::open(directory, Duration::ZERO).expect("directory");
    State::open(Arc::new(directory))
}

#[tokio::test]
async fn entries_of_format_1_read_back() {
    let directory = tempfile::tempdir().expect("tempdir");
    write(directory.path(), entries());
    let state = open(directory.path()).expect("readable");
    let stream = StreamId::all_namespaces();
    assert_eq!(state.cursors(), [("oncall".to_owned(), stream.clone(), cursor())]);
    assert_eq!(state.gaps(&stream), [gap()]);
    assert_eq!(state.complete_until(&stream), Some(time(456)));
    assert_eq!(state.noted_frontier(&stream), Some(position("4800")));
    assert_eq!(state.dead_letters("oncall", 10).await.expect("read"), [letter()]);
    assert_eq!(state.usage(QUOTA), Some(usage()));
    assert_eq!(state.ahead("oncall", &stream), ahead());
    assert_eq!(state.groups("oncall"), [(3, group())]);
    assert_eq!(state.grouped("oncall"), 2);
    assert!(state.is_paused("oncall") && !state.is_paused("archive"));
    assert_eq!(state.changes(), [change()]);
    assert_eq!(state.replays(), [(1, replay())]);
    state.close().await.expect("close");
}

#[tokio::test]
async fn a_letter_of_format_2_reads_back() {
    let directory = tempfile::tempdir().expect("tempdir");
    write(directory.path(), LETTER_2.map(|[key, value]| (bytes(key), bytes(value))));
    let state = open(directory.path()).expect("readable");
    let letters = state.dead_letters("oncall", 10).await.expect("read");
    assert_eq!(letters, [letter_of_format_2()]);
    state.close().await.expect("close");
}

#[tokio::test]
async fn entries_are_written_as_format_1_was() {
    let directory = tempfile::tempdir().expect("tempdir");
    let state = open(directory.path()).expect("new");
    let stream = StreamId::all_namespaces();
    state.move_cursor_with("oncall", &stream, cursor(), ahead());
    state.note_usage(QUOTA, usage());
    state.put_groups("oncall", vec![(3, Some(group()))]);
    state.set_paused("oncall", true);
    // The number of the one that is shown.
    for _ in 0..7 {
        state.note_change(change());
    }
    state.note_change(change());
    assert_eq!(state.add_replay(replay()), 1);
    state.set_complete_until(&stream, time(456));
    state.note_frontier(&stream, &position("4800"));
    state.report_gap(&stream, gap()).expect("report");
    state.close().await.expect("close");
    let path = directory.path().join("state");
    let database = Database::open_existing(&path, SEGMENT_TUNING).expect("open");
    for [key, value] in [CURSOR, GAP, MARK, USAGE, AHEAD, GROUP, PAUSED, AUDIT, REPLAY] {
        let stored = database.get(&bytes(key)).expect("read").expect(key);
        assert_eq!(&stored[..], bytes(value), "{key}");
    }
    let pairs: Vec<_> = letter_of_format_2().pairs().expect("encoded").into_iter().collect();
    assert_eq!(pairs[0], (bytes(LETTER_2[0][0]), bytes(LETTER_2[0][1])));
    // zstd may compress in another way one day; what it has compressed stays readable.
    assert_eq!(pairs[1].0, bytes(LETTER_2[1][0]));
    assert_eq!(pairs.len(), 2);
}

#[tokio::test]
async fn cursors_of_a_copy_of_format_1_are_taken() {
    let directory = tempfile::tempdir().expect("tempdir");
    write(directory.path(), [(bytes(REVISION[0]), bytes(REVISION[1]))]);
    let sum = crc32fast::hash(
        br#"{"revision":70001,"cursors":[{"sink":"oncall","stream":"all-namespaces","position":"3.4711","sequence":1234567,"updatedAt":"2023-11-14T22:13:20.456Z"}]}"#,
    );
    assert!(COPY.contains(&format!("\"checksum\": {sum},")), "{sum}");
    std::fs::write(directory.path().join("cursors.json"), COPY).expect("write");
    let state = open(directory.path()).expect("readable");
    assert_eq!(state.cursor("oncall", &StreamId::all_namespaces()), Some(cursor()));
    state.close().await.expect("close");
    let written = std::fs::read_to_string(directory.path().join("cursors.json")).expect("read");
    let shape = |text: &str| text.replace(|c: char| c.is_ascii_digit(), "");
    assert_eq!(shape(&written), shape(COPY));
}

/// It is intact: moving it aside would lose it for the version that can read it.
#[tokio::test]
async fn a_newer_entry_is_refused_and_left_where_it_is() {
    for newer in [CURSOR, GAP, MARK, REVISION, USAGE, AHEAD, GROUP, PAUSED, AUDIT, REPLAY] {
        let directory = tempfile::tempdir().expect("tempdir");
        let mut value = bytes(newer[1]);
        value[0] = 2;
        write(directory.path(), entries().chain([(bytes(newer[0]), value.clone())]));
        let error = open(directory.path()).expect_err("newer");
        assert!(matches!(error, LogError::NewerEntry { found: 2, known: 1, .. }), "{error}");
        assert!(error.to_string().contains("run the newer version again"), "{error}");
        let path = directory.path().join("state");
        let database = Database::open_existing(&path, SEGMENT_TUNING).expect("where it was");
        assert_eq!(&database.get(&bytes(newer[0])).expect("read").expect("kept")[..], value);
    }
}

#[tokio::test]
async fn a_newer_dead_letter_is_not_taken_for_damage() {
    let directory = tempfile::tempdir().expect("tempdir");
    let mut value = bytes(LETTER[1]);
    value[0] = 3;
    write(directory.path(), entries().chain([(bytes(LETTER[0]), value)]));
    let state = open(directory.path()).expect("cursors are readable");
    let error = state.dead_letters("oncall", 10).await.expect_err("newer");
    assert!(matches!(error, LogError::NewerEntry { what: "a dead letter", .. }), "{error}");
    state.close().await.expect("close");
}

#[test]
fn the_description_shows_these_bytes() {
    let description = include_str!("../../docs/on-disk-format.md");
    let plain: String = description.split_whitespace().collect();
    for text in ENTRIES.as_flattened().iter().chain(LETTER_2.as_flattened()) {
        assert!(plain.contains(text), "{text}");
    }
    assert!(description.contains(COPY), "{COPY}");
}
