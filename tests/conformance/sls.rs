//! The `sls` sink and a service on a local port that believes every signature.

use async_trait::async_trait;
use kube_event_relay::sink::Sink;
use kube_event_relay::sink::registry;
use serde_json::{Value, json};

use crate::fakes::http::{Absent, Answer, Service};
use crate::fakes::sls::{Stored, logs};
use crate::{Behaviour, Fixture, context};

pub(crate) struct SlsFixture {
    address: std::net::SocketAddr,
    service: Option<Service>,
    absent: Option<Absent>,
}

impl SlsFixture {
    pub(crate) async fn start() -> Self {
        let service = Service::start().await;
        Self { address: service.address(), service: Some(service), absent: None }
    }

    fn stored(&self) -> Vec<Vec<Stored>> {
        let received = self.service.as_ref().map(Service::received).unwrap_or_default();
        let read = |request: &crate::fakes::http::Received| {
            let size = request.headers["x-log-bodyrawsize"].to_str().expect("text");
            logs(&request.body, size.parse().expect("a number")).expect("a LogGroup")
        };
        received.iter().map(read).collect()
    }
}

#[async_trait]
impl Fixture for SlsFixture {
    fn sink(&self) -> Box<dyn Sink> {
        let Value::Object(options) = self.options() else { panic!("an object") };
        let kind = registry::find("sls").expect("a kind");
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
            Behaviour::Accepts | Behaviour::GoneAway => Answer::Status(200, Vec::new()),
            // It cannot see into a compressed body; tests/sls.rs has a service that can.
            Behaviour::RefusesPoison => return false,
            Behaviour::NotNow => Answer::Status(503, Vec::new()),
            Behaviour::WrongCredential => Answer::Status(401, Vec::new()),
            Behaviour::Hangs => Answer::Silence,
        });
        true
    }

    fn arrived(&self) -> Vec<String> {
        self.stored()
            .iter()
            .flatten()
            .map(|log| {
                let (_, behind) =
                    log.fields[0].1.split_once("\"resourceVersion\": \"").expect("a version");
                behind.chars().take_while(char::is_ascii_digit).collect()
            })
            .collect()
    }

    /// The contents; the time of an old event is that of its delivery.
    fn deliveries(&self) -> Vec<String> {
        let fields = |logs: Vec<Stored>| {
            let fields: Vec<_> = logs.into_iter().map(|log| log.fields).collect();
            format!("{fields:?}")
        };
        self.stored().into_iter().map(fields).collect()
    }

    fn options(&self) -> Value {
        json!({
            "project": "proj",
            "logStore": "events",
            "region": "cn-hangzhou",
            "endpoint": format!("http://{}", self.address),
            "accessKeyId": "LTAI1",
            "accessKeySecret": "s3cret-key",
        })
    }

    fn secrets(&self) -> &'static [&'static str] {
        &["s3cret"]
    }
}
