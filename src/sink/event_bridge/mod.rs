//! The `eventbridge` sink: `CloudEvents` for a bus of Alibaba Cloud's `EventBridge`.
//!
//! The service answers for each event, and an event has the identity of its record, so that a rule can
//! recognise what was delivered twice.

mod answer;
mod event;
mod eventer;
mod signature;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use jiff::Timestamp;
use reqwest::{Client, Request, Url};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::answer::Answer;
use self::event::Address;
use super::alibaba_cloud::{self, Credentials, Origin, RrsaOptions};
use super::http::{Redaction, cause_of, exchange};
use super::keys::Keys;
use super::options::{self, environment, wrong};
use super::registry::Kind;
use super::target::{Target, parse_url};
use super::{Batch, Delivery, Outcome, Sink, SinkContext, SinkError};
use crate::event::Record;
use crate::setting::{ByteSize, Secret, Span};

pub(super) const KIND: Kind = Kind {
    name: "eventbridge",
    about: "Events on a bus of Alibaba Cloud's EventBridge",
    aliases: &[],
    eventer_name: "EventBridgeSink",
    // What kube-eventer sends at once; the service publishes no more.
    batch: Batch {
        max_records: Some(4),
        max_bytes: Some(ByteSize::mib(1)),
        max_wait: Some(Span::from_secs(0)),
    },
    options: options::describe::<Options>,
    build: |map, context| Ok(Box::new(EventBridge::new(options::parse(map)?, context)?)),
    redact: options::redact::<Options>,
    from_uri: eventer::translate,
};

/// `options` of a sink of kind `eventbridge`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Options {
    /// Id of the cluster in the console; `$ClusterId` when it is not written.
    #[serde(default)]
    cluster_id: Option<String>,
    /// Region; that of the machine when it is not written. `$RegionId` wins, as in kube-eventer.
    #[serde(default)]
    region: Option<String>,
    /// The account; `$OwnerAccountId`, or that of the machine, when it is not written.
    #[serde(default)]
    account: Option<String>,
    /// The bus; `$EventBusName` when it is not written.
    #[serde(default)]
    event_bus: Option<String>,
    /// Whether the service is asked over Alibaba Cloud's own network.
    #[serde(default = "yes")]
    internal: bool,
    /// The endpoint, where it does not follow from account and region.
    #[serde(default)]
    endpoint: Option<Target>,
    /// A pair of keys, which counts when the Kubernetes service provides none.
    #[serde(default)]
    access_key_id: Option<Secret>,
    /// The other half of the pair.
    #[serde(default)]
    access_key_secret: Option<Secret>,
    /// A role that the pod's service account may assume, where no keys are written that count.
    #[serde(default)]
    rrsa: RrsaOptions,
    /// The Security Token Service, for `rrsa`: `https://sts.aliyuncs.com`, with `internal` that of the region.
    #[serde(default)]
    sts: Option<String>,
    /// Where the Kubernetes service puts keys.
    #[serde(default = "token_config_path")]
    token_config: PathBuf,
    /// The metadata service of the machine. `$ALIBABA_CLOUD_IMDS_ENDPOINT` wins, as in kube-eventer.
    #[serde(default = "metadata_service")]
    metadata: String,
}

const CONTENT_TYPE: &str = "application/cloudevents-batch+json; charset=utf-8";
const PATH: &str = "/openapi/putEvents";

struct EventBridge {
    options: Options,
    cluster: Arc<str>,
    cluster_id: String,
    bus: String,
    client: Client,
    credentials: Credentials,
    metadata: String,
    region: Option<String>,
    account: Option<String>,
}

impl EventBridge {
    fn new(options: Options, context: &SinkContext) -> Result<Self, SinkError> {
        let cluster_id = options.cluster_id.clone().or_else(|| environment("ClusterId"));
        let cluster_id = cluster_id.ok_or_else(|| {
            wrong("clusterId", "it is required, here or as environment variable ClusterId")
        })?;
        if let Some(endpoint) = &options.endpoint {
            endpoint.check("endpoint")?;
        }
        let metadata = alibaba_cloud::metadata(&options.metadata)?;
        let keys = (options.access_key_id.as_ref(), options.access_key_secret.as_ref());
        let written = alibaba_cloud::written(keys.0, keys.1)?;
        let machine = Origin::Machine {
            token_config: options.token_config.clone(),
            metadata: metadata.clone(),
        };
        let sts = options.sts.as_deref();
        let role = alibaba_cloud::of_service_account(&options.rrsa, sts, options.internal)?;
        // The file comes before keys that are written, other than with `sls`, as in kube-eventer.
        let written = written.filter(|_| !options.token_config.exists());
        let origin = written.or(role).unwrap_or(machine);
        let bus = options.event_bus.clone().or_else(|| environment("EventBusName"));
        Ok(Self {
            cluster: Arc::clone(&context.cluster),
            cluster_id,
            bus: bus.unwrap_or_else(|| "default".to_owned()),
            client: context.http.clone(),
            credentials: Credentials::new(origin),
            region: environment("RegionId").or_else(|| options.region.clone()),
            account: options.account.clone().or_else(|| environment("OwnerAccountId")),
            metadata,
            options,
        })
    }

    async fn send(&mut self, batch: &[Record]) -> Result<Delivery, Outcome> {
        self.learn().await?;
        let body = self.body(batch);
        for last in [false, true] {
            let region = self.region.as_deref().unwrap_or_default();
            let keys = self.credentials.keys(&self.client, region).await?;
            let mut redaction = Redaction::default();
            keys.hide(&mut redaction);
            let request = self.request(&keys, &body, &mut redaction)?;
            let reply = exchange(&self.client, request, &redaction).await?;
            match answer::read(&reply, batch.len(), &redaction) {
                Answer::Delivery(delivery) => return Ok(delivery),
                Answer::Keys(said) if last || !self.credentials.forget() => {
                    let cause = format!(
                        "{said}; check the keys, or the role of the machine or service account"
                    );
                    return Err(Outcome::Hold { cause });
                }
                Answer::Keys(_) => {}
            }
        }
        Err(Outcome::Retry { after: None, cause: "the keys were renewed".to_owned() })
    }

    /// Region and account, which the machine knows when nobody has written them.
    async fn learn(&mut self) -> Result<(), Outcome> {
        if self.region.is_none() {
            self.region = Some(alibaba_cloud::region(&self.client, &self.metadata).await?);
        }
        if self.account.is_none() {
            self.account = Some(alibaba_cloud::account(&self.client, &self.metadata).await?);
        }
        Ok(())
    }

    fn body(&self, batch: &[Record]) -> String {
        let address = Address {
            region: self.region.as_deref().unwrap_or_default(),
            account: self.account.as_deref().unwrap_or_default(),
            cluster_id: &self.cluster_id,
            bus: &self.bus,
        };
        let events = batch.iter().map(|record| event::event(record, &address, &self.cluster));
        serde_json::Value::Array(events.collect()).to_string()
    }

    fn request(
        &self,
        keys: &Keys,
        body: &str,
        redaction: &mut Redaction,
    ) -> Result<Request, Outcome> {
        let url = self.url(redaction)?;
        let mut headers = BTreeMap::from([
            ("accept", "application/json".to_owned()),
            ("content-type", CONTENT_TYPE.to_owned()),
            ("date", Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()),
            ("x-acs-signature-method", "HMAC-SHA1".to_owned()),
            ("x-acs-signature-nonce", nonce()),
            ("x-acs-signature-version", "1.0".to_owned()),
            ("x-eventbridge-version", "2015-06-06".to_owned()),
        ]);
        if let Some(token) = &keys.token {
            headers.insert("x-acs-accesskey-id", keys.id.clone());
            headers.insert("x-acs-security-token", token.clone());
        }
        let authorization = signature::authorization(&keys.id, &keys.secret, PATH, &headers);
        headers.insert("authorization", authorization);
        let headers = alibaba_cloud::header_map(&headers)?;
        let request = self.client.post(url).headers(headers).body(body.to_owned());
        request.build().map_err(|error| Outcome::Hold { cause: cause_of(error) })
    }

    fn url(&self, redaction: &mut Redaction) -> Result<Url, Outcome> {
        let mut url = if let Some(endpoint) = &self.options.endpoint {
            endpoint.reveal("endpoint", redaction)?
        } else {
            let account = self.account.as_deref().unwrap_or_default();
            let region = self.region.as_deref().unwrap_or_default();
            // kube-eventer always speaks plain HTTP; outside the cloud's own network that is no choice.
            let (scheme, network) =
                if self.options.internal { ("http", "-vpc") } else { ("https", "") };
            let url = format!("{scheme}://{account}.eventbridge.{region}{network}.aliyuncs.com");
            parse_url(&url).map_err(|cause| Outcome::Hold { cause })?
        };
        url.set_path(PATH);
        Ok(url)
    }
}

/// A text that no other attempt has.
fn nonce() -> String {
    static ATTEMPTS: AtomicU64 = AtomicU64::new(0);
    let attempt = ATTEMPTS.fetch_add(1, Ordering::Relaxed);
    let now = Timestamp::now().as_nanosecond();
    format!("{}-{now}-{attempt}", std::process::id())
}

#[async_trait]
impl Sink for EventBridge {
    async fn deliver(&mut self, batch: &[Record]) -> Delivery {
        if batch.is_empty() {
            return Delivery::Each(Vec::new());
        }
        self.send(batch).await.unwrap_or_else(Delivery::Whole)
    }
}

fn yes() -> bool {
    true
}

fn token_config_path() -> PathBuf {
    "/var/addon/token-config".into()
}

fn metadata_service() -> String {
    "http://100.100.100.200".to_owned()
}
