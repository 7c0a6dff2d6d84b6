//! The `kafka` sink: messages in a topic of Apache Kafka, by librdkafka.
//!
//! Brokers are written to by an idempotent producer that waits for all in-sync replicas. A record is accepted by
//! its delivery report. Over a restart of the relay a record may be there twice, with the same `record_id` among
//! its headers.

mod eventer;
mod failure;
mod listener;
mod message;
mod options;
mod session;
mod settings;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use self::message::Form;
use self::options::Options;
use self::session::{End, Session};
use self::settings::Settings;
use super::registry::Kind;
use super::{Batch, Delivery, Outcome, Sink, SinkContext, SinkError};
use crate::event::Record;
use crate::setting::{ByteSize, Span};

pub(super) const KIND: Kind = Kind {
    name: "kafka",
    about: "Messages in a topic of Apache Kafka",
    aliases: &[],
    eventer_name: "Apache Kafka Sink",
    // librdkafka makes batches of its own of what it is given at once.
    batch: Batch {
        max_records: Some(1000),
        max_bytes: Some(ByteSize::mib(1)),
        max_wait: Some(Span::from_millis(100)),
    },
    options: super::options::describe::<Options>,
    build: |map, context| Ok(Box::new(Kafka::new(super::options::parse(map)?, context)?)),
    redact: super::options::redact::<Options>,
    from_uri: eventer::translate,
};

/// How long a new topic may be unknown to brokers: the default of `topic.metadata.propagation.max.ms`.
const TOPIC_WAIT: Duration = Duration::from_secs(30);

/// The same, where it was missing already when last it was asked for.
const MISSING_TOPIC_WAIT: Duration = Duration::from_secs(1);

struct Kafka {
    options: Options,
    form: Form,
    session: Option<Session>,
    topic_is_missing: bool,
}

impl Kafka {
    fn new(options: Options, context: &SinkContext) -> Result<Self, SinkError> {
        options.check()?;
        let form = Form {
            topic: options.topic.clone(),
            value: options.value,
            cluster: Arc::clone(&context.cluster),
        };
        Ok(Self { options, form, session: None, topic_is_missing: false })
    }

    /// The session to go on with, or a new one.
    async fn session(&mut self, batch: &[Record]) -> Result<&mut Session, Outcome> {
        let settings = Settings::read(&self.options)?;
        let fits = |session: &Session| session.fits(&settings, batch, &self.form.cluster);
        let session = if let Some(session) = self.session.take().filter(fits) {
            session
        } else {
            let wait = if self.topic_is_missing { MISSING_TOPIC_WAIT } else { TOPIC_WAIT };
            Session::open(settings, wait).await?
        };
        Ok(self.session.insert(session))
    }
}

#[async_trait]
impl Sink for Kafka {
    async fn deliver(&mut self, batch: &[Record]) -> Delivery {
        if batch.is_empty() {
            return Delivery::Each(Vec::new());
        }
        let form = self.form.clone();
        let session = match self.session(batch).await {
            Ok(session) => session,
            Err(outcome) => return Delivery::Whole(outcome),
        };
        let outcomes = session.hand_over(batch, &form).await;
        let end = session.end();
        if end.is_some() {
            self.session = None;
        }
        self.topic_is_missing = end == Some(End::NoTopic);
        Delivery::Each(outcomes)
    }
}
