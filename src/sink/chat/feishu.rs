//! The `feishu` sink: a custom robot of a Feishu or Lark group (open.feishu.cn, "Custom bot usage guide").

use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use reqwest::Client;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::answer::{Coded, ask, request};
use super::template::{TemplateSource, Templates};
use super::{Answer, BATCH, Chat, Look, Message, Service, check_labels, uri};
use crate::event::render::{Digest, Markup, Notice};
use crate::setting::{Secret, Span};
use crate::sink::http::Redaction;
use crate::sink::options::{self, now};
use crate::sink::registry::Kind;
use crate::sink::signing::hmac_sha256;
use crate::sink::target::Target;
use crate::sink::{Outcome, Quota, Rate, SinkContext, SinkError};

pub(in crate::sink) const KIND: Kind = Kind {
    name: "feishu",
    about: "Messages of a robot in a Feishu or Lark group",
    aliases: &["lark"],
    eventer_name: "FeishuSink",
    batch: BATCH,
    options: options::describe::<Options>,
    build: |map, context| Ok(Box::new(Chat(Feishu::new(options::parse(map)?, context)?))),
    redact: options::redact::<Options>,
    from_uri: uri::signed_robot,
};

/// `options` of a sink of kind `feishu`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Options {
    /// The robot's URL.
    url: Target,
    /// Its signing secret, where signing is one of its security settings.
    #[serde(default)]
    sign: Option<Secret>,
    /// Lines above every message, such as the name of the cluster.
    #[serde(default)]
    labels: Vec<String>,
    /// A keyword of the robot's security settings: it is put under messages that lack it.
    #[serde(default)]
    keyword: Option<String>,
    /// A message about one event, as its readers want it.
    #[serde(default)]
    template: Option<TemplateSource>,
    /// The same about many.
    #[serde(default)]
    digest_template: Option<TemplateSource>,
}

/// Of a whole request: 20 KB, with room for time and signature.
const BODY_LIMIT: usize = 19_800;

/// 100 per minute and 5 per second are allowed.
const RATES: [Rate; 2] = [
    Rate { messages: 90, per: Span::from_secs(60) },
    Rate { messages: 4, per: Span::from_secs(1) },
];

/// 11232: at the full and the half hour the whole service is busy.
const BUSY: Duration = Duration::from_secs(60);

struct Feishu {
    options: Options,
    client: Client,
    look: Look,
    templates: Templates,
}

impl Feishu {
    fn new(options: Options, context: &SinkContext) -> Result<Self, SinkError> {
        let look = Look::new(&options.labels, Markup::PLAIN);
        let [one, many] = [&options.template, &options.digest_template];
        let templates = Templates::new(one.as_ref(), many.as_ref(), &look)?;
        options.url.check("url")?;
        if let Some(secret) = &options.sign {
            now("sign", secret)?;
        }
        check_labels(&options.labels)?;
        Ok(Self { options, client: context.http.clone(), look, templates })
    }

    async fn ask(&self, message: &Message) -> Result<Coded, Outcome> {
        let mut redaction = Redaction::default();
        let url = self.options.url.reveal("url", &mut redaction)?;
        let mut body = body(message);
        if let Some(secret) = &self.options.sign {
            let hold = |cause: String| Outcome::Hold { cause: format!("sign: {cause}") };
            let secret = secret.reveal().map_err(|error| hold(error.to_string()))?;
            redaction.hide(&secret);
            let timestamp = Timestamp::now().as_second();
            body["timestamp"] = timestamp.to_string().into();
            body["sign"] = sign(&secret, timestamp).into();
        }
        let request = request(&self.client, url, "application/json", body.to_string())?;
        ask(&self.client, request, &["code", "StatusCode"], &redaction).await
    }
}

/// One paragraph for each line.
fn body(message: &Message) -> Value {
    let line = |line: &str| json!([{"tag": "text", "text": line}]);
    let content: Vec<_> = message.text.lines().map(line).collect();
    json!({
        "msg_type": "post",
        "content": {"post": {"zh_cn": {"title": message.title, "content": content}}},
    })
}

/// Base64 of HMAC-SHA256 over nothing, with the time in seconds, a line break and the secret as key.
fn sign(secret: &str, seconds: i64) -> String {
    let key = format!("{seconds}\n{secret}");
    STANDARD.encode(hmac_sha256(key.as_bytes(), b""))
}

fn judge(answer: Coded) -> Answer {
    let words = answer.words("msg");
    match answer.code {
        Some(0) => Answer::Outcome(Outcome::Accepted),
        Some(9_499) if words.contains("too many") => answer.throttle(BUSY),
        Some(9_499) => Answer::TooLong(answer.said),
        Some(11_232 | 99_991_400) => answer.throttle(BUSY),
        Some(19_001) => answer.hold("the robot is gone: check the sink's url"),
        // The clock of this machine may be wrong, and may be set right; the secret may be, too.
        Some(19_021) => answer.hold("check the option `sign` and the clock of the node"),
        Some(19_022) => {
            answer.hold("add the address of this cluster to the robot's allowed addresses")
        }
        Some(19_024) => answer.hold("set the option `keyword` to a keyword of the robot"),
        Some(19_002..=19_020) => answer.reject(),
        _ => answer.retry(),
    }
}

#[async_trait]
impl Service for Feishu {
    fn single(&self, notice: &Notice, message_limit: usize) -> Message {
        self.look.single(notice, message_limit)
    }

    fn digest(&self, digest: &Digest<'_>, message_limit: usize) -> Message {
        self.look.digest(digest, message_limit)
    }

    fn templates(&self) -> &Templates {
        &self.templates
    }

    fn complete(&self, mut message: Message) -> Message {
        if let Some(keyword) = &self.options.keyword
            && ![&message.title, &message.text].iter().any(|text| text.contains(keyword.as_str()))
        {
            message.text.push('\n');
            message.text.push_str(keyword);
        }
        message
    }

    fn size(&self, message: &Message) -> usize {
        body(message).to_string().len()
    }

    fn limit(&self) -> usize {
        BODY_LIMIT
    }

    fn quota(&self) -> Option<Quota> {
        Some(Quota::new("feishu", &self.options.url.credential(), RATES.to_vec()))
    }

    async fn send(&mut self, message: &Message) -> Answer {
        match self.ask(message).await {
            Ok(answer) => judge(answer),
            Err(outcome) => Answer::Outcome(outcome),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_as_the_service_documents() {
        assert_eq!(
            sign("this is secret", 1_599_360_473),
            "/eYKrXQBzTjUZJ3s6NX16VxGbTwmK7AEs8/FnvC1CSw="
        );
        assert_eq!(sign("demo", 1_700_000_000), "8oT2n3SMKFfEnDoiwer8BUM/SjKLwe9SqoEIHlhDTKo=");
    }
}
