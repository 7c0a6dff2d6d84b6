//! The `elasticsearch` sink and a server on a local port.

use async_trait::async_trait;
use kube_event_relay::sink::Sink;
use kube_event_relay::sink::registry;
use serde_json::{Value, json};

use crate::fakes::elasticsearch::{Elasticsearch, Mood, Sent};
use crate::{Behaviour, Fixture, POISON, context};

pub(crate) struct ElasticsearchFixture {
    variant: String,
    server: Elasticsearch,
    /// What its server demands: base64 of the user and the password.
    credential: &'static str,
}

impl ElasticsearchFixture {
    pub(crate) async fn start(variant: &str) -> Self {
        let server =
            Elasticsearch::start(if variant == "alias" { "6.8.23" } else { "9.2.0" }).await;
        let credential = "Basic cmVsYXk6czNjcmV0LXBhc3N3b3Jk";
        server.demand(Some(credential));
        Self { variant: variant.to_owned(), server, credential }
    }
}

#[async_trait]
impl Fixture for ElasticsearchFixture {
    fn sink(&self) -> Box<dyn Sink> {
        let Value::Object(options) = self.options() else { panic!("an object") };
        let kind = registry::find("elasticsearch").expect("a kind");
        (kind.build)(&options, &context()).expect("a sink")
    }

    async fn behave(&mut self, behaviour: Behaviour) -> bool {
        if behaviour == Behaviour::GoneAway {
            self.server.stop().await;
            return true;
        }
        self.server.start_again();
        self.server.demand(Some(self.credential));
        self.server.is(match behaviour {
            Behaviour::Accepts | Behaviour::WrongCredential | Behaviour::GoneAway => Mood::Takes,
            Behaviour::RefusesPoison => Mood::RefusesMessage(POISON),
            Behaviour::NotNow => Mood::Status(503, 7),
            Behaviour::Hangs => Mood::Silent,
        });
        if behaviour == Behaviour::WrongCredential {
            self.server.demand(Some("Basic another"));
        }
        true
    }

    fn arrived(&self) -> Vec<String> {
        let version = |sent: Sent| {
            let document: Value = serde_json::from_str(&sent.document).expect("JSON");
            document["Metadata"]["resourceVersion"].as_str().expect("a version").to_owned()
        };
        self.server.sent().into_iter().map(version).collect()
    }

    fn deliveries(&self) -> Vec<String> {
        let text = |sent: Sent| format!("{} {}", sent.action, sent.document);
        self.server.sent().into_iter().map(text).collect()
    }

    fn options(&self) -> Value {
        let mut options = json!({
            "nodes": [format!("http://{}", self.server.address())],
            "username": "relay",
            "password": "s3cret-password",
        });
        if self.variant == "alias" {
            options["alias"] = "all-events".into();
            options["template"] = true.into();
        }
        options
    }

    fn secrets(&self) -> &'static [&'static str] {
        &["s3cret", "cmVsYXk6czNjcmV0LXBhc3N3b3Jk"]
    }
}
