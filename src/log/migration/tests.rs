//! Steps as they are run: in order, interrupted anywhere, twice.

use std::fs;
use std::path::PathBuf;

use jiff::Timestamp;
use tempfile::TempDir;

use super::*;
use crate::event::{Generation, Header, Position, StreamId};
use crate::log::NewRecord;
use crate::log::block::{Block, Encoded};
use crate::log::head::Head;
use crate::log::identity::IDENTITY;
use crate::log::segment::Segment;

/// Segments of the directory: stream, first version, number of the first block.
const SEGMENTS: [(&str, u64, u64); 4] = [
    ("all-namespaces", 10, 0),
    ("all-namespaces", 20, 5),
    ("all-namespaces", 30, 9),
    ("namespace-shop", 10, 0),
];

fn stream(name: &str) -> StreamId {
    name.parse().expect("a stream")
}

fn path(directory: &TempDir, name: &str, first: u64) -> PathBuf {
    directory.path().join(format!("streams/{name}/0.{first}"))
}

fn block(name: &str, version: u64, number: u64) -> Block {
    let position = Position::new(Generation(0), version.to_string().parse().expect("a version"));
    let record = NewRecord {
        position: position.clone(),
        received_at: Timestamp::UNIX_EPOCH,
        header: Header::default(),
        body: vec![7; 10].into(),
    };
    Block::new(&stream(name), number, number * 10, position, Timestamp::UNIX_EPOCH, vec![record])
}

/// A segment with the pairs of a block in it.
fn segment(path: &Path, name: &str, encoded: &Encoded) {
    let segment = Segment::open(&stream(name), path).expect("open");
    segment.write(encoded).expect("write");
    segment.commit().expect("commit");
}

/// A directory of format 1.
fn old_directory() -> TempDir {
    let directory = tempfile::tempdir().expect("tempdir");
    fs::write(directory.path().join(IDENTITY), r#"{"format":1,"clusterUid":"6f1c"}"#)
        .expect("write");
    for (name, first, number) in SEGMENTS {
        let path = path(&directory, name, first);
        segment(&path, name, &block(name, first, number).encode());
    }
    // What is beside the segments is none of a step's business.
    fs::create_dir(directory.path().join("streams/all-namespaces/0.5.damaged")).expect("create");
    fs::write(directory.path().join("streams/all-namespaces/notes"), "").expect("write");
    directory
}

fn assert_migrated(directory: &TempDir) {
    for (name, first, number) in SEGMENTS {
        let head = Head::read(&path(directory, name, first)).expect("read");
        assert_eq!(head, Some(Head { first_number: number, first_sequence: number * 10 }));
    }
    let identity = Identity::read(directory.path()).expect("read").expect("present");
    let expected =
        Identity { format: FORMAT, migrating_from: None, cluster_uid: Some("6f1c".into()) };
    assert_eq!(identity, expected);
}

fn run_all(directory: &TempDir) -> &'static [Step] {
    let mut identity = Identity::read(directory.path()).expect("read").expect("present");
    run(directory.path(), &mut identity).expect("migrated")
}

#[test]
fn steps_are_numbered_without_holes_up_to_this_format() {
    let formats: Vec<_> = STEPS.iter().map(|step| step.format).collect();
    assert_eq!(formats, (2..=FORMAT).collect::<Vec<_>>());
    let mut folder = Path::new("migrations/0001-initial").to_owned();
    for Step { format, name, .. } in STEPS {
        assert!(folder.join("fixture.tar.zst").is_file(), "a directory to try the step on");
        folder = Path::new("migrations").join(format!("{format:04}-{name}"));
        for file in ["README.md", "step.rs"] {
            assert!(folder.join(file).is_file(), "{file} of {}", folder.display());
        }
    }
}

#[test]
fn every_segment_gets_its_head() {
    let directory = old_directory();
    assert_eq!(run_all(&directory).len(), 1);
    assert_migrated(&directory);
    assert!(run_all(&directory).is_empty(), "the second time there is nothing to do");
    assert_migrated(&directory);
}

#[test]
fn a_step_that_is_interrupted_anywhere_goes_on() {
    for done in 0..=SEGMENTS.len() {
        let directory = old_directory();
        let mut identity = Identity::read(directory.path()).expect("read").expect("present");
        let mut left = done;
        let interrupted = LogError::Full { path: directory.path().to_owned() };
        let stopped = run_step(directory.path(), &mut identity, &STEPS[0], &mut |_| {
            left = left.checked_sub(1).ok_or_else(|| interrupted.clone())?;
            Ok(())
        });
        assert_eq!(stopped.is_ok(), done == SEGMENTS.len());
        let identity = Identity::read(directory.path()).expect("read").expect("present");
        assert_eq!(identity.format, 2, "a program of format 1 leaves it alone");
        let left_over = plan(directory.path()).expect("known").expect("present");
        assert_eq!(
            (left_over.from, left_over.steps.len()),
            if stopped.is_ok() { (2, 0) } else { (1, 1) }
        );
        run_all(&directory);
        assert_migrated(&directory);
    }
}

/// Killed between two writes of a small file.
#[test]
fn half_a_file_is_no_obstacle() {
    let directory = old_directory();
    let path = path(&directory, "all-namespaces", 20);
    fs::write(path.join("head.new"), [1, 2]).expect("write");
    fs::write(directory.path().join("relay.new"), "{").expect("write");
    run_all(&directory);
    assert_migrated(&directory);
}

#[test]
fn a_head_that_is_there_is_kept_and_a_damaged_one_is_written_again() {
    let directory = old_directory();
    let kept = Head { first_number: 70, first_sequence: 700 };
    kept.write(&path(&directory, "all-namespaces", 10)).expect("write");
    fs::write(path(&directory, "all-namespaces", 20).join("head"), "no head").expect("write");
    run_all(&directory);
    let read = |first| Head::read(&path(&directory, "all-namespaces", first)).expect("read");
    assert_eq!(read(10), Some(kept));
    assert_eq!(read(20), Some(Head { first_number: 5, first_sequence: 50 }));
}

#[test]
fn a_segment_that_is_empty_or_has_lost_its_beginning_or_is_damaged_gets_no_head() {
    let directory = old_directory();
    let name = "namespace-shop";
    let empty = path(&directory, name, 40);
    segment(&empty, name, &Encoded { pairs: Vec::new() });
    let beheaded = path(&directory, name, 50);
    segment(&beheaded, name, &block(name, 51, 12).encode());
    let damaged = path(&directory, name, 60);
    let mut spoilt = block(name, 60, 13).encode();
    spoilt.pairs[0].1[9] ^= 1;
    segment(&damaged, name, &spoilt);
    let unfinished = path(&directory, name, 70);
    fs::create_dir(&unfinished).expect("create");
    run_all(&directory);
    assert_migrated(&directory);
    for path in [empty, beheaded, damaged, unfinished] {
        assert!(!path.join("head").exists(), "{}", path.display());
        assert!(path.exists(), "left to recovery");
    }
}

#[test]
fn a_segment_with_a_newer_block_stops_the_migration() {
    let directory = old_directory();
    let name = "namespace-shop";
    let mut newer = block(name, 80, 14).encode();
    let (key, value) = &mut newer.pairs[0];
    value[0] = 9;
    let sum = crc32fast::hash(&[key.as_slice(), &value[..1], &value[5..]].concat());
    value[1..5].copy_from_slice(&sum.to_le_bytes());
    segment(&path(&directory, name, 80), name, &newer);
    let mut identity = Identity::read(directory.path()).expect("read").expect("present");
    let error = run(directory.path(), &mut identity).expect_err("newer");
    assert!(matches!(error, LogError::NewerEntry { found: 9, .. }), "{error}");
}

#[test]
fn a_plan_changes_nothing() {
    let directory = old_directory();
    let before = fs::read_dir(directory.path()).expect("list").count();
    let plan = plan(directory.path()).expect("known").expect("present");
    assert_eq!((plan.from, plan.to, plan.steps.len()), (1, FORMAT, 1));
    assert_eq!(fs::read_dir(directory.path()).expect("list").count(), before);
    let identity = Identity::read(directory.path()).expect("read").expect("present");
    assert_eq!(identity.format, 1);
    assert!(super::plan(&directory.path().join("elsewhere")).expect("absent").is_none());
}
