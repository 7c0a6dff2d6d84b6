//! What an operator does to a running relay and to the directory of a stopped one: pause, resume, seek,
//! forget, try. A dry run says the same and does nothing; without the token nothing happens; every change
//! leaves an audit entry.

#![allow(clippy::expect_used)] // a test fails where an expectation is not met

mod harness;

use harness::place::{self, Place};
use harness::{PATIENCE, Setup, all_done, status_when};
use http::StatusCode;
use kube_event_relay::cursor::AuditEntry;
use kube_event_relay::relay::{Change, CursorStatus, SinkState};
use rig::{Behaviour, Cluster, Receiver, Relay};

const EVENTS: usize = 40;

struct Bench {
    cluster: Cluster,
    oncall: Receiver,
    archive: Receiver,
    setup: Setup,
}

impl Bench {
    async fn start() -> Self {
        let cluster = Cluster::start().await;
        let (oncall, archive) = (Receiver::start(), Receiver::start());
        let setup = Setup::new(cluster.folder(), cluster.kubeconfig_path())
            .webhook("oncall", &oncall.url(), "")
            .webhook("archive", &archive.url(), "");
        Self { cluster, oncall, archive, setup }
    }

    /// A relay that has delivered these events.
    async fn relay(&self, events: usize) -> Relay {
        let relay = self.setup.relay().start();
        self.cluster.client().create_events("default", events, 1).await;
        status_when(&relay, |status| all_done(status, events)).await;
        relay
    }

    async fn running(&self, relay: &Relay) -> Place {
        Place::running(&self.setup, relay).await
    }
}

fn versions(receiver: &Receiver) -> Vec<u64> {
    place::versions(&receiver.requests())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_sink_waits_and_goes_on_where_it_stopped() {
    let bench = Bench::start().await;
    let relay = bench.relay(EVENTS).await;
    let place = bench.running(&relay).await;
    let change = place.change(&["cursor", "pause", "oncall"]);
    assert_eq!((change.before.as_str(), change.after.as_str()), ("running", "paused"));
    bench.cluster.client().create_events("default", EVENTS, 2).await;
    let waiting = |status: &kube_event_relay::relay::Status| {
        status.sinks[0].lag_records == EVENTS as u64 && status.sinks[1].lag_records == 0
    };
    let status = status_when(&relay, waiting).await;
    assert_eq!(status.sinks[0].state, SinkState::Paused);
    assert_eq!(bench.oncall.count(), EVENTS, "nothing goes to a paused sink");

    let pause = status.sinks[0].pause.as_ref().expect("since when, and from where");
    assert!(pause.by.starts_with("127.0.0.1:"), "{pause:?}");
    let metrics = relay.get_text("/metrics").await;
    assert!(metrics.contains("kube_event_relay_sink_paused{sink=\"oncall\"} 1\n"));
    assert!(metrics.contains("kube_event_relay_sink_paused{sink=\"archive\"} 0\n"));

    // It stays paused across a restart, and that is seen in the directory.
    assert!(relay.terminate().await.success());
    let stopped = Place::Stopped(bench.setup.data());
    assert!(stopped.page(&["status"]).contains("! sink oncall: paused by an operator for "));
    let change = stopped.change(&["cursor", "pause", "archive"]);
    assert_eq!(change.before, "running");
    stopped.change(&["cursor", "resume", "archive"]);
    let relay = bench.setup.relay().start();
    let place = bench.running(&relay).await;
    let status = status_when(&relay, waiting).await;
    assert_eq!(status.sinks[0].state, SinkState::Paused);
    assert_eq!(bench.oncall.count(), EVENTS);
    place.change(&["cursor", "resume", "oncall"]);
    status_when(&relay, |status| all_done(status, 2 * EVENTS)).await;
    let versions = versions(&bench.oncall);
    assert_eq!(versions.len(), 2 * EVENTS);
    assert!(versions.is_sorted_by(|before, after| before < after), "in order, each once");

    let entries: Vec<AuditEntry> = place.ask(&["audit"]);
    let actions: Vec<_> = entries.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(actions, ["cursor pause", "cursor pause", "cursor resume", "cursor resume"]);
    assert!(entries[0].from.starts_with("127.0.0.1:"), "{entries:?}");
    assert!(entries[1].from.ends_with("at the data directory"), "{entries:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_goes_where_it_is_sent() {
    let bench = Bench::start().await;
    let relay = bench.relay(EVENTS).await;
    let all = versions(&bench.oncall);
    let place = bench.running(&relay).await;

    let back = place.change(&["cursor", "seek", "oncall", "--back", "7"]);
    assert_eq!(back.effect, "7 records are delivered again");
    let wait = |count: usize| bench.oncall.wait_for(PATIENCE, move |got| got.len() >= count);
    wait(EVENTS + 7).await;
    assert_eq!(versions(&bench.oncall)[EVENTS..], all[EVENTS - 7..]);

    status_when(&relay, |status| all_done(status, EVENTS)).await;
    let version = all[10].to_string();
    place.change(&["cursor", "seek", "oncall", "--to-rv", &version]);
    wait(2 * EVENTS + 7 - 10).await;
    assert_eq!(versions(&bench.oncall)[EVENTS + 7..], all[10..]);

    status_when(&relay, |status| all_done(status, EVENTS)).await;
    let beginning: Change = place.ask(&["cursor", "seek", "oncall", "--since", "2h", "--dry-run"]);
    assert_eq!(beginning.effect, format!("{EVENTS} records are delivered again"));
    assert_eq!(bench.archive.count(), EVENTS, "other sinks have noticed nothing");

    // What waits can be skipped, and that is noted.
    place.change(&["cursor", "pause", "oncall"]);
    bench.oncall.clear();
    bench.cluster.client().create_events("default", 5, 2).await;
    status_when(&relay, |status| status.sinks[0].lag_records == 5).await;
    let skip = place.change(&["cursor", "seek", "oncall", "--skip", "2"]);
    assert_eq!(skip.effect, "2 records are skipped and never delivered");
    place.change(&["cursor", "resume", "oncall"]);
    status_when(&relay, |status| all_done(status, EVENTS + 5)).await;
    assert_eq!(bench.oncall.count(), 3);
    let entries: Vec<AuditEntry> = place.ask(&["audit"]);
    assert!(entries.iter().any(|entry| entry.effect == skip.effect), "{entries:?}");

    // The same in the directory of a stopped relay.
    assert!(relay.terminate().await.success());
    bench.oncall.clear();
    let stopped = Place::Stopped(bench.setup.data());
    let seek = stopped.change(&["cursor", "seek", "oncall", "--beginning"]);
    assert_eq!(seek.effect, format!("{} records are delivered again", EVENTS + 5));
    let relay = bench.setup.relay().start();
    status_when(&relay, |status| all_done(status, EVENTS + 5)).await;
    assert_eq!(bench.oncall.count(), EVENTS + 5);
    assert_eq!(versions(&bench.oncall)[..EVENTS], all);
    let elsewhere = bench.running(&relay).await.run(&["cursor", "seek", "pager", "--end"]);
    assert_eq!(elsewhere.code, Some(1));
    assert!(elsewhere.stderr.contains("there is no sink \"pager\"; there are: archive, oncall"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_is_tried_and_one_that_is_gone_is_forgotten() {
    let bench = Bench::start().await;
    let relay = bench.relay(3).await;
    let place = bench.running(&relay).await;
    let answer = place.run(&["sink", "test", "oncall"]);
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    assert!(answer.stdout.contains("answer   HTTP 200 OK"), "{}", answer.stdout);
    let test = bench.oncall.requests().pop().expect("a request").json();
    assert_eq!(test["reason"], "RelayTest");
    status_when(&relay, |status| status.sinks[0].delivered == 3).await;
    let entries: Vec<AuditEntry> = place.ask(&["audit"]);
    assert_eq!((entries[0].action.as_str(), entries[0].after.as_str()), ("sink test", "accepted"));

    let configured = place.run(&["cursor", "forget", "oncall"]);
    assert!(configured.stderr.contains("take it out of the configuration"), "{configured:?}");
    assert!(relay.terminate().await.success());
    let stopped = Place::Stopped(bench.setup.data());
    let change = stopped.change(&["cursor", "forget", "archive"]);
    assert_eq!(change.after, "unknown");
    let cursors: Vec<serde_json::Value> = stopped.ask(&["cursor", "list"]);
    assert_eq!(cursors.len(), 1);
    assert_eq!(stopped.run(&["cursor", "forget", "archive"]).code, Some(1));
}

/// What holds a sink may be given up; then nothing is wrong with it any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_sink_whose_records_were_skipped_is_well() {
    let bench = Bench::start().await;
    let relay = bench.relay(1).await;
    bench.oncall.behave(Behaviour::status(401));
    bench.cluster.client().create_events("default", 2, 1).await;
    status_when(&relay, |status| status.sinks[0].state == SinkState::Held).await;
    let place = bench.running(&relay).await;
    let change = place.change(&["cursor", "pause", "oncall"]);
    assert_eq!(change.before, "held");
    let page = place.page(&["status"]);
    assert!(page.contains("before that it failed: HTTP 401"), "{page}");
    place.change(&["cursor", "seek", "oncall", "--end"]);
    place.change(&["cursor", "resume", "oncall"]);
    let status = status_when(&relay, |status| status.sinks[0].state == SinkState::Idle).await;
    assert_eq!(status.sinks[0].failure, None);
    assert!(relay.terminate().await.success());
}

/// A sink that is taken out of the configuration is seen until it is forgotten, and then gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_was_removed_is_shown_until_it_is_forgotten() {
    let bench = Bench::start().await;
    let relay = bench.relay(3).await;
    let place = bench.running(&relay).await;
    bench.archive.behave(Behaviour::status(422));
    bench.cluster.client().create_events("default", 1, 1).await;
    status_when(&relay, |status| status.sinks[1].dead_letters == 1).await;
    let url = bench.oncall.url();
    Setup::new(bench.cluster.folder(), bench.cluster.kubeconfig_path())
        .webhook("oncall", &url, "")
        .write();
    let status = status_when(&relay, |status| status.removed.len() == 1).await;
    assert_eq!((status.sinks.len(), status.removed[0].name.as_str()), (1, "archive"));
    let line = " ! sink archive: not configured any more, its cursor and 1 dead letter kept; put it back, or give \
                it up with `cursor forget archive` and `dead-letter discard archive --all`\n";
    let page = place.page(&["status"]);
    assert!(page.contains(line), "{page}");
    let cursors: Vec<CursorStatus> = place.ask(&["cursor", "list"]);
    assert_eq!(cursors.len(), 2, "{cursors:?}");
    assert_eq!(place.ask::<Vec<CursorStatus>>(&["cursor", "show", "archive"]), cursors[1..]);
    let change = place.change(&["cursor", "forget", "archive"]);
    assert!(change.effect.contains("begins with what arrives then"), "{change:?}");
    status_when(&relay, |status| status.removed[0].cursors.is_empty()).await;
    assert_eq!(place.run(&["cursor", "show", "archive"]).code, Some(1));
    let page = place.page(&["status"]);
    assert!(page.contains("archive: not configured any more, 1 dead letter kept"), "{page}");
    place.page(&["dead-letter", "discard", "archive", "--all"]);
    status_when(&relay, |status| status.removed.is_empty()).await;
    assert!(relay.terminate().await.success());
}

/// What nobody has asked for does not happen because a word was misspelt.
#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_is_not_understood_changes_nothing() {
    let bench = Bench::start().await;
    let relay = bench.relay(1).await;
    let token = std::fs::read_to_string(bench.setup.data().join("admin-token")).expect("a token");
    for path in ["sinks/oncall/pause?dryrun=true", "sinks/oncall/test?dryRun=true"] {
        let url = format!("{}/api/v1/{path}", relay.admin_url().await);
        let asked = reqwest::Client::new().post(url).bearer_auth(token.trim()).send().await;
        assert_eq!(asked.expect("an answer").status(), StatusCode::BAD_REQUEST, "{path}");
    }
    let entries: Vec<AuditEntry> = bench.running(&relay).await.ask(&["audit"]);
    assert!(entries.is_empty(), "{entries:?}");
    assert_eq!(bench.oncall.count(), 1, "no test was sent");
}

/// No route that changes anything answers without the token, and reads do.
#[tokio::test(flavor = "multi_thread")]
async fn changes_need_the_token() {
    let bench = Bench::start().await;
    let relay = bench.relay(1).await;
    let url = relay.admin_url().await;
    let document = relay.get_json("/api/v1/openapi.json").await;
    let client = reqwest::Client::new();
    let mut changes = 0;
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            if method == "get" {
                assert!(operation.get("security").is_none(), "{method} {path} is open");
                continue;
            }
            changes += 1;
            let path = path.replace("{sink}", "oncall");
            let method: http::Method = method.to_uppercase().parse().expect("a method");
            let ask = || {
                let body = serde_json::json!({"to": "beginning"});
                client.request(method.clone(), format!("{url}{path}")).json(&body)
            };
            let without = ask().send().await.expect("an answer");
            assert_eq!(without.status(), StatusCode::UNAUTHORIZED, "{method} {path}");
            assert_eq!(without.headers()["www-authenticate"], "Bearer");
            let wrong = ask().bearer_auth("0".repeat(64)).send().await.expect("an answer");
            assert_eq!(wrong.status(), StatusCode::FORBIDDEN, "{method} {path}");
            assert!(operation.get("security").is_some(), "{method} {path} says so");
        }
    }
    assert!(changes >= 5, "{changes}");
    let entries: Vec<AuditEntry> = bench.running(&relay).await.ask(&["audit"]);
    assert!(entries.is_empty(), "{entries:?}");
    assert_eq!(bench.oncall.count(), 1);
}
