//! Riemann. It knows neither credentials nor limits.

use std::net::SocketAddr;
use std::path::Path;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{Arrival, POISON, Service};
use crate::fakes::riemann::{Mood, Riemann};

pub(super) async fn start() -> Riemann {
    Riemann::start().await
}

#[async_trait]
impl Service for Riemann {
    fn kind(&self) -> &'static str {
        "riemann"
    }

    async fn address(&self) -> SocketAddr {
        Self::address(self)
    }

    fn options(&self, address: SocketAddr, _credential: &Path) -> Value {
        json!({"address": address.to_string()})
    }

    /// An event has no identity there but all that it is.
    async fn arrivals(&self) -> Vec<Arrival> {
        let accepted = self.accepted().into_iter();
        let arrivals = accepted
            .map(|event| Arrival { identity: format!("{event:?}"), message: event.description });
        arrivals.collect()
    }

    async fn refuse_poison(&self) -> &'static str {
        self.be(Mood::RefusesEvents(POISON, "stream failed"));
        "Riemann refuses it: stream failed"
    }

    async fn know(&self, _secret: &str) -> bool {
        false
    }
}
