//! The operators' guide: every command of the relay in it is run, in order, against a running relay, and both languages
//! have the same commands.

#![allow(clippy::expect_used)] // a test fails where an expectation is not met

mod harness;

use std::path::Path;

use harness::place::Place;
use harness::{Setup, status_when};
use rig::{Behaviour, Cluster, EventSpec, Receiver};

/// The lines that call the relay in blocks of commands.
fn commands(page: &str) -> Vec<Vec<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(page);
    let text = std::fs::read_to_string(path).expect("the guide");
    let blocks = text.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let lines =
        blocks.flat_map(str::lines).filter_map(|line| line.strip_prefix("kube-event-relay "));
    lines.map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
}

#[test]
fn both_languages_have_the_same_commands() {
    assert_eq!(commands("operators-guide.md"), commands("operators-guide.zh-CN.md"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_of_the_guide_works() {
    let cluster = Cluster::start().await;
    let sink = Receiver::start();
    sink.behave(Behaviour::decide(|request| {
        Behaviour::status(if request.json()["reason"] == "Evicted" { 422 } else { 200 })
    }));
    let setup =
        Setup::new(cluster.folder(), cluster.kubeconfig_path()).webhook("oncall", &sink.url(), "");
    let relay = setup.relay().start();
    for (name, reason) in [("one", "Evicted"), ("two", "BackOff")] {
        let spec = EventSpec { reason: reason.to_owned(), ..EventSpec::new(name) };
        cluster.client().create_event("default", &spec).await;
    }
    status_when(&relay, |status| {
        status.sinks[0].dead_letters == 1 && status.sinks[0].delivered == 1
    })
    .await;
    // The cause is mended before letters are handed over again.
    sink.behave(Behaviour::status(200));
    let place = Place::running(&setup, &relay).await;
    let commands = commands("operators-guide.md");
    assert!(commands.len() >= 15, "{commands:?}");
    for command in commands {
        let arguments: Vec<_> = command.iter().map(String::as_str).collect();
        let answer = place.run(&arguments);
        assert_eq!(answer.code, Some(0), "{command:?}: {}{}", answer.stdout, answer.stderr);
    }
    assert!(relay.terminate().await.success());
}
