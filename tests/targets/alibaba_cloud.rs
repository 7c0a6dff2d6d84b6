//! The Log Service and `EventBridge` of Alibaba Cloud.

use std::net::SocketAddr;
use std::path::Path;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{Arrival, POISON, SECRET, Service, WAIT, text};
use crate::fakes::event_bridge::{EventBridge, KEY_ID};
use crate::fakes::service::Answered;
use crate::fakes::sls::{Keys, LOG_STORE, PROJECT, REGION, Sls};

fn keys(secret: &str) -> Keys {
    Keys { id: KEY_ID.to_owned(), secret: secret.to_owned(), token: None }
}

pub(super) async fn sls() -> Sls {
    Sls::start(keys(SECRET)).await
}

pub(super) async fn event_bridge() -> EventBridge {
    EventBridge::start(SECRET).await
}

#[async_trait]
impl Service for Sls {
    fn kind(&self) -> &'static str {
        "sls"
    }

    async fn address(&self) -> SocketAddr {
        Self::address(self)
    }

    fn options(&self, address: SocketAddr, credential: &Path) -> Value {
        json!({
            "project": PROJECT, "logStore": LOG_STORE, "region": REGION,
            "endpoint": format!("http://{address}"),
            "accessKeyId": KEY_ID, "accessKeySecret": {"file": credential},
        })
    }

    async fn arrivals(&self) -> Vec<Arrival> {
        let stored = self.stored();
        let arrival = |fields: &[(String, String)]| {
            let field = |wanted: &str| {
                let found = fields.iter().find(|(name, _)| name == wanted);
                found.expect("a field").1.clone()
            };
            let event: Value = serde_json::from_str(&field("eventId")).expect("JSON");
            Arrival { identity: field("record_id"), message: text(&event["message"]) }
        };
        stored.iter().map(|log| arrival(&log.fields)).collect()
    }

    async fn refuse_poison(&self) -> &'static str {
        self.refuse_logs(POISON);
        "PostBodyInvalid"
    }

    async fn know(&self, secret: &str) -> bool {
        self.rotate(keys(secret));
        true
    }

    fn remedy(&self) -> &'static str {
        "check the options `accessKeyId` and `accessKeySecret`"
    }

    async fn exceed(&self) -> Option<&'static str> {
        Self::exceed(self, Some(WAIT));
        Some("ShardWriteQuotaExceed")
    }

    async fn allow(&self) {
        Self::exceed(self, None);
    }

    fn answered(&self) -> Vec<Answered> {
        Self::answered(self)
    }
}

#[async_trait]
impl Service for EventBridge {
    fn kind(&self) -> &'static str {
        "eventbridge"
    }

    async fn address(&self) -> SocketAddr {
        Self::address(self)
    }

    fn options(&self, address: SocketAddr, credential: &Path) -> Value {
        json!({
            "clusterId": "c1", "region": REGION, "account": "42",
            "endpoint": format!("http://{address}"), "tokenConfig": "/nonexistent",
            "accessKeyId": KEY_ID, "accessKeySecret": {"file": credential},
        })
    }

    async fn arrivals(&self) -> Vec<Arrival> {
        let arrival = |event: &Value| Arrival {
            identity: text(&event["id"]),
            message: text(&event["data"]["message"]),
        };
        self.stored().iter().map(arrival).collect()
    }

    async fn refuse_poison(&self) -> &'static str {
        self.refuse_events(POISON, ("InvalidArgument", "the event is invalid"));
        "InvalidArgument: the event is invalid"
    }

    async fn know(&self, secret: &str) -> bool {
        Self::know(self, secret);
        true
    }

    fn remedy(&self) -> &'static str {
        "check the keys, or the role of the machine"
    }

    async fn exceed(&self) -> Option<&'static str> {
        self.throttle(Some(WAIT));
        Some("Throttling.User")
    }

    async fn allow(&self) {
        self.throttle(None);
    }

    fn answered(&self) -> Vec<Answered> {
        Self::answered(self)
    }
}
