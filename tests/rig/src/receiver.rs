//! A webhook receiver that records everything and misbehaves on demand.
//!
//! Invariant: a request is recorded once its body was read completely and before
//! anything is answered, so whatever the sender knows to be delivered is recorded.

use crate::journal::Journal;
use crate::port::ReservedPort;
use crate::serving::{Accepting, Reply, aborted, full, serve};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{HeaderMap, Method, Request, Response};
use serde_json::Value;
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// An HTTP answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Headers, such as `("retry-after", "2")`.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// An answer with an empty body.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Bytes::new() }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    pub(crate) fn to_response(&self) -> Response<Reply> {
        let mut response = Response::builder().status(self.status);
        for (name, value) in &self.headers {
            response = response.header(name, value);
        }
        response.body(full(self.body.clone())).expect("a valid answer")
    }
}

/// What the receiver does with a request that it has read and recorded.
#[derive(Clone)]
pub enum Behaviour {
    /// Answers.
    Answer(Answer),
    /// Never answers; the connection stays open until the sender gives up.
    Hang,
    /// Closes the connection without an answer: the sender cannot know whether the
    /// request was processed.
    AcceptThenDrop,
    /// Waits, then behaves as given.
    Delay(Duration, Box<Behaviour>),
    /// Behaves as the function decides for the request.
    Decide(Arc<dyn Fn(&Received) -> Behaviour + Send + Sync>),
}

impl Behaviour {
    /// Answers with this status and an empty body.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self::Answer(Answer::status(status))
    }

    /// Answers 200 after a while.
    #[must_use]
    pub fn delay(duration: Duration) -> Self {
        Self::Delay(duration, Box::new(Self::status(200)))
    }

    /// Behaves as `decide` says for each request.
    pub fn decide(decide: impl Fn(&Received) -> Self + Send + Sync + 'static) -> Self {
        Self::Decide(Arc::new(decide))
    }
}

impl fmt::Debug for Behaviour {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer(answer) => write!(formatter, "Answer({answer:?})"),
            Self::Hang => write!(formatter, "Hang"),
            Self::AcceptThenDrop => write!(formatter, "AcceptThenDrop"),
            Self::Delay(duration, then) => write!(formatter, "Delay({duration:?}, {then:?})"),
            Self::Decide(_) => write!(formatter, "Decide(…)"),
        }
    }
}

/// What was decided for a request when it was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Answered with this status (perhaps after a delay).
    Answered(u16),
    /// Left without an answer.
    Hung,
    /// The connection was closed without an answer.
    Dropped,
}

/// A recorded request.
#[derive(Debug, Clone)]
pub struct Received {
    /// When its body was complete.
    pub arrived: Instant,
    /// The method.
    pub method: Method,
    /// Path and query.
    pub target: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as sent.
    pub body: Bytes,
    /// What was done with it.
    pub outcome: Outcome,
}

impl Received {
    /// The body as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }

    /// A header's value, when it is there and text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Whether it was answered with a 2xx status.
    #[must_use]
    pub fn accepted(&self) -> bool {
        matches!(self.outcome, Outcome::Answered(200..300))
    }
}

#[derive(Debug)]
struct Shared {
    requests: Journal<Received>,
    behaviour: Mutex<Behaviour>,
    scripted: Mutex<VecDeque<Behaviour>>,
}

/// The receiver; answers 200 until told otherwise. Gone when dropped.
#[derive(Debug)]
pub struct Receiver {
    port: ReservedPort,
    shared: Arc<Shared>,
    accepting: Mutex<Option<Accepting>>,
}

impl Receiver {
    /// Starts on a free port.
    #[must_use]
    pub fn start() -> Self {
        let receiver = Self {
            port: ReservedPort::new(),
            shared: Arc::new(Shared {
                requests: Journal::default(),
                behaviour: Mutex::new(Behaviour::status(200)),
                scripted: Mutex::default(),
            }),
            accepting: Mutex::new(None),
        };
        receiver.up();
        receiver
    }

    /// `http://127.0.0.1:PORT`, without a path.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.port.address())
    }

    /// Behaves so from now on.
    pub fn behave(&self, behaviour: Behaviour) {
        *self.shared.behaviour.lock().unwrap() = behaviour;
    }

    /// Behaves so for one request, after those scripted before; then as usual.
    pub fn behave_once(&self, behaviour: Behaviour) {
        self.shared.scripted.lock().unwrap().push_back(behaviour);
    }

    /// Closes the port and all connections: connecting is refused.
    pub async fn down(&self) {
        let accepting = self.accepting.lock().unwrap().take();
        if let Some(accepting) = accepting {
            accepting.close().await;
        }
    }

    /// Opens the port again; does nothing when it is open.
    pub fn up(&self) {
        let mut accepting = self.accepting.lock().unwrap();
        if accepting.is_some() {
            return;
        }
        let shared = Arc::clone(&self.shared);
        let handle = move |request| handle(Arc::clone(&shared), request);
        *accepting = Some(serve(self.port.listen(), handle));
    }

    /// All requests so far, in order of arrival.
    #[must_use]
    pub fn requests(&self) -> Vec<Received> {
        self.shared.requests.snapshot()
    }

    /// How many requests there were.
    #[must_use]
    pub fn count(&self) -> usize {
        self.shared.requests.len()
    }

    /// Forgets the requests so far.
    pub fn clear(&self) {
        self.shared.requests.clear();
    }

    /// Waits until `reached` holds for the requests so far, which are returned.
    /// Panics when the time is over first.
    pub async fn wait_for(
        &self,
        timeout: Duration,
        mut reached: impl FnMut(&[Received]) -> bool,
    ) -> Vec<Received> {
        let found = self
            .shared
            .requests
            .find(timeout, |requests| reached(requests).then(|| requests.to_vec()))
            .await;
        found.unwrap_or_else(|| {
            let last = self.shared.requests.with(|requests| requests.last().cloned());
            panic!("not within {timeout:?}: {} requests, the last {last:?}", self.count())
        })
    }

    /// Waits until `reached` holds; `false` when the time is over first.
    pub async fn becomes(
        &self,
        timeout: Duration,
        mut reached: impl FnMut(&[Received]) -> bool,
    ) -> bool {
        let find = |requests: &[Received]| reached(requests).then_some(());
        self.shared.requests.find(timeout, find).await.is_some()
    }
}

async fn handle(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Reply>, std::io::Error> {
    let (head, body) = request.into_parts();
    // A sender that breaks off in the middle has sent nothing worth recording.
    let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
    let mut received = Received {
        arrived: Instant::now(),
        method: head.method,
        target: head.uri.path_and_query().map_or_else(String::new, ToString::to_string),
        headers: head.headers,
        body,
        outcome: Outcome::Hung,
    };
    let scripted = shared.scripted.lock().unwrap().pop_front();
    let mut behaviour = scripted.unwrap_or_else(|| shared.behaviour.lock().unwrap().clone());
    let mut delay = Duration::ZERO;
    let decided = loop {
        behaviour = match behaviour {
            Behaviour::Delay(duration, then) => {
                delay += duration;
                *then
            }
            Behaviour::Decide(decide) => decide(&received),
            decided => break decided,
        };
    };
    received.outcome = match &decided {
        Behaviour::Answer(answer) => Outcome::Answered(answer.status),
        Behaviour::AcceptThenDrop => Outcome::Dropped,
        _ => Outcome::Hung,
    };
    shared.requests.push(received);
    tokio::time::sleep(delay).await;
    match decided {
        Behaviour::Answer(answer) => Ok(answer.to_response()),
        Behaviour::AcceptThenDrop => Err(aborted()),
        _ => std::future::pending().await,
    }
}
