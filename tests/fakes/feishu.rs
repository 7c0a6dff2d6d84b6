//! A custom robot of Feishu (Lark): `POST /open-apis/bot/v2/hook/TOKEN`.
//!
//! HTTP is 200 whatever happens; `code` says what did. Documented, and checked in this order:
//!
//! | check | code |
//! |---|---|
//! | the token belongs to a robot | 19001 |
//! | 5 requests within a second, 100 within a minute | 11232 |
//! | the whole body has at most 20 KB; `Content-Type: application/json`; it is a JSON object | 9499 |
//! | the address of the sender | 19022 |
//! | `timestamp` within an hour, `sign` | 19021 |
//! | `msg_type` is there / one that robots know, with content of its structure | 19002 / 9499 |
//! | a keyword is in title or text | 19024 |
//!
//! The signature is base64 of HMAC-SHA256 of nothing, with `timestamp\nsecret` as the key; both are
//! strings in the body. Every request counts against the limit. 20 KB are 20000 bytes here: who is
//! fine with that is fine with 20480, too.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use axum::http::Method;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::chat::{Counts, Fake, Refused, Rules, Shown, locked};
use super::feishu_message::content;
use super::schema::{object, says_json};
use super::service::{Call, Reply};
use super::signature::hmac_base64;
use super::window::{Limiter, Rate};

/// The service.
pub type Feishu = Fake<Service>;

/// A robot and its security settings.
#[derive(Clone, Debug)]
pub struct Robot {
    pub token: String,
    /// Requests must be signed with it.
    pub secret: Option<String>,
    /// Messages must contain it.
    pub keyword: Option<String>,
}

/// A robot with what changes while it runs.
pub struct Service {
    robot: Robot,
    refuses_ip: Mutex<bool>,
}

impl From<Robot> for Service {
    fn from(robot: Robot) -> Self {
        Self { robot, refuses_ip: Mutex::default() }
    }
}

impl Default for Robot {
    fn default() -> Self {
        Self { token: "0b1f7d3c-feishu-token".into(), secret: None, keyword: None }
    }
}

/// The signature of a request at this time.
pub fn sign(secret: &str, seconds: &str) -> String {
    hmac_base64(&format!("{seconds}\n{secret}"), "")
}

impl Feishu {
    /// Whether the sender's address is not allowed.
    pub fn refuse_ip(&self, refuse: bool) {
        *locked(&self.state.rules.refuses_ip) = refuse;
    }
}

impl Rules for Service {
    const COUNTS: Counts = Counts::Requests;

    fn limiter() -> Limiter {
        let second = Rate::new(5, Duration::from_secs(1));
        Limiter::new(vec![second, Rate::per_minute(100)], Duration::ZERO)
    }

    fn path(&self) -> String {
        format!("/open-apis/bot/v2/hook/{}", self.robot.token)
    }

    fn address(&self, call: &Call) -> Result<(), Refused> {
        let Some(token) = call.path.strip_prefix("/open-apis/bot/v2/hook/") else {
            return Err(Refused::text(404, "404 page not found"));
        };
        if token != self.robot.token {
            let words = "param invalid: incoming webhook access token invalid";
            return Err(refused(19001, words));
        }
        Refused::unless_at(call, &Method::POST, &call.path)
    }

    fn read(&self, call: &Call, now: Timestamp) -> Result<Shown, Refused> {
        if call.body.len() > 20_000 || !says_json(call) {
            return Err(bad_request());
        }
        let json = object(&call.body).ok_or_else(bad_request)?;
        if *locked(&self.refuses_ip) {
            return Err(refused(19022, "Ip Not Allowed"));
        }
        self.check_signature(&json, now)?;
        let kind = json.get("msg_type").and_then(Value::as_str);
        let kind = kind.ok_or_else(|| refused(19002, "params error, msg_type need"))?;
        let shown = content(&json, kind).ok_or_else(bad_request)?;
        let says = |part: &str| shown.title.contains(part) || shown.text.contains(part);
        if self.robot.keyword.as_deref().is_some_and(|keyword| !says(keyword)) {
            return Err(refused(19024, "Key Words Not Found"));
        }
        Ok(shown)
    }

    fn too_fast(&self, _: Duration) -> Refused {
        refused(11232, "frequency limited psm[lark.oapi.app_platform_runtime]appID[1500]")
    }

    fn failure(&self, code: i64, text: &str) -> Refused {
        refused(code, text)
    }

    fn deliver(
        &self,
        shown: Shown,
        _: &Call,
        _: &mut Limiter,
        _: Instant,
    ) -> (Reply, Option<Shown>) {
        let body = json!({
            "code": 0, "msg": "success", "data": {},
            "StatusCode": 0, "StatusMessage": "success",
        });
        (Reply::json(200, &body), Some(shown))
    }
}

impl Service {
    fn check_signature(&self, json: &Value, now: Timestamp) -> Result<(), Refused> {
        let Some(secret) = &self.robot.secret else { return Ok(()) };
        let field = |name: &str| json.get(name).and_then(Value::as_str).unwrap_or_default();
        let timestamp = field("timestamp");
        let at = timestamp.parse().ok().and_then(|at| Timestamp::from_second(at).ok());
        let age = at.map(|at| now.duration_since(at).abs());
        let old = age.is_none_or(|age| age > SignedDuration::from_hours(1));
        if old || field("sign") != sign(secret, timestamp) {
            let words = "sign match fail or timestamp is not within one hour from current time";
            return Err(refused(19021, words));
        }
        Ok(())
    }
}

fn refused(code: i64, words: &str) -> Refused {
    let mut refused = Refused::errcode(code, words);
    refused.reply = Reply::json(200, &json!({"code": code, "msg": words, "data": {}}));
    refused
}

fn bad_request() -> Refused {
    refused(9499, "Bad Request")
}
