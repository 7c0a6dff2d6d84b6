//! An HTTP server on a free port, in front of one handler. It stops when dropped.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, Method, Response, StatusCode};
use serde_json::Value;
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinHandle;

/// Decides on every request.
pub trait Handler: Send + Sync + 'static {
    /// The answer to this one.
    fn answer(&self, call: &Call) -> Reply;
}

/// A request.
#[derive(Clone, Debug)]
pub struct Call {
    pub method: Method,
    pub path: String,
    /// Decoded, in order.
    pub query: Vec<(String, String)>,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Call {
    /// The fields of a form in the body.
    pub fn form(&self) -> BTreeMap<String, String> {
        let body = String::from_utf8_lossy(&self.body);
        let uri = format!("/?{body}").parse().unwrap_or_default();
        Query::<BTreeMap<_, _>>::try_from_uri(&uri).map(|Query(form)| form).unwrap_or_default()
    }

    /// The first value of this name in the query; services look at the first.
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub enum Reply {
    Full {
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: String,
    },
    /// The connection breaks instead.
    Break,
    /// Nothing, ever.
    Silence,
}

impl Reply {
    pub fn json(status: u16, body: &Value) -> Self {
        let headers = vec![("content-type", "application/json; charset=utf-8".to_owned())];
        Self::Full { status, headers, body: body.to_string() }
    }

    pub fn text(status: u16, body: impl Into<String>) -> Self {
        let headers = vec![("content-type", "text/plain; charset=utf-8".to_owned())];
        Self::Full { status, headers, body: body.into() }
    }

    /// The same with another header.
    pub fn with(mut self, name: &'static str, value: &impl ToString) -> Self {
        if let Self::Full { headers, .. } = &mut self {
            headers.push((name, value.to_string()));
        }
        self
    }
}

/// A server that runs, or is stopped and keeps its port.
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    state: Running,
}

struct Shared {
    handler: Arc<dyn Handler>,
    answered: Mutex<Vec<Answered>>,
}

/// A request that was answered.
#[derive(Clone, Copy, Debug)]
pub struct Answered {
    pub at: Instant,
    pub status: u16,
}

enum Running {
    Yes(JoinHandle<()>),
    No(Option<TcpSocket>),
}

impl Server {
    pub async fn start(handler: Arc<dyn Handler>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared { handler, answered: Mutex::default() });
        let state = Running::Yes(serve(listener, Arc::clone(&shared)));
        Self { address, shared, state }
    }

    /// Every request that got a whole answer, in order.
    pub fn answered(&self) -> Vec<Answered> {
        self.shared.answered.lock().expect("not poisoned").clone()
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its port refuses connections, and nobody else gets it.
    pub async fn stop(&mut self) {
        let Running::Yes(task) = &mut self.state else { return };
        task.abort();
        // An error: it was aborted. Its listener is closed by now.
        let _stopped = task.await.is_err();
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("an option");
        socket.bind(self.address).expect("the port is still free");
        self.state = Running::No(Some(socket));
    }

    /// At the same address.
    pub fn start_again(&mut self) {
        let Running::No(socket) = &mut self.state else { return };
        let listener = socket.take().expect("a socket").listen(64).expect("it listens");
        self.state = Running::Yes(serve(listener, Arc::clone(&self.shared)));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Running::Yes(task) = &self.state {
            task.abort();
        }
    }
}

/// What answers every request, for servers that speak otherwise.
pub fn router(handler: Arc<dyn Handler>) -> Router {
    route(Arc::new(Shared { handler, answered: Mutex::default() }))
}

fn route(shared: Arc<Shared>) -> Router {
    Router::new().fallback(answer).with_state(shared)
}

fn serve(listener: TcpListener, shared: Arc<Shared>) -> JoinHandle<()> {
    let router = route(shared);
    tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") })
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    // An error: the client went away in the middle, and nobody reads the answer.
    let Ok(body) = to_bytes(body, usize::MAX).await else {
        return Response::new(Body::empty());
    };
    let query = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri);
    let call = Call {
        method: parts.method,
        path: parts.uri.path().to_owned(),
        query: query.map(|Query(pairs)| pairs).unwrap_or_default(),
        headers: parts.headers,
        body: body.to_vec(),
    };
    match shared.handler.answer(&call) {
        Reply::Silence => std::future::pending().await,
        Reply::Break => broken(),
        Reply::Full { status, headers, body } => {
            let answered = Answered { at: Instant::now(), status };
            shared.answered.lock().expect("not poisoned").push(answered);
            let mut response = Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(name, value);
            }
            response.body(Body::from(body)).expect("a response")
        }
    }
}

/// A body that ends in an error, on which the server closes the connection.
fn broken() -> Response<Body> {
    let broken = futures::stream::iter([Err::<Bytes, _>(std::io::Error::other("broken"))]);
    let mut response = Response::new(Body::from_stream(broken));
    *response.status_mut() = StatusCode::OK;
    response
}
