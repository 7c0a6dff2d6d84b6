//! TCP ports that stay ours.
//!
//! Invariant: from [`ReservedPort::new`] to its drop no other process gets the
//! port, also while nothing listens on it. Why: a test stops a server and starts
//! it again on the same port, and parallel tests must not take it in between.
//!
//! How: a socket bound with `SO_REUSEADDR` that never listens. Linux then refuses
//! connections to the port, never hands it out as a free one, and still lets
//! another socket with `SO_REUSEADDR` (which all servers here set) listen on it.

use std::net::{Ipv4Addr, SocketAddr};
use tokio::net::{TcpListener, TcpSocket};

/// A port of the loopback address, reserved until dropped.
#[derive(Debug)]
pub struct ReservedPort {
    address: SocketAddr,
    _placeholder: TcpSocket,
}

impl ReservedPort {
    /// Reserves a free port. Must be called within a Tokio runtime.
    #[must_use]
    pub fn new() -> Self {
        let placeholder = reusable_socket(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let address = placeholder.local_addr().expect("address of a bound socket");
        Self { address, _placeholder: placeholder }
    }

    /// The port's number.
    #[must_use]
    pub fn number(&self) -> u16 {
        self.address.port()
    }

    /// The address to connect to, `127.0.0.1:PORT`.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Starts to listen; dropping the listener makes the port refuse connections again.
    #[must_use]
    pub fn listen(&self) -> TcpListener {
        reusable_socket(self.address).listen(1024).expect("listen on a reserved port")
    }
}

impl Default for ReservedPort {
    fn default() -> Self {
        Self::new()
    }
}

fn reusable_socket(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().expect("create a socket");
    socket.set_reuseaddr(true).expect("set SO_REUSEADDR");
    socket.bind(address).expect("bind a loopback port");
    socket
}
