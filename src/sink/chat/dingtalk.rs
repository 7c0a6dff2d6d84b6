//! The `dingtalk` sink: a custom robot of a `DingTalk` group.
//!
//! Messages are those of kube-eventer, byte by byte; a digest follows when there are more than the robot
//! may send. Sources: kube-eventer `sinks/dingtalk`; `DingTalk`, "Custom robot access"; error codes as
//! seen by its users.

use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use reqwest::{Client, Url};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::answer::{Coded, ask, request};
use super::eventer::{self, Clock, Console, go_json};
use super::template::{TemplateSource, Templates};
use super::{Answer, BATCH, Chat, Look, Message, Service, check_labels, uri};
use crate::event::render::{Digest, Markup, Notice};
use crate::setting::{Secret, Span};
use crate::sink::http::Redaction;
use crate::sink::options::{self, now, wrong};
use crate::sink::registry::Kind;
use crate::sink::signing::hmac_sha256;
use crate::sink::target::{Target, parse_url};
use crate::sink::{Outcome, Quota, Rate, SinkContext, SinkError};

pub(in crate::sink) const KIND: Kind = Kind {
    name: "dingtalk",
    about: "Messages of a robot in a DingTalk group",
    aliases: &[],
    eventer_name: "DingTalkSink",
    batch: BATCH,
    options: options::describe::<Options>,
    build: |map, context| Ok(Box::new(Chat(DingTalk::new(options::parse(map)?, context)?))),
    redact: options::redact::<Options>,
    from_uri: uri::dingtalk,
};

/// `options` of a sink of kind `dingtalk`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Options {
    /// The robot's URL with its `access_token`.
    url: Target,
    /// Its signing secret, where signing is one of its security settings.
    #[serde(default)]
    sign: Option<Secret>,
    /// How messages are written.
    #[serde(default)]
    msg_type: MsgType,
    /// Lines above every message, such as the name of the cluster.
    #[serde(default)]
    labels: Vec<String>,
    /// The cluster in the console of Alibaba Cloud, for links.
    #[serde(default)]
    cluster_id: String,
    /// The region of the cluster there.
    #[serde(default)]
    region: String,
    /// A keyword of the robot's security settings: it is put under messages that lack it.
    #[serde(default)]
    keyword: Option<String>,
    /// Whom to mention.
    #[serde(default)]
    at: At,
    /// A message about one event, as its readers want it.
    #[serde(default)]
    template: Option<TemplateSource>,
    /// The same about many.
    #[serde(default)]
    digest_template: Option<TemplateSource>,
}

/// How messages are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum MsgType {
    #[default]
    Text,
    Markdown,
}

/// Whom to mention.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct At {
    /// Phone numbers.
    mobiles: Vec<String>,
    /// User ids.
    user_ids: Vec<String>,
    /// Everybody.
    all: bool,
}

/// Of a whole request; above it the service answers 460101.
const BODY_LIMIT: usize = 20_000;

/// 20 per minute are allowed; the next one is punished by ten minutes of silence.
const RATE: Rate = Rate { messages: 18, per: Span::from_secs(60) };

/// After "too fast" the robot is not asked for a minute, and when that does not help for ten.
const PENALTIES: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(600)];

/// The one host that is always asked by https, as kube-eventer does.
const HOST: &str = "oapi.dingtalk.com";

const CONTENT_TYPE: &str = "application/json;charset=utf-8";

const MARKDOWN: Markup = Markup {
    strong: ("**", "**"),
    line: "  \n",
    under: "  \n",
    paragraph: "\n\n",
    escape: |text| text.into(),
};

impl Options {
    fn look(&self, zone: TimeZone) -> Look {
        let markup = match self.msg_type {
            MsgType::Text => Markup::PLAIN,
            MsgType::Markdown => MARKDOWN,
        };
        Look { labels: self.labels.clone(), markup, zone }
    }
}

struct DingTalk {
    options: Options,
    client: Client,
    zone: TimeZone,
    templates: Templates,
    /// How often in a row the service said "too fast".
    penalties: usize,
}

impl DingTalk {
    fn new(options: Options, context: &SinkContext) -> Result<Self, SinkError> {
        let zone = TimeZone::system();
        let [one, many] = [&options.template, &options.digest_template];
        let look = options.look(zone.clone());
        let templates = Templates::new(one.as_ref(), many.as_ref(), &look)?;
        options.url.check("url")?;
        if let Some(url) = now("url", &options.url.0)? {
            let url = parse_url(&url).map_err(|reason| wrong("url", reason))?;
            if token(&url).is_empty() {
                let reason = "the robot's URL contains access_token=…: copy it from its settings";
                return Err(wrong("url", reason));
            }
        }
        if let Some(secret) = &options.sign {
            now("sign", secret)?;
        }
        check_labels(&options.labels)?;
        Ok(Self { options, client: context.http.clone(), zone, templates, penalties: 0 })
    }

    /// The request's body, in the order and with the escapes of Go.
    fn body(&self, message: &Message) -> String {
        let Message { title, text } = message;
        let mut body = match self.options.msg_type {
            MsgType::Text => json!({
                "msgtype": "text",
                "text": {"content": text},
                "markdown": {"title": "", "text": ""},
            }),
            MsgType::Markdown => json!({
                "msgtype": "markdown",
                "text": {"content": ""},
                "markdown": {"title": title, "text": text},
            }),
        };
        let at = &self.options.at;
        if *at != At::default() {
            body["at"] =
                json!({"atMobiles": at.mobiles, "atUserIds": at.user_ids, "isAtAll": at.all});
        }
        go_json(&body.to_string())
    }

    /// The URL of one attempt, with a signature of its own: a signature is valid for an hour.
    fn url(&self, redaction: &mut Redaction) -> Result<Url, Outcome> {
        let hold =
            |option: &str, cause: String| Outcome::Hold { cause: format!("{option}: {cause}") };
        let mut url = self.options.url.reveal("url", redaction)?;
        let token = token(&url);
        let secret = self.options.sign.as_ref().map(Secret::reveal).transpose();
        let secret = secret.map_err(|error| hold("sign", error.to_string()))?;
        url.query_pairs_mut().clear().append_pair("access_token", &token);
        if let Some(secret) = secret {
            redaction.hide(&secret);
            let timestamp = Timestamp::now().as_millisecond();
            let sign = sign(&secret, timestamp);
            redaction.hide(&sign);
            url.query_pairs_mut()
                .append_pair("sign", &sign)
                .append_pair("timestamp", &timestamp.to_string());
        }
        if url.host_str() == Some(HOST) {
            // It refuses nothing but https; an error would mean that there is no host.
            let _https = url.set_scheme("https");
        }
        Ok(url)
    }

    async fn ask(&self, message: &Message) -> Result<Coded, Outcome> {
        let mut redaction = Redaction::default();
        let url = self.url(&mut redaction)?;
        let request = request(&self.client, url, CONTENT_TYPE, self.body(message))?;
        ask(&self.client, request, &["errcode"], &redaction).await
    }

    /// What an error code means.
    fn judge(&mut self, answer: Coded) -> Answer {
        let words = answer.words("errmsg");
        match answer.code {
            Some(0) => Answer::Outcome(Outcome::Accepted),
            Some(130_101 | 410_100) => self.penalty(answer),
            None if answer.json["status"] == 1111 => self.penalty(answer),
            Some(310_000) => security(answer, &words),
            Some(300_001 | 400_101 | 40_014) => {
                answer.hold("check the access_token in the sink's url")
            }
            Some(400_102 | 400_106 | 400_013) => {
                answer.hold("the robot or its group is gone or disabled: set up another one")
            }
            Some(90_030) => answer.hold("the organisation's quota of webhook calls is used up"),
            Some(460_101 | 101_002) => Answer::TooLong(answer.said),
            Some(_) if words.contains("body 大小不合法") => Answer::TooLong(answer.said),
            Some(400_105 | 40_035 | 43_004 | 430_101..=430_104) => answer.reject(),
            Some(88) => match answer.words("sub_code") {
                code if code.contains("90018") || code.contains("qps") => self.penalty(answer),
                _ => answer.hold("ask the service's gateway: see its sub_code and sub_msg"),
            },
            _ => answer.retry(),
        }
    }

    fn penalty(&mut self, answer: Coded) -> Answer {
        let after = PENALTIES[self.penalties.min(PENALTIES.len() - 1)];
        self.penalties += 1;
        answer.throttle(after)
    }
}

/// 310000 is one code for four settings; only its words tell them apart. The Chinese form speaks of other
/// settings, too, when it comes to the solution.
fn security(answer: Coded, words: &str) -> Answer {
    let words = words.split(";solution:").next().unwrap_or_default();
    if words.contains("timestamp") || words.contains("时间戳") || words.contains("过期") {
        // The clock of this machine or of the service is wrong, and may be set right.
        return answer.retry();
    }
    if words.contains("keyword") || words.contains("关键词") {
        return answer.hold("set the option `keyword` to a keyword of the robot");
    }
    if words.contains("sign") || words.contains("签名") {
        return answer.hold("check the option `sign`: it is the robot's secret, SEC…");
    }
    answer.hold("check the robot's security settings, such as its list of addresses")
}

#[async_trait]
impl Service for DingTalk {
    fn single(&self, notice: &Notice, message_limit: usize) -> Message {
        let Options { labels, cluster_id, region, .. } = &self.options;
        match self.options.msg_type {
            MsgType::Text => {
                let text =
                    eventer::text(notice, labels, Clock::DateTime, &self.zone, message_limit);
                Message { title: String::new(), text }
            }
            MsgType::Markdown => {
                let console = Console { cluster: cluster_id.clone(), region: region.clone() };
                let text = eventer::markdown(notice, labels, &console, &self.zone, message_limit);
                Message { title: eventer::title(&console), text }
            }
        }
    }

    fn digest(&self, digest: &Digest<'_>, message_limit: usize) -> Message {
        let look = self.options.look(self.zone.clone());
        let Message { title, text } = look.digest(digest, message_limit);
        let text = format!("{}{}{text}", look.markup.strong(&title), look.markup.paragraph);
        Message { title, text }
    }

    fn templates(&self) -> &Templates {
        &self.templates
    }

    /// Adds what the robot's security settings and mentions need in the text.
    fn complete(&self, mut message: Message) -> Message {
        let text = &mut message.text;
        if let Some(keyword) = &self.options.keyword
            && !text.contains(keyword.as_str())
        {
            text.push_str("\n\n");
            text.push_str(keyword);
        }
        let At { mobiles, user_ids, .. } = &self.options.at;
        let mentions: Vec<_> = mobiles.iter().chain(user_ids).map(|id| format!("@{id}")).collect();
        if !mentions.is_empty() {
            text.push_str("\n\n");
            text.push_str(&mentions.join(" "));
        }
        message
    }

    fn size(&self, message: &Message) -> usize {
        self.body(message).len()
    }

    fn limit(&self) -> usize {
        BODY_LIMIT
    }

    fn quota(&self) -> Option<Quota> {
        let credential = self.options.url.credential();
        let credential = parse_url(&credential).map_or(credential, |url| token(&url));
        Some(Quota::new("dingtalk", &credential, vec![RATE]))
    }

    async fn send(&mut self, message: &Message) -> Answer {
        let answer = match self.ask(message).await {
            Ok(coded) => self.judge(coded),
            Err(outcome) => Answer::Outcome(outcome),
        };
        if answer == Answer::Outcome(Outcome::Accepted) {
            self.penalties = 0;
        }
        answer
    }
}

fn token(url: &Url) -> String {
    let found = url.query_pairs().find(|(name, _)| name == "access_token");
    found.map(|(_, token)| token.into_owned()).unwrap_or_default()
}

/// Base64 of HMAC-SHA256 over the time in milliseconds, a line break and the secret.
fn sign(secret: &str, milliseconds: i64) -> String {
    STANDARD.encode(hmac_sha256(secret.as_bytes(), format!("{milliseconds}\n{secret}").as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::chat::testing::notice;
    use crate::sink::testing::context;

    fn robot(options: &serde_json::Value, zone: &str) -> DingTalk {
        let mut all = json!({"url": "https://oapi.dingtalk.com/robot/send?access_token=tok"});
        for (name, value) in options.as_object().expect("options") {
            all[name] = value.clone();
        }
        let options = serde_json::from_value(all).expect("options");
        let robot = DingTalk::new(options, &context()).expect("a robot");
        DingTalk { zone: TimeZone::get(zone).expect("a zone"), ..robot }
    }

    fn complete(robot: &DingTalk, message: &str) -> Message {
        robot.complete(robot.single(&notice("web", "BackOff", message), usize::MAX))
    }

    fn body(robot: &DingTalk, message: &str) -> String {
        robot.body(&complete(robot, message))
    }

    #[test]
    fn signs_as_the_service_and_kube_eventer_do() {
        let cases = [
            ("this is secret", 1_577_808_000_000, "ijHEivi6YiCNPZOq4hZstmvZ3sPfbioAiMhP30ae7W0="),
            (
                "SEC000000000000000000000",
                1_700_000_000_000,
                "1zJ/w34EOSVAYr7cu7Vo8LnebmK2/GrCgegtr8mQrqM=",
            ),
            ("SECtest", 1_700_000_000_000, "aZLLrriXgn05YbwaGR7knYsLeJADjr9NwLaNNKpxh4g="),
        ];
        for (secret, milliseconds, expected) in cases {
            assert_eq!(sign(secret, milliseconds), expected);
        }
    }

    #[test]
    fn text_has_the_bytes_of_kube_eventer() {
        let robot = robot(&json!({"labels": ["prod"]}), "Asia/Shanghai");
        assert_eq!(
            body(&robot, "Back-off \"a\" <b> & more\nline"),
            r#"{"msgtype":"text","text":{"content":"prod\nLevel:Warning \nKind:Pod \nNamespace:shop \nName:web.17a3 \nReason:BackOff \nTimestamp:2024-05-01 10:00:00 \nMessage:Back-off \"a\" \u003cb\u003e \u0026 more\nline"},"markdown":{"title":"","text":""}}"#
        );
    }

    #[test]
    fn markdown_has_the_bytes_of_kube_eventer() {
        let options = json!({"msgType": "markdown", "clusterId": "c1", "region": "cn-hangzhou"});
        let robot = robot(&options, "America/New_York");
        assert_eq!(
            body(&robot, "why"),
            r#"{"msgtype":"markdown","text":{"content":""},"markdown":{"title":"Kubernetes(ID:c1) Event","text":"Node: [cn-hangzhou.10.0.0.7](https://ecs.console.aliyun.com/#/server/10/detail?regionId=cn-hangzhou) \n\nLevel: **Warning** \n\nKind: **Pod** \n\nNamespace: [shop](https://cs.console.aliyun.com/#/k8s/namespace) \n\nName: [web.17a3](https://cs.console.aliyun.com/#/k8s/pod/cn-hangzhou/c1/shop/web/container) \n\nReason: **BackOff** \n\nTimestamp: **2024-04-30 22:00:00 -0400 EDT** \n\nMessage: **why** "}}"#
        );
    }

    #[test]
    fn a_keyword_and_mentions_are_put_below_a_message_that_lacks_them() {
        let options = json!({"keyword": "K8s", "at": {"mobiles": ["138"], "userIds": ["u1"]}});
        let robot = robot(&options, "UTC");
        let text = complete(&robot, "why").text;
        assert!(text.ends_with("Message:why\n\nK8s\n\n@138 @u1"), "{text}");
        let text = complete(&robot, "K8s!").text;
        assert!(text.ends_with("Message:K8s!\n\n@138 @u1"), "{text}");
        let body: serde_json::Value = serde_json::from_str(&body(&robot, "why")).expect("JSON");
        let at = json!({"atMobiles": ["138"], "atUserIds": ["u1"], "isAtAll": false});
        assert_eq!(body["at"], at);
    }

    #[test]
    fn a_url_is_signed_anew_and_asked_by_https() {
        let options =
            json!({"url": "http://oapi.dingtalk.com/robot/send?access_token=tok", "sign": "SECs"});
        let url = robot(&options, "UTC").url(&mut Redaction::default()).expect("a URL");
        let names: Vec<_> = url.query_pairs().map(|(name, _)| name.into_owned()).collect();
        assert_eq!(
            (url.scheme(), names),
            ("https", ["access_token", "sign", "timestamp"].map(str::to_owned).into())
        );
    }
}
