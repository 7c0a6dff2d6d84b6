//! Replays: the feed of a range with time under control, and whole relays with scripted ends.

use std::sync::Arc;
use std::time::Duration;

use tempfile::tempdir;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;

use super::*;
use crate::cursor::AuditEntry;
use crate::event::{Match, Record, StreamId};
use crate::log::LogConfig;
use crate::relay::housekeeping::look_after;
use crate::relay::report::Identity;
use crate::relay::runner::Reading;
use crate::relay::runner::fixtures::{ScriptedFeed, feed, position, records, version};
use crate::relay::status::SinkState;
use crate::relay::tests::fixtures::{
    Happening, Running, Script, Switch, cluster, sink, small_log, soon,
};
use crate::relay::{Order, ReplayError, ReplayRequest, ReplayState, Target};
use crate::setting::Span;
use crate::sink::Outcome;
use crate::telemetry::Metrics;

type Readings = UnboundedSender<Reading<Vec<Record>>>;

fn live() -> Arc<SinkReport> {
    let identity =
        Identity { name: "test".into(), kind: "scripted", exporter: "Stage", required: true };
    let streams = [StreamId::all_namespaces()];
    Arc::new(SinkReport::new(identity, &Arc::new(Metrics::new()), &streams))
}

fn lucky() -> Arc<[Filter]> {
    let exclude: Match = serde_json::from_str(r#"{"reasons":["Unlucky"]}"#).expect("a match");
    [Filter::new(&Match::default(), &[exclude]).expect("patterns")].into()
}

/// What lies behind 10 up to and with `until`, without those of version 13, 113, …
fn range(until: u64, turn: Option<Arc<Turn>>) -> (Readings, RangeFeed<ScriptedFeed>) {
    let (readings, feed) = feed();
    (readings, RangeFeed::new(feed, position(until), until, lucky(), turn))
}

/// What a reading is: versions of records, and where it ends.
fn shape(reading: Reading<Vec<Record>>) -> (Vec<u64>, u64, u64) {
    match reading {
        Reading::Records { records, end, sequence } => {
            assert_eq!(version_of(&end), sequence, "in these streams they are the same");
            (records.iter().map(version).collect(), 0, sequence)
        }
        Reading::Excluded { records, end, sequence, .. } => {
            assert_eq!(version_of(&end), sequence);
            (Vec::new(), records, sequence)
        }
        Reading::Damaged => panic!("nothing is damaged"),
    }
}

fn version_of(position: &crate::event::Position) -> u64 {
    crate::relay::runner::fixtures::version_at(position)
}

async fn all(feed: &mut RangeFeed<ScriptedFeed>) -> Vec<(Vec<u64>, u64, u64)> {
    let mut shapes = Vec::new();
    while let Some(reading) = feed.try_next().await.expect("a scripted log") {
        shapes.push(shape(reading));
    }
    shapes
}

#[tokio::test]
async fn a_feed_gives_exactly_its_range() {
    let (readings, mut feed) = range(17, None);
    readings.send(records(11..=15)).expect("sent");
    let given = all(&mut feed).await;
    assert_eq!(given, [(vec![11, 12], 0, 12), (vec![], 1, 13), (vec![14, 15], 0, 15)]);
    assert!(!feed.is_over());
    readings.send(records(16..=30)).expect("sent");
    assert_eq!(all(&mut feed).await, [(vec![16, 17], 0, 17)]);
    assert!(feed.is_over());
    readings.send(records(31..=40)).expect("sent");
    assert_eq!(all(&mut feed).await, [], "nothing behind the end is given");
}

#[tokio::test]
async fn the_end_of_a_range_is_told_although_it_is_not_there_any_more() {
    let (readings, mut feed) = range(17, None);
    readings.send(records(20..=25)).expect("sent");
    assert_eq!(all(&mut feed).await, [(vec![], 0, 17)]);
    assert!(feed.is_over());

    let (readings, mut feed) = range(17, None);
    let unread = |records, first| Reading::Excluded {
        records,
        first: Some(position(first)),
        end: position(30),
        sequence: 30,
    };
    readings.send(unread(20, 11)).expect("sent");
    assert_eq!(all(&mut feed).await, [(vec![], 7, 17)], "of those unread, the ones in the range");

    let (readings, mut feed) = range(17, None);
    readings.send(unread(5, 26)).expect("sent");
    assert_eq!(all(&mut feed).await, [(vec![], 0, 17)]);
}

#[tokio::test(start_paused = true)]
async fn records_come_as_fast_as_the_rate_says_and_what_is_excluded_at_once() {
    let turn = Arc::new(Turn::new("2/s".parse().expect("a rate"), live()));
    let (readings, mut feed) = range(16, Some(turn));
    readings.send(records(11..=16)).expect("sent");
    let begun = Instant::now();
    let mut times = Vec::new();
    while !feed.is_over() {
        let (versions, excluded, _) = shape(feed.next().await.expect("a scripted log"));
        times.push((versions, excluded, begun.elapsed().as_millis()));
    }
    let one = |version: u64, at| (vec![version], 0, at);
    let excluded = (vec![], 1, 500);
    let expected =
        [one(11, 0), one(12, 500), excluded, one(14, 1_000), one(15, 1_500), one(16, 2_000)];
    assert_eq!(times, expected);
}

#[tokio::test(start_paused = true)]
async fn a_replay_waits_while_its_sink_is_hindered() {
    let live = live();
    let turn = Arc::new(Turn::new("1000/s".parse().expect("a rate"), live.clone()));
    let (readings, mut feed) = range(12, Some(turn));
    readings.send(records(11..=12)).expect("sent");
    for state in [SinkState::Retrying, SinkState::Held, SinkState::Throttled] {
        live.set_state(state);
        let waits = tokio::time::timeout(Duration::from_secs(60), feed.next()).await;
        assert!(waits.is_err(), "{state:?}");
    }
    live.set_state(SinkState::Idle);
    assert_eq!(shape(feed.next().await.expect("a scripted log")), (vec![11, 12], 0, 12));
}

fn order() -> Order {
    Order { from: "a test".to_owned(), dry_run: false }
}

/// From a version up to another.
fn request(from: &str, until: &str, rate: &str) -> ReplayRequest {
    let version = |text: &str| Target::ResourceVersion(text.parse().expect("a version"));
    ReplayRequest {
        sink: "one".to_owned(),
        from: version(from),
        until: Some(version(until)),
        stream: None,
        filter: None,
        rate: rate.parse().ok(),
    }
}

struct Bench {
    relay: Running,
    script: Script,
    switch: Switch,
}

async fn bench(path: &std::path::Path, delay: Duration) -> Bench {
    let (api, script) = cluster(&[]);
    let (one, switch) = sink("one", delay);
    let relay = Running::start(path, api, vec![one]).await.expect("started");
    Bench { relay, script, switch }
}

impl Bench {
    async fn deliver(&mut self, versions: std::ops::RangeInclusive<u64>) {
        self.script.events(versions.clone());
        let count = usize::try_from(versions.end() - versions.start() + 1).expect("small");
        assert_eq!(self.switch.accepted(count).await, versions.collect::<Vec<_>>());
        self.relay.until(|status| status.sinks[0].lag_records == 0).await;
    }

    async fn until_ended(&self, number: u64) -> ReplayStatus {
        let found = || {
            let all = self.relay.handle.replays();
            all.into_iter().find(|replay| replay.number == number).expect("it is kept")
        };
        soon(async {
            while !found().state.has_ended() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        found()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_is_sent_again_and_the_live_cursor_stays() {
    let directory = tempdir().expect("a directory");
    let mut bench = bench(directory.path(), Duration::ZERO).await;
    bench.deliver(1..=50).await;
    let handle = bench.relay.handle.clone();
    let dry = Order { dry_run: true, ..order() };
    let said = handle.replay(&request("11", "21", "500/s"), &dry).await.expect("possible");
    assert_eq!((said.number, said.records), (1, 10));
    assert!(handle.replays().is_empty(), "nothing was done");
    let done = handle.replay(&request("11", "21", "500/s"), &order()).await.expect("begun");
    assert_eq!((done.number, done.records, &done.change.effect), (1, 10, &said.change.effect));
    assert_eq!(bench.switch.accepted(10).await, (11..=20).collect::<Vec<_>>());
    let ended = bench.until_ended(1).await;
    assert_eq!((ended.state, ended.done, ended.total), (ReplayState::Done, 10, 10));
    let status = handle.status();
    assert_eq!((status.sinks[0].lag_records, status.sinks[0].delivered), (0, 50));
    assert_eq!(status.sinks[0].cursors[0].resource_version.as_deref(), Some("50"));
    assert_eq!(status.sinks[0].replays, [ended]);
    let metrics = handle.metrics().sink("one");
    assert_eq!((metrics.replayed.get(), metrics.delivered.get()), (10, 50));
    let entries: Vec<AuditEntry> = handle.changes();
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].action, "cursor replay");
    bench.deliver(51..=55).await;
    assert!(bench.switch.is_quiet());
    bench.relay.stop().await.expect("stopped in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_goes_on_behind_its_cursor_after_a_restart_and_the_next_one_follows() {
    let directory = tempdir().expect("a directory");
    let mut first = bench(directory.path(), Duration::ZERO).await;
    first.deliver(1..=60).await;
    let handle = &first.relay.handle;
    for range in [("1", "41"), ("50", "53")] {
        handle.replay(&request(range.0, range.1, "20/s"), &order()).await.expect("asked for");
    }
    let before = first.switch.accepted(5).await;
    assert_eq!(before, [1, 2, 3, 4, 5]);
    let states: Vec<_> = handle.replays().iter().map(|replay| replay.state).collect();
    assert_eq!(states, [ReplayState::Running, ReplayState::Waiting], "one at a time");
    first.relay.stop().await.expect("stopped in order");
    let mut came = before;
    while let Some(version) = first.switch.now() {
        came.push(version);
    }

    let mut second = bench(directory.path(), Duration::ZERO).await;
    let rest = 40 - came.len() + 3;
    came.extend(second.switch.accepted(rest).await);
    assert_eq!(came, (1..=40).chain(50..=52).collect::<Vec<_>>(), "each once: it ended in order");
    second.until_ended(2).await;
    assert_eq!(second.relay.handle.status().sinks[0].delivered, 0);
    second.relay.stop().await.expect("stopped in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_replay_sends_nothing_more_and_a_paused_sink_receives_none() {
    let directory = tempdir().expect("a directory");
    let mut bench = bench(directory.path(), Duration::ZERO).await;
    bench.deliver(1..=30).await;
    let handle = bench.relay.handle.clone();
    handle.replay(&request("1", "31", "10/s"), &order()).await.expect("begun");
    bench.switch.accepted(2).await;
    handle.pause("one", &order()).await.expect("paused");
    assert_eq!(handle.replays()[0].state, ReplayState::Paused);
    handle.resume("one", &order()).await.expect("resumed");
    let change = handle.cancel_replay(1, &order()).await.expect("cancelled");
    assert_eq!(change.action, "cursor replay cancel");
    let ended = bench.until_ended(1).await;
    assert_eq!(ended.state, ReplayState::Cancelled);
    assert!(ended.done < 30, "{ended:?}");
    let again = handle.cancel_replay(1, &order()).await.expect_err("it has ended");
    assert!(matches!(again, crate::relay::ControlError::Replay(ReplayError::Ended(1))), "{again}");
    while bench.switch.now().is_some() {}
    bench.deliver(31..=33).await;
    assert!(bench.switch.is_quiet());
    bench.relay.stop().await.expect("stopped in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_has_the_filter_of_its_own_and_dead_letters_of_its_sink() {
    let directory = tempdir().expect("a directory");
    let mut bench = bench(directory.path(), Duration::ZERO).await;
    bench.deliver(1..=10).await;
    let handle = bench.relay.handle.clone();
    let none: Match = serde_json::from_str(r#"{"reasons":["Never"]}"#).expect("a match");
    let filtered = ReplayRequest { filter: Some(none), ..request("1", "11", "500/s") };
    let replayed = handle.replay(&filtered, &order()).await.expect("begun");
    assert_eq!(replayed.records, 0);
    assert_eq!(bench.until_ended(1).await.done, 10);
    assert!(bench.switch.is_quiet());

    bench.switch.outcome.send_replace(Outcome::Rejected { reason: "too old".to_owned() });
    handle.replay(&request("3", "5", "500/s"), &order()).await.expect("begun");
    bench.until_ended(2).await;
    assert_eq!(handle.status().sinks[0].dead_letters, 2);
    bench.relay.stop().await.expect("stopped in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_keeps_what_a_replay_has_yet_to_read() {
    let directory = tempdir().expect("a directory");
    let log = LogConfig { retain: Span::default(), ..small_log(directory.path()) };
    let (api, script) = cluster(&[]);
    let ((one, mut switch), (other, mut slow)) =
        (sink("one", Duration::ZERO), sink("other", Duration::ZERO));
    slow.outcome.send_replace(Outcome::Retry { after: None, cause: "busy".to_owned() });
    let relay = Running::start_with(log, api, vec![one, other]).await.expect("started");
    // More than a segment.
    let versions = 1..=2_048;
    for version in versions.clone() {
        script.streams[0].send(Happening::Event(version, 4 << 10)).expect("the source listens");
    }
    assert_eq!(switch.accepted(2_048).await, versions.collect::<Vec<_>>());
    let handle = relay.handle.clone();
    handle.replay(&request("1", "2000", "1/h"), &order()).await.expect("begun");
    slow.outcome.send_replace(Outcome::Accepted);
    slow.accepted(2_048).await;
    relay.until(|status| status.sinks.iter().all(|sink| sink.lag_records == 0)).await;
    // Only durable cursors count.
    handle.shared.state.sync().await.expect("durable");
    let segments = async || {
        look_after(&handle.shared).await.expect("a look");
        handle.status().log.segments
    };
    let held = segments().await;
    assert!(held > 1, "{held}");
    handle.cancel_replay(1, &order()).await.expect("cancelled");
    assert_eq!(segments().await, 1, "nobody needs the others");
    drop(handle);
    relay.stop().await.expect("stopped in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_range_is_refused() {
    let directory = tempdir().expect("a directory");
    let mut bench = bench(directory.path(), Duration::ZERO).await;
    bench.deliver(1..=10).await;
    let refused = async |request: ReplayRequest| {
        bench.relay.handle.replay(&request, &order()).await.expect_err("refused").to_string()
    };
    assert!(refused(request("9", "9", "1/s")).await.contains("no record in this range"));
    assert!(refused(request("9", "2", "1/s")).await.contains("no record in this range"));
    let circular = ReplayRequest {
        from: Target::Back(3),
        until: Some(Target::Forward(3)),
        ..request("1", "2", "1/s")
    };
    assert!(refused(circular).await.contains("counts from its end back"));
    let unreadable: Match = serde_json::from_str(r#"{"reasons":["("]}"#).expect("a match");
    let unreadable = ReplayRequest { filter: Some(unreadable), ..request("1", "2", "1/s") };
    assert!(refused(unreadable).await.starts_with("match: "));
    let elsewhere = ReplayRequest { sink: "two".to_owned(), ..request("1", "2", "1/s") };
    assert!(refused(elsewhere).await.contains("there is no sink \"two\""));
    assert!(bench.relay.handle.replays().is_empty() && bench.relay.handle.changes().is_empty());
    bench.relay.stop().await.expect("stopped in order");
}
