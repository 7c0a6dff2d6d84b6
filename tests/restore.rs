//! Promise 2, when etcd is put back to an older snapshot: the relay notices by itself and begins a new
//! generation. What is new arrives although its resourceVersions were used before; what both histories
//! share is not sent again; what only the old one had stays as it was.

#![allow(clippy::expect_used)] // a test fails where an expectation is not met

mod harness;

use std::collections::{BTreeSet, HashSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use harness::{PATIENCE, Setup, all_done, distinct, live, status_when};
use rig::{Cluster, Conservation, CreatedEvent, EventSpec, Received, Receiver, Relay};

/// From the restore to the new generation, while the relay runs.
const NOTICED_WITHIN: Duration = Duration::from_secs(120);

/// What the relay says when it begins a generation.
const NEW_GENERATION: &str = "listing all events of a new generation";

/// Events of both histories.
const SHARED: usize = 300;
/// Events of the old history only. They hold resourceVersions that the new one uses again, also
/// after the API server has written some of its own.
const LOST: usize = 200;
/// Events of the new history that are created before the relay can have noticed it.
const EARLY: usize = 20;

/// As an operator does it: the API server is stopped meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_restore_begins_a_new_generation() {
    let mut story = Story::begin().await;
    let relay = story.setup.relay().start();
    story.live_through_the_old_history(&relay).await;
    let began = Instant::now();
    story.cluster.restore_etcd(&story.snapshot).await;
    let restored = Instant::now();
    story.create_new(EARLY).await;
    story.noticed(&relay, began, restored).await;
    story.create_beyond_the_old_frontier().await;
    story.arrived().await;
    assert_eq!(story.judge(&relay).await, 0, "nothing is sent again");
    assert!(relay.terminate().await.success());
}

/// Under a running API server, whose watches then wait in silence for versions far in the future.
#[tokio::test(flavor = "multi_thread")]
async fn a_careless_restore_begins_a_new_generation() {
    let mut story = Story::begin().await;
    let relay = story.setup.relay().start();
    story.live_through_the_old_history(&relay).await;
    let began = Instant::now();
    story.cluster.restore_etcd_carelessly(&story.snapshot).await;
    let restored = Instant::now();
    story.create_new(EARLY).await;
    story.noticed(&relay, began, restored).await;
    // It shares leases among events, and may still count on one that is gone.
    story.cluster.restart_apiserver().await;
    story.create_beyond_the_old_frontier().await;
    story.arrived().await;
    assert_eq!(story.judge(&relay).await, 0, "nothing is sent again");
    assert!(relay.terminate().await.success());
}

/// Restored while the relay is stopped, with events in its log that the API server no longer knows
/// and nobody has received.
#[tokio::test(flavor = "multi_thread")]
async fn a_restore_during_a_stop_begins_a_new_generation() {
    let mut story = Story::begin().await;
    let relay = story.setup.relay().start();
    story.shared().await;
    // Else the last answer would be cut off, and rightly that event come again.
    status_when(&relay, |status| all_done(status, SHARED)).await;
    story.receiver.down().await;
    story.lost().await;
    let newest = story.old.last().expect("events").resource_version.to_string();
    status_when(&relay, |status| status.streams[0].frontier.as_ref() == Some(&newest)).await;
    assert!(relay.terminate().await.success());

    story.cluster.restore_etcd(&story.snapshot).await;
    story.create_new(EARLY).await;
    let relay = story.setup.relay().start();
    story.receiver.up();
    story.arrived().await;
    story.create_beyond_the_old_frontier().await;
    story.arrived().await;
    assert_eq!(story.judge(&relay).await, 0, "nothing is sent again");
    assert!(relay.terminate().await.success());
}

/// Killed as soon as the new generation has begun, and again while it is taken over.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_right_after_a_restore_changes_nothing() {
    let mut story = Story::begin().await;
    let relay = story.setup.relay().start();
    story.live_through_the_old_history(&relay).await;
    story.cluster.restore_etcd(&story.snapshot).await;
    story.create_new(EARLY).await;
    relay.wait_for_line(PATIENCE, |line| line.contains(NEW_GENERATION)).await;
    relay.kill().await;
    let relay = story.setup.relay().start();
    let received = story.receiver.count();
    story.receiver.wait_for(PATIENCE, |requests| requests.len() > received).await;
    relay.kill().await;
    story.create_new(EARLY).await;
    let relay = story.setup.relay().start();
    story.arrived().await;
    story.create_beyond_the_old_frontier().await;
    story.arrived().await;
    // A kill may send again what it interrupted, but nothing of the old history.
    story.judge(&relay).await;
    assert!(relay.terminate().await.success());
}

/// A cluster with two histories, and who receives them.
struct Story {
    cluster: Cluster,
    receiver: Receiver,
    setup: Setup,
    snapshot: PathBuf,
    /// Events of the old history, in order; the first [`SHARED`] are in the snapshot.
    old: Vec<CreatedEvent>,
    /// Events of the new one only, in order.
    new: Vec<CreatedEvent>,
}

impl Story {
    async fn begin() -> Self {
        let cluster = Cluster::start().await;
        let receiver = Receiver::start();
        let setup = Setup::new(cluster.folder(), cluster.kubeconfig_path()).webhook(
            "hook",
            &receiver.url(),
            "",
        );
        let snapshot = cluster.folder().join("snapshot");
        Self { cluster, receiver, setup, snapshot, old: Vec::new(), new: Vec::new() }
    }

    async fn shared(&mut self) {
        self.old = self.cluster.client().create_events("default", SHARED, 4).await;
        self.cluster.snapshot_etcd(&self.snapshot).await;
        self.arrived().await;
    }

    async fn lost(&mut self) {
        self.old.extend(self.cluster.client().create_events("default", LOST, 4).await);
    }

    async fn live_through_the_old_history(&mut self, relay: &Relay) {
        self.shared().await;
        self.lost().await;
        self.arrived().await;
        live(relay).await;
    }

    async fn create_new(&mut self, count: usize) {
        for _ in 0..count {
            let spec = EventSpec::new(&format!("new-{}", self.new.len()));
            self.new.push(self.cluster.client().create_event("default", &spec).await);
        }
    }

    /// Only safe once the relay has noticed: from then on versions below tell nothing.
    async fn create_beyond_the_old_frontier(&mut self) {
        let frontier = self.old.last().expect("events").resource_version;
        while self.new.last().is_none_or(|event| event.resource_version < frontier + 20) {
            self.create_new(1).await;
        }
    }

    /// Waits for the new generation, and tells how long that took.
    async fn noticed(&self, relay: &Relay, began: Instant, restored: Instant) {
        let told = relay.wait_for_line(PATIENCE, |line| line.contains(NEW_GENERATION)).await;
        let took = told.arrived.duration_since(began);
        println!(
            "new generation {took:?} after the restore began, {:?} after the API server was ready",
            told.arrived.saturating_duration_since(restored)
        );
        assert!(took < NOTICED_WITHIN, "{took:?}");
    }

    /// Waits until everything created so far has arrived.
    async fn arrived(&self) {
        let created = self.old.len() + self.new.len();
        self.receiver.wait_for(PATIENCE, |requests| distinct(requests) >= created).await;
    }

    /// Looks at everything that was received, and returns how much of it came twice.
    async fn judge(&self, relay: &Relay) -> usize {
        assert_eq!(live(relay).await.streams[0].generation, 1);
        let shared_until = self.old[SHARED - 1].resource_version;
        let old_versions: HashSet<u64> = self.old.iter().map(|it| it.resource_version).collect();
        let frontier = self.old.last().expect("events").resource_version;
        let collisions =
            self.new.iter().filter(|it| old_versions.contains(&it.resource_version)).count();
        assert!(self.new.iter().all(|it| it.resource_version > shared_until), "a wrong snapshot");
        assert!(self.new.iter().any(|it| it.resource_version > frontier), "nothing lies beyond");
        assert!(collisions > EARLY / 2, "only {collisions} versions are used twice");
        println!("{} new events, {collisions} with versions used before", self.new.len());

        let requests = self.receiver.requests();
        let accepted: Vec<_> = requests.iter().filter(|request| request.accepted()).collect();
        let mut oracle = Conservation::new();
        oracle.created(self.old.iter().chain(&self.new));
        let new: HashSet<&str> = self.new.iter().map(|event| event.uid.as_str()).collect();
        let is_new = |request: &&Received| new.contains(uid(request).as_str());
        let boundary = accepted.iter().position(is_new).expect("new events");
        for (index, request) in accepted.iter().enumerate() {
            if index == boundary {
                oracle.new_run();
            }
            assert_eq!(is_new(request), index >= boundary, "an old event among the new ones");
            oracle.received_object(&request.json());
        }
        let verdict = oracle.check();
        verdict.assert();
        let keys: BTreeSet<_> =
            accepted.iter().filter_map(|request| request.header("idempotency-key")).collect();
        assert_eq!(keys.len(), self.old.len() + self.new.len(), "one key for each event");
        verdict.duplicates
    }
}

fn uid(request: &Received) -> String {
    request.json()["metadata"]["uid"].as_str().expect("a uid").to_owned()
}
