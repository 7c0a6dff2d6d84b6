//! What every command prints, whole: for people and for programs, of a running relay and of a stopped one's
//! directory. `tests/snapshots/` has it to be read; times, sizes and versions are left out of it.
//!
//! What has changed on purpose is accepted with `INSTA_UPDATE=always cargo test --test transcripts`.

#![allow(clippy::expect_used, clippy::format_push_string)] // a test fails where an expectation is not met

mod harness;

use harness::place::Place;
use harness::{Setup, status_when};
use kube_event_relay::relay::{SinkState, Status};
use rig::{Behaviour, Cluster, EventSpec, Receiver, Relay};

const EVENTS: usize = 8;

/// Commands without the words that say where the relay is. The first letter of `warehouse` is `LETTER`.
const COMMANDS: [&[&str]; 24] = [
    &["status"],
    &["cursor", "list"],
    &["cursor", "show", "oncall"],
    &["cursor", "seek", "oncall", "--back", "2", "--dry-run"],
    &["cursor", "seek", "pager", "--skip", "3", "--dry-run"],
    &["cursor", "seek", "pager", "--end", "--dry-run"],
    &["cursor", "pause", "oncall", "--dry-run"],
    &["cursor", "resume", "archive", "--dry-run"],
    &["cursor", "forget", "oncall", "--dry-run"],
    &["cursor", "replay", "oncall", "--beginning", "--count", "3", "--dry-run"],
    &["cursor", "replay", "list"],
    &["cursor", "show", "nobody"],
    &["dead-letter", "list", "warehouse"],
    &["dead-letter", "show", "warehouse", "LETTER"],
    &["dead-letter", "retry", "warehouse", "--all", "--dry-run"],
    &["dead-letter", "discard", "warehouse", "LETTER", "--dry-run"],
    &["log", "stat"],
    &["log", "stat", "--by", "reason"],
    &["log", "cat", "--limit", "2"],
    &["log", "verify"],
    &["audit"],
    &["sink", "test", "oncall"],
    &["config", "reload", "--dry-run"],
    &["migrate", "--dry-run"],
];

/// Every state a sink can be in for longer: well, failing, refusing, paused.
struct Scene {
    cluster: Cluster,
    receivers: [Receiver; 4],
    setup: Setup,
}

impl Scene {
    async fn new() -> Self {
        let cluster = Cluster::start().await;
        let receivers = [(); 4].map(|()| Receiver::start());
        receivers[1].behave(Behaviour::status(503));
        receivers[2].behave(Behaviour::decide(|request| {
            Behaviour::status(if request.json()["reason"] == "Evicted" { 422 } else { 200 })
        }));
        let setup = ["oncall", "pager", "warehouse", "archive"].iter().zip(&receivers).fold(
            Setup::new(cluster.folder(), cluster.kubeconfig_path()),
            |setup, (name, receiver)| setup.webhook(name, &receiver.url(), ""),
        );
        Self { cluster, receivers, setup }
    }

    /// A relay that has delivered what can be delivered, and that is paused for `archive`.
    async fn relay(&self) -> (Relay, Place) {
        let relay = self.setup.relay().start();
        let place = Place::running(&self.setup, &relay).await;
        status_when(&relay, |status| status.streams[0].live).await;
        place.change(&["cursor", "pause", "archive"]);
        for number in 0..EVENTS {
            let reason = if number == 4 { "Evicted" } else { "BackOff" };
            let spec =
                EventSpec { reason: reason.into(), ..EventSpec::new(&format!("event-{number}")) };
            self.cluster.client().create_event("default", &spec).await;
        }
        let settled = |status: &Status| {
            let lags: Vec<_> = status.sinks.iter().map(|sink| sink.lag_records).collect();
            let states: Vec<_> = status.sinks.iter().map(|sink| sink.state).collect();
            lags == [0, EVENTS as u64, 0, EVENTS as u64]
                && states
                    == [SinkState::Idle, SinkState::Retrying, SinkState::Idle, SinkState::Paused]
        };
        status_when(&relay, settled).await;
        (relay, place)
    }
}

/// What the commands print, one after the other.
fn transcript(place: &Place, format: &[&str]) -> String {
    let letters: serde_json::Value = place.ask(&["dead-letter", "list", "warehouse"]);
    let letter = letters["letters"][0]["id"].as_str().expect("a letter").to_owned();
    let mut text = String::new();
    for command in COMMANDS {
        let words = command.iter().map(|word| if *word == "LETTER" { &letter } else { *word });
        let words: Vec<&str> = words.chain(format.iter().copied()).collect();
        let answer = place.run(&words);
        text +=
            &format!("$ kube-event-relay {}\n{}{}", words.join(" "), answer.stdout, answer.stderr);
        match answer.code {
            Some(0) => text += "\n",
            code => text += &format!("(exit code {})\n\n", code.expect("no signal")),
        }
    }
    text
}

/// What differs from run to run, with what stands for it.
const VOLATILE: [(&str, &str); 20] = [
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "[time]"),
    (r"127\.0\.0\.1:\d+", "[address]"),
    (r"/\S*/data\b", "[data]"),
    (r"/\S*/relay\.yaml", "[relay.yaml]"),
    (r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "[uid]"),
    (r"\b[0-9a-f]{32}\b", "[id]"),
    (r#"("resourceVersion": "|"frontier": "|rv=)\d+"#, "${1}[version]"),
    (r#"("(lagSeconds|seconds|bytes|took[A-Za-z]*|milliseconds|blocks)": )[\d.]+"#, "${1}[number]"),
    (r#"("(attempts|retried|delivered)": )\d+"#, "${1}[count]"),
    (r"\b0\.[1-9]\d+\b", "[position]"),
    (r"\b[\d.]+ [KMG]?i?B\b", "[size]"),
    (r"\b\d+ attempts?\b", "[count] attempts"),
    (r"(, next in|, trying now).*?:", ", [next]:"),
    (r"\b\d+(\.\d+)?(ms|s|m|h)( \d+(s|m|h))?\b", "[age]"),
    (r"by \S+ at the data directory", "by [user] at the data directory"),
    (r"\b\d+ bytes\b", "[size]"),
    (r"\b\d+\.\d+ s\b", "[age]"),
    (r" {2,}", "  "),
    // Of a table: how often a sink was tried again, and how many blocks there are.
    (r"(webhook  \w+  \d+  \S+  \d+  \d+)  \d+", "${1}  [count]"),
    (r"(all-namespaces  1)  \d+  8  \[size\]  0", "${1}  [count]  8  [size]  0"),
];

fn assert_is_known(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    for (pattern, stand_in) in VOLATILE {
        settings.add_filter(pattern, stand_in);
    }
    settings.bind(|| insta::assert_snapshot!(name, text));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_prints_what_is_known() {
    let scene = Scene::new().await;
    let (relay, place) = scene.relay().await;
    assert_is_known("running-table", &transcript(&place, &[]));
    assert_is_known("running-json", &transcript(&place, &["-o", "json"]));
    assert!(relay.terminate().await.success());
    let place = Place::Stopped(scene.setup.data());
    assert_is_known("stopped-table", &transcript(&place, &[]));
    assert_is_known("stopped-json", &transcript(&place, &["-o", "json"]));
    assert!(scene.receivers[3].count() == 0, "nothing goes to a paused sink");
}
