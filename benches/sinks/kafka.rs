//! The `kafka` sink against rdkafka's bare producer, with the same bytes, both idempotent and confirmed by all replicas.
//!
//! `cargo bench --bench kafka`. A real Apache Kafka takes the messages, on this machine, from the tests' rig. The bare
//! producer is given messages that are ready and waits at the end only; the sink makes them out of records, and waits
//! for each batch, as the relay does. The ratio is the median of neighbouring turns: on a busy machine the figures
//! themselves say little.

#![allow(dead_code, unreachable_pub, clippy::expect_used, clippy::cast_precision_loss)]

#[path = "../support/mod.rs"]
mod support;
#[path = "../../tests/fakes/kafka_topics.rs"]
mod topics;

use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use kube_event_relay::event::{Record, StreamId};
use kube_event_relay::log::NewRecord;
use kube_event_relay::sink::{Delivery, Outcome, Sink, SinkContext, http_client, registry};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{ClientConfig, ClientContext};
use rig::{Kafka, KafkaListener};
use serde_json::json;
use support::{Events, Verdict, median};
use topics::{Arrived, Topics};

const RECORDS: usize = 50_000;
const TURNS: usize = 9;
const TARGET: f64 = 0.7;

fn main() -> ExitCode {
    let runtime = tokio::runtime::Runtime::new().expect("runtime");
    runtime.block_on(run())
}

async fn run() -> ExitCode {
    let server = Kafka::start().await;
    let brokers = server.address(KafkaListener::Plain);
    let topics = Topics::new(&brokers);
    let records: Vec<Record> = Events::default().take(RECORDS).into_iter().map(record).collect();
    let limit = registry::find("kafka").expect("a kind").batch.max_records.expect("a limit");
    topics.create("first", 1, &[]).await;
    by_sink(&brokers, "first", &records, limit).await;
    let messages = topics.messages("first").await;
    let bytes: usize = messages.iter().map(|message| message.value.len()).sum();
    let (mut bare, mut sink, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let rate = |took: Duration| RECORDS as f64 / took.as_secs_f64();
    for turn in 0..TURNS {
        let (plain, whole) = (format!("bare-{turn}"), format!("sink-{turn}"));
        topics.create(&plain, 1, &[]).await;
        let plain = rate(by_producer(&brokers, &plain, &messages));
        topics.create(&whole, 1, &[]).await;
        let whole = rate(by_sink(&brokers, &whole, &records, limit).await);
        // Of neighbours: what else the machine does changes while this runs.
        ratios.push(whole / plain);
        bare.push(plain);
        sink.push(whole);
    }
    let (bare, sink, ratio) = (median(&mut bare), median(&mut sink), median(&mut ratios));
    println!("{RECORDS} messages of {} bytes  | a second | ratio", bytes / RECORDS);
    println!("------------------------------|---------:|-----:");
    println!("bare producer                 | {bare:8.0} |  1.00");
    println!("sink, {limit} records at once    | {sink:8.0} | {ratio:5.2}");
    let mut verdict = Verdict::default();
    verdict.at_least("messages a second, of the bare producer's", ratio, TARGET);
    verdict.exit_code()
}

fn record(new: NewRecord) -> Record {
    let NewRecord { position, received_at, header, body } = new;
    Record { stream: StreamId::all_namespaces(), position, received_at, header, body }
}

async fn by_sink(brokers: &str, topic: &str, records: &[Record], limit: usize) -> Duration {
    let http = http_client().expect("CA certificates of the system");
    let context = SinkContext { cluster: "bench".into(), http, config_maps: None };
    let options = json!({"brokers": brokers, "topic": topic});
    let kind = registry::find("kafka").expect("a kind");
    let mut sink = (kind.build)(options.as_object().expect("an object"), &context).expect("a sink");
    let (first, rest) = records.split_at(1);
    deliver(sink.as_mut(), first).await;
    let begun = Instant::now();
    for batch in rest.chunks(limit) {
        deliver(sink.as_mut(), batch).await;
    }
    begun.elapsed()
}

async fn deliver(sink: &mut dyn Sink, batch: &[Record]) {
    let Delivery::Each(outcomes) = sink.deliver(batch).await else { panic!("it answers for each") };
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Accepted), "{outcomes:?}");
}

/// Counts what was confirmed, and tells when that is all.
struct Counter {
    left: AtomicUsize,
    all: Sender<()>,
}

impl ClientContext for Counter {}

impl ProducerContext for Counter {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        assert!(result.is_ok(), "a message was not delivered");
        if self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.all.send(()).expect("somebody waits");
        }
    }
}

fn by_producer(brokers: &str, topic: &str, messages: &[Arrived]) -> Duration {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("enable.idempotence", "true").set("acks", "all");
    let (all, confirmed) = channel();
    let counter = Counter { left: AtomicUsize::new(1), all };
    let producer = ThreadedProducer::from_config_and_context(&config, counter).expect("a producer");
    // The first message waits for a connection.
    let (first, rest) = messages.split_at(1);
    send(&producer, topic, first);
    confirmed.recv().expect("it is confirmed");
    producer.context().left.store(rest.len(), Ordering::Relaxed);
    let begun = Instant::now();
    send(&producer, topic, rest);
    // A flush would look ten times a second only.
    confirmed.recv().expect("all is confirmed");
    begun.elapsed()
}

fn send(producer: &ThreadedProducer<Counter>, topic: &str, messages: &[Arrived]) {
    for message in messages {
        let headers = message.headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(value) })
        });
        let record = BaseRecord::to(topic)
            .key(&message.key)
            .payload(&message.value)
            .timestamp(message.time)
            .headers(headers);
        // Its queue has room for all of them.
        producer.send(record).map_err(|(error, _)| error).expect("it is taken");
    }
}
