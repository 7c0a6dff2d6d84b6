//! The `wechat` sink: messages of a `WeCom` application to members (developer.work.weixin.qq.com, pages
//! 90236 and 91039), with the text of kube-eventer.
//!
//! What is above 30 messages a minute or 1,000 an hour to one member the service discards, and says
//! that all is well: the limits have to be kept here.

use std::time::Duration;

use async_trait::async_trait;
use jiff::tz::TimeZone;
use reqwest::{Client, Url};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::answer::{Coded, ask, ask_for_secret, request};
use super::eventer::{self, Clock};
use super::template::{TemplateSource, Templates};
use super::{Answer, BATCH, Chat, Look, Message, Service, check_labels, uri, wecom};
use crate::event::render::{Digest, Markup, Notice};
use crate::setting::{Secret, Span};
use crate::sink::http::Redaction;
use crate::sink::options::{self, now, wrong};
use crate::sink::registry::Kind;
use crate::sink::target::Target;
use crate::sink::{Outcome, Quota, Rate, SinkContext, SinkError};

pub(in crate::sink) const KIND: Kind = Kind {
    name: "wechat",
    about: "Messages of an application of WeCom (WeChat Work)",
    aliases: &[],
    eventer_name: "WechatSink",
    batch: BATCH,
    options: options::describe::<Options>,
    build: |map, context| Ok(Box::new(Chat(WeChat::new(options::parse(map)?, context)?))),
    redact: options::redact::<Options>,
    from_uri: uri::wechat,
};

/// `options` of a sink of kind `wechat`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Options {
    /// The service, for installations of one's own.
    #[serde(default = "service")]
    #[schemars(extend("default" = "https://qyapi.weixin.qq.com/"))]
    url: Target,
    /// Id of the company.
    corp_id: String,
    /// Secret of the application.
    corp_secret: Secret,
    /// Number of the application.
    agent_id: u64,
    /// Members who get the messages.
    #[serde(default = "everybody")]
    to_user: Vec<String>,
    /// Lines above every message, such as the name of the cluster.
    #[serde(default)]
    labels: Vec<String>,
    /// Whether the service drops a message that it got already within half an hour, as after an answer
    /// that was lost.
    #[serde(default = "yes")]
    duplicate_check: bool,
    /// A message about one event, as its readers want it.
    #[serde(default)]
    template: Option<TemplateSource>,
    /// The same about many.
    #[serde(default)]
    digest_template: Option<TemplateSource>,
}

/// Of `text.content`; the service cuts off what is longer without a word.
const CONTENT_LIMIT: usize = 2_048;

/// 30 a minute and 1,000 an hour to one member are allowed.
const RATES: [Rate; 2] = [
    Rate { messages: 28, per: Span::from_secs(60) },
    Rate { messages: 950, per: Span::from_secs(3_600) },
];

/// The service takes so many members at once.
const USERS_LIMIT: usize = 1_000;

/// Seconds for which the service remembers messages.
const DUPLICATE_SECONDS: u64 = 1_800;

/// Codes of a token that is not valid any more.
const STALE_TOKEN: [i64; 3] = [40_014, 42_001, 41_001];

struct WeChat {
    options: Options,
    client: Client,
    look: Look,
    zone: TimeZone,
    templates: Templates,
    token: Option<Token>,
}

struct Token {
    text: String,
    /// Renewed from here on, before the service refuses it.
    renew_at: Instant,
}

impl WeChat {
    fn new(options: Options, context: &SinkContext) -> Result<Self, SinkError> {
        let look = Look::new(&options.labels, Markup::PLAIN);
        let [one, many] = [&options.template, &options.digest_template];
        let templates = Templates::new(one.as_ref(), many.as_ref(), &look)?;
        options.url.check("url")?;
        now("corpSecret", &options.corp_secret)?;
        check_labels(&options.labels)?;
        if options.to_user.is_empty() || options.to_user.len() > USERS_LIMIT {
            return Err(wrong(
                "toUser",
                "write between 1 and 1000 members, or leave it out for all",
            ));
        }
        let (client, zone) = (context.http.clone(), TimeZone::system());
        Ok(Self { options, client, look, zone, templates, token: None })
    }

    fn endpoint(&self, path: &str, redaction: &mut Redaction) -> Result<Url, Outcome> {
        let mut url = self.options.url.reveal("url", redaction)?;
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}/cgi-bin/{path}"));
        Ok(url)
    }

    /// A valid token. Fetching one is itself limited, so it is kept as long as it lives.
    async fn token(&mut self) -> Result<String, Answer> {
        if let Some(token) = self.token.as_ref().filter(|token| Instant::now() < token.renew_at) {
            return Ok(token.text.clone());
        }
        let mut answer = self.fetch_token().await.map_err(Answer::Outcome)?;
        let Value::String(text) = answer.json["access_token"].take() else {
            return Err(match answer.code {
                None | Some(0) => answer.retry(),
                _ => wecom::judge(answer),
            });
        };
        let seconds = answer.json["expires_in"].as_u64().unwrap_or_default();
        let renew_at = Instant::now() + Duration::from_secs(seconds) * 4 / 5;
        self.token = Some(Token { text: text.clone(), renew_at });
        Ok(text)
    }

    async fn fetch_token(&self) -> Result<Coded, Outcome> {
        let mut redaction = Redaction::default();
        let mut url = self.endpoint("gettoken", &mut redaction)?;
        let hold = |cause: String| Outcome::Hold { cause: format!("corpSecret: {cause}") };
        let secret = self.options.corp_secret.reveal().map_err(|error| hold(error.to_string()))?;
        redaction.hide(&secret);
        url.query_pairs_mut()
            .append_pair("corpid", &self.options.corp_id)
            .append_pair("corpsecret", &secret);
        let request = self.client.get(url).build().map_err(|_| hold("no request".to_owned()))?;
        ask_for_secret(&self.client, request, &["errcode"], &redaction).await
    }

    fn body(&self, message: &Message) -> String {
        let mut body = json!({
            "touser": self.options.to_user.join("|"),
            "toparty": "",
            "totag": "",
            "msgtype": "text",
            "agentid": self.options.agent_id,
            "text": {"content": message.text},
            "safe": 0,
        });
        if self.options.duplicate_check {
            body["enable_duplicate_check"] = 1.into();
            body["duplicate_check_interval"] = DUPLICATE_SECONDS.into();
        }
        body.to_string()
    }

    async fn ask(&self, message: &Message, token: &str) -> Result<Coded, Outcome> {
        let mut redaction = Redaction::default();
        redaction.hide(token);
        let mut url = self.endpoint("message/send", &mut redaction)?;
        url.query_pairs_mut().append_pair("access_token", token);
        let request = request(&self.client, url, "application/json", self.body(message))?;
        ask(&self.client, request, &["errcode"], &redaction).await
    }

    /// Sends with the token that is there, or with a new one when that is stale.
    async fn try_send(&mut self, message: &Message) -> Result<Coded, Answer> {
        for _ in 0..2 {
            let token = self.token().await?;
            let answer = self.ask(message, &token).await.map_err(Answer::Outcome)?;
            if answer.code.is_none_or(|code| !STALE_TOKEN.contains(&code)) {
                return Ok(answer);
            }
            self.token = None;
            tracing::debug!(said = answer.said, "the token is renewed");
        }
        let cause = "the service refuses a token it has just given; check the options `corpId`, \
                     `corpSecret` and `agentId`";
        Err(Answer::Outcome(Outcome::Hold { cause: cause.to_owned() }))
    }
}

/// Members whom a message did not reach, although it was accepted.
fn report_unreached(answer: &Coded) {
    let unreached = answer.json["invaliduser"].as_str().unwrap_or_default();
    if !unreached.is_empty() {
        tracing::warn!(
            users = unreached,
            "the message did not reach these users: they cannot see the application"
        );
    }
}

#[async_trait]
impl Service for WeChat {
    fn single(&self, notice: &Notice, message_limit: usize) -> Message {
        let labels = &self.options.labels;
        let text = eventer::text(notice, labels, Clock::GoString, &self.zone, message_limit);
        Message { title: String::new(), text }
    }

    fn digest(&self, digest: &Digest<'_>, message_limit: usize) -> Message {
        let Message { title, text } = self.look.digest(digest, message_limit);
        Message { title: String::new(), text: format!("{title}\n{text}") }
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
        let credential = format!("{} {}", self.options.corp_id, self.options.agent_id);
        Some(Quota::new("wechat", &credential, RATES.to_vec()))
    }

    async fn send(&mut self, message: &Message) -> Answer {
        match self.try_send(message).await {
            Ok(answer) => {
                report_unreached(&answer);
                wecom::judge(answer)
            }
            Err(answer) => answer,
        }
    }
}

fn service() -> Target {
    Target(Secret::Literal("https://qyapi.weixin.qq.com".to_owned()))
}

fn everybody() -> Vec<String> {
    vec!["@all".to_owned()]
}

fn yes() -> bool {
    true
}
