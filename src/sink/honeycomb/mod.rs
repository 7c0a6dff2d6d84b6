//! The `honeycomb` sink: batches of events for a dataset of Honeycomb, each with its own status.
//!
//! Honeycomb recognises no copy: where an answer was lost, an event may be there twice, with the same `record_id`.

mod answer;
mod eventer;
mod item;

use std::io::Write;
use std::sync::Arc;

use async_trait::async_trait;
use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Client, Request, Url};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::http::{Redaction, cause_of, exchange};
use super::options::{now, wrong};
use super::prepared::delivery_of;
use super::registry::Kind;
use super::target::Target;
use super::{Batch, Delivery, Outcome, Sink, SinkContext, SinkError};
use crate::event::Record;
use crate::setting::{ByteSize, Secret, Span};

pub(super) const KIND: Kind = Kind {
    name: "honeycomb",
    about: "Events in a dataset of Honeycomb",
    aliases: &[],
    eventer_name: "Honeycomb Sink",
    // An item is shorter than its event, or at most 100 KB: far below the 5 MB that a batch may have.
    batch: Batch {
        max_records: Some(500),
        max_bytes: Some(ByteSize::mib(1)),
        max_wait: Some(Span::from_secs(1)),
    },
    options: super::options::describe::<Options>,
    build: |map, context| Ok(Box::new(Honeycomb::new(super::options::parse(map)?, context)?)),
    redact: super::options::redact::<Options>,
    from_uri: eventer::translate,
};

/// `options` of a sink of kind `honeycomb`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Options {
    /// A key that may send events.
    write_key: Secret,
    /// Where they go. It is created when it is missing.
    #[serde(default = "dataset")]
    dataset: String,
    /// The API, where it is not that of the United States.
    #[serde(default = "url")]
    #[schemars(extend("default" = "https://api.honeycomb.io/"))]
    url: Target,
}

fn dataset() -> String {
    "kubernetes-events".to_owned()
}

fn url() -> Target {
    Target(Secret::Literal("https://api.honeycomb.io/".to_owned()))
}

/// Carries the key.
const TEAM: HeaderName = HeaderName::from_static("x-honeycomb-team");

/// Longest batch, in bytes of JSON.
const LONGEST_BATCH: usize = 5_000_000;

struct Honeycomb {
    options: Options,
    cluster: Arc<str>,
    client: Client,
}

impl Honeycomb {
    fn new(options: Options, context: &SinkContext) -> Result<Self, SinkError> {
        options.url.check("url")?;
        if options.dataset.trim().is_empty() || options.dataset.contains('/') {
            return Err(wrong("dataset", "write a name that is not empty and has no slash"));
        }
        if let Some(key) = now("writeKey", &options.write_key)? {
            header(&key).map_err(|reason| wrong("writeKey", reason))?;
        }
        let (cluster, client) = (Arc::clone(&context.cluster), context.http.clone());
        Ok(Self { options, cluster, client })
    }

    /// Sends so many items.
    async fn send(&self, body: &str, items: usize) -> Result<Delivery, Outcome> {
        let mut redaction = Redaction::default();
        let request = self.request(body, &mut redaction)?;
        let reply = exchange(&self.client, request, &redaction).await?;
        Ok(answer::read(&reply, items, &redaction))
    }

    fn request(&self, body: &str, redaction: &mut Redaction) -> Result<Request, Outcome> {
        let hold =
            |option: &str, cause: String| Outcome::Hold { cause: format!("{option}: {cause}") };
        let url = self.url(redaction)?;
        let key = self.options.write_key.reveal();
        let key = key.map_err(|error| hold("writeKey", error.to_string()))?;
        redaction.hide(&key);
        let key = header(&key).map_err(|reason| hold("writeKey", reason.to_owned()))?;
        self.client
            .post(url)
            .header(TEAM, key)
            .header(CONTENT_TYPE, "application/json")
            .header(CONTENT_ENCODING, "gzip")
            .body(compressed(body))
            .build()
            .map_err(|error| Outcome::Hold { cause: cause_of(error) })
    }

    fn url(&self, redaction: &mut Redaction) -> Result<Url, Outcome> {
        let mut url = self.options.url.reveal("url", redaction)?;
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["1", "batch", self.options.dataset.as_str()]);
        }
        Ok(url)
    }
}

#[async_trait]
impl Sink for Honeycomb {
    async fn deliver(&mut self, batch: &[Record]) -> Delivery {
        let items: Vec<_> = batch.iter().map(|record| item::item(record, &self.cluster)).collect();
        let ready: Vec<_> = items.iter().filter_map(|item| item.as_deref().ok()).collect();
        let body = format!("[{}]\n", ready.join(","));
        let sent = if ready.is_empty() {
            Delivery::Each(Vec::new())
        } else if body.len() > LONGEST_BATCH && ready.len() > 1 {
            // As if Honeycomb had said so.
            let reason = format!("{} bytes are more than Honeycomb takes", body.len());
            Delivery::Whole(Outcome::Rejected { reason })
        } else {
            self.send(&body, ready.len()).await.unwrap_or_else(Delivery::Whole)
        };
        delivery_of(sent, items)
    }
}

/// The value of a header, marked as one that no log may show.
fn header(key: &str) -> Result<HeaderValue, &'static str> {
    let mut value = HeaderValue::from_str(key).map_err(|_| "it contains a control character")?;
    value.set_sensitive(true);
    Ok(value)
}

/// The same bytes for the same text.
fn compressed(body: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    // Writing to memory cannot fail.
    let _written = encoder.write_all(body.as_bytes());
    encoder.finish().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::testing::{context, record};
    use serde_json::json;

    fn sink(options: serde_json::Value) -> Result<Honeycomb, SinkError> {
        Honeycomb::new(serde_json::from_value(options).expect("options"), &context())
    }

    fn url_of(options: serde_json::Value) -> String {
        let sink = sink(options).expect("a sink");
        sink.url(&mut Redaction::default()).expect("a URL").to_string()
    }

    #[test]
    fn the_dataset_is_one_part_of_the_path() {
        assert_eq!(
            url_of(json!({"writeKey": "k"})),
            "https://api.honeycomb.io/1/batch/kubernetes-events"
        );
        let proxied = json!({"writeKey": "k", "url": "http://h:1/base", "dataset": "a b?#%"});
        assert_eq!(url_of(proxied), "http://h:1/base/1/batch/a%20b%3F%23%25");
        for dataset in ["", " ", "a/b"] {
            let error = sink(json!({"writeKey": "k", "dataset": dataset})).err();
            assert!(error.expect("refused").to_string().starts_with("option dataset: "));
        }
    }

    #[test]
    fn a_key_that_is_no_header_is_refused_and_not_shown() {
        let error = sink(json!({"writeKey": "s3cret\n"})).err().expect("refused").to_string();
        assert_eq!(error, "option writeKey: it contains a control character");
    }

    #[tokio::test]
    async fn a_record_that_is_no_event_is_refused_alone() {
        let mut sink = sink(json!({"writeKey": "k", "url": "http://127.0.0.1:1"})).expect("a sink");
        let Delivery::Each(outcomes) = sink.deliver(&[record("7", "{")]).await else {
            panic!("one each")
        };
        assert!(matches!(outcomes[0], Outcome::Rejected { .. }));
        let mixed = [record("7", "{"), record("8", "{}")];
        let Delivery::Part { records, .. } = sink.deliver(&mixed).await else { panic!("a part") };
        assert_eq!(records, [1]);
    }
}
