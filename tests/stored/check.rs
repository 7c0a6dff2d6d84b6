//! A data directory as the program sees it: filled by rule, and compared with the rule.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use kube_event_relay::cursor::State;
use kube_event_relay::event::{Record, StreamId};
use kube_event_relay::log::{Chunk, DataDirectory, Log, Stream};

use super::contents;

/// Fills a new directory.
pub async fn fill(path: &Path) {
    let (log, state) = open(path).await;
    for id in [contents::everything(), contents::shop()] {
        let stream = stream(&log, id.clone()).await;
        for step in contents::steps(&id) {
            match step {
                contents::Step::Append(entry) => stream.append(entry).await.expect("appended"),
                contents::Step::Sync => stream.sync().await.expect("durable"),
            }
        }
        for gap in contents::gaps(&id) {
            state.report_gap(&id, gap).expect("reported");
        }
        if let Some(time) = contents::complete_until(&id) {
            state.set_complete_until(&id, time);
        }
        state.note_frontier(&id, &contents::frontier(&id));
    }
    for sink in contents::SINKS {
        for letter in contents::letters(sink) {
            state.bury(&letter).expect("buried");
        }
    }
    for (sink, id, cursor) in contents::cursors() {
        state.move_cursor_with(sink, &id, cursor, contents::ahead(sink, &id));
    }
    for sink in contents::SINKS {
        state.put_groups(sink, contents::groups(sink));
    }
    for sink in contents::PAUSED {
        state.set_paused(sink, true);
    }
    for change in contents::changes() {
        state.note_change(change);
    }
    for (quota, usage) in contents::usages() {
        state.note_usage(quota, usage);
    }
    close(log, state).await;
}

/// Opens a directory and compares everything in it with what was stored.
pub async fn check(path: &Path) {
    let (log, state) = open(path).await;
    for id in [contents::everything(), contents::shop()] {
        let stream = stream(&log, id.clone()).await;
        let frontier = stream.frontier().expect("a frontier");
        let expected = contents::records(&id);
        assert_eq!(frontier.position, contents::frontier(&id));
        assert_eq!(frontier.sequence, expected.len() as u64);
        let found = read(&stream).await;
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(&expected) {
            assert!(found == expected, "{} of {id}", expected.position);
        }
        assert_eq!(stream.take_damages(), []);
        assert_eq!(state.gaps(&id), contents::gaps(&id));
        assert_eq!(state.complete_until(&id), contents::complete_until(&id));
        assert_eq!(state.noted_frontier(&id), Some(contents::frontier(&id)));
    }
    let all = stream(&log, contents::everything()).await.segments();
    assert!(all.len() > 2, "several segments: {all:?}");
    assert!(all.iter().rev().skip(1).all(|segment| segment.sealed_at.is_some()));
    let cursors = state.cursors();
    let cursors =
        cursors.iter().map(|(sink, id, cursor)| (sink.as_str(), id.clone(), cursor.clone()));
    assert_eq!(cursors.collect::<Vec<_>>(), contents::cursors());
    for sink in contents::SINKS {
        let letters = state.dead_letters(sink, usize::MAX).await.expect("read");
        assert!(letters == contents::letters(sink), "dead letters of {sink}");
    }
    close(log, state).await;
}

async fn open(path: &Path) -> (Log, State) {
    let path = path.to_owned();
    let opened = tokio::task::spawn_blocking(move || {
        let directory = DataDirectory::open(&path, Duration::ZERO).expect("the directory");
        directory.claim(contents::CLUSTER).expect("its cluster");
        let directory = Arc::new(directory);
        let log = Log::open(directory.clone(), Arc::default()).expect("the log");
        (log, State::open(directory).expect("the state"))
    });
    opened.await.expect("opened")
}

async fn stream(log: &Log, id: StreamId) -> Stream {
    let log = log.clone();
    let opened = tokio::task::spawn_blocking(move || log.stream(&id).expect("the stream"));
    opened.await.expect("opened")
}

async fn close(log: Log, state: State) {
    log.close().await.expect("the log closes");
    state.close().await.expect("the state closes");
}

async fn read(stream: &Stream) -> Vec<Record> {
    let mut reader = stream.reader(None);
    let mut found = Vec::new();
    while let Some(chunk) = reader.try_next().await.expect("readable") {
        let Chunk::Records { records, .. } = chunk else { panic!("damage: {chunk:?}") };
        found.extend_from_slice(&records);
    }
    found
}
