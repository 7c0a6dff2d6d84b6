//! A service without signs of its own, and events for the tests of this module.

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::json;

use super::template::Templates;
use super::{Answer, Look, Message, Service};
use crate::event::Record;
use crate::event::render::{Digest, Markup, Notice};
use crate::sink::{Outcome, Quota, testing};

pub(super) struct Plain {
    pub(super) templates: Templates,
}

impl Default for Plain {
    fn default() -> Self {
        Self { templates: Templates::new(None, None, &look()).expect("none is wrong") }
    }
}

pub(super) fn look() -> Look {
    Look { zone: jiff::tz::TimeZone::UTC, ..Look::new(&[], Markup::PLAIN) }
}

#[async_trait]
impl Service for Plain {
    fn single(&self, notice: &Notice, message_limit: usize) -> Message {
        look().single(notice, message_limit)
    }

    fn digest(&self, digest: &Digest<'_>, message_limit: usize) -> Message {
        look().digest(digest, message_limit)
    }

    fn templates(&self) -> &Templates {
        &self.templates
    }

    fn size(&self, message: &Message) -> usize {
        message.title.len() + message.text.len()
    }

    fn limit(&self) -> usize {
        usize::MAX
    }

    fn quota(&self) -> Option<Quota> {
        None
    }

    async fn send(&mut self, _message: &Message) -> Answer {
        Answer::Outcome(Outcome::Accepted)
    }
}

/// A warning about a pod in `shop`, seen at 02:00 on 1 May 2024 in UTC.
pub(super) fn record(pod: &str, reason: &str, message: &str) -> Record {
    let event = json!({
        "metadata": {"name": format!("{pod}.17a3"), "namespace": "shop", "resourceVersion": "7"},
        "involvedObject": {"kind": "Pod", "namespace": "shop", "name": pod},
        "reason": reason, "message": message, "type": "Warning",
        "source": {"component": "kubelet", "host": "cn-hangzhou.10.0.0.7"},
        "lastTimestamp": "2024-05-01T02:00:00Z", "count": 3,
    });
    Record { received_at: Timestamp::UNIX_EPOCH, ..testing::record("7", &event.to_string()) }
}

pub(super) fn notice(pod: &str, reason: &str, message: &str) -> Notice {
    Notice::of(&record(pod, reason, message))
}
