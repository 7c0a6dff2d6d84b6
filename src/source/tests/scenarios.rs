//! What the source takes over, and from where.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::server::{Kind, Prepared, Server, TooOld};
use super::world::{MemoryLog, Seen, World};
use crate::event::StreamId;
use crate::setting::Span;
use crate::source::{Known, RelistCause, SourceError, Start};

fn ago(seconds: i64) -> Timestamp {
    Timestamp::now() - SignedDuration::from_secs(seconds)
}

fn complete_since(seconds: i64) -> Known {
    Known { complete_until: Some(ago(seconds)), ..Known::default() }
}

#[tokio::test(start_paused = true)]
async fn a_first_start_takes_over_what_happens_from_now_on() {
    let (server, log) = (Server::new(), MemoryLog::new());
    server.put("old");
    let world = World::start(&server, &log, Start::Now, Known::default()).await;
    world.until(Seen::is_live).await;
    assert_eq!(log.frontier_text(), "0.1001");
    server.put("a");
    server.put("a");
    server.delete("a");
    let seen = world.records(2).await;
    assert_eq!(seen.records, ["BackOff: a for the 1. time", "BackOff: a for the 2. time"]);
    assert_eq!((seen.gaps.len(), seen.relists.len()), (0, 0));
    assert!(seen.complete_until.is_some());
    assert_eq!(world.metrics.records.get(), 2);
    assert_eq!((world.metrics.watches.get(), world.metrics.live.get()), (1, 1));
    world.stop().await.expect("stopped");
    assert_eq!(log.positions(), ["0.1002", "0.1003"]);
}

#[tokio::test(start_paused = true)]
async fn a_first_start_takes_over_everything_or_what_is_young() {
    let young = ago(600).to_string();
    for (start, expected) in [
        (Start::All, vec!["young", "old", "timeless"]),
        (Start::Since(Span::from_secs(1800)), vec!["young", "timeless"]),
    ] {
        let (server, log) = (Server::new(), MemoryLog::new());
        server.put_seen_at("young", &young);
        server.put_seen_at("old", &ago(3000).to_string());
        server.put_seen_at("timeless", "never");
        let world = World::start(&server, &log, start, Known::default()).await;
        let seen = world.until(Seen::is_live).await;
        assert_eq!(log.names(), expected, "in order of position");
        assert_eq!((seen.relists.as_slice(), seen.gaps.len()), (&[RelistCause::FirstStart][..], 0));
        assert_eq!(log.frontier_text(), "0.1003");
    }
}

#[tokio::test(start_paused = true)]
async fn a_restart_resumes_where_the_log_ends() {
    let (server, log) = (Server::new(), MemoryLog::new());
    let world = World::live(&server, &log).await;
    server.put("a");
    world.records(1).await;
    world.stop().await.expect("stopped");
    server.put("b");
    server.put("c");
    let world = World::live(&server, &log).await;
    world.records(2).await;
    assert_eq!(log.names(), ["a", "b", "c"]);
    assert_eq!((world.seen().relists.len(), log.dropped()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn every_shape_of_too_old_is_answered_by_a_list() {
    for shape in [TooOld::Status, TooOld::ErrorEvent, TooOld::EmptyClose] {
        let (server, log) = (Server::new(), MemoryLog::new());
        server.say_too_old_as(shape);
        let world = World::live(&server, &log).await;
        server.put("a");
        server.put("z");
        world.records(2).await;
        world.stop().await.expect("stopped");
        server.put("z");
        server.put("b");
        server.delete("a");
        server.compact();
        let world = World::live(&server, &log).await;
        let seen = world.records(2).await;
        assert_eq!(log.names(), ["a", "z", "z", "b"], "{shape:?}: in order of position");
        assert_eq!((seen.relists.len(), seen.gaps.len()), (1, 0), "{shape:?}: {seen:?}");
        server.put("c");
        world.records(3).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_absence_longer_than_the_event_ttl_is_reported_before_what_follows() {
    let (server, log) = (Server::new(), MemoryLog::new());
    let world = World::live(&server, &log).await;
    world.stop().await.expect("stopped");
    server.put("b");
    server.compact();
    let world = World::start(&server, &log, Start::Now, complete_since(4000)).await;
    let seen = world.until(Seen::is_live).await;
    assert_eq!(seen.gaps.len(), 1);
    assert_eq!(seen.gaps[0].after.as_ref().map(ToString::to_string).as_deref(), Some("0.1000"));
    assert_eq!(seen.gaps[0].until.to_string(), "0.1001");
    assert_eq!(world.metrics.gaps.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_long_absence_that_the_server_remembers_is_no_gap() {
    let (server, log) = (Server::new(), MemoryLog::new());
    World::live(&server, &log).await.stop().await.expect("stopped");
    server.put("b");
    let world = World::start(&server, &log, Start::Now, complete_since(9000)).await;
    let seen = world.records(1).await;
    assert_eq!((seen.gaps.len(), seen.relists.len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_long_list_comes_in_pages_and_starts_again_when_its_token_expires() {
    let (server, log) = (Server::new(), MemoryLog::new());
    for number in 0..1200 {
        server.put(&format!("event-{}", 9999 - number));
    }
    server.prepare(Kind::Page, Prepared::Status(500, None));
    let world = World::start(&server, &log, Start::All, Known::default()).await;
    world.until(Seen::is_live).await;
    assert_eq!(log.positions().len(), 1200);
    assert_eq!(server.count(Kind::Page), 4, "one failed");

    let (server, log) = (Server::new(), MemoryLog::new());
    for number in 0..1200 {
        server.put(&format!("event-{}", 9999 - number));
    }
    let body = r#"{"metadata":{"resourceVersion":"2200","continue":"forgotten"},"items":[]}"#;
    server.prepare(Kind::Page, Prepared::Body(body.to_owned(), true));
    let world = World::start(&server, &log, Start::All, Known::default()).await;
    let seen = world.until(Seen::is_live).await;
    assert_eq!(log.positions().len(), 1200);
    assert_eq!(seen.relists, [RelistCause::FirstStart, RelistCause::ContinuationExpired]);
}

#[tokio::test(start_paused = true)]
async fn a_restored_history_is_a_new_generation_without_repeating_the_old_one() {
    let (server, log) = (Server::new(), MemoryLog::new());
    let world = World::live(&server, &log).await;
    server.put("a");
    server.put("b");
    let snapshot = server.snapshot();
    server.put("c");
    server.put("a");
    world.records(4).await;
    server.restore(snapshot);
    server.put("new");
    let began = tokio::time::Instant::now();
    let seen = world.records(5).await;
    assert!(began.elapsed() < Duration::from_secs(70), "noticed by the next probe");
    assert_eq!(seen.relists, [RelistCause::HistoryReplaced]);
    assert_eq!(log.positions(), ["0.1001", "0.1002", "0.1003", "0.1004", "1.1003"]);
    assert_eq!(log.names()[4], "new", "the same number as c, and another event");
    server.put("b");
    world.records(6).await;
    assert_eq!(log.positions()[5], "1.1004");
}

#[tokio::test(start_paused = true)]
async fn a_second_restore_does_not_repeat_the_first_generation_either() {
    let (server, log) = (Server::new(), MemoryLog::new());
    let world = World::live(&server, &log).await;
    server.put("a");
    let snapshot = server.snapshot();
    server.put("b");
    world.records(2).await;
    server.restore(snapshot.clone());
    world.until(|seen| seen.relists.len() == 1 && seen.is_live()).await;
    server.put("c");
    server.put("d");
    world.records(4).await;
    server.restore(snapshot);
    world.until(|seen| seen.relists.len() == 2 && seen.is_live()).await;
    server.put("e");
    world.records(5).await;
    assert_eq!(log.names(), ["a", "b", "c", "d", "e"]);
    assert_eq!(log.frontier_text(), "2.1002");
}

#[tokio::test(start_paused = true)]
async fn a_new_generation_leaves_out_what_the_log_has_trimmed() {
    let (server, log) = (Server::new(), MemoryLog::new());
    server.put_seen_at("ancient", &ago(7200).to_string());
    server.put_seen_at("recent", &ago(60).to_string());
    let snapshot = server.snapshot();
    server.write_elsewhere(100);
    World::live(&server, &log).await.stop().await.expect("stopped");
    server.restore(snapshot);
    let known = Known { log_covers_since: Some(ago(3600)), ..complete_since(10) };
    let world = World::start(&server, &log, Start::Now, known).await;
    world.until(Seen::is_live).await;
    assert_eq!(log.names(), ["recent"]);
    assert_eq!(log.frontier_text(), "1.1002");
}

#[tokio::test(start_paused = true)]
async fn the_history_of_another_cluster_ends_the_stream() {
    let (server, log) = (Server::new(), MemoryLog::new());
    server.write_elsewhere(100);
    World::live(&server, &log).await.stop().await.expect("stopped");
    let other = Server::new();
    other.become_cluster("cluster-b");
    other.put("foreign");
    let known = Known { cluster_uid: Some("cluster-a".to_owned()), ..complete_since(10) };
    let world = World::start(&other, &log, Start::Now, known).await;
    let error = world.end().await.expect_err("refused");
    assert!(matches!(error, SourceError::AnotherCluster { .. }), "{error}");
    assert_eq!(log.names(), [] as [&str; 0], "nothing of it was taken over");
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_one_namespace_asks_for_that_namespace() {
    let server = Server::new();
    let log = MemoryLog::of(StreamId::of_namespace("shop").expect("a namespace"));
    World::live(&server, &log).await;
    for address in server.addresses() {
        assert!(address.contains("/api/v1/namespaces/shop/events?"), "{address}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_quiet_day_needs_no_list_and_stays_complete() {
    let (server, log) = (Server::new(), MemoryLog::new());
    let world = World::live(&server, &log).await;
    tokio::time::sleep(Duration::from_secs(24 * 3600)).await;
    server.put("a");
    let seen = world.records(1).await;
    assert_eq!((seen.relists.len(), seen.gaps.len()), (0, 0));
    assert!(seen.phases.iter().skip(2).all(|phase| phase.live), "{:?}", seen.phases);
    let probes = server.count(Kind::Probe);
    assert!((1200..1700).contains(&probes), "about one a minute: {probes}");
}

#[tokio::test(start_paused = true)]
async fn a_stretch_that_the_log_has_lost_is_brought_back_while_it_watches_and_at_a_start() {
    let (server, log) = (Server::new(), MemoryLog::new());
    let world = World::live(&server, &log).await;
    for name in ["a", "b", "c", "b", "d"] {
        server.put(name);
    }
    world.records(5).await;
    let whole = log.positions();
    log.lose_middle();
    world.until(|seen| seen.relists.contains(&RelistCause::Damaged) && seen.is_live()).await;
    assert!(log.is_whole());
    // The first version of b is not to be had any more: an API server keeps the newest.
    assert_eq!(log.positions(), [0, 2, 3, 4].map(|at| whole[at].clone()));
    let seen = world.seen_until_stopped().await;
    assert_eq!((seen.records.len(), seen.gaps.len()), (5, 0), "nothing is taken for new");

    log.lose_middle();
    let world = World::live(&server, &log).await;
    world.until(|_| log.is_whole()).await;
    server.put("e");
    world.records(1).await;
    assert_eq!(log.names(), ["a", "c", "b", "d", "e"]);
}
