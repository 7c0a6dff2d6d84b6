//! `EventBridge` of Alibaba Cloud: `POST /openapi/putEvents`. It checks the signature V1, and answers for each event.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::http::{HeaderName, Method};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha1::Sha1;

use super::service::{Answered, Call, Handler, Reply, Server};

/// Code and words of a refusal.
pub type Refusal = (&'static str, &'static str);

/// The id of the keys that it knows.
pub const KEY_ID: &str = "LTAI1";

/// The service of one account. It stops when dropped.
pub struct EventBridge {
    server: Server,
    account: Arc<Account>,
}

struct Account {
    secret: Mutex<String>,
    /// That of keys which are a role's.
    token: Mutex<Option<String>>,
    stored: Mutex<Vec<Value>>,
    nonces: Mutex<Vec<String>>,
    /// For the event with this place in a request.
    of_place: Mutex<Option<(usize, Refusal)>>,
    /// For events that contain this.
    of_text: Mutex<Option<(&'static str, Refusal)>>,
    of_all: Mutex<Option<Refusal>>,
    /// Calls are throttled for so many seconds.
    throttled: Mutex<Option<u64>>,
}

impl EventBridge {
    /// An account whose keys have this secret.
    pub async fn start(secret: &str) -> Self {
        let account = Arc::new(Account {
            secret: Mutex::new(secret.to_owned()),
            token: Mutex::default(),
            stored: Mutex::default(),
            nonces: Mutex::default(),
            of_place: Mutex::default(),
            of_text: Mutex::default(),
            of_all: Mutex::default(),
            throttled: Mutex::default(),
        });
        Self { server: Server::start(Arc::clone(&account) as Arc<dyn Handler>).await, account }
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The only secret it knows from now on.
    pub fn know(&self, secret: &str) {
        secret.clone_into(&mut self.account.secret.lock().expect("not poisoned"));
    }

    /// Keys come with this token from now on.
    pub fn demand_token(&self, token: &str) {
        *self.account.token.lock().expect("not poisoned") = Some(token.to_owned());
    }

    /// It refuses the event with this place in each request.
    pub fn refuse_place(&self, place: usize, refusal: Refusal) {
        *self.account.of_place.lock().expect("not poisoned") = Some((place, refusal));
    }

    /// It refuses events that contain this text.
    pub fn refuse_events(&self, text: &'static str, refusal: Refusal) {
        *self.account.of_text.lock().expect("not poisoned") = Some((text, refusal));
    }

    /// It refuses every request.
    pub fn refuse_all(&self, refusal: Refusal) {
        *self.account.of_all.lock().expect("not poisoned") = Some(refusal);
    }

    /// It throttles calls for so many seconds, or does not.
    pub fn throttle(&self, seconds: Option<u64>) {
        *self.account.throttled.lock().expect("not poisoned") = seconds;
    }

    /// Events that were accepted, in order.
    pub fn stored(&self) -> Vec<Value> {
        self.account.stored.lock().expect("not poisoned").clone()
    }

    /// The nonces of all requests that were signed as they must be.
    pub fn nonces(&self) -> Vec<String> {
        self.account.nonces.lock().expect("not poisoned").clone()
    }

    /// Every request that was answered, in order.
    pub fn answered(&self) -> Vec<Answered> {
        self.server.answered()
    }
}

impl Handler for Account {
    fn answer(&self, call: &Call) -> Reply {
        assert_eq!((&call.method, call.path.as_str()), (&Method::POST, "/openapi/putEvents"));
        if !self.is_signed(call) {
            return refused(400, ("SignatureNotMatch", "it does not match"));
        }
        if let Some(seconds) = *self.throttled.lock().expect("not poisoned") {
            let refusal = ("Throttling.User", "Request was denied due to user flow control.");
            return refused(429, refusal).with("retry-after", &seconds);
        }
        if let Some(refusal) = *self.of_all.lock().expect("not poisoned") {
            return refused(400, refusal);
        }
        let events: Vec<Value> = serde_json::from_slice(&call.body).expect("a batch");
        let events = events.into_iter().enumerate();
        let entries: Vec<_> = events.map(|(place, event)| self.take(place, event)).collect();
        let failed = entries.iter().filter(|entry| entry["ErrorCode"].is_string()).count();
        Reply::json(200, &json!({"FailedEntryCount": failed, "EntryList": entries}))
    }
}

impl Account {
    fn is_signed(&self, call: &Call) -> bool {
        let header = |name: &str| {
            call.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
        };
        let token = self.token.lock().expect("not poisoned").clone();
        if token.is_some_and(|token| {
            header("x-acs-security-token") != token || header("x-acs-accesskey-id") != KEY_ID
        }) {
            return false;
        }
        let mut names: Vec<_> = call.headers.keys().map(HeaderName::as_str).collect();
        names.retain(|name| name.starts_with("x-acs-"));
        names.sort_unstable();
        let all = ["method", "nonce", "version"].map(|name| format!("x-acs-signature-{name}"));
        if !all.iter().all(|name| names.contains(&name.as_str())) {
            return false;
        }
        let signed: Vec<_> =
            names.iter().map(|name| format!("{name}:{}\n", header(name))).collect();
        let text = format!(
            "POST\n\n{}\n{}\n{}/openapi/putEvents",
            header("content-type"),
            header("date"),
            signed.concat()
        );
        let secret = self.secret.lock().expect("not poisoned").clone();
        let mut mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).expect("a key");
        mac.update(text.as_bytes());
        let expected = format!("acs:{KEY_ID}:{}", STANDARD.encode(mac.finalize().into_bytes()));
        let is_signed = header("authorization") == expected;
        if is_signed {
            let nonce = header("x-acs-signature-nonce").to_owned();
            self.nonces.lock().expect("not poisoned").push(nonce);
        }
        is_signed
    }

    /// Takes one event of a request, or says why not.
    fn take(&self, place: usize, event: Value) -> Value {
        let of_place = *self.of_place.lock().expect("not poisoned");
        let of_place = of_place.filter(|(refused, _)| *refused == place);
        let of_text = *self.of_text.lock().expect("not poisoned");
        let of_text = of_text.filter(|(text, _)| event.to_string().contains(text));
        let refusal = of_place.map(|(_, refusal)| refusal).or(of_text.map(|(_, refusal)| refusal));
        if let Some((code, message)) = refusal {
            return json!({"ErrorCode": code, "ErrorMessage": message});
        }
        let entry = json!({"EventId": event["id"]});
        self.stored.lock().expect("not poisoned").push(event);
        entry
    }
}

fn refused(status: u16, (code, message): Refusal) -> Reply {
    Reply::json(status, &json!({"code": code, "message": message, "requestId": "1"}))
}
