//! The operators' guide, and the README's table of commands: every command of the relay in them is run, in order, against
//! a running relay, and both languages of the guide have the same commands.

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

/// What the README's table of questions and acts names, for a sink.
fn commands_of_the_readme() -> Vec<Vec<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = std::fs::read_to_string(path).expect("the README");
    let table = text.lines().skip_while(|line| !line.starts_with("| question or act"));
    let rows = table.skip(2).take_while(|line| line.starts_with('|'));
    let spans = rows.flat_map(|row| row.split('`').skip(1).step_by(2));
    // Files are for tests/command_line.rs.
    let spans = spans.filter(|span| !span.contains("FILE"));
    spans
        .map(|span| span.replace("SINK", "oncall").split_whitespace().map(str::to_owned).collect())
        .collect()
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
    let (guide, readme) = (commands("operators-guide.md"), commands_of_the_readme());
    assert!(guide.len() >= 15 && readme.len() >= 10, "{guide:?} {readme:?}");
    for command in guide.into_iter().chain(readme) {
        let arguments: Vec<_> = command.iter().map(String::as_str).collect();
        let answer = place.run(&arguments);
        assert_eq!(answer.code, Some(0), "{command:?}: {}{}", answer.stdout, answer.stderr);
    }
    assert!(relay.terminate().await.success());
}
