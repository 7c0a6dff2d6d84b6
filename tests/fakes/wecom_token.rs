//! Access tokens of WeCom: one at a time, the same one again while it is valid.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use axum::http::Method;
use serde_json::json;

use super::chat::{Refused, Scripted, locked};
use super::service::{Call, Reply};
use super::wecom_app::{Service, WeComApp};
use super::wecom_robot::refused;

/// The tokens of an application so far.
#[derive(Debug, Default)]
pub struct Tokens {
    /// Every token that is known to the service, the newest one last.
    known: Vec<Token>,
    given: usize,
    requests: usize,
    scripted: VecDeque<Scripted>,
}

#[derive(Clone, Debug)]
struct Token {
    text: String,
    expires: Instant,
}

impl Tokens {
    /// The newest one, or another one when that has expired; with the time it has left.
    fn current(&mut self, lifetime: Duration) -> (String, Duration) {
        let now = Instant::now();
        if self.known.last().is_none_or(|token| token.expires <= now) {
            self.given += 1;
            let text = format!("wecom-token-{}", self.given);
            self.known.push(Token { text, expires: now + lifetime });
        }
        let token = self.known.last().expect("there is one");
        (token.text.clone(), token.expires.duration_since(now))
    }

    /// Whether requests with it are allowed.
    pub(super) fn check(&self, token: Option<&str>) -> Result<(), Refused> {
        let Some(token) = token.filter(|token| !token.is_empty()) else {
            return Err(refused(41001, "access_token missing"));
        };
        let known = self.known.iter().find(|known| known.text == token);
        let known = known.ok_or_else(|| refused(40014, "invalid access_token"))?;
        if known.expires <= Instant::now() {
            return Err(refused(42001, "access_token expired"));
        }
        Ok(())
    }
}

impl Service {
    /// The answer to `gettoken`.
    pub(super) fn token(&self, call: &Call) -> Reply {
        let mut state = locked(&self.state);
        state.tokens.requests += 1;
        let refused = match state.tokens.scripted.pop_front() {
            None => self.may_have_token(call).err(),
            Some(Scripted::Code(code, text)) => Some(Refused::errcode(code, text)),
            Some(Scripted::Http { status, headers, body }) => {
                return Reply::Full { status, headers, body };
            }
            Some(Scripted::Break) => return Reply::Break,
            Some(Scripted::Silence) => return Reply::Silence,
        };
        if let Some(refused) = refused {
            return refused.reply;
        }
        let (token, left) = state.tokens.current(self.app.token_lifetime);
        let body = json!({
            "errcode": 0, "errmsg": "ok", "access_token": token,
            "expires_in": left.as_secs(),
        });
        Reply::json(200, &body)
    }

    fn may_have_token(&self, call: &Call) -> Result<(), Refused> {
        Refused::unless_at(call, &Method::GET, "/cgi-bin/gettoken")?;
        if call.query("corpid") != Some(&self.app.corp_id) {
            return Err(refused(40013, "invalid corpid"));
        }
        if call.query("corpsecret") != Some(&self.app.secret) {
            return Err(refused(40001, "invalid credential"));
        }
        Ok(())
    }
}

impl WeComApp {
    /// Every token expires now.
    pub fn expire_token(&self) {
        let mut state = locked(&self.state.rules.state);
        state.tokens.known.iter_mut().for_each(|token| token.expires = Instant::now());
    }

    /// Every token is invalid from now on, before its time.
    pub fn forget_token(&self) {
        locked(&self.state.rules.state).tokens.known.clear();
    }

    /// How often somebody asked for a token.
    pub fn token_requests(&self) -> usize {
        locked(&self.state.rules.state).tokens.requests
    }

    /// Answers the next `count` requests for a token as told.
    pub fn answer_next_token(&self, count: usize, answer: Scripted) {
        let mut state = locked(&self.state.rules.state);
        state.tokens.scripted.extend(std::iter::repeat_n(answer, count));
    }
}
