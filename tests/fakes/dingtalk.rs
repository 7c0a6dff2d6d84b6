//! A custom robot of DingTalk: `POST /robot/send?access_token=TOKEN`.
//!
//! HTTP is 200 whatever happens; `errcode` says what did. Documented, and checked in this order:
//!
//! | check | errcode |
//! |---|---|
//! | the token belongs to a robot / it is switched on | 300001 / 400102 |
//! | 20 messages within a minute, then 10 minutes of penalty in which everything is refused | 130101 |
//! | `Content-Type: application/json`, UTF-8 | 43004 |
//! | the whole body has at most 20000 bytes | 460101 |
//! | it is JSON with a `msgtype` / one that robots know | 40035 / 400105 |
//! | the address of the sender, `timestamp` within an hour, `sign` | 310000 |
//! | the kind's fields are there and say something | 40035 |
//! | a keyword is in title or text | 310000 |
//! | no unsafe link | 430101 |
//!
//! The signature is base64 of HMAC-SHA256 with the secret as the key over `timestamp\nsecret`.
//! `errmsg` has an English and a Chinese form; `chinese` chooses. Only messages that are fine
//! otherwise count against the limit. A mention is one when the text names the member, too, and
//! only in texts and markdown.

use std::fmt::Write;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use axum::http::Method;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::chat::{Counts, Fake, Mentions, Refused, Rules, Shown, locked};
use super::schema::{object, says_json, strings, text};
use super::service::{Call, Reply};
use super::signature::hmac_base64;
use super::window::{Limiter, Rate};

/// The service.
pub type DingTalk = Fake<Service>;

/// A robot and its security settings.
#[derive(Clone, Debug)]
pub struct Robot {
    pub token: String,
    /// Requests must be signed with it.
    pub secret: Option<String>,
    /// Messages must contain it.
    pub keyword: Option<String>,
    /// Messages that contain it are held to be unsafe.
    pub unsafe_link: Option<String>,
    /// Whether it answers in Chinese, as it does nowadays.
    pub chinese: bool,
}

/// A robot with what changes while it runs.
pub struct Service {
    robot: Robot,
    switches: Mutex<Switches>,
}

#[derive(Default)]
struct Switches {
    refuses_ip: bool,
    disabled: bool,
}

impl From<Robot> for Service {
    fn from(robot: Robot) -> Self {
        Self { robot, switches: Mutex::default() }
    }
}

impl Default for Robot {
    fn default() -> Self {
        Self {
            token: "dingtalk-token".into(),
            secret: None,
            keyword: None,
            unsafe_link: None,
            chinese: false,
        }
    }
}

/// The signature of a request at this time, before it is encoded for a URL.
pub fn sign(secret: &str, milliseconds: &str) -> String {
    hmac_base64(secret, &format!("{milliseconds}\n{secret}"))
}

impl DingTalk {
    /// Whether the sender's address is not allowed.
    pub fn refuse_ip(&self, refuse: bool) {
        locked(&self.state.rules.switches).refuses_ip = refuse;
    }

    /// Whether an administrator has switched the robot off.
    pub fn disable(&self, disabled: bool) {
        locked(&self.state.rules.switches).disabled = disabled;
    }
}

impl Rules for Service {
    const COUNTS: Counts = Counts::Messages;

    fn limiter() -> Limiter {
        Limiter::new(vec![Rate::per_minute(20)], Duration::from_secs(600))
    }

    fn path(&self) -> String {
        format!("/robot/send?access_token={}", self.robot.token)
    }

    fn address(&self, call: &Call) -> Result<(), Refused> {
        Refused::unless_at(call, &Method::POST, "/robot/send")?;
        if call.query("access_token") != Some(&self.robot.token) {
            return Err(Refused::errcode(300_001, "token is not exist"));
        }
        if locked(&self.switches).disabled {
            return Err(Refused::errcode(400_102, "robot is disabled"));
        }
        Ok(())
    }

    fn read(&self, call: &Call, now: Timestamp) -> Result<Shown, Refused> {
        if !says_json(call) {
            return Err(Refused::errcode(43004, "invalid http header: Content-Type"));
        }
        if call.body.len() > 20_000 {
            return Err(Refused::errcode(460_101, "message too long, exceed 20000 bytes"));
        }
        let json = object(&call.body).ok_or_else(|| missing("json"))?;
        let kind = text(&json, "/msgtype").map_err(|_| missing("msgtype"))?;
        if !["text", "markdown", "actionCard", "link", "feedCard"].contains(&kind) {
            return Err(Refused::errcode(400_105, "unsupported msgtype"));
        }
        self.check_sender(call, now)?;
        let mut shown = content(&json, kind)?;
        shown.mentions = mentions(&json, &shown)?;
        self.check_content(&shown)?;
        Ok(shown)
    }

    fn too_fast(&self, _: Duration) -> Refused {
        let mut refused = Refused::errcode(130_101, "send too fast, exceed 20 times per minute");
        let body = json!({
            "status": 1111, "wait": 5, "source": "x5", "punish": "deny",
            "uuid": "a2f5e3fb0a6f4d2b8a5e1f0c7d9b4e63",
            "errcode": refused.code, "errmsg": refused.reason,
        });
        refused.reply = Reply::json(200, &body);
        refused
    }

    fn failure(&self, code: i64, text: &str) -> Refused {
        Refused::errcode(code, text)
    }

    fn deliver(
        &self,
        shown: Shown,
        _: &Call,
        _: &mut Limiter,
        _: Instant,
    ) -> (Reply, Option<Shown>) {
        (Reply::json(200, &json!({"errcode": 0, "errmsg": "ok"})), Some(shown))
    }
}

/// A security setting that a message does not meet.
enum Unmet {
    Keyword,
    Timestamp,
    Sign,
    Ip,
}

impl Service {
    fn check_sender(&self, call: &Call, now: Timestamp) -> Result<(), Refused> {
        if locked(&self.switches).refuses_ip {
            return Err(self.unmet(&Unmet::Ip));
        }
        let Some(secret) = &self.robot.secret else { return Ok(()) };
        let timestamp = call.query("timestamp").unwrap_or_default();
        let at = timestamp.parse().ok().and_then(|at| Timestamp::from_millisecond(at).ok());
        let age = at.map(|at| now.duration_since(at).abs());
        if age.is_none_or(|age| age > SignedDuration::from_hours(1)) {
            return Err(self.unmet(&Unmet::Timestamp));
        }
        if call.query("sign") != Some(&sign(secret, timestamp)) {
            return Err(self.unmet(&Unmet::Sign));
        }
        Ok(())
    }

    fn check_content(&self, shown: &Shown) -> Result<(), Refused> {
        let says = |part: &str| shown.title.contains(part) || shown.text.contains(part);
        if self.robot.keyword.as_deref().is_some_and(|keyword| !says(keyword)) {
            return Err(self.unmet(&Unmet::Keyword));
        }
        if self.robot.unsafe_link.as_deref().is_some_and(says) {
            return Err(Refused::errcode(430_101, "unsafe link in the message"));
        }
        Ok(())
    }

    fn unmet(&self, unmet: &Unmet) -> Refused {
        let (english, description, solution) = match unmet {
            Unmet::Keyword => (
                "keywords not in content",
                "关键词不匹配",
                "请联系群管理员查看此机器人的关键词，并在发送的信息中包含此关键词",
            ),
            Unmet::Timestamp => (
                "invalid timestamp",
                "机器人发送签名过期",
                "签名生成时间和发送时间请保持在timestampms以内",
            ),
            Unmet::Sign => (
                "sign not match",
                "机器人发送签名不匹配",
                "请确认签名和生成签名的时间戳必须都放在调用的网址中",
            ),
            Unmet::Ip => (
                "ip 127.0.0.1 not in whitelist",
                "ip地址不在白名单中",
                "请联系群管理员查看ip白名单，并将ip加入白名单中",
            ),
        };
        let mut message = english.to_owned();
        if self.robot.chinese {
            message = format!("description:{description};solution:{solution};");
            message.push_str("link:请参考本接口对应文档;");
        }
        Refused::errcode(310_000, &message)
    }
}

fn missing(parameter: &str) -> Refused {
    Refused::errcode(40035, &format!("缺少参数 {parameter}"))
}

/// What the object named by `msgtype` says. The service does not look at others.
fn content(json: &Value, kind: &str) -> Result<Shown, Refused> {
    let field = |name: &str| {
        let found = text(json, &format!("/{kind}/{name}")).map(str::to_owned);
        found.map_err(|_| missing(&format!("{kind}.{name}")))
    };
    let (title, text) = match kind {
        "text" => (String::new(), field("content")?),
        "link" => {
            field("messageUrl")?;
            (field("title")?, field("text")?)
        }
        "feedCard" => (String::new(), feed(json)?),
        "actionCard" => {
            buttons(json)?;
            (field("title")?, field("text")?)
        }
        _ => (field("title")?, field("text")?),
    };
    Ok(Shown { kind: kind.to_owned(), title, text, ..Shown::default() })
}

fn items<'a>(json: &'a Value, pointer: &str) -> &'a [Value] {
    json.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn feed(json: &Value) -> Result<String, Refused> {
    let links = items(json, "/feedCard/links");
    let mut shown = String::new();
    for link in links {
        let title = text(link, "/title").map_err(|_| missing("feedCard.links.title"))?;
        let url = text(link, "/messageURL").map_err(|_| missing("feedCard.links.messageURL"))?;
        writeln!(shown, "{title} {url}").expect("a string takes all");
    }
    if links.is_empty() { Err(missing("feedCard.links")) } else { Ok(shown) }
}

/// One button, or several with a title and a URL each.
fn buttons(json: &Value) -> Result<(), Refused> {
    let one = ["/actionCard/singleTitle", "/actionCard/singleURL"];
    if one.iter().all(|field| text(json, field).is_ok()) {
        return Ok(());
    }
    let buttons = items(json, "/actionCard/btns");
    let whole = |button: &Value| text(button, "/title").and(text(button, "/actionURL")).is_ok();
    if buttons.is_empty() || !buttons.iter().all(whole) {
        return Err(missing("actionCard.singleTitle"));
    }
    Ok(())
}

fn mentions(json: &Value, shown: &Shown) -> Result<Mentions, Refused> {
    let mut mentions = Mentions::default();
    for list in ["/at/atMobiles", "/at/atUserIds"] {
        mentions.members.extend(strings(json, list).map_err(|()| missing("at"))?);
    }
    mentions.members.retain(|member| shown.text.contains(&format!("@{member}")));
    mentions.everyone = json.pointer("/at/isAtAll").is_some_and(|all| all == &json!(true));
    let rendered = ["text", "markdown"].contains(&shown.kind.as_str());
    Ok(if rendered { mentions } else { Mentions::default() })
}
