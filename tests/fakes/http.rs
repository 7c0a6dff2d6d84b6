//! A service that speaks HTTP, notes every request, and answers as told.
//!
//! When it refuses, it quotes the request with its URL and headers, as careless services do:
//! nothing of that may reach an operator.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, Response, Uri};
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinHandle;

/// What it answers.
#[derive(Clone)]
pub enum Answer {
    /// This status, with these headers.
    Status(u16, Vec<(&'static str, String)>),
    /// This status when the body contains the text, otherwise 200.
    StatusWhen(&'static str, u16),
    /// This status with this body.
    Text(u16, String),
    /// Nothing, ever.
    Silence,
}

/// A request it got.
#[derive(Clone, Debug, PartialEq)]
pub struct Received {
    pub method: Method,
    pub uri: Uri,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

/// A running service. It stops when dropped.
pub struct Service {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

/// A service that does not run.
pub struct Absent(TcpSocket);

impl Absent {
    /// Starts it again at the same address.
    pub fn start(self) -> Service {
        Service::serve(self.0.listen(16).expect("it listens"))
    }
}

struct Shared {
    answer: Mutex<Answer>,
    received: Mutex<Vec<Received>>,
}

impl Service {
    /// Starts one on a free port that accepts everything.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        Self::serve(listener)
    }

    fn serve(listener: TcpListener) -> Self {
        let shared = Arc::new(Shared {
            answer: Mutex::new(Answer::Status(200, Vec::new())),
            received: Mutex::new(Vec::new()),
        });
        let address = listener.local_addr().expect("an address");
        let router = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("it serves");
        });
        Self { address, shared, server }
    }

    /// Stops it. Its port refuses connections, and nobody else gets it.
    pub async fn stop(mut self) -> Absent {
        self.server.abort();
        // An error: it was aborted. Its listener is closed by now.
        let _stopped = (&mut self.server).await.is_err();
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("an option");
        socket.bind(self.address).expect("the port is still free");
        Absent(socket)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it answers from now on.
    pub fn answer(&self, answer: Answer) {
        *self.shared.answer.lock().expect("not poisoned") = answer;
    }

    /// Every request so far.
    pub fn received(&self) -> Vec<Received> {
        self.shared.received.lock().expect("not poisoned").clone()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.expect("a whole body").to_vec();
    let quoted = format!("refused: {} {:?}", parts.uri, parts.headers);
    let text = String::from_utf8_lossy(&body).into_owned();
    shared.received.lock().expect("not poisoned").push(Received {
        method: parts.method,
        uri: parts.uri,
        headers: parts.headers,
        body,
    });
    let answer = shared.answer.lock().expect("not poisoned").clone();
    let (status, headers, said) = match answer {
        Answer::Status(status, headers) => (status, headers, None),
        Answer::StatusWhen(part, status) if text.contains(part) => (status, Vec::new(), None),
        Answer::StatusWhen(..) => (200, Vec::new(), None),
        Answer::Text(status, said) => (status, Vec::new(), Some(said)),
        Answer::Silence => std::future::pending().await,
    };
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    let body = match said {
        Some(said) => Body::from(said),
        None if status < 300 => Body::empty(),
        None => Body::from(quoted),
    };
    response.body(body).expect("a response")
}
