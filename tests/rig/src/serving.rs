//! Accepting connections, for the rig's own servers.
//!
//! Invariant: after [`Accepting::close`] the port is closed and every connection
//! that was accepted is gone; dropping does the same without waiting for it.

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::io;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};

/// A body that may break off, upon which hyper aborts the connection.
pub(crate) type Reply = UnsyncBoxBody<Bytes, io::Error>;

/// A listener and its connections.
#[derive(Debug)]
pub(crate) struct Accepting {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Accepting {
    pub(crate) async fn close(self) {
        // Its drop is the sign to stop.
        drop(self.stop);
        self.task.await.expect("the accepting task does not panic");
    }
}

/// Handles every connection in a task of its own.
pub(crate) fn accept<Handling: Future<Output = ()> + Send + 'static>(
    listener: TcpListener,
    handle: impl Fn(TcpStream) -> Handling + Send + 'static,
) -> Accepting {
    let (stop, mut stopped) = oneshot::channel();
    let task = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let (stream, _) = accepted.expect("accept a connection");
                    stream.set_nodelay(true).expect("set TCP_NODELAY");
                    connections.spawn(handle(stream));
                }
                Some(ended) = connections.join_next() => ended.expect("a connection's task"),
                _ = &mut stopped => break,
            }
        }
        drop(listener);
        connections.shutdown().await;
    });
    Accepting { stop, task }
}

/// Answers HTTP/1.1 requests; an error of `handle` closes the connection without
/// an answer.
pub(crate) fn serve<Handling>(
    listener: TcpListener,
    handle: impl Fn(Request<Incoming>) -> Handling + Clone + Send + 'static,
) -> Accepting
where
    Handling: Future<Output = io::Result<Response<Reply>>> + Send + 'static,
{
    accept(listener, move |stream| {
        let connection = http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service_fn(handle.clone()));
        // Connections end in errors all the time here; the tests look at the other end.
        async move { drop(connection.await) }
    })
}

/// A complete body.
pub(crate) fn full(body: Bytes) -> Reply {
    Full::new(body).map_err(|never| match never {}).boxed_unsync()
}

/// The error that makes hyper abort a connection.
pub(crate) fn aborted() -> io::Error {
    io::Error::other("aborted on purpose")
}
