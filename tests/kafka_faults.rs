//! The `kafka` sink against librdkafka's own stand-in for brokers: errors that a real one gives only when something
//! is wrong with it, and what needs no server.

#![allow(clippy::expect_used)] // a test fails where an expectation is not met

mod fakes;

use std::collections::BTreeSet;
use std::time::Duration;

use fakes::kafka::MockKafka;
use fakes::kafka_sink::{accept, accept_at_last, build, deliver, try_build, versions};
use fakes::kafka_topics::{Arrived, Topics};
use fakes::records::{record, records};
use kube_event_relay::sink::{Outcome, Sink, SinkConfig, registry};
use serde_json::json;

/// A sink for librdkafka's own stand-in for brokers.
fn mocked(mock: &MockKafka) -> Box<dyn Sink> {
    let options = json!({"brokers": mock.brokers(), "topic": "events"});
    build(&options)
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_that_pass_make_no_second_message() {
    use rdkafka::types::RDKafkaRespErr::{
        RD_KAFKA_RESP_ERR__TRANSPORT, RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR,
        RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE, RD_KAFKA_RESP_ERR_NETWORK_EXCEPTION,
        RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT, RD_KAFKA_RESP_ERR_THROTTLING_QUOTA_EXCEEDED,
    };
    let all = records(1_000);
    for (faults, batch) in [
        RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
        RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
        RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE,
        RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR,
        RD_KAFKA_RESP_ERR__TRANSPORT,
        RD_KAFKA_RESP_ERR_NETWORK_EXCEPTION,
        RD_KAFKA_RESP_ERR_THROTTLING_QUOTA_EXCEEDED,
    ]
    .into_iter()
    .zip(all.chunks(100))
    {
        let mock = MockKafka::start("events");
        let mut sink = mocked(&mock);
        mock.fail_writes(&[faults; 2]);
        let failures = accept_at_last(sink.as_mut(), batch).await;
        let arrived = Topics::new(mock.brokers()).messages("events").await;
        println!("{faults:?}: {failures} failed deliveries, {} messages", arrived.len());
        let identities: BTreeSet<_> = arrived.iter().map(Arrived::identity).collect();
        assert_eq!((identities.len(), arrived.len()), (100, 100), "{faults:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_that_is_dead_is_replaced() {
    use rdkafka::types::RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER as FATAL;
    let mock = MockKafka::start("events");
    let mut sink = mocked(&mock);
    accept(sink.as_mut(), &records(10)).await;
    mock.fail_writes(&[FATAL]);
    let all = records(40);
    let outcomes = deliver(sink.as_mut(), &all[10..20]).await;
    for outcome in &outcomes {
        let Outcome::Retry { cause, .. } = outcome else { panic!("{outcome:?}") };
        assert!(cause.contains("equence"), "{cause}");
    }
    accept(sink.as_mut(), &all[10..20]).await;
    accept(sink.as_mut(), &all[20..]).await;
    let arrived = Topics::new(mock.brokers()).messages("events").await;
    assert_eq!(versions(&arrived), (1..=40).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_is_not_sent_again() {
    let mock = MockKafka::start("events");
    let mut sink = mocked(&mock);
    accept(sink.as_mut(), &records(10)).await;
    mock.be_down(true);
    let all = records(300);
    let batch = &all[10..];
    let outcomes = deliver(sink.as_mut(), batch).await;
    assert!(outcomes.iter().all(|it| matches!(it, Outcome::Retry { .. })), "{outcomes:?}");
    // The relay gives up a delivery that takes too long, and begins it again.
    for _ in 0..3 {
        let patience = Duration::from_millis(100);
        if let Ok(outcomes) = tokio::time::timeout(patience, deliver(sink.as_mut(), batch)).await {
            assert!(outcomes.iter().all(|it| matches!(it, Outcome::Retry { .. })), "{outcomes:?}");
        }
    }
    mock.be_down(false);
    accept_at_last(sink.as_mut(), batch).await;
    let topics = Topics::new(mock.brokers());
    assert_eq!(versions(&topics.messages("events").await), (1..=300).collect::<Vec<_>>());
    // Somebody has moved the cursor: what was under way is dropped, and what is wanted now is sent.
    mock.be_down(true);
    assert_ne!(deliver(sink.as_mut(), batch).await[0], Outcome::Accepted);
    mock.be_down(false);
    accept_at_last(sink.as_mut(), &all[..5]).await;
    let arrived = versions(&topics.messages("events").await);
    assert_eq!(arrived[arrived.len() - 5..], [1, 2, 3, 4, 5]);
}

/// What the conformance suite asks of every kind, as far as it needs no server that misbehaves.
#[tokio::test(flavor = "multi_thread")]
async fn it_does_what_every_kind_does() {
    let mock = MockKafka::start("events");
    let mut sink = mocked(&mock);
    accept(sink.as_mut(), &[]).await;
    let topics = Topics::new(mock.brokers());
    assert!(topics.messages("events").await.is_empty());
    accept(sink.as_mut(), &[record(1, &"\"é\n".repeat((1 << 20) / 4))]).await;
    for _ in 0..2 {
        accept(sink.as_mut(), &records(3)).await;
    }
    let arrived = topics.messages("events").await;
    assert_eq!(versions(&arrived), [1, 1, 2, 3, 1, 2, 3]);
    assert_eq!(arrived[1..4], arrived[4..7], "a redelivery is the same again");

    mock.be_down(true);
    let mut absent = mocked(&mock);
    let outcome = deliver(absent.as_mut(), &records(1)).await.remove(0);
    assert!(matches!(outcome, Outcome::Retry { .. }), "{outcome:?}");
}

#[test]
fn no_configuration_that_is_shown_shows_a_secret() {
    let options = json!({"brokers": "a:1", "username": "u-s3cret", "password": "p-s3cret",
        "certificate": "/c", "key": "/k", "keyPassword": "k-s3cret"});
    let config = json!({"name": "it", "kind": "kafka", "options": options});
    let config: SinkConfig = serde_json::from_value(config).expect("a configuration");
    let redacted = config.redacted().expect("valid options");
    let shown = serde_json::to_string(&redacted).expect("JSON") + &format!("{config:?}");
    assert!(!shown.contains("s3cret"), "{shown}");
    assert_eq!(redacted.options.len(), config.options.len());
    let kind = registry::find("kafka").expect("a kind");
    for option in (kind.options)() {
        let near = option.name;
        let mut wrong = config.options.clone();
        wrong.insert(format!("{near}x"), "s3cret".into());
        let error = try_build(&wrong).err().expect("refused").to_string();
        assert!(error.contains(&format!("did you mean `{near}`?")), "{error}");
        assert!(!error.contains("s3cret"), "{error}");
    }
}
