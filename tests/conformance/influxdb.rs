//! The `influxdb` sink with a service that speaks as the three generations of `InfluxDB` do.
//!
//! `tests/influxdb.rs` has a real one of the first generation.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use kube_event_relay::sink::Sink;
use kube_event_relay::sink::registry;
use serde_json::{Value, json};

use crate::fakes::service::{Call, Handler, Reply, Server};
use crate::{Behaviour, Fixture, POISON, context};

/// A sink for one of the APIs.
pub(crate) struct InfluxDbFixture {
    api: String,
    server: Server,
    database: Arc<Database>,
    /// Whether its server is stopped.
    away: bool,
}

/// What the server keeps.
struct Database {
    api: String,
    behaviour: Mutex<Behaviour>,
    bodies: Mutex<Vec<String>>,
}

impl InfluxDbFixture {
    pub(crate) async fn start(api: &str) -> Self {
        let database = Arc::new(Database {
            api: api.to_owned(),
            behaviour: Mutex::new(Behaviour::Accepts),
            bodies: Mutex::default(),
        });
        let server = Server::start(Arc::clone(&database) as Arc<dyn Handler>).await;
        Self { api: api.to_owned(), server, database, away: false }
    }
}

impl Database {
    fn is_meant(&self, call: &Call) -> bool {
        let expected: &[(&str, &str)] = match self.api.as_str() {
            "v1" => &[("db", "events"), ("precision", "ns")],
            "v2" => &[("org", "ops"), ("bucket", "events"), ("precision", "ns")],
            _ => &[("db", "events"), ("precision", "nanosecond"), ("no_sync", "false")],
        };
        let (path, authorization) = match self.api.as_str() {
            "v1" => ("/base/write", "Basic czNjcmV0LXVzZXI6czNjcmV0LXBhc3N3b3Jk"),
            "v2" => ("/base/api/v2/write", "Token s3cret-token"),
            _ => ("/base/api/v3/write_lp", "Bearer s3cret-token"),
        };
        call.method == "POST"
            && call.path == path
            && call.headers["authorization"] == authorization
            && call.headers["content-type"] == "text/plain; charset=utf-8"
            && expected.iter().all(|(name, value)| call.query(name) == Some(value))
    }

    fn refuse_poison(&self, body: &str) -> Reply {
        let lines = points(body);
        let bad = lines.iter().position(|line| line.contains(POISON));
        let Some(bad) = bad else { return Reply::text(204, "") };
        match self.api.as_str() {
            "v1" => Reply::json(
                400,
                &json!({"error": "partial write: field type conflict: input \
                field \"count\" on measurement \"events\" is type integer, already exists as type \
                float dropped=1"}),
            ),
            "v2" => Reply::json(
                400,
                &json!({"code": "invalid",
                "message": format!("unable to parse '{}': bad timestamp", lines[bad])}),
            ),
            _ => Reply::json(
                400,
                &json!({"error": "partial write of line protocol occurred",
                "data": [{"original_line": lines[bad], "line_number": bad + 1,
                    "error_message": "invalid column type"}]}),
            ),
        }
    }
}

/// The points of a body; a line break may stand in a text.
fn points(body: &str) -> Vec<&str> {
    let mut points = Vec::new();
    let mut rest = body;
    while let Some(end) = end_of_point(rest) {
        points.push(&rest[..end]);
        rest = &rest[end + 1..];
    }
    assert!(rest.is_empty(), "what follows the last line break: {rest}");
    points
}

/// The first line break that is not in a text.
fn end_of_point(text: &str) -> Option<usize> {
    let mut quoted = false;
    let mut escaped = false;
    text.bytes().position(|byte| {
        let ends = byte == b'\n' && !quoted;
        quoted ^= byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })
}

impl Handler for Database {
    fn answer(&self, call: &Call) -> Reply {
        assert!(self.is_meant(call), "{} {:?} {:?}", call.path, call.query, call.headers);
        let body = String::from_utf8(call.body.clone()).expect("UTF-8");
        self.bodies.lock().expect("not poisoned").push(body.clone());
        let quoted = format!("refused: {:?} {:?}", call.query, call.headers);
        let error = |status| Reply::json(status, &json!({"error": quoted, "message": quoted}));
        match *self.behaviour.lock().expect("not poisoned") {
            Behaviour::Accepts | Behaviour::GoneAway => Reply::text(204, ""),
            Behaviour::RefusesPoison => self.refuse_poison(&body),
            Behaviour::NotNow => error(503).with("retry-after", &7),
            Behaviour::WrongCredential => error(401),
            Behaviour::Hangs => Reply::Silence,
        }
    }
}

#[async_trait]
impl Fixture for InfluxDbFixture {
    fn sink(&self) -> Box<dyn Sink> {
        let Value::Object(options) = self.options() else { panic!("an object") };
        let kind = registry::find("influxdb").expect("a kind");
        (kind.build)(&options, &context()).expect("a sink")
    }

    async fn behave(&mut self, behaviour: Behaviour) -> bool {
        match (behaviour, self.away) {
            (Behaviour::GoneAway, _) => self.server.stop().await,
            (_, true) => self.server.start_again(),
            _ => {}
        }
        self.away = behaviour == Behaviour::GoneAway;
        *self.database.behaviour.lock().expect("not poisoned") = behaviour;
        true
    }

    /// The part of a point's time below the second is the version of its record.
    fn arrived(&self) -> Vec<String> {
        let version = |point: &str| {
            let (_, time) = point.rsplit_once(' ').expect("a time");
            let time: u64 = time.parse().expect("nanoseconds");
            (time % 1_000_000_000).to_string()
        };
        let bodies = self.deliveries();
        bodies.iter().flat_map(|body| points(body).into_iter().map(version)).collect()
    }

    fn deliveries(&self) -> Vec<String> {
        self.database.bodies.lock().expect("not poisoned").clone()
    }

    fn options(&self) -> Value {
        let url = format!("http://{}/base/", self.server.address());
        match self.api.as_str() {
            "v1" => json!({"url": url, "database": "events", "user": "s3cret-user",
                "password": "s3cret-password"}),
            "v2" => json!({"url": url, "api": "v2", "org": "ops", "bucket": "events",
                "token": "s3cret-token", "points": "json"}),
            _ => json!({"url": url, "api": "v3", "database": "events", "token": "s3cret-token"}),
        }
    }

    fn secrets(&self) -> &'static [&'static str] {
        match self.api.as_str() {
            "v1" => &["s3cret-password", "czNjcmV0LXVzZXI6czNjcmV0LXBhc3N3b3Jk"],
            _ => &["s3cret"],
        }
    }
}
