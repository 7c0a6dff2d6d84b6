//! `log stat` and `log cat`: of a running relay and of a stopped one's directory, with filters, a limit, and
//! following what comes. Whoever reads holds nothing back, and ends when nobody listens.

#![allow(clippy::expect_used)] // a test fails where an expectation is not met

mod harness;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use harness::place::Place;
use harness::{BINARY, PATIENCE, Setup, all_done, status_when};
use kube_event_relay::relay::{LogStat, RecordCount, RecordCounts};
use rig::{Cluster, CreatedEvent, EventSpec, Receiver, Relay};
use serde_json::Value;

const EVENTS: usize = 60;

struct Bench {
    cluster: Cluster,
    receiver: Receiver,
    setup: Setup,
}

impl Bench {
    async fn start() -> Self {
        let cluster = Cluster::start().await;
        let receiver = Receiver::start();
        let setup = Setup::new(cluster.folder(), cluster.kubeconfig_path())
            .log("retain: 1h")
            .webhook("oncall", &receiver.url(), "");
        Self { cluster, receiver, setup }
    }

    /// Events one after the other: every third a warning, of five objects.
    async fn create(&self, from: usize, count: usize) -> Vec<CreatedEvent> {
        let spec = move |number: usize| {
            let number = from + number;
            let (kind, reason) = if number.is_multiple_of(3) {
                ("Warning", "BackOff")
            } else {
                ("Normal", "Pulled")
            };
            EventSpec {
                kind: kind.into(),
                reason: reason.into(),
                object_name: format!("pod-{}", number % 5),
                ..EventSpec::new(&format!("cat-{number}"))
            }
        };
        self.cluster.client().create_events_with("default", count, 1, spec).await
    }
}

/// The records that `log cat` prints, by their resourceVersions.
fn cat(place: &Place, arguments: &[&str]) -> Vec<u64> {
    let text = place.page(&[&["log", "cat", "-o", "json"], arguments].concat());
    text.lines().map(version).collect()
}

fn version(line: &str) -> u64 {
    let record: Value =
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    assert_eq!(record["resourceVersion"], record["event"]["metadata"]["resourceVersion"]);
    record["resourceVersion"].as_str().expect("text").parse().expect("a number")
}

fn versions<'a>(events: impl IntoIterator<Item = &'a CreatedEvent>) -> Vec<u64> {
    events.into_iter().map(|event| event.resource_version).collect()
}

fn every_third(events: &[CreatedEvent]) -> Vec<u64> {
    versions(events.iter().step_by(3))
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_counted_and_read_with_filters() {
    let bench = Bench::start().await;
    let relay = bench.setup.relay().start();
    let created = bench.create(0, EVENTS).await;
    status_when(&relay, |status| all_done(status, EVENTS)).await;
    let place = Place::running(&bench.setup, &relay).await;
    both_places_say_the_same(&place, &created);
    let stat: LogStat = place.ask(&["log", "stat"]);
    let refused = place.run(&["log", "cat", "--stream", "namespace-shop"]);
    assert!(refused.stderr.contains("there is no stream"), "{}", refused.stderr);
    let wrong = place.run(&["log", "cat", "--reason", "*"]);
    assert!(wrong.stderr.contains("not a regular expression"), "{}", wrong.stderr);
    let wrong = place.run(&["log", "cat", "--match", "{reason: x}"]);
    assert_eq!(wrong.code, Some(2), "{}", wrong.stderr);

    assert!(relay.terminate().await.success());
    let stopped = Place::Stopped(bench.setup.data());
    both_places_say_the_same(&stopped, &created);
    let at_rest: LogStat = stopped.ask(&["log", "stat"]);
    let mut expected = stat;
    // A segment that is closed may take less, or more.
    expected.streams[0].bytes = at_rest.streams[0].bytes;
    assert_eq!(at_rest, expected);
    let follow = stopped.run(&["log", "cat", "--follow"]);
    assert_eq!(follow.code, Some(2), "nothing comes there: {}", follow.stderr);
    assert_eq!(bench.receiver.count(), EVENTS, "reading has delivered nothing again");
}

/// What is said of a log with these records.
fn both_places_say_the_same(place: &Place, created: &[CreatedEvent]) {
    let all = versions(created);
    let stat: LogStat = place.ask(&["log", "stat"]);
    let [stream] = &stat.streams[..] else { panic!("one stream: {stat:?}") };
    assert_eq!((stream.records, stream.appended), (EVENTS as u64, EVENTS as u64));
    assert!(stream.segments >= 1 && stream.bytes > 0, "{stream:?}");
    let place_of = |version: u64| Some(format!("0.{version}"));
    let position = |at: &Option<kube_event_relay::relay::RecordPlace>| {
        at.as_ref().map(|place| place.position.clone())
    };
    assert_eq!(position(&stream.oldest), place_of(all[0]));
    assert_eq!(position(&stream.newest), place_of(all[EVENTS - 1]));
    let page = place.page(&["log", "stat"]);
    assert!(page.contains("\nall-namespaces ") && page.contains("STREAM"), "{page}");

    assert_eq!(cat(place, &[]), all);
    assert_eq!(cat(place, &["--type", "Warning"]), every_third(created));
    assert_eq!(cat(place, &["--reason", "Back.*", "--limit", "4"]), every_third(created)[..4]);
    let objects = created.iter().skip(2).step_by(5);
    assert_eq!(cat(place, &["--kind", "Pod", "--name", "pod-2"]), versions(objects));
    let message = "{messages: ['event cat-1[0-2]']}";
    assert_eq!(cat(place, &["--match", message]), all[10..13]);
    let both = ["--match", message, "--reason", "Pulled", "--namespace", "default"];
    assert_eq!(cat(place, &both), [all[10], all[11]]);
    assert_eq!(cat(place, &["--since", "1h"]), all);
    assert_eq!(cat(place, &["--until", "1h"]), [0; 0]);
    assert_eq!(cat(place, &["--stream", "all-namespaces", "--limit", "0"]), [0; 0]);

    let counts: RecordCounts = place.ask(&["log", "stat", "--by", "reason", "--since", "1h"]);
    let of = |value: &str, records| RecordCount { value: value.to_owned(), records };
    assert_eq!(counts.records, EVENTS as u64);
    assert_eq!(counts.counts, [of("Pulled", 40), of("BackOff", 20)]);
    let days = place.page(&["log", "stat", "--by", "day"]);
    assert!(days.starts_with("60 records\n\nRECORDS  SHARE  DAY\n"), "{days}");

    let table = place.page(&["log", "cat", "--type", "Warning"]);
    let lines: Vec<_> = table.lines().collect();
    assert_eq!(lines.len(), 1 + EVENTS / 3);
    assert!(lines[0].starts_with("RECEIVED              TYPE     REASON "), "{table}");
    let cells: Vec<_> = lines[2].split_whitespace().skip(1).collect();
    assert_eq!(cells, ["Warning", "BackOff", "Pod", "default/pod-3", "event", "cat-3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn following_shows_what_comes_and_ends_with_its_reader() {
    let bench = Bench::start().await;
    let relay = bench.setup.relay().start();
    let first = bench.create(0, 6).await;
    status_when(&relay, |status| all_done(status, 6)).await;
    let url = relay.admin_url().await;
    let follow = ["log", "cat", "--follow", "-o", "json", "--type", "Warning", "--server", &url];
    let mut child = Command::new(BINARY)
        .args(follow)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut next = move || version(&lines.next().expect("a line").expect("text"));
    let expected = every_third(&first);
    assert_eq!([next(), next()], expected[..]);
    let second = bench.create(6, 6).await;
    assert_eq!([next(), next()], every_third(&second)[..], "what comes later");
    child.kill().expect("killed");
    child.wait().expect("ended");

    // Four may ask at a time; each place is free again once its reader is gone.
    let path = "/api/v1/log/records?follow=true";
    let ask = || reqwest::get(format!("{url}{path}"));
    let mut readers = Vec::new();
    let give_up = Instant::now() + PATIENCE;
    while readers.len() < 4 {
        let answer = ask().await.expect("an answer");
        if answer.status().is_success() {
            readers.push(answer);
        }
        // The relay notices that the program above was killed when it next looks at the connection.
        assert!(Instant::now() < give_up, "{} readers", readers.len());
    }
    let fifth = ask().await.expect("an answer");
    assert_eq!(fifth.status(), 429, "one too many");
    assert!(fifth.text().await.expect("text").contains("wait for one to end"));
    drop(readers.pop());
    loop {
        if ask().await.expect("an answer").status().is_success() {
            break;
        }
        assert!(Instant::now() < give_up, "the place of a reader that has gone is not free");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    // Readers do not keep the relay from stopping, and are told the end.
    let mut reader = readers.pop().expect("a reader");
    stops(&relay).await;
    while reader.chunk().await.expect("a proper end").is_some() {}
}

async fn stops(relay: &Relay) {
    assert!(relay.terminate().await.success());
}

/// A reader that takes nothing holds neither the log nor a sink back.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_does_not_read_holds_nothing_back() {
    let bench = Bench::start().await;
    let relay = bench.setup.relay().start();
    bench.create(0, 3).await;
    let url = relay.admin_url().await;
    let reader = reqwest::get(format!("{url}/api/v1/log/records?follow=true")).await;
    let reader = reader.expect("an answer");
    assert!(reader.status().is_success());
    let spec = |number: usize| EventSpec {
        message: "x".repeat(900),
        ..EventSpec::new(&format!("much-{number}"))
    };
    bench.cluster.client().create_events_with("default", 1_000, 8, spec).await;
    status_when(&relay, |status| all_done(status, 1_003)).await;
    assert_eq!(bench.receiver.count(), 1_003);
    drop(reader);
    stops(&relay).await;
}
