//! The `sls` sink: logs for a logstore of Alibaba Cloud's Log Service.
//!
//! A batch is one request, which SLS stores as a whole or not at all. It knows no copy: where an answer was
//! lost, a log may be there twice, with the same `record_id`.

mod answer;
mod eventer;
mod log_group;
mod signature;

use std::collections::BTreeMap;
use std::path::PathBuf;

use async_trait::async_trait;
use jiff::Timestamp;
use reqwest::{Client, Request, Url};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::answer::Answer;
use self::log_group::{Fields, LogGroup};
use self::signature::{SignatureVersion, Signer, Unsigned};
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
    name: "sls",
    about: "Logs in a logstore of Alibaba Cloud's Log Service",
    aliases: &[],
    eventer_name: "SLSSink",
    // 4,096 logs and 3 MB are allowed; the indented JSON of an event is twice as long at most.
    batch: Batch {
        max_records: Some(500),
        max_bytes: Some(ByteSize::mib(1)),
        max_wait: Some(Span::from_secs(1)),
    },
    options: options::describe::<Options>,
    build: |map, context| Ok(Box::new(Sls::new(options::parse(map)?, context)?)),
    redact: options::redact::<Options>,
    from_uri: eventer::translate,
};

/// `options` of a sink of kind `sls`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Options {
    /// The project.
    project: String,
    /// The logstore in it.
    log_store: String,
    /// Topic of every log.
    #[serde(default)]
    topic: String,
    /// Region of the project; that of the machine when it is not written. `$RegionId` wins, as in kube-eventer.
    #[serde(default)]
    region: Option<String>,
    /// Whether SLS is asked over Alibaba Cloud's own network.
    #[serde(default = "yes")]
    internal: bool,
    /// The endpoint, where it does not follow from the region. `$SLS_ENDPOINT` wins, as in kube-eventer.
    #[serde(default)]
    endpoint: Option<Target>,
    /// A pair of keys, else `$AccessKeyId` and `$AccessKeySecret`, else those of `rrsa`, else of `tokenConfig`, else of the machine.
    #[serde(default)]
    access_key_id: Option<Secret>,
    /// The other half of the pair.
    #[serde(default)]
    access_key_secret: Option<Secret>,
    /// A role that the pod's service account may assume.
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
    /// Further fields of every log.
    #[serde(default)]
    labels: BTreeMap<String, String>,
    /// Whether each log has the identity of its record.
    #[serde(default = "yes")]
    record_id: bool,
    /// How requests are signed: `v1` where an endpoint knows no `v4`.
    #[serde(default)]
    signature: SignatureVersion,
}

/// Content type of a `LogGroup`.
const PROTOBUF: &str = "application/x-protobuf";

struct Sls {
    options: Options,
    fields: Fields,
    client: Client,
    credentials: Credentials,
    metadata: String,
    region: Option<String>,
}

impl Sls {
    fn new(options: Options, context: &SinkContext) -> Result<Self, SinkError> {
        for (option, value) in [("project", &options.project), ("logStore", &options.log_store)] {
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            if value.is_empty() || !value.chars().all(is_name) {
                return Err(wrong(option, "write a name of letters, digits, - and _"));
            }
        }
        if let Some(endpoint) = &options.endpoint {
            endpoint.check("endpoint")?;
        }
        let metadata = alibaba_cloud::metadata(&options.metadata)?;
        let keys = (options.access_key_id.as_ref(), options.access_key_secret.as_ref());
        let written = alibaba_cloud::written(keys.0, keys.1)?;
        let sts = options.sts.as_deref();
        let role = alibaba_cloud::of_service_account(&options.rrsa, sts, options.internal)?;
        let origin = written.or(role).unwrap_or_else(|| Origin::Machine {
            token_config: options.token_config.clone(),
            metadata: metadata.clone(),
        });
        let fields = Fields {
            topic: options.topic.clone(),
            labels: options.labels.clone(),
            cluster: options.record_id.then(|| context.cluster.to_string()),
        };
        let region = environment("RegionId").or_else(|| options.region.clone());
        let credentials = Credentials::new(origin);
        let client = context.http.clone();
        Ok(Self { options, fields, client, credentials, metadata, region })
    }

    async fn store(&mut self, batch: &[Record]) -> Result<Outcome, Outcome> {
        let group = LogGroup::of(batch, &self.fields, Timestamp::now()).bytes();
        let body = lz4_flex::block::compress(&group);
        let region = if self.needs_region() { self.region().await? } else { String::new() };
        for last in [false, true] {
            let keys = self.credentials.keys(&self.client, &region).await?;
            let mut redaction = Redaction::default();
            keys.hide(&mut redaction);
            let request = self.request(&keys, &region, &body, group.len(), &mut redaction)?;
            let reply = exchange(&self.client, request, &redaction).await?;
            match answer::read(&reply, &redaction) {
                Answer::Outcome(outcome) => return Ok(outcome),
                Answer::Keys(said) if last || !self.credentials.forget() => {
                    let cause = format!(
                        "{said}; check the options `accessKeyId` and `accessKeySecret`, or the role of the \
                         machine or service account, and that it may log:PostLogStoreLogs"
                    );
                    return Ok(Outcome::Hold { cause });
                }
                Answer::Keys(_) => {}
            }
        }
        Ok(Outcome::Retry { after: None, cause: "the keys were renewed".to_owned() })
    }

    fn request(
        &self,
        keys: &Keys,
        region: &str,
        body: &[u8],
        raw_size: usize,
        redaction: &mut Redaction,
    ) -> Result<Request, Outcome> {
        let (url, project_apart) = self.url(region, redaction)?;
        let host = url.host_str().unwrap_or_default();
        let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let mut headers: BTreeMap<String, String> = [
            ("host", host),
            ("content-type", PROTOBUF.to_owned()),
            ("x-log-apiversion", "0.6.0".to_owned()),
            ("x-log-bodyrawsize", raw_size.to_string()),
            ("x-log-compresstype", "lz4".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        if let Some(token) = &keys.token {
            headers.insert("x-acs-security-token".to_owned(), token.clone());
        }
        if project_apart {
            headers.insert("x-log-project".to_owned(), self.options.project.clone());
        }
        let unsigned =
            Unsigned { method: "POST", path: url.path(), query: BTreeMap::new(), headers, body };
        let signer = Signer { key_id: &keys.id, secret: &keys.secret, region };
        let mut headers = unsigned.sign(self.options.signature, &signer, Timestamp::now());
        // The client sets the host.
        headers.remove("host");
        let headers = alibaba_cloud::header_map(&headers)?;
        let request = self.client.post(url).headers(headers).body(body.to_vec());
        request.build().map_err(|error| Outcome::Hold { cause: cause_of(error) })
    }

    /// Signature V1 does without, and so does an endpoint that is written.
    fn needs_region(&self) -> bool {
        let has_endpoint = self.options.endpoint.is_some() || environment("SLS_ENDPOINT").is_some();
        self.options.signature == SignatureVersion::V4
            || !has_endpoint
            || self.credentials.needs_region()
    }

    /// The region, which is asked for once when nobody has written it.
    async fn region(&mut self) -> Result<String, Outcome> {
        if let Some(region) = &self.region {
            return Ok(region.clone());
        }
        let region = alibaba_cloud::region(&self.client, &self.metadata).await?;
        self.region = Some(region.clone());
        Ok(region)
    }

    /// Where logs are written, and whether the host cannot name the project.
    fn url(&self, region: &str, redaction: &mut Redaction) -> Result<(Url, bool), Outcome> {
        let hold = |cause: String| Outcome::Hold { cause: format!("endpoint: {cause}") };
        let base = match (environment("SLS_ENDPOINT"), &self.options.endpoint) {
            (Some(endpoint), _) if endpoint.contains("://") => endpoint,
            (Some(endpoint), _) => format!("http://{endpoint}"),
            (None, Some(endpoint)) => endpoint.reveal("endpoint", redaction)?.to_string(),
            (None, None) => {
                let network = if self.options.internal { "-intranet" } else { "" };
                format!("https://{region}{network}.log.aliyuncs.com")
            }
        };
        let mut url = parse_url(&base).map_err(hold)?;
        let host = url.host_str().unwrap_or_default().to_owned();
        // An address cannot have a name in front of it.
        let project_apart = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok();
        if !project_apart {
            let host = format!("{}.{host}", self.options.project);
            url.set_host(Some(&host)).map_err(|error| hold(error.to_string()))?;
        }
        url.set_path(&format!("/logstores/{}/shards/lb", self.options.log_store));
        Ok((url, project_apart))
    }
}

#[async_trait]
impl Sink for Sls {
    async fn deliver(&mut self, batch: &[Record]) -> Delivery {
        if batch.is_empty() {
            return Delivery::Each(Vec::new());
        }
        Delivery::Whole(self.store(batch).await.unwrap_or_else(|outcome| outcome))
    }
}

fn yes() -> bool {
    true
}

fn metadata_service() -> String {
    "http://100.100.100.200".to_owned()
}

fn token_config_path() -> PathBuf {
    "/var/addon/token-config".into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::testing::context;
    use serde_json::json;

    fn url(options: &serde_json::Value) -> (String, bool) {
        let mut all = json!({"project": "proj", "logStore": "events"});
        for (name, value) in options.as_object().expect("options") {
            all[name] = value.clone();
        }
        let sls =
            Sls::new(serde_json::from_value(all).expect("options"), &context()).expect("a sink");
        let (url, apart) = sls.url("cn-hangzhou", &mut Redaction::default()).expect("a URL");
        (url.to_string(), apart)
    }

    #[test]
    fn the_endpoint_follows_from_the_region() {
        let path = "/logstores/events/shards/lb";
        let expected = format!("https://proj.cn-hangzhou-intranet.log.aliyuncs.com{path}");
        assert_eq!(url(&json!({})), (expected, false));
        let expected = format!("https://proj.cn-hangzhou.log.aliyuncs.com{path}");
        assert_eq!(url(&json!({"internal": false})), (expected, false));
        let local = json!({"endpoint": "http://127.0.0.1:81"});
        assert_eq!(url(&local), (format!("http://127.0.0.1:81{path}"), true));
    }

    #[test]
    fn half_a_pair_of_keys_is_refused() {
        let options = json!({"project": "p", "logStore": "l", "accessKeyId": "i"});
        let error = Sls::new(serde_json::from_value(options).expect("options"), &context());
        assert!(error.err().expect("refused").to_string().starts_with("option accessKeySecret"));
    }
}
