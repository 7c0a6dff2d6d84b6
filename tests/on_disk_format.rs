//! Every format a release has ever written stays readable, and `docs/on-disk-format.md` describes it.
//!
//! `migrations/` keeps a golden data directory of each format, for ever. Here each is opened by the
//! program, and read by a second program that was written from the description alone; both have to
//! find every byte that was stored.

#![allow(clippy::expect_used)] // a test fails where an expectation is not met

mod stored;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use kube_event_relay::cursor::{AuditEntry, Group, Usage};
use kube_event_relay::event::{Position, StreamId};
use stored::independent;
use stored::{check, contents, package};

/// Golden data directories, oldest format first.
const GOLDEN: [&str; 2] = ["0001-initial", "0002-segment-heads"];

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_of_every_format_opens_and_holds_what_was_stored() {
    for folder in GOLDEN {
        let directory = package::unpack(folder);
        check::check(directory.path()).await;
    }
}

#[test]
fn the_description_is_enough_to_read_a_directory_of_every_format() {
    for (format, folder) in (1..).zip(GOLDEN) {
        let directory = package::unpack(folder);
        let (found, cluster) = independent::identity(directory.path());
        assert_eq!((found, cluster.as_deref()), (format, Some(contents::CLUSTER)));
        read_by_description(directory.path());
    }
}

/// What the program writes now, and what it makes of older directories.
#[tokio::test(flavor = "multi_thread")]
async fn the_description_is_enough_to_read_what_is_written_now() {
    let directory = tempfile::tempdir().expect("a folder");
    check::fill(directory.path()).await;
    read_by_description(directory.path());
    read_newer_entries(directory.path());
    for folder in GOLDEN {
        let directory = package::unpack(folder);
        check::check(directory.path()).await;
        read_by_description(directory.path());
    }
}

/// Run by hand, once, when a format is new: makes its golden data directory.
///
/// `cargo test --test on_disk_format makes_a_golden -- --ignored --nocapture` says where it is.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "makes the golden directory of the current format"]
async fn makes_a_golden_directory() {
    let directory = tempfile::tempdir().expect("a folder");
    check::fill(directory.path()).await;
    check::check(directory.path()).await;
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fixture.tar.zst");
    package::pack(directory.path(), &file);
    let bytes = fs::metadata(&file).expect("packed").len();
    println!("{} holds the current format in {bytes} bytes", file.display());
}

/// Compares what the independent reader finds with what was stored.
fn read_by_description(directory: &Path) {
    for id in [contents::everything(), contents::shop()] {
        let segments = independent::segments(&directory.join("streams").join(id.as_str()));
        let found = independent::records(&segments);
        let expected = contents::records(&id);
        assert_eq!(found.len(), expected.len());
        for ((generation, found), record) in found.iter().zip(&expected) {
            let position = position(&record.position);
            assert_eq!((*generation, found.version.clone()), position);
            assert!(*found == independent_record(record), "{position:?}");
        }
        let last = segments.last().and_then(|segment| segment.blocks.last()).expect("a block");
        assert_eq!((last.generation, last.end.clone()), position(&contents::frontier(&id)));
    }
    let state = independent::state(&independent::database(&directory.join("state")));
    let gaps =
        [contents::shop(), contents::everything()].map(|id| (id.clone(), contents::gaps(&id)));
    let gaps: BTreeMap<_, _> = gaps.into_iter().collect();
    let expected: Vec<_> =
        gaps.iter().flat_map(|(id, gaps)| gaps.iter().map(|gap| gap_of(id, gap))).collect();
    assert_eq!(state.gaps, expected);
    for id in [contents::everything(), contents::shop()] {
        let mark = independent::Mark {
            complete_until: contents::complete_until(&id).map(jiff::Timestamp::as_millisecond),
            frontier: Some(position(&contents::frontier(&id))),
        };
        assert_eq!(state.marks[id.as_str()], mark);
    }
    let letters: Vec<_> =
        ["archive", "oncall"].into_iter().flat_map(contents::letters).map(letter_of).collect();
    // In the database, names are ordered by their length first.
    let mut found = state.letters;
    found.sort_by(|left, right| left.sink.cmp(&right.sink));
    assert!(found == letters, "dead letters");
    let (revision, copy) =
        independent::copy(&fs::read(directory.join("cursors.json")).expect("a copy"));
    assert_eq!(revision, state.revision);
    assert_eq!((copy.len(), state.cursors.len()), (3, 3));
    for (sink, id, cursor) in contents::cursors() {
        let key = (sink.to_owned(), id.to_string());
        let found = &state.cursors[&key];
        assert_eq!(found.position, cursor.position.as_ref().map(position));
        assert_eq!(
            (found.sequence, found.updated_at),
            (cursor.sequence, cursor.updated_at.as_millisecond())
        );
        let text = cursor.position.as_ref().map(ToString::to_string);
        assert_eq!(copy[&key], (text, cursor.sequence, cursor.updated_at.to_string()));
    }
}

/// The same for entries that older golden directories do not have.
fn read_newer_entries(directory: &Path) {
    let state = independent::state(&independent::database(&directory.join("state")));
    let usages = contents::usages().into_iter().map(|(quota, usage)| {
        let Usage { messages, under_way, closed_until } = usage;
        let usage = independent::Usage {
            messages: messages.into_iter().map(jiff::Timestamp::as_millisecond).collect(),
            under_way,
            closed_until: closed_until.map(jiff::Timestamp::as_millisecond),
        };
        (quota.to_owned(), usage)
    });
    assert_eq!(state.usages, usages.collect());
    let everything = contents::everything();
    let ahead = contents::ahead("archive", &everything).iter().map(position).collect();
    let key = ("archive".to_owned(), everything.to_string());
    assert_eq!(state.ahead, BTreeMap::from([(key, ahead)]));
    let groups = contents::groups("oncall").into_iter();
    let groups =
        groups.filter_map(|(place, kept)| Some((("oncall".to_owned(), place), group(&kept?))));
    assert_eq!(state.groups, groups.collect());
    assert_eq!(state.paused, contents::PAUSED);
    let changes = contents::changes().into_iter().zip(0..);
    let changes = changes.map(|(change, number)| {
        let AuditEntry { at, from, action, subject, before, after, effect } = change;
        (number, (at.as_millisecond(), [from, action, subject, before, after, effect]))
    });
    assert_eq!(state.changes, changes.collect());
}

fn group(group: &Group) -> independent::Group {
    let Group { id, newest, records, first, last, due } = group;
    independent::Group {
        id: *id,
        stream: newest.stream.to_string(),
        position: position(&newest.position),
        received_at: newest.received_at.as_millisecond(),
        event: String::from_utf8(newest.body.to_vec()).expect("UTF-8"),
        records: *records,
        first: first.as_millisecond(),
        last: last.as_millisecond(),
        due: due.as_millisecond(),
    }
}

/// The examples of the description, read by it.
/// A position of the description.
fn at(version: &str) -> independent::Position {
    (3, version.to_owned())
}

/// The group of the description.
fn group_example() -> independent::Group {
    independent::Group {
        id: [7; 16],
        stream: "all-namespaces".to_owned(),
        position: at("4711"),
        received_at: 1_700_000_000_123,
        event: r#"{"kind":"Event"}"#.to_owned(),
        records: 2,
        first: 1_700_000_000_123,
        last: 1_700_000_000_456,
        due: 1_700_000_060_456,
    }
}

/// The replay of the description.
fn replay() -> independent::Replay {
    let place = |version, sequence| (Some(at(version)), sequence);
    let stream = "all-namespaces".to_owned();
    independent::Replay {
        sink: "oncall".to_owned(),
        ranges: vec![(stream, place("4711", 1_234_567), place("4800", 1_234_600))],
        filter: r#"{"type":["Warning"]}"#.to_owned(),
        records: 20,
        per: 1_000,
        asked_at: 1_700_000_000_123,
        asked_by: "127.0.0.1:40000".to_owned(),
        lost: 2,
        end: Some((1_700_000_000_456, false, 33)),
    }
}

#[test]
fn the_examples_of_the_description_are_right() {
    let header = ["6f1c", "Warning", "BackOff", "Pod", "shop", "cart-0"].map(ToOwned::to_owned);
    let record = independent::Record {
        version: "4711".to_owned(),
        received_at: 1_700_000_000_123,
        header,
        body: br#"{"kind":"Event","count":300}"#.to_vec(),
    };
    let block = independent::Block {
        number: 70_000,
        sequence: 1_234_567,
        generation: 3,
        end: "4800".to_owned(),
        written_at: 1_700_000_000_456,
        records: vec![record.clone()],
    };
    assert_eq!(independent::blocks(&pairs("block")), [block]);
    let seal = independent::Seal {
        last: at("4800"),
        last_number: 70_000,
        first_sequence: 1_234_000,
        end_sequence: 1_234_567,
        sealed_at: 1_700_000_000_789,
    };
    assert_eq!(independent::seal(&example("seal")[0]), seal);
    let head = independent::Head { first_number: 70_000, first_sequence: 1_234_567 };
    assert_eq!(independent::head(&example("head")[0]), head);

    let all: independent::Pairs = [
        "cursor", "gap", "mark", "revision", "letter", "usage", "ahead", "group", "paused",
        "change", "replay",
    ]
    .into_iter()
    .flat_map(pairs)
    .collect();
    let state = independent::state(&all);
    let cursor = independent::Cursor {
        position: Some(at("4711")),
        sequence: 1_234_567,
        updated_at: 1_700_000_000_456,
    };
    let (sink, stream) = ("oncall".to_owned(), "all-namespaces".to_owned());
    assert_eq!(state.cursors, BTreeMap::from([((sink.clone(), stream.clone()), cursor)]));
    let gap = independent::Gap {
        after: Some(at("4711")),
        until: at("4800"),
        from: Some(1_700_000_000_123),
        to: 1_700_000_000_456,
        cause: "stopped for 2 h".to_owned(),
    };
    assert_eq!(state.gaps, [(stream.clone(), gap)]);
    let mark =
        independent::Mark { complete_until: Some(1_700_000_000_456), frontier: Some(at("4800")) };
    assert_eq!(state.marks, BTreeMap::from([(stream.clone(), mark)]));
    assert_eq!(state.revision, 70_000);
    let usage = independent::Usage {
        messages: vec![1_700_000_000_123, 1_700_000_000_456],
        under_way: true,
        closed_until: Some(1_700_000_060_456),
    };
    let quota = "dingtalk:1a7674eb4ee78df7".to_owned();
    assert_eq!(state.usages, BTreeMap::from([(quota, usage)]));
    let ahead = BTreeMap::from([((sink.clone(), stream.clone()), vec![at("4715"), at("4720")])]);
    assert_eq!(state.ahead, ahead);
    assert_eq!(state.groups, BTreeMap::from([((sink.clone(), 3), group_example())]));
    assert_eq!(state.paused, ["oncall"]);
    let texts = ["10.0.0.7:4711", "cursor pause", "oncall", "running", "paused", "waits"];
    let change = (1_700_000_000_456, texts.map(str::to_owned));
    assert_eq!(state.changes, BTreeMap::from([(7, change)]));
    assert_eq!(state.replays, BTreeMap::from([(1, replay())]));
    let reason = "400 Bad Request".to_owned();
    let letter = independent::Letter {
        sink,
        stream,
        position: at("4711"),
        reason,
        attempts: 1,
        times: [1_700_000_000_789; 2],
        record,
    };
    let again = independent::Letter {
        attempts: 2,
        times: [1_700_000_000_789, 1_700_000_060_789],
        ..independent::state(&all).letters.pop().expect("the same letter")
    };
    assert_eq!(state.letters, [letter]);
    let mut both = pairs("letter-note");
    both.extend(pairs("letter-record"));
    assert_eq!(independent::state(&both).letters, [again]);

    let text = description();
    let mut shown = text.split("```json\n").filter_map(|text| text.split("```").next());
    let copy = shown.find(|shown| shown.contains("checksum")).expect("an example");
    let (revision, cursors) = independent::copy(copy.as_bytes());
    assert_eq!((revision, cursors.len()), (70_001, 1));
}

fn description() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/on-disk-format.md");
    fs::read_to_string(path).expect("the description")
}

/// The bytes of an example: key and value, or a file alone.
fn example(name: &str) -> Vec<Vec<u8>> {
    let text = description();
    let (_, rest) = text.split_once(&format!("```hex {name}\n")).expect(name);
    let (shown, _) = rest.split_once("```").expect("its end");
    let bytes = |paragraph: &str| {
        let digits: String = paragraph.split_whitespace().collect();
        let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal digits");
        (0..digits.len()).step_by(2).map(byte).collect()
    };
    shown.split("\n\n").map(bytes).collect()
}

fn pairs(name: &str) -> independent::Pairs {
    let [key, value] = example(name).try_into().expect("a key and a value");
    BTreeMap::from([(key, value)])
}

fn position(position: &Position) -> independent::Position {
    (position.generation.0, position.resource_version.as_str().to_owned())
}

fn independent_record(record: &kube_event_relay::event::Record) -> independent::Record {
    let header = record.header.clone();
    independent::Record {
        version: record.position.resource_version.as_str().to_owned(),
        received_at: record.received_at.as_millisecond(),
        header: [
            header.uid,
            header.event_type,
            header.reason,
            header.kind,
            header.namespace,
            header.name,
        ],
        body: record.body.to_vec(),
    }
}

fn gap_of(id: &StreamId, gap: &kube_event_relay::log::Gap) -> (String, independent::Gap) {
    let gap = independent::Gap {
        after: gap.after.as_ref().map(position),
        until: position(&gap.until),
        from: gap.from_time.map(jiff::Timestamp::as_millisecond),
        to: gap.to_time.as_millisecond(),
        cause: gap.cause.clone(),
    };
    (id.to_string(), gap)
}

fn letter_of(letter: kube_event_relay::cursor::DeadLetter) -> independent::Letter {
    independent::Letter {
        sink: letter.sink,
        stream: letter.record.stream.to_string(),
        position: position(&letter.record.position),
        reason: letter.reason,
        attempts: letter.attempts,
        times: [letter.first_at, letter.last_at].map(jiff::Timestamp::as_millisecond),
        record: independent_record(&letter.record),
    }
}
