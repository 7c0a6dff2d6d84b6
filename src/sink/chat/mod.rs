//! Sinks whose readers are people: one event is one message, many events are a digest.
//!
//! A service is one file: how its messages look, how many bytes it takes, how often it may be called,
//! and what its answers mean. What goes into a message is decided here, the same way for all.
//!
//! Invariants:
//! 1. A record is accepted only when it is named in a message the service has accepted.
//! 2. No message is larger than the service takes, and none is cut by the service.
//! 3. An answer is read before it is believed: most of these services refuse with HTTP 200.

mod answer;
mod compose;
mod dingtalk;
mod eventer;
mod feishu;
mod robot;
mod slack;
mod teams;
mod template;
#[cfg(test)]
mod testing;
mod uri;
mod wechat;
mod wecom;
mod wecom_robot;

pub(super) use dingtalk::KIND as DINGTALK;
#[cfg(test)]
pub(super) use eventer::go_json;
pub(super) use feishu::KIND as FEISHU;
pub(super) use slack::KIND as SLACK;
pub(super) use teams::KIND as TEAMS;
pub(super) use wechat::KIND as WECHAT;
pub(super) use wecom_robot::KIND as WECOM_ROBOT;

use async_trait::async_trait;
use jiff::tz::TimeZone;

use self::compose::{Composed, compose};
use self::template::Templates;
use super::options::wrong;
use super::{Batch, Delivery, Outcome, Quota, Repeats, Sink, SinkError};
use crate::event::Record;
use crate::event::render::{Card, Digest, Markup, Notice};
use crate::setting::{ByteSize, Span};

/// Limits of a digest. Records do not wait for company: while few come, each leaves at once.
const BATCH: Batch = Batch {
    max_records: Some(500),
    max_bytes: Some(ByteSize::mib(1)),
    max_wait: Some(Span::from_secs(0)),
};

/// Labels may take so many bytes together, so that there is always room for an event below them.
const LABELS_LIMIT: usize = 500;

/// What a person reads.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Message {
    /// What a phone shows; empty where a service has no titles.
    title: String,
    /// The rest.
    text: String,
}

/// What a service said to a message.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Answer {
    /// What became of it.
    Outcome(Outcome),
    /// It takes no message of that size, in its own words.
    TooLong(String),
}

/// One chat service with one destination in it.
#[async_trait]
trait Service: Send + Sync {
    /// The usual message about one event, with at most so many bytes of what it says.
    fn single(&self, notice: &Notice, message_limit: usize) -> Message;

    /// The usual message about many events, with at most so many bytes of what each says.
    fn digest(&self, digest: &Digest<'_>, message_limit: usize) -> Message;

    /// What a person wants to be sent instead.
    fn templates(&self) -> &Templates;

    /// Adds what the service wants to find in every message.
    fn complete(&self, message: Message) -> Message {
        message
    }

    /// Bytes that count against the limit.
    fn size(&self, message: &Message) -> usize;

    /// Most bytes of a message.
    fn limit(&self) -> usize;

    /// How often the service may be called.
    fn quota(&self) -> Option<Quota>;

    /// Sends a message.
    async fn send(&mut self, message: &Message) -> Answer;
}

/// The sink of a service.
struct Chat<S>(S);

#[async_trait]
impl<S: Service> Sink for Chat<S> {
    async fn deliver(&mut self, batch: &[Record]) -> Delivery {
        if batch.is_empty() {
            return Delivery::Each(Vec::new());
        }
        self.tell(&batch.iter().map(Notice::of).collect::<Vec<_>>()).await
    }

    async fn deliver_groups(&mut self, newest: &[Record], repeats: &[Repeats]) -> Delivery {
        let notice = |(record, repeats): (&Record, &Repeats)| {
            Notice::of(record).of_many(repeats.records, repeats.first)
        };
        self.tell(&newest.iter().zip(repeats).map(notice).collect::<Vec<_>>()).await
    }

    fn quota(&self) -> Option<Quota> {
        self.0.quota()
    }

    fn makes_digests(&self) -> bool {
        true
    }
}

impl<S: Service> Chat<S> {
    async fn tell(&mut self, notices: &[Notice]) -> Delivery {
        let limit = self.0.limit();
        let whole = compose(&self.0, notices, limit);
        let (composed, refused) = match self.0.send(&whole.message).await {
            Answer::Outcome(outcome) => return delivery(whole, outcome, notices),
            Answer::TooLong(reason) => (compose(&self.0, notices, limit / 2), reason),
        };
        // A service may count otherwise than it says. Half of it is tried once.
        match self.0.send(&composed.message).await {
            Answer::Outcome(outcome) => delivery(composed, outcome, notices),
            Answer::TooLong(_) => {
                delivery(composed, Outcome::Rejected { reason: refused }, notices)
            }
        }
    }
}

fn delivery(composed: Composed, outcome: Outcome, notices: &[Notice]) -> Delivery {
    if composed.records.len() == notices.len() {
        return Delivery::Whole(outcome);
    }
    Delivery::Part { records: composed.records, outcome }
}

/// How messages look that have no older form to keep.
#[derive(Debug, Clone)]
struct Look {
    labels: Vec<String>,
    markup: Markup,
    zone: TimeZone,
}

impl Look {
    fn new(labels: &[String], markup: Markup) -> Self {
        Self { labels: labels.to_vec(), markup, zone: TimeZone::system() }
    }

    fn single(&self, notice: &Notice, message_limit: usize) -> Message {
        let Self { labels, markup, zone } = self;
        let card = Card { notice, labels, markup, zone };
        Message { title: card.title(), text: card.text(message_limit) }
    }

    fn digest(&self, digest: &Digest<'_>, message_limit: usize) -> Message {
        let labels = self.labels.iter().map(|label| self.markup.strong(label));
        let text = digest.text(&self.markup, message_limit, &self.zone);
        let text: Vec<_> = labels.chain([text]).collect();
        Message { title: digest.title(), text: text.join(self.markup.paragraph) }
    }
}

fn check_labels(labels: &[String]) -> Result<(), SinkError> {
    let bytes: usize = labels.iter().map(String::len).sum();
    if bytes > LABELS_LIMIT {
        let reason = format!(
            "they take {bytes} bytes together; leave room for the events: {LABELS_LIMIT} at most"
        );
        return Err(wrong("labels", reason));
    }
    Ok(())
}
