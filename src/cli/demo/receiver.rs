//! A webhook receiver whose door can be shut, and which remembers what came in.
//!
//! Invariant: what is in the ledger was answered with 200, or the connection broke before it could
//! be; nothing is taken in while the door is shut.

use std::collections::HashSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::routing::any;
use serde_json::Value;
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Connections the system holds while they wait to be taken.
const BACKLOG: u32 = 128;
/// Larger than any batch of a relay.
const BODY_LIMIT: usize = 64 << 20;

/// What a receiver has taken in.
#[derive(Debug, Default)]
pub struct Ledger {
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    versions: HashSet<u64>,
    duplicates: u64,
}

/// A receiver of webhooks on 127.0.0.1. Dropping it shuts its door.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    ledger: Arc<Ledger>,
    door: Door,
}

#[derive(Debug)]
enum Door {
    Open {
        stop: CancellationToken,
        task: JoinHandle<io::Result<()>>,
    },
    /// The port is kept for the next opening without listening on it: connections are refused.
    Shut {
        _reservation: TcpSocket,
    },
}

impl Ledger {
    /// How many different events came in.
    #[must_use]
    pub fn distinct(&self) -> u64 {
        self.taken().versions.len() as u64
    }

    /// How many events came in that had come in before.
    #[must_use]
    pub fn duplicates(&self) -> u64 {
        self.taken().duplicates
    }

    /// Which of these resourceVersions did not come in.
    #[must_use]
    pub fn missing(&self, sent: &[u64]) -> Vec<u64> {
        let taken = self.taken();
        sent.iter().copied().filter(|version| !taken.versions.contains(version)).collect()
    }

    /// Takes in the events of one request: objects or arrays of objects, one after the other.
    /// Nothing is taken when one of them has no resourceVersion.
    fn take(&self, body: &[u8]) -> Result<(), NotEvents> {
        let mut versions = Vec::new();
        for value in serde_json::Deserializer::from_slice(body).into_iter::<Value>() {
            match value.map_err(|_| NotEvents)? {
                Value::Array(events) => {
                    for event in &events {
                        versions.push(version(event)?);
                    }
                }
                event => versions.push(version(&event)?),
            }
        }
        let mut taken = self.taken();
        for version in versions {
            if !taken.versions.insert(version) {
                taken.duplicates += 1;
            }
        }
        Ok(())
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request without events in it.
#[derive(Debug, PartialEq, Eq)]
struct NotEvents;

fn version(event: &Value) -> Result<u64, NotEvents> {
    let version = event.pointer("/metadata/resourceVersion").and_then(Value::as_str);
    version.and_then(|version| version.parse().ok()).ok_or(NotEvents)
}

impl Receiver {
    /// A receiver with an open door, on a free port.
    pub async fn open() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let (address, ledger) = (listener.local_addr()?, Arc::default());
        let door = Door::open(listener, &ledger);
        Ok(Self { address, ledger, door })
    }

    /// Where to send events.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/events", self.address)
    }

    /// What came in so far.
    #[must_use]
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// Whether it takes events.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.door, Door::Open { .. })
    }

    /// Answers the requests in progress, closes all connections, and refuses new ones.
    pub async fn shut(&mut self) -> io::Result<()> {
        if let Door::Open { stop, task } = &mut self.door {
            stop.cancel();
            task.await??;
            self.door = Door::Shut { _reservation: reserve(self.address)? };
        }
        Ok(())
    }

    /// Takes events again, on the same port.
    pub fn reopen(&mut self) -> io::Result<()> {
        if let Door::Shut { .. } = self.door {
            // Two sockets may share a port as long as only one of them listens.
            let listener = reserve(self.address)?.listen(BACKLOG)?;
            self.door = Door::open(listener, &self.ledger);
        }
        Ok(())
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if let Door::Open { stop, .. } = &self.door {
            stop.cancel();
        }
    }
}

impl Door {
    fn open(listener: TcpListener, ledger: &Arc<Ledger>) -> Self {
        let stop = CancellationToken::new();
        let routes = Router::new()
            .fallback(any(take))
            .layer(DefaultBodyLimit::max(BODY_LIMIT))
            .with_state(Arc::clone(ledger));
        let server =
            axum::serve(listener, routes).with_graceful_shutdown(stop.clone().cancelled_owned());
        Self::Open { stop, task: tokio::spawn(server.into_future()) }
    }
}

fn reserve(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

async fn take(State(ledger): State<Arc<Ledger>>, body: Bytes) -> (StatusCode, &'static str) {
    match ledger.take(&body) {
        Ok(()) => (StatusCode::OK, "ok"),
        Err(NotEvents) => (StatusCode::BAD_REQUEST, "no event with a resourceVersion"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::demo::testing::http;

    fn event(version: u64) -> String {
        format!(r#"{{"metadata":{{"resourceVersion":"{version}"}}}}"#)
    }

    #[test]
    fn every_form_of_batch_is_understood() {
        let ledger = Ledger::default();
        let (one, two, three) = (event(1), event(2), event(3));
        for body in [one.clone(), format!("{one}\n{two}\n"), format!("[{two},{three}]")] {
            assert_eq!(ledger.take(body.as_bytes()), Ok(()), "{body}");
        }
        assert_eq!((ledger.distinct(), ledger.duplicates()), (3, 2));
        assert_eq!(ledger.missing(&[1, 2, 3, 4]), [4]);
    }

    #[test]
    fn a_request_is_taken_as_a_whole_or_not_at_all() {
        let ledger = Ledger::default();
        for rest in ["{}", "{", "[1]"] {
            assert_eq!(ledger.take((event(1) + rest).as_bytes()), Err(NotEvents), "{rest}");
        }
        assert_eq!(ledger.distinct(), 0);
    }

    #[tokio::test]
    async fn a_shut_door_refuses_connections_and_opens_on_the_same_port() {
        let mut receiver = Receiver::open().await.expect("a free port");
        let (http, url) = (http(), receiver.url());
        let send = async |version| http.post(&url).body(event(version)).send().await;
        assert_eq!(send(1).await.expect("open").status(), 200);
        for round in [2, 3] {
            receiver.shut().await.expect("shut");
            assert!(!receiver.is_open());
            assert!(send(99).await.expect_err("shut").is_connect());
            receiver.reopen().expect("the same port");
            assert_eq!(send(round).await.expect("open").status(), 200);
        }
        assert_eq!(receiver.ledger().missing(&[1, 2, 3, 99]), [99]);
    }
}
