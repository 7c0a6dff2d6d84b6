//! Dead letters in an operator's hands: listed, shown, retried, discarded, of a running relay and of a stopped
//! one; and bounded, by holding the sink or by dropping the oldest.

#![allow(clippy::expect_used)] // a test fails where an expectation is not met

mod harness;

use std::collections::BTreeSet;
use std::time::Duration;

use harness::metrics::Metrics;
use harness::place::Place;
use harness::{PATIENCE, Setup, status_when};
use kube_event_relay::cursor::AuditEntry;
use kube_event_relay::relay::{
    LetterChange, LetterOutcome, LetterPage, LetterView, SinkState, Status,
};
use rig::{Answer, Behaviour, Cluster, EventSpec, Receiver, Relay};
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

const POISON: &str = "Poison";
/// Every second event is refused.
const EVENTS: usize = 12;
const REFUSED: u64 = 6;

struct Bench {
    cluster: Cluster,
    receiver: Receiver,
    setup: Setup,
}

impl Bench {
    /// A relay whose receiver refuses one reason. `letters` is the bound in YAML's flow form.
    async fn start(letters: Option<&str>) -> Self {
        let cluster = Cluster::start().await;
        let receiver = Receiver::start();
        receiver.behave(Behaviour::decide(|request| {
            if request.json()["reason"] == POISON {
                Behaviour::Answer(Answer::status(400).body("no poison"))
            } else {
                Behaviour::status(200)
            }
        }));
        let mut setup = Setup::new(cluster.folder(), cluster.kubeconfig_path());
        if let Some(letters) = letters {
            setup = setup.option(&format!("deadLetters: {letters}"));
        }
        let setup = setup.webhook("oncall", &receiver.url(), "");
        Self { cluster, receiver, setup }
    }

    async fn create(&self) {
        let spec = |number: usize| {
            let reason = if number.is_multiple_of(2) { POISON } else { "Fine" };
            let kind = if number < 4 { "Normal" } else { "Warning" };
            EventSpec {
                reason: reason.into(),
                kind: kind.into(),
                object_name: format!("pod-{number}"),
                ..EventSpec::new(&format!("letters-{number}"))
            }
        };
        // One after the other: in the order of their numbers.
        self.cluster.client().create_events_with("default", EVENTS, 1, spec).await;
    }

    fn accept_all(&self) {
        self.receiver.behave(Behaviour::status(200));
    }

    /// Names of the objects that were sent since the last call.
    fn objects(&self) -> Vec<String> {
        let name = |request: &rig::Received| request.json()["involvedObject"]["name"].clone();
        let names = self.receiver.requests().iter().map(name).collect::<Vec<_>>();
        self.receiver.clear();
        names.iter().map(|name| name.as_str().expect("a name").to_owned()).collect()
    }
}

/// Until every event was read, and so many of them are dead letters.
async fn letters_are(relay: &Relay, count: u64) -> Status {
    status_when(relay, |status| {
        status.streams.iter().map(|stream| stream.records).sum::<u64>() == EVENTS as u64
            && status.sinks[0].dead_letters == count
            && status.sinks[0].lag_records == 0
    })
    .await
}

fn list(place: &Place) -> LetterPage {
    place.ask(&["dead-letter", "list", "oncall"])
}

fn ids(page: &LetterPage) -> Vec<String> {
    page.letters.iter().map(|letter| letter.id.to_string()).collect()
}

fn outcomes(change: &LetterChange) -> Vec<(String, LetterOutcome)> {
    change.letters.iter().map(|letter| (letter.id.to_string(), letter.outcome)).collect()
}

fn each(ids: &[String], outcome: LetterOutcome) -> Vec<(String, LetterOutcome)> {
    ids.iter().map(|id| (id.clone(), outcome)).collect()
}

/// What a refusal of a command says, in one line.
fn refusal(place: &Place, arguments: &[&str]) -> String {
    let answer = place.run(arguments);
    assert_eq!(answer.code, Some(1), "{arguments:?}: {answer:?}");
    answer.stderr
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_are_listed_shown_retried_and_discarded() {
    let bench = Bench::start(None).await;
    let relay = bench.setup.relay().start();
    bench.create().await;
    letters_are(&relay, REFUSED).await;
    let place = Place::running(&bench.setup, &relay).await;
    let page = list(&place);
    assert_eq!((page.records, page.letters.len()), (REFUSED, 6));
    let all = ids(&page);
    they_are_shown(&place, &page);

    bench.receiver.clear();
    let intended: LetterChange =
        place.ask(&["dead-letter", "retry", "oncall", "--all", "--dry-run"]);
    assert_eq!(outcomes(&intended), each(&all, LetterOutcome::Selected));
    assert_eq!(bench.receiver.count(), 0, "nothing was done");
    let again = place.run(&["dead-letter", "retry", "oncall", "--all", "-o", "json"]);
    assert_eq!(again.code, Some(1), "letters are left: {again:?}");
    assert!(again.stderr.contains("6 letters refused again"), "{}", again.stderr);
    let done: LetterChange = serde_json::from_str(&again.stdout).expect("JSON");
    assert_eq!(outcomes(&done), each(&all, LetterOutcome::Refused));
    assert_eq!(done.change.effect, "0 letters taken by the sink and removed, 6 refused again");
    assert_eq!(bench.objects(), ["pod-0", "pod-2", "pod-4", "pod-6", "pod-8", "pod-10"]);
    let tried = list(&place);
    assert!(tried.letters.iter().all(|letter| letter.attempts == 2), "{tried:#?}");
    assert!(tried.letters[0].first_at < tried.letters[0].last_at);

    // What happened is remembered across a restart, and in the directory of a stopped relay.
    assert!(relay.terminate().await.success());
    let stopped = Place::Stopped(bench.setup.data());
    assert_eq!(list(&stopped), tried);
    let shown: LetterView = stopped.ask(&["dead-letter", "show", "oncall", &all[0]]);
    assert_eq!(shown.letter, tried.letters[0]);
    let discarded = discard(&stopped, &[&all[5]]);
    assert_eq!(outcomes(&discarded), each(&all[5..], LetterOutcome::Discarded));
    assert_eq!(ids(&list(&stopped)), all[..5]);
    let relay = bench.setup.relay().start();
    let place = Place::running(&bench.setup, &relay).await;
    assert_eq!(list(&place).letters, tried.letters[..5]);

    bench.accept_all();
    bench.objects();
    let version = all[1].rsplit_once('.').expect("a version").1;
    let named = ["dead-letter", "retry", "oncall", &all[3], version];
    let done: LetterChange = place.ask(&named);
    let taken = [all[1].clone(), all[3].clone()];
    assert_eq!(outcomes(&done), each(&taken, LetterOutcome::Accepted));
    assert_eq!(bench.objects(), ["pod-2", "pod-6"], "in order");
    let gone = refusal(&place, &["dead-letter", "show", "oncall", version]);
    assert!(gone.contains("has no dead letter"), "{gone}");
    let normal = discard(&place, &["--match", "{type: Normal}"]);
    assert_eq!(outcomes(&normal), each(&all[..1], LetterOutcome::Discarded));
    assert_eq!(normal.change.effect, "1 letter is removed for good");

    // A service that is down keeps what is left.
    bench.receiver.down().await;
    let down = refusal(&place, &["dead-letter", "retry", "oncall", "--all"]);
    assert!(down.contains("stopped, 2 letters left: not now: "), "{down}");
    assert_eq!(list(&place).records, 2);
    bench.receiver.up();
    bench.accept_all();
    bench.objects();
    let page = place.page(&["dead-letter", "retry", "oncall", "--match", "{reasons: [Poison]}"]);
    assert!(
        page.ends_with("\neffect  2 letters taken by the sink and removed, 0 refused again\n"),
        "{page}"
    );
    assert_eq!(bench.objects(), ["pod-4", "pod-8"]);
    assert_eq!((list(&place).records, list(&place).bytes), (0, 0));
    let none = place.page(&["dead-letter", "list", "oncall"]);
    assert_eq!(none, "sink oncall has 0 dead letters, 0 B\n");
    Metrics::with_lines(
        &relay,
        "kube_event_relay_sink_dead_letters{sink=\"oncall\"} 0\n\
         kube_event_relay_sink_dead_letter_bytes{sink=\"oncall\"} 0\n\
         kube_event_relay_sink_dead_letters_dropped_total{sink=\"oncall\"} 0",
    )
    .await;
    they_are_audited(&place);
    assert!(relay.terminate().await.success());
}

/// Discards letters, which does what its dry run said.
fn discard(place: &Place, letters: &[&str]) -> LetterChange {
    let arguments = [&["dead-letter", "discard", "oncall"], letters].concat();
    let said: LetterChange = place.ask(&[&arguments[..], &["--dry-run"]].concat());
    assert!(said.change.dry_run);
    let done: LetterChange = place.ask(&arguments);
    let mut expected = said;
    (expected.change.dry_run, expected.as_of) = (false, done.as_of);
    assert_eq!(done, expected);
    done
}

fn they_are_shown(place: &Place, page: &LetterPage) {
    let first = &page.letters[0];
    let mut shown: Value = place.ask(&["dead-letter", "show", "oncall", &first.id.to_string()]);
    let record = shown["record"].take();
    assert_eq!(record["event"]["message"], "event letters-0");
    assert_eq!(
        format!("all-namespaces/0.{}", record["resourceVersion"].as_str().expect("text")),
        first.id.to_string()
    );
    let expected = json!({
        "id": first.id,
        "firstAt": first.first_at,
        "lastAt": first.first_at,
        "attempts": 1,
        "reply": "HTTP 400 Bad Request: no poison",
        "type": "Normal",
        "reason": "Poison",
        "kind": "Pod",
        "namespace": "default",
        "name": "pod-0",
        "record": null,
    });
    assert_eq!(shown, expected);

    let table = place.page(&["dead-letter", "list", "oncall", "--limit", "2"]);
    let cells = |line: &str| {
        let cells = line.split("  ").map(str::trim).filter(|cell| !cell.is_empty());
        cells.map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    let lines: Vec<_> = table.lines().map(cells).collect();
    assert!(lines[0][0].starts_with("sink oncall has 6 dead letters, "), "{table}");
    assert_eq!(lines[2], ["LETTER", "REFUSED", "TIMES", "TYPE", "REASON", "OBJECT", "REPLY"]);
    let id = first.id.to_string();
    let row = [
        id.as_str(),
        "1",
        "Normal",
        "Poison",
        "Pod default/pod-0",
        "HTTP 400 Bad Request: no poison",
    ];
    let without_age: Vec<_> = [&lines[3][..1], &lines[3][2..]].concat();
    assert_eq!(without_age, row, "{table}");
    let more = format!("there are more: --after {}, or a larger --limit", page.letters[1].id);
    assert_eq!(table.lines().last(), Some(more.as_str()));
    let after = [
        "dead-letter",
        "list",
        "oncall",
        "--limit",
        "2",
        "--after",
        &page.letters[1].id.to_string(),
    ];
    let next: LetterPage = place.ask(&after);
    assert_eq!(next.letters, page.letters[2..4]);
    let matching: LetterPage =
        place.ask(&["dead-letter", "list", "oncall", "--match", "{type: Normal}"]);
    assert_eq!(matching.letters, page.letters[..2]);
    assert_eq!(matching.records, REFUSED, "of all");
    let unknown = refusal(place, &["dead-letter", "list", "pager"]);
    assert!(unknown.contains("there is no sink \"pager\"; there are: oncall"), "{unknown}");
}

fn they_are_audited(place: &Place) {
    let entries: Vec<AuditEntry> = place.ask(&["audit"]);
    let entries: Vec<_> =
        entries.iter().map(|entry| (entry.action.as_str(), entry.effect.as_str())).collect();
    let taken = "2 letters taken by the sink and removed, 0 refused again";
    let (before, [down, last]) = entries.split_at(4) else { panic!("{entries:?}") };
    let expected = [
        ("dead-letter retry", "0 letters taken by the sink and removed, 6 refused again"),
        ("dead-letter discard", "1 letter is removed for good"),
        ("dead-letter retry", taken),
        ("dead-letter discard", "1 letter is removed for good"),
    ];
    assert_eq!(before, expected);
    let (action, effect) = *down;
    assert_eq!(action, "dead-letter retry");
    assert!(effect.starts_with("0 letters taken") && effect.contains("stopped: "), "{effect}");
    assert_eq!(*last, ("dead-letter retry", taken));
}

/// A letter is removed only after the sink has taken it: whatever a kill interrupts, each was taken or is still
/// there.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_in_the_middle_of_a_retry_loses_no_letter() {
    let bench = Bench::start(None).await;
    let relay = bench.setup.relay().start();
    bench.create().await;
    letters_are(&relay, REFUSED).await;
    let place = Place::running(&bench.setup, &relay).await;
    let names = |page: LetterPage| page.letters.into_iter().map(|letter| letter.name);
    let all: BTreeSet<_> = names(list(&place)).collect();
    bench.receiver.behave(Behaviour::delay(Duration::from_millis(100)));
    bench.receiver.clear();
    let asked = place.clone();
    let retry = spawn_blocking(move || asked.run(&["dead-letter", "retry", "oncall", "--all"]));
    bench.receiver.wait_for(PATIENCE, |requests| requests.len() >= 3).await;
    relay.kill().await;
    assert_eq!(retry.await.expect("no panic").code, Some(1));
    let taken: BTreeSet<_> = bench.objects().into_iter().collect();
    assert!(taken.len() >= 2, "{taken:?}");

    let relay = bench.setup.relay().start();
    let place = Place::running(&bench.setup, &relay).await;
    status_when(&relay, |status| status.sinks[0].lag_records == 0).await;
    let left: BTreeSet<_> = names(list(&place)).collect();
    assert!(left.len() >= 3, "{left:?}");
    assert_eq!(taken.union(&left).cloned().collect::<BTreeSet<_>>(), all);
    bench.accept_all();
    bench.objects();
    let done: LetterChange = place.ask(&["dead-letter", "retry", "oncall", "--all"]);
    assert!(done.letters.iter().all(|letter| letter.outcome == LetterOutcome::Accepted));
    assert_eq!(bench.objects().into_iter().collect::<BTreeSet<_>>(), left);
    assert_eq!(list(&place).records, 0);
    assert!(relay.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_whose_letters_are_full_is_held_and_goes_on_when_there_is_room() {
    let bench = Bench::start(Some("{maxRecords: 4}")).await;
    let relay = bench.setup.relay().start();
    bench.create().await;
    let full = |status: &Status| {
        let sink = &status.sinks[0];
        sink.state == SinkState::Held && sink.dead_letters == 4
    };
    let status = status_when(&relay, full).await;
    let cause = status.sinks[0].failure.as_ref().expect("a failure").cause.clone();
    for part in ["4 of 4", "dead-letter list oncall", "deadLetters.maxRecords"] {
        assert!(cause.contains(part), "{part}: {cause}");
    }
    assert!(status.sinks[0].lag_records > 0, "nothing is discarded");

    // A restart changes nothing, and sends nothing.
    assert!(relay.terminate().await.success());
    bench.receiver.clear();
    let relay = bench.setup.relay().start();
    status_when(&relay, full).await;
    assert_eq!(bench.receiver.count(), 0);
    let place = Place::running(&bench.setup, &relay).await;
    let first = ids(&list(&place))[0].clone();
    discard(&place, &[&first]);
    status_when(&relay, full).await;
    let page = list(&place);
    assert_eq!(page.records, 4, "one more is there, and it is full again");
    bench.accept_all();
    place.ask::<LetterChange>(&["dead-letter", "retry", "oncall", "--all"]);
    letters_are(&relay, 0).await;
    assert_eq!(list(&place).records, 0);
    assert!(relay.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_letters_make_room_where_that_is_configured() {
    let bench = Bench::start(Some("{maxRecords: 2, whenFull: drop-oldest}")).await;
    let relay = bench.setup.relay().start();
    bench.create().await;
    letters_are(&relay, 2).await;
    let place = Place::running(&bench.setup, &relay).await;
    let names: Vec<_> = list(&place).letters.into_iter().map(|letter| letter.name).collect();
    assert_eq!(names, ["pod-8", "pod-10"], "the newest are kept");
    Metrics::with_lines(
        &relay,
        "kube_event_relay_sink_dead_letters{sink=\"oncall\"} 2\n\
         kube_event_relay_sink_dead_lettered_total{sink=\"oncall\"} 6\n\
         kube_event_relay_sink_dead_letters_dropped_total{sink=\"oncall\"} 4",
    )
    .await;
    let dropped = |text: &str| text.contains("the oldest are dropped");
    relay.wait_for_line(PATIENCE, dropped).await;
    let told = relay.lines().iter().filter(|line| dropped(&line.text)).count();
    assert_eq!(told, 1, "once for all of them");
    assert!(relay.terminate().await.success());
}
