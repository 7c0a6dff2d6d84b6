//! Trying a sink: one marked event, and what its service says to it.

use std::time::Instant;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::timeout;

use super::{Delivery, Outcome, SinkConfig, SinkContext, SinkError, registry, transcript};
use crate::event::{EventObject, Generation, Header, Position, Record, ResourceVersion, StreamId};
use crate::setting::Span;

/// What came of trying a sink.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Trial {
    /// Name of the sink.
    pub sink: String,
    /// Its kind.
    pub kind: String,
    /// What became of the event.
    pub outcome: TrialOutcome,
    /// Why, unless it was accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// What the service answered, in its own words, without secrets; in order.
    pub answers: Vec<String>,
    /// How long it took.
    pub seconds: f64,
}

/// What became of the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TrialOutcome {
    /// The service has it.
    Accepted,
    /// The service does not want this event. It would be a dead letter.
    Refused,
    /// Not now. The relay would try again by itself.
    Later,
    /// Credentials, permission or configuration are wrong. The relay would hold the sink.
    Held,
}

impl TrialOutcome {
    /// In one word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Refused => "refused",
            Self::Later => "later",
            Self::Held => "held",
        }
    }
}

/// Sends one event that says of itself that it is a test, through a sink built for it. Filters do not count,
/// nothing is tried again, and no cursor moves.
pub async fn try_out(config: &SinkConfig, context: &SinkContext) -> Result<Trial, SinkError> {
    let kind = registry::find(&config.kind)?;
    let mut sink = (kind.build)(&config.options, context)?;
    let batch = [event(&config.name, Timestamp::now())];
    let begun = Instant::now();
    let delivery = timeout(config.retry.timeout.0, sink.deliver(&batch));
    let (delivery, answers) = transcript::listen(delivery).await;
    let seconds = begun.elapsed().as_secs_f64();
    let outcome = delivery.map_or_else(|_elapsed| no_answer(config.retry.timeout), outcome_of);
    let (outcome, cause) = match outcome {
        Outcome::Accepted => (TrialOutcome::Accepted, None),
        Outcome::Rejected { reason } => (TrialOutcome::Refused, Some(reason)),
        Outcome::Retry { cause, .. } => (TrialOutcome::Later, Some(cause)),
        Outcome::Hold { cause } => (TrialOutcome::Held, Some(cause)),
    };
    let (sink, kind) = (config.name.clone(), kind.name.to_owned());
    Ok(Trial { sink, kind, outcome, cause, answers, seconds })
}

fn no_answer(limit: Span) -> Outcome {
    Outcome::Retry { after: None, cause: format!("no answer within {limit}") }
}

fn outcome_of(delivery: Delivery) -> Outcome {
    match delivery {
        Delivery::Whole(outcome) | Delivery::Part { outcome, .. } => outcome,
        // One record has one outcome.
        Delivery::Each(outcomes) => outcomes.into_iter().next().unwrap_or(Outcome::Accepted),
    }
}

/// The event. Its name and version are those of the moment, so that no service takes it for an earlier one.
fn event(sink: &str, now: Timestamp) -> Record {
    let moment = now.as_millisecond().max(1);
    let name = format!("kube-event-relay-test.{moment:x}");
    let involved = json!({"kind": "Namespace", "name": "default", "apiVersion": "v1"});
    let event = EventObject::from_value(json!({
        "kind": "Event",
        "apiVersion": "v1",
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": format!("00000000-0000-4000-8000-{moment:012x}"),
            "resourceVersion": moment.to_string(),
            "creationTimestamp": now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        },
        "involvedObject": involved,
        "reason": "RelayTest",
        "message": format!(
            "This is a test of the sink {sink:?} by kube-event-relay. Nothing has happened in the cluster."
        ),
        "source": {"component": "kube-event-relay"},
        "firstTimestamp": now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        "lastTimestamp": now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        "count": 1,
        "type": "Normal",
    }));
    let version = moment.to_string().parse().unwrap_or_else(|_| ResourceVersion::first());
    Record {
        stream: StreamId::all_namespaces(),
        position: Position::new(Generation::default(), version),
        received_at: now,
        header: Header::of(&event),
        body: event.to_json().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::testing::context;

    #[test]
    fn the_event_says_that_it_is_a_test() {
        let now = "2026-01-02T03:04:05.678Z".parse().expect("a time");
        let record = event("oncall", now);
        let event = record.event();
        assert_eq!(event.text("/reason"), "RelayTest");
        assert!(event.text("/message").starts_with("This is a test of the sink \"oncall\""));
        assert_eq!(
            format!("0.{}", event.text("/metadata/resourceVersion")),
            record.position.to_string()
        );
        assert_eq!(event.time("/lastTimestamp"), "2026-01-02T03:04:05Z".parse().ok());
        let next =
            super::event("oncall", now.saturating_add(Span::from_millis(1).0).expect("later"));
        assert_ne!(next.id("c"), record.id("c"));
    }

    #[tokio::test]
    async fn a_service_that_is_not_there_is_told() {
        let config = serde_json::from_value(json!({
            "name": "oncall", "kind": "webhook", "options": {"url": "http://127.0.0.1:0/s3cret"}
        }));
        let trial = try_out(&config.expect("valid"), &context()).await.expect("a trial");
        assert_eq!((trial.outcome, trial.answers.len()), (TrialOutcome::Later, 0));
        assert!(!trial.cause.expect("a cause").contains("s3cret"));
    }
}
