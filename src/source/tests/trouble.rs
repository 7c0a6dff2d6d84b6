//! What goes wrong on the way, and that nothing is lost by it.

use std::time::Duration;

use tokio::time::Instant;

use super::server::{Kind, Prepared, Server};
use super::world::{MemoryLog, Seen, World};
use crate::source::{Known, RelistCause, SourceError, Start};

#[tokio::test(start_paused = true)]
async fn a_line_cut_in_the_middle_is_read_again() {
    let (server, log) = (Server::new(), MemoryLog::new());
    let world = World::live(&server, &log).await;
    server.put("a");
    world.records(1).await;
    server.end_watches(false);
    server.put("b");
    world.records(2).await;
    server.end_watches(true);
    server.put("c");
    world.records(3).await;
    assert_eq!((log.names(), log.dropped()), (vec!["a".into(), "b".into(), "c".into()], 0));
    assert_eq!(world.seen().relists, []);
}

#[tokio::test(start_paused = true)]
async fn an_end_within_a_line_is_a_cut_even_without_an_error() {
    let (server, log) = (Server::new(), MemoryLog::new());
    let half = r#"{"type":"ADDED","object":{"metadata":{"resourceVersion":"1001""#;
    server.prepare(Kind::Watch, Prepared::Body(half.to_owned(), true));
    let world = World::start(&server, &log, Start::Now, Known::default()).await;
    server.put("a");
    server.put("b");
    world.until(|seen| seen.reason().contains("ended within an item")).await;
    world.until(Seen::is_live).await;
    assert_eq!(world.seen().relists, []);
}

#[tokio::test(start_paused = true)]
async fn too_many_requests_wait_as_asked_and_list_nothing() {
    let (server, log) = (Server::new(), MemoryLog::new());
    for _ in 0..5 {
        server.prepare(Kind::Watch, Prepared::Status(429, Some(11)));
    }
    let began = Instant::now();
    let world = World::live(&server, &log).await;
    let waited = began.elapsed();
    assert!((55..57).contains(&waited.as_secs()), "{waited:?}");
    assert_eq!((server.count(Kind::Probe), server.count(Kind::Page)), (1, 0));
    assert_eq!(world.seen().relists, []);
}

#[tokio::test(start_paused = true)]
async fn a_server_in_trouble_is_tried_until_it_is_well() {
    let (server, log) = (Server::new(), MemoryLog::new());
    for code in [500, 502, 503, 504, 503, 500] {
        server.prepare(Kind::Probe, Prepared::Status(code, None));
    }
    server.prepare(Kind::Watch, Prepared::Status(503, Some(20)));
    let world = World::live(&server, &log).await;
    server.put("a");
    world.records(1).await;
}

#[tokio::test(start_paused = true)]
async fn credentials_are_read_anew_when_they_are_refused() {
    let (server, log) = (Server::new(), MemoryLog::new());
    server.prepare(Kind::Watch, Prepared::Status(401, None));
    let began = Instant::now();
    World::live(&server, &log).await;
    assert_eq!(server.connections(), 2);
    assert!(began.elapsed() < Duration::from_secs(1), "at once");
}

#[tokio::test(start_paused = true)]
async fn a_missing_permission_is_shown_and_soon_tried_every_minute() {
    let (server, log) = (Server::new(), MemoryLog::new());
    for _ in 0..8 {
        server.prepare(Kind::Probe, Prepared::Status(403, None));
    }
    let began = Instant::now();
    let world = World::start(&server, &log, Start::Now, Known::default()).await;
    let seen = world.until(|seen| !seen.reason().is_empty()).await;
    assert!(seen.reason().contains("verb list on events"), "{}", seen.reason());
    world.until(Seen::is_live).await;
    // 1 + 2 + 4 + 8 + 16 + 32 s, and two minutes less some seconds each.
    assert!((170..=185).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_network_that_swallows_everything_is_noticed_and_survived() {
    let (server, log) = (Server::new(), MemoryLog::new());
    let world = World::live(&server, &log).await;
    let connections = server.connections();
    server.freeze();
    server.put("a");
    let began = Instant::now();
    let seen = world.until(|seen| !seen.is_live()).await;
    assert!(began.elapsed() < Duration::from_secs(120), "{:?}", began.elapsed());
    assert!(seen.reason().contains("no answer"), "{}", seen.reason());
    assert!(server.connections() > connections, "dead connections are not used again");
    tokio::time::sleep(Duration::from_secs(300)).await;
    server.thaw();
    world.records(1).await;
    assert_eq!((log.names(), world.seen().gaps.len()), (vec!["a".to_owned()], 0));
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_dies_in_silence_is_replaced() {
    let (server, log) = (Server::new(), MemoryLog::new());
    let world = World::live(&server, &log).await;
    server.freeze();
    server.thaw();
    server.put("a");
    let began = Instant::now();
    world.records(1).await;
    assert!(began.elapsed() <= Duration::from_secs(100), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn error_events_without_progress_lead_to_a_list() {
    let (server, log) = (Server::new(), MemoryLog::new());
    let line = r#"{"type":"ERROR","object":{"kind":"Status","code":500,"reason":"InternalError"}}"#;
    for _ in 0..3 {
        server.prepare(Kind::Watch, Prepared::Body(format!("{line}\n"), true));
    }
    server.put("before");
    let world = World::start(&server, &log, Start::Now, Known::default()).await;
    let seen = world.until(|seen| seen.relists.len() == 1 && seen.is_live()).await;
    assert_eq!(seen.relists, [RelistCause::NoProgress]);
    assert_eq!((server.count(Kind::Watch), log.names().len()), (4, 0));
}

#[tokio::test(start_paused = true)]
async fn an_event_nobody_can_read_is_left_out_loudly_and_does_not_block() {
    let (server, log) = (Server::new(), MemoryLog::new());
    let world = World::live(&server, &log).await;
    server.put("a");
    server.put_unreadable("broken");
    server.put("b");
    let seen = world.records(2).await;
    assert_eq!(seen.relists, [RelistCause::Unreadable]);
    assert!(seen.gaps[0].cause.contains("1 items"), "{:?}", seen.gaps);
    server.put("c");
    world.records(3).await;
    assert_eq!(log.names(), ["a", "b", "c"]);
}

#[tokio::test(start_paused = true)]
async fn a_garbled_line_is_read_again_before_anything_is_given_up() {
    let (server, log) = (Server::new(), MemoryLog::new());
    let world = World::live(&server, &log).await;
    server.put("a");
    server.send("{\"type\":\"ADDED\",\"object\":{\"meta\u{0}");
    server.put("b");
    world.records(2).await;
    assert_eq!((log.names(), world.seen().relists.len()), (vec!["a".into(), "b".into()], 0));
    assert_eq!(world.seen().gaps, []);
}

#[tokio::test(start_paused = true)]
async fn an_event_of_several_mebibytes_is_taken_over() {
    let (server, log) = (Server::new(), MemoryLog::new());
    let world = World::live(&server, &log).await;
    server.put(&"x".repeat(3 << 20));
    world.records(1).await;
    assert_eq!(log.names()[0].len(), 3 << 20);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_read_while_the_log_is_full_and_stopping_is_prompt() {
    let (server, log) = (Server::new(), MemoryLog::with_room(3));
    let world = World::live(&server, &log).await;
    for number in 0..10 {
        server.put(&format!("event-{number}"));
    }
    world.records(2).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(log.names().len(), 2, "one entry was the beginning of the log");
    let began = Instant::now();
    world.stop().await.expect("stopped");
    assert!(began.elapsed() < Duration::from_secs(1));
    assert_eq!(log.names().len(), 2);
    assert_eq!(log.frontier_text(), "0.1002", "what had no room is read again after the restart");
}

#[tokio::test(start_paused = true)]
async fn what_had_no_room_is_not_called_complete() {
    let (server, log) = (Server::new(), MemoryLog::with_room(1));
    World::live(&server, &log).await.stop().await.expect("stopped");
    server.write_elsewhere(5);
    let world = World::live(&server, &log).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    server.put("a");
    tokio::time::sleep(Duration::from_secs(5)).await;
    let seen = world.seen_until_stopped().await;
    assert_eq!((seen.complete_until, seen.records.len()), (None, 0));
}

#[tokio::test(start_paused = true)]
async fn stopping_is_prompt_wherever_it_is() {
    let (server, log) = (Server::new(), MemoryLog::new());
    let began = Instant::now();
    World::live(&server, &log).await.stop().await.expect("stopped while watching");
    server.freeze();
    let world = World::start(&server, &log, Start::Now, Known::default()).await;
    tokio::task::yield_now().await;
    world.stop().await.expect("stopped while connecting");
    server.thaw();
    server.prepare(Kind::Probe, Prepared::Status(403, None));
    let world = World::start(&server, &log, Start::Now, Known::default()).await;
    world.until(|seen| !seen.reason().is_empty()).await;
    world.stop().await.expect("stopped while waiting");
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_log_that_fails_ends_the_stream() {
    let (server, log) = (Server::new(), MemoryLog::new());
    let world = World::live(&server, &log).await;
    log.fail();
    server.put("a");
    let error = world.end().await.expect_err("fatal");
    assert!(matches!(error, SourceError::Log(_)), "{error}");
}
