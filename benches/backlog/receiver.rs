//! A receiver of webhooks that keeps nothing but counts, and checks the order of what it counts.
//!
//! Invariant: what a sink may not skip, it has not skipped: the version that follows the last one is
//! known, so a hole or a step back is noticed in the request that brings it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use memchr::memmem;

use crate::events::{FIRST, Wanted};

/// What one sink has sent.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    pub(crate) records: u64,
    pub(crate) repeated: u64,
    pub(crate) bytes: u64,
    pub(crate) requests: u64,
    /// The newest version; 0 before the first.
    last: u64,
    /// The first thing that was wrong.
    pub(crate) fault: Option<String>,
}

/// One sink's place. Its requests go to `/NUMBER`.
struct Place {
    wanted: Wanted,
    tally: Mutex<Tally>,
}

/// The receiver of all sinks. Its threads end with the process.
#[derive(Clone)]
pub(crate) struct Receiver(Arc<Vec<Place>>);

impl Receiver {
    pub(crate) fn new(wanted: &[Wanted]) -> Self {
        let place = |wanted: &Wanted| Place { wanted: *wanted, tally: Mutex::default() };
        Self(Arc::new(wanted.iter().map(place).collect()))
    }

    /// Listens on a free port and returns it.
    pub(crate) fn listen(&self) -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        self.accept(listener);
        port
    }

    /// Takes connections from a listener.
    pub(crate) fn accept(&self, listener: TcpListener) {
        let receiver = self.clone();
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let receiver = receiver.clone();
                // A relay that goes away ends its connection.
                std::thread::spawn(move || drop(receiver.serve(connection)));
            }
        });
    }

    pub(crate) fn tally(&self, sink: usize) -> Tally {
        self.0[sink].tally.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn serve(&self, connection: TcpStream) -> std::io::Result<()> {
        connection.set_nodelay(true)?;
        let mut answer = connection.try_clone()?;
        let mut requests = BufReader::new(connection);
        let mut body = Vec::new();
        loop {
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if requests.read_line(&mut head)? == 0 {
                    return Ok(());
                }
            }
            let head = head.to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length = length.and_then(|length| length.parse().ok()).expect("a length");
            let sink: usize = head
                .split(' ')
                .nth(1)
                .and_then(|path| path.trim_start_matches('/').parse().ok())
                .expect("the number of a sink");
            body.resize(length, 0);
            requests.read_exact(&mut body)?;
            self.0[sink].take(&body);
            answer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")?;
        }
    }
}

impl Place {
    fn take(&self, body: &[u8]) {
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.requests += 1;
        tally.bytes += body.len() as u64;
        for version in versions(body) {
            let expected = self.wanted.after(tally.last.max(FIRST - 1));
            if version == expected {
                tally.records += 1;
                tally.last = version;
            } else if version <= tally.last {
                tally.repeated += 1;
            } else {
                let last = tally.last;
                let fault = format!("version {version} follows {last}; {expected} is missing");
                tally.fault.get_or_insert(fault);
                tally.last = version;
            }
        }
    }
}

/// The events' own versions, in order of appearance. The object an event is about has one too, which
/// no time of creation follows.
fn versions(body: &[u8]) -> impl Iterator<Item = u64> {
    const KEY: &[u8] = br#""resourceVersion":""#;
    memmem::find_iter(body, KEY).filter_map(|at| {
        let rest = &body[at + KEY.len()..];
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let own = rest[digits..].starts_with(br#"","creationTimestamp":"#);
        let number = |digits: &[u8]| std::str::from_utf8(digits).ok()?.parse().ok();
        own.then(|| number(&rest[..digits])).flatten()
    })
}
