//! An Elasticsearch that checks what a real one checks of a bulk request, answers for each document, and
//! fails as told. The real servers are in the rig; this one is for what they cannot be made to do.
//!
//! When it refuses, it quotes the request with its headers, as careless services do: nothing of that may
//! reach an operator.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::http::Method;
use serde_json::{Value, json};

use super::service::{Call, Handler, Reply, Server};
use super::sigv4::{self, AwsKeys};

/// What it does.
#[derive(Clone, Debug, Default)]
pub enum Mood {
    /// It takes every document.
    #[default]
    Takes,
    /// It refuses documents whose message contains this, by their mapping.
    RefusesMessage(&'static str),
    /// It answers this to documents whose message contains the text: status, type of the error.
    Item(&'static str, u16, &'static str),
    /// It answers every request with this status and `Retry-After`.
    Status(u16, u32),
    /// It never answers.
    Silent,
}

/// A document that came with a bulk request.
#[derive(Clone, Debug, PartialEq)]
pub struct Sent {
    /// Its action line.
    pub action: Value,
    /// The line of the document.
    pub document: String,
}

/// A running one. It stops when dropped.
pub struct Elasticsearch {
    server: Server,
    shared: Arc<Shared>,
}

struct Shared {
    version: &'static str,
    /// The value of `Authorization` that it demands.
    credential: Mutex<Option<String>>,
    /// It demands a signature with these keys, for this service of AWS.
    signature: Mutex<Option<(AwsKeys, &'static str)>>,
    mood: Mutex<Mood>,
    sent: Mutex<Vec<Sent>>,
    stored: Mutex<HashSet<(String, String)>>,
    calls: Mutex<Vec<String>>,
}

impl Elasticsearch {
    /// One of this version, such as `9.2.0`.
    pub async fn start(version: &'static str) -> Self {
        let shared = Arc::new(Shared {
            version,
            credential: Mutex::default(),
            signature: Mutex::default(),
            mood: Mutex::default(),
            sent: Mutex::default(),
            stored: Mutex::default(),
            calls: Mutex::default(),
        });
        let server = Server::start(Arc::clone(&shared) as Arc<dyn Handler>).await;
        Self { server, shared }
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// What it does from now on.
    pub fn is(&self, mood: Mood) {
        *self.shared.mood.lock().expect("not poisoned") = mood;
    }

    /// It refuses every request with another `Authorization` than this.
    pub fn demand(&self, credential: Option<&str>) {
        *self.shared.credential.lock().expect("not poisoned") = credential.map(str::to_owned);
    }

    /// It refuses every request that is not signed with these keys, for this service of AWS.
    pub fn demand_signature(&self, keys: AwsKeys, service: &'static str) {
        *self.shared.signature.lock().expect("not poisoned") = Some((keys, service));
    }

    /// Every document that came, those it refused included.
    pub fn sent(&self) -> Vec<Sent> {
        self.shared.sent.lock().expect("not poisoned").clone()
    }

    /// How many documents it has.
    pub fn stored(&self) -> usize {
        self.shared.stored.lock().expect("not poisoned").len()
    }

    /// Method and path of every request.
    pub fn calls(&self) -> Vec<String> {
        self.shared.calls.lock().expect("not poisoned").clone()
    }

    pub async fn stop(&mut self) {
        self.server.stop().await;
    }

    pub fn start_again(&mut self) {
        self.server.start_again();
    }
}

impl Handler for Shared {
    fn answer(&self, call: &Call) -> Reply {
        self.calls.lock().expect("not poisoned").push(format!("{} {}", call.method, call.path));
        let mood = self.mood.lock().expect("not poisoned").clone();
        match mood {
            Mood::Silent => return Reply::Silence,
            Mood::Status(status, wait) => {
                return failure(status, "busy_exception", call).with("retry-after", &wait);
            }
            _ => {}
        }
        let credential = self.credential.lock().expect("not poisoned").clone();
        let given = call.headers.get("authorization").map(|value| value.as_bytes().to_vec());
        if credential.is_some_and(|credential| given.as_deref() != Some(credential.as_bytes())) {
            return failure(401, "security_exception", call);
        }
        let signature = self.signature.lock().expect("not poisoned").clone();
        if let Some((keys, service)) = signature
            && let Err(message) = sigv4::check(call, &keys, service)
        {
            return Reply::json(403, &json!({"message": message}));
        }
        match (&call.method, call.path.as_str()) {
            (&Method::GET, "/") => Reply::json(200, &json!({"version": {"number": self.version}})),
            (&Method::POST, "/_bulk") => self.bulk(call, &mood),
            (&Method::PUT, _) => Reply::json(200, &json!({"acknowledged": true})),
            _ => failure(404, "no_such_interface", call),
        }
    }
}

impl Shared {
    fn bulk(&self, call: &Call, mood: &Mood) -> Reply {
        let is_ndjson =
            call.headers.get("content-type").is_some_and(|value| value == "application/x-ndjson");
        if !is_ndjson || !call.headers.contains_key("content-length") {
            return failure(406, "media_type_header_exception", call);
        }
        let text = String::from_utf8(call.body.clone()).expect("UTF-8");
        if !text.ends_with('\n') {
            return failure(400, "illegal_argument_exception", call);
        }
        let lines: Vec<&str> = text.lines().collect();
        let mut items = Vec::new();
        for pair in lines.chunks(2) {
            let [action, document] = pair else { return failure(400, "parse_exception", call) };
            let Ok(action) = serde_json::from_str::<Value>(action) else {
                return failure(400, "parse_exception", call);
            };
            if action["create"].get("_type").is_some() != self.version.starts_with('6') {
                return failure(400, "illegal_argument_exception", call);
            }
            items.push(self.item(call, mood, &action, document));
            self.sent
                .lock()
                .expect("not poisoned")
                .push(Sent { action, document: (*document).to_owned() });
        }
        let errors = items.iter().any(|item| item["create"]["error"].is_object());
        Reply::json(200, &json!({"took": 1, "errors": errors, "items": items}))
    }

    fn item(&self, call: &Call, mood: &Mood, action: &Value, document: &str) -> Value {
        let document: Value = serde_json::from_str(document).expect("a document on one line");
        let message = document["Message"].as_str().expect("a message");
        let refuse = |status: u16, kind: &str| json!({"create": {"status": status, "error": {"type": kind, "reason": quoted(call)}}});
        match mood {
            Mood::RefusesMessage(part) if message.contains(part) => {
                return refuse(400, "document_parsing_exception");
            }
            Mood::Item(part, status, kind) if message.contains(part) => {
                return refuse(*status, kind);
            }
            _ => {}
        }
        let text = |name: &str| action["create"][name].as_str().expect("a text").to_owned();
        let is_new =
            self.stored.lock().expect("not poisoned").insert((text("_index"), text("_id")));
        if is_new {
            json!({"create": {"status": 201}})
        } else {
            refuse(409, "version_conflict_engine_exception")
        }
    }
}

fn quoted(call: &Call) -> String {
    format!(
        "refused: {} {:?} {:?}",
        call.path,
        call.query,
        call.headers.get("authorization").map(|value| value.to_str())
    )
}

fn failure(status: u16, kind: &str, call: &Call) -> Reply {
    let error = json!({"type": kind, "reason": quoted(call)});
    Reply::json(status, &json!({"error": error, "status": status}))
}
