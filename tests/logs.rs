//! The relay's own log where no terminal is: one JSON object per line, one line per change of state with the
//! sink, the record and the cause as fields, and none for events that are simply delivered.

#![allow(clippy::expect_used)] // a test fails where an expectation is not met

mod harness;

use harness::place::Place;
use harness::{Setup, status_when};
use kube_event_relay::relay::{SinkState, Status};
use rig::{Behaviour, Cluster, CreatedEvent, EventSpec, Receiver, Relay};
use serde_json::Value;

/// A failing sink is tried so often that a line for each attempt would be seen.
const ATTEMPTS: u64 = 5;

/// What the relay has logged, each line an object with its time, level and message.
fn lines(relay: &Relay) -> Vec<Value> {
    let parse = |line: rig::Line| -> Value {
        serde_json::from_str(&line.text).unwrap_or_else(|error| panic!("{error}: {}", line.text))
    };
    let lines: Vec<_> = relay.lines().into_iter().map(parse).collect();
    for line in &lines {
        for field in ["timestamp", "level", "message", "target"] {
            assert!(line[field].is_string(), "{field}: {line}");
        }
        let message = line["message"].as_str().expect("text");
        assert!(!message.ends_with('.') && !message.starts_with("The "), "one style: {message}");
    }
    lines
}

/// What was logged of a sink behind the first `before` lines.
fn of_sink(relay: &Relay, sink: &str, before: usize) -> Vec<Value> {
    lines(relay).into_iter().skip(before).filter(|line| line["sink"] == sink).collect()
}

async fn create(cluster: &Cluster, name: &str, reason: &str) -> CreatedEvent {
    let spec = EventSpec { reason: reason.into(), ..EventSpec::new(name) };
    cluster.client().create_event("default", &spec).await
}

fn name_of(event: &CreatedEvent) -> String {
    format!("all-namespaces/0.{}", event.resource_version)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_line_tells_of_each_change_and_none_of_what_is_delivered() {
    let cluster = Cluster::start().await;
    let sink = Receiver::start();
    let setup =
        Setup::new(cluster.folder(), cluster.kubeconfig_path()).webhook("oncall", &sink.url(), "");
    let relay = setup.relay().start();
    let delivered = |count: u64| move |status: &Status| status.sinks[0].delivered == count;
    create(&cluster, "first", "BackOff").await;
    status_when(&relay, delivered(1)).await;
    let quiet = lines(&relay).len();
    cluster.client().create_events("default", 200, 4).await;
    status_when(&relay, delivered(201)).await;
    assert_eq!(lines(&relay).len(), quiet, "{:#?}", lines(&relay));

    // An outage is two lines, however often it was tried.
    sink.behave(Behaviour::status(503));
    let late = create(&cluster, "late", "BackOff").await;
    status_when(&relay, |status| {
        status.sinks[0].failure.as_ref().is_some_and(|failure| failure.attempts >= ATTEMPTS)
    })
    .await;
    sink.behave(Behaviour::status(200));
    status_when(&relay, delivered(202)).await;
    let [failed, recovered] = &of_sink(&relay, "oncall", quiet)[..] else {
        panic!("{:#?}", of_sink(&relay, "oncall", quiet))
    };
    assert_eq!(
        (&failed["level"], &failed["message"]),
        (&"WARN".into(), &"delivery failed; trying again".into())
    );
    assert_eq!(failed["record"], name_of(&late));
    assert!(failed["cause"].as_str().expect("text").contains("503"), "{failed}");
    assert_eq!(recovered["message"], "the sink accepts records again");
    assert!(recovered["attempts"].as_u64() >= Some(ATTEMPTS), "{recovered}");

    // Held: what is wrong, at which record.
    let before = lines(&relay).len();
    sink.behave(Behaviour::status(401));
    let held = create(&cluster, "held", "BackOff").await;
    status_when(&relay, |status| status.sinks[0].state == SinkState::Held).await;
    let [line] = &of_sink(&relay, "oncall", before)[..] else { panic!("one line") };
    assert_eq!((&line["level"], &line["record"]), (&"ERROR".into(), &name_of(&held).into()));
    assert!(line["cause"].as_str().expect("text").contains("check the credentials"), "{line}");

    // Refused for good: the first is named, as `dead-letter show` takes it, and a storm is one line.
    let before = lines(&relay).len();
    sink.behave(Behaviour::status(422));
    for number in 0..20 {
        create(&cluster, &format!("refused-{number}"), "Evicted").await;
    }
    let place = Place::running(&setup, &relay).await;
    place.change(&["cursor", "resume", "oncall"]);
    status_when(&relay, |status| status.sinks[0].dead_letters == 21).await;
    let of_letters = of_sink(&relay, "oncall", before);
    let of_letters: Vec<_> = of_letters
        .iter()
        .filter(|line| line["message"].as_str().is_some_and(|text| text.contains("dead letters")))
        .collect();
    let [line] = &of_letters[..] else { panic!("{of_letters:#?}") };
    assert_eq!((&line["level"], &line["record"]), (&"WARN".into(), &name_of(&held).into()));
    assert!(line["reason"].as_str().expect("text").contains("422"), "{line}");
    let recovered = of_sink(&relay, "oncall", before);
    let recovered: Vec<_> = recovered
        .iter()
        .filter(|line| line["message"] == "the sink accepts records again")
        .collect();
    assert_eq!(recovered.len(), 1, "it was held before: {recovered:?}");
    place.page(&["dead-letter", "show", "oncall", line["record"].as_str().expect("text")]);

    // What an operator does is a line with before and after.
    let before = lines(&relay).len();
    place.change(&["cursor", "pause", "oncall"]);
    let changes: Vec<_> =
        lines(&relay).into_iter().skip(before).filter(|line| line["subject"] == "oncall").collect();
    let [line] = &changes[..] else { panic!("{changes:#?}") };
    assert_eq!((&line["before"], &line["after"]), (&"running".into(), &"paused".into()));
    assert!(relay.terminate().await.success());
}
