//! The `wecom-robot` sink: a robot of a `WeCom` group (developer.work.weixin.qq.com, page 91770).

use async_trait::async_trait;
use reqwest::{Client, Url};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::answer::{Coded, ask, request};
use super::template::{TemplateSource, Templates};
use super::{Answer, BATCH, Chat, Look, Message, Service, check_labels, uri, wecom};
use crate::event::render::{Digest, Markup, Notice};
use crate::setting::Span;
use crate::sink::http::Redaction;
use crate::sink::options;
use crate::sink::registry::Kind;
use crate::sink::target::Target;
use crate::sink::{Outcome, Quota, Rate, SinkContext, SinkError};

pub(in crate::sink) const KIND: Kind = Kind {
    name: "wecom-robot",
    aliases: &[],
    eventer_name: "WeComRobotSink",
    batch: BATCH,
    options: options::names::<Options>,
    build: |map, context| Ok(Box::new(Chat(WeComRobot::new(options::parse(map)?, context)?))),
    redact: options::redact::<Options>,
    from_uri: uri::robot,
};

/// `options` of a sink of kind `wecom-robot`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Options {
    /// The robot's URL with its `key`.
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

struct WeComRobot {
    options: Options,
    client: Client,
    look: Look,
    templates: Templates,
}

impl WeComRobot {
    fn new(options: Options, context: &SinkContext) -> Result<Self, SinkError> {
        let look = Look::new(&options.labels, MARKDOWN);
        let [one, many] = [&options.template, &options.digest_template];
        let templates = Templates::new(one.as_ref(), many.as_ref(), &look)?;
        options.url.check("url")?;
        check_labels(&options.labels)?;
        Ok(Self { options, client: context.http.clone(), look, templates })
    }

    async fn ask(&self, message: &Message) -> Result<Coded, Outcome> {
        let mut redaction = Redaction::default();
        let url: Url = self.options.url.reveal("url", &mut redaction)?;
        let body = json!({"msgtype": "markdown", "markdown": {"content": message.text}});
        let request = request(&self.client, url, "application/json", body.to_string())?;
        ask(&self.client, request, &["errcode"], &redaction).await
    }
}

/// A robot's markdown has no title of its own.
fn with_headline(Message { title, text }: Message) -> Message {
    Message { title: String::new(), text: format!("{}\n{text}", MARKDOWN.strong(&title)) }
}

#[async_trait]
impl Service for WeComRobot {
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
        message.text.len()
    }

    fn limit(&self) -> usize {
        CONTENT_LIMIT
    }

    fn quota(&self) -> Option<Quota> {
        Some(Quota::new("wecom-robot", &self.options.url.credential(), vec![RATE]))
    }

    async fn send(&mut self, message: &Message) -> Answer {
        match self.ask(message).await {
            Ok(answer) => wecom::judge(answer),
            Err(outcome) => Answer::Outcome(outcome),
        }
    }
}
