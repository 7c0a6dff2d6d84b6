//! The `teams` sink: a webhook of Microsoft Teams (learn.microsoft.com, "Create incoming webhooks").
//!
//! A webhook of a workflow answers 202 before the card is posted, and what happens then nobody hears of.
//! One of a retired connector answers 200 in any case, and says in its body what became of the card.

use async_trait::async_trait;
use reqwest::{StatusCode, Url};
use serde_json::{Value, json};

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
    name: "teams",
    about: "Cards in a Microsoft Teams channel, by a workflow",
    aliases: &[],
    eventer_name: "TeamsSink",
    batch: BATCH,
    options: options::describe::<Options>,
    build: |map, context| {
        Ok(Box::new(Chat(Teams(Robot::new(options::parse(map)?, context, MARKDOWN)?))))
    },
    redact: options::redact::<Options>,
    from_uri: uri::robot,
};

/// Of a whole request: 28 KB.
const BODY_LIMIT: usize = 27_000;

/// More than four requests a second are refused.
const RATE: Rate = Rate { messages: 3, per: Span::from_secs(1) };

/// Path of a connector, which answers in its own way.
const CONNECTOR: &str = "/webhookb2/";

const MARKDOWN: Markup = Markup {
    strong: ("**", "**"),
    line: "\n\n",
    under: "\n\n",
    paragraph: "\n\n",
    escape: |text| text.into(),
};

struct Teams(Robot);

impl Teams {
    async fn ask(&self, message: &Message) -> Result<Answer, Outcome> {
        let mut redaction = Redaction::default();
        let url = self.0.url.reveal("url", &mut redaction)?;
        let is_connector = is_connector(&url);
        let body = body(message).to_string();
        let request = request(&self.0.client, url, "application/json", body)?;
        let reply = exchange(&self.0.client, request, &redaction).await?;
        Ok(judge(reply, is_connector, &redaction))
    }
}

fn is_connector(url: &Url) -> bool {
    url.path().starts_with(CONNECTOR)
}

/// An adaptive card: the headline, and the rest below it.
fn body(message: &Message) -> Value {
    let block = |text: &str| json!({"type": "TextBlock", "text": text, "wrap": true});
    let mut headline = block(&message.title);
    headline["weight"] = "Bolder".into();
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "msteams": {"width": "Full"},
                "body": [headline, block(&message.text)],
            },
        }],
    })
}

fn judge(mut reply: Reply, is_connector: bool, redaction: &Redaction) -> Answer {
    let said = reply.explain(redaction);
    let text = String::from_utf8_lossy(&reply.body).trim().to_owned();
    if is_connector && reply.status.is_success() && text != "1" {
        match embedded_status(&text) {
            Some(status) => reply.status = status,
            None => return Answer::Outcome(Outcome::Retry { after: None, cause: said }),
        }
    }
    if reply.status == StatusCode::PAYLOAD_TOO_LARGE {
        return Answer::TooLong(said);
    }
    Answer::Outcome(match reply.outcome(Conflict::Rejected, redaction) {
        // The status is that of the body: what the service said is the body.
        Outcome::Retry { after, .. } => Outcome::Retry { after, cause: said },
        outcome => outcome,
    })
}

/// The status in `… returned HTTP error 429 …`.
fn embedded_status(text: &str) -> Option<StatusCode> {
    let (_, status) = text.split_once("HTTP error ")?;
    StatusCode::from_bytes(status.as_bytes().get(..3)?).ok()
}

#[async_trait]
impl Service for Teams {
    fn single(&self, notice: &Notice, message_limit: usize) -> Message {
        self.0.look.single(notice, message_limit)
    }

    fn digest(&self, digest: &Digest<'_>, message_limit: usize) -> Message {
        self.0.look.digest(digest, message_limit)
    }

    fn templates(&self) -> &Templates {
        &self.0.templates
    }

    fn size(&self, message: &Message) -> usize {
        body(message).to_string().len()
    }

    fn limit(&self) -> usize {
        BODY_LIMIT
    }

    fn quota(&self) -> Option<Quota> {
        Some(Quota::new("teams", &self.0.url.credential(), vec![RATE]))
    }

    async fn send(&mut self, message: &Message) -> Answer {
        self.ask(message).await.unwrap_or_else(Answer::Outcome)
    }
}
