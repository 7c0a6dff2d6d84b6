//! A fake API server without sockets: an etcd-like store behind the HTTP surface of the real one.
//!
//! Time is tokio's, so tests run with a paused clock.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use http::{Request, Response};
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tower::BoxError;

use crate::source::SourceError;
use crate::source::connect::Connect;

type Reply = Response<axum::body::Body>;
type Sender = mpsc::UnboundedSender<Result<Bytes, BoxError>>;

/// How the server says that it has forgotten a version.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum TooOld {
    Status,
    ErrorEvent,
    EmptyClose,
}

/// Which request an answer is prepared for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Probe,
    Page,
    Watch,
}

/// An answer prepared by a test.
pub(super) enum Prepared {
    Status(u16, Option<u64>),
    /// These bytes, then a clean end or a failing connection.
    Body(String, bool),
}

#[derive(Clone)]
struct Change {
    revision: u64,
    kind: &'static str,
    object: Value,
}

struct Watcher {
    after: u64,
    sender: Sender,
}

struct Store {
    revision: u64,
    /// Events written, whatever was restored: no two of them have the same text.
    written: u64,
    compacted: u64,
    live: BTreeMap<String, Value>,
    history: Vec<Change>,
    too_old: TooOld,
    prepared: VecDeque<(Kind, Prepared)>,
    watchers: Vec<Watcher>,
    tokens: HashMap<String, (u64, Vec<Value>)>,
    frozen: bool,
    requests: Vec<(Kind, String)>,
    connections: u64,
    cluster_uid: String,
}

/// The server. Cheap to clone.
#[derive(Clone)]
pub(super) struct Server(Arc<Mutex<Store>>);

/// What can be restored later.
#[derive(Clone)]
pub(super) struct Snapshot {
    revision: u64,
    compacted: u64,
    live: BTreeMap<String, Value>,
    history: Vec<Change>,
}

impl Server {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Store {
            revision: 1000,
            written: 0,
            compacted: 0,
            live: BTreeMap::new(),
            history: Vec::new(),
            too_old: TooOld::ErrorEvent,
            prepared: VecDeque::new(),
            watchers: Vec::new(),
            tokens: HashMap::new(),
            frozen: false,
            requests: Vec::new(),
            connections: 0,
            cluster_uid: "cluster-a".to_owned(),
        })))
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.0.lock().expect("no test panicked with it")
    }

    /// Creates or updates an event.
    pub(super) fn put(&self, name: &str) -> u64 {
        self.put_seen_at(name, "2026-01-01T12:00:00Z")
    }

    pub(super) fn put_seen_at(&self, name: &str, last_seen: &str) -> u64 {
        let mut store = self.store();
        store.revision += 1;
        store.written += 1;
        let (revision, written) = (store.revision, store.written);
        let count = store.live.get(name).and_then(|event| event["count"].as_u64()).unwrap_or(0) + 1;
        let object = json!({
            "metadata": {"name": name, "namespace": "shop", "uid": format!("uid-{name}"),
                         "resourceVersion": revision.to_string()},
            "involvedObject": {"kind": "Pod", "namespace": "shop", "name": name},
            "reason": "BackOff", "type": "Warning", "count": count, "lastTimestamp": last_seen,
            "message": format!("{name} for the {count}. time"), "action": format!("write {written}"),
        });
        let kind = if count == 1 { "ADDED" } else { "MODIFIED" };
        store.live.insert(name.to_owned(), object.clone());
        store.change(Change { revision, kind, object });
        revision
    }

    /// Stores an event that no reader can make sense of.
    pub(super) fn put_unreadable(&self, name: &str) {
        let mut store = self.store();
        store.revision += 1;
        let object = json!({"metadata": {"name": name, "resourceVersion": ""}});
        store.live.insert(name.to_owned(), object.clone());
        let revision = store.revision;
        store.change(Change { revision, kind: "ADDED", object });
    }

    pub(super) fn delete(&self, name: &str) {
        let mut store = self.store();
        let Some(mut object) = store.live.remove(name) else { return };
        store.revision += 1;
        let revision = store.revision;
        object["metadata"]["resourceVersion"] = revision.to_string().into();
        store.change(Change { revision, kind: "DELETED", object });
    }

    /// Something else is written to the same etcd.
    pub(super) fn write_elsewhere(&self, revisions: u64) {
        self.store().revision += revisions;
    }

    /// Forgets what is older than now.
    pub(super) fn compact(&self) {
        let mut store = self.store();
        store.compacted = store.revision;
        let compacted = store.compacted;
        store.history.retain(|change| change.revision > compacted);
        store.tokens.clear();
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let store = self.store();
        Snapshot {
            revision: store.revision,
            compacted: store.compacted,
            live: store.live.clone(),
            history: store.history.clone(),
        }
    }

    /// Restores etcd. Open watches stay open and silent.
    pub(super) fn restore(&self, snapshot: Snapshot) {
        let mut store = self.store();
        store.revision = snapshot.revision;
        store.compacted = snapshot.compacted;
        store.live = snapshot.live;
        store.history = snapshot.history;
        store.tokens.clear();
    }

    pub(super) fn say_too_old_as(&self, shape: TooOld) {
        self.store().too_old = shape;
    }

    /// Prepares the answer to the next request of a kind.
    pub(super) fn prepare(&self, kind: Kind, answer: Prepared) {
        self.store().prepared.push_back((kind, answer));
    }

    /// Ends all watches: between items, or by a connection that fails within one.
    pub(super) fn end_watches(&self, cleanly: bool) {
        for watcher in self.store().watchers.drain(..) {
            if !cleanly {
                let half = Bytes::from_static(b"{\"type\":\"ADDED\",\"object\":{\"metadata\":");
                let _gone = watcher.sender.send(Ok(half));
                let _gone = watcher.sender.send(Err("connection reset by peer".into()));
            }
        }
    }

    /// Sends bytes on all watches.
    pub(super) fn send(&self, line: &str) {
        for watcher in &self.store().watchers {
            watcher.write(line);
        }
    }

    /// The network swallows everything: nothing is answered, and open watches go silent for ever.
    pub(super) fn freeze(&self) {
        let mut store = self.store();
        store.frozen = true;
        // Neither an item nor an end will ever come.
        for watcher in store.watchers.drain(..) {
            std::mem::forget(watcher.sender);
        }
    }

    pub(super) fn thaw(&self) {
        self.store().frozen = false;
    }

    pub(super) fn become_cluster(&self, uid: &str) {
        uid.clone_into(&mut self.store().cluster_uid);
    }

    /// How often a kind of request was made.
    pub(super) fn count(&self, kind: Kind) -> usize {
        self.store().requests.iter().filter(|(made, _)| *made == kind).count()
    }

    /// The addresses of the requests made.
    pub(super) fn addresses(&self) -> Vec<String> {
        self.store().requests.iter().map(|(_, address)| address.clone()).collect()
    }

    pub(super) fn connections(&self) -> u64 {
        self.store().connections
    }

    /// The newest version of every event, in order.
    pub(super) fn newest(&self) -> Vec<u64> {
        let store = self.store();
        let mut versions: Vec<u64> = store.live.values().filter_map(revision_of).collect();
        versions.sort_unstable();
        versions
    }

    async fn answer(self, request: Request<Body>) -> Result<Reply, Infallible> {
        let address = request.uri().to_string();
        let query: HashMap<String, String> = request
            .uri()
            .query()
            .unwrap_or_default()
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        if self.store().frozen {
            std::future::pending::<()>().await;
        }
        let mut store = self.store();
        if request.uri().path() == "/api/v1/namespaces/kube-system" {
            let uid = store.cluster_uid.clone();
            return Ok(ok(&json!({"metadata": {"uid": uid}})));
        }
        let kind = match (query.get("watch"), query.get("limit").map(String::as_str)) {
            (Some(_), _) => Kind::Watch,
            (None, Some("1")) => Kind::Probe,
            (None, _) => Kind::Page,
        };
        store.requests.push((kind, address));
        if let Some(index) = store.prepared.iter().position(|(wanted, _)| *wanted == kind)
            && let Some((_, prepared)) = store.prepared.remove(index)
        {
            return Ok(prepared.reply());
        }
        Ok(match kind {
            Kind::Watch => store.watch(&query),
            Kind::Probe | Kind::Page => store.list(&query),
        })
    }
}

impl Store {
    fn change(&mut self, change: Change) {
        self.watchers
            .retain(|watcher| change.revision <= watcher.after || watcher.write(&change.line()));
        self.history.push(change);
    }

    fn list(&mut self, query: &HashMap<String, String>) -> Reply {
        let limit: usize = query["limit"].parse().expect("a number");
        let (revision, mut items) = match query.get("continue") {
            None => (self.revision, self.live.values().cloned().collect()),
            Some(token) => match self.tokens.remove(token) {
                Some(rest) => rest,
                None => return status(410, "Expired", None),
            },
        };
        let rest = items.split_off(limit.min(items.len()));
        let mut token = String::new();
        if !rest.is_empty() {
            token = format!("token{}", self.requests.len());
            self.tokens.insert(token.clone(), (revision, rest));
        }
        let metadata = json!({"resourceVersion": revision.to_string(), "continue": token});
        ok(&json!({"kind": "EventList", "apiVersion": "v1", "metadata": metadata, "items": items}))
    }

    fn watch(&mut self, query: &HashMap<String, String>) -> Reply {
        let after: u64 = query["resourceVersion"].parse().expect("a number");
        let seconds: u64 = query["timeoutSeconds"].parse().expect("a number");
        let (sender, receiver) = mpsc::unbounded_channel();
        if after < self.compacted {
            let message = "The resourceVersion for the provided watch is too old.";
            let object =
                json!({"kind": "Status", "code": 410, "reason": "Expired", "message": message});
            match self.too_old {
                TooOld::Status => return status(410, "Expired", None),
                TooOld::ErrorEvent => {
                    let line = json!({"type": "ERROR", "object": object});
                    let _gone = sender.send(Ok(format!("{line}\n").into()));
                }
                TooOld::EmptyClose => {}
            }
            drop(sender);
        } else {
            let watcher = Watcher { after, sender };
            for change in self.history.iter().filter(|change| change.revision > after) {
                watcher.write(&change.line());
            }
            self.watchers.push(watcher);
        }
        let frames = futures::stream::unfold(receiver, |mut receiver| async {
            receiver.recv().await.map(|frame| (frame, receiver))
        });
        let end = Box::pin(tokio::time::sleep(Duration::from_secs(seconds)));
        reply(200, None, axum::body::Body::from_stream(frames.take_until(end)))
    }
}

impl Watcher {
    fn write(&self, line: &str) -> bool {
        self.sender.send(Ok(format!("{line}\n").into())).is_ok()
    }
}

impl Change {
    fn line(&self) -> String {
        let mut object = json!({"kind": "Event", "apiVersion": "v1"});
        if let (Value::Object(typed), Value::Object(plain)) = (&mut object, self.object.clone()) {
            typed.extend(plain);
        }
        json!({"type": self.kind, "object": object}).to_string()
    }
}

impl Prepared {
    fn reply(self) -> Reply {
        match self {
            Self::Status(code, retry_after) => status(code, "Prepared", retry_after),
            Self::Body(text, cleanly) => {
                let mut frames: Vec<Result<Bytes, BoxError>> = vec![Ok(text.into())];
                if !cleanly {
                    frames.push(Err("connection reset by peer".into()));
                }
                reply(200, None, axum::body::Body::from_stream(futures::stream::iter(frames)))
            }
        }
    }
}

fn revision_of(event: &Value) -> Option<u64> {
    event["metadata"]["resourceVersion"].as_str()?.parse().ok()
}

fn ok(value: &Value) -> Reply {
    reply(200, None, value.to_string().into())
}

fn status(code: u16, reason: &str, retry_after: Option<u64>) -> Reply {
    let body = json!({"kind": "Status", "status": "Failure", "code": code, "reason": reason});
    reply(code, retry_after, body.to_string().into())
}

fn reply(code: u16, retry_after: Option<u64>, body: axum::body::Body) -> Reply {
    let mut builder = Response::builder().status(code);
    if let Some(seconds) = retry_after {
        builder = builder.header("Retry-After", seconds);
    }
    builder.body(body).expect("a response")
}

#[async_trait]
impl Connect for Server {
    async fn connect(&self) -> Result<kube::Client, SourceError> {
        self.store().connections += 1;
        let server = self.clone();
        let service = tower::service_fn(move |request| server.clone().answer(request));
        Ok(kube::Client::new(service, "default"))
    }
}
