//! The Security Token Service of AWS: `AssumeRoleWithWebIdentity`, as its API reference describes it, in XML.
//!
//! | check | HTTP, Code |
//! |---|---|
//! | a POST of a form to `/` with `Action` and `Version`; nothing is signed | 400 `InvalidAction` |
//! | `RoleSessionName` has 2 to 64 of the allowed characters, the token 4 to 20,000 | 400 `ValidationError` |
//! | the role is the one there is | 403 `AccessDenied` |
//! | the token is the one that is valid | 400 `ExpiredTokenException` |
//!
//! When it refuses, it quotes the token, as careless services do: nothing of that may reach an operator.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::http::Method;
use jiff::{SignedDuration, Timestamp};

use super::service::{Call, Handler, Reply, Server};
use super::sigv4::AwsKeys;

pub const ROLE: &str = "arn:aws:iam::123456789012:role/relay";

/// One that knows one role. It stops when dropped.
pub struct AwsSts {
    server: Server,
    state: Arc<State>,
}

struct State {
    token: Mutex<String>,
    keys: Mutex<AwsKeys>,
    /// How long keys live.
    life: Mutex<SignedDuration>,
    refusal: Mutex<Option<(u16, &'static str)>>,
    issued: Mutex<usize>,
}

impl AwsSts {
    /// One that gives these keys for this token.
    pub async fn start(token: &str, keys: AwsKeys) -> Self {
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
    pub fn know(&self, token: &str, keys: AwsKeys) {
        token.clone_into(&mut self.state.token.lock().expect("not poisoned"));
        *self.state.keys.lock().expect("not poisoned") = keys;
    }

    /// Keys live so long from now on.
    pub fn keys_live(&self, life: SignedDuration) {
        *self.state.life.lock().expect("not poisoned") = life;
    }

    /// It refuses everything with status and code, or nothing.
    pub fn refuse(&self, refusal: Option<(u16, &'static str)>) {
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
        let token = field("WebIdentityToken");
        if let Some((status, code)) = *self.refusal.lock().expect("not poisoned") {
            return refused(status, code, token);
        }
        let content_type = call.headers.get("content-type");
        let is_form =
            content_type.is_some_and(|value| value == "application/x-www-form-urlencoded");
        let is_signed = call.headers.contains_key("authorization");
        if call.method != Method::POST || call.path != "/" || !is_form || is_signed {
            return refused(400, "MalformedQueryString", token);
        }
        if (field("Action"), field("Version")) != ("AssumeRoleWithWebIdentity", "2011-06-15") {
            return refused(400, "InvalidAction", token);
        }
        let session = field("RoleSessionName");
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
        let is_session = (2..=64).contains(&session.len()) && session.chars().all(is_allowed);
        if !is_session || !(4..=20_000).contains(&token.len()) {
            return refused(400, "ValidationError", token);
        }
        if field("RoleArn") != ROLE {
            return refused(403, "AccessDenied", token);
        }
        if token != *self.token.lock().expect("not poisoned") {
            return refused(400, "ExpiredTokenException", token);
        }
        *self.issued.lock().expect("not poisoned") += 1;
        Reply::text(200, self.role_keys()).with("x-amzn-requestid", &"1")
    }
}

impl State {
    fn role_keys(&self) -> String {
        let keys = self.keys.lock().expect("not poisoned").clone();
        let expires = Timestamp::now() + *self.life.lock().expect("not poisoned");
        format!(
            "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n\
             <AssumeRoleWithWebIdentityResult>\n<Credentials>\n<AccessKeyId>{}</AccessKeyId>\n\
             <SecretAccessKey>{}</SecretAccessKey>\n<SessionToken>{}</SessionToken>\n\
             <Expiration>{}</Expiration>\n</Credentials>\n</AssumeRoleWithWebIdentityResult>\n\
             </AssumeRoleWithWebIdentityResponse>\n",
            escaped(&keys.id),
            escaped(&keys.secret),
            escaped(keys.token.as_deref().unwrap_or_default()),
            expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
        )
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn refused(status: u16, code: &str, token: &str) -> Reply {
    let body = format!(
        "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n<Error>\n<Type>Sender</Type>\n\
         <Code>{code}</Code>\n<Message>said of {}</Message>\n</Error>\n<RequestId>1</RequestId>\n</ErrorResponse>\n",
        escaped(token)
    );
    Reply::text(status, body)
}
