//! A TCP proxy before the API server or any other; TLS passes through it untouched.
//!
//! Invariant: a connection that was once half open or unanswered stays so, also when
//! the proxy passes again. Why: that is what a lost entry in a NAT table or a vanished peer
//! does; only new connections work, and the client has to notice by itself.

use crate::port::ReservedPort;
use crate::serving::{Accepting, accept};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;

/// What the proxy does with connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Traffic {
    /// Forwards everything.
    Pass,
    /// Keeps connections open and accepts new ones, but forwards no byte in either
    /// direction and tells nobody.
    HalfOpen,
    /// Forwards what the client sends and keeps every answer: the server acts on a
    /// request, and the client never learns of it.
    Unanswered,
    /// Closes the port and all connections.
    Refuse,
    /// Closes each connection once this many bytes came from the server on it,
    /// counted from the switch.
    CutAfter(usize),
}

/// The proxy; gone when dropped.
#[derive(Debug)]
pub struct Proxy {
    port: ReservedPort,
    target: SocketAddr,
    traffic: watch::Sender<Traffic>,
    accepted: Arc<AtomicUsize>,
    accepting: Mutex<Option<Accepting>>,
}

impl Proxy {
    /// Starts before the server at this URL, such as [`crate::Cluster::url`]; passes.
    #[must_use]
    pub fn start(server_url: &str) -> Self {
        let (_, address) = server_url.split_once("://").expect("a URL");
        let proxy = Self {
            port: ReservedPort::new(),
            target: address.trim_end_matches('/').parse().expect("an IP address and a port"),
            traffic: watch::Sender::new(Traffic::Pass),
            accepted: Arc::default(),
            accepting: Mutex::default(),
        };
        proxy.open();
        proxy
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// `https://127.0.0.1:PORT`: the server's certificate is valid for it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}", self.port.address())
    }

    /// How many connections were accepted so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Switches; takes effect on open connections, too.
    pub async fn switch(&self, traffic: Traffic) {
        self.traffic.send_replace(traffic);
        if traffic == Traffic::Refuse {
            let accepting = self.accepting.lock().unwrap().take();
            if let Some(accepting) = accepting {
                accepting.close().await;
            }
        } else {
            self.open();
        }
    }

    fn open(&self) {
        let mut accepting = self.accepting.lock().unwrap();
        if accepting.is_some() {
            return;
        }
        let (target, traffic) = (self.target, self.traffic.clone());
        let accepted = Arc::clone(&self.accepted);
        *accepting = Some(accept(self.port.listen(), move |client| {
            accepted.fetch_add(1, Ordering::SeqCst);
            forward(client, target, traffic.subscribe())
        }));
    }
}

async fn forward(client: TcpStream, target: SocketAddr, traffic: watch::Receiver<Traffic>) {
    let (mut from_client, to_client) = client.into_split();
    if *traffic.borrow() == Traffic::HalfOpen {
        discard(&mut from_client).await;
        return;
    }
    // A server that is down refuses; closing is the nearest that a proxy can do.
    let Ok(server) = TcpStream::connect(target).await else { return };
    let (from_server, to_server) = server.into_split();
    // Whichever direction ends takes the other with it.
    tokio::select! {
        () = pump(from_client, to_server, traffic.clone(), false) => {}
        () = pump(from_server, to_client, traffic, true) => {}
    }
}

/// Copies bytes until an end, an error, or a cut.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut traffic: watch::Receiver<Traffic>,
    from_server: bool,
) {
    let mut buffer = vec![0; 64 * 1024];
    let mut current = *traffic.borrow_and_update();
    let mut left = bytes_allowed(current);
    loop {
        if from_server && matches!(current, Traffic::HalfOpen | Traffic::Unanswered) {
            // The other direction decides when the connection ends.
            std::future::pending::<()>().await;
        }
        if current == Traffic::HalfOpen {
            discard(&mut from).await;
            return;
        }
        tokio::select! {
            biased;
            changed = traffic.changed() => {
                if changed.is_err() {
                    return;
                }
                current = *traffic.borrow_and_update();
                left = bytes_allowed(current);
            }
            read = from.read(&mut buffer) => {
                let Ok(length @ 1..) = read else { return };
                let allowed = if from_server { length.min(left) } else { length };
                if to.write_all(&buffer[..allowed]).await.is_err() {
                    return;
                }
                if from_server && left != usize::MAX {
                    left -= allowed;
                    if left == 0 {
                        return;
                    }
                }
            }
        }
    }
}

fn bytes_allowed(traffic: Traffic) -> usize {
    match traffic {
        Traffic::CutAfter(bytes) => bytes,
        _ => usize::MAX,
    }
}

/// Reads until the client closes, so that a dead connection lasts as long as the
/// client believes in it.
async fn discard(from: &mut OwnedReadHalf) {
    let mut buffer = vec![0; 64 * 1024];
    while matches!(from.read(&mut buffer).await, Ok(1..)) {}
}
