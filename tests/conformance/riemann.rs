//! The `riemann` sink with a server on a local port.

use async_trait::async_trait;
use kube_event_relay::sink::Sink;
use kube_event_relay::sink::registry;
use serde_json::{Value, json};

use crate::fakes::riemann::{Mood, Riemann};
use crate::{Behaviour, Fixture, context};

pub(crate) struct RiemannFixture(Riemann);

impl RiemannFixture {
    pub(crate) async fn start() -> Self {
        Self(Riemann::start().await)
    }
}

#[async_trait]
impl Fixture for RiemannFixture {
    fn sink(&self) -> Box<dyn Sink> {
        let Value::Object(options) = self.options() else { panic!("an object") };
        let kind = registry::find("riemann").expect("a kind");
        (kind.build)(&options, &context()).expect("a sink")
    }

    async fn behave(&mut self, behaviour: Behaviour) -> bool {
        if behaviour == Behaviour::GoneAway {
            self.0.stop().await;
            return true;
        }
        self.0.start_again();
        self.0.be(match behaviour {
            Behaviour::NotNow => Mood::Refuses("busy"),
            Behaviour::Hangs => Mood::Silent,
            _ => Mood::Accepts,
        });
        // It refuses a message more than once before that is believed, and knows no credentials.
        !matches!(behaviour, Behaviour::RefusesPoison | Behaviour::WrongCredential)
    }

    fn arrived(&self) -> Vec<String> {
        let version =
            |description: &str| description.strip_prefix("message ").unwrap_or("1").to_owned();
        self.0.events().iter().map(|event| version(&event.description)).collect()
    }

    fn deliveries(&self) -> Vec<String> {
        self.0.messages().iter().map(|message| format!("{message:?}")).collect()
    }

    fn options(&self) -> Value {
        json!({"address": self.0.address().to_string(), "tags": ["k8s"]})
    }

    fn secrets(&self) -> &'static [&'static str] {
        &[]
    }
}
