//! Honeycomb's Events API, as strict as the real one: key, encoding, sizes, and a status for each event.
//!
//! Sources: Honeycomb, "Events API" and "Rate limits"; `libhoney-go` and `libhoney-py`. Like the real one, which is
//! written in Go, it takes `Data` for `data`, and does not look at `Timestamp`.

use std::collections::VecDeque;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use flate2::read::GzDecoder;
use serde_json::{Map, Value, json};

use super::schema::says_json;
use super::service::{Answered, Call, Handler, Reply, Server};

/// Longest request, uncompressed.
const LONGEST_REQUEST: usize = 5_000_000;

/// Longest event of a request.
const LONGEST_EVENT: usize = 1_000_000;

/// Longest text of a column.
const LONGEST_TEXT: usize = 64 << 10;

const MOST_COLUMNS: usize = 2_000;

/// An event that was accepted.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub dataset: String,
    /// As it was written; absent when the time of arrival is taken.
    pub time: Option<String>,
    pub sample_rate: u64,
    pub data: Map<String, Value>,
}

/// How it behaves.
#[derive(Clone, Debug)]
pub enum Mood {
    /// It takes what is right.
    Strict,
    /// It answers every request with this status and these words.
    Refuses(u16, String),
    /// The limit of calls is exceeded, with and without `Retry-After`.
    Limited { retry_after: Option<u64>, reset: Option<u64> },
    /// Of the next request it takes so many events, and throttles the others.
    Throttles(usize),
    /// It refuses events that contain this text.
    RefusesEvents(&'static str),
    /// Of the next request it tells only what became of so many events.
    Tells(usize),
    /// It never answers.
    Silent,
}

/// A service with one team. It stops when dropped.
pub struct Honeycomb {
    server: Server,
    team: Arc<Team>,
}

struct Team {
    key: Mutex<String>,
    mood: Mutex<Mood>,
    events: Mutex<Vec<Event>>,
    statuses: Mutex<VecDeque<u16>>,
    bodies: Mutex<Vec<String>>,
}

impl Honeycomb {
    /// A team with this key.
    pub async fn start(key: &str) -> Self {
        let team = Arc::new(Team {
            key: Mutex::new(key.to_owned()),
            mood: Mutex::new(Mood::Strict),
            events: Mutex::default(),
            statuses: Mutex::default(),
            bodies: Mutex::default(),
        });
        Self { server: Server::start(Arc::clone(&team) as Arc<dyn Handler>).await, team }
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    pub fn url(&self) -> String {
        format!("http://{}/", self.address())
    }

    /// What it does from now on.
    pub fn be(&self, mood: Mood) {
        *self.team.mood.lock().expect("not poisoned") = mood;
    }

    /// The only key it knows from now on.
    pub fn know(&self, key: &str) {
        key.clone_into(&mut self.team.key.lock().expect("not poisoned"));
    }

    /// Events that were accepted, in order.
    pub fn events(&self) -> Vec<Event> {
        self.team.events.lock().expect("not poisoned").clone()
    }

    /// The statuses of all requests so far.
    pub fn statuses(&self) -> Vec<u16> {
        self.team.statuses.lock().expect("not poisoned").iter().copied().collect()
    }

    /// The body of every request with the right key, uncompressed.
    pub fn bodies(&self) -> Vec<String> {
        self.team.bodies.lock().expect("not poisoned").clone()
    }

    /// Every request that was answered, in order.
    pub fn answered(&self) -> Vec<Answered> {
        self.server.answered()
    }

    pub async fn stop(&mut self) {
        self.server.stop().await;
    }

    pub fn start_again(&mut self) {
        self.server.start_again();
    }
}

impl Handler for Team {
    fn answer(&self, call: &Call) -> Reply {
        let reply = self.decide(call).unwrap_or_else(|refusal| refusal);
        if let Reply::Full { status, .. } = &reply {
            self.statuses.lock().expect("not poisoned").push_back(*status);
        }
        reply
    }
}

fn refusal(status: u16, words: &str) -> Reply {
    Reply::json(status, &json!({"error": words}))
}

impl Team {
    fn decide(&self, call: &Call) -> Result<Reply, Reply> {
        let dataset = self.admit(call)?;
        let body = body(call)?;
        self.bodies.lock().expect("not poisoned").push(body.clone());
        let mood = self.next_mood();
        // Careless services quote what they refuse.
        let quoted = |words: &str| format!("{words} {:?} {:?}", call.path, call.headers);
        match mood {
            Mood::Silent => return Ok(Reply::Silence),
            Mood::Refuses(status, words) => return Err(refusal(status, &quoted(&words))),
            Mood::Limited { retry_after, reset } => return Err(limited(retry_after, reset)),
            _ => {}
        }
        let items: Vec<Value> = serde_json::from_str(&body)
            .map_err(|_| refusal(400, "Request body is malformed and cannot be read."))?;
        if items.is_empty() {
            return Err(refusal(400, "Request body should not be empty."));
        }
        let items = items.iter().enumerate();
        let statuses: Vec<_> =
            items.map(|(place, item)| self.take(&dataset, place, item, &mood)).collect();
        let told = if let Mood::Tells(count) = mood { count } else { statuses.len() };
        Ok(Reply::json(200, &Value::from(&statuses[..told])))
    }

    /// The dataset, for those who may write to it.
    fn admit(&self, call: &Call) -> Result<String, Reply> {
        let dataset = call.path.strip_prefix("/1/batch/").filter(|name| !name.contains('/'));
        let Some(dataset) = dataset.filter(|name| !name.is_empty()) else {
            return Err(Reply::text(404, "404 page not found"));
        };
        if call.method != "POST" {
            return Err(Reply::text(405, ""));
        }
        let key = call.headers.get("x-honeycomb-team").and_then(|key| key.to_str().ok());
        if key != Some(self.key.lock().expect("not poisoned").as_str()) {
            return Err(refusal(401, "unknown API key - check your credentials"));
        }
        if !says_json(call) {
            return Err(refusal(415, "unsupported media type"));
        }
        Ok(dataset.to_owned())
    }

    /// Some moods last for one request.
    fn next_mood(&self) -> Mood {
        let mut mood = self.mood.lock().expect("not poisoned");
        let now = mood.clone();
        if matches!(now, Mood::Throttles(_) | Mood::Tells(_)) {
            *mood = Mood::Strict;
        }
        now
    }

    /// Takes one event of a request, or says why not.
    fn take(&self, dataset: &str, place: usize, item: &Value, mood: &Mood) -> Value {
        let event = match (event(dataset, item), mood) {
            (Err((status, words)), _) => return json!({"status": status, "error": words}),
            (Ok(_), Mood::Throttles(count)) if place >= *count => {
                return json!({"status": 429, "error": "event dropped due to throttling"});
            }
            (Ok(_), Mood::RefusesEvents(text)) if item.to_string().contains(text) => {
                return json!({"status": 400, "error": "Event has too many columns."});
            }
            (Ok(event), _) => event,
        };
        self.events.lock().expect("not poisoned").push(event);
        json!({"status": 202})
    }
}

fn limited(retry_after: Option<u64>, reset: Option<u64>) -> Reply {
    let mut reply = refusal(429, "request rate limit exceeded");
    if let Some(seconds) = retry_after {
        reply = reply.with("retry-after", &seconds);
    }
    if let Some(seconds) = reset {
        reply = reply.with("ratelimit", &format!("limit=100, remaining=0, reset={seconds}"));
    }
    reply
}

fn body(call: &Call) -> Result<String, Reply> {
    let encoding = call.headers.get("content-encoding").and_then(|value| value.to_str().ok());
    let bytes = match encoding {
        None => call.body.clone(),
        Some("gzip") => {
            let mut bytes = Vec::new();
            let read = GzDecoder::new(&call.body[..]).read_to_end(&mut bytes);
            read.map_err(|_| refusal(400, "Request body is malformed and cannot be read."))?;
            bytes
        }
        Some(_) => return Err(refusal(415, "unsupported content encoding")),
    };
    if bytes.len() > LONGEST_REQUEST {
        return Err(refusal(413, "request body too large"));
    }
    String::from_utf8(bytes)
        .map_err(|_| refusal(400, "Request body is malformed and cannot be read."))
}

/// Reads one item.
fn event(dataset: &str, item: &Value) -> Result<Event, (u16, &'static str)> {
    let object = item.as_object().ok_or((400, "Request body is malformed and cannot be read."))?;
    let field = |name: &str| {
        object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    };
    if item.to_string().len() > LONGEST_EVENT {
        return Err((413, "event exceeds max event size of 1000000 bytes"));
    }
    let data = field("data").and_then(Value::as_object).filter(|data| !data.is_empty());
    let data = data.ok_or((400, "Request body should not be empty."))?;
    if data.len() > MOST_COLUMNS {
        return Err((400, "Event has too many columns."));
    }
    if data.values().any(|value| value.as_str().is_some_and(|text| text.len() > LONGEST_TEXT)) {
        return Err((400, "Event has a value that is too long."));
    }
    let time = field("time").map(|time| time.as_str().unwrap_or_default().to_owned());
    if time.as_ref().is_some_and(|time| time.parse::<jiff::Timestamp>().is_err()) {
        return Err((400, "Request body is malformed and cannot be read."));
    }
    let sample_rate = field("samplerate").map_or(Some(1), Value::as_u64);
    let sample_rate = sample_rate.ok_or((400, "Request body is malformed and cannot be read."))?;
    Ok(Event { dataset: dataset.to_owned(), time, sample_rate, data: data.clone() })
}
