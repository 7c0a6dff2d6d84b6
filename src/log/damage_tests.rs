//! Damage: noticed, contained, kept, reported, repaired.

#![allow(clippy::cast_possible_truncation)]

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::tests::{Opened, noise, position, record, segments, version};
use super::*;

fn damage(path: &std::path::Path) {
    for entry in fs::read_dir(path).expect("list").flatten() {
        if entry.file_name().to_string_lossy().starts_with("snap.") {
            fs::remove_file(entry.path()).expect("remove");
        }
    }
    let file = path.join("db");
    let mut bytes = fs::read(&file).expect("read");
    // Much of the file is dead versions of pages; stripes are sure to hit a live one.
    let from = bytes.len() / 8;
    bytes[from..].iter_mut().step_by(256).for_each(|byte| *byte ^= 0xff);
    fs::write(file, bytes).expect("write");
}

/// Changes the block that holds a version behind the log's back.
pub(super) fn spoil_block(path: &std::path::Path, version: u64) {
    let segment = segment::Segment::open(&StreamId::all_namespaces(), path).expect("open");
    let block = segment.holding(&position(0, version)).expect("read").expect("a block");
    let key = block::part_key(block.first(), 0);
    segment.write(&block::Encoded { pairs: vec![(key, vec![7; 100])] }).expect("write");
    segment.commit().expect("commit");
}

#[tokio::test]
async fn a_damaged_sealed_segment_is_kept_reported_and_passed_over() {
    let directory = tempfile::tempdir().expect("tempdir");
    let opened = Opened::new(&directory);
    opened.append(1..=20_000).await;
    let known = opened.stream.segments();
    opened.close().await;
    damage(&segments(&directory)[1]);
    let opened = Opened::new(&directory);
    let versions = opened.read(None).await;
    let good = |segment: &SegmentInfo| segment.end_sequence - segment.first_sequence;
    let (first, second) = (good(&known[0]), good(&known[1]));
    assert_eq!(versions[..first as usize], (1..=first).collect::<Vec<_>>());
    let rest: Vec<u64> = (first + second + 1..=20_000).collect();
    assert!(versions.ends_with(&rest), "reading goes on behind the damage");
    let damages = opened.stream.take_damages();
    assert_eq!(damages.len(), 1);
    assert_eq!(Some(&damages[0].until), known[1].last.as_ref());
    assert_eq!(damages[0].after, known[0].last);
    let kept = segments(&directory)
        .iter()
        .filter(|path| path.ends_with("0.1") || path.to_string_lossy().ends_with(".damaged"))
        .count();
    assert_eq!(kept, 2, "the damaged segment is kept beside the others");
    opened.close().await;
}

#[tokio::test]
async fn a_damaged_newest_segment_steps_back_to_the_one_before() {
    let directory = tempfile::tempdir().expect("tempdir");
    let opened = Opened::new(&directory);
    opened.append(1..=20_000).await;
    let known = opened.stream.segments();
    opened.close().await;
    let newest = segments(&directory).pop().expect("a segment");
    spoil_block(&newest, 19_500);
    let opened = Opened::new(&directory);
    let before = &known[known.len() - 2];
    assert_eq!(opened.stream.frontier().map(|frontier| frontier.position), before.last);
    assert_eq!(opened.stream.take_damages().len(), 1);
    opened.append(before.end_sequence + 1..=20_000).await;
    assert_eq!(opened.read(None).await, (1..=20_000).collect::<Vec<_>>());
    opened.close().await;
}

#[tokio::test]
async fn a_sealed_segment_that_lost_its_end_is_noticed() {
    let directory = tempfile::tempdir().expect("tempdir");
    let opened = Opened::new(&directory);
    opened.append(1..=20_000).await;
    let seal = segment::Seal::read(&segments(&directory)[0]).expect("read").expect("sealed");
    opened.close().await;
    // The seal promises one block more than there is.
    let mut promised = seal;
    promised.last = position(0, 10_000_000);
    promised.write(&segments(&directory)[0]).expect("write");
    let opened = Opened::new(&directory);
    opened.read(None).await;
    assert_eq!(opened.stream.take_damages().len(), 1);
    opened.close().await;
}

#[tokio::test]
async fn asking_for_the_oldest_block_or_a_record_survives_damage() {
    let directory = tempfile::tempdir().expect("tempdir");
    let opened = Opened::new(&directory);
    opened.append(1..=20_000).await;
    let second = opened.stream.segments()[1].first.resource_version.clone();
    opened.close().await;
    spoil_block(&segments(&directory)[0], 1);
    spoil_block(&segments(&directory)[1], second.as_str().parse().expect("a number"));
    let opened = Opened::new(&directory);
    assert!(opened.stream.oldest().await.expect("read").is_some());
    let second = opened.stream.segments()[0].first.clone();
    assert!(opened.stream.get(&position(0, 1)).await.expect("read").is_none());
    assert!(opened.stream.get(&second).await.expect("read").is_some());
    assert_eq!(opened.stream.take_damages().len(), 2);
    opened.close().await;
}

#[tokio::test]
async fn a_lost_seal_is_written_again() {
    let directory = tempfile::tempdir().expect("tempdir");
    let opened = Opened::new(&directory);
    opened.append(1..=20_000).await;
    let known = opened.stream.segments();
    opened.close().await;
    fs::remove_file(segments(&directory)[0].join("seal")).expect("remove");
    fs::write(segments(&directory)[1].join("seal"), "not a seal").expect("write");
    let opened = Opened::new(&directory);
    for (before, after) in known[..2].iter().zip(opened.stream.segments()) {
        assert_eq!((&after.last, after.end_sequence), (&before.last, before.end_sequence));
        assert_eq!(after.first_sequence, before.first_sequence);
    }
    let second_end = known[1].last.clone().expect("sealed");
    assert_eq!(opened.stream.trim(&second_end).await.expect("trim").segments, 2);
    opened.close().await;
}

#[tokio::test]
async fn damage_in_a_segment_without_a_seal_is_kept_and_reported() {
    let directory = tempfile::tempdir().expect("tempdir");
    let opened = Opened::new(&directory);
    opened.append(1..=20_000).await;
    let known = opened.stream.segments();
    opened.close().await;
    fs::remove_file(segments(&directory)[0].join("seal")).expect("remove");
    spoil_block(&segments(&directory)[0], 100);
    let opened = Opened::new(&directory);
    let rest = known[0].end_sequence + 1..=20_000;
    assert_eq!(opened.read(None).await, rest.collect::<Vec<_>>());
    assert_eq!(opened.stream.take_damages().len(), 1);
    opened.close().await;
}

#[tokio::test]
async fn a_sealed_segment_that_was_cut_short_is_passed_over() {
    let directory = tempfile::tempdir().expect("tempdir");
    let opened = Opened::new(&directory);
    opened.append(1..=20_000).await;
    opened.read(None).await;
    let known = opened.stream.segments();
    opened.close().await;
    for cut in [1, 2] {
        let file = segments(&directory)[cut - 1].join("db");
        let length = fs::metadata(&file).expect("metadata").len();
        let file = fs::OpenOptions::new().write(true).open(file).expect("open");
        file.set_len(length * (cut as u64) / 3).expect("cut");
    }
    let opened = Opened::new(&directory);
    let versions = opened.read(None).await;
    let rest: Vec<_> = (known[1].end_sequence + 1..=20_000).collect();
    assert!(versions.ends_with(&rest), "reading goes on behind the damage");
    assert_eq!(opened.stream.take_damages().len(), 2);
    opened.close().await;
}

/// A log of 20,000 records in several segments, closed; what is known of its segments.
async fn filled(directory: &TempDir) -> Vec<SegmentInfo> {
    let opened = Opened::new(directory);
    opened.append(1..=20_000).await;
    let known = opened.stream.segments();
    assert!(known.len() > 3, "{} segments", known.len());
    opened.close().await;
    known
}

/// Reads on until nothing more is there or a repair is awaited.
async fn read_on(reader: &mut Reader, versions: &mut Vec<u64>) -> u64 {
    let mut reached = 0;
    while let Some(chunk) = reader.try_next().await.expect("read") {
        if let Chunk::Records { records, sequence, .. } = chunk {
            versions.extend(records.iter().map(version));
            reached = sequence;
        }
    }
    reached
}

#[tokio::test]
async fn a_reader_waits_for_a_hole_to_be_filled_and_reads_what_was_brought_back() {
    let directory = tempfile::tempdir().expect("tempdir");
    let known = filled(&directory).await;
    damage(&segments(&directory)[1]);
    let opened = Opened::new(&directory);
    opened.stream.expect_repairs();
    let mut reader = opened.stream.reader(None);
    let mut versions = Vec::new();
    read_on(&mut reader, &mut versions).await;
    let first = known[1].first_sequence;
    let Some(reached) = versions.last().copied().filter(|reached| *reached >= first) else {
        panic!("it has read the first segment")
    };
    let hole = opened.stream.holes().pop().expect("a hole");
    assert_eq!(hole.after, known[0].last);
    assert_eq!(Some(&hole.until), known[2].first.previous().as_ref());

    // The API server has every thirtieth version still.
    let mut repair = opened.stream.repair(hole);
    let end = known[2].first_sequence;
    let there: Vec<u64> = (first + 1..=end).filter(|version| version % 30 == 0).collect();
    for version in &there {
        assert!(repair.wants(&position(0, *version)));
        repair.put(record(0, *version)).await.expect("put");
    }
    assert!(!repair.wants(&position(0, end + 1)));
    let waiting = tokio::spawn(async move { (reader.next().await.expect("read"), reader) });
    let repaired = repair.finish().await.expect("finish");
    assert_eq!(
        repaired,
        Repaired { records: there.len() as u64, missing: end - first - there.len() as u64 }
    );
    let (chunk, mut reader) = waiting.await.expect("a reader");
    let Chunk::Records { records, .. } = chunk else { panic!("it waited") };
    versions.extend(records.iter().map(version));
    let sequence = read_on(&mut reader, &mut versions).await;
    let expected: Vec<u64> = (1..=reached)
        .chain(there.into_iter().filter(|version| *version > reached))
        .chain(end + 1..=20_000)
        .collect();
    assert_eq!(versions, expected);
    assert_eq!(sequence, 20_000, "what is missing counts");
    drop(reader);
    opened.close().await;

    let opened = Opened::new(&directory);
    assert_eq!(opened.stream.holes(), [], "it is not found again");
    let damages = opened.stream.take_damages();
    assert_eq!(damages.len(), 1, "what was moved aside is there still");
    assert_eq!(Some(&damages[0].until), known[1].last.as_ref());
    opened.close().await;
}

#[tokio::test]
async fn a_hole_is_found_again_after_a_restart_also_when_a_repair_was_cut_short() {
    let directory = tempfile::tempdir().expect("tempdir");
    let known = filled(&directory).await;
    damage(&segments(&directory)[1]);
    let opened = Opened::new(&directory);
    opened.read(None).await;
    let reported = opened.stream.take_damages();
    let hole = opened.stream.holes().pop().expect("a hole");
    opened.close().await;

    let opened = Opened::new(&directory);
    let found = opened.stream.holes().pop().expect("the same hole");
    assert_eq!((&found.after, &found.until), (&hole.after, &hole.until));
    assert_eq!(opened.stream.take_damages()[0].until, reported[0].until);
    let mut repair = opened.stream.repair(found);
    let (first, end) = (known[1].first_sequence, known[2].first_sequence);
    for version in first + 1..=end {
        repair.put(record(0, version)).await.expect("put");
    }
    // The relay is killed before the list was complete.
    drop(repair);
    opened.close().await;

    let opened = Opened::new(&directory);
    let rest = opened.stream.holes().pop().expect("what is left of it");
    assert!(rest.after > hole.after && rest.until == hole.until, "{rest:?}");
    let mut repair = opened.stream.repair(rest);
    for version in first + 1..=end {
        if repair.wants(&position(0, version)) {
            repair.put(record(0, version)).await.expect("put");
        }
    }
    assert_eq!(repair.finish().await.expect("finish").missing, 0);
    assert_eq!(opened.stream.holes(), []);
    assert_eq!(opened.read(None).await, (1..=20_000).collect::<Vec<_>>());
    opened.close().await;
}

#[tokio::test]
async fn a_hole_of_which_nothing_is_left_is_closed_and_counted() {
    let directory = tempfile::tempdir().expect("tempdir");
    let known = filled(&directory).await;
    damage(&segments(&directory)[1]);
    let opened = Opened::new(&directory);
    opened.read(None).await;
    let hole = opened.stream.holes().pop().expect("a hole");
    let missing = hole.records();
    let repaired = opened.stream.repair(hole).finish().await.expect("finish");
    assert_eq!(repaired, Repaired { records: 0, missing });
    opened.close().await;
    let opened = Opened::new(&directory);
    assert_eq!(opened.stream.holes(), []);
    let after = known[0].last.clone();
    let chunk = opened.stream.reader(after).try_next().await.expect("read").expect("a chunk");
    let Chunk::Records { records, sequence, .. } = chunk else { panic!("the hole is closed") };
    assert_eq!((records.len(), sequence), (0, known[2].first_sequence));
    opened.close().await;
}

#[tokio::test]
async fn a_segment_that_somebody_has_removed_is_noticed() {
    let directory = tempfile::tempdir().expect("tempdir");
    let known = filled(&directory).await;
    fs::remove_dir_all(&segments(&directory)[1]).expect("remove");
    let opened = Opened::new(&directory);
    let damages = opened.stream.take_damages();
    assert_eq!(damages.len(), 1);
    assert_eq!(
        (&damages[0].after, &damages[0].until),
        (&known[0].last, &known[1].last.clone().expect("sealed"))
    );
    assert_eq!(
        opened.stream.holes()[0].records(),
        known[2].first_sequence - known[1].first_sequence
    );
    opened.close().await;
}

#[tokio::test]
async fn a_block_that_is_being_written_is_no_damage_to_a_reader_far_behind() {
    let directory = tempfile::tempdir().expect("tempdir");
    let opened = Opened::new(&directory);
    opened.append(1..=10).await;
    let path = segments(&directory).pop().expect("a segment");
    let active = opened.log.context.pool.get(&StreamId::all_namespaces(), &path).expect("open");
    let mut large = record(0, 11);
    large.body = noise(100_000, 11).into();
    let block = block::Block::new(
        opened.stream.id(),
        1,
        10,
        position(0, 11),
        jiff::Timestamp::now(),
        vec![large],
    );
    let mut encoded = block.encode();
    assert!(encoded.pairs.len() > 1, "{} parts", encoded.pairs.len());
    encoded.pairs.remove(0);
    active.write(&encoded).expect("write");
    assert_eq!(
        active.next(&position(0, 10)).expect("no damage").map(|next| next.bare().number),
        None
    );
    drop(active);
    opened.close().await;
}

/// A new database in the place of the one of a segment.
fn empty(path: &Path) {
    for entry in fs::read_dir(path).expect("list").flatten() {
        let keeps = ["head", "seal"].iter().any(|name| entry.file_name() == *name);
        if keeps {
            continue;
        }
        if entry.path().is_dir() {
            fs::remove_dir_all(entry.path()).expect("remove");
        } else {
            fs::remove_file(entry.path()).expect("remove");
        }
    }
    drop(segment::Segment::open(&StreamId::all_namespaces(), path).expect("open"));
}

#[tokio::test]
async fn a_segment_that_opens_as_if_it_were_new_is_kept_and_reported() {
    for place in [1, 3] {
        let directory = tempfile::tempdir().expect("tempdir");
        let known = filled(&directory).await;
        let last = known.len() - 1;
        let place = place.min(last);
        let path = &segments(&directory)[place];
        empty(path);
        let opened = Opened::new(&directory);
        opened.read(None).await;
        assert_eq!(opened.stream.take_damages().len(), 1, "segment {place} of {last}");
        let kept = fs::read_dir(path.parent().expect("a parent")).expect("list").flatten();
        let kept = kept.filter(|entry| entry.file_name().to_string_lossy().ends_with(".damaged"));
        assert_eq!(kept.count(), 1);
        opened.close().await;
    }
}

#[tokio::test]
async fn a_segment_without_seal_and_blocks_is_kept_when_something_of_it_was_published() {
    let directory = tempfile::tempdir().expect("tempdir");
    let known = filled(&directory).await;
    let path = &segments(&directory)[1];
    empty(path);
    fs::remove_file(path.join("seal")).expect("remove");
    let opened = Opened::new(&directory);
    assert_eq!(opened.stream.holes().len(), 1);
    assert_eq!(opened.stream.take_damages().len(), 1);
    assert_eq!(opened.stream.segments().len(), known.len() - 1);
    opened.close().await;
}

#[tokio::test]
async fn a_segment_of_which_nothing_was_published_is_no_damage() {
    let directory = tempfile::tempdir().expect("tempdir");
    let opened = Opened::new(&directory);
    opened.append(1..=10).await;
    opened.close().await;
    let streams = directory.path().join("streams/all-namespaces");
    let begun = |version: u64| streams.join(position(0, version).to_string());
    // Killed after the database was made, and within that.
    drop(segment::Segment::open(&StreamId::all_namespaces(), &begun(11)).expect("open"));
    fs::create_dir(begun(12)).expect("create");
    fs::write(begun(12).join("conf"), "half").expect("write");
    let opened = Opened::new(&directory);
    assert_eq!(opened.stream.take_damages(), []);
    assert_eq!(opened.read(None).await, (1..=10).collect::<Vec<_>>());
    opened.append(11..=12).await;
    opened.close().await;
    let opened = Opened::new(&directory);
    assert_eq!(opened.read(None).await, (1..=12).collect::<Vec<_>>());
    assert_eq!(opened.stream.take_damages(), []);
    opened.close().await;
}

#[tokio::test]
async fn a_newest_segment_that_lost_its_beginning_is_damaged() {
    let directory = tempfile::tempdir().expect("tempdir");
    filled(&directory).await;
    let newest = segments(&directory).pop().expect("a segment");
    let mut head = head::Head::read(&newest).expect("read").expect("a head");
    head.first_number -= 1;
    head.write(&newest).expect("write");
    let opened = Opened::new(&directory);
    assert_eq!(opened.stream.take_damages().len(), 1);
    opened.close().await;
}

#[tokio::test]
async fn a_lost_head_is_written_again() {
    let directory = tempfile::tempdir().expect("tempdir");
    filled(&directory).await;
    let newest = segments(&directory).pop().expect("a segment");
    let head = head::Head::read(&newest).expect("read");
    fs::write(newest.join("head"), "not a head").expect("write");
    let opened = Opened::new(&directory);
    assert_eq!(opened.stream.take_damages(), []);
    opened.close().await;
    assert_eq!(head::Head::read(&newest).expect("read"), head);
}

#[tokio::test]
async fn what_is_trimmed_is_not_repaired() {
    let directory = tempfile::tempdir().expect("tempdir");
    let known = filled(&directory).await;
    damage(&segments(&directory)[0]);
    let opened = Opened::new(&directory);
    opened.read(None).await;
    let hole = opened.stream.holes().pop().expect("a hole");
    assert_eq!(hole.after, None);
    let mut repair = opened.stream.repair(hole);
    repair.put(record(0, 5)).await.expect("put");
    let second = known[1].last.clone().expect("sealed");
    opened.stream.trim(&second).await.expect("trim");
    assert_eq!(opened.stream.holes(), []);
    repair.finish().await.expect("finish");
    assert_eq!(
        opened.stream.segments().first().map(|first| first.first.clone()),
        Some(known[2].first.clone())
    );
    opened.close().await;
}
