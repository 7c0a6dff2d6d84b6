//! The Security Token Service of Alibaba Cloud: `AssumeRoleWithOIDC`, as its API reference describes it.
//!
//! | check | HTTP, Code |
//! |---|---|
//! | a POST of a form to `/`, with `Action`, `Version`, `Format` and a `Timestamp` of now; nothing is signed | 400 `InvalidParameter` |
//! | `RoleSessionName` has 2 to 64 of the allowed characters, the token 4 to 20,000 | 400 `InvalidParameter.…` |
//! | the provider is known | 400 `AuthenticationFail.NoPermission` |
//! | the role exists | 404 `EntityNotExist.Role` |
//! | the token is the one that is valid | 401 `AuthenticationFail.OIDCToken.Expired` |
//!
//! When it refuses, it quotes the token, as careless services do: nothing of that may reach an operator.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::http::Method;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::service::{Call, Handler, Reply, Server};
use super::sls::Keys;

pub const ROLE: &str = "acs:ram::1135115445850000:role/relay";
pub const PROVIDER: &str = "acs:ram::1135115445850000:oidc-provider/ack-rrsa-c1";

/// One that knows one role. It stops when dropped.
pub struct AlibabaSts {
    server: Server,
    state: Arc<State>,
}

struct State {
    token: Mutex<String>,
    keys: Mutex<Keys>,
    /// How long keys live.
    life: Mutex<SignedDuration>,
    refusal: Mutex<Option<(u16, &'static str, &'static str)>>,
    issued: Mutex<usize>,
}

impl AlibabaSts {
    /// One that gives these keys for this token.
    pub async fn start(token: &str, keys: Keys) -> Self {
        let state = Arc::new(State {
            token: Mutex::new(token.to_owned()),
            keys: Mutex::new(keys),
            life: Mutex::new(SignedDuration::from_hours(1)),
            refusal: Mutex::default(),
            issued: Mutex::default(),
        });
        Self { server: Server::start(Arc::clone(&state) as Arc<dyn Handler>).await, state }
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The token that is valid, and the keys for it, from now on.
    pub fn know(&self, token: &str, keys: Keys) {
        token.clone_into(&mut self.state.token.lock().expect("not poisoned"));
        *self.state.keys.lock().expect("not poisoned") = keys;
    }

    /// Keys live so long from now on.
    pub fn keys_live(&self, life: SignedDuration) {
        *self.state.life.lock().expect("not poisoned") = life;
    }

    /// It refuses everything with status, code and words, or nothing.
    pub fn refuse(&self, refusal: Option<(u16, &'static str, &'static str)>) {
        *self.state.refusal.lock().expect("not poisoned") = refusal;
    }

    /// How often it has given keys.
    pub fn issued(&self) -> usize {
        *self.state.issued.lock().expect("not poisoned")
    }
}

impl Handler for State {
    fn answer(&self, call: &Call) -> Reply {
        let form = call.form();
        let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        let token = field("OIDCToken");
        let refusal = *self.refusal.lock().expect("not poisoned");
        if let Some((status, code, words)) = refusal {
            return refused(status, code, words, token);
        }
        if let Err(what) = check_request(call) {
            return refused(400, "InvalidParameter", what, token);
        }
        let session = field("RoleSessionName");
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || ".@-_".contains(c);
        if !(2..=64).contains(&session.len()) || !session.chars().all(is_allowed) {
            return refused(400, "InvalidParameter.RoleSessionName", "wrongly formed", token);
        }
        if !(4..=20_000).contains(&token.len()) {
            return refused(400, "InvalidParameter.OIDCToken", "wrongly formed", token);
        }
        if field("OIDCProviderArn") != PROVIDER {
            let words = "No such OIDC Provider registered.";
            return refused(400, "AuthenticationFail.NoPermission", words, token);
        }
        if field("RoleArn") != ROLE {
            return refused(404, "EntityNotExist.Role", "The role not exists", token);
        }
        if token != *self.token.lock().expect("not poisoned") {
            let words = "This JsonWebToken is expired.";
            return refused(401, "AuthenticationFail.OIDCToken.Expired", words, token);
        }
        *self.issued.lock().expect("not poisoned") += 1;
        Reply::json(200, &self.role_keys(session))
    }
}

impl State {
    fn role_keys(&self, session: &str) -> Value {
        let keys = self.keys.lock().expect("not poisoned").clone();
        let expires = Timestamp::now() + *self.life.lock().expect("not poisoned");
        json!({
            "RequestId": "1",
            "AssumedRoleUser": {"Arn": format!("{ROLE}/{session}"), "AssumedRoleId": "3300"},
            "Credentials": {
                "AccessKeyId": keys.id, "AccessKeySecret": keys.secret, "SecurityToken": keys.token,
                "Expiration": expires.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            },
        })
    }
}

fn check_request(call: &Call) -> Result<(), &'static str> {
    let header = |name: &str| call.headers.get(name).and_then(|value| value.to_str().ok());
    if call.method != Method::POST || call.path != "/" {
        return Err("method or path");
    }
    if header("content-type") != Some("application/x-www-form-urlencoded") {
        return Err("content type");
    }
    let is_signed = call.query("Signature").is_some() || header("authorization").is_some();
    if is_signed || call.query("AccessKeyId").is_some() {
        return Err("it is not signed");
    }
    let common = [("Action", "AssumeRoleWithOIDC"), ("Version", "2015-04-01"), ("Format", "JSON")];
    if common.iter().any(|(name, value)| call.query(name) != Some(value)) {
        return Err("Action, Version or Format");
    }
    let at: Option<Timestamp> = call.query("Timestamp").and_then(|text| text.parse().ok());
    let age = at.map(|at| Timestamp::now().duration_since(at).abs());
    if age.is_none_or(|age| age > SignedDuration::from_mins(15)) {
        return Err("Timestamp");
    }
    Ok(())
}

fn refused(status: u16, code: &str, words: &str, token: &str) -> Reply {
    let message = format!("{words} ({token})");
    Reply::json(status, &json!({"RequestId": "1", "Code": code, "Message": message}))
}
