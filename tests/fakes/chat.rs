//! What the fakes of chat services have in common: requests are judged one by one, counted against
//! a limit, and kept, accepted or refused, for tests to look at and to wait for.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use axum::http::Method;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tokio::sync::watch;

use super::service::{Call, Handler, Reply, Server};
use super::window::{Limiter, Rate};

/// A message that was accepted.
#[derive(Clone, Debug)]
pub struct Message {
    /// When it came.
    pub instant: Instant,
    /// When it came, by our clock.
    pub at: Timestamp,
    /// The body of the request.
    pub body: Vec<u8>,
    /// What it says, to whom.
    pub shown: Shown,
}

impl std::ops::Deref for Message {
    type Target = Shown;

    fn deref(&self) -> &Shown {
        &self.shown
    }
}

/// A message as people see it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shown {
    /// The service's name for messages of its kind: `text`, `markdown`, ...
    pub kind: String,
    /// Empty for kinds that have none.
    pub title: String,
    pub text: String,
    pub mentions: Mentions,
    /// The members that it is shown to, where a message names its receivers.
    pub receivers: Vec<String>,
}

/// Whom a message mentions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mentions {
    pub everyone: bool,
    /// Members, by id or mobile number.
    pub members: Vec<String>,
}

/// A request that was refused, or answered as told.
#[derive(Clone, Debug)]
pub struct Refusal {
    pub instant: Instant,
    pub body: Vec<u8>,
    /// The service's error code; the HTTP status where it has no others.
    pub code: i64,
    /// The service's message.
    pub reason: String,
}

/// An answer that is given whatever the request is.
#[derive(Clone, Debug)]
pub enum Scripted {
    /// The service's own form of a failure: its error code and message with HTTP 200; with Slack
    /// and Teams, an HTTP status and its text.
    Code(i64, &'static str),
    /// Exactly this.
    Http { status: u16, headers: Vec<(&'static str, String)>, body: String },
    /// Strict as ever, but the connection breaks before the answer: the client cannot know.
    Break,
    /// No answer, ever.
    Silence,
}

/// Why a request is refused, and the answer.
pub struct Refused {
    pub code: i64,
    pub reason: String,
    pub reply: Reply,
}

impl Refused {
    /// HTTP 200 with `errcode` and `errmsg`, as DingTalk and WeCom refuse.
    pub fn errcode(code: i64, reason: &str) -> Self {
        let reply = Reply::json(200, &json!({"errcode": code, "errmsg": reason}));
        Self { code, reason: reason.to_owned(), reply }
    }

    /// An HTTP status with a text.
    pub fn text(status: u16, reason: &str) -> Self {
        let reply = Reply::text(status, reason);
        Self { code: i64::from(status), reason: reason.to_owned(), reply }
    }

    /// What a gateway says of a path or a method that the service does not have.
    pub fn unless_at(call: &Call, method: &Method, path: &str) -> Result<(), Self> {
        if call.path != path {
            return Err(Self::text(404, "not found"));
        }
        if call.method != *method {
            return Err(Self::text(405, "method not allowed"));
        }
        Ok(())
    }
}

/// What counts against the limit.
#[derive(Clone, Copy, PartialEq)]
pub enum Counts {
    /// Messages that are fine otherwise.
    Messages,
    /// Every request to the robot, fine or not.
    Requests,
    /// What [`Rules::deliver`] counts.
    Delivered,
}

/// One service.
pub trait Rules: Send + Sync + 'static {
    /// What its limit is about.
    const COUNTS: Counts;

    /// Its documented limit and penalty.
    fn limiter() -> Limiter;

    /// Path and query of its URL.
    fn path(&self) -> String;

    /// The answer to a request that is not about a message.
    fn aside(&self, _call: &Call) -> Option<Reply> {
        None
    }

    /// Method, path and token.
    fn address(&self, call: &Call) -> Result<(), Refused>;

    /// Everything else, and what the message says.
    fn read(&self, call: &Call, now: Timestamp) -> Result<Shown, Refused>;

    /// There were too many; `wait` is when the next one may come.
    fn too_fast(&self, wait: Duration) -> Refused;

    /// A failure in the form of this service.
    fn failure(&self, code: i64, text: &str) -> Refused;

    /// The answer to a message that is fine, and what of it is shown.
    fn deliver(
        &self,
        shown: Shown,
        _: &Call,
        _: &mut Limiter,
        _: Instant,
    ) -> (Reply, Option<Shown>);
}

/// A running service. It stops when dropped.
pub struct Fake<R> {
    server: Server,
    pub(super) state: Arc<State<R>>,
}

pub(super) struct State<R> {
    pub(super) rules: R,
    limiter: Mutex<Limiter>,
    scripted: Mutex<VecDeque<Scripted>>,
    clock: Mutex<SignedDuration>,
    messages: watch::Sender<Vec<Message>>,
    refusals: watch::Sender<Vec<Refusal>>,
}

impl<R: Rules> Fake<R> {
    /// Starts it with the settings of a robot, an application or a hook.
    pub async fn start(settings: impl Into<R>) -> Self {
        let state = Arc::new(State {
            rules: settings.into(),
            limiter: Mutex::new(R::limiter()),
            scripted: Mutex::default(),
            clock: Mutex::new(SignedDuration::ZERO),
            messages: watch::Sender::default(),
            refusals: watch::Sender::default(),
        });
        let handler: Arc<dyn Handler> = Arc::clone(&state) as _;
        Self { server: Server::start(handler).await, state }
    }

    /// Where messages go.
    pub fn url(&self) -> String {
        format!("{}{}", self.base_url(), self.state.rules.path())
    }

    /// Scheme, host and port.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// Every accepted message so far, in order.
    pub fn messages(&self) -> Vec<Message> {
        self.state.messages.borrow().clone()
    }

    /// Every refused request so far, in order.
    pub fn refusals(&self) -> Vec<Refusal> {
        self.state.refusals.borrow().clone()
    }

    /// The codes of the refused requests.
    pub fn refused_codes(&self) -> Vec<i64> {
        self.state.refusals.borrow().iter().map(|refusal| refusal.code).collect()
    }

    /// Returns when the accepted messages are as wanted; it waits for that without end.
    pub async fn until(&self, wanted: impl Fn(&[Message]) -> bool) -> Vec<Message> {
        let mut changes = self.state.messages.subscribe();
        let messages = changes.wait_for(|messages| wanted(messages)).await;
        messages.expect("the service outlives this").clone()
    }

    /// Returns when the refused requests are as wanted; it waits for that without end.
    pub async fn until_refused(&self, wanted: impl Fn(&[Refusal]) -> bool) -> Vec<Refusal> {
        let mut changes = self.state.refusals.subscribe();
        let refusals = changes.wait_for(|refusals| wanted(refusals)).await;
        refusals.expect("the service outlives this").clone()
    }

    /// A limit instead of the documented one; who is refused at the moment is forgiven.
    pub fn limit(&self, count: usize, per: Duration) {
        locked(&self.state.limiter).set_rates(vec![Rate::new(count, per)]);
    }

    /// A penalty instead of the documented one; who is refused at the moment is forgiven.
    pub fn penalty(&self, penalty: Duration) {
        locked(&self.state.limiter).set_penalty(penalty);
    }

    /// Answers the next `count` requests as told, after those it was told of before.
    pub fn answer_next(&self, count: usize, answer: Scripted) {
        locked(&self.state.scripted).extend(std::iter::repeat_n(answer, count));
    }

    /// The service's clock, against ours.
    pub fn clock_is(&self, ahead: SignedDuration) {
        *locked(&self.state.clock) = ahead;
    }

    /// Its port refuses connections until it starts again.
    pub async fn stop(&mut self) {
        self.server.stop().await;
    }

    /// At the same address.
    pub fn start_again(&mut self) {
        self.server.start_again();
    }
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("not poisoned")
}

impl<R: Rules> Handler for State<R> {
    fn answer(&self, call: &Call) -> Reply {
        if let Some(reply) = self.rules.aside(call) {
            return reply;
        }
        let scripted = locked(&self.scripted).pop_front();
        match scripted {
            None => self.strictly(call),
            Some(Scripted::Code(code, text)) => self.refuse(call, self.rules.failure(code, text)),
            Some(Scripted::Http { status, headers, body }) => {
                let (code, reason) = (i64::from(status), body.clone());
                let reply = Reply::Full { status, headers, body };
                self.refuse(call, Refused { code, reason, reply })
            }
            Some(Scripted::Silence) => {
                let reason = "no answer".to_owned();
                self.refuse(call, Refused { code: 0, reason, reply: Reply::Silence })
            }
            Some(Scripted::Break) => {
                self.strictly(call);
                Reply::Break
            }
        }
    }
}

impl<R: Rules> State<R> {
    fn strictly(&self, call: &Call) -> Reply {
        // Held to the end: messages are kept in the order in which they were counted.
        let mut limiter = locked(&self.limiter);
        let instant = Instant::now();
        match self.judge(call, &mut limiter, instant) {
            Err(refused) => self.refuse(call, refused),
            Ok((reply, shown)) => {
                if let Some(shown) = shown {
                    let (at, body) = (Timestamp::now(), call.body.clone());
                    let message = Message { instant, at, body, shown };
                    self.messages.send_modify(|messages| messages.push(message));
                }
                reply
            }
        }
    }

    fn judge(
        &self,
        call: &Call,
        limiter: &mut Limiter,
        now: Instant,
    ) -> Result<(Reply, Option<Shown>), Refused> {
        self.rules.address(call)?;
        if let Some(wait) = limiter.refused("", now) {
            return Err(self.rules.too_fast(wait));
        }
        let too_fast = |wait| self.rules.too_fast(wait);
        if R::COUNTS == Counts::Requests {
            limiter.take("", now).map_err(too_fast)?;
        }
        let shown = self.rules.read(call, Timestamp::now() + *locked(&self.clock))?;
        if R::COUNTS == Counts::Messages {
            limiter.take("", now).map_err(too_fast)?;
        }
        Ok(self.rules.deliver(shown, call, limiter, now))
    }

    fn refuse(&self, call: &Call, refused: Refused) -> Reply {
        let Refused { code, reason, reply } = refused;
        let refusal = Refusal { instant: Instant::now(), body: call.body.clone(), code, reason };
        self.refusals.send_modify(|refusals| refusals.push(refusal));
        reply
    }
}
