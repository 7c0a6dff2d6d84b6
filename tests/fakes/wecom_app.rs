//! Application messages of WeCom: `GET /cgi-bin/gettoken?corpid=..&corpsecret=..` gives a token,
//! `POST /cgi-bin/message/send?access_token=..` sends with it.
//!
//! HTTP is 200 whatever happens; `errcode` says what did. Documented, and checked in this order:
//!
//! | check | errcode |
//! |---|---|
//! | gettoken: the company exists / the secret is its | 40013 / 40001 |
//! | the token is there / known / has not expired | 41001 / 40014 / 42001 |
//! | the sender's address is a trusted one | 60020 |
//! | no `\uXXXX` escapes in the raw body | 40033 |
//! | the body is a JSON object (the message warns of `wrong json format`) | 44004 |
//! | `Content-Type`, if there is one, is JSON; there is a `msgtype` | 40058 |
//! | a kind of message that exists; here `text` and `markdown` | 40008 |
//! | `agentid` is the application's number | 40056 |
//! | the content is there / says something | 40058 / 44004 |
//! | markdown has at most 2048 bytes; a longer text is cut there, silently | 45002 |
//! | at most 1000 users, 100 departments, 100 tags / somebody of them exists | 40031 / 81013 |
//!
//! The same token comes again while it is valid. It may become invalid before its time.
//! Users that do not exist are named in `invaliduser` while others get the message. Departments
//! and tags do not exist here. A member sees 30 messages a minute and 1000 an hour; more are
//! accepted with errcode 0 and lost. So is a message that asks for `enable_duplicate_check` and
//! whose bytes were accepted within its `duplicate_check_interval` (30 minutes unless it says
//! otherwise, at most 4 hours) before. [`WeComApp::lost`] knows.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use axum::http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::chat::{Counts, Fake, Refused, Rules, Shown, locked};
use super::schema::{object, says_json, text, truncated};
use super::service::{Call, Reply};
use super::wecom_robot::{invalid, json as wecom_json, raw_utf8, refused, unfit};
use super::wecom_token::Tokens;
use super::window::{Limiter, Rate};

/// The service.
pub type WeComApp = Fake<Service>;

/// An application, the company it belongs to, and the members who see it.
#[derive(Clone, Debug)]
pub struct App {
    pub corp_id: String,
    pub secret: String,
    pub agent_id: i64,
    pub members: Vec<String>,
    /// How long a token is valid.
    pub token_lifetime: Duration,
}

/// An application with what happened to it so far.
pub struct Service {
    pub(super) app: App,
    pub(super) state: Mutex<State>,
}

impl From<App> for Service {
    fn from(app: App) -> Self {
        Self { app, state: Mutex::default() }
    }
}

/// What a running application knows.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) tokens: Tokens,
    refuses_ip: bool,
    /// When a body was last shown that asked for the check.
    checked: HashMap<Vec<u8>, Instant>,
    lost: Vec<Lost>,
    messages: u64,
}

/// A message that was accepted and that a member does not see.
#[derive(Clone, Debug, PartialEq)]
pub struct Lost {
    pub member: String,
    pub cause: Cause,
    pub text: String,
}

/// Why nobody sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cause {
    TooMany,
    Duplicate,
}

impl Default for App {
    fn default() -> Self {
        Self {
            corp_id: "wwcorp".into(),
            secret: "app-secret".into(),
            agent_id: 1_000_002,
            members: vec!["zhang".into(), "li".into()],
            token_lifetime: Duration::from_secs(7200),
        }
    }
}

impl WeComApp {
    /// Whether the sender's address is not a trusted one.
    pub fn refuse_ip(&self, refuse: bool) {
        locked(&self.state.rules.state).refuses_ip = refuse;
    }

    /// What was accepted and not shown, once for each member.
    pub fn lost(&self) -> Vec<Lost> {
        locked(&self.state.rules.state).lost.clone()
    }
}

impl Rules for Service {
    const COUNTS: Counts = Counts::Delivered;

    fn limiter() -> Limiter {
        let hour = Rate::new(1000, Duration::from_secs(3600));
        Limiter::new(vec![Rate::per_minute(30), hour], Duration::ZERO)
    }

    /// Requests need a token besides.
    fn path(&self) -> String {
        "/cgi-bin/message/send".into()
    }

    fn aside(&self, call: &Call) -> Option<Reply> {
        (call.path == "/cgi-bin/gettoken").then(|| self.token(call))
    }

    fn address(&self, call: &Call) -> Result<(), Refused> {
        Refused::unless_at(call, &Method::POST, "/cgi-bin/message/send")?;
        let state = locked(&self.state);
        state.tokens.check(call.query("access_token"))?;
        if state.refuses_ip {
            return Err(refused(60020, "not allow to access from your ip"));
        }
        Ok(())
    }

    fn read(&self, call: &Call, _: Timestamp) -> Result<Shown, Refused> {
        raw_utf8(call)?;
        let json = wecom_json(call)?;
        if call.headers.contains_key("content-type") && !says_json(call) {
            return Err(invalid());
        }
        let kind = text(&json, "/msgtype").map_err(|_| invalid())?;
        if !["text", "markdown"].contains(&kind) {
            return Err(refused(40008, "invalid message type"));
        }
        if json.get("agentid") != Some(&json!(self.app.agent_id)) {
            return Err(refused(40056, "invalid agentid"));
        }
        let content = text(&json, &format!("/{kind}/content")).map_err(unfit)?;
        if kind == "markdown" && content.len() > 2048 {
            return Err(refused(45002, "content size out of limit"));
        }
        let (kind, text) = (kind.to_owned(), truncated(content, 2048).to_owned());
        let receivers = self.receivers(&json)?;
        Ok(Shown { kind, text, receivers, ..Shown::default() })
    }

    /// Never said: the excess is lost in silence.
    fn too_fast(&self, _: Duration) -> Refused {
        refused(45009, "api freq out of limit")
    }

    fn failure(&self, code: i64, text: &str) -> Refused {
        Refused::errcode(code, text)
    }

    fn deliver(
        &self,
        mut shown: Shown,
        call: &Call,
        limiter: &mut Limiter,
        now: Instant,
    ) -> (Reply, Option<Shown>) {
        let json = object(&call.body).unwrap_or_default();
        let mut state = locked(&self.state);
        state.messages += 1;
        let reply = self.accepted(&json, state.messages);
        let duplicate = state.is_duplicate(&json, &call.body, now);
        let cause = if duplicate { Cause::Duplicate } else { Cause::TooMany };
        let text = shown.text.clone();
        shown.receivers.retain(|member| {
            let sees = !duplicate && limiter.take(member, now).is_ok();
            if !sees {
                state.lost.push(Lost { member: member.clone(), cause, text: text.clone() });
            }
            sees
        });
        (reply, (!shown.receivers.is_empty()).then_some(shown))
    }
}

impl Service {
    /// Members who get a message.
    fn receivers(&self, json: &Value) -> Result<Vec<String>, Refused> {
        for (field, limit) in [("touser", 1000), ("toparty", 100), ("totag", 100)] {
            if ids(json, field)?.len() > limit {
                return Err(refused(40031, "invalid userid list"));
            }
        }
        let users = ids(json, "touser")?;
        let everyone = users == ["@all"];
        let named = |member: &&String| everyone || users.contains(member);
        let receivers: Vec<_> = self.app.members.iter().filter(named).cloned().collect();
        if receivers.is_empty() {
            return Err(refused(81013, "user & party & tag all invalid"));
        }
        Ok(receivers)
    }

    fn accepted(&self, json: &Value, number: u64) -> Reply {
        let mut users = ids(json, "touser").unwrap_or_default();
        users.retain(|user| user != "@all" && !self.app.members.contains(user));
        let other = |field| ids(json, field).unwrap_or_default().join("|");
        let body = json!({
            "errcode": 0, "errmsg": "ok", "invaliduser": users.join("|"),
            "invalidparty": other("toparty"), "invalidtag": other("totag"),
            "msgid": format!("msg-{number}"),
        });
        Reply::json(200, &body)
    }
}

/// The ids of a field, which `|` separates.
fn ids(json: &Value, field: &str) -> Result<Vec<String>, Refused> {
    let text = match json.get(field) {
        None | Some(Value::Null) => "",
        Some(Value::String(text)) => text,
        Some(_) => return Err(invalid()),
    };
    Ok(text.split('|').filter(|id| !id.is_empty()).map(str::to_owned).collect())
}

impl State {
    fn is_duplicate(&mut self, json: &Value, body: &[u8], now: Instant) -> bool {
        if json.get("enable_duplicate_check") != Some(&json!(1)) {
            return false;
        }
        let interval = json.get("duplicate_check_interval").and_then(Value::as_u64);
        let interval = Duration::from_secs(interval.unwrap_or(1800).min(14400));
        let before = self.checked.get(body).copied();
        if before.is_some_and(|before| now.duration_since(before) < interval) {
            return true;
        }
        self.checked.insert(body.to_vec(), now);
        false
    }
}
