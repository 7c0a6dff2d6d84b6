//! The web page in a real Chromium, in both themes and two widths: what is wrong is seen, nothing is loaded from
//! elsewhere, nothing sticks out, and changes need the token and a confirmation.

#![allow(clippy::expect_used)] // a test fails where an expectation is not met

mod harness;

use std::path::Path;

use harness::{PATIENCE, Setup, status_when};
use kube_event_relay::relay::{ReplayState, SinkState, Status};
use rig::{Behaviour, Browser, Cluster, EventSpec, Receiver, Relay, Theme};

const EVENTS: usize = 30;

/// A relay with a sink that is well, one that fails, one that is held, and one that refuses.
struct Bench {
    cluster: Cluster,
    receivers: [Receiver; 4],
    setup: Setup,
    relay: Relay,
}

impl Bench {
    async fn start() -> Self {
        let cluster = Cluster::start().await;
        let receivers = [(); 4].map(|()| Receiver::start());
        receivers[1].behave(Behaviour::status(503));
        receivers[2].behave(Behaviour::status(401));
        receivers[3].behave(Behaviour::decide(|request| {
            let refused = request.json()["reason"] == "Evicted";
            Behaviour::status(if refused { 422 } else { 200 })
        }));
        let setup = ["archive", "oncall", "pager", "warehouse"].iter().zip(&receivers).fold(
            Setup::new(cluster.folder(), cluster.kubeconfig_path()),
            |setup, (name, receiver)| setup.webhook(name, &receiver.url(), ""),
        );
        let relay = setup.relay().start();
        let client = cluster.client();
        for number in 0..EVENTS {
            let reason = if number % 10 == 3 { "Evicted" } else { "BackOff" };
            let spec = EventSpec {
                reason: reason.to_owned(),
                message: format!("<b>message</b> {number} of a pod with a-very-long-name-{number}"),
                ..EventSpec::new(&format!("event-{number}"))
            };
            client.create_event("default", &spec).await;
        }
        let troubled = |status: &Status| {
            let states: Vec<_> = status.sinks.iter().map(|sink| sink.state).collect();
            states[1..3] == [SinkState::Retrying, SinkState::Held]
                && status.sinks[3].dead_letters == 3
        };
        status_when(&relay, troubled).await;
        Self { cluster, receivers, setup, relay }
    }
}

fn picture(theme: Theme, width: u32) -> std::path::PathBuf {
    let name = format!("{theme:?}-{width}.png").to_lowercase();
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/page").join(name)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_seen_in_both_themes_and_two_widths() {
    let bench = Bench::start().await;
    let url = bench.relay.admin_url().await;
    bench.setup.clone().sink("{name: chat, kind: dingtlk}").write();
    let mut grounds = Vec::new();
    for (theme, width, height) in [
        (Theme::Light, 1280, 1600),
        (Theme::Dark, 1280, 1600),
        (Theme::Light, 390, 2400),
        (Theme::Dark, 390, 2400),
    ] {
        let browser = Browser::start(theme, width, height).await;
        browser.open(&url).await;
        browser.until("document.querySelectorAll('[data-sink]').length === 4").await;
        let summary = "document.getElementById('summary').textContent";
        browser
            .until(&format!("{summary} === 'look at: configuration, sink oncall, sink pager'"))
            .await;
        let of = |sink: &str| format!("document.querySelector('[data-sink={sink}]').innerText");
        for (sink, part) in [
            ("archive", "idle"),
            ("oncall", "HTTP 503"),
            ("oncall", "next attempt"),
            ("pager", "check the credentials"),
            ("warehouse", "dead letters"),
        ] {
            browser.until(&format!("{}.includes('{part}')", of(sink))).await;
        }
        browser.until("document.getElementById('streams').innerText.includes('live')").await;
        let configuration = "document.getElementById('configuration-section')";
        browser.until(&format!("{configuration}.innerText.includes('`dingtalk`')")).await;
        // Nothing sticks out of a phone's screen.
        let out =
            "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
        assert_eq!(browser.run(out).await, 0, "{theme:?} {width}");
        browser.until("document.querySelectorAll('#sinks svg path').length >= 8").await;
        browser.screenshot(&picture(theme, width)).await;
        grounds.push(browser.run("return getComputedStyle(document.body).backgroundColor").await);
        assert_eq!(browser.complaints().await, Vec::<String>::new(), "{theme:?} {width}");
    }
    assert_ne!(grounds[0], grounds[1], "the page is dark where people prefer that");
    assert!(bench.relay.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_need_the_token_and_a_confirmation() {
    let bench = Bench::start().await;
    let url = bench.relay.admin_url().await;
    let browser = Browser::start(Theme::Light, 1280, 1600).await;
    browser.open(&url).await;
    browser.until("document.querySelectorAll('[data-sink]').length === 4").await;
    let click = async |sink: &str, text: &str| {
        let action = format!("[data-action=\"{text} {sink}\"]");
        browser.until(&format!("document.querySelector('{action}')")).await;
        browser.run(&format!("document.querySelector('{action}').click()")).await;
    };
    let trouble = "document.getElementById('trouble').textContent";
    click("archive", "Pause").await;
    browser.until(&format!("{trouble}.includes('Authorization: Bearer')")).await;

    let token = std::fs::read_to_string(bench.setup.data().join("admin-token")).expect("a token");
    let script = "const field = document.getElementById('token'); field.value = '{}'; \
                  field.dispatchEvent(new Event('change'))";
    browser.run(&script.replace("{}", token.trim())).await;
    let dialog = "document.getElementById('confirm')";
    let answer = async |value: &str| {
        browser.until(&format!("{dialog}.open")).await;
        browser.run(&format!("{dialog}.querySelector('[value={value}]').click()")).await;
    };
    click("archive", "Pause").await;
    browser.until(&format!("{dialog}.innerText.includes('until it is resumed')")).await;
    answer("no").await;
    click("archive", "Pause").await;
    answer("yes").await;
    status_when(&bench.relay, |status| status.sinks[0].state == SinkState::Paused).await;
    let audit = bench.relay.get_json("/api/v1/audit").await;
    assert_eq!(audit.as_array().map(Vec::len), Some(1), "the first time nobody agreed: {audit}");
    click("archive", "Resume").await;
    answer("yes").await;
    status_when(&bench.relay, |status| status.sinks[0].state == SinkState::Idle).await;

    // A letter is sent again once its cause is gone.
    bench.receivers[3].behave(Behaviour::status(200));
    browser.until("document.querySelectorAll('#letters tbody tr').length === 3").await;
    let letters = "document.getElementById('letters')";
    browser.until(&format!("{letters}.innerText.includes('HTTP 422')")).await;
    browser.run(&format!("{letters}.querySelector('.controls button').click()")).await;
    answer("yes").await;
    status_when(&bench.relay, |status| status.sinks[3].dead_letters == 0).await;

    // The last two hours again, from the menu.
    let delivered = bench.receivers[0].count();
    let menu = "const menu = document.querySelector('[data-sink=archive] select'); menu.value = '7200'; \
                menu.dispatchEvent(new Event('change'))";
    browser.run(menu).await;
    browser.until(&format!("{dialog}.innerText.includes('{EVENTS} records of {EVENTS}')")).await;
    answer("yes").await;
    bench.receivers[0].wait_for(PATIENCE, |requests| requests.len() > delivered).await;
    let cancel = "[...document.querySelectorAll('[data-sink=archive] button')]\
                  .find((button) => button.textContent === 'Cancel replay')";
    browser.until(cancel).await;
    browser.run(&format!("{cancel}.click()")).await;
    answer("yes").await;
    status_when(&bench.relay, |status| {
        status.sinks[0].replays.iter().any(|replay| replay.state == ReplayState::Cancelled)
    })
    .await;

    click("archive", "Test").await;
    browser.until(&format!("{trouble}.includes('test of archive: accepted; HTTP 200 OK')")).await;
    assert!(bench.relay.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_followed_as_they_come() {
    let bench = Bench::start().await;
    let browser = Browser::start(Theme::Light, 1280, 1600).await;
    browser.open(&bench.relay.admin_url().await).await;
    browser.run("document.querySelector('#tail [name=reason]').value = 'Evicted'").await;
    browser.run("document.querySelector('#tail button').click()").await;
    let lines = "document.querySelectorAll('#events li').length";
    browser.until(&format!("{lines} === 3")).await;
    let spec = EventSpec { reason: "Evicted".to_owned(), ..EventSpec::new("late") };
    bench.cluster.client().create_event("default", &spec).await;
    browser.until(&format!("{lines} === 4")).await;
    // What events say is text.
    browser.until("document.getElementById('events').innerText.includes('<b>message</b>')").await;
    browser.run("document.getElementById('tail-stop').click()").await;
    browser.until("document.getElementById('tail-stop').disabled").await;
    assert_eq!(browser.complaints().await, Vec::<String>::new());
    assert!(bench.relay.terminate().await.success());
}
