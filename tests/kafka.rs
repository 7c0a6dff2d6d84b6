//! The `kafka` sink against a real Apache Kafka: what arrives, how often, and what it does when it cannot.

#![allow(clippy::expect_used)] // a test fails where an expectation is not met

mod fakes;
mod harness;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use fakes::kafka_sink::{accept, accept_at_last, build, deliver, versions};
use fakes::kafka_topics::{Arrived, Topics};
use fakes::records::{record, record_at, records};
use harness::{PATIENCE, Setup, status_when};
use jiff::Timestamp;
use kube_event_relay::event::Record;
use kube_event_relay::sink::{Outcome, Sink};
use rig::{Cluster, EventSpec, Kafka, KafkaListener};
use serde_json::{Value, json};

/// A server, and a client of it that is no part of the relay.
struct Bench {
    server: Kafka,
    topics: Topics,
}

impl Bench {
    async fn start() -> Self {
        let server = Kafka::start().await;
        let topics = Topics::new(&server.address(KafkaListener::Plain));
        Self { server, topics }
    }

    fn sink(&self, topic: &str, more: &Value) -> Box<dyn Sink> {
        self.sink_at(KafkaListener::Plain, topic, more)
    }

    fn sink_at(&self, listener: KafkaListener, topic: &str, more: &Value) -> Box<dyn Sink> {
        let mut options = json!({"brokers": self.server.address(listener), "topic": topic});
        for (name, value) in more.as_object().expect("an object") {
            options[name] = value.clone();
        }
        build(&options)
    }
}

async fn held(sink: &mut dyn Sink, part: &str) {
    let outcomes = deliver(sink, &records(2)).await;
    for outcome in outcomes {
        let Outcome::Hold { cause } = &outcome else { panic!("{part}: {outcome:?}") };
        assert!(cause.contains(part), "{part}: {cause}");
        assert!(!cause.contains("s3cret") && !cause.contains("wrong-word"), "{cause}");
    }
}

/// One server for all of it: starting one takes longer than what is asked of it.
#[tokio::test(flavor = "multi_thread")]
async fn messages_arrive_in_a_real_kafka() {
    let bench = Bench::start().await;
    a_message_has_the_bytes_of_kube_eventer(&bench).await;
    a_time_that_brokers_refuse_becomes_that_of_the_delivery(&bench).await;
    every_compression_arrives(&bench).await;
    a_record_that_is_too_large_is_refused_alone(&bench).await;
    small_topics_take_what_fits(&bench).await;
    a_topic_that_is_missing_holds_until_it_is_there(&bench).await;
    a_missing_permission_holds_until_it_is_given(&bench).await;
    a_wrong_password_holds_until_it_is_right(&bench).await;
    certificates_are_shown_and_checked(&bench).await;
    let bench = a_server_that_is_killed_in_the_middle_has_every_record_once(bench).await;
    let mut bench = what_happened_long_ago_may_be_there_twice_after_a_kill(bench).await;
    nothing_is_lost_through_the_whole_relay(&mut bench).await;
}

async fn a_message_has_the_bytes_of_kube_eventer(bench: &Bench) {
    bench.topics.create("bytes", 3, &[]).await;
    let batch = [record(7, "sagt \"nein\" <b> 🤒")];
    accept(bench.sink("bytes", &json!({})).as_mut(), &batch).await;
    accept(bench.sink("bytes", &json!({"value": "json"})).as_mut(), &batch).await;
    let arrived = bench.topics.messages("bytes").await;
    let [eventer, plain] = &arrived[..] else { panic!("{arrived:?}") };
    let value = r#"{"EventValue":"{\n \"metadata\": {\n  \"name\": \"web.17a3\",\n  \"namespace\": \"shop\",\n  \"uid\": \"u-1\",\n  \"resourceVersion\": \"7\",\n  \"creationTimestamp\": null\n },\n \"involvedObject\": {\n  \"kind\": \"Pod\",\n  \"namespace\": \"shop\",\n  \"name\": \"web\"\n },\n \"reason\": \"BackOff\",\n \"message\": \"sagt \\\"nein\\\" \\u003cb\\u003e 🤒\",\n \"source\": {},\n \"firstTimestamp\": null,\n \"lastTimestamp\": \"2024-05-01T02:00:00Z\",\n \"count\": 3,\n \"type\": \"Warning\",\n \"eventTime\": null,\n \"reportingComponent\": \"\",\n \"reportingInstance\": \"\"\n}","EventTimestamp":"2024-05-01T02:00:00Z","EventTags":{"eventID":"u-1","hostname":"","pod_id":"","pod_name":"web"}}"#;
    assert_eq!(eventer.value, value);
    assert_eq!(plain.value.as_bytes(), batch[0].body);
    let id = batch[0].id("test").to_string();
    for message in &arrived {
        assert_eq!(message.key, "test/shop/web");
        assert_eq!(message.time, 1_714_528_800_000);
        let headers: Vec<_> =
            message.headers.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let expected = [
            ("record_id", id.as_str()),
            ("content-type", "application/json"),
            ("cluster", "test"),
            ("uid", "u-1"),
            ("resource_version", "7"),
        ];
        assert_eq!(headers, expected);
    }
    assert_eq!(eventer.partition, plain.partition, "one object, one partition");
}

async fn a_time_that_brokers_refuse_becomes_that_of_the_delivery(bench: &Bench) {
    bench.topics.create("recent", 1, &[("message.timestamp.before.max.ms", "3600000")]).await;
    let mut sink = bench.sink("recent", &json!({}));
    let before = jiff::Timestamp::now().as_millisecond();
    accept(sink.as_mut(), &records(20)).await;
    let again: Vec<_> = (21..=500).map(|number| record(number, "later")).collect();
    accept(sink.as_mut(), &again).await;
    let arrived = bench.topics.messages("recent").await;
    assert_eq!(versions(&arrived), (1..=500).collect::<Vec<_>>());
    assert!(arrived.iter().all(|message| message.time >= before));
}

async fn every_compression_arrives(bench: &Bench) {
    for compression in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let topic = format!("by-{compression}");
        // It keeps the codec of the producer, which is the default.
        bench.topics.create(&topic, 1, &[]).await;
        let batch = records(200);
        let mut sink = bench.sink(&topic, &json!({"compression": compression}));
        accept(sink.as_mut(), &batch).await;
        let arrived = bench.topics.messages(&topic).await;
        assert_eq!(versions(&arrived), (1..=200).collect::<Vec<_>>(), "{compression}");
        println!("200 records, {compression}: {} bytes in the log", bench.server.log_bytes(&topic));
    }
    let bytes = |compression: &str| bench.server.log_bytes(&format!("by-{compression}"));
    for compression in ["gzip", "snappy", "lz4", "zstd"] {
        assert!(bytes(compression) < bytes("none") / 2, "{compression} compresses");
    }
}

async fn a_record_that_is_too_large_is_refused_alone(bench: &Bench) {
    bench.topics.create("large", 1, &[]).await;
    let mut batch = records(500);
    batch[249] = record(250, &"x".repeat(2 << 20));
    let mut sink = bench.sink("large", &json!({}));
    let outcomes = deliver(sink.as_mut(), &batch).await;
    let refused: Vec<_> =
        (1..).zip(&outcomes).filter(|(_, it)| **it != Outcome::Accepted).collect();
    let [(250, Outcome::Rejected { reason })] = refused[..] else { panic!("{refused:?}") };
    assert!(reason.contains("Message size too large"), "{reason}");
    let others: Vec<_> = (1..=500).filter(|version| *version != 250).collect();
    assert_eq!(versions(&bench.topics.messages("large").await), others);
    bench.topics.configure("large", "max.message.bytes", "8388608").await;
    accept(sink.as_mut(), &batch[249..250]).await;
    let arrived = bench.topics.messages("large").await;
    assert_eq!(arrived.last().map(Arrived::version), Some(250));
    assert_eq!(arrived.len(), 500);
}

/// A topic that takes less than one of our batches takes its records one by one.
async fn small_topics_take_what_fits(bench: &Bench) {
    bench.topics.create("small", 1, &[("max.message.bytes", "20000")]).await;
    let mut batch = records(60);
    batch[29] = record(30, &"x".repeat(30_000));
    let outcomes = deliver(bench.sink("small", &json!({})).as_mut(), &batch).await;
    let refused: Vec<_> =
        (1..).zip(&outcomes).filter(|(_, it)| **it != Outcome::Accepted).collect();
    assert!(matches!(refused[..], [(30, Outcome::Rejected { .. })]), "{refused:?}");
    let arrived = versions(&bench.topics.messages("small").await);
    assert_eq!(arrived, (1..=60).filter(|version| *version != 30).collect::<Vec<_>>());
}

async fn a_topic_that_is_missing_holds_until_it_is_there(bench: &Bench) {
    let mut sink = bench.sink("later", &json!({}));
    let begun = Instant::now();
    let mut retries = 0;
    // A topic that was just created takes its time to be known everywhere.
    loop {
        let outcome = deliver(sink.as_mut(), &records(2)).await.remove(0);
        match &outcome {
            Outcome::Retry { cause, .. } => {
                assert!(cause.contains("is there the topic `later`"), "{cause}");
                retries += 1;
            }
            Outcome::Hold { cause } => {
                assert!(cause.contains("there is no topic `later`; create it"), "{cause}");
                break;
            }
            outcome => panic!("{outcome:?}"),
        }
    }
    println!("a missing topic holds after {:.1?} and {retries} retries", begun.elapsed());
    assert!(retries > 0, "first it is waited for");
    held(sink.as_mut(), "there is no topic `later`").await;
    bench.topics.create("later", 1, &[]).await;
    accept(sink.as_mut(), &records(2)).await;
    assert_eq!(versions(&bench.topics.messages("later").await), [1, 2]);
}

async fn a_missing_permission_holds_until_it_is_given(bench: &Bench) {
    bench.topics.create("guarded", 1, &[]).await;
    bench.server.allow("somebody", "guarded").await;
    let (user, password) = Kafka::PLAIN_USER;
    let options = json!({"username": user, "password": password});
    let mut sink = bench.sink_at(KafkaListener::Sasl, "guarded", &options);
    held(sink.as_mut(), "allow the user to Write").await;
    held(sink.as_mut(), "allow the user to Write").await;
    bench.server.allow(user, "guarded").await;
    accept(sink.as_mut(), &records(3)).await;
    assert_eq!(versions(&bench.topics.messages("guarded").await), [1, 2, 3]);
}

async fn a_wrong_password_holds_until_it_is_right(bench: &Bench) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("password");
    let (user, password) = Kafka::SCRAM_USER;
    bench.topics.create("secret", 1, &[]).await;
    let mut sent = 0;
    for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
        std::fs::write(&file, "wrong-word").expect("a file");
        let options = json!({"username": user, "password": {"file": file}, "mechanism": mechanism});
        let mut sink = bench.sink_at(KafkaListener::Sasl, "secret", &options);
        held(sink.as_mut(), "check `username`, `password` and `mechanism`").await;
        // The secret is mended.
        std::fs::write(&file, format!("{password}\n")).expect("a file");
        accept(sink.as_mut(), &records(2)).await;
        // The server learns another password, and the connection is a new one.
        let mut sink = bench.sink_at(KafkaListener::Sasl, "secret", &options);
        bench.server.set_password(user, "another-s3cret").await;
        held(sink.as_mut(), "check `username`").await;
        bench.server.set_password(user, password).await;
        accept(sink.as_mut(), &records(2)).await;
        sent += 4;
    }
    let (user, password) = Kafka::PLAIN_USER;
    let mut wrong = bench.sink_at(
        KafkaListener::Sasl,
        "secret",
        &json!({"username": user, "password": "wrong-word"}),
    );
    held(wrong.as_mut(), "check `username`").await;
    let mut plain = bench.sink_at(
        KafkaListener::Sasl,
        "secret",
        &json!({"username": user, "password": password}),
    );
    accept(plain.as_mut(), &records(2)).await;
    let mut nobody = bench.sink_at(KafkaListener::Sasl, "secret", &json!({}));
    let outcome = deliver(nobody.as_mut(), &records(1)).await.remove(0);
    assert!(!matches!(outcome, Outcome::Accepted | Outcome::Rejected { .. }), "{outcome:?}");
    assert_eq!(bench.topics.messages("secret").await.len(), sent + 2);
}

async fn certificates_are_shown_and_checked(bench: &Bench) {
    bench.topics.create("encrypted", 1, &[]).await;
    let (certificate, key) = bench.server.client_certificate();
    let pair = json!({"certificate": certificate, "key": key});
    let mut with_authority = pair.clone();
    with_authority["ca"] = json!(bench.server.authority());
    let mut insecure = pair.clone();
    insecure["insecure"] = true.into();
    for options in [&with_authority, &insecure] {
        let mut sink = bench.sink_at(KafkaListener::Tls, "encrypted", options);
        accept(sink.as_mut(), &records(2)).await;
    }
    let mut strange = bench.sink_at(KafkaListener::Tls, "encrypted", &pair);
    held(strange.as_mut(), "check `tls`, `ca`").await;
    let mut nameless =
        bench.sink_at(KafkaListener::Tls, "encrypted", &json!({"ca": bench.server.authority()}));
    held(nameless.as_mut(), "check `tls`, `ca`, `certificate` and `key`").await;
    assert_eq!(bench.topics.messages("encrypted").await.len(), 4);
}

/// Records of a storm, and those of them that are confirmed before the server is killed.
const STORM: u64 = 5_000;
const BEFORE: u64 = 1_000;

/// Most kills leave a batch that is stored and not confirmed, which is what matters; so many are tried.
const KILLS: u32 = 6;

/// What is under way when a server is killed is sent again by the same producer, and recognised.
async fn a_server_that_is_killed_in_the_middle_has_every_record_once(mut bench: Bench) -> Bench {
    for (topic, happened, settings) in [
        ("storm-now", Timestamp::now(), &[][..]),
        ("storm-appended", Timestamp::UNIX_EPOCH, &[("message.timestamp.type", "LogAppendTime")]),
    ] {
        let versions = |storm: &Storm| versions(&storm.arrived);
        bench = storms(bench, topic, happened, settings, |storm| {
            assert_eq!(versions(storm), (1..=STORM).collect::<Vec<_>>(), "{topic}: once, in order");
        })
        .await;
    }
    bench
}

/// A server forgets a producer whose last message has a time that is older than `producer.id.expiration.ms`, a day, as
/// soon as it reads its log again. What is sent again then cannot be recognised.
async fn what_happened_long_ago_may_be_there_twice_after_a_kill(bench: Bench) -> Bench {
    let long_ago = Timestamp::now() - Duration::from_secs(48 * 3600);
    storms(bench, "storm-old", long_ago, &[], |Storm { confirmed, arrived }| {
        let (mut first, mut second) = (Vec::<&Arrived>::new(), Vec::<&Arrived>::new());
        for message in arrived {
            let is_known = first.last().is_some_and(|last| message.version() <= last.version());
            if is_known { &mut second } else { &mut first }.push(message);
        }
        let identities: BTreeSet<_> = first.iter().map(|message| message.identity()).collect();
        assert_eq!(identities.len() as u64, STORM);
        assert!(first.iter().map(|message| message.version()).eq(1..=STORM), "all, in order");
        // Only what was under way, in one piece.
        let begin = second.first().map_or(STORM, |message| message.version());
        assert!(begin > *confirmed, "{begin} was confirmed");
        assert!(
            second.iter().map(|message| message.version()).eq(begin..begin + second.len() as u64)
        );
        let original =
            |message: &Arrived| first[usize::try_from(message.version() - 1).expect("small")];
        assert!(second.iter().all(|message| **message == *original(message)), "the same messages");
    })
    .await
}

/// What became of a storm.
struct Storm {
    /// So many records were confirmed before the server was killed.
    confirmed: u64,
    arrived: Vec<Arrived>,
}

/// Storms during which the server is killed, each checked, until a kill has left what was stored and not confirmed.
async fn storms(
    mut bench: Bench,
    name: &str,
    happened: Timestamp,
    settings: &[(&str, &str)],
    check: impl Fn(&Storm),
) -> Bench {
    for kill in 1..=KILLS {
        let topic = format!("{name}-{kill}");
        bench.topics.create(&topic, 1, settings).await;
        let (storm, back) = storm(bench, &topic, happened).await;
        bench = back;
        check(&storm);
        // Its log has grown, and nothing that was new there had been confirmed.
        if storm.confirmed == BEFORE {
            break;
        }
    }
    bench
}

async fn storm(bench: Bench, topic: &str, happened: Timestamp) -> (Storm, Bench) {
    let message = |version| record_at(version, &format!("message {version}"), happened);
    let all: Vec<_> = (1..=STORM).map(message).collect();
    let mut sink = bench.sink(topic, &json!({}));
    let begun = Instant::now();
    let (before, rest) = all.split_at(usize::try_from(BEFORE).expect("a small number"));
    accept(sink.as_mut(), before).await;
    let Bench { server, topics } = bench;
    let (outcomes, mut server) = killed_meanwhile(server, topic, sink.as_mut(), rest).await;
    let done = outcomes.iter().take_while(|it| **it == Outcome::Accepted).count();
    server.start_again().await;
    let failures = accept_at_last(sink.as_mut(), &rest[done..]).await;
    let took: Duration = begun.elapsed();
    let arrived = topics.messages(topic).await;
    println!(
        "{topic}: {done} of {} records were confirmed when the server was killed, {failures} further failures, \
         {} messages of {STORM} records in {took:.1?}",
        rest.len(),
        arrived.len(),
    );
    (Storm { confirmed: BEFORE + done as u64, arrived }, Bench { server, topics })
}

/// The outcomes of a delivery during which the server is killed, and the server: it ends as soon as its log has grown.
async fn killed_meanwhile(
    mut server: Kafka,
    topic: &str,
    sink: &mut dyn Sink,
    batch: &[Record],
) -> (Vec<Outcome>, Kafka) {
    let (topic, before) = (topic.to_owned(), server.log_bytes(topic));
    // On a thread of its own, without a pause: the server must not have the time to answer.
    let killing = tokio::task::spawn_blocking(move || {
        while server.log_bytes(&topic) == before {
            std::hint::spin_loop();
        }
        tokio::runtime::Handle::current().block_on(server.kill());
        server
    });
    let outcomes = deliver(sink, batch).await;
    (outcomes, killing.await.expect("it is killed"))
}

/// Events of the relay's own test.
const EVENTS: usize = 600;

async fn nothing_is_lost_through_the_whole_relay(bench: &mut Bench) {
    bench.topics.create("relay", 3, &[]).await;
    let cluster = Cluster::start().await;
    let (user, password) = Kafka::SCRAM_USER;
    let sink = format!(
        "{{name: bus, kind: kafka, options: {{brokers: \"{}\", topic: relay, username: {user}, \
         password: {password}, mechanism: SCRAM-SHA-512}}, \
         batch: {{maxRecords: 20, maxWait: 0s}}, retry: {{initial: 100ms, max: 1s, timeout: 10s}}}}",
        bench.server.address(KafkaListener::Sasl)
    );
    let setup = Setup::new(cluster.folder(), cluster.kubeconfig_path()).sink(&sink);
    let mut relay = setup.relay().start();
    let (mut created, mut lines) = (BTreeSet::new(), Vec::new());
    for part in 0..3 {
        if part == 1 {
            bench.server.kill().await;
        }
        for ten in (part * EVENTS / 3..(part + 1) * EVENTS / 3).collect::<Vec<_>>().chunks(10) {
            let create = |number: &usize| {
                let spec = EventSpec::new(&format!("storm-{number}"));
                let client = cluster.client();
                async move { client.create_event("default", &spec).await.resource_version }
            };
            created.extend(futures::future::join_all(ten.iter().map(create)).await);
        }
        if part == 1 {
            status_when(&relay, |status| status.sinks[0].lag_records > 0).await;
            relay.kill().await;
            lines.extend(relay.lines());
            relay = setup.relay().start();
            bench.server.start_again().await;
        }
    }
    let give_up = Instant::now() + PATIENCE;
    let arrived = loop {
        let arrived = bench.topics.messages("relay").await;
        let distinct: BTreeSet<_> = arrived.iter().map(Arrived::version).collect();
        if distinct == created {
            break arrived;
        }
        assert!(Instant::now() < give_up, "{} of {EVENTS} events arrived", distinct.len());
        // Nothing tells when it changes.
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    status_when(&relay, |status| status.sinks[0].lag_records == 0).await;
    assert!(relay.terminate().await.success());
    lines.extend(relay.lines());
    assert!(lines.iter().any(|line| line.text.contains("librdkafka")), "its log is part of ours");
    assert!(!lines.iter().any(|line| line.text.contains(password)), "no secret is logged");
    println!("{EVENTS} events through the relay, two kills: {} messages", arrived.len());
}
