//! The source and the log on disk together.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::server::Server;
use super::world::{Seen, World};
use crate::event::StreamId;
use crate::log::{Chunk, DataDirectory, Log, Stream};
use crate::source::api::Api;
use crate::source::{Known, RelistCause, Start};
use crate::telemetry::Metrics;

/// Opens the log of a directory.
async fn open(path: &Path) -> (Log, Stream) {
    let path = path.to_owned();
    let opened = tokio::task::spawn_blocking(move || {
        let directory = DataDirectory::open(&path, Duration::from_secs(5)).expect("locked");
        let log = Log::open(Arc::new(directory), Arc::new(Metrics::new())).expect("opened");
        let stream = log.stream(&StreamId::all_namespaces()).expect("a stream");
        (log, stream)
    });
    opened.await.expect("no panic")
}

/// Names and positions of all records.
async fn contents(stream: &Stream) -> Vec<String> {
    let mut reader = stream.reader(None);
    let mut found = Vec::new();
    while let Some(chunk) = reader.try_next().await.expect("readable") {
        if let Chunk::Records { records, .. } = chunk {
            found.extend(
                records.iter().map(|record| format!("{} {}", record.position, record.header.name)),
            );
        }
    }
    found
}

async fn run(server: &Server, stream: &Stream) -> World {
    let api = Api::new(Arc::new(server.clone())).await.expect("a client");
    let known = Known { complete_until: Some(jiff::Timestamp::now()), ..Known::default() };
    let world = World::with_api(api, stream, Start::Now, known);
    world.until(Seen::is_live).await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_seen_is_on_disk_and_is_resumed_from_there() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::new();
    let (log, stream) = open(directory.path()).await;
    let world = run(&server, &stream).await;
    server.put("a");
    let snapshot = server.snapshot();
    server.put("b");
    world.records(2).await;
    world.stop().await.expect("stopped");
    assert_eq!(contents(&stream).await, ["0.1001 a", "0.1002 b"], "durable when it has stopped");
    drop(stream);
    log.close().await.expect("closed");
    drop(log);

    // Away while the API server forgets: everything newer than the frontier, in order.
    for number in 0..600 {
        server.put(&format!("missed-{}", 900 - number));
    }
    server.compact();
    let (log, stream) = open(directory.path()).await;
    let world = run(&server, &stream).await;
    let seen = world.records(600).await;
    assert_eq!(seen.relists, [RelistCause::TooOld]);
    world.stop().await.expect("stopped");
    let found = contents(&stream).await;
    assert_eq!(found.len(), 602);
    assert_eq!(
        (found[2].as_str(), found[601].as_str()),
        ("0.1003 missed-900", "0.1602 missed-301")
    );

    // Away while the API server's history is replaced: only what is new in the new one.
    server.restore(snapshot);
    server.put("c");
    let world = run(&server, &stream).await;
    assert_eq!(world.seen().relists, [RelistCause::HistoryReplaced]);
    world.stop().await.expect("stopped");
    assert_eq!(contents(&stream).await[602..], ["1.1002 c"]);
    log.close().await.expect("closed");
}
