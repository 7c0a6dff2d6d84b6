//! The `honeycomb` sink with a strict service on a local port.

use async_trait::async_trait;
use kube_event_relay::sink::Sink;
use kube_event_relay::sink::registry;
use serde_json::{Value, json};

use crate::fakes::honeycomb::{Honeycomb, Mood};
use crate::fakes::records::record;
use crate::{Behaviour, Fixture, POISON, context};

const KEY: &str = "s3cret-key";

/// More records than any test of the suite has.
const RECORDS: u64 = 10;

/// A sink with its service.
pub(crate) struct HoneycombFixture {
    service: Honeycomb,
    /// Whether the service is stopped.
    away: bool,
}

impl HoneycombFixture {
    pub(crate) async fn start() -> Self {
        Self { service: Honeycomb::start(KEY).await, away: false }
    }
}

#[async_trait]
impl Fixture for HoneycombFixture {
    fn sink(&self) -> Box<dyn Sink> {
        let Value::Object(options) = self.options() else { panic!("an object") };
        let kind = registry::find("honeycomb").expect("a kind");
        (kind.build)(&options, &context()).expect("a sink")
    }

    async fn behave(&mut self, behaviour: Behaviour) -> bool {
        match (behaviour, self.away) {
            (Behaviour::GoneAway, _) => self.service.stop().await,
            (_, true) => self.service.start_again(),
            _ => {}
        }
        self.away = behaviour == Behaviour::GoneAway;
        self.service.know(if behaviour == Behaviour::WrongCredential { "another" } else { KEY });
        self.service.be(match behaviour {
            Behaviour::Accepts | Behaviour::GoneAway | Behaviour::WrongCredential => Mood::Strict,
            Behaviour::RefusesPoison => Mood::RefusesEvents(POISON),
            Behaviour::NotNow => Mood::Refuses(503, "later".to_owned()),
            Behaviour::Hangs => Mood::Silent,
        });
        true
    }

    fn arrived(&self) -> Vec<String> {
        let id = |version: u64| record(version, "").id("test").to_string();
        let versions: Vec<_> = (1..=RECORDS).map(|version| (id(version), version)).collect();
        let version = |item: &Value| {
            let id = item["data"]["record_id"].as_str().expect("an identity");
            let known = versions.iter().find(|(known, _)| known == id).expect("a known record");
            known.1.to_string()
        };
        let items = |body: &String| serde_json::from_str::<Vec<Value>>(body).expect("an array");
        let items: Vec<_> = self.service.bodies().iter().flat_map(items).collect();
        items.iter().map(version).collect()
    }

    fn deliveries(&self) -> Vec<String> {
        self.service.bodies()
    }

    fn options(&self) -> Value {
        json!({"url": self.service.url(), "writeKey": KEY, "dataset": "events"})
    }

    fn secrets(&self) -> &'static [&'static str] {
        &["s3cret"]
    }
}
