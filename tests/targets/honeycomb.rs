//! Honeycomb.

use std::net::SocketAddr;
use std::path::Path;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{Arrival, POISON, SECRET, Service, WAIT, text};
use crate::fakes::honeycomb::{Honeycomb, Mood};
use crate::fakes::service::Answered;

pub(super) async fn start() -> Honeycomb {
    Honeycomb::start(SECRET).await
}

#[async_trait]
impl Service for Honeycomb {
    fn kind(&self) -> &'static str {
        "honeycomb"
    }

    async fn address(&self) -> SocketAddr {
        Self::address(self)
    }

    fn options(&self, address: SocketAddr, credential: &Path) -> Value {
        json!({"url": format!("http://{address}/"), "writeKey": {"file": credential}})
    }

    async fn arrivals(&self) -> Vec<Arrival> {
        let events = self.events();
        let of = |data: &serde_json::Map<String, Value>| Arrival {
            identity: text(&data["record_id"]),
            message: text(&data["message"]),
        };
        events.iter().map(|event| of(&event.data)).collect()
    }

    async fn refuse_poison(&self) -> &'static str {
        self.be(Mood::RefusesEvents(POISON));
        "400: Event has too many columns."
    }

    async fn know(&self, secret: &str) -> bool {
        Self::know(self, secret);
        true
    }

    fn remedy(&self) -> &'static str {
        "unknown API key - check your credentials\"}; check the option writeKey"
    }

    async fn exceed(&self) -> Option<&'static str> {
        self.be(Mood::Limited { retry_after: Some(WAIT), reset: None });
        Some("request rate limit exceeded")
    }

    async fn allow(&self) {
        self.be(Mood::Strict);
    }

    fn answered(&self) -> Vec<Answered> {
        Self::answered(self)
    }
}
