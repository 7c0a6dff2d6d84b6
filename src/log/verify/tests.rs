//! Damage is found; what is none is not; nothing changes on the way.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::*;
use crate::log::damage_tests::spoil_block;
use crate::log::tests::{Opened, noise, position, record, segments};
use crate::log::{DirectoryAtRest, LogError, block, segment};

/// Three sealed segments and one that is not, closed.
async fn filled(directory: &TempDir) -> Opened {
    let opened = Opened::new(directory);
    opened.append(1..=15_000).await;
    opened
}

/// What is found in a directory whose log has reached `reached`. Nothing in it changes.
fn look(directory: &Path, reached: u64) -> StreamFindings {
    let before = content(directory);
    let parent = tempfile::tempdir().expect("tempdir");
    let at_rest = DirectoryAtRest::open(directory).expect("at rest");
    let scratch = Scratch::new(parent.path(), directory).expect("scratch");
    let reached = BTreeMap::from([(StreamId::all_namespaces(), position(0, reached))]);
    let mut found =
        streams_at_rest(&at_rest, &reached, &scratch, &Progress::default()).expect("readable");
    drop(scratch);
    assert_eq!(fs::read_dir(parent.path()).expect("list").count(), 0, "no copy is left");
    assert_eq!(content(directory), before, "nothing has changed");
    assert_eq!(found.len(), 1);
    found.remove(0)
}

fn content(directory: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).expect("list").flatten() {
        let path = entry.path();
        found.insert(path.clone(), fs::read(&path).ok());
        if path.is_dir() {
            found.extend(content(&path));
        }
    }
    found
}

fn assert_intact(found: &StreamFindings) {
    assert_eq!((&found.damages, &found.holes), (&vec![], &vec![]));
}

/// A copy of a directory that is in use is what a kill leaves behind.
fn killed(directory: &TempDir) -> TempDir {
    fn copy(from: &Path, to: &Path) {
        for entry in fs::read_dir(from).expect("list").flatten() {
            let to = to.join(entry.file_name());
            if entry.path().is_dir() {
                fs::create_dir(&to).expect("create");
                copy(&entry.path(), &to);
            } else {
                fs::copy(entry.path(), to).expect("copy");
            }
        }
    }
    let left = tempfile::tempdir().expect("tempdir");
    copy(directory.path(), left.path());
    left
}

#[tokio::test]
async fn a_log_that_was_closed_or_killed_is_intact() {
    let directory = tempfile::tempdir().expect("tempdir");
    let opened = filled(&directory).await;
    let found = look(killed(&directory).path(), 15_000);
    assert_intact(&found);
    opened.close().await;
    let found = look(directory.path(), 15_000);
    assert_intact(&found);
    assert_eq!(found.tally.records, 15_000);
    assert_eq!(found.tally.segments, segments(&directory).len() as u64);
}

#[tokio::test]
async fn what_a_crash_leaves_behind_is_no_damage() {
    let directory = tempfile::tempdir().expect("tempdir");
    filled(&directory).await.close().await;
    let newest = segments(&directory).pop().expect("a segment");
    // The last block was being written: its first part goes last.
    let mut large = record(0, 15_001);
    large.body = noise(100_000, 1).into();
    let (stream, end) = (StreamId::all_namespaces(), position(0, 15_001));
    let torn = segment::Segment::open(&stream, &newest).expect("open");
    let number = torn.last().expect("read").expect("a block").number + 1;
    let now = jiff::Timestamp::now();
    let mut encoded = block::Block::new(&stream, number, 15_000, end, now, vec![large]).encode();
    encoded.pairs.remove(0);
    torn.write(&encoded).expect("write");
    torn.commit().expect("commit");
    drop(torn);
    // Killed while sled wrote a snapshot, while the next segments were begun, and within a removal.
    fs::write(newest.join("snap.0000000000000099.generating"), "half").expect("write");
    let streams = newest.parent().expect("a parent");
    drop(segment::Segment::open(&stream, &streams.join("0.15001")).expect("open"));
    fs::create_dir(streams.join("0.15002")).expect("create");
    fs::write(streams.join("0.15002/conf"), "half").expect("write");
    fs::create_dir(streams.join("0.0.removing")).expect("create");
    assert_intact(&look(directory.path(), 15_000));
}

#[tokio::test]
async fn a_damaged_segment_is_named_with_its_range() {
    let directory = tempfile::tempdir().expect("tempdir");
    let opened = filled(&directory).await;
    let known = opened.stream.segments();
    opened.close().await;
    let second = segments(&directory)[1].clone();
    spoil_block(&second, known[1].first_sequence + 100);
    let found = look(directory.path(), 15_000);
    let [damage] = &found.damages[..] else { panic!("{found:?}") };
    assert_eq!(damage.segment.as_ref(), Some(&known[1].first));
    assert_eq!((&damage.after, &damage.until), (&known[0].last, &known[1].last));
    assert_eq!(damage.records, Some(known[1].end_sequence - known[1].first_sequence));
    assert!(found.holes.is_empty(), "it is not counted twice: {found:?}");
    // Without its seal the segments around it tell as much.
    fs::remove_file(second.join("seal")).expect("remove");
    let found = look(directory.path(), 15_000);
    assert_eq!(found.damages.len(), 1, "{found:?}");
    assert_eq!(found.damages[0].records, damage.records);
    assert!(found.holes.is_empty(), "it is not counted twice: {found:?}");
}

#[tokio::test]
async fn what_is_missing_is_noticed_wherever_it_was() {
    let directory = tempfile::tempdir().expect("tempdir");
    let opened = filled(&directory).await;
    let known = opened.stream.segments();
    opened.close().await;
    let found = look(directory.path(), 15_001);
    let [damage] = &found.damages[..] else { panic!("{found:?}") };
    assert_eq!((&damage.segment, &damage.after), (&None, &Some(position(0, 15_000))));
    assert_eq!(damage.until, Some(position(0, 15_001)));

    fs::remove_dir_all(&segments(&directory)[1]).expect("remove");
    let found = look(directory.path(), 15_000);
    assert_eq!(found.damages, []);
    let missing: Vec<_> = found.holes.iter().map(Hole::records).collect();
    assert_eq!(missing, [known[1].end_sequence - known[1].first_sequence]);

    let newest = segments(&directory).pop().expect("a segment");
    fs::remove_dir_all(newest).expect("remove");
    let found = look(directory.path(), 15_000);
    assert_eq!(found.damages.len(), 1, "the end: {found:?}");

    fs::remove_dir_all(directory.path().join("streams")).expect("remove");
    let found = look(directory.path(), 15_000);
    assert_eq!(found.damages[0].until, Some(position(0, 15_000)), "everything");
}

#[tokio::test]
async fn files_beside_the_blocks_are_checked_although_nothing_is_missing() {
    for (file, in_newest) in [("seal", false), ("head", false), ("head", true), ("conf", true)] {
        let directory = tempfile::tempdir().expect("tempdir");
        filled(&directory).await.close().await;
        let paths = segments(&directory);
        let path = paths[if in_newest { paths.len() - 1 } else { 0 }].join(file);
        let bytes = fs::read(&path).expect("read");
        let flipped: Vec<u8> = bytes.iter().map(|byte| byte ^ 0x10).collect();
        for changed in [Some(&flipped), None] {
            // Settings that are there and wrong keep sled from opening the segment at all.
            if file == "conf" && changed.is_some() {
                continue;
            }
            match changed {
                Some(bytes) => fs::write(&path, bytes).expect("write"),
                None => fs::remove_file(&path).expect("remove"),
            }
            let found = look(directory.path(), 15_000);
            let [damage] = &found.damages[..] else { panic!("{file}: {found:?}") };
            assert!(damage.reason.contains(file), "{damage:?}");
            assert_eq!(damage.records, Some(0));
        }
    }
}

#[tokio::test]
async fn a_segment_in_the_wrong_place_is_noticed() {
    let directory = tempfile::tempdir().expect("tempdir");
    filled(&directory).await.close().await;
    let paths = segments(&directory);
    let elsewhere = paths[0].with_file_name("0.2");
    fs::rename(&paths[0], elsewhere).expect("rename");
    let found = look(directory.path(), 15_000);
    assert_eq!(found.damages.len(), 1, "{found:?}");
    assert_eq!(found.damages[0].segment, Some(position(0, 2)));
}

#[tokio::test]
async fn damage_in_a_running_log_is_moved_aside_and_gone_once_it_is_repaired() {
    let directory = tempfile::tempdir().expect("tempdir");
    let opened = filled(&directory).await;
    let known = opened.stream.segments();
    let intact = inspect(&opened);
    assert_intact(&intact);
    assert_eq!(intact.tally.records, 15_000, "with the segment that is being written");
    opened.close().await;
    spoil_block(&segments(&directory)[1], known[1].first_sequence + 100);
    fs::write(segments(&directory)[0].join("seal"), "not a seal").expect("write");
    let opened = Opened::new(&directory);
    fs::write(segments(&directory)[0].join("seal"), "not a seal").expect("write");
    let found = inspect(&opened);
    let [seal, damage] = &found.damages[..] else { panic!("{found:?}") };
    assert!(seal.reason.contains("seal"), "{seal:?}");
    assert_eq!(damage.segment.as_ref(), Some(&known[1].first));
    assert_eq!(damage.records, Some(known[1].end_sequence - known[1].first_sequence));
    assert!(damage.action.contains(".damaged"), "{damage:?}");
    assert_eq!(found.kept, [format!("{}.damaged", known[1].first)]);
    assert_eq!(opened.stream.take_damages().len(), 1, "as if a reader had come upon it");

    let open = inspect(&opened);
    assert_eq!((open.damages.len(), open.holes.len()), (1, 1), "the hole stays: {open:?}");
    let hole = opened.stream.holes().pop().expect("a hole");
    let mut repair = opened.stream.repair(hole);
    for version in known[1].first_sequence + 1..=known[1].end_sequence - 5 {
        repair.put(record(0, version)).await.expect("put");
    }
    repair.finish().await.expect("finish");
    fs::remove_file(segments(&directory)[0].join("seal")).expect("remove");
    opened.close().await;
    let opened = Opened::new(&directory);
    assert_intact(&inspect(&opened));
    opened.close().await;
    assert_intact(&look(directory.path(), 15_000));
}

fn inspect(opened: &Opened) -> StreamFindings {
    let mut inspection = opened.stream.inspect();
    while inspection.step().expect("readable") {}
    inspection.finish().expect("readable")
}

#[test]
fn copies_are_made_outside_the_data_directory_and_where_that_can_be_written() {
    let directory = tempfile::tempdir().expect("tempdir");
    let refused = |parent: &Path| match Scratch::new(parent, directory.path()) {
        Err(error @ VerifyError::Scratch { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    };
    assert!(refused(directory.path()).contains("not to change"));
    assert!(refused(Path::new("/nowhere")).contains("--scratch"));
}

#[test]
fn what_cannot_be_read_where_it_is_is_damage() {
    let (directory, parent) = (tempfile::tempdir(), tempfile::tempdir());
    let (directory, parent) = (directory.expect("tempdir"), parent.expect("tempdir"));
    let scratch = Scratch::new(parent.path(), directory.path()).expect("scratch");
    let missing = directory.path().join("0.7");
    let looked = scratch.look(&missing, |_| Ok(())).expect("the copy is not to blame");
    assert!(looked.expect_err("missing").contains("0.7"));
    fs::create_dir(&missing).expect("create");
    let full = |copy: &Path| Err::<(), _>(LogError::Full { path: copy.to_owned() });
    let error = scratch.look(&missing, full).expect_err("no room for the copy").to_string();
    assert!(error.contains("no space left") && error.contains("--scratch"), "{error}");
}
