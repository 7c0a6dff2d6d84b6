//! The `slack` sink: an incoming webhook (docs.slack.dev, "Sending messages using incoming webhooks").

use std::borrow::Cow;

use async_trait::async_trait;
use reqwest::Client;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::answer::request;
use super::template::{TemplateSource, Templates};
use super::{Answer, BATCH, Chat, Look, Message, Service, check_labels, uri};
use crate::event::render::{Digest, Markup, Notice};
use crate::setting::Span;
use crate::sink::http::{Conflict, Redaction, Reply, exchange};
use crate::sink::options;
use crate::sink::registry::Kind;
use crate::sink::target::Target;
use crate::sink::{Outcome, Quota, Rate, SinkContext, SinkError};

pub(in crate::sink) const KIND: Kind = Kind {
    name: "slack",
    aliases: &[],
    eventer_name: "SlackSink",
    batch: BATCH,
    options: options::names::<Options>,
    build: |map, context| Ok(Box::new(Chat(Slack::new(options::parse(map)?, context)?))),
    redact: options::redact::<Options>,
    from_uri: uri::robot,
};

/// `options` of a sink of kind `slack`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Options {
    /// The webhook's URL.
    url: Target,
    /// Lines above every message, such as the name of the cluster.
    #[serde(default)]
    labels: Vec<String>,
    /// A message about one event, as its readers want it.
    #[serde(default)]
    template: Option<TemplateSource>,
    /// The same about many.
    #[serde(default)]
    digest_template: Option<TemplateSource>,
}

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

struct Slack {
    options: Options,
    client: Client,
    look: Look,
    templates: Templates,
}

impl Slack {
    fn new(options: Options, context: &SinkContext) -> Result<Self, SinkError> {
        let look = Look::new(&options.labels, MRKDWN);
        let [one, many] = [&options.template, &options.digest_template];
        let templates = Templates::new(one.as_ref(), many.as_ref(), &look)?;
        options.url.check("url")?;
        check_labels(&options.labels)?;
        Ok(Self { options, client: context.http.clone(), look, templates })
    }

    async fn ask(&self, message: &Message) -> Result<Outcome, Outcome> {
        let mut redaction = Redaction::default();
        let url = self.options.url.reveal("url", &mut redaction)?;
        let body = json!({"text": message.text}).to_string();
        let request = request(&self.client, url, "application/json", body)?;
        let reply = exchange(&self.client, request).await?;
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
        with_headline(self.look.single(notice, message_limit))
    }

    fn digest(&self, digest: &Digest<'_>, message_limit: usize) -> Message {
        with_headline(self.look.digest(digest, message_limit))
    }

    fn templates(&self) -> &Templates {
        &self.templates
    }

    fn size(&self, message: &Message) -> usize {
        message.text.chars().count()
    }

    fn limit(&self) -> usize {
        TEXT_LIMIT
    }

    fn quota(&self) -> Option<Quota> {
        Some(Quota::new("slack", &self.options.url.credential(), vec![RATE]))
    }

    async fn send(&mut self, message: &Message) -> Answer {
        Answer::Outcome(self.ask(message).await.unwrap_or_else(|outcome| outcome))
    }
}
