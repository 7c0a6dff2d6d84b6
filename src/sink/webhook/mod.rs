//! The `webhook` sink: HTTP requests with a body of the user's making.
//!
//! Any 2xx is accepted; what other statuses mean stands in `http::Reply::outcome`. A redelivery has
//! the same bytes and the same `Idempotency-Key`, so that a receiver can recognise it.

mod body;
mod eventer;
mod options;
mod request;
mod template;
mod template_source;

use std::sync::Arc;

use async_trait::async_trait;
use jiff::tz::TimeZone;
use reqwest::Client;

use super::http::{client_with_ca, exchange};
use super::registry::Kind;
use super::{Batch, Delivery, Outcome, Sink, SinkContext, SinkError};
use crate::event::Record;
use crate::setting::{ByteSize, Secret, Span};

#[cfg(any(test, fuzzing))]
pub(crate) use template::fuzzing::template as fuzz_template;

use body::Body;
use options::{Format, Options};
use request::Envelope;
use template::Escaping;
use template_source::TemplateSource;

pub(super) const KIND: Kind = Kind {
    name: "webhook",
    about: "HTTP requests with a body of your making",
    aliases: &[],
    eventer_name: "webHook",
    // One event per request: with more the timeout of a delivery would depend on their number.
    batch: Batch {
        max_records: Some(1),
        max_bytes: Some(ByteSize::mib(1)),
        max_wait: Some(Span::from_secs(0)),
    },
    options: super::options::describe::<Options>,
    build: |map, context| Ok(Box::new(Webhook::new(super::options::parse(map)?, context)?)),
    redact: super::options::redact::<Options>,
    from_uri: eventer::translate,
};

/// Limits where a request takes many records.
const MANY: Batch = Batch {
    max_records: Some(500),
    max_bytes: Some(ByteSize::mib(1)),
    max_wait: Some(Span::from_secs(1)),
};

struct Webhook {
    options: Options,
    cluster: Arc<str>,
    client: Client,
    template: Option<TemplateSource>,
    zone: TimeZone,
}

impl Webhook {
    fn new(options: Options, context: &SinkContext) -> Result<Self, SinkError> {
        options.check()?;
        let client = match &options.ca {
            Some(path) => client_with_ca(Some(path), false)?,
            None => context.http.clone(),
        };
        let template = match options.body.clone() {
            Some(place) => {
                let escaping = escaping(&options);
                Some(TemplateSource::new(place, escaping, context.config_maps.clone())?)
            }
            None => None,
        };
        let cluster = Arc::clone(&context.cluster);
        Ok(Self { options, cluster, client, template, zone: TimeZone::system() })
    }

    /// One request for each record, up to the first that has to wait.
    async fn one_by_one(&mut self, batch: &[Record], envelope: &Envelope) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(batch.len());
        for record in batch {
            let key = request::key_of(record, &self.cluster);
            let outcome = match self.body(record).await {
                Ok(body) => self.send(envelope, body, &key).await,
                Err(outcome) => outcome,
            };
            if matches!(outcome, Outcome::Retry { .. } | Outcome::Hold { .. }) {
                outcomes.resize(batch.len(), outcome);
                break;
            }
            outcomes.push(outcome);
        }
        outcomes
    }

    async fn all_at_once(&self, batch: &[Record], envelope: &Envelope) -> Outcome {
        let key = request::key_of_all(batch, &self.cluster);
        match body::batch(batch, self.options.format, &self.cluster) {
            Ok(body) => self.send(envelope, body, &key).await,
            Err(outcome) => outcome,
        }
    }

    async fn body(&mut self, record: &Record) -> Result<Body, Outcome> {
        match &mut self.template {
            None => body::event(record),
            Some(source) => body::templated(source.get().await?, record, &self.zone),
        }
    }

    async fn send(&self, envelope: &Envelope, body: Body, key: &str) -> Outcome {
        let request = match envelope.request(&self.client, body, key) {
            Ok(request) => request,
            Err(outcome) => return outcome,
        };
        match exchange(&self.client, request, &envelope.redaction).await {
            Ok(reply) => reply.outcome(self.options.conflict, &envelope.redaction),
            Err(outcome) => outcome,
        }
    }
}

#[async_trait]
impl Sink for Webhook {
    async fn deliver(&mut self, batch: &[Record]) -> Delivery {
        if batch.is_empty() {
            return Delivery::Each(Vec::new());
        }
        let envelope = match Envelope::new(&self.options) {
            Ok(envelope) => envelope,
            Err(outcome) => return Delivery::Whole(outcome),
        };
        match self.options.format {
            Format::Event => Delivery::Each(self.one_by_one(batch, &envelope).await),
            _ => Delivery::Whole(self.all_at_once(batch, &envelope).await),
        }
    }

    fn batch(&self) -> Option<Batch> {
        (self.options.format != Format::Event).then_some(MANY)
    }
}

/// A body that its own `Content-Type` says is no JSON is not escaped as JSON.
fn escaping(options: &Options) -> Escaping {
    let content_type = options.headers.iter().find_map(|(name, value)| match value {
        Secret::Literal(value) if name.eq_ignore_ascii_case("content-type") => Some(value),
        _ => None,
    });
    match content_type {
        Some(value) if !value.to_ascii_lowercase().contains("json") => Escaping::None,
        _ => Escaping::Json,
    }
}
