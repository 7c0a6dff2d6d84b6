//! An HTTP proxy before the API server that speaks plain HTTP to the relay.
//!
//! Invariant: a test disturbs the kind of request that it names and nothing by the
//! way. What is let through before a cut is sent for sure.

use crate::client::Client;
use crate::journal::Journal;
use crate::kubeconfig::Kubeconfig;
use crate::port::ReservedPort;
use crate::receiver::Answer;
use crate::serving::{Accepting, Reply, aborted, serve};
use crate::stream::disturbed;
use bytes::Bytes;
use http_body_util::{BodyExt, Collected, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, USER_AGENT};
use hyper::{Method, Request, Response};
use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A list of events.
    List,
    /// A watch of events.
    Watch,
    /// Anything else.
    Other,
}

/// What the proxy does with requests of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disturbance {
    /// Forwards them.
    Pass,
    /// Answers by itself.
    Answer(Answer),
    /// Answers 200 with an empty body, and ends running watches cleanly.
    Empty,
    /// Forwards this many lines and half of the next one, then breaks the
    /// connection; running watches count from the switch.
    CutAfterLines(usize),
    /// Forwards this many lines, then nothing more, without closing; a stream once
    /// stalled stays so.
    StallAfterLines(usize),
}

/// A request that came by.
#[derive(Debug, Clone)]
pub struct Seen {
    /// When it came.
    pub arrived: Instant,
    /// What it asks for.
    pub kind: Kind,
    /// Path and query.
    pub target: String,
}

#[derive(Debug)]
struct Rule {
    usual: watch::Sender<Disturbance>,
    scripted: Mutex<VecDeque<Disturbance>>,
}

impl Rule {
    fn new() -> Self {
        Self { usual: watch::Sender::new(Disturbance::Pass), scripted: Mutex::default() }
    }

    fn next(&self) -> Disturbance {
        let scripted = self.scripted.lock().unwrap().pop_front();
        scripted.unwrap_or_else(|| self.usual.borrow().clone())
    }
}

#[derive(Debug)]
struct Shared {
    server: Client,
    seen: Journal<Seen>,
    list: Rule,
    watch: Rule,
    other: Rule,
}

/// The proxy; passes everything until told otherwise. Gone when dropped.
#[derive(Debug)]
pub struct HttpProxy {
    port: ReservedPort,
    shared: Arc<Shared>,
    _accepting: Accepting,
}

impl HttpProxy {
    /// Starts before the server of this client, whose token it uses.
    #[must_use]
    pub fn start(server: &Client) -> Self {
        let port = ReservedPort::new();
        let shared = Arc::new(Shared {
            server: server.clone(),
            seen: Journal::default(),
            list: Rule::new(),
            watch: Rule::new(),
            other: Rule::new(),
        });
        let handler = Arc::clone(&shared);
        let accepting = serve(port.listen(), move |request| handle(Arc::clone(&handler), request));
        Self { port, shared, _accepting: accepting }
    }

    /// `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.port.address())
    }

    /// Writes a kubeconfig that leads here, without credentials.
    pub fn write_kubeconfig(&self, path: &Path) {
        Kubeconfig::new(&self.url()).write(path);
    }

    /// Disturbs requests of this kind so from now on; running watches, too.
    pub fn disturb(&self, kind: Kind, disturbance: Disturbance) {
        self.shared.rule(kind).usual.send_replace(disturbance);
    }

    /// Disturbs one request of this kind so, after those scripted before.
    pub fn disturb_once(&self, kind: Kind, disturbance: Disturbance) {
        self.shared.rule(kind).scripted.lock().unwrap().push_back(disturbance);
    }

    /// All requests so far.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.snapshot()
    }

    /// How many requests of this kind came so far.
    #[must_use]
    pub fn count(&self, kind: Kind) -> usize {
        self.shared.seen.with(|seen| seen.iter().filter(|seen| seen.kind == kind).count())
    }

    /// Waits until `reached` holds for the requests so far, which are returned.
    /// Panics when the time is over first.
    pub async fn wait_for(
        &self,
        timeout: Duration,
        mut reached: impl FnMut(&[Seen]) -> bool,
    ) -> Vec<Seen> {
        let find = |seen: &[Seen]| reached(seen).then(|| seen.to_vec());
        let found = self.shared.seen.find(timeout, find).await;
        found.unwrap_or_else(|| panic!("not within {timeout:?}: {:#?}", self.seen()))
    }
}

impl Shared {
    fn rule(&self, kind: Kind) -> &Rule {
        match kind {
            Kind::List => &self.list,
            Kind::Watch => &self.watch,
            Kind::Other => &self.other,
        }
    }
}

async fn handle(shared: Arc<Shared>, request: Request<Incoming>) -> io::Result<Response<Reply>> {
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str()).to_owned();
    let kind = kind_of(&request);
    let rule = shared.rule(kind);
    // Before the request is seen: who waits for it and then switches means later ones.
    let changes = rule.usual.subscribe();
    let disturbance = rule.next();
    shared.seen.push(Seen { arrived: Instant::now(), kind, target: target.clone() });
    match &disturbance {
        Disturbance::Answer(answer) => return Ok(answer.to_response()),
        Disturbance::Empty => return Ok(empty()),
        _ => {}
    }
    match pass(&shared.server, request, &target).await {
        Ok(answer) => {
            let (head, body) = answer.into_parts();
            let changes = (kind == Kind::Watch).then_some(changes);
            Ok(Response::from_parts(head, disturbed(body, disturbance, changes)))
        }
        // The server is down: whoever asks directly gets no answer then, either.
        Err(_) => Err(aborted()),
    }
}

fn kind_of(request: &Request<Incoming>) -> Kind {
    if request.method() != Method::GET || !request.uri().path().ends_with("/events") {
        return Kind::Other;
    }
    let query = request.uri().query().unwrap_or_default();
    let is_watch = query.split('&').any(|part| part == "watch=1" || part == "watch=true");
    if is_watch { Kind::Watch } else { Kind::List }
}

/// Without a length, since a watch has none: no chunk, then the end.
fn empty() -> Response<Reply> {
    let nothing = futures::stream::empty::<io::Result<Frame<Bytes>>>();
    Response::builder()
        .header(CONTENT_TYPE, "application/json")
        .body(StreamBody::new(nothing).boxed_unsync())
        .expect("a valid answer")
}

async fn pass(
    server: &Client,
    request: Request<Incoming>,
    target: &str,
) -> Result<Response<reqwest::Body>, reqwest::Error> {
    let (head, body) = request.into_parts();
    let mut forwarded = server.request(head.method, target);
    for name in [ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, CONTENT_ENCODING, USER_AGENT] {
        for value in head.headers.get_all(&name) {
            forwarded = forwarded.header(&name, value);
        }
    }
    let body = body.collect().await.map_or_else(|_| Bytes::new(), Collected::to_bytes);
    let answer = forwarded.body(body).send().await?;
    let mut response = Response::builder().status(answer.status());
    for name in ["content-type", "content-encoding", "retry-after", "audit-id", "warning"] {
        for value in answer.headers().get_all(name) {
            response = response.header(name, value);
        }
    }
    Ok(response.body(reqwest::Body::from(answer)).expect("a valid answer"))
}
