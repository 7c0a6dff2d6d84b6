//! The `eventbridge` sink and a service on a local port that believes every signature.

use async_trait::async_trait;
use kube_event_relay::sink::Sink;
use kube_event_relay::sink::registry;
use serde_json::{Value, json};

use crate::fakes::http::{Absent, Answer, Received, Service};
use crate::{Behaviour, Fixture, context};

pub(crate) struct EventBridgeFixture {
    address: std::net::SocketAddr,
    service: Option<Service>,
    absent: Option<Absent>,
}

impl EventBridgeFixture {
    pub(crate) async fn start() -> Self {
        let service = Service::start().await;
        service.answer(accepts());
        Self { address: service.address(), service: Some(service), absent: None }
    }

    fn received(&self) -> Vec<Received> {
        self.service.as_ref().map(Service::received).unwrap_or_default()
    }
}

fn accepts() -> Answer {
    Answer::Text(200, json!({"FailedEntryCount": 0, "EntryList": []}).to_string())
}

#[async_trait]
impl Fixture for EventBridgeFixture {
    fn sink(&self) -> Box<dyn Sink> {
        let Value::Object(options) = self.options() else { panic!("an object") };
        let kind = registry::find("eventbridge").expect("a kind");
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
            Behaviour::Accepts | Behaviour::GoneAway => accepts(),
            // tests/event_bridge.rs has a service that answers for each event.
            Behaviour::RefusesPoison => return false,
            Behaviour::NotNow => Answer::Status(503, Vec::new()),
            Behaviour::WrongCredential => Answer::Status(401, Vec::new()),
            Behaviour::Hangs => Answer::Silence,
        });
        true
    }

    fn arrived(&self) -> Vec<String> {
        let version = |event: &Value| {
            let version = &event["data"]["metadata"]["resourceVersion"];
            version.as_str().expect("a version").to_owned()
        };
        let events = self.received().into_iter().flat_map(|request| {
            let events: Vec<Value> = serde_json::from_slice(&request.body).expect("JSON");
            events
        });
        events.map(|event| version(&event)).collect()
    }

    fn deliveries(&self) -> Vec<String> {
        let text = |request: Received| String::from_utf8(request.body).expect("UTF-8");
        self.received().into_iter().map(text).collect()
    }

    fn options(&self) -> Value {
        json!({
            "clusterId": "c1",
            "region": "cn-hangzhou",
            "account": "42",
            "endpoint": format!("http://{}", self.address),
            "accessKeyId": "LTAI1",
            "accessKeySecret": "s3cret-key",
        })
    }

    fn secrets(&self) -> &'static [&'static str] {
        &["s3cret"]
    }
}
