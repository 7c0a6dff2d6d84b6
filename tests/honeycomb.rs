//! The `honeycomb` sink against a strict fake, and the fake against a client of Honeycomb's own.

#![allow(clippy::expect_used)]

mod fakes;

use std::time::Duration;

use fakes::clients;
use fakes::honeycomb::{Honeycomb, Mood};
use fakes::records::{record, records};
use kube_event_relay::setting::EventerUri;
use kube_event_relay::sink::{Delivery, Outcome, Sink, SinkContext, http_client, registry};
use serde_json::{Value, json};

const KEY: &str = "0123456789abcdef0123456789abcdef";

fn build(options: &Value) -> Box<dyn Sink> {
    let http = http_client().expect("CA certificates of the system");
    let context = SinkContext { cluster: "test".into(), http, config_maps: None };
    let kind = registry::find("honeycomb").expect("a kind");
    (kind.build)(options.as_object().expect("an object"), &context).expect("a sink")
}

fn sink(service: &Honeycomb) -> Box<dyn Sink> {
    build(&json!({"url": service.url(), "writeKey": KEY, "dataset": "k8s events"}))
}

fn accepted(count: usize) -> Delivery {
    Delivery::Each(vec![Outcome::Accepted; count])
}

#[tokio::test]
async fn events_have_their_own_time_and_the_columns_of_kube_eventer() {
    let service = Honeycomb::start(KEY).await;
    let uri = format!("honeycomb:?writekey={KEY}&apihost={}", service.url());
    let uri = EventerUri::parse(&uri, &|_| None).expect("a valid URI");
    let (config, warnings) = registry::translate(&uri).expect("a valid sink");
    assert!(warnings.is_empty(), "{warnings:?}");
    let mut sink = build(&Value::Object(config.options));
    let message = "say \"hi\"\n\tC:\\dir 🎉 مرحبا";
    assert_eq!(sink.deliver(&[record(7, message)]).await, accepted(1));
    let event = service.events().remove(0);
    assert_eq!(event.dataset, "heapster");
    assert_eq!(event.time.as_deref(), Some("2024-05-01T02:00:00Z"));
    let id = record(7, message).id("test").to_string();
    let expected = json!({"namespace": "shop", "kind": "Pod", "name": "web", "subobject": "",
        "source.component": "", "source.host": "", "count": 3, "type": "Warning",
        "reason": "BackOff", "message": message, "cluster": "test", "record_id": id});
    assert_eq!(Value::Object(event.data), expected);
}

#[tokio::test]
async fn every_event_of_a_batch_has_its_own_outcome() {
    let service = Honeycomb::start(KEY).await;
    let mut sink = sink(&service);
    service.be(Mood::RefusesEvents("message 2"));
    let Delivery::Each(outcomes) = sink.deliver(&records(3)).await else { panic!("one each") };
    let reason = "400: Event has too many columns.".to_owned();
    assert_eq!(outcomes, [Outcome::Accepted, Outcome::Rejected { reason }, Outcome::Accepted]);
    assert_eq!(service.events()[0].dataset, "k8s%20events");

    for mood in [Mood::Throttles(2), Mood::Tells(2)] {
        let before = service.events().len();
        service.be(mood.clone());
        let Delivery::Each(outcomes) = sink.deliver(&records(4)).await else { panic!("one each") };
        assert_eq!(outcomes[..2], [Outcome::Accepted, Outcome::Accepted], "{mood:?}");
        let waits = |outcome: &Outcome| matches!(outcome, Outcome::Retry { .. });
        assert!(outcomes[2..].iter().all(waits), "{mood:?}: {outcomes:?}");
        // What the answer does not name may be there.
        let arrived = service.events().len() - before;
        assert_eq!(arrived, if matches!(mood, Mood::Tells(_)) { 4 } else { 2 });
    }
}

#[tokio::test]
async fn a_batch_is_as_large_as_honeycomb_takes() {
    let service = Honeycomb::start(KEY).await;
    let mut sink = sink(&service);
    for text in ["x", "é", "\u{1}"] {
        let long = text.repeat(1 << 17);
        let batch: Vec<_> = (1..=40).map(|version| record(version, &long)).collect();
        assert_eq!(sink.deliver(&batch).await, accepted(40), "{text:?}");
    }
    // More than the runner would ever send: refused here, to be halved.
    let batch: Vec<_> = (1..=80).map(|version| record(version, &"x".repeat(70_000))).collect();
    let delivery = sink.deliver(&batch).await;
    assert!(matches!(delivery, Delivery::Whole(Outcome::Rejected { .. })), "{delivery:?}");
    assert_eq!(sink.deliver(&batch[..40]).await, accepted(40));
    assert_eq!(service.statuses(), [200, 200, 200, 200]);
}

#[tokio::test]
async fn a_limit_says_how_long_to_wait() {
    let service = Honeycomb::start(KEY).await;
    let mut sink = sink(&service);
    for (retry_after, reset, expected) in
        [(Some(3), Some(9), Some(3)), (None, Some(9), Some(9)), (None, None, None)]
    {
        service.be(Mood::Limited { retry_after, reset });
        let delivery = sink.deliver(&records(2)).await;
        let Delivery::Whole(Outcome::Retry { after, .. }) = delivery else {
            panic!("{delivery:?}")
        };
        assert_eq!(after, expected.map(Duration::from_secs));
    }
    service.be(Mood::Strict);
    assert_eq!(sink.deliver(&records(2)).await, accepted(2));
}

#[tokio::test]
async fn only_an_operator_can_help() {
    let service = Honeycomb::start("another key").await;
    let mut sink = sink(&service);
    let held = |delivery: Delivery| match delivery {
        Delivery::Whole(Outcome::Hold { cause }) => cause,
        other => panic!("no hold: {other:?}"),
    };
    let cause = held(sink.deliver(&records(2)).await);
    assert!(cause.contains("unknown API key") && cause.contains("writeKey"), "{cause}");
    service.know(KEY);
    for (status, words) in [
        (403, "key lacks permission"),
        (404, "dataset not found"),
        (429, "event dropped due to administrative throttling"),
    ] {
        service.be(Mood::Refuses(status, words.to_owned()));
        let cause = held(sink.deliver(&records(2)).await);
        assert!(cause.contains(words) && !cause.contains(KEY), "{cause}");
    }
    assert!(service.events().is_empty());
}

#[tokio::test]
async fn libhoney_and_the_fake_understand_each_other() {
    let service = Honeycomb::start(KEY).await;
    let settings = json!({"url": service.url(), "key": KEY, "dataset": "events"});
    let reports = clients::run("honeycomb", settings).await;
    let said: Vec<_> = reports
        .iter()
        .map(|report| (report.message.as_str(), report.success, report.words.as_str()))
        .collect();
    let expected = [
        ("plain", true, "None"),
        ("many columns", false, "Event has too many columns."),
        ("too large", false, "event exceeds max event size of 1000000 bytes"),
        ("sampled", true, "None"),
        ("not compressed", true, "None"),
    ];
    assert_eq!(said[..expected.len()], expected);
    let (message, success, words) = said[expected.len()];
    assert!(message == "wrong key" && !success && words.contains("401"), "{said:?}");
    let events = service.events();
    let times: Vec<_> = events.iter().map(|event| event.time.as_deref()).collect();
    assert_eq!(
        times,
        [
            Some("2024-05-01T02:00:00.250000Z"),
            Some("2024-05-01T02:00:01+00:00"),
            Some("2024-05-01T02:00:02Z")
        ]
    );
    assert_eq!(events[0].data["message"], "容器 web");
    assert_eq!((events[0].sample_rate, events[1].sample_rate), (1, 4));
    assert_eq!(service.statuses(), [200, 200, 401]);
}
