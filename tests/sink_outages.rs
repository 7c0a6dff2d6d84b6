//! Promises 3 to 6, for every sink that is not tested so in a file of its own, through the whole relay and a real
//! API server: outages, kills, refusals, wrong credentials and limits lose nothing, and stop no other sink.
//!
//! In each test all kinds are sinks of one relay. `mysql` has a real MariaDB, the others services as strict as the
//! real ones, behind a proxy that takes them away. What each kind needs is in `tests/targets`.

#![allow(clippy::expect_used)] // a test fails where an expectation is not met

mod fakes;
mod harness;
mod targets;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

use fakes::records::records;
use futures::future::join_all;
use harness::{PATIENCE, Setup, all_done, dead_letters, status_when};
use kube_event_relay::relay::{FailureStatus, SinkState, SinkStatus, Status};
use kube_event_relay::sink::{Delivery, Outcome, Sink, SinkContext, http_client, registry};
use rig::{Client, Cluster, CreatedEvent, EventSpec, MariaDb};
use targets::{POISON, SECRET, Target, WAIT};
use tempfile::TempDir;
use tokio::sync::Mutex;

/// The servers of all tests here, as long as one of them runs.
static SERVERS: Mutex<Weak<Servers>> = Mutex::const_new(Weak::new());

struct Servers {
    cluster: Cluster,
    mariadb: Arc<Mutex<MariaDb>>,
}

impl Servers {
    async fn shared() -> Arc<Self> {
        let mut known = SERVERS.lock().await;
        if let Some(servers) = known.upgrade() {
            return servers;
        }
        let (cluster, mariadb) = tokio::join!(Cluster::start(), MariaDb::start());
        let servers = Arc::new(Self { cluster, mariadb: Arc::new(Mutex::new(mariadb)) });
        *known = Arc::downgrade(&servers);
        servers
    }
}

/// A namespace with a relay's configuration and the targets of its sinks.
struct Bench {
    servers: Arc<Servers>,
    client: Client,
    namespace: &'static str,
    targets: Vec<Target>,
    folder: TempDir,
}

impl Bench {
    async fn start(namespace: &'static str) -> Self {
        let servers = Servers::shared().await;
        let mariadb = Arc::clone(&servers.mariadb);
        Self::with(servers, mariadb, namespace).await
    }

    async fn with(
        servers: Arc<Servers>,
        mariadb: Arc<Mutex<MariaDb>>,
        namespace: &'static str,
    ) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let targets = targets::all(mariadb, namespace, folder.path()).await;
        // Connections of a client end with the runtime of the test that has made them.
        let client = servers.cluster.client_with_token(servers.cluster.admin_token());
        client.create_namespace(namespace).await;
        Self { servers, client, namespace, targets, folder }
    }

    /// A relay of the namespace with a sink for each target, which takes at most so many records at once.
    fn setup(&self, max_records: usize) -> Setup {
        let setup = Setup::new(self.folder.path(), self.servers.cluster.kubeconfig_path());
        let setup = setup.source(&format!("namespaces: [{}]", self.namespace));
        self.targets.iter().fold(setup, |setup, target| setup.sink(&target.sink(max_records)))
    }

    async fn create(&self, count: usize) -> Vec<CreatedEvent> {
        self.client.create_events(self.namespace, count, 8).await
    }

    /// Waits until every target has taken what `enough` demands of the number of its arrivals.
    async fn arrive(&self, enough: impl Fn(usize) -> bool + Copy) {
        let arrive = async |target: &Target| {
            while !enough(target.service.arrivals().await.len()) {
                // Nothing tells when it happens.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let all = join_all(self.targets.iter().map(arrive));
        tokio::time::timeout(PATIENCE, all).await.expect("every target takes them");
    }
}

fn sink<'a>(status: &'a Status, name: &str) -> &'a SinkStatus {
    status.sinks.iter().find(|sink| sink.name == name).expect("a sink")
}

/// The relay's sinks are done with so many records, of which none was lost or refused.
fn all_delivered(status: &Status, records: usize) -> bool {
    let clean = status.sinks.iter().all(|sink| sink.dead_letters == 0 && sink.lost == 0);
    assert!(clean, "{status:#?}");
    all_done(status, records)
}

/// 600 events: after some of the first third has arrived everything is down, MariaDB by SIGKILL, until the
/// second third is waiting for it.
#[tokio::test(flavor = "multi_thread")]
async fn services_that_go_away_in_the_middle_get_everything() {
    const THIRD: usize = 200;
    // A server that is killed is nobody else's.
    let (servers, mariadb) = tokio::join!(Servers::shared(), MariaDb::start());
    let bench = Bench::with(servers, Arc::new(Mutex::new(mariadb)), "outage").await;
    let relay = bench.setup(20).relay().start();
    let mut created = bench.create(THIRD).await;
    bench.arrive(|count| count > 0).await;
    join_all(bench.targets.iter().map(Target::go_down)).await;
    created.extend(bench.create(THIRD).await);
    let waiting = |sink: &SinkStatus| sink.state == SinkState::Retrying && sink.lag_records > 0;
    status_when(&relay, |status| status.sinks.iter().all(waiting)).await;
    join_all(bench.targets.iter().map(Target::come_back)).await;
    created.extend(bench.create(THIRD).await);
    status_when(&relay, |status| all_delivered(status, created.len())).await;
    for target in &bench.targets {
        let verdict = target.check(&created).await;
        println!("{}: {} records, {} again", target.kind(), verdict.distinct, verdict.duplicates);
        assert!(verdict.duplicates <= 20, "only what had no answer came again: {verdict}");
    }
    assert!(relay.terminate().await.success());
}

/// Every service has taken a record, and the relay is killed before it reads an answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_is_killed_before_it_reads_an_answer_loses_nothing() {
    const BEFORE: usize = 20;
    let bench = Bench::start("killed").await;
    // One by one, so that MariaDB knows the statement and asks nothing back.
    let relay = bench.setup(1).relay();
    let running = relay.start();
    let mut created = bench.create(BEFORE).await;
    status_when(&running, |status| all_delivered(status, BEFORE)).await;
    join_all(bench.targets.iter().map(Target::keep_answers)).await;
    created.extend(bench.create(3).await);
    bench.arrive(|count| count == BEFORE + 1).await;
    running.kill().await;
    join_all(bench.targets.iter().map(Target::answer_again)).await;
    let running = relay.start();
    status_when(&running, |status| all_delivered(status, created.len())).await;
    for target in &bench.targets {
        let verdict = target.check(&created).await;
        println!("{}: {} records, {} again", target.kind(), verdict.distinct, verdict.duplicates);
        let mut copies = HashMap::<_, usize>::new();
        for arrival in target.service.arrivals().await {
            *copies.entry(arrival.identity).or_default() += 1;
        }
        assert!(copies.values().all(|copies| *copies <= 2), "{}: {copies:?}", target.kind());
        let unanswered = verdict.duplicates > 0;
        assert_eq!(unanswered, !target.service.knows_copies(), "{}", target.kind());
    }
    assert!(running.terminate().await.success());
}

/// One of 500 is refused: it becomes a dead letter with the words of the service, and the others arrive.
#[tokio::test(flavor = "multi_thread")]
async fn one_refused_record_of_500_is_buried_alone() {
    const EVENTS: usize = 500;
    const REFUSED: usize = 217;
    let bench = Bench::start("poison").await;
    let said = join_all(bench.targets.iter().map(|target| target.service.refuse_poison())).await;
    let spec = |number| {
        let mut spec = EventSpec::new(&format!("letter-{number}"));
        if number == REFUSED {
            POISON.clone_into(&mut spec.message);
        }
        spec
    };
    let mut created = bench.client.create_events_with(bench.namespace, EVENTS, 8, spec).await;
    let setup = bench.setup(50);
    let relay = setup.relay().start();
    let status = status_when(&relay, |status| all_done(status, EVENTS)).await;
    assert!(relay.terminate().await.success());
    let refused = created.iter().position(|event| event.name == format!("letter-{REFUSED}"));
    let refused = created.remove(refused.expect("created"));
    for (target, said) in bench.targets.iter().zip(said) {
        let sink = sink(&status, target.kind());
        assert_eq!((sink.delivered, sink.dead_letters, sink.lost), (499, 1, 0), "{sink:?}");
        let verdict = target.check(&created).await;
        assert_eq!((verdict.distinct, verdict.duplicates), (499, 0), "{}", target.kind());
        let letters = dead_letters(&setup.data(), target.kind()).await;
        let [letter] = &letters[..] else { panic!("one dead letter: {letters:?}") };
        assert!(letter.reason.contains(said), "{}: {}", target.kind(), letter.reason);
        assert_eq!(letter.record.header.uid, refused.uid);
    }
}

/// The credential is in a file; of `mysql` it is right there and wrong at the server. Once that is mended the
/// sinks go on by themselves, and nobody else has waited.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_credential_holds_its_sink_alone_until_it_is_right() {
    const EVENTS: usize = 40;
    let bench = Bench::start("credential").await;
    let mut held = HashSet::new();
    for target in &bench.targets {
        if target.service.know("s3cret-of-july").await {
            held.insert(target.kind());
        }
    }
    assert_eq!(held, HashSet::from(["honeycomb", "sls", "eventbridge", "mysql"]));
    let setup = bench.setup(20);
    let relay = setup.relay().start();
    let mut created = bench.create(EVENTS).await;
    let is_held =
        |sink: &SinkStatus| sink.state == SinkState::Held && sink.lag_records == EVENTS as u64;
    let settled = |status: &Status| {
        status.sinks.iter().all(|sink| {
            if held.contains(sink.name.as_str()) {
                is_held(sink)
            } else {
                sink.lag_records == 0 && sink.delivered == EVENTS as u64
            }
        })
    };
    let status = status_when(&relay, settled).await;
    for target in bench.targets.iter().filter(|target| held.contains(target.kind())) {
        let sink = sink(&status, target.kind());
        let cause = &sink.failure.as_ref().expect("a failure").cause;
        assert!(cause.contains(target.service.remedy()), "{}: {cause}", target.kind());
        assert!(!cause.contains(SECRET), "{}: {cause}", target.kind());
        assert_eq!((sink.delivered, sink.dead_letters, sink.lost), (0, 0, 0), "{sink:?}");
        match target.kind() {
            "mysql" => assert!(target.service.know(SECRET).await),
            _ => target.configure("s3cret-of-july"),
        }
    }
    created.extend(bench.create(EVENTS).await);
    status_when(&relay, |status| all_delivered(status, created.len())).await;
    for target in &bench.targets {
        assert_eq!(target.check(&created).await.duplicates, 0, "{}", target.kind());
    }
    assert!(relay.terminate().await.success());
}

/// A service whose limit is used up is left alone as long as it says; nobody else waits.
#[tokio::test(flavor = "multi_thread")]
async fn a_limit_makes_its_sink_alone_wait_as_long_as_it_is_asked_to() {
    const EVENTS: usize = 40;
    let bench = Bench::start("limits").await;
    let relay = bench.setup(20).relay().start();
    let mut created = bench.create(EVENTS).await;
    status_when(&relay, |status| all_delivered(status, EVENTS)).await;
    let mut limited = HashMap::new();
    for target in &bench.targets {
        limited.extend(target.service.exceed().await.map(|words| (target.kind(), words)));
    }
    assert_eq!(limited.len(), bench.targets.len() - 1, "riemann has no limit: {limited:?}");
    created.extend(bench.create(EVENTS).await);
    let settled = |status: &Status| {
        status.sinks.iter().all(|sink| match limited.get(sink.name.as_str()) {
            Some(words) => {
                let waits = |failure: &FailureStatus| failure.cause.contains(words);
                sink.state == SinkState::Retrying && sink.failure.as_ref().is_some_and(waits)
            }
            None => sink.lag_records == 0 && sink.delivered == 2 * EVENTS as u64,
        })
    };
    status_when(&relay, settled).await;
    for target in &bench.targets {
        target.service.allow().await;
    }
    status_when(&relay, |status| all_delivered(status, created.len())).await;
    for target in &bench.targets {
        assert_eq!(target.check(&created).await.duplicates, 0, "{}", target.kind());
        let answered = target.service.answered();
        let mut waits = 0;
        for pair in answered.windows(2).filter(|pair| pair[0].status >= 400) {
            let waited = pair[1].at - pair[0].at;
            assert!(waited >= Duration::from_secs(WAIT), "{}: {waited:?}", target.kind());
            waits += 1;
        }
        assert_eq!(waits > 0, !answered.is_empty(), "{}: it was limited", target.kind());
    }
    assert!(relay.terminate().await.success());
}

/// 5,000 records at the sink alone. In the middle one answer is lost, and the service is away.
#[tokio::test(flavor = "multi_thread")]
async fn of_5000_records_the_sink_loses_none() {
    const RECORDS: u64 = 5_000;
    let folder = tempfile::tempdir().expect("a folder");
    let all = records(RECORDS);
    for target in targets::fakes(folder.path()).await {
        let mut sink = build(&target);
        let size = registry::find(target.kind()).expect("a kind").batch.max_records;
        let mut batches = all.chunks(size.expect("a limit"));
        let middle = batches.len() / 2;
        for batch in batches.by_ref().take(middle) {
            assert!(accepts(sink.as_mut(), batch).await, "{}", target.kind());
        }
        let before = target.service.arrivals().await.len();
        let batch = batches.next().expect("the one in the middle");
        target.keep_answers().await;
        let taken = async {
            while target.service.arrivals().await.len() == before {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            target.go_down().await;
        };
        let (outcome, ()) = tokio::join!(accepts(sink.as_mut(), batch), taken);
        assert!(!outcome && !accepts(sink.as_mut(), batch).await, "{}", target.kind());
        target.come_back().await;
        for batch in std::iter::once(batch).chain(batches) {
            while !accepts(sink.as_mut(), batch).await {
                tokio::task::yield_now().await;
            }
        }
        let arrivals = target.service.arrivals().await;
        let identities: HashSet<_> = arrivals.iter().map(|arrival| &arrival.identity).collect();
        let again = arrivals.len() - identities.len();
        println!("{}: {} distinct, {again} again", target.kind(), identities.len());
        assert_eq!((identities.len() as u64, again), (RECORDS, batch.len()), "{}", target.kind());
        let messages = arrivals.iter().map(|arrival| arrival.message.as_str());
        let mut seen = HashSet::new();
        let first_times: Vec<_> = messages.filter(|message| seen.insert(*message)).collect();
        let expected: Vec<_> = (1..=RECORDS).map(|number| format!("message {number}")).collect();
        assert_eq!(first_times, expected, "{}", target.kind());
    }
}

fn build(target: &Target) -> Box<dyn Sink> {
    let http = http_client().expect("CA certificates of the system");
    let context = SinkContext { cluster: "test".into(), http, config_maps: None };
    let kind = registry::find(target.kind()).expect("a kind");
    (kind.build)(target.options().as_object().expect("options"), &context).expect("a sink")
}

/// Whether a batch is accepted; else it can be tried again.
async fn accepts(sink: &mut dyn Sink, batch: &[kube_event_relay::event::Record]) -> bool {
    let outcomes = match sink.deliver(batch).await {
        Delivery::Each(outcomes) => outcomes,
        Delivery::Whole(outcome) => vec![outcome],
        Delivery::Part { records, .. } => panic!("{records:?} had room"),
    };
    let waits = |outcome: &Outcome| matches!(outcome, Outcome::Retry { .. });
    let accepted = outcomes.iter().all(|outcome| *outcome == Outcome::Accepted);
    assert!(accepted || outcomes.iter().all(waits), "{outcomes:?}");
    accepted
}
