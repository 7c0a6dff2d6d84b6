//! What every kind of sink does, whatever its service: one suite, run against each.
//!
//! A kind takes part with a fixture; a kind without one fails the suite.

#![allow(clippy::expect_used)]

mod conformance;
mod fakes;

use std::collections::HashSet;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use conformance::chat::ChatFixture;
use conformance::elasticsearch::ElasticsearchFixture;
use conformance::event_bridge::EventBridgeFixture;
use conformance::honeycomb::HoneycombFixture;
use conformance::influxdb::InfluxDbFixture;
use conformance::riemann::RiemannFixture;
use conformance::sls::SlsFixture;
use fakes::http::{Absent, Answer, Service};
use fakes::records::{record, records};
use kube_event_relay::event::Record;
use kube_event_relay::sink::registry::{self, KINDS};
use kube_event_relay::sink::{
    Delivery, LogSink, Outcome, Sink, SinkConfig, SinkContext, http_client,
};
use serde_json::{Value, json};

/// How a target behaves.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Behaviour {
    Accepts,
    /// It refuses the record with [`POISON`] for good, and takes the others.
    RefusesPoison,
    NotNow,
    WrongCredential,
    Hangs,
    GoneAway,
}

/// The message of a record that a target refuses.
const POISON: &str = "message 2";

/// A target with a sink of one kind for it.
#[async_trait]
trait Fixture: Send {
    /// A new sink.
    fn sink(&self) -> Box<dyn Sink>;
    /// What its target does from now on; false when targets of this kind never do that.
    async fn behave(&mut self, behaviour: Behaviour) -> bool;
    /// Versions of the records that arrived, in order, those that were refused included.
    fn arrived(&self) -> Vec<String>;
    /// Every delivery that arrived, with all that identifies it.
    fn deliveries(&self) -> Vec<String>;
    /// The configuration of the sink.
    fn options(&self) -> Value;
    /// What the sink knows and nobody may see.
    fn secrets(&self) -> &'static [&'static str];
}

/// Kind and variant of every fixture.
const FIXTURES: [(&str, &str); 19] = [
    ("log", ""),
    ("webhook", "event"),
    ("webhook", "array"),
    ("webhook", "template"),
    ("dingtalk", ""),
    ("wechat", ""),
    ("wecom-robot", ""),
    ("feishu", ""),
    ("slack", ""),
    ("teams", ""),
    ("elasticsearch", ""),
    ("elasticsearch", "alias"),
    ("influxdb", "v1"),
    ("influxdb", "v2"),
    ("influxdb", "v3"),
    ("honeycomb", ""),
    ("sls", ""),
    ("riemann", ""),
    ("eventbridge", ""),
];

/// Kinds that are tested against a real server only, in a file of their own.
/// What librdkafka has taken arrives by itself, also after a delivery was given up: `kafka` cannot be told from
/// outside when to try again.
const WITH_A_SERVER: [&str; 3] = ["kafka", "mongo", "mysql"];

async fn fixture(kind: &'static str, variant: &str) -> Box<dyn Fixture> {
    match kind {
        "log" => Box::new(LogFixture::default()),
        "webhook" => Box::new(WebhookFixture::start(variant).await),
        "dingtalk" | "wechat" | "wecom-robot" | "feishu" | "slack" | "teams" => {
            Box::new(ChatFixture::start(kind).await)
        }
        "elasticsearch" => Box::new(ElasticsearchFixture::start(variant).await),
        "riemann" => Box::new(RiemannFixture::start().await),
        "eventbridge" => Box::new(EventBridgeFixture::start().await),
        "sls" => Box::new(SlsFixture::start().await),
        "honeycomb" => Box::new(HoneycombFixture::start().await),
        "influxdb" => Box::new(InfluxDbFixture::start(variant).await),
        _ => panic!("the kind {kind} has no fixture: write one in this file"),
    }
}

fn context() -> SinkContext {
    let http = http_client().expect("CA certificates of the system");
    SinkContext { cluster: "test".into(), http, config_maps: None }
}

/// The outcomes of a delivery of `count` records.
fn outcomes(delivery: Delivery, count: usize) -> Vec<Outcome> {
    match delivery {
        Delivery::Each(outcomes) => {
            assert_eq!(outcomes.len(), count, "one outcome for each record");
            outcomes
        }
        Delivery::Whole(outcome) => vec![outcome; count],
        Delivery::Part { records, .. } => panic!("{records:?} of {count} records had room"),
    }
}

async fn accept(sink: &mut dyn Sink, batch: &[Record]) {
    let outcomes = outcomes(sink.deliver(batch).await, batch.len());
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Accepted), "{outcomes:?}");
}

#[test]
fn every_kind_has_a_fixture() {
    let with_fixture: HashSet<_> = FIXTURES.iter().map(|(kind, _)| *kind).collect();
    let kinds: HashSet<_> = KINDS.iter().map(|kind| kind.name).collect();
    let all: HashSet<_> = with_fixture.into_iter().chain(WITH_A_SERVER).collect();
    assert_eq!(all, kinds);
}

#[tokio::test]
async fn records_arrive_in_order() {
    for (kind, variant) in FIXTURES {
        let fixture = fixture(kind, variant).await;
        let mut sink = fixture.sink();
        let records = records(5);
        accept(sink.as_mut(), &records[..3]).await;
        accept(sink.as_mut(), &records[3..]).await;
        assert_eq!(fixture.arrived(), ["1", "2", "3", "4", "5"], "{kind} {variant}");
    }
}

#[tokio::test]
async fn an_empty_batch_is_fine() {
    for (kind, variant) in FIXTURES {
        let fixture = fixture(kind, variant).await;
        accept(fixture.sink().as_mut(), &[]).await;
        assert!(fixture.deliveries().is_empty(), "{kind} {variant}");
    }
}

#[tokio::test]
async fn a_large_record_arrives() {
    for (kind, variant) in FIXTURES {
        let fixture = fixture(kind, variant).await;
        let message = "\"é\n".repeat((1 << 20) / 4);
        accept(fixture.sink().as_mut(), &[record(1, &message)]).await;
        assert_eq!(fixture.arrived(), ["1"], "{kind} {variant}");
    }
}

#[tokio::test]
async fn a_redelivery_is_the_same_again() {
    for (kind, variant) in FIXTURES {
        let fixture = fixture(kind, variant).await;
        let records = records(3);
        accept(fixture.sink().as_mut(), &records).await;
        let first = fixture.deliveries();
        accept(fixture.sink().as_mut(), &records).await;
        let both = fixture.deliveries();
        assert_eq!(both[..first.len()], both[first.len()..], "{kind} {variant}");
    }
}

#[tokio::test]
async fn what_cannot_be_taken_now_is_tried_again() {
    for (kind, variant) in FIXTURES {
        for trouble in [Behaviour::NotNow, Behaviour::GoneAway] {
            let mut fixture = fixture(kind, variant).await;
            let mut sink = fixture.sink();
            if !fixture.behave(trouble).await {
                continue;
            }
            let records = records(2);
            let outcomes = outcomes(sink.deliver(&records).await, 2);
            let waits = |outcome: &Outcome| matches!(outcome, Outcome::Retry { .. });
            assert!(outcomes.iter().all(waits), "{kind} {variant} {trouble:?}: {outcomes:?}");
            assert!(fixture.behave(Behaviour::Accepts).await);
            let before = fixture.arrived().len();
            accept(sink.as_mut(), &records).await;
            assert_eq!(fixture.arrived()[before..], ["1", "2"], "{kind} {variant} {trouble:?}");
        }
    }
}

#[tokio::test]
async fn a_target_that_is_absent_at_the_start_is_no_error_of_the_configuration() {
    for (kind, variant) in FIXTURES {
        let mut fixture = fixture(kind, variant).await;
        if fixture.behave(Behaviour::GoneAway).await {
            let mut sink = fixture.sink();
            let outcomes = outcomes(sink.deliver(&records(1)).await, 1);
            assert!(matches!(outcomes[0], Outcome::Retry { .. }), "{kind}: {outcomes:?}");
        }
    }
}

#[tokio::test]
async fn a_record_that_is_refused_does_not_stop_the_others() {
    for (kind, variant) in FIXTURES {
        let mut fixture = fixture(kind, variant).await;
        if !fixture.behave(Behaviour::RefusesPoison).await {
            continue;
        }
        let mut sink = fixture.sink();
        let records = records(3);
        match sink.deliver(&records).await {
            Delivery::Each(outcomes) => {
                assert_eq!(outcomes[0], Outcome::Accepted);
                assert!(matches!(outcomes[1], Outcome::Rejected { .. }), "{outcomes:?}");
                assert_eq!(outcomes[2], Outcome::Accepted);
            }
            // The runner halves the batch until it has found the record.
            Delivery::Whole(outcome) => {
                assert!(matches!(outcome, Outcome::Rejected { .. }), "{outcome:?}");
                accept(sink.as_mut(), &records[..1]).await;
                accept(sink.as_mut(), &records[2..]).await;
                let alone = outcomes(sink.deliver(&records[1..2]).await, 1);
                assert!(matches!(alone[0], Outcome::Rejected { .. }), "{alone:?}");
            }
            Delivery::Part { records, .. } => panic!("{records:?} of 3 records had room"),
        }
    }
}

#[tokio::test]
async fn a_wrong_credential_holds_and_discards_nothing() {
    for (kind, variant) in FIXTURES {
        let mut fixture = fixture(kind, variant).await;
        if !fixture.behave(Behaviour::WrongCredential).await {
            continue;
        }
        let outcomes = outcomes(fixture.sink().deliver(&records(2)).await, 2);
        let holds = |outcome: &Outcome| matches!(outcome, Outcome::Hold { .. });
        assert!(outcomes.iter().all(holds), "{kind} {variant}: {outcomes:?}");
    }
}

#[tokio::test]
async fn a_delivery_that_hangs_can_be_given_up() {
    for (kind, variant) in FIXTURES {
        let mut fixture = fixture(kind, variant).await;
        if !fixture.behave(Behaviour::Hangs).await {
            continue;
        }
        let mut sink = fixture.sink();
        let records = records(1);
        let patience = Duration::from_millis(200);
        let given_up = tokio::time::timeout(patience, sink.deliver(&records)).await;
        assert!(given_up.is_err(), "{kind} {variant}: {given_up:?}");
        assert!(fixture.behave(Behaviour::Accepts).await);
        accept_soon(sink.as_mut(), &records).await;
        assert_eq!(fixture.arrived().last().map(String::as_str), Some("1"), "{kind} {variant}");
    }
}

/// Delivers until it is accepted: a write that was given up may still have to end.
async fn accept_soon(sink: &mut dyn Sink, batch: &[Record]) {
    while outcomes(sink.deliver(batch).await, batch.len())[0] != Outcome::Accepted {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn no_outcome_shows_a_secret() {
    let troubles = [
        Behaviour::RefusesPoison,
        Behaviour::NotNow,
        Behaviour::WrongCredential,
        Behaviour::GoneAway,
    ];
    for (kind, variant) in FIXTURES {
        for trouble in troubles {
            let mut fixture = fixture(kind, variant).await;
            if fixture.behave(trouble).await {
                let shown = format!("{:?}", fixture.sink().deliver(&records(2)).await);
                for secret in fixture.secrets() {
                    assert!(!shown.contains(secret), "{kind} {variant} {trouble:?}: {shown}");
                }
            }
        }
    }
}

#[tokio::test]
async fn no_configuration_that_is_shown_shows_a_secret() {
    for (kind, variant) in FIXTURES {
        let fixture = fixture(kind, variant).await;
        let config = json!({"name": "it", "kind": kind, "options": fixture.options()});
        let config: SinkConfig = serde_json::from_value(config).expect("a configuration");
        let redacted = config.redacted().expect("valid options");
        let shown = serde_json::to_string(&redacted).expect("JSON") + &format!("{config:?}");
        for secret in fixture.secrets() {
            assert!(!shown.contains(secret), "{kind} {variant}: {shown}");
        }
        assert_eq!(redacted.options.len(), config.options.len(), "{kind} {variant}");
    }
}

#[tokio::test]
async fn an_unknown_option_is_refused_with_the_nearest_name() {
    for (kind, variant) in FIXTURES {
        let fixture = fixture(kind, variant).await;
        let kind = registry::find(kind).expect("a kind");
        let mut wrong = vec![("zzzz".to_owned(), None)];
        let options = (kind.options)().into_iter();
        // `at.mobiles` is an option of `at`.
        let names = options.map(|option| option.name.split('.').next().map(str::to_owned));
        wrong.extend(names.flatten().map(|name| (format!("{name}x"), Some(name))));
        for (name, near) in wrong {
            let Value::Object(mut options) = fixture.options() else { panic!("an object") };
            options.insert(name.clone(), "s3cret-value".into());
            let error = (kind.build)(&options, &context()).err().expect("refused").to_string();
            assert!(error.starts_with(&format!("option {name}: ")), "{error}");
            assert!(!error.contains("s3cret-value"), "{error}");
            if let Some(near) = near {
                assert!(error.contains(&format!("did you mean `{near}`?")), "{error}");
            }
        }
    }
}

#[tokio::test]
async fn valid_options_build_a_sink() {
    for (kind, variant) in FIXTURES {
        let Value::Object(options) = fixture(kind, variant).await.options() else {
            panic!("an object")
        };
        let kind = registry::find(kind).expect("a kind");
        (kind.build)(&options, &context()).map(drop).expect("a sink");
    }
}

/// The `log` sink with a writer in place of standard output.
#[derive(Default)]
struct LogFixture(Arc<Pipe>);

#[derive(Default)]
struct Pipe {
    written: Mutex<Vec<u8>>,
    trouble: Mutex<Option<Behaviour>>,
    changed: Condvar,
}

struct PipeWriter(Arc<Pipe>);

impl Write for PipeWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut trouble = self.0.trouble.lock().expect("not poisoned");
        while *trouble == Some(Behaviour::Hangs) {
            trouble = self.0.changed.wait(trouble).expect("not poisoned");
        }
        if *trouble == Some(Behaviour::NotNow) {
            return Err(io::Error::other("no space left"));
        }
        self.0.written.lock().expect("not poisoned").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[async_trait]
impl Fixture for LogFixture {
    fn sink(&self) -> Box<dyn Sink> {
        Box::new(LogSink::new("test", PipeWriter(Arc::clone(&self.0))))
    }

    async fn behave(&mut self, behaviour: Behaviour) -> bool {
        let trouble = Some(behaviour).filter(|behaviour| *behaviour != Behaviour::Accepts);
        *self.0.trouble.lock().expect("not poisoned") = trouble;
        self.0.changed.notify_all();
        matches!(behaviour, Behaviour::Accepts | Behaviour::NotNow | Behaviour::Hangs)
    }

    fn arrived(&self) -> Vec<String> {
        let lines = self.deliveries();
        let read = |line: &String| serde_json::from_str::<Value>(line).expect("a line of JSON");
        let version = |line: Value| {
            assert_eq!(line["resourceVersion"], line["event"]["metadata"]["resourceVersion"]);
            line["resourceVersion"].as_str().expect("a version").to_owned()
        };
        lines.iter().map(read).map(version).collect()
    }

    fn deliveries(&self) -> Vec<String> {
        let written = self.0.written.lock().expect("not poisoned").clone();
        let text = String::from_utf8(written).expect("UTF-8");
        text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }

    fn options(&self) -> Value {
        json!({})
    }

    fn secrets(&self) -> &'static [&'static str] {
        &[]
    }
}

/// The `webhook` sink and a service on a local port.
struct WebhookFixture {
    variant: String,
    address: std::net::SocketAddr,
    service: Option<Service>,
    absent: Option<Absent>,
}

impl WebhookFixture {
    async fn start(variant: &str) -> Self {
        let service = Service::start().await;
        let address = service.address();
        Self { variant: variant.to_owned(), address, service: Some(service), absent: None }
    }

    fn received(&self) -> Vec<fakes::http::Received> {
        self.service.as_ref().map(Service::received).unwrap_or_default()
    }
}

#[async_trait]
impl Fixture for WebhookFixture {
    fn sink(&self) -> Box<dyn Sink> {
        let Value::Object(options) = self.options() else { panic!("an object") };
        let kind = registry::find("webhook").expect("a kind");
        (kind.build)(&options, &context()).expect("a sink")
    }

    async fn behave(&mut self, behaviour: Behaviour) -> bool {
        if behaviour == Behaviour::GoneAway {
            self.absent = Some(self.service.take().expect("it runs").stop().await);
            return true;
        }
        if let Some(absent) = self.absent.take() {
            self.service = Some(absent.start());
        }
        let service = self.service.as_ref().expect("it runs");
        service.answer(match behaviour {
            Behaviour::Accepts | Behaviour::GoneAway => Answer::Status(202, Vec::new()),
            Behaviour::RefusesPoison => Answer::StatusWhen(POISON, 422),
            Behaviour::NotNow => Answer::Status(503, vec![("retry-after", "7".to_owned())]),
            Behaviour::WrongCredential => Answer::Status(401, Vec::new()),
            Behaviour::Hangs => Answer::Silence,
        });
        true
    }

    fn arrived(&self) -> Vec<String> {
        let version = |event: &Value| match event {
            Value::Object(event) if event.contains_key("version") => event["version"].clone(),
            _ => event["metadata"]["resourceVersion"].clone(),
        };
        let mut versions = Vec::new();
        for request in self.received() {
            match serde_json::from_slice(&request.body).expect("JSON") {
                Value::Array(events) => versions.extend(events.iter().map(version)),
                event => versions.push(version(&event)),
            }
        }
        versions.iter().map(|version| version.as_str().expect("a version").to_owned()).collect()
    }

    fn deliveries(&self) -> Vec<String> {
        let text = |request: fakes::http::Received| {
            let key = request.headers["idempotency-key"].to_str().expect("text").to_owned();
            format!("{key} {}", String::from_utf8(request.body).expect("UTF-8"))
        };
        self.received().into_iter().map(text).collect()
    }

    fn options(&self) -> Value {
        let mut options = json!({
            "url": format!("http://{}/hook/s3cret-path?access_token=s3cret-token", self.address),
            "headers": {"Authorization": "Bearer s3cret-header"},
            "hmacSecret": "s3cret-key",
        });
        match self.variant.as_str() {
            "array" => options["format"] = "array".into(),
            "template" => {
                options["body"] = json!({
                    "text": r#"{"version": "{{ .ResourceVersion }}", "text": "{{ .Message }}"}"#
                });
            }
            _ => {}
        }
        options
    }

    fn secrets(&self) -> &'static [&'static str] {
        &["s3cret"]
    }
}
