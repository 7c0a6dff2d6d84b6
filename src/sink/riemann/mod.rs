//! The `riemann` sink: events for a Riemann server, over TCP, each message answered.
//!
//! Riemann keeps the latest event of each host and service: what is sent again replaces itself there.

mod eventer;
mod message;

use async_trait::async_trait;
use prost::Message;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use self::message::{Common, Event, Msg};
use super::options::{self, wrong};
use super::registry::Kind;
use super::{Batch, Delivery, Outcome, Sink, SinkError, transcript};
use crate::event::Record;
use crate::setting::{ByteSize, Span};

pub(super) const KIND: Kind = Kind {
    name: "riemann",
    about: "Events for Riemann",
    aliases: &[],
    eventer_name: "Riemann Sink",
    batch: Batch {
        max_records: Some(1_000),
        max_bytes: Some(ByteSize::mib(1)),
        max_wait: Some(Span::from_secs(1)),
    },
    options: options::describe::<Options>,
    build: |map, _| Ok(Box::new(Riemann::new(options::parse(map)?)?)),
    redact: options::redact::<Options>,
    from_uri: eventer::translate,
};

/// `options` of a sink of kind `riemann`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Options {
    /// `HOST:PORT`.
    address: String,
    /// Seconds after which Riemann forgets an event.
    #[serde(default = "ttl")]
    ttl: f32,
    /// Tags of every event.
    #[serde(default)]
    tags: Vec<String>,
}

/// Longest answer: it is `ok` or a line of text.
const LONGEST_ANSWER: usize = 1 << 20;

/// A refusal that comes so often is meant: Riemann's streams do not take the event.
const REFUSALS: u32 = 3;

struct Riemann {
    address: String,
    common: Common,
    connection: Option<TcpStream>,
    /// How often in a row a message was refused.
    refusals: u32,
}

impl Riemann {
    fn new(options: Options) -> Result<Self, SinkError> {
        let Options { address, ttl, tags } = options;
        let port = address.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        if port.is_none() {
            return Err(wrong("address", "write HOST:PORT, such as riemann:5555"));
        }
        if !ttl.is_finite() || ttl <= 0.0 {
            return Err(wrong("ttl", "write a number of seconds above 0"));
        }
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let common = Common { ttl, tags, host };
        Ok(Self { address, common, connection: None, refusals: 0 })
    }

    async fn send(&mut self, batch: &[Record]) -> std::io::Result<Msg> {
        let events = batch.iter().map(|record| Event::of(record, &self.common)).collect();
        let message = Msg { ok: None, error: None, events };
        // Taken out, so that a delivery that is given up in the middle leaves no half-read answer.
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => TcpStream::connect(&self.address).await?,
        };
        let answer = exchange(&mut connection, &message).await?;
        self.connection = Some(connection);
        transcript::note(|| format!("{answer:?}"));
        Ok(answer)
    }

    fn judge(&mut self, answer: Msg) -> Outcome {
        if answer.ok == Some(true) {
            self.refusals = 0;
            return Outcome::Accepted;
        }
        let said = answer.error.unwrap_or_else(|| "without a reason".to_owned());
        let said = format!("Riemann refuses it: {}", crate::event::render::cut(&said, 300));
        self.refusals += 1;
        if self.refusals < REFUSALS {
            return Outcome::Retry { after: None, cause: said };
        }
        Outcome::Rejected { reason: said }
    }
}

/// Messages have their length in front, and each is answered.
async fn exchange(connection: &mut TcpStream, message: &Msg) -> std::io::Result<Msg> {
    let bytes = message.encode_to_vec();
    let length = u32::try_from(bytes.len()).map_err(std::io::Error::other)?;
    connection.write_all(&length.to_be_bytes()).await?;
    connection.write_all(&bytes).await?;
    let length = connection.read_u32().await? as usize;
    if length > LONGEST_ANSWER {
        return Err(std::io::Error::other("the answer is not one of Riemann: check the address"));
    }
    let mut answer = vec![0; length];
    connection.read_exact(&mut answer).await?;
    Msg::decode(answer.as_slice()).map_err(std::io::Error::other)
}

#[async_trait]
impl Sink for Riemann {
    async fn deliver(&mut self, batch: &[Record]) -> Delivery {
        if batch.is_empty() {
            return Delivery::Each(Vec::new());
        }
        Delivery::Whole(match self.send(batch).await {
            Ok(answer) => self.judge(answer),
            Err(error) => Outcome::Retry { after: None, cause: error.to_string() },
        })
    }
}

fn ttl() -> f32 {
    60.0
}
