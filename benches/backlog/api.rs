//! An API server that only knows one endless watch: numbered events, as fast as they are read.
//!
//! Invariant: a version has the same bytes whenever it is sent, and versions have no holes.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::events::{FIRST, write_event};

/// Events that are written in one piece.
const EVENTS_AT_ONCE: u64 = 128;

/// The server. Its threads end with the process.
pub(crate) struct Api {
    port: u16,
    history: Arc<History>,
}

/// What exists so far.
#[derive(Default)]
struct History {
    /// The newest version.
    newest: Mutex<u64>,
    news: Condvar,
    /// The newest version that was sent to anyone.
    sent: AtomicU64,
    /// JSON bytes of the events up to it.
    sent_bytes: AtomicU64,
}

impl Api {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let history = Arc::new(History { newest: Mutex::new(FIRST - 1), ..History::default() });
        let shared = history.clone();
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let history = shared.clone();
                // A client that goes away ends its connection; nothing else can go wrong here.
                std::thread::spawn(move || drop(serve(connection, &history)));
            }
        });
        Self { port, history }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Lets events happen up to this version.
    pub(crate) fn release(&self, newest: u64) {
        *self.history.newest.lock().unwrap_or_else(PoisonError::into_inner) = newest;
        self.history.news.notify_all();
    }

    /// JSON bytes of all events that were sent, each counted once.
    pub(crate) fn raw_bytes(&self) -> u64 {
        self.history.sent_bytes.load(Ordering::Relaxed)
    }
}

impl History {
    fn newest(&self) -> u64 {
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest version, once it is above `after`, or when the time is over.
    fn wait(&self, after: u64, patience: Duration) -> u64 {
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.news.wait_timeout_while(newest, patience, |newest| *newest <= after);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

fn serve(connection: TcpStream, history: &History) -> std::io::Result<()> {
    connection.set_nodelay(true)?;
    let mut answer = connection.try_clone()?;
    let mut requests = BufReader::new(connection);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if requests.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        let target = head.split(' ').nth(1).unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let parameter = |name: &str| {
            query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
        };
        match (path, parameter("watch")) {
            ("/api/v1/events", Some(_)) => {
                let number = |name| parameter(name).and_then(|value| value.parse().ok());
                let after = number("resourceVersion").unwrap_or(FIRST - 1);
                let seconds = number("timeoutSeconds").unwrap_or(1_800);
                watch(&mut answer, history, after, Duration::from_secs(seconds))?;
            }
            ("/api/v1/events", None) => {
                // Old events are gone, as their time to live would have it; the version is not.
                let newest = history.newest();
                let metadata = format!(r#"{{"resourceVersion":"{newest}"}}"#);
                let list = r#"{"kind":"EventList","apiVersion":"v1","items":[],"metadata":"#;
                object(&mut answer, "200 OK", &format!("{list}{metadata}}}"))?;
            }
            ("/api/v1/namespaces/kube-system", _) => {
                let uid = r#"{"kind":"Namespace","metadata":{"name":"kube-system","uid":"b-1"}}"#;
                object(&mut answer, "200 OK", uid)?;
            }
            _ => object(&mut answer, "404 Not Found", r#"{"kind":"Status","code":404}"#)?,
        }
    }
}

fn object(answer: &mut TcpStream, status: &str, body: &str) -> std::io::Result<()> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    answer.write_all((head + body).as_bytes())
}

/// Sends what happens after a version, in chunks, until the time is over.
fn watch(
    answer: &mut TcpStream,
    history: &History,
    mut after: u64,
    time: Duration,
) -> std::io::Result<()> {
    let head =
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    answer.write_all(head.as_bytes())?;
    let end = Instant::now() + time;
    let (mut lines, mut piece) = (Vec::new(), Vec::new());
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return answer.write_all(b"0\r\n\r\n");
        }
        let through = history.wait(after, left).min(after + EVENTS_AT_ONCE);
        if through <= after {
            continue;
        }
        lines.clear();
        let mut lengths = Vec::new();
        for version in after + 1..=through {
            lines.extend_from_slice(br#"{"type":"ADDED","object":"#);
            let before = lines.len();
            write_event(&mut lines, version);
            lengths.push((lines.len() - before) as u64);
            lines.extend_from_slice(b"}\n");
        }
        piece.clear();
        write!(piece, "{:x}\r\n", lines.len())?;
        piece.extend_from_slice(&lines);
        piece.extend_from_slice(b"\r\n");
        answer.write_all(&piece)?;
        let new =
            through.saturating_sub(history.sent.fetch_max(through, Ordering::Relaxed).max(after));
        let new = usize::try_from(new).unwrap_or(usize::MAX).min(lengths.len());
        let bytes = lengths[lengths.len() - new..].iter().sum::<u64>();
        history.sent_bytes.fetch_add(bytes, Ordering::Relaxed);
        after = through;
    }
}
