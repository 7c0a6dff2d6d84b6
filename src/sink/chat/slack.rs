//! The `slack` sink: an incoming webhook (docs.slack.dev, "Sending messages using incoming webhooks").

use std::borrow::Cow;

use async_trait::async_trait;
use serde_json::json;

use super::answer::request;
use super::robot::{Options, Robot};
use super::template::Templates;
use super::{Answer, BATCH, Chat, Message, Service, uri};
use crate::event::render::{Digest, Markup, Notice};
use crate::setting::Span;
use crate::sink::http::{Conflict, Redaction, Reply, exchange};
use crate::sink::options;
use crate::sink::registry::Kind;
use crate::sink::{Outcome, Quota, Rate};

pub(in crate::sink) const KIND: Kind = Kind {
    name: "slack",
    about: "Messages in a Slack channel, by an incoming webhook",
    aliases: &[],
    eventer_name: "SlackSink",
    batch: BATCH,
    options: options::describe::<Options>,
    build: |map, context| {
        Ok(Box::new(Chat(Slack(Robot::new(options::parse(map)?, context, MRKDWN)?))))
    },
    redact: options::redact::<Options>,
    from_uri: uri::robot,
};

/// Slack advises at most 4,000 characters in `text`, and cuts off what is above 40,000.
const TEXT_LIMIT: usize = 4_000;

/// One message a second to a channel.
const RATE: Rate = Rate { messages: 1, per: Span::from_secs(1) };

/// Refusals that no change of the message would help.
const OPERATORS_MATTERS: [&str; 11] = [
    "user_not_found",
    "action_prohibited",
    "posting_to_general_channel_denied",
    "invalid_token",
    "channel_not_found",
    "no_service",
    "no_service_id",
    "no_team",
    "channel_is_archived",
    "team_disabled",
    "no_active_hooks",
];

const MRKDWN: Markup =
    Markup { strong: ("*", "*"), line: "\n", under: "\n> ", paragraph: "\n", escape };

/// The three characters Slack reads as its own.
fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(['&', '<', '>']) {
        return Cow::Borrowed(text);
    }
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").into()
}

struct Slack(Robot);

impl Slack {
    async fn ask(&self, message: &Message) -> Result<Outcome, Outcome> {
        let mut redaction = Redaction::default();
        let url = self.0.url.reveal("url", &mut redaction)?;
        let body = json!({"text": message.text}).to_string();
        let request = request(&self.0.client, url, "application/json", body)?;
        let reply = exchange(&self.0.client, request, &redaction).await?;
        Ok(judge(&reply, &redaction))
    }
}

fn judge(reply: &Reply, redaction: &Redaction) -> Outcome {
    let said = String::from_utf8_lossy(&reply.body);
    let said = said.trim();
    let hold =
        |remedy: &str| Outcome::Hold { cause: format!("{}; {remedy}", reply.explain(redaction)) };
    if OPERATORS_MATTERS.contains(&said) {
        return hold("check the webhook, its channel and its workspace");
    }
    if reply.status.is_success() && said != "ok" {
        return hold("this is no answer of the service: check the sink's URL");
    }
    reply.outcome(Conflict::Rejected, redaction)
}

fn with_headline(Message { title, text }: Message) -> Message {
    Message { text: format!("{}\n{text}", MRKDWN.strong(&title)), title }
}

#[async_trait]
impl Service for Slack {
    fn single(&self, notice: &Notice, message_limit: usize) -> Message {
        with_headline(self.0.look.single(notice, message_limit))
    }

    fn digest(&self, digest: &Digest<'_>, message_limit: usize) -> Message {
        with_headline(self.0.look.digest(digest, message_limit))
    }

    fn templates(&self) -> &Templates {
        &self.0.templates
    }

    fn size(&self, message: &Message) -> usize {
        message.text.chars().count()
    }

    fn limit(&self) -> usize {
        TEXT_LIMIT
    }

    fn quota(&self) -> Option<Quota> {
        Some(Quota::new("slack", &self.0.url.credential(), vec![RATE]))
    }

    async fn send(&mut self, message: &Message) -> Answer {
        Answer::Outcome(self.ask(message).await.unwrap_or_else(|outcome| outcome))
    }
}
