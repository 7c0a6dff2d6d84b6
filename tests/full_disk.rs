//! Promise 7: disk is bounded. A full log waits or drops, as it was told; what is dropped is counted,
//! listed and said; a full volume stops intake and nothing else, and both end by themselves.

#![allow(clippy::expect_used)] // a test fails where an expectation is not met

mod harness;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use harness::metrics::Metrics;
use harness::place::Place;
use harness::{PATIENCE, Setup, accepted, distinct, live, program, status_when};
use kube_event_relay::relay::{FullReason, LossStatus, SinkStatus, Status};
use rand::distr::{Alphanumeric, SampleString};
use rand::{SeedableRng, rngs::StdRng};
use rig::{Cluster, CreatedEvent, EventSpec, Receiver, Relay, Volume};

/// Bytes of an event's message. They hardly compress: 800 events are 24 MiB in the log, 45 on disk.
const MESSAGE_BYTES: usize = 40_000;
const EVENTS: usize = 800;
/// Leaves about 24 MiB to the segments, beside the reserve and what is kept free.
const MAX_BYTES: u64 = 64 << 20;
const VOLUME_BYTES: u64 = 96 << 20;
/// How soon intake must go on once there is room.
const RESUMES_WITHIN: Duration = Duration::from_secs(10);

/// A log full of what a dead sink has not received.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_log_waits_or_drops_and_every_record_is_accounted_for() {
    let cluster = Cluster::start().await;
    a_dead_sink_pauses_intake_and_nothing_is_lost(&cluster).await;
    what_an_operator_gives_up_makes_room(&cluster).await;
    what_is_dropped_is_counted_and_listed(&cluster, "dropping", "whenFull: drop-oldest", "").await;
    let best_effort = "required: false";
    what_is_dropped_is_counted_and_listed(&cluster, "best-effort", "whenFull: pause", best_effort)
        .await;
}

/// A volume that others have filled to the last byte.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_volume_is_waited_for_and_nothing_is_lost() {
    if !Volume::is_possible() {
        return;
    }
    let volume = Volume::create(VOLUME_BYTES);
    let cluster = Cluster::start().await;
    let disk = Disk { volume, cluster: &cluster };
    disk.a_first_start_without_room_spoils_nothing().await;
    disk.it_goes_on_by_itself_when_there_is_room().await;
    disk.a_list_waits_for_room().await;
}

async fn a_dead_sink_pauses_intake_and_nothing_is_lost(cluster: &Cluster) {
    let (dead, well) = (Receiver::start(), Receiver::start());
    dead.down().await;
    let setup = setup_in(cluster.folder(), cluster, "pausing", &limits("whenFull: pause"))
        .webhook("dead", &dead.url(), "")
        .webhook("well", &well.url(), "");
    let (start, data) = (setup.relay(), setup.data());
    let fill = Sampler::begin(&data);
    let relay = start.start();
    live(&relay).await;
    let created = create(cluster, "pausing", EVENTS).await;

    let before = it_is_full(&relay, &well).await;
    assert!(relay.terminate().await.success(), "in order, although it is full");
    let relay = start.start();
    it_is_full(&relay, &well).await;
    relay.kill().await;
    let relay = start.start();
    let again = it_is_full(&relay, &well).await;
    let most = fill.end();

    dead.up();
    let begun = Instant::now();
    let status = status_when(&relay, |status| !status.log.full).await;
    let resumed = begun.elapsed();
    println!(
        "pause: full at {} records of {EVENTS}, {} bytes, after two restarts at {}; resumed {resumed:.1?} after the sink was \
         back, at {} bytes; at most {most} of {MAX_BYTES} bytes on disk",
        before.streams[0].records, before.log.bytes, again.streams[0].records, status.log.bytes
    );
    assert!(most <= MAX_BYTES, "{most} bytes on disk");
    for receiver in [&dead, &well] {
        let requests = receiver.wait_for(PATIENCE, |requests| distinct(requests) >= EVENTS).await;
        accepted(&requests, &created).check().assert();
    }
    let status = status_when(&relay, |status| status.sinks.iter().all(is_done)).await;
    assert!(status.sinks.iter().all(|sink| sink.lost == 0 && sink.losses.is_empty()));
    assert_eq!(lost_metric(&relay, "dead").await, 0);
    assert!(relay.terminate().await.success());
}

/// As the operators' guide says: what only a dead sink waits for is skipped, and intake goes on.
async fn what_an_operator_gives_up_makes_room(cluster: &Cluster) {
    let (dead, well) = (Receiver::start(), Receiver::start());
    dead.down().await;
    let setup = setup_in(cluster.folder(), cluster, "giving-up", &limits("whenFull: pause"))
        .webhook("dead", &dead.url(), "")
        .webhook("well", &well.url(), "");
    let relay = setup.relay().start();
    live(&relay).await;
    create(cluster, "giving-up", EVENTS).await;
    let records = it_is_full(&relay, &well).await.streams[0].records;
    let place = Place::running(&setup, &relay).await;
    let change = place.change(&["cursor", "seek", "dead", "--end"]);
    assert_eq!(change.effect, format!("{records} records are skipped and never delivered"));
    // Until what the sink misses since then fills it again.
    let status = status_when(&relay, |status| status.streams[0].records >= records + 50).await;
    assert_eq!(status.sinks[0].lost, 0, "given up by an operator, not lost");
    assert!(relay.terminate().await.success());
}

/// Waits until the log is full, and looks whether everything that does not need room works.
async fn it_is_full(relay: &Relay, well: &Receiver) -> Status {
    status_when(relay, |status| status.log.full).await;
    // What was on its way when intake was closed is still written.
    let mut before = 0;
    let mut since = Instant::now();
    let status = status_when(relay, |status| {
        let records = status.streams[0].records;
        if std::mem::replace(&mut before, records) != records || !is_done(&status.sinks[1]) {
            since = Instant::now();
        }
        since.elapsed() > Duration::from_secs(1)
    })
    .await;
    assert_eq!(status.log.full_reason, Some(FullReason::MaxBytes));
    assert!(status.streams[0].records < EVENTS as u64, "intake waits");
    assert_eq!(distinct(&well.requests()) as u64, status.streams[0].records, "all that is there");
    Metrics::with_lines(relay, "kube_event_relay_log_full 1").await;
    for path in ["/healthz", "/healtz"] {
        assert_eq!(relay.get_text(path).await, "ok", "{path}: a restart would not help");
    }
    let (_, checks) = relay.get("/readyz?verbose").await;
    assert!(checks.contains("[-] log: full, intake waits\n"), "{checks}");
    let page = page_of(&["--server", &relay.admin_url().await]);
    assert!(page.contains("!! log: full ("), "{page}");
    status
}

/// The dead sink loses what the log cannot hold, and nothing else is lost to anyone.
async fn what_is_dropped_is_counted_and_listed(
    cluster: &Cluster,
    namespace: &str,
    policy: &str,
    dead_sink: &str,
) {
    let (dead, well) = (Receiver::start(), Receiver::start());
    dead.down().await;
    let setup = setup_in(cluster.folder(), cluster, namespace, &limits(policy))
        .webhook("dead", &dead.url(), dead_sink)
        .webhook("well", &well.url(), "");
    let (start, data) = (setup.relay(), setup.data());
    let fill = Sampler::begin(&data);
    let relay = start.start();
    live(&relay).await;
    let mut created = Vec::new();
    while created.len() < EVENTS {
        created.extend(create(cluster, namespace, 50).await);
        // A sink that is as far behind as a dead one would lose the same.
        let count = created.len();
        well.wait_for(PATIENCE, |requests| distinct(requests) >= count).await;
    }

    let took_all = |status: &Status| {
        status.streams[0].records == EVENTS as u64 && !status.log.full && is_done(&status.sinks[1])
    };
    let status = status_when(&relay, |status| took_all(status) && status.sinks[0].lost > 0).await;
    let most = fill.end();
    let running = &status.sinks[0];
    assert_eq!(lost_metric(&relay, "dead").await, running.lost);
    assert_eq!((lost_metric(&relay, "well").await, status.sinks[1].lost), (0, 0));
    relay.wait_for_line(PATIENCE, |line| line.contains("records are lost for the sink")).await;
    let page = page_of(&["--server", &relay.admin_url().await]);
    assert!(page.contains("!! sink dead: ") && page.contains("never to be delivered"), "{page}");
    relay.kill().await;

    // What the sink had in its hands when it was killed is gone, too.
    let stopped = offline(&data).sinks.into_iter().find(|sink| sink.name == "dead");
    let stopped = stopped.expect("the dead sink");
    assert!(stopped.lost >= running.lost, "{} {}", stopped.lost, running.lost);
    let relay = start.start();
    let again = status_when(&relay, took_all).await;
    assert_eq!(ranges(&again.sinks[0].losses), ranges(&stopped.losses), "known after a restart");
    assert_eq!(lost_metric(&relay, "dead").await, stopped.lost - running.lost, "new since then");

    dead.up();
    let status = status_when(&relay, |status| status.sinks.iter().all(is_done)).await;
    let dead_sink = &status.sinks[0];
    println!(
        "{namespace}: {} of {EVENTS} records lost in {} ranges ({} of them in the sink's hands), {} \
         delivered later; at most {most} of {MAX_BYTES} bytes on disk",
        dead_sink.lost,
        dead_sink.losses.len(),
        stopped.lost - running.lost,
        dead_sink.delivered
    );
    assert!(most <= MAX_BYTES, "{most} bytes on disk");
    each_is_delivered_or_lost(&created, &dead, dead_sink);
    let requests = well.wait_for(PATIENCE, |requests| distinct(requests) >= EVENTS).await;
    accepted(&requests, &created).check().assert();
    assert!(relay.terminate().await.success());
}

/// Exactly: none is missing without a report, and none is reported and was delivered.
fn each_is_delivered_or_lost(created: &[CreatedEvent], receiver: &Receiver, sink: &SinkStatus) {
    let requests = receiver.requests();
    let delivered: BTreeSet<u64> = requests
        .iter()
        .filter(|request| request.accepted())
        .map(|request| version(&request.json()))
        .collect();
    let ranges = ranges(&sink.losses);
    let mut lost = 0;
    for event in created {
        let version = event.resource_version;
        let is_lost = ranges.iter().any(|(after, until)| *after < version && version <= *until);
        lost += u64::from(is_lost);
        assert_ne!(is_lost, delivered.contains(&version), "{version}: {ranges:?}");
    }
    assert_eq!(lost, sink.lost);
    assert_eq!(lost, sink.losses.iter().map(|loss| loss.records).sum::<u64>());
    assert_eq!(delivered.len() as u64 + lost, created.len() as u64);
}

/// A relay and its log on a volume of its own.
struct Disk<'a> {
    volume: Volume,
    cluster: &'a Cluster,
}

impl Disk<'_> {
    /// Nothing that the first, failing start has left keeps the next one from starting.
    async fn a_first_start_without_room_spoils_nothing(&self) {
        let receiver = Receiver::start();
        let setup = self.setup("first").webhook("all", &receiver.url(), "");
        let start = setup.relay();
        self.volume.fill(0);
        let plug = self.plug();
        let relay = start.start();
        let status = relay.wait_exit(PATIENCE).await;
        assert_eq!(status.code(), Some(1));
        relay.wait_for_line(PATIENCE, |line| line.contains("no space left for")).await;
        self.free(&plug);

        let created = create(self.cluster, "first", 3).await;
        let relay = start.start();
        let requests = receiver.wait_for(PATIENCE, |requests| distinct(requests) >= 3).await;
        accepted(&requests, &created).check().assert();
        assert!(relay.terminate().await.success());
        fs::remove_dir_all(setup.data()).expect("removed");
    }

    /// Filled below the reserve while the relay runs; killed and started again meanwhile.
    async fn it_goes_on_by_itself_when_there_is_room(&self) {
        let (dead, well) = (Receiver::start(), Receiver::start());
        dead.down().await;
        let setup =
            self.setup("room").webhook("dead", &dead.url(), "").webhook("well", &well.url(), "");
        let start = setup.relay();
        let relay = start.start();
        live(&relay).await;
        let mut created = create(self.cluster, "room", 100).await;
        well.wait_for(PATIENCE, |requests| distinct(requests) >= 100).await;

        let plug = self.fill_below_reserve(&setup.data()).await;
        created.extend(create(self.cluster, "room", 100).await);
        let status = status_when(&relay, |status| status.log.full).await;
        assert_eq!(status.log.full_reason, Some(FullReason::Volume));
        assert_eq!(status.streams[0].records, 100, "nothing can be written");
        assert_eq!(relay.get_text("/healthz").await, "ok");
        Metrics::with_lines(&relay, "kube_event_relay_log_full 1").await;
        let page = page_of(&["--server", &relay.admin_url().await]);
        assert!(page.contains("!! log: its volume is full"), "{page}");
        relay.kill().await;

        let relay = start.start();
        self.it_waits_at_its_start(&relay).await;
        assert!(relay.terminate().await.success(), "told to end while it waits");
        let relay = start.start();
        self.it_waits_at_its_start(&relay).await;

        let resumed = self.free_and_wait(&plug, &well, 200).await;
        println!("volume: a start that waited went on {resumed:.1?} after there was room");
        assert!(resumed < RESUMES_WITHIN);

        // The reserve is there again. It is what the next start opens the log with.
        while !setup.data().join("reserve").exists() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        relay.kill().await;
        self.volume.fill(0);
        let plug = self.plug();
        let relay = start.start();
        let status = status_when(&relay, |status| !status.streams.is_empty()).await;
        assert_eq!(status.streams[0].records, 200);
        assert!(!setup.data().join("reserve").exists(), "given up first");
        dead.up();
        dead.wait_for(PATIENCE, |requests| distinct(requests) >= 200).await;
        created.extend(create(self.cluster, "room", 100).await);
        status_when(&relay, |status| status.log.full_reason == Some(FullReason::Volume)).await;
        let resumed = self.free_and_wait(&plug, &well, 300).await;
        println!("volume: a relay that waited went on {resumed:.1?} after there was room");
        assert!(resumed < RESUMES_WITHIN);

        for receiver in [&dead, &well] {
            let requests = receiver.wait_for(PATIENCE, |requests| distinct(requests) >= 300).await;
            accepted(&requests, &created).check().assert();
        }
        let status = status_when(&relay, |status| status.sinks.iter().all(is_done)).await;
        assert!(status.sinks.iter().all(|sink| sink.lost == 0), "{status:?}");
        assert!(relay.terminate().await.success());
        fs::remove_dir_all(setup.data()).expect("removed");
    }

    /// A list larger than what the volume has to give.
    async fn a_list_waits_for_room(&self) {
        let created = create(self.cluster, "list", EVENTS / 2).await;
        let receiver = Receiver::start();
        let setup = self.setup("list").webhook("all", &receiver.url(), "");
        // A little more than what appending leaves alone.
        self.volume.fill(28 << 20);
        let relay = setup.relay().start();
        let status = status_when(&relay, |status| status.log.full).await;
        assert_eq!(status.log.full_reason, Some(FullReason::Volume));
        assert_eq!(receiver.count(), 0, "an incomplete list is not passed on");
        self.volume.free_up();
        let count = created.len();
        let requests = receiver.wait_for(PATIENCE, |requests| distinct(requests) >= count).await;
        accepted(&requests, &created).check().assert();
        assert!(relay.terminate().await.success());
    }

    /// The log, and the configuration beside it, on the volume.
    fn setup(&self, namespace: &str) -> Setup {
        setup_in(&self.volume.path(), self.cluster, namespace, "retain: 1h")
    }

    async fn it_waits_at_its_start(&self, relay: &Relay) {
        relay.wait_for_line(PATIENCE, |line| line.contains("the start waits for room")).await;
        assert_eq!(relay.get_text("/healthz").await, "ok");
        assert_eq!(relay.get_text("/healtz").await, "ok");
        let (code, reason) = relay.get("/readyz").await;
        assert_eq!(code, 503);
        assert!(reason.contains("no room to open"), "{reason}");
        let status = status_when(relay, |status| status.log.full).await;
        assert_eq!(status.log.full_reason, Some(FullReason::Volume));
    }

    /// Fills the volume, and once the relay has given its reserve up, that too.
    async fn fill_below_reserve(&self, data: &Path) -> PathBuf {
        self.volume.fill(0);
        let give_up = Instant::now() + PATIENCE;
        while data.join("reserve").exists() {
            assert!(Instant::now() < give_up, "the reserve is not given up");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.plug()
    }

    /// Takes the last byte.
    fn plug(&self) -> PathBuf {
        let path = self.volume.path().join("plug");
        let mut file = File::create(&path).expect("a file takes no room");
        for size in [1 << 20, 4096, 1] {
            let bytes = vec![1; size];
            let problem = std::iter::repeat_with(|| file.write_all(&bytes)).find_map(Result::err);
            assert_eq!(problem.map(|problem| problem.kind()), Some(ErrorKind::StorageFull));
        }
        path
    }

    fn free(&self, plug: &Path) {
        fs::remove_file(plug).expect("removed");
        self.volume.free_up();
    }

    /// Gives the room back; how long it takes until so many records have arrived.
    async fn free_and_wait(&self, plug: &Path, receiver: &Receiver, records: usize) -> Duration {
        let before = distinct(&receiver.requests());
        assert!(before < records, "intake waited");
        let begun = Instant::now();
        self.free(plug);
        receiver.wait_for(PATIENCE, |requests| distinct(requests) > before).await;
        let resumed = begun.elapsed();
        receiver.wait_for(PATIENCE, |requests| distinct(requests) >= records).await;
        resumed
    }
}

/// Watches how much a directory takes on disk.
struct Sampler {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Sampler {
    fn begin(path: &Path) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (path, stopped) = (path.to_owned(), stop.clone());
        let thread = std::thread::spawn(move || {
            let mut most = 0;
            while !stopped.load(Ordering::Relaxed) {
                most = most.max(bytes_below(&path));
                std::thread::sleep(Duration::from_millis(5));
            }
            most
        });
        Self { stop, thread }
    }

    /// The most it has taken, in bytes.
    fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("sampled")
    }
}

fn bytes_below(path: &Path) -> u64 {
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_below(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    fs::read_dir(path).map_or(0, |entries| entries.flatten().map(size).sum())
}

/// Options of the log.
fn limits(policy: &str) -> String {
    format!("maxBytes: {}MiB, {policy}", MAX_BYTES >> 20)
}

/// A relay of one namespace, in a folder of its own.
fn setup_in(parent: &Path, cluster: &Cluster, namespace: &str, log: &str) -> Setup {
    let folder = parent.join(namespace);
    fs::create_dir_all(&folder).expect("a folder");
    Setup::new(&folder, cluster.kubeconfig_path())
        .source(&format!("namespaces: [{namespace}]"))
        .log(log)
}

/// Creates large events in a namespace, which is created too when it is new.
async fn create(cluster: &Cluster, namespace: &str, count: usize) -> Vec<CreatedEvent> {
    let path = format!("/api/v1/namespaces/{namespace}");
    let client = cluster.client();
    if !client.send(reqwest::Method::GET, &path, None).await.status.is_success() {
        client.create_namespace(namespace).await;
    }
    let begun = jiff::Timestamp::now().as_millisecond();
    let spec = move |index: usize| {
        let mut random = StdRng::seed_from_u64(index as u64);
        let message = Alphanumeric.sample_string(&mut random, MESSAGE_BYTES);
        EventSpec { message, ..EventSpec::new(&format!("large-{begun}-{index}")) }
    };
    client.create_events_with(namespace, count, 4, spec).await
}

fn is_done(sink: &SinkStatus) -> bool {
    sink.lag_records == 0
}

fn version(event: &serde_json::Value) -> u64 {
    let version = event["metadata"]["resourceVersion"].as_str().expect("a version");
    version.parse().expect("a number")
}

/// Behind the first version of each loss, up to the last.
fn ranges(losses: &[LossStatus]) -> Vec<(u64, u64)> {
    let version = |position: &Option<String>| {
        position.as_ref().map_or(0, |position| {
            position.split('.').next_back().expect("a version").parse().expect("a number")
        })
    };
    losses.iter().map(|loss| (version(&loss.after), version(&loss.until))).collect()
}

async fn lost_metric(relay: &Relay, sink: &str) -> u64 {
    let name = format!("kube_event_relay_sink_lost_total{{sink=\"{sink}\"}}");
    Metrics::of(relay).await.number(&name)
}

/// What `status` prints.
fn page_of(target: &[&str]) -> String {
    let answer = program(&[&["status"], target].concat());
    assert_eq!(answer.code, Some(0), "{answer:?}");
    answer.stdout
}

/// The status of a stopped relay.
fn offline(data: &Path) -> Status {
    let data = data.to_str().expect("a path of text");
    let page = page_of(&["--data-dir", data, "-o", "json"]);
    serde_json::from_str(&page).expect("a status")
}
