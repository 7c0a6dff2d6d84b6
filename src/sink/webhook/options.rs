//! Options of the webhook, as a person writes them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use reqwest::Method;
use reqwest::header::{HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::setting::Secret;
use crate::sink::SinkError;
use crate::sink::http::Conflict;
use crate::sink::options::{now, wrong};
use crate::sink::target::Target;

/// `options` of a sink of kind `webhook`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Options {
    /// Where the requests go.
    pub(super) url: Target,
    /// HTTP method.
    #[serde(default = "post")]
    pub(super) method: String,
    /// Headers of every request; they win over those the sink sets itself.
    #[serde(default)]
    pub(super) headers: BTreeMap<String, Secret>,
    /// Template of the body; without it the body is the event as it is.
    #[serde(default)]
    pub(super) body: Option<BodySource>,
    /// How many records go into one request, and how.
    #[serde(default)]
    pub(super) format: Format,
    /// Key of the signature in `X-Signature-256`; without it there is none.
    #[serde(default)]
    pub(super) hmac_secret: Option<Secret>,
    /// What HTTP 409 means.
    #[serde(default)]
    pub(super) conflict: Conflict,
    /// File with PEM certificates that are trusted beside those of the system.
    #[serde(default)]
    pub(super) ca: Option<PathBuf>,
}

/// Where the template of a body comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) enum BodySource {
    /// A `ConfigMap` of the cluster.
    ConfigMap(ConfigMapKey),
    /// A file.
    File(PathBuf),
    /// The template itself.
    Text(String),
}

/// One text of a `ConfigMap`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ConfigMapKey {
    pub(super) namespace: String,
    pub(super) name: String,
    /// The key kube-eventer reads.
    #[serde(default = "content")]
    pub(super) key: String,
}

/// What goes into one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Format {
    /// One event.
    #[default]
    Event,
    /// A JSON array of events.
    Array,
    /// One event per line.
    Ndjson,
    /// A JSON array of `CloudEvents` 1.0.
    CloudeventsBatch,
}

impl Options {
    /// Checks what can be checked without reading files, which may appear later.
    pub(super) fn check(&self) -> Result<(), SinkError> {
        self.url.check("url")?;
        parse_method(&self.method).map_err(|reason| wrong("method", reason))?;
        for (name, value) in &self.headers {
            parse_header_name(name).map_err(|reason| wrong("headers", reason))?;
            if let Some(value) = now("headers", value)? {
                let reason = || format!("the value of {name} contains a control character");
                HeaderValue::from_str(&value).map_err(|_| wrong("headers", reason()))?;
            }
        }
        if let Some(secret) = &self.hmac_secret {
            now("hmacSecret", secret)?;
        }
        if self.body.is_some() && self.format != Format::Event {
            return Err(wrong("body", "a template is for one event: leave out `format`"));
        }
        Ok(())
    }
}

/// Reads an HTTP method.
pub(super) fn parse_method(text: &str) -> Result<Method, String> {
    Method::from_bytes(text.as_bytes()).map_err(|_| format!("{text:?} is not an HTTP method"))
}

/// Reads the name of a header.
pub(super) fn parse_header_name(text: &str) -> Result<HeaderName, String> {
    text.parse().map_err(|_| format!("{text:?} is not the name of a header"))
}

fn post() -> String {
    Method::POST.to_string()
}

fn content() -> String {
    "content".to_owned()
}
