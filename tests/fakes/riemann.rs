//! A Riemann server: framed messages over TCP, each answered in turn.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;

use super::protobuf::{Field, fields};

/// What it answers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mood {
    Accepts,
    /// `ok` is false, with this reason.
    Refuses(&'static str),
    /// The same for messages with an event whose description contains the text.
    RefusesEvents(&'static str, &'static str),
    Silent,
}

/// An event that was accepted.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub time: u64,
    pub state: String,
    pub service: String,
    pub host: String,
    pub description: String,
    pub tags: Vec<String>,
    pub ttl: f32,
    pub attributes: Vec<(String, String)>,
    pub metric: i64,
}

/// A running server. It stops when dropped.
pub struct Riemann {
    address: SocketAddr,
    state: Arc<State>,
    /// Dropped with all connections.
    tasks: Option<JoinSet<()>>,
    /// Keeps the port while it is stopped.
    reserved: Option<TcpSocket>,
}

struct State {
    mood: Mutex<Mood>,
    messages: Mutex<Vec<Vec<u8>>>,
    accepted: Mutex<Vec<Event>>,
}

impl Riemann {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let state = Arc::new(State {
            mood: Mutex::new(Mood::Accepts),
            messages: Mutex::default(),
            accepted: Mutex::default(),
        });
        let address = listener.local_addr().expect("an address");
        let tasks = Some(serve(listener, Arc::clone(&state)));
        Self { address, state, tasks, reserved: None }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn be(&self, mood: Mood) {
        *self.state.mood.lock().expect("not poisoned") = mood;
    }

    /// Its port refuses connections from now on, and those there are break.
    pub async fn stop(&mut self) {
        if let Some(mut tasks) = self.tasks.take() {
            tasks.shutdown().await;
            let socket = TcpSocket::new_v4().expect("a socket");
            socket.set_reuseaddr(true).expect("an option");
            socket.bind(self.address).expect("the port is still free");
            self.reserved = Some(socket);
        }
    }

    /// At the same address.
    pub fn start_again(&mut self) {
        if let Some(socket) = self.reserved.take() {
            let listener = socket.listen(16).expect("it listens");
            self.tasks = Some(serve(listener, Arc::clone(&self.state)));
        }
    }

    /// Every message that came, accepted or not, as it was written.
    pub fn messages(&self) -> Vec<Vec<u8>> {
        self.state.messages.lock().expect("not poisoned").clone()
    }

    /// The events of the messages that were accepted, in order.
    pub fn accepted(&self) -> Vec<Event> {
        self.state.accepted.lock().expect("not poisoned").clone()
    }

    /// The events of all messages, in order.
    pub fn events(&self) -> Vec<Event> {
        self.messages().iter().flat_map(|message| events(message).expect("a message")).collect()
    }
}

fn serve(listener: TcpListener, state: Arc<State>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let (connection, _) = listener.accept().await.expect("a connection");
            let state = Arc::clone(&state);
            // An error: the client went away.
            connections.spawn(async move { drop(answer_all(connection, &state).await) });
        }
    });
    tasks
}

async fn answer_all(mut connection: TcpStream, state: &State) -> std::io::Result<()> {
    loop {
        let length = connection.read_u32().await?;
        let mut message = vec![0; length as usize];
        connection.read_exact(&mut message).await?;
        state.messages.lock().expect("not poisoned").push(message.clone());
        let events = events(&message).expect("a message");
        let mood = *state.mood.lock().expect("not poisoned");
        let refusal = match mood {
            Mood::Accepts => None,
            Mood::Refuses(reason) => Some(reason),
            Mood::RefusesEvents(text, reason) => {
                let refused = events.iter().any(|event| event.description.contains(text));
                refused.then_some(reason)
            }
            Mood::Silent => std::future::pending().await,
        };
        let answer = if let Some(reason) = refusal {
            let length = u8::try_from(reason.len()).expect("short");
            [&[0x10, 0, 0x1a, length], reason.as_bytes()].concat()
        } else {
            state.accepted.lock().expect("not poisoned").extend(events);
            vec![0x10, 1]
        };
        let length = u32::try_from(answer.len()).expect("short");
        connection.write_all(&length.to_be_bytes()).await?;
        connection.write_all(&answer).await?;
    }
}

fn events(message: &[u8]) -> Option<Vec<Event>> {
    let event = |bytes: &[u8]| {
        let parts = fields(bytes)?;
        let part = |tag| parts.iter().find(|(known, _)| *known == tag).map(|(_, value)| value);
        let text = |tag| part(tag).and_then(Field::text).unwrap_or_default();
        let attributes = parts.iter().filter(|(tag, _)| *tag == 9).map(|(_, value)| {
            let pair = fields(value.bytes()?)?;
            let text = |wanted| pair.iter().find(|(tag, _)| *tag == wanted)?.1.text();
            Some((text(1)?, text(2)?))
        });
        let metric = part(13)?.number()?;
        Some(Event {
            time: part(1)?.number()?,
            state: text(2),
            service: text(3),
            host: text(4),
            description: text(5),
            tags: parts.iter().filter(|(tag, _)| *tag == 7).filter_map(|it| it.1.text()).collect(),
            ttl: f32::from_bits(u32::try_from(part(8)?.number()?).ok()?),
            attributes: attributes.collect::<Option<_>>()?,
            metric: i64::try_from(metric >> 1).ok()? ^ -i64::from(metric & 1 == 1),
        })
    };
    let parts = fields(message)?;
    parts.iter().filter(|(tag, _)| *tag == 6).map(|(_, value)| event(value.bytes()?)).collect()
}
