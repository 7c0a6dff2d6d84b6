//! What somebody sees who sits at a terminal: log lines for people, colours, a status that is drawn anew,
//! questions before what cannot be undone, and bars of what takes its time. Programs get none of it.

#![allow(clippy::expect_used)] // a test fails where an expectation is not met

mod harness;

use std::time::Duration;

use harness::place::Place;
use harness::{BINARY, PATIENCE, Setup, all_done, status_when};
use kube_event_relay::relay::SinkState;
use rig::{Behaviour, Cluster, EventSpec, Receiver, Relay, Terminal};

const EVENTS: usize = 40;

/// Begins a coloured line (ECMA-48: SGR).
const RED: &str = "\u{1b}[31m";

struct Bench {
    cluster: Cluster,
    oncall: Receiver,
    pager: Receiver,
    setup: Setup,
    relay: Relay,
    place: Vec<String>,
}

impl Bench {
    /// A relay that has delivered all to `oncall`, of which `pager` has refused one and is held now.
    async fn start() -> Self {
        let cluster = Cluster::start().await;
        let (oncall, pager) = (Receiver::start(), Receiver::start());
        pager.behave(Behaviour::decide(|request| {
            Behaviour::status(if request.json()["reason"] == "Evicted" { 422 } else { 401 })
        }));
        let setup = Setup::new(cluster.folder(), cluster.kubeconfig_path())
            .webhook("oncall", &oncall.url(), "")
            .webhook("pager", &pager.url(), "");
        let relay = setup.relay().start();
        for number in 0..EVENTS {
            let reason = if number == 0 { "Evicted" } else { "BackOff" };
            let spec =
                EventSpec { reason: reason.into(), ..EventSpec::new(&format!("e-{number}")) };
            cluster.client().create_event("default", &spec).await;
        }
        status_when(&relay, |status| {
            let [oncall, pager] = &status.sinks[..] else { return false };
            let delivered = oncall.delivered == EVENTS as u64;
            delivered && pager.state == SinkState::Held && pager.dead_letters == 1
        })
        .await;
        let token = setup.data().join("admin-token").display().to_string();
        let place = ["--server", &relay.admin_url().await, "--token-file", &token];
        let place = place.map(str::to_owned).to_vec();
        Self { cluster, oncall, pager, setup, relay, place }
    }

    /// A command of somebody who sits at a terminal.
    fn type_in(&self, command: &[&str]) -> Terminal {
        let place = self.place.iter().map(String::as_str);
        Terminal::start(BINARY, command.iter().copied().chain(place), 160)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_is_coloured_and_drawn_anew() {
    let bench = Bench::start().await;
    let (status, screen) = bench.type_in(&["status"]).end();
    assert!(status.success(), "{screen}");
    assert!(screen.contains(&format!("{RED}!! sink pager: held for ")), "{screen:?}");
    let mut watch = bench.type_in(&["status", "--watch", "500ms"]);
    watch.until("HELD");
    bench.pager.behave(Behaviour::status(200));
    let place = Place::running(&bench.setup, &bench.relay).await;
    place.change(&["cursor", "resume", "pager"]);
    place.page(&["dead-letter", "discard", "pager", "--all"]);
    let screen = watch.until("ok: every stream is live");
    assert!(screen.matches("\u{1b}[2J\u{1b}[H").count() >= 2, "drawn anew: {screen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_something_is_asked_before() {
    let bench = Bench::start().await;
    let seek = ["cursor", "seek", "oncall", "--back", "3"];
    let mut asked = bench.type_in(&seek);
    asked.until("3 records are delivered again. Go on? [y/N] ");
    asked.answer("n");
    let (status, screen) = asked.end();
    assert_eq!(status.code(), Some(1));
    assert!(screen.contains("nothing was changed"), "{screen}");
    let audit = bench.relay.get_json("/api/v1/audit").await;
    assert_eq!(audit.as_array().map(Vec::len), Some(0), "{audit}");

    let mut asked = bench.type_in(&seek);
    asked.until("Go on? [y/N] ");
    asked.answer("y");
    assert!(asked.end().0.success());
    bench.oncall.wait_for(PATIENCE, |requests| requests.len() >= EVENTS + 3).await;

    let mut asked = bench.type_in(&["dead-letter", "discard", "pager", "--all"]);
    asked.until("Go on? [y/N] ");
    asked.answer("");
    assert_eq!(asked.end().0.code(), Some(1), "silence is no agreement");
    let status = status_when(&bench.relay, |status| status.sinks[0].lag_records == 0).await;
    assert_eq!(status.sinks[1].dead_letters, 1);
    let (status, screen) =
        bench.type_in(&["dead-letter", "discard", "pager", "--all", "--yes"]).end();
    assert!(status.success() && !screen.contains("Go on?"), "{screen}");
    status_when(&bench.relay, |status| status.sinks[1].dead_letters == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_its_time_has_a_bar() {
    let bench = Bench::start().await;
    let replay = ["cursor", "replay", "oncall", "--beginning", "--rate", "20/s", "--wait", "--yes"];
    let mut waiting = bench.type_in(&replay);
    waiting.until(" of 40 records, running");
    let (status, screen) = waiting.end();
    assert!(status.success(), "{screen}");
    assert!(screen.contains("replay 1 is done: 40 of 40 records"), "{screen:?}");
    // A change waits for the delivery that is under way.
    bench.oncall.behave(Behaviour::delay(Duration::from_secs(3)));
    bench.cluster.client().create_event("default", &EventSpec::new("late")).await;
    bench.oncall.wait_for(PATIENCE, |requests| requests.len() > 2 * EVENTS).await;
    let mut pause = bench.type_in(&["cursor", "pause", "oncall", "--yes"]);
    pause.until("waiting for the delivery that is under way");
    bench.oncall.behave(Behaviour::status(200));
    assert!(pause.end().0.success());
    let (status, screen) = bench.type_in(&["log", "verify"]).end();
    assert!(status.success(), "{screen}");
    assert!(screen.contains("verify [") && screen.contains(" segments"), "{screen:?}");
    let verified = Place::running(&bench.setup, &bench.relay).await.run(&["log", "verify"]);
    assert_eq!(verified.stderr, "", "programs get no bar");
}

/// Here in one language, elsewhere in JSON: tests/logs.rs.
#[tokio::test(flavor = "multi_thread")]
async fn log_lines_are_for_people() {
    let cluster = Cluster::start().await;
    let sink = Receiver::start();
    let setup =
        Setup::new(cluster.folder(), cluster.kubeconfig_path()).webhook("oncall", &sink.url(), "");
    let path = setup.write().display().to_string();
    let mut relay = Terminal::start(BINARY, ["run", "--config", &path], 160);
    let screen = relay.until("watching events");
    let line = screen.lines().find(|line| line.contains("admin listening")).expect("a line");
    assert!(line.contains("INFO") && line.contains("\u{1b}["), "a level, in colour: {line:?}");
    assert!(!line.starts_with('{') && line.contains("address"), "{line:?}");
    let process = relay.process_id().try_into().expect("a number");
    let process = rustix::process::Pid::from_raw(process).expect("a process");
    rustix::process::kill_process(process, rustix::process::Signal::TERM).expect("a signal");
    let (status, screen) = relay.end();
    assert!(status.success() && screen.contains("stopped"), "{screen}");
    // Nothing was left half done.
    let relay = setup.relay().start();
    status_when(&relay, |status| all_done(status, 0)).await;
}
