//! Letters: refused again, in parts, torn by crashes, removed, bounded, read page by page.

use std::path::Path;

use super::*;
use crate::cursor::tests::{close, letter, open};
use crate::log::{Database, SEGMENT_TUNING, encode_record};

/// Bytes that do not compress: a letter of many parts.
fn noise() -> Vec<u8> {
    (0..40_000_u32).flat_map(|n| n.wrapping_mul(n).to_le_bytes()).collect()
}

fn database(directory: &tempfile::TempDir) -> Database {
    Database::open(&directory.path().join("state"), SEGMENT_TUNING).expect("open")
}

fn refused_later(letter: &DeadLetter, reason: &str, seconds: i64) -> DeadLetter {
    let at = letter.last_at + jiff::SignedDuration::from_secs(seconds);
    DeadLetter::new(letter.sink.clone(), letter.record.clone(), reason.into(), at)
}

async fn ids(state: &State) -> Vec<String> {
    let letters = state.dead_letters("oncall", usize::MAX).await.expect("read");
    letters.iter().map(|letter| letter.id().to_string()).collect()
}

fn number_of_keys(directory: &tempfile::TempDir) -> usize {
    database(directory).with_prefix(&[keys::LETTER]).expect("read").len()
}

#[test]
fn a_letter_has_a_name() {
    let id: LetterId = "all-namespaces/3.4711".parse().expect("a name");
    assert_eq!(
        (id.stream.as_str(), id.position.to_string().as_str()),
        ("all-namespaces", "3.4711")
    );
    assert_eq!(id.to_string(), "all-namespaces/3.4711");
    for text in ["4711", "all-namespaces/4711", "/3.4711", "all-namespaces/3.", ""] {
        let error = text.parse::<LetterId>().expect_err(text).to_string();
        assert!(error.contains("STREAM/GENERATION.RV"), "{error}");
    }
}

#[tokio::test]
async fn what_is_refused_again_has_one_more_attempt_and_the_new_reply() {
    for body in [vec![7; 100], noise()] {
        let directory = tempfile::tempdir().expect("tempdir");
        let state = open(&directory);
        let first = letter("0.3", body);
        state.bury(&first).expect("bury");
        let second = refused_later(&first, &"x".repeat(4_000), 5);
        state.bury(&second).expect("before it is stored");
        state.sync().await.expect("sync");
        let third = refused_later(&first, "no", 9);
        state.bury(&third).expect("after it is stored");
        // Delivered again after a crash: the same refusal counts once.
        state.bury(&third).expect("bury again");
        let expected = DeadLetter {
            attempts: 3,
            reason: "no".into(),
            last_at: third.last_at,
            ..first.clone()
        };
        let found = state.dead_letters("oncall", 10).await.expect("read");
        assert_eq!(found, std::slice::from_ref(&expected));
        let tally = state.letter_tally("oncall");
        assert_eq!(tally.records, 1);
        close(state).await;
        let state = open(&directory);
        assert_eq!(state.letter_tally("oncall"), tally, "the same after a restart");
        assert_eq!(state.letter("oncall", &first.id()).await.expect("read"), Some(expected));
        close(state).await;
    }
}

#[tokio::test]
async fn letters_are_counted_once_and_without_a_cursor_too() {
    let directory = tempfile::tempdir().expect("tempdir");
    let state = open(&directory);
    for _ in 0..2 {
        state.bury(&letter("0.3", vec![7; 100])).expect("bury");
        state.bury(&letter("0.3", vec![7; 100])).expect("bury again");
        state.bury(&letter("0.4", vec![7; 100_000])).expect("bury");
        state.sync().await.expect("sync");
        assert_eq!(state.dead_letter_count("oncall"), 2);
    }
    let tally = state.letter_tally("oncall");
    close(state).await;
    assert_eq!(open(&directory).letter_tally("oncall"), tally);
}

#[tokio::test]
async fn long_words_are_cut() {
    let directory = tempfile::tempdir().expect("tempdir");
    let state = open(&directory);
    let mut wordy = letter("0.3", vec![7; 100]);
    wordy.reason = "x".repeat(40_000);
    state.bury(&wordy).expect("bury");
    let found = state.dead_letters("oncall", 10).await.expect("read");
    assert_eq!(found[0].reason.len(), 8_192);
    assert!(found[0].reason.ends_with("x…"));
    close(state).await;
}

#[tokio::test]
async fn what_a_crash_has_torn_is_no_letter_and_is_removed() {
    let directory = tempfile::tempdir().expect("tempdir");
    let state = open(&directory);
    let (whole, torn) = (letter("0.3", vec![7; 100]), letter("0.4", noise()));
    state.bury(&whole).expect("bury");
    close(state).await;
    let database = database(&directory);
    // They are written last one first, and removed first one first.
    for (key, value) in torn.pairs().expect("pairs").iter().skip(1) {
        database.insert(key, value).expect("insert");
    }
    database.commit().expect("commit");
    drop(database);
    let state = open(&directory);
    assert_eq!(state.dead_letter_count("oncall"), 1);
    assert_eq!(state.dead_letters("oncall", 10).await.expect("read"), [whole]);
    close(state).await;
    assert_eq!(number_of_keys(&directory), 2, "the remains are gone");

    // Remains that are there when the record is refused anew are part of nothing else.
    let state = open(&directory);
    state.bury(&torn).expect("bury");
    assert_eq!(state.letter("oncall", &torn.id()).await.expect("read"), Some(torn));
    close(state).await;
}

#[tokio::test]
async fn a_removed_letter_is_gone_whether_it_was_stored_or_not() {
    let directory = tempfile::tempdir().expect("tempdir");
    let state = open(&directory);
    let (stored, waiting, kept) =
        (letter("0.3", noise()), letter("0.4", noise()), letter("0.5", vec![7; 9]));
    state.bury(&stored).expect("bury");
    state.bury(&kept).expect("bury");
    state.sync().await.expect("sync");
    let both = state.letter_tally("oncall");
    state.bury(&waiting).expect("bury");
    state.remove_letter("oncall", &waiting.id());
    assert_eq!(state.letter_tally("oncall"), both);
    state.remove_letter("oncall", &stored.id());
    state.remove_letter("oncall", &letter("0.9", vec![]).id());
    assert_eq!(state.letter_tally("oncall"), both, "counted until it is durable");
    state.sync().await.expect("sync");
    let left = state.letter_tally("oncall");
    assert_eq!(left.records, 1);
    assert_eq!(ids(&state).await, ["all-namespaces/0.5"]);
    close(state).await;
    assert_eq!(number_of_keys(&directory), 2);
    let state = open(&directory);
    assert_eq!(state.letter_tally("oncall"), left);
    assert_eq!(state.sinks_with_letters(), ["oncall"]);
    close(state).await;
}

#[tokio::test]
async fn letters_come_page_by_page() {
    let directory = tempfile::tempdir().expect("tempdir");
    let state = open(&directory);
    let shop = StreamId::of_namespace("shop").expect("a stream");
    let mut expected = Vec::new();
    for version in 1..=25 {
        let mut one = letter(&format!("0.{version}"), noise());
        if version > 20 {
            one.record.stream = shop.clone();
        }
        state.bury(&one).expect("bury");
        expected.push(one.id());
    }
    // Names of one length come before longer ones.
    expected.sort_by_key(|id| (id.stream.as_str().len(), id.position.clone()));
    let mut found: Vec<LetterId> = Vec::new();
    loop {
        let page = state.letters_after("oncall", found.last(), 10).await.expect("read");
        // 160 kB each: a page ends when it holds a mebibyte.
        assert!(page.len() <= 7, "{}", page.len());
        if page.is_empty() {
            break;
        }
        found.extend(page.iter().map(DeadLetter::id));
    }
    assert_eq!(found, expected);
    let version = "23".parse().expect("a version");
    let named = state.letters_with_version("oncall", &version).await.expect("read");
    assert_eq!(named, [LetterId { stream: shop, position: "0.23".parse().expect("position") }]);
    let unknown = "99".parse().expect("a version");
    assert_eq!(state.letters_with_version("oncall", &unknown).await.expect("read"), []);
    close(state).await;
}

#[tokio::test]
async fn a_version_of_two_histories_has_two_letters() {
    let directory = tempfile::tempdir().expect("tempdir");
    let state = open(&directory);
    for position in ["0.7", "0.8", "1.7", "1.9", "2.6"] {
        state.bury(&letter(position, vec![7; 100])).expect("bury");
    }
    let version = "7".parse().expect("a version");
    let named = state.letters_with_version("oncall", &version).await.expect("read");
    let named: Vec<_> = named.iter().map(ToString::to_string).collect();
    assert_eq!(named, ["all-namespaces/0.7", "all-namespaces/1.7"]);
    close(state).await;
}

#[tokio::test]
async fn the_oldest_make_room() {
    let directory = tempfile::tempdir().expect("tempdir");
    let state = open(&directory);
    let newest_first = ["0.3", "0.4", "0.5", "1.1"];
    for (age, position) in (0..).zip(newest_first) {
        let mut one = letter(position, vec![7; 100]);
        // Of two histories the one with smaller versions is older; of these two it is the other one.
        let at = one.first_at
            - jiff::SignedDuration::from_hours(if position == "1.1" { 9 } else { -age });
        (one.first_at, one.last_at) = (at, at);
        state.bury(&one).expect("bury");
    }
    let before = state.letter_tally("oncall");
    let most = LetterTally { records: 2, bytes: u64::MAX };
    let dropped = state.drop_oldest_letters("oncall", most).await.expect("dropped");
    assert_eq!(dropped.records, 2);
    assert_eq!(ids(&state).await, ["all-namespaces/0.4", "all-namespaces/0.5"]);
    let after = state.letter_tally("oncall");
    assert_eq!(after.bytes, before.bytes - dropped.bytes);
    let most = LetterTally { records: 10, bytes: after.bytes - 1 };
    assert_eq!(state.drop_oldest_letters("oncall", most).await.expect("dropped").records, 1);
    let tally = state.letter_tally("oncall");
    assert_eq!(ids(&state).await, ["all-namespaces/0.5"]);
    close(state).await;
    assert_eq!(open(&directory).letter_tally("oncall"), tally);
}

/// Keys and values of a letter as format 1 had them.
fn format_1(letter: &DeadLetter) -> Vec<(Vec<u8>, Vec<u8>)> {
    let note = (letter.reason.clone(), letter.first_at.as_millisecond());
    let note = crate::cursor::encoding::encode(&note).expect("encoded");
    let record = encode_record(&letter.record);
    let length = |bytes: usize| u32::try_from(bytes).expect("short").to_le_bytes();
    let bytes =
        [&[1], &length(4 + note.len() + record.len())[..], &length(note.len()), &note, &record]
            .concat();
    let key = letter.id().key(&letter.sink);
    let parts = (0..).zip(bytes.chunks(crate::log::VALUE_LIMIT));
    parts.map(|(part, value)| (key.clone().part(part).bytes(), value.to_vec())).collect()
}

#[tokio::test]
async fn a_letter_of_format_1_is_read_and_becomes_one_of_format_2_when_it_is_refused_again() {
    for body in [vec![7; 100], noise()] {
        let directory = tempfile::tempdir().expect("tempdir");
        let old = letter("0.3", body);
        let parts = format_1(&old);
        let writes = database(&directory);
        for (key, value) in &parts {
            writes.insert(key, value).expect("insert");
        }
        writes.commit().expect("commit");
        drop(writes);
        let state = open(&directory);
        let found = state.dead_letters("oncall", 10).await.expect("read");
        assert_eq!(found, std::slice::from_ref(&old));
        let again = refused_later(&old, "no", 60);
        state.bury(&again).expect("bury");
        let expected = DeadLetter { attempts: 2, first_at: old.first_at, ..again };
        let found = state.dead_letters("oncall", 10).await.expect("read");
        assert_eq!(found, std::slice::from_ref(&expected));
        let tally = state.letter_tally("oncall");
        assert_eq!(tally.records, 1);
        close(state).await;

        // As if it had been killed before the remains of format 1 were removed.
        let writes = database(&directory);
        for (key, value) in parts.iter().skip(1) {
            writes.insert(key, value).expect("insert");
        }
        writes.commit().expect("commit");
        drop(writes);
        let state = open(&directory);
        assert_eq!(state.dead_letters("oncall", 10).await.expect("read"), [expected]);
        state.remove_letter("oncall", &old.id());
        state.sync().await.expect("sync");
        assert_eq!(state.letter_tally("oncall"), LetterTally::default());
        close(state).await;
        assert_eq!(number_of_keys(&directory), 0);
    }
}

/// Whatever is stored when a process dies between two values, a letter of format 1 stays a letter.
#[tokio::test]
async fn a_letter_of_format_1_survives_a_crash_while_it_changes() {
    let old = letter("0.3", noise());
    let parts = format_1(&old);
    let directory = tempfile::tempdir().expect("tempdir");
    let path = Path::new("state");
    let writes = database(&directory);
    for (key, value) in &parts {
        writes.insert(key, value).expect("insert");
    }
    let record = old.pairs().expect("pairs");
    let behind = u16::try_from(parts.len()).expect("few parts");
    for (part, value) in (behind..).zip(record.values().skip(1)).collect::<Vec<_>>().iter().rev() {
        writes.insert(&old.id().key("oncall").part(*part).bytes(), value).expect("insert");
        let found = scan::one(&writes, "oncall", &old.id()).expect("readable");
        assert_eq!(found.as_ref(), Some(&old), "{} of {}", part, path.display());
    }
}

#[test]
fn limits_are_reached_before_they_are_exceeded() {
    let most = DeadLettersConfig::default().most();
    let tally = |records, bytes| LetterTally { records, bytes };
    assert!(!tally(9_999, 0).is_full(most) && tally(10_000, 0).is_full(most));
    assert!(!tally(10_000, 64 << 20).exceeds(most) && tally(10_001, 0).exceeds(most));
    assert!(tally(0, 64 << 20).is_full(most) && tally(0, (64 << 20) + 1).exceeds(most));
}
