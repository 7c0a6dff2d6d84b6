//! A service that answers as told, and quotes each time what it was sent and what it knows of the sender.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::quotation;
use super::tls::TlsServer;
use crate::fakes::riemann::{self, Riemann};
use crate::fakes::service::{Call, Handler, Reply, Server, router};

/// What it does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mood {
    /// HTTP 401.
    Unauthorized,
    /// HTTP 400.
    Malformed,
    /// A refusal as the service words it, with its code.
    Coded,
    /// HTTP 500, with one quotation after the other; then a broken connection, and a limit.
    Fails,
    Accepts,
}

/// The service.
pub(super) enum Parrot {
    Http(Server, Arc<Shared>),
    Https(TlsServer, Arc<Shared>),
    Riemann(Riemann),
}

pub(super) struct Shared {
    kind: &'static str,
    quotations: Vec<String>,
    mood: Mutex<Mood>,
    /// How many requests it has had in its mood.
    requests: Mutex<usize>,
}

impl Parrot {
    /// One for sinks of this kind that know these secrets, on a free port, with TLS or without.
    pub(super) async fn start(kind: &'static str, secrets: &[String], tls: bool) -> Self {
        if kind == "riemann" {
            return Self::Riemann(Riemann::start().await);
        }
        let shared = Arc::new(Shared {
            kind,
            quotations: quotation::of(secrets),
            mood: Mutex::new(Mood::Accepts),
            requests: Mutex::default(),
        });
        let handler = Arc::clone(&shared) as Arc<dyn Handler>;
        if tls {
            return Self::Https(TlsServer::start(router(handler)).await, shared);
        }
        Self::Http(Server::start(handler).await, shared)
    }

    pub(super) fn address(&self) -> SocketAddr {
        match self {
            Self::Http(server, _) => server.address(),
            Self::Https(server, _) => server.address(),
            Self::Riemann(server) => server.address(),
        }
    }

    pub(super) fn be(&self, mood: Mood) {
        match self {
            Self::Http(_, shared) | Self::Https(_, shared) => {
                *shared.mood.lock().expect("not poisoned") = mood;
                *shared.requests.lock().expect("not poisoned") = 0;
            }
            Self::Riemann(server) if mood == Mood::Accepts => server.be(riemann::Mood::Accepts),
            Self::Riemann(server) => server.be(riemann::Mood::Refuses("stream failed")),
        }
    }

    pub(super) fn has_quoted_all(&self, mood: Mood) -> bool {
        let (Self::Http(_, shared) | Self::Https(_, shared)) = self else { return true };
        let enough = if mood == Mood::Fails { shared.quotations.len() + 3 } else { 1 };
        *shared.requests.lock().expect("not poisoned") >= enough
    }
}

impl Handler for Shared {
    fn answer(&self, call: &Call) -> Reply {
        let number = {
            let mut requests = self.requests.lock().expect("not poisoned");
            *requests += 1;
            *requests - 1
        };
        let mut request = format!("{} {:?} {:?}", call.path, call.query, call.headers);
        if is_for_keys(call) {
            request.push_str(&String::from_utf8_lossy(&call.body));
        }
        let all = format!("{} {request}", self.quotations.join(" "));
        let mood = *self.mood.lock().expect("not poisoned");
        match mood {
            Mood::Unauthorized => Reply::json(401, &json!({"error": all, "message": all})),
            Mood::Malformed => Reply::text(400, all),
            Mood::Coded => self.coded(&all),
            Mood::Fails => match self.quotations.get(number) {
                Some(quotation) => Reply::text(500, quotation),
                // What is done with the token comes back, too.
                None if call.path.ends_with("gettoken") || is_for_keys(call) => self.accepts(call),
                None if number < self.quotations.len() + 2 => Reply::text(503, request),
                None if number < self.quotations.len() + 3 => Reply::Break,
                None => Reply::text(429, "").with("retry-after", &1),
            },
            Mood::Accepts => self.accepts(call),
        }
    }
}

impl Shared {
    /// Refusals with the codes and in the fields of the services.
    fn coded(&self, said: &str) -> Reply {
        let of_service = |status, code: Value| {
            let body = json!({
                "errcode": code, "code": code, "errorCode": code, "error": said, "errmsg": said,
                "msg": said, "message": said, "errorMessage": said,
            });
            Reply::json(status, &body)
        };
        match self.kind {
            "dingtalk" => of_service(200, 310_000.into()),
            "wechat" | "wecom-robot" => of_service(200, 40_001.into()),
            "feishu" => of_service(200, 19_021.into()),
            "sls" => of_service(401, "SignatureNotMatch".into()),
            "eventbridge" => of_service(403, "InvalidAccessKeyId".into()),
            "honeycomb" => {
                let items =
                    [json!({"status": 400, "error": said}), json!({"status": 401, "error": said})];
                Reply::json(200, &json!(items))
            }
            "teams" => {
                Reply::text(200, format!("Webhook message delivery failed with error: {said}"))
            }
            "slack" => Reply::text(403, format!("invalid_token {said}")),
            _ => of_service(403, "forbidden".into()),
        }
    }

    /// Keys for the token of a service account, as each cloud words them.
    fn role_keys(&self) -> Reply {
        let [id, secret, token] = ROLE_KEYS;
        let expires = "2100-01-01T00:00:00Z";
        if self.kind == "elasticsearch" {
            return Reply::text(
                200,
                format!(
                    "<R><Credentials><AccessKeyId>{id}</AccessKeyId><SecretAccessKey>{secret}</SecretAccessKey>\
                     <SessionToken>{token}</SessionToken><Expiration>{expires}</Expiration></Credentials></R>"
                ),
            );
        }
        let keys = json!({
            "AccessKeyId": id, "AccessKeySecret": secret, "SecurityToken": token, "Expiration": expires,
        });
        Reply::json(200, &json!({"Credentials": keys}))
    }

    fn accepts(&self, call: &Call) -> Reply {
        if is_for_keys(call) {
            return self.role_keys();
        }
        match self.kind {
            "feishu" => Reply::json(200, &json!({"code": 0, "msg": "success"})),
            "slack" => Reply::text(200, "ok"),
            "teams" | "honeycomb" => Reply::text(202, ""),
            "influxdb" => Reply::text(204, ""),
            "eventbridge" => Reply::json(200, &json!({"FailedEntryCount": 0, "EntryList": []})),
            "dingtalk" | "wechat" | "wecom-robot" => {
                let body = json!({"errcode": 0, "errmsg": "ok", "access_token": TOKEN, "expires_in": 7200});
                Reply::json(200, &body)
            }
            "elasticsearch" if call.path == "/" => {
                Reply::json(200, &json!({"version": {"number": "9.2.0"}}))
            }
            "elasticsearch" => {
                let actions = String::from_utf8_lossy(&call.body).lines().count() / 2;
                let items = vec![json!({"create": {"status": 201}}); actions];
                Reply::json(200, &json!({"took": 1, "errors": false, "items": items}))
            }
            _ => Reply::text(200, ""),
        }
    }
}

/// Whether the Security Token Service of a cloud is meant.
fn is_for_keys(call: &Call) -> bool {
    let form = call.form();
    ["OIDCToken", "WebIdentityToken"].iter().any(|name| form.contains_key(*name))
}

/// What `wechat` is given for its secret.
const TOKEN: &str = "Q7wechatAccessToken";

/// What a service account is given for its token: id, secret and token of a role's keys.
const ROLE_KEYS: [&str; 3] = ["Q7roleKeyId", "Q7roleKeySecret", "Q7roleKeyToken"];

/// Secrets that are in no option: those that a sink is given, and the parts of a service account's token.
pub(crate) const GIVEN: [&str; 7] = [
    TOKEN,
    ROLE_KEYS[0],
    ROLE_KEYS[1],
    ROLE_KEYS[2],
    "Q7identityHead",
    "Q7identityClaims",
    "Q7identitySignature",
];
