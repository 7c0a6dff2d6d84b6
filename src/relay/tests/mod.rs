//! The relay as a whole: scripted ends, real log.

pub(in crate::relay) mod fixtures;

use std::sync::Arc;
use std::time::Duration;

use fixtures::{Answer, Happening, Running, cluster, sink, small_log, soon};
use tempfile::tempdir;

use crate::cursor::DeadLettersConfig;
use crate::event::Position;
use crate::log::{LogConfig, LogError, WhenFull};
use crate::relay::{
    Relay, RelayConfig, RelayError, SinkState, Starting, offline_record, offline_status,
};
use crate::setting::ByteSize;
use crate::setting::Span;
use crate::sink::Outcome;
use crate::source::{KubernetesConfig, SourceConfig};
use crate::telemetry::Metrics;

const QUICK: Duration = Duration::ZERO;

fn busy() -> Outcome {
    Outcome::Retry { after: None, cause: "busy".to_owned() }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_reaches_every_sink_once_and_a_restart_goes_on_behind_it() {
    let directory = tempdir().expect("a directory");
    let (api, script) = cluster(&[]);
    let (one, mut first) = sink("one", QUICK);
    let (two, mut second) = sink("two", QUICK);
    let relay = Running::start(directory.path(), api, vec![one, two]).await.expect("started");
    script.events(1..=100);
    assert_eq!(first.accepted(100).await, (1..=100).collect::<Vec<_>>());
    assert_eq!(second.accepted(100).await, (1..=100).collect::<Vec<_>>());
    relay.until(|status| status.sinks.iter().all(|sink| sink.lag_records == 0)).await;
    assert_eq!(relay.handle.ready(), Ok(()));
    assert_eq!(relay.handle.status().streams[0].frontier.as_deref(), Some("100"));
    relay.stop().await.expect("stopped in order");

    let (api, script) = cluster(&[]);
    let (one, mut first) = sink("one", QUICK);
    let relay = Running::start(directory.path(), api, vec![one]).await.expect("started");
    script.events(101..=103);
    assert_eq!(first.accepted(3).await, [101, 102, 103]);
    assert!(first.is_quiet());
    relay.stop().await.expect("stopped in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_found_in_a_running_relay_and_in_a_stopped_one() {
    let directory = tempdir().expect("a directory");
    let (api, script) = cluster(&[]);
    let (one, mut first) = sink("one", QUICK);
    let relay = Running::start(directory.path(), api, vec![one]).await.expect("started");
    script.events(5..=9);
    assert_eq!(first.accepted(5).await.len(), 5);
    let version = |text: &str| text.parse().expect("a version");
    let found = relay.handle.record(&version("7")).await.expect("found");
    assert_eq!(found.resource_version, version("7"));
    let missing = relay.handle.record(&version("77")).await.expect_err("never received");
    relay.stop().await.expect("stopped in order");
    assert_eq!(offline_record(directory.path(), &version("7")).expect("found"), found);
    let still = offline_record(directory.path(), &version("77")).expect_err("never received");
    assert_eq!(
        [missing.to_string(), still.to_string()],
        ["the log has no record with resourceVersion 77: stream all-namespaces has those from 0.5 to \
          0.9 (generation.resourceVersion)"; 2]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_is_down_delays_no_other_and_loses_nothing() {
    let directory = tempdir().expect("a directory");
    let (api, script) = cluster(&[]);
    let (one, mut dead) = sink("dead", QUICK);
    let (two, mut healthy) = sink("healthy", QUICK);
    dead.outcome.send_replace(busy());
    let relay = Running::start(directory.path(), api, vec![one, two]).await.expect("started");
    script.events(1..=50);
    assert_eq!(healthy.accepted(50).await.len(), 50);
    relay.until(|status| status.sinks[0].state == SinkState::Retrying).await;
    let status = relay.handle.status();
    assert_eq!(status.sinks[0].lag_records, 50);
    assert!(status.sinks[0].failure.as_ref().is_some_and(|failure| failure.cause == "busy"));
    assert_eq!(relay.handle.ready(), Ok(()), "another pod would not reach it either");
    dead.outcome.send_replace(Outcome::Accepted);
    assert_eq!(dead.accepted(50).await, (1..=50).collect::<Vec<_>>());
    relay.stop().await.expect("stopped in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_sink_had_not_received_is_delivered_after_a_restart_with_its_source_away() {
    let directory = tempdir().expect("a directory");
    let (api, script) = cluster(&[]);
    let (one, dead) = sink("one", QUICK);
    dead.outcome.send_replace(busy());
    let relay = Running::start(directory.path(), api, vec![one]).await.expect("started");
    script.events(1..=20);
    relay.until(|status| status.sinks[0].lag_records == 20).await;
    relay.stop().await.expect("stopped in order");

    let (api, mut script) = cluster(&[]);
    script.identity.send_replace(Answer::Nothing);
    let (one, mut switch) = sink("one", QUICK);
    let relay = Running::start(directory.path(), api, vec![one]).await.expect("started");
    assert_eq!(switch.accepted(20).await, (1..=20).collect::<Vec<_>>());
    let reason = relay.handle.ready().expect_err("the API server is away");
    assert!(reason.contains("all-namespaces") && reason.contains("connecting"), "{reason}");
    assert!(script.known.try_recv().is_err(), "no source runs before the cluster is known");
    script.identity.send_replace(Answer::Uid("one"));
    let known = soon(script.known.recv()).await.expect("the source starts");
    assert_eq!(known.cluster_uid.as_deref(), Some("one"));
    assert!(known.log_covers_since.is_some());
    relay.stop().await.expect("stopped in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_lost_begins_again_in_its_generation() {
    let directory = tempdir().expect("a directory");
    let (api, script) = cluster(&[]);
    let (one, mut switch) = sink("one", QUICK);
    let relay = Running::start(directory.path(), api, vec![one]).await.expect("started");
    script.events(2..=20);
    switch.accepted(19).await;
    relay.stop().await.expect("stopped in order");
    let segment = directory.path().join("streams/all-namespaces/0.2");
    std::fs::rename(&segment, directory.path().join("lost")).expect("renamed");

    let (api, script) = cluster(&[]);
    let (one, mut switch) = sink("one", QUICK);
    let relay = Running::start(directory.path(), api, vec![one]).await.expect("started");
    let stream = relay.handle.status().streams.remove(0);
    assert_eq!(stream.frontier.as_deref(), Some("1"), "nothing that still exists is skipped");
    assert_eq!(stream.gaps.len(), 1);
    script.events(15..=25);
    assert_eq!(switch.accepted(5).await, (21..=25).collect::<Vec<_>>());
    relay.stop().await.expect("stopped in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn cursors_that_are_lost_twice_deliver_again_rather_than_pass_over() {
    let directory = tempdir().expect("a directory");
    let (api, script) = cluster(&[]);
    let (one, mut first) = sink("one", QUICK);
    let relay = Running::start(directory.path(), api, vec![one]).await.expect("started");
    script.events(1..=20);
    assert_eq!(first.accepted(20).await.len(), 20);
    relay.stop().await.expect("stopped in order");
    std::fs::remove_dir_all(directory.path().join("state")).expect("removed");
    std::fs::remove_file(directory.path().join("cursors.json")).expect("removed");

    let (api, _script) = cluster(&[]);
    let (one, mut first) = sink("one", QUICK);
    let relay = Running::start(directory.path(), api, vec![one]).await.expect("started");
    assert_eq!(first.accepted(20).await, (1..=20).collect::<Vec<_>>());
    relay.stop().await.expect("stopped in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_new_to_a_log_receives_what_comes_from_now_on() {
    let directory = tempdir().expect("a directory");
    let (api, script) = cluster(&[]);
    let (one, mut switch) = sink("old", QUICK);
    let relay = Running::start(directory.path(), api, vec![one]).await.expect("started");
    script.events(1..=5);
    switch.accepted(5).await;
    relay.stop().await.expect("stopped in order");

    let (api, script) = cluster(&[]);
    let (one, mut switch) = sink("new", QUICK);
    let relay = Running::start(directory.path(), api, vec![one]).await.expect("started");
    script.events(6..=7);
    assert_eq!(switch.accepted(2).await, [6, 7]);
    relay.stop().await.expect("stopped in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_directory_of_another_cluster_is_refused_at_start_and_later() {
    let directory = tempdir().expect("a directory");
    let (api, _script) = cluster(&[]);
    let relay = Running::start(directory.path(), api, vec![]).await.expect("started");
    relay.stop().await.expect("stopped in order");

    let (api, script) = cluster(&[]);
    script.identity.send_replace(Answer::Uid("two"));
    let refused = Running::start(directory.path(), api, vec![]).await.err().expect("refused");
    assert!(matches!(refused, RelayError::Log(LogError::OtherCluster { .. })), "{refused}");

    let (api, mut script) = cluster(&[]);
    script.identity.send_replace(Answer::Nothing);
    let relay = Running::start(directory.path(), api, vec![]).await.expect("started");
    script.identity.send_replace(Answer::Uid("two"));
    let end = soon(relay.task).await.expect("no panic");
    assert!(matches!(end, Err(RelayError::Log(LogError::OtherCluster { .. }))), "{end:?}");
    assert!(script.known.try_recv().is_err(), "no source has run");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_stream_stops_the_relay_only_when_it_was_the_last() {
    let directory = tempdir().expect("a directory");
    let (api, script) = cluster(&["shop", "bank"]);
    let (one, mut switch) = sink("one", QUICK);
    let relay = Running::start(directory.path(), api, vec![one]).await.expect("started");
    script.streams[1].send(Happening::Refusal("no permission")).expect("the source listens");
    relay.until(|status| status.streams[1].phase == "halted").await;
    let reason = relay.handle.ready().expect_err("a stream is not live");
    assert!(reason.contains("namespace-bank") && reason.contains("no permission"), "{reason}");
    script.events(1..=1);
    assert_eq!(switch.accepted(1).await, [1]);
    script.streams[0].send(Happening::Refusal("gone as well")).expect("the source listens");
    let end = soon(relay.task).await.expect("no panic");
    assert!(end.expect_err("fatal").to_string().contains("gone as well"));
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_waits_for_a_delivery_under_way_until_the_deadline() {
    let directory = tempdir().expect("a directory");
    for (delay, finished) in [(Duration::from_millis(200), true), (Duration::from_secs(60), false)]
    {
        let path = directory.path().join(finished.to_string());
        let (api, script) = cluster(&[]);
        let (one, _switch) = sink("slow", delay);
        let relay = Running::start(&path, api, vec![one]).await.expect("started");
        script.events(1..=1);
        relay.until(|status| status.sinks[0].state == SinkState::Delivering).await;
        relay.stop().await.expect("stopped in order");
        let status = offline_status(&path).expect("readable");
        assert_eq!(status.sinks[0].lag_records, u64::from(!finished));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_relay_can_be_looked_at() {
    let directory = tempdir().expect("a directory");
    let (api, script) = cluster(&[]);
    let (one, dead) = sink("one", QUICK);
    dead.outcome.send_replace(busy());
    let relay = Running::start(directory.path(), api, vec![one]).await.expect("started");
    script.events(1..=7);
    relay.until(|status| status.sinks[0].lag_records == 7).await;
    assert!(offline_status(directory.path()).is_err(), "a running relay holds its directory");
    relay.stop().await.expect("stopped in order");

    let status = offline_status(directory.path()).expect("readable");
    assert_eq!((status.streams[0].records, status.streams[0].phase.as_str()), (7, "stopped"));
    assert_eq!((status.sinks[0].name.as_str(), status.sinks[0].lag_records), ("one", 7));
    assert!(status.sinks[0].lag_seconds > 0.0);
    let other = tempdir().expect("a directory");
    assert!(matches!(offline_status(other.path()), Err(RelayError::NoDirectory(_))));
    assert_eq!(other.path().read_dir().expect("a directory").count(), 0, "it was only looked at");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_cannot_be_built_is_found_before_the_disk_is_touched() {
    let directory = tempdir().expect("a directory");
    let data_dir = directory.path().join("data");
    let kubernetes = KubernetesConfig {
        server: Some("http://127.0.0.1:1".to_owned()),
        ..KubernetesConfig::default()
    };
    let sink = serde_json::from_str(r#"{"name":"oncall","kind":"no-such-kind"}"#);
    let config = RelayConfig {
        cluster: "test".to_owned(),
        source: SourceConfig { kubernetes },
        log: small_log(&data_dir),
        sinks: vec![sink.expect("a sink")],
        drain_deadline: Span::from_secs(1),
        dead_letters: DeadLettersConfig::default(),
    };
    let starting = Starting::default();
    let started = Relay::start(config, Arc::new(Metrics::new()), starting).await;
    let error = started.err().expect("refused");
    assert!(matches!(&error, RelayError::Sink { name, .. } if name == "oncall"), "{error}");
    assert!(!data_dir.exists());
}

/// Fills a log whose only sink is down; returns the relay when the log is full.
async fn fill(log: LogConfig, megabytes: u64) -> (Running, fixtures::Script, fixtures::Switch) {
    let (api, script) = cluster(&[]);
    let (one, dead) = sink("dead", QUICK);
    dead.outcome.send_replace(busy());
    let relay = Running::start_with(log, api, vec![one]).await.expect("started");
    for version in 1..=megabytes * 256 {
        script.streams[0].send(Happening::Event(version, 4 << 10)).expect("the source listens");
    }
    (relay, script, dead)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_log_pauses_intake_until_the_sink_has_caught_up() {
    let directory = tempdir().expect("a directory");
    let (relay, _script, mut dead) = fill(small_log(directory.path()), 100).await;
    relay.until(|status| status.log.full).await;
    let status = relay.handle.status();
    assert!(status.log.bytes <= status.log.max_bytes, "{status:?}");
    dead.outcome.send_replace(Outcome::Accepted);
    assert_eq!(dead.accepted(25_600).await, (1..=25_600).collect::<Vec<_>>());
    relay.until(|status| !status.log.full).await;
    assert_eq!(relay.handle.status().sinks[0].lost, 0);
    relay.stop().await.expect("stopped in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_log_that_drops_counts_exactly_what_the_sink_never_received() {
    let directory = tempdir().expect("a directory");
    let log = LogConfig { when_full: WhenFull::DropOldest, ..small_log(directory.path()) };
    let (relay, _script, mut dead) = fill(log, 100).await;
    relay.until(|status| status.streams[0].records == 25_600 && status.log.bytes < 40 << 20).await;
    dead.outcome.send_replace(Outcome::Accepted);
    relay.until(|status| status.sinks[0].lag_records == 0).await;
    let sink = &relay.handle.status().sinks[0];
    assert_eq!(sink.delivered + sink.lost, 25_600);
    let accepted = dead.accepted(usize::try_from(sink.delivered).expect("small")).await;
    assert!(accepted.is_sorted() && accepted.last() == Some(&25_600));
    relay.stop().await.expect("stopped in order");
}

/// Two segments and a little more: far from full.
const MEGABYTES: u64 = 9;
const RECORDS: u64 = MEGABYTES * 256;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_gone_from_the_log_before_a_start_is_said_and_listed() {
    let directory = tempdir().expect("a directory");
    // On a busy machine commits are small, and small commits take more room: with 64 MiB it may be full.
    let log = LogConfig { max_bytes: ByteSize::mib(512), ..small_log(directory.path()) };
    let (relay, _script, _dead) = fill(log, MEGABYTES).await;
    relay.until(|status| status.streams[0].records == RECORDS).await;
    relay.stop().await.expect("stopped in order");
    let segments = directory.path().join("streams/all-namespaces");
    let entries = std::fs::read_dir(&segments).expect("segments").flatten();
    let names = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<Position>().ok());
    let oldest = names.min().expect("a segment").to_string();
    std::fs::remove_dir_all(segments.join(oldest)).expect("removed");

    let stopped = offline_status(directory.path()).expect("readable");
    let [loss] = &stopped.sinks[0].losses[..] else { panic!("{stopped:?}") };
    assert_eq!((&loss.after, loss.records), (&None, stopped.sinks[0].lost));
    assert!(loss.cause.contains("not in the log any more") && loss.records > 0, "{loss:?}");

    let (api, _script) = cluster(&[]);
    let (one, mut back) = sink("dead", QUICK);
    let relay =
        Running::start_with(small_log(directory.path()), api, vec![one]).await.expect("started");
    let rest = back.accepted(usize::try_from(RECORDS - loss.records).expect("small")).await;
    assert_eq!(rest.first(), Some(&(loss.records + 1)));
    let sink = &relay.handle.status().sinks[0];
    assert_eq!((sink.lost, sink.losses.len()), (loss.records, 1));
    assert_eq!(sink.losses[0].until, loss.until);
    relay.stop().await.expect("stopped in order");
}
