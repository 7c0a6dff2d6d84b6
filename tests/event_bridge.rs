//! The `eventbridge` sink against a service that checks every signature and answers for each event.

#![allow(clippy::expect_used)] // a test fails where an expectation is not met

mod fakes;

use std::sync::{Arc, Mutex};

use axum::http::Method;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fakes::records::records;
use fakes::service::{Call, Handler, Reply, Server};
use hmac::{Hmac, Mac};
use kube_event_relay::event::Record;
use kube_event_relay::sink::{Delivery, Outcome, Sink, SinkContext, http_client, registry};
use serde_json::{Value, json};
use sha1::Sha1;

const SECRET: &str = "key-secret";

/// What it answers to an event, or to a whole request.
type Refusal = Option<(&'static str, &'static str)>;

#[derive(Default)]
struct Service {
    stored: Mutex<Vec<Value>>,
    nonces: Mutex<Vec<String>>,
    /// For the event with this place in a request.
    of_entry: Mutex<(usize, Refusal)>,
    of_all: Mutex<Refusal>,
}

impl Handler for Service {
    fn answer(&self, call: &Call) -> Reply {
        let header = |name: &str| {
            call.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
        };
        assert_eq!((&call.method, call.path.as_str()), (&Method::POST, "/openapi/putEvents"));
        let signed: Vec<_> = ["method", "nonce", "version"]
            .map(|name| format!("x-acs-signature-{name}"))
            .iter()
            .map(|name| format!("{name}:{}\n", header(name)))
            .collect();
        let text = format!(
            "POST\n\n{}\n{}\n{}/openapi/putEvents",
            header("content-type"),
            header("date"),
            signed.concat()
        );
        let mut mac = Hmac::<Sha1>::new_from_slice(SECRET.as_bytes()).expect("a key");
        mac.update(text.as_bytes());
        let expected = format!("acs:LTAI1:{}", STANDARD.encode(mac.finalize().into_bytes()));
        if header("authorization") != expected {
            return refusal("SignatureNotMatch", "it does not match");
        }
        self.nonces.lock().expect("not poisoned").push(header("x-acs-signature-nonce").to_owned());
        if let Some((code, message)) = *self.of_all.lock().expect("not poisoned") {
            return refusal(code, message);
        }
        let events: Vec<Value> = serde_json::from_slice(&call.body).expect("a batch");
        let (place, refused) = *self.of_entry.lock().expect("not poisoned");
        let mut entries = Vec::new();
        for (index, event) in events.into_iter().enumerate() {
            if let Some((code, message)) = refused.filter(|_| index == place) {
                entries.push(json!({"ErrorCode": code, "ErrorMessage": message}));
            } else {
                entries.push(json!({"EventId": event["id"]}));
                self.stored.lock().expect("not poisoned").push(event);
            }
        }
        let failed = entries.iter().filter(|entry| entry["ErrorCode"].is_string()).count();
        Reply::json(200, &json!({"FailedEntryCount": failed, "EntryList": entries}))
    }
}

fn refusal(code: &str, message: &str) -> Reply {
    Reply::json(400, &json!({"code": code, "message": message, "requestId": "1"}))
}

struct Bench {
    server: Server,
    service: Arc<Service>,
}

impl Bench {
    async fn start() -> Self {
        let service = Arc::new(Service::default());
        let handler: Arc<dyn Handler> = Arc::clone(&service) as _;
        Self { server: Server::start(handler).await, service }
    }

    fn sink(&self, secret: &str) -> Box<dyn Sink> {
        let Value::Object(options) = json!({
            "clusterId": "c1", "region": "cn-hangzhou", "account": "42", "eventBus": "ops",
            "endpoint": format!("http://{}", self.server.address()),
            "accessKeyId": "LTAI1", "accessKeySecret": secret, "tokenConfig": "/nonexistent",
        }) else {
            panic!("an object")
        };
        let http = http_client().expect("CA certificates of the system");
        let context = SinkContext { cluster: "test".into(), http, config_maps: None };
        let kind = registry::find("eventbridge").expect("a kind");
        (kind.build)(&options, &context).expect("a sink")
    }
}

async fn whole(sink: &mut dyn Sink, batch: &[Record]) -> Outcome {
    match sink.deliver(batch).await {
        Delivery::Whole(outcome) => outcome,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn events_are_those_of_kube_eventer_with_the_identity_of_their_record() {
    let bench = Bench::start().await;
    let mut sink = bench.sink(SECRET);
    let batch = records(4);
    for _ in 0..2 {
        assert_eq!(whole(sink.as_mut(), &batch).await, Outcome::Accepted);
    }
    let stored = bench.service.stored.lock().expect("not poisoned").clone();
    assert_eq!(stored[..4], stored[4..], "a redelivery is recognised by its ids");
    assert_eq!(stored[0]["aliyuneventbusname"], "ops");
    let subject = stored[0]["subject"].as_str().expect("a subject");
    assert!(subject.starts_with("acs:cs:cn-hangzhou:42:c1/apis/"), "{subject}");
    let nonces = bench.service.nonces.lock().expect("not poisoned").clone();
    assert_ne!(nonces[0], nonces[1], "each attempt is signed anew");
}

#[tokio::test]
async fn the_service_answers_for_each_event() {
    let bench = Bench::start().await;
    let mut sink = bench.sink(SECRET);
    for (code, rejected) in [("InvalidArgument", true), ("FlowControl", false)] {
        *bench.service.of_entry.lock().expect("not poisoned") = (1, Some((code, "said")));
        let Delivery::Each(outcomes) = sink.deliver(&records(3)).await else { panic!("one each") };
        assert_eq!((&outcomes[0], &outcomes[2]), (&Outcome::Accepted, &Outcome::Accepted));
        let is_rejected = matches!(outcomes[1], Outcome::Rejected { .. });
        assert_eq!(is_rejected, rejected, "{code}: {:?}", outcomes[1]);
    }
}

#[tokio::test]
async fn what_only_an_operator_can_mend_holds() {
    let bench = Bench::start().await;
    let held = |outcome: Outcome, part: &str| match outcome {
        Outcome::Hold { cause } => assert!(cause.contains(part), "{part}: {cause}"),
        other => panic!("{part}: {other:?}"),
    };
    held(whole(bench.sink("wrong").as_mut(), &records(1)).await, "check the keys");
    let mut sink = bench.sink(SECRET);
    for (code, part) in [("EventBusNotExist", "`eventBus`"), ("NoPermission", "PutEvents")] {
        *bench.service.of_all.lock().expect("not poisoned") = Some((code, "said"));
        held(whole(sink.as_mut(), &records(1)).await, part);
    }
    *bench.service.of_all.lock().expect("not poisoned") = Some(("Throttling.User", "said"));
    let throttled = whole(sink.as_mut(), &records(1)).await;
    assert!(matches!(throttled, Outcome::Retry { .. }), "{throttled:?}");
}
