//! The `kafka` sink, and what its tests do with it.

use kube_event_relay::event::Record;
use kube_event_relay::sink::{
    Delivery, Outcome, Sink, SinkContext, SinkError, http_client, registry,
};
use serde_json::{Map, Value};

use super::kafka_topics::Arrived;

/// The sink with these options.
pub fn build(options: &Value) -> Box<dyn Sink> {
    try_build(options.as_object().expect("an object")).expect("a sink")
}

/// The same, or what is wrong with them.
pub fn try_build(options: &Map<String, Value>) -> Result<Box<dyn Sink>, SinkError> {
    let http = http_client().expect("CA certificates of the system");
    let context = SinkContext { cluster: "test".into(), http, config_maps: None };
    (registry::find("kafka").expect("a kind").build)(options, &context)
}

/// One outcome for each record.
pub async fn deliver(sink: &mut dyn Sink, batch: &[Record]) -> Vec<Outcome> {
    match sink.deliver(batch).await {
        Delivery::Each(outcomes) => {
            assert_eq!(outcomes.len(), batch.len());
            outcomes
        }
        Delivery::Whole(outcome) => vec![outcome; batch.len()],
        other @ Delivery::Part { .. } => panic!("{other:?}"),
    }
}

/// Delivers what is accepted at once.
pub async fn accept(sink: &mut dyn Sink, batch: &[Record]) {
    let outcomes = deliver(sink, batch).await;
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Accepted), "{outcomes:?}");
}

/// Hands over what is not accepted yet until all is, as the relay does.
pub async fn accept_at_last(sink: &mut dyn Sink, batch: &[Record]) -> u32 {
    let mut failures = 0;
    let mut left = batch;
    while !left.is_empty() {
        let outcomes = deliver(sink, left).await;
        let done = outcomes.iter().take_while(|outcome| **outcome == Outcome::Accepted).count();
        for outcome in &outcomes[done..] {
            assert!(matches!(outcome, Outcome::Retry { .. }), "{outcome:?}");
        }
        failures += u32::from(done < left.len());
        left = &left[done..];
        tokio::task::yield_now().await;
    }
    failures
}

/// resourceVersions of messages.
pub fn versions(arrived: &[Arrived]) -> Vec<u64> {
    arrived.iter().map(Arrived::version).collect()
}
