//! The `riemann` sink against a server that speaks Riemann's protocol.

#![allow(clippy::expect_used)] // a test fails where an expectation is not met

mod fakes;

use fakes::records::records;
use fakes::riemann::{Mood, Riemann};
use kube_event_relay::event::Record;
use kube_event_relay::setting::EventerUri;
use kube_event_relay::sink::{Delivery, Outcome, Sink, SinkContext, http_client, registry};

fn sink(service: &Riemann) -> Box<dyn Sink> {
    let uri = format!("riemann:http://{}?ttl=120&tags=k8s&tags=prod", service.address());
    let uri = EventerUri::parse(&uri, &|_| None).expect("a valid URI");
    let (config, warnings) = registry::translate(&uri).expect("a valid sink");
    assert!(warnings.is_empty(), "{warnings:?}");
    let http = http_client().expect("CA certificates of the system");
    let context = SinkContext { cluster: "test".into(), http, config_maps: None };
    (registry::find("riemann").expect("a kind").build)(&config.options, &context).expect("a sink")
}

async fn outcome(sink: &mut dyn Sink, batch: &[Record]) -> Outcome {
    match sink.deliver(batch).await {
        Delivery::Whole(outcome) => outcome,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn events_have_the_fields_of_kube_eventer_and_use_one_connection() {
    let service = Riemann::start().await;
    let mut sink = sink(&service);
    for batch in records(1_500).chunks(1_000) {
        assert_eq!(outcome(sink.as_mut(), batch).await, Outcome::Accepted);
    }
    let events = service.events();
    assert_eq!((service.messages().len(), events.len()), (2, 1_500));
    let event = &events[41];
    assert_eq!((event.service.as_str(), event.state.as_str()), ("Pod.BackOff", "warning"));
    assert_eq!((event.description.as_str(), event.metric), ("message 42", 3));
    assert_eq!((event.tags.clone(), event.ttl), (vec!["k8s".into(), "prod".into()], 120.0));
    assert_eq!(event.time, 1_714_528_800);
    assert!(!event.host.is_empty(), "the relay's own where the event names none");
    let names: Vec<_> = event.attributes.iter().map(|(name, _)| name.as_str()).collect();
    assert!(names.is_sorted() && names.contains(&"first-timestamp"), "{names:?}");
}

#[tokio::test]
async fn a_refusal_that_comes_again_and_again_is_meant() {
    let service = Riemann::start().await;
    let mut sink = sink(&service);
    service.be(Mood::Refuses("stream failed"));
    for _ in 0..2 {
        let outcome = outcome(sink.as_mut(), &records(1)).await;
        assert!(matches!(outcome, Outcome::Retry { .. }), "{outcome:?}");
    }
    let refused = outcome(sink.as_mut(), &records(1)).await;
    assert!(matches!(&refused, Outcome::Rejected { reason } if reason.contains("stream failed")));
    service.be(Mood::Accepts);
    assert_eq!(outcome(sink.as_mut(), &records(1)).await, Outcome::Accepted);
}

#[tokio::test]
async fn a_connection_that_broke_is_made_anew() {
    let mut service = Riemann::start().await;
    let mut sink = sink(&service);
    assert_eq!(outcome(sink.as_mut(), &records(1)).await, Outcome::Accepted);
    service.stop().await;
    for _ in 0..2 {
        let outcome = outcome(sink.as_mut(), &records(1)).await;
        assert!(matches!(outcome, Outcome::Retry { .. }), "{outcome:?}");
    }
    service.start_again();
    assert_eq!(outcome(sink.as_mut(), &records(1)).await, Outcome::Accepted);
}
