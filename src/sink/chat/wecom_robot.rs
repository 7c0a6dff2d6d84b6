//! The `wecom-robot` sink: a robot of a `WeCom` group (developer.work.weixin.qq.com, page 91770).

use async_trait::async_trait;
use serde_json::json;

use super::answer::{Coded, ask, request};
use super::robot::{Options, Robot};
use super::template::Templates;
use super::{Answer, BATCH, Chat, Message, Service, uri, wecom};
use crate::event::render::{Digest, Markup, Notice};
use crate::setting::Span;
use crate::sink::http::Redaction;
use crate::sink::options;
use crate::sink::registry::Kind;
use crate::sink::{Outcome, Quota, Rate};

pub(in crate::sink) const KIND: Kind = Kind {
    name: "wecom-robot",
    about: "Messages of a robot in a WeCom group",
    aliases: &[],
    eventer_name: "WeComRobotSink",
    batch: BATCH,
    options: options::describe::<Options>,
    build: |map, context| {
        Ok(Box::new(Chat(WeComRobot(Robot::new(options::parse(map)?, context, MARKDOWN)?))))
    },
    redact: options::redact::<Options>,
    from_uri: uri::robot,
};

/// Of `markdown.content`.
const CONTENT_LIMIT: usize = 4_096;

/// 20 per minute are allowed.
const RATE: Rate = Rate { messages: 18, per: Span::from_secs(60) };

const MARKDOWN: Markup = Markup {
    strong: ("**", "**"),
    line: "\n",
    under: "\n>",
    paragraph: "\n",
    escape: wecom::escape,
};

struct WeComRobot(Robot);

impl WeComRobot {
    async fn ask(&self, message: &Message) -> Result<Coded, Outcome> {
        let mut redaction = Redaction::default();
        let url = self.0.url.reveal("url", &mut redaction)?;
        let body = json!({"msgtype": "markdown", "markdown": {"content": message.text}});
        let request = request(&self.0.client, url, "application/json", body.to_string())?;
        ask(&self.0.client, request, &["errcode"], &redaction).await
    }
}

/// A robot's markdown has no title of its own.
fn with_headline(Message { title, text }: Message) -> Message {
    Message { title: String::new(), text: format!("{}\n{text}", MARKDOWN.strong(&title)) }
}

#[async_trait]
impl Service for WeComRobot {
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
        message.text.len()
    }

    fn limit(&self) -> usize {
        CONTENT_LIMIT
    }

    fn quota(&self) -> Option<Quota> {
        Some(Quota::new("wecom-robot", &self.0.url.credential(), vec![RATE]))
    }

    async fn send(&mut self, message: &Message) -> Answer {
        match self.ask(message).await {
            Ok(answer) => wecom::judge(answer),
            Err(outcome) => Answer::Outcome(outcome),
        }
    }
}
