//! The state as its users see it: change, sync, reopen, damage.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use tempfile::TempDir;

use super::*;
use crate::event::{Header, Record, StreamId};
use crate::log::{DataDirectory, Gap};

pub(super) fn open(directory: &TempDir) -> State {
    let directory = DataDirectory::open(directory.path(), Duration::ZERO).expect("directory");
    State::open(Arc::new(directory)).expect("state")
}

/// The lock of the directory ends with the last handle.
pub(super) async fn close(state: State) {
    state.close().await.expect("close");
}

pub(super) fn stream() -> StreamId {
    StreamId::all_namespaces()
}

pub(super) fn now() -> Timestamp {
    Timestamp::from_millisecond(Timestamp::now().as_millisecond()).expect("now")
}

fn cursor(position: &str) -> Cursor {
    Cursor { position: position.parse().ok(), sequence: 5, updated_at: now() }
}

pub(super) fn letter(version: &str, body: Vec<u8>) -> DeadLetter {
    let record = Record {
        stream: stream(),
        position: version.parse().expect("position"),
        received_at: now(),
        header: Header { reason: "BackOff".into(), ..Header::default() },
        body: Bytes::from(body),
    };
    DeadLetter::new("oncall".into(), record, "400 Bad Request: keyword missing".into(), now())
}

#[tokio::test]
async fn everything_survives_a_restart() {
    let directory = tempfile::tempdir().expect("tempdir");
    let state = open(&directory);
    let moved = cursor("0.42");
    state.move_cursor("oncall", &stream(), moved.clone());
    state.set_complete_until(&stream(), moved.updated_at);
    state.note_frontier(&stream(), &"0.50".parse().expect("position"));
    let gap = Gap {
        after: "0.7".parse().ok(),
        until: "0.9".parse().expect("position"),
        from_time: None,
        to_time: now(),
        cause: "stopped for 2 h".into(),
    };
    state.report_gap(&stream(), gap.clone()).expect("report");
    state.report_gap(&stream(), gap.clone()).expect("report again");
    let place =
        |version: u64| Place { position: format!("0.{version}").parse().ok(), sequence: version };
    let loss = Loss::between(place(20), place(30), LossCause::LogFull);
    state.lose("oncall", &stream(), loss.clone());
    let letters =
        vec![letter("0.3", vec![7; 100]), letter("0.4", (0..=255).cycle().take(99_999).collect())];
    for letter in &letters {
        state.bury(letter).expect("bury");
    }
    close(state).await;

    let state = open(&directory);
    assert_eq!(state.cursor("oncall", &stream()), Some(moved.clone()));
    assert_eq!(state.durable_cursor("oncall", &stream()), Some(moved.clone()));
    assert_eq!(state.cursor("archive", &stream()), None);
    assert_eq!(state.complete_until(&stream()), Some(moved.updated_at));
    assert_eq!(state.noted_frontier(&stream()), "0.50".parse().ok());
    assert_eq!(state.gaps(&stream()), [gap]);
    assert_eq!(state.losses("oncall", &stream()), [loss]);
    assert_eq!(state.losses("archive", &stream()), []);
    assert_eq!(state.dead_letter_count("oncall"), 2);
    assert_eq!(state.dead_letters("oncall", 10).await.expect("read"), letters);
    assert_eq!(state.dead_letters("oncall", 1).await.expect("read"), letters[..1]);
    close(state).await;
}

#[tokio::test]
async fn a_gap_that_is_found_again_grows() {
    let directory = tempfile::tempdir().expect("tempdir");
    let gap = |after: &str, until: &str, from_time| Gap {
        after: after.parse().ok(),
        until: until.parse().expect("position"),
        from_time: Some(from_time),
        to_time: now(),
        cause: "stopped for 2 h".into(),
    };
    let began = now();
    let earlier = began - jiff::SignedDuration::from_hours(5);
    let state = open(&directory);
    state.report_gap(&stream(), gap("0.1", "0.3", earlier)).expect("report");
    state.report_gap(&stream(), gap("0.7", "0.9", began)).expect("report");
    // Killed when the list was in the log up to 0.8.
    close(state).await;
    let state = open(&directory);
    state.report_gap(&stream(), gap("0.8", "0.12", began)).expect("report again");
    let gaps = state.gaps(&stream());
    let ranges: Vec<_> = gaps.iter().map(|gap| (gap.after.clone(), gap.until.clone())).collect();
    let position = |text: &str| text.parse::<crate::event::Position>().expect("position");
    let expected = [("0.1", "0.3"), ("0.7", "0.12")];
    assert_eq!(ranges, expected.map(|(after, until)| (Some(position(after)), position(until))));
    close(state).await;
    assert_eq!(open(&directory).gaps(&stream()), gaps);
}

#[tokio::test]
async fn a_cursor_counts_as_durable_only_after_a_sync() {
    let directory = tempfile::tempdir().expect("tempdir");
    let state = open(&directory);
    state.sync().await.expect("sync");
    state.move_cursor("oncall", &stream(), cursor("0.42"));
    assert!(state.cursor("oncall", &stream()).is_some());
    state.sync().await.expect("sync");
    assert!(state.durable_cursor("oncall", &stream()).is_some());
    close(state).await;
}

#[tokio::test]
async fn cursors_survive_the_loss_of_the_database() {
    let directory = tempfile::tempdir().expect("tempdir");
    let state = open(&directory);
    let moved = cursor("0.42");
    state.move_cursor("oncall", &stream(), moved.clone());
    close(state).await;
    let database = directory.path().join("state/db");
    let mut bytes = fs::read(&database).expect("read");
    bytes.iter_mut().step_by(64).for_each(|byte| *byte ^= 0xff);
    fs::write(database, bytes).expect("write");
    let state = open(&directory);
    assert_eq!(state.cursor("oncall", &stream()), Some(moved.clone()));
    close(state).await;
    let state = open(&directory);
    assert_eq!(state.cursor("oncall", &stream()), Some(moved));
    close(state).await;
}

#[tokio::test]
async fn a_database_that_lost_its_end_is_corrected_by_the_copy() {
    let directory = tempfile::tempdir().expect("tempdir");
    let state = open(&directory);
    state.move_cursor("oncall", &stream(), cursor("0.42"));
    close(state).await;
    let old: Vec<_> = fs::read_dir(directory.path().join("state"))
        .expect("list")
        .flatten()
        .filter(|entry| entry.path().is_file())
        .map(|entry| (entry.path(), fs::read(entry.path()).expect("read")))
        .collect();
    let state = open(&directory);
    let moved = cursor("0.77");
    state.move_cursor("oncall", &stream(), moved.clone());
    close(state).await;
    fs::remove_dir_all(directory.path().join("state")).expect("remove");
    fs::create_dir_all(directory.path().join("state/blobs")).expect("create");
    for (path, bytes) in old {
        fs::write(path, bytes).expect("write");
    }
    let state = open(&directory);
    assert_eq!(state.cursor("oncall", &stream()), Some(moved));
    close(state).await;
}
