//! A storm of events reaches people: within what each service allows, with nothing unnamed, and across
//! kills of the relay.

#![allow(clippy::expect_used)] // a test fails where an expectation is not met

mod fakes;
mod harness;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fakes::chat::{Fake, Message, Rules};
use fakes::dingtalk::DingTalk;
use fakes::wecom_app::{App, WeComApp};
use fakes::wecom_robot::WeComRobot;
use fakes::{dingtalk, wecom_robot};
use harness::{PATIENCE, Setup, status_when};
use kube_event_relay::relay::{SinkState, Status};
use regex::Regex;
use rig::{Client, Cluster, EventSpec};

const MINUTE: Duration = Duration::from_secs(60);

/// How often which (object, reason) was named.
type Named = BTreeMap<(String, String), u64>;

/// What a storm is about: 40 pods with 4 troubles each.
const PODS: usize = 40;
const REASONS: [&str; 4] = ["BackOff", "Unhealthy", "FailedMount", "FailedScheduling"];

/// Creates the warnings with these numbers, a hundred a second.
async fn storm(client: &Client, numbers: std::ops::Range<usize>) -> Named {
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    let mut named = Named::new();
    let numbers: Vec<usize> = numbers.collect();
    for ten in numbers.chunks(10) {
        ticks.tick().await;
        let creating = ten.iter().map(|number| {
            let (pod, reason) = (format!("web-{}", number % PODS), REASONS[number / PODS % 4]);
            *named.entry((pod.clone(), reason.to_owned())).or_default() += 1;
            let spec = EventSpec {
                kind: "Warning".to_owned(),
                reason: reason.to_owned(),
                message: format!("\"{pod}\" ist krank 🤒: versuch {number}\nund noch eine Zeile"),
                object_name: pod.clone(),
                ..EventSpec::new(&format!("{pod}.{number:x}"))
            };
            async move { client.create_event("default", &spec).await }
        });
        futures::future::join_all(creating).await;
    }
    named
}

/// What a person finds in a message.
fn read(message: &Message) -> Named {
    let text = format!("{}\n{}", message.title, message.text).replace("**", "");
    let lines =
        Regex::new(r"(?m)^(?:Warning )?default/Pod/(\S+) (\S+) ×(\d+) ").expect("a pattern");
    let mut named = Named::new();
    for line in lines.captures_iter(&text) {
        let count: u64 = line[3].parse().expect("a number");
        *named.entry((line[1].to_owned(), line[2].to_owned())).or_default() += count;
    }
    if !named.is_empty() {
        return named;
    }
    let single = [
        r"(?s)\bName:([a-z0-9-]+)\.\S+ \nReason:(\S+) \n",
        r"Warning (?<reason>\S+): default/Pod/(?<pod>\S+)",
    ];
    let found =
        single.iter().find_map(|pattern| Regex::new(pattern).expect("valid").captures(&text));
    let found = found.unwrap_or_else(|| panic!("it names nothing: {text}"));
    let (pod, reason) = match found.name("pod") {
        Some(pod) => (pod.as_str(), &found["reason"]),
        None => (found.get(1).expect("a pod").as_str(), &found[2]),
    };
    Named::from([((pod.to_owned(), reason.to_owned()), 1)])
}

fn read_all(messages: &[Message]) -> Named {
    let mut all = Named::new();
    for (thing, count) in messages.iter().flat_map(read) {
        *all.entry(thing).or_default() += count;
    }
    all
}

fn total(named: &Named) -> u64 {
    named.values().sum()
}

/// No window of this length held more messages than that.
fn assert_window(messages: &[Message], most: usize, per: Duration) {
    for window in messages.windows(most + 1) {
        let distance = window[most].instant - window[0].instant;
        assert!(distance >= per, "{} messages within {distance:?}", most + 1);
    }
}

/// Waits until everything was named, and checks how.
async fn told<R: Rules>(
    name: &str,
    service: &Fake<R>,
    created: &Named,
    limit: (usize, usize),
    begun: Instant,
) {
    let all = |messages: &[Message]| total(&read_all(messages)) >= total(created);
    let messages = tokio::time::timeout(2 * PATIENCE, service.until(all)).await;
    let messages = messages.expect("everything is named");
    let (most, bytes) = limit;
    assert_eq!(read_all(&messages), *created, "{name}");
    assert!(service.refusals().is_empty(), "{name}: {:?}", service.refused_codes());
    assert_window(&messages, most, MINUTE);
    let longest = messages.iter().map(|message| message.text.len()).max().unwrap_or_default();
    assert!(longest <= bytes, "{name}: {longest}");
    println!(
        "{name}: {} messages, the longest of {longest} bytes; the last after {:.1?}",
        messages.len(),
        messages.last().expect("one").instant - begun,
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_warnings_become_a_few_messages_that_name_them_all() {
    let cluster = Cluster::start().await;
    let ding = DingTalk::start(dingtalk::Robot::default()).await;
    let robot = WeComRobot::start(wecom_robot::Robot::default()).await;
    let app = WeComApp::start(App::default()).await;
    let relay = Setup::new(cluster.folder(), cluster.kubeconfig_path())
        .sink(&format!("{{name: ding, kind: dingtalk, options: {{url: \"{}\"}}}}", ding.url()))
        .sink(&format!("{{name: robot, kind: wecom-robot, options: {{url: \"{}\"}}}}", robot.url()))
        .sink(&wechat(&app, ""))
        .relay()
        .start();
    harness::live(&relay).await;
    let begun = Instant::now();
    let created = storm(cluster.client(), 0..1_000).await;
    println!("1,000 warnings created within {:.1?}", begun.elapsed());
    assert_eq!((created.len(), total(&created)), (PODS * REASONS.len(), 1_000));
    told("dingtalk", &ding, &created, (18, 20_000), begun).await;
    told("wecom-robot", &robot, &created, (18, 4_096), begun).await;
    told("wechat", &app, &created, (28, 2_048), begun).await;
    assert_eq!(app.lost().len(), 0, "the service discarded nothing");
    status_when(&relay, |status| harness::all_done(status, 1_000)).await;
    assert!(relay.terminate().await.success());
}

/// Four messages in twenty seconds, so that a window that was forgotten would be noticed.
const FEW: (usize, Duration) = (4, Duration::from_secs(20));

#[tokio::test(flavor = "multi_thread")]
async fn kills_in_the_middle_leave_nothing_unnamed_and_open_no_fresh_window() {
    const KILLS: usize = 5;
    let cluster = Cluster::start().await;
    let app = WeComApp::start(App::default()).await;
    let created = storm(cluster.client(), 0..400).await;
    let rate = format!(", rate: {{messages: {}, per: {}s}}", FEW.0, FEW.1.as_secs());
    let setup = Setup::new(cluster.folder(), cluster.kubeconfig_path()).sink(&wechat(&app, &rate));
    let relay = setup.relay();
    let mut running = relay.start();
    let mut repeatable = Named::new();
    for _ in 0..KILLS {
        let before = app.messages().len();
        app.until(|messages| messages.len() > before).await;
        running.kill().await;
        // Only the message that was under way may come again: what came before it was noted first.
        let last = app.messages().pop().expect("a message");
        for (thing, count) in read(&last) {
            *repeatable.entry(thing).or_default() += count;
        }
        running = relay.start();
    }
    let throttled = |status: &Status| {
        let sink = &status.sinks[0];
        sink.state == SinkState::Throttled && sink.throttled_until.is_some()
    };
    status_when(&running, throttled).await;
    status_when(&running, |status| harness::all_done(status, 400)).await;
    let messages = app.messages();
    let named = read_all(&messages);
    for (thing, count) in &created {
        let most = count + repeatable.get(thing).copied().unwrap_or_default();
        let told = named.get(thing).copied().unwrap_or_default();
        assert!((*count..=most).contains(&told), "{thing:?}: {told} of {count}, at most {most}");
    }
    assert_eq!(named.len(), created.len(), "nothing is named that did not happen");
    assert_window(&messages, FEW.0, FEW.1);
    println!(
        "{KILLS} kills, {} messages, {} of 400 named again",
        messages.len(),
        total(&named) - total(&created)
    );
    assert!(running.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_events_are_told_as_one_and_a_kill_forgets_none_of_them() {
    let cluster = Cluster::start().await;
    let ding = DingTalk::start(dingtalk::Robot::default()).await;
    let sink = format!(
        "{{name: ding, kind: dingtalk, group: {{by: [reason], wait: 1s, repeat: 4s}}, \
         options: {{url: \"{}\"}}}}",
        ding.url()
    );
    let relay = Setup::new(cluster.folder(), cluster.kubeconfig_path()).sink(&sink).relay();
    let running = relay.start();
    harness::live(&running).await;
    let first = storm(cluster.client(), 0..160).await;
    let by_reason = |named: &Named| {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        for ((_, reason), count) in named {
            *counts.entry(reason.clone()).or_default() += count;
        }
        counts
    };
    let told = |messages: &[Message]| by_reason(&read_all(messages));
    let wait = |count: u64| {
        let enough = move |messages: &[Message]| total(&read_all(messages)) >= count;
        tokio::time::timeout(PATIENCE, ding.until(enough))
    };
    wait(160).await.expect("the first are told");
    status_when(&running, |status| status.sinks[0].grouped == 0).await;
    let second = storm(cluster.client(), 160..320).await;
    status_when(&running, |status| status.sinks[0].grouped > 0).await;
    let before = ding.messages().len();
    running.kill().await;
    let running = relay.start();
    let messages = wait(320).await.expect("the others are told, too");
    let (first, second) = (by_reason(&first), by_reason(&second));
    for (reason, count) in told(&messages) {
        assert_eq!(count, first[&reason] + second[&reason], "{reason}");
    }
    println!(
        "320 warnings in 4 groups: {before} messages before the kill, {} in all",
        messages.len()
    );
    assert!(messages.len() <= 16, "{}", messages.len());
    assert!(running.terminate().await.success());
}

fn wechat(app: &WeComApp, more: &str) -> String {
    let App { corp_id, secret, agent_id, .. } = App::default();
    format!(
        "{{name: app, kind: wechat, options: {{url: \"{}\", corpId: {corp_id}, corpSecret: {secret}, \
         agentId: {agent_id}, duplicateCheck: false}}{more}}}",
        app.base_url()
    )
}
