//! A range is sent again beside the live stream: exactly that range, in order, at least once, also when the
//! relay is killed in the middle; what is live comes as if nothing else did.

#![allow(clippy::expect_used)] // a test fails where an expectation is not met

mod harness;

use std::collections::BTreeSet;
use std::time::Duration;

use harness::metrics::Metrics;
use harness::place::{Place, versions};
use harness::{PATIENCE, Setup, all_done, create_at_rate, status_when};
use kube_event_relay::cursor::AuditEntry;
use kube_event_relay::relay::{Change, ReplayState, ReplayStatus, Replayed, Status};
use rig::{Behaviour, Cluster, EventSpec, Received, Receiver, Relay};

/// Events that are delivered before anything is sent again.
const EVENTS: usize = 300;

struct Bench {
    cluster: Cluster,
    oncall: Receiver,
    setup: Setup,
}

impl Bench {
    async fn start() -> Self {
        let cluster = Cluster::start().await;
        let oncall = Receiver::start();
        let setup = Setup::new(cluster.folder(), cluster.kubeconfig_path()).webhook(
            "oncall",
            &oncall.url(),
            "",
        );
        Self { cluster, oncall, setup }
    }

    /// A relay that has delivered so many events. Returns their versions, in order; the receiver has
    /// forgotten them.
    async fn relay(&self, events: usize) -> (Relay, Vec<u64>) {
        let relay = self.setup.relay().start();
        self.cluster.client().create_events("default", events, 4).await;
        status_when(&relay, |status| all_done(status, events)).await;
        let delivered = versions(&self.oncall.requests());
        assert_eq!(delivered.len(), events);
        self.oncall.clear();
        (relay, delivered)
    }

    async fn received(&self, count: usize) -> Vec<Received> {
        self.oncall.wait_for(PATIENCE, |requests| requests.len() >= count).await
    }
}

/// Waits until a replay has ended.
async fn ended(relay: &Relay, number: u64) -> ReplayStatus {
    let find = |status: &Status| {
        let replays = status.sinks[0].replays.iter();
        let mut ended = replays.filter(|replay| replay.state.has_ended());
        ended.find(|replay| replay.number == number).cloned()
    };
    let status = status_when(relay, |status| find(status).is_some()).await;
    find(&status).expect("it has ended")
}

/// The same without what came before.
fn distinct(versions: &[u64]) -> Vec<u64> {
    let mut seen = BTreeSet::new();
    versions.iter().copied().filter(|version| seen.insert(*version)).collect()
}

/// Those that are replayed, and those that are live.
fn split(versions: &[u64], newest: u64) -> (Vec<u64>, Vec<u64>) {
    versions.iter().partition(|version| **version <= newest)
}

fn in_order(versions: &[u64]) -> bool {
    versions.is_sorted_by(|before, after| before < after)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_arrives_completely_and_in_order_while_the_relay_is_killed_and_events_flow() {
    let bench = Bench::start().await;
    let (relay, delivered) = bench.relay(EVENTS).await;
    let newest = *delivered.last().expect("events");
    let range = &delivered[60..240];
    let client = bench.cluster.client().clone();
    let writing = tokio::spawn(async move { create_at_rate(&client, 0..200, 20).await });
    // What is live flows before anything is sent again.
    bench.received(10).await;
    let place = Place::running(&bench.setup, &relay).await;
    let (from, until) = (range[0].to_string(), delivered[240].to_string());
    let change = place.change(&[
        "cursor",
        "replay",
        "oncall",
        "--from-rv",
        &from,
        "--to-rv",
        &until,
        "--rate",
        "40/s",
    ]);
    assert!(change.effect.starts_with("180 records of 180 are sent again"), "{}", change.effect);

    let replayed = |requests: &[Received]| split(&versions(requests), newest).0.len();
    let (mut relay, mut lives) = (relay, vec![0]);
    for count in [50, 120] {
        bench.oncall.wait_for(PATIENCE, |requests| replayed(requests) >= count).await;
        relay.kill().await;
        lives.push(bench.oncall.count());
        relay = bench.setup.relay().start();
    }
    let status = ended(&relay, 1).await;
    assert_eq!((status.state, status.done, status.total), (ReplayState::Done, 180, 180));
    assert_eq!(status.lost, 0);
    let created = writing.await.expect("the writer ends by itself");
    status_when(&relay, |status| all_done(status, EVENTS + created.len())).await;

    let requests = bench.oncall.requests();
    let (again, live) = split(&versions(&requests), newest);
    assert_eq!(distinct(&again), range, "the whole range and nothing else, in order");
    let expected: Vec<u64> = created.iter().map(|event| event.resource_version).collect();
    assert_eq!(distinct(&live), expected, "everything live, in order");
    lives.push(requests.len());
    let of_life = |life: &[usize]| split(&versions(&requests[life[0]..life[1]]), newest);
    let lives: Vec<_> = lives.windows(2).map(of_life).collect();
    assert!(lives.iter().all(|(again, live)| in_order(again) && in_order(live)));
    println!(
        "replayed and live in each life: {:?}; twice: {} of the range, {} live",
        lives.iter().map(|(again, live)| (again.len(), live.len())).collect::<Vec<_>>(),
        again.len() - range.len(),
        live.len() - expected.len()
    );
    assert!(again.len() < 2 * range.len(), "it went on, and did not begin anew");
    let first = versions(&requests).iter().position(|version| *version <= newest);
    let last = versions(&requests).iter().rposition(|version| *version <= newest);
    let meanwhile = &requests[first.expect("replayed")..last.expect("replayed")];
    assert!(split(&versions(meanwhile), newest).1.len() >= 20, "live events came in between");

    let metrics = Metrics::of(&relay).await;
    let left: u64 =
        metrics.number("kube_event_relay_sink_replay_remaining_records{sink=\"oncall\"}");
    let sent: u64 = metrics.number("kube_event_relay_sink_replayed_total{sink=\"oncall\"}");
    assert_eq!((sent, left), (lives[2].0.len() as u64, 0), "of this life");
    assert!(relay.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_is_kept_and_a_replay_can_be_cancelled() {
    let bench = Bench::start().await;
    let (relay, delivered) = bench.relay(100).await;
    let place = Place::running(&bench.setup, &relay).await;
    place.change(&["cursor", "replay", "oncall", "--beginning", "--rate", "20/s"]);
    let status = place.run(&["status"]);
    assert!(status.stdout.contains("REPLAY"), "{}", status.stdout);
    let requests = bench.received(41).await;
    let took = requests[40].arrived.duration_since(requests[0].arrived);
    println!("40 records at 20/s took {took:.2?}");
    assert!(took >= Duration::from_millis(1_500), "{took:?}");

    let change: Change = place.ask(&["cursor", "replay", "cancel", "1"]);
    assert_eq!(change.after, "cancelled");
    let list: Vec<ReplayStatus> = place.ask(&["cursor", "replay", "list"]);
    let [cancelled] = &list[..] else { panic!("{list:?}") };
    assert_eq!(cancelled.state, ReplayState::Cancelled);
    // One under way may still have arrived.
    let came = bench.oncall.count();
    assert!((41..100).contains(&came), "{came}");
    let again = place.run(&["cursor", "replay", "cancel", "1"]);
    assert!(again.stderr.contains("replay 1 has ended already"), "{again:?}");
    bench.cluster.client().create_events("default", 3, 1).await;
    status_when(&relay, |status| all_done(status, 103)).await;
    let (again, live) = split(&versions(&bench.oncall.requests()), delivered[99]);
    assert_eq!((again, live.len()), (delivered[..came].to_vec(), 3));

    let entries: Vec<AuditEntry> = place.ask(&["audit"]);
    let actions: Vec<_> = entries.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(actions, ["cursor replay", "cursor replay cancel"]);
    assert!(relay.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_waits_while_its_sink_is_down_and_what_is_live_goes_first() {
    let bench = Bench::start().await;
    let (relay, delivered) = bench.relay(40).await;
    let place = Place::running(&bench.setup, &relay).await;
    bench.oncall.behave(Behaviour::status(503));
    bench.cluster.client().create_events("default", 5, 1).await;
    bench.received(1).await;
    place.change(&[
        "cursor",
        "replay",
        "oncall",
        "--count",
        "30",
        "--beginning",
        "--rate",
        "500/s",
    ]);
    let yields = |status: &Status| status.sinks[0].replays[0].state == ReplayState::Yielding;
    status_when(&relay, yields).await;
    bench.oncall.behave(Behaviour::status(200));
    ended(&relay, 1).await;
    status_when(&relay, |status| all_done(status, 45)).await;
    let mut requests = bench.oncall.requests();
    requests.retain(Received::accepted);
    let (again, live) = split(&versions(&requests), delivered[39]);
    assert_eq!((again, live.len()), (delivered[..30].to_vec(), 5));
    assert!(versions(&requests)[0] > delivered[39], "what is live goes first");
    assert!(relay.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dry_run_says_is_what_happens() {
    let (bench, warned) = (Bench::start().await, Receiver::start());
    let setup = bench.setup.clone().webhook("warned", &warned.url(), "match: {type: Warning}");
    let bench = Bench { setup, ..bench };
    let (relay, delivered) = bench.relay(20).await;
    for number in 0..5 {
        let spec = EventSpec { kind: "Warning".into(), ..EventSpec::new(&format!("bad-{number}")) };
        bench.cluster.client().create_event("default", &spec).await;
    }
    status_when(&relay, |status| all_done(status, 25)).await;
    let warnings = versions(&bench.oncall.requests());
    let place = Place::running(&bench.setup, &relay).await;
    let ask = |arguments: &[&str]| {
        let command = ["cursor", "replay", "oncall", "--rate", "200/s"];
        place.ask::<serde_json::Value>(&[&command, arguments].concat())
    };
    let cases: [(&[&str], Vec<u64>); 3] = [
        (&["--since", "2h", "--match", "{type: Warning}"], warnings.clone()),
        (&["--back", "7"], [&delivered[18..], &warnings].concat()),
        (&["--beginning", "--count", "4"], delivered[..4].to_vec()),
    ];
    for (arguments, expected) in cases {
        bench.oncall.clear();
        let said: Replayed =
            serde_json::from_value(ask(&[arguments, &["--dry-run"]].concat())).expect("an answer");
        assert_eq!(said.records, expected.len() as u64, "{arguments:?}");
        assert_eq!(bench.oncall.count(), 0, "nothing is done");
        let done: ReplayStatus =
            serde_json::from_value(ask(&[arguments, &["--wait"]].concat())).expect("an answer");
        assert_eq!((done.state, done.number), (ReplayState::Done, said.number));
        assert_eq!(versions(&bench.oncall.requests()), expected, "{arguments:?}");
    }
    // What a sink was never to see is not sent to it by a replay either.
    warned.clear();
    let said: Change = place.ask(&["cursor", "replay", "warned", "--beginning", "--dry-run"]);
    assert!(said.effect.starts_with("5 records of 25 are sent again"), "{}", said.effect);
    place.ask::<ReplayStatus>(&["cursor", "replay", "warned", "--beginning", "--wait"]);
    assert_eq!(versions(&warned.requests()), warnings);
    let nothing = place.run(&["cursor", "replay", "oncall", "--since", "2h", "--until", "1h"]);
    assert!(nothing.stderr.contains("there is no record in this range"), "{nothing:?}");
    assert!(relay.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_asked_of_a_stopped_relay_begins_with_its_next_start() {
    let bench = Bench::start().await;
    let (relay, delivered) = bench.relay(30).await;
    assert!(relay.terminate().await.success());
    let stopped = Place::Stopped(bench.setup.data());
    let change = stopped.change(&["cursor", "replay", "oncall", "--back", "10"]);
    assert!(change.effect.starts_with("10 records of 10 "), "{}", change.effect);
    stopped.change(&["cursor", "replay", "oncall", "--beginning"]);
    stopped.change(&["cursor", "replay", "cancel", "2"]);
    let list: Vec<ReplayStatus> = stopped.ask(&["cursor", "replay", "list"]);
    let states: Vec<_> = list.iter().map(|replay| replay.state).collect();
    assert_eq!(states, [ReplayState::Waiting, ReplayState::Cancelled]);
    let elsewhere = stopped.run(&["cursor", "replay", "pager", "--beginning"]);
    assert!(elsewhere.stderr.contains("there is no sink \"pager\"; there are: oncall"));

    let relay = bench.setup.relay().start();
    let done = ended(&relay, 1).await;
    assert_eq!((done.state, done.done), (ReplayState::Done, 10));
    assert!(done.asked_by.ends_with("at the data directory"), "{done:?}");
    assert_eq!(versions(&bench.oncall.requests()), delivered[20..]);
    assert!(relay.terminate().await.success());
}
