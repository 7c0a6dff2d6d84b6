//! The sink contract: what a destination has to do, and nothing more.
//!
//! A sink hands over one batch and says what became of it. It never retries, waits, splits, counts
//! or remembers across restarts: the runner (`relay`) does, the same way for every sink.
//!
//! Adding a sink is one file here and one line in [`registry`].

mod alibaba_cloud;
mod aws;
mod chat;
mod config;
mod description;
mod elasticsearch;
mod event_bridge;
mod event_json;
mod eventer_json;
mod honeycomb;
mod http;
mod influxdb;
#[cfg(not(fuzzing))]
mod kafka;
mod keys;
mod log;
#[cfg(not(fuzzing))]
mod mongo;
mod mysql;
mod options;
mod prepared;
mod quota;
pub mod registry;
mod riemann;
mod signing;
mod sls;
mod target;
#[cfg(test)]
mod testing;
mod transcript;
mod trial;
mod webhook;

pub use config::{Batch, Grouping, Property, Rate, Retry, SinkConfig, SinkError};
pub use description::OptionDescription;
pub use http::{HttpClientError, http_client};
pub use log::LogSink;
pub use quota::Quota;
pub use trial::{Trial, TrialOutcome, try_out};
#[cfg(any(test, fuzzing))]
pub(crate) use webhook::fuzz_template;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::event::Record;

/// One destination. Implementations hold connections, never state that must survive a restart.
#[async_trait]
pub trait Sink: Send {
    /// Hands over `batch`, in order. Called by one task at a time; dropped when it takes longer
    /// than the sink's `retry.timeout`, which counts as [`Outcome::Retry`].
    async fn deliver(&mut self, batch: &[Record]) -> Delivery;

    /// Hands over groups of equal records: of each the newest, and what there is to say of all of it.
    /// Only sinks that make digests are given groups.
    async fn deliver_groups(&mut self, newest: &[Record], repeats: &[Repeats]) -> Delivery {
        debug_assert_eq!(newest.len(), repeats.len(), "one for each");
        self.deliver(newest).await
    }

    /// Limits of a delivery that follow from this sink's options, where they differ from those of
    /// its kind. What a person configures wins over both.
    fn batch(&self) -> Option<Batch> {
        None
    }

    /// What the service allows to this sink's credential.
    fn quota(&self) -> Option<Quota> {
        None
    }

    /// Whether a batch of several records becomes one message for people. Such a sink gets records
    /// one by one while few are waiting, and all that are waiting when there are many.
    fn makes_digests(&self) -> bool {
        false
    }
}

/// What a group of equal records comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repeats {
    /// How many there are.
    pub records: u64,
    /// When the first of them happened.
    pub first: Timestamp,
    /// When the last of them happened.
    pub last: Timestamp,
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// The service answered for each record: one outcome each, in the order of the batch. Where a
    /// sink stopped at a record that got `Retry` or `Hold`, those behind it have the same outcome.
    Each(Vec<Outcome>),
    /// The service answered for the batch as a whole. When that is [`Outcome::Rejected`], the
    /// runner halves the batch until it has found the record that is to blame.
    Whole(Outcome),
    /// Only some records of the batch went out, as one whole with this outcome; there was no room for
    /// the others, which are handed over again.
    Part {
        /// Their places in the batch, in order; at least one.
        records: Vec<usize>,
        /// What became of them.
        outcome: Outcome,
    },
}

/// What became of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The service has it; also when it says that it already had it.
    Accepted,
    /// It can never be accepted in this form: it goes to the dead letters.
    Rejected {
        /// The service's own words, shortened, without secrets.
        reason: String,
    },
    /// Not now. The runner tries again, without end.
    Retry {
        /// How long the service asked to wait (`Retry-After`, or a documented window).
        after: Option<Duration>,
        /// What happened, for the operator.
        cause: String,
    },
    /// Credentials, permission or configuration are wrong: only an operator can help. The sink is
    /// held and nothing is discarded.
    Hold {
        /// What to do about it.
        cause: String,
    },
}

/// What the constructor of a sink may use.
#[derive(Clone)]
pub struct SinkContext {
    /// Name of the cluster, part of every record's identity.
    pub cluster: Arc<str>,
    /// The one HTTP client: TLS, timeouts, proxies from the environment, no redirects.
    pub http: reqwest::Client,
    /// Access to `ConfigMaps`, for templates; absent where there is no cluster.
    pub config_maps: Option<Arc<dyn ConfigMaps>>,
}

/// Reads `ConfigMap`s of the cluster. The source implements it, so that sinks need no Kubernetes
/// client.
#[async_trait]
pub trait ConfigMaps: Send + Sync {
    /// The text under `key`, or why it cannot be had.
    async fn text(&self, namespace: &str, name: &str, key: &str) -> Result<String, String>;
}
