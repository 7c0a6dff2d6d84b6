//! `source` in the configuration.
//!
//! Every option of kube-eventer's `--source=kubernetes:` has a place here with the meaning it had;
//! how they combine is decided in [`super::connect`].

use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::SourceError;
use crate::event::StreamId;
use crate::setting::{InvalidDuration, Span};

/// `source` in the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SourceConfig {
    /// A Kubernetes API server.
    pub kubernetes: KubernetesConfig,
}

/// `source.kubernetes` in the configuration: which API server, as whom, and what is read there.
///
/// How the API server is found:
///
/// | `inClusterConfig` | rule |
/// |---|---|
/// | absent | `kubeconfig`, else `auth`, else `server` alone, else what `kubectl` would use (`$KUBECONFIG`, `~/.kube/config`), else the pod's service account |
/// | `true` | the pod's service account; `kubeconfig` and `auth` are ignored |
/// | `false` | `kubeconfig` as it is, everything else ignored; else `auth`; else `server` alone |
///
/// Where it is not said to be ignored, `server` replaces the address that was found, `insecure`
/// switches the check of its certificate off, and `useServiceAccount` adds the pod's token.
///
/// kube-eventer behaves as with `inClusterConfig: true` when its option is not given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct KubernetesConfig {
    /// Namespaces to watch, one stream each; empty means all of them in one stream.
    pub namespaces: Vec<String>,
    /// What a first start takes over. A log that is not empty is always resumed.
    pub start: Start,
    /// Path of a kubeconfig (kube-eventer's `localKubeConfig`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig, when it is not the current one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// Address of the API server, such as `https://10.0.0.1:6443`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// Whether the API server's certificate is not checked.
    pub insecure: bool,
    /// Whether the pod's service account is used; see the table above.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_cluster_config: Option<bool>,
    /// Whether the pod's service account token is sent, if it is readable.
    pub use_service_account: bool,
    /// Path of a kubeconfig that `server` and `insecure` adjust (kube-eventer's `auth`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<PathBuf>,
    /// How long the API server keeps events (its `--event-ttl`): an absence longer than this is
    /// reported as a gap.
    pub event_ttl: Span,
}

impl Default for KubernetesConfig {
    fn default() -> Self {
        Self {
            namespaces: Vec::new(),
            start: Start::Now,
            kubeconfig: None,
            context: None,
            server: None,
            insecure: false,
            in_cluster_config: None,
            use_service_account: false,
            auth: None,
            // Default of kube-apiserver's --event-ttl.
            event_ttl: Span::from_secs(3600),
        }
    }
}

/// What a first start, with an empty log, takes over from the API server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Start {
    /// Nothing: only what happens from now on.
    #[default]
    Now,
    /// Every event the API server still has.
    All,
    /// The events last seen within this time before the start.
    Since(Span),
}

/// The text is not a start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a start: write `now`, `all`, or a duration such as 30m")]
pub struct InvalidStart(pub String);

impl FromStr for Start {
    type Err = InvalidStart;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "now" => Ok(Self::Now),
            "all" => Ok(Self::All),
            duration => duration
                .parse()
                .map(Self::Since)
                .map_err(|InvalidDuration(text)| InvalidStart(text)),
        }
    }
}

impl fmt::Display for Start {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now => formatter.write_str("now"),
            Self::All => formatter.write_str("all"),
            Self::Since(span) => span.fmt(formatter),
        }
    }
}

impl TryFrom<String> for Start {
    type Error = InvalidStart;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Start> for String {
    fn from(start: Start) -> Self {
        start.to_string()
    }
}

impl SourceConfig {
    /// Checks what can be checked without touching disk or network.
    pub fn validate(&self) -> Result<(), SourceError> {
        let kubernetes = &self.kubernetes;
        self.streams()?;
        let mut seen = HashSet::new();
        for namespace in &kubernetes.namespaces {
            if !seen.insert(namespace) {
                return Err(invalid("namespaces", format!("{namespace:?} is listed twice")));
            }
        }
        if let Some(server) = &kubernetes.server {
            server_address(server)?;
        }
        if kubernetes.event_ttl.0.is_zero() {
            return Err(invalid(
                "eventTtl",
                "0 is no time to keep events; write the API server's --event-ttl, such as 1h",
            ));
        }
        Ok(())
    }

    /// The streams it names: one per namespace, or one of all namespaces.
    pub(super) fn streams(&self) -> Result<Vec<StreamId>, SourceError> {
        let namespaces = &self.kubernetes.namespaces;
        if namespaces.is_empty() {
            return Ok(vec![StreamId::all_namespaces()]);
        }
        let stream = |name: &String| {
            StreamId::of_namespace(name).map_err(|_| {
                invalid("namespaces", format!("{name:?} is not the name of a namespace"))
            })
        };
        namespaces.iter().map(stream).collect()
    }
}

/// Reads the address of an API server: scheme and host are required, a path is allowed.
pub(super) fn server_address(server: &str) -> Result<http::Uri, SourceError> {
    let remedy = "write it as https://HOST:PORT";
    // A password may stand before an @.
    let shown = server.rsplit_once('@').map_or(server, |(_, place)| place);
    let uri: http::Uri = server.parse().map_err(|error| {
        invalid("server", format!("{shown:?} is not a URL ({error}); {remedy}"))
    })?;
    match (uri.scheme_str(), uri.host()) {
        (Some("http" | "https"), Some(host)) if !host.is_empty() => Ok(uri),
        _ => Err(invalid("server", format!("{shown:?} lacks http(s):// or a host; {remedy}"))),
    }
}

fn invalid(field: &'static str, reason: impl Into<String>) -> SourceError {
    SourceError::Setting { field, reason: reason.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<SourceConfig, String> {
        let config: SourceConfig = serde_json::from_str(json).map_err(|error| error.to_string())?;
        config.validate().map_err(|error| error.to_string())?;
        Ok(config)
    }

    #[test]
    fn nothing_needs_to_be_written() {
        assert_eq!(read("{}"), Ok(SourceConfig::default()));
        assert_eq!(SourceConfig::default().streams().expect("one"), [StreamId::all_namespaces()]);
    }

    #[test]
    fn every_option_of_kube_eventer_has_a_place() {
        let config = read(
            r#"{"kubernetes":{"inClusterConfig":false,"insecure":true,"kubeconfig":"/k",
                "auth":"/a","useServiceAccount":true,"server":"https://kubernetes.default",
                "namespaces":["shop"],"start":"30m","context":"prod","eventTtl":"3h"}}"#,
        )
        .expect("valid");
        assert_eq!(config.kubernetes.start, Start::Since(Span::from_secs(1800)));
        let text = serde_json::to_string(&config).expect("JSON");
        assert_eq!(read(&text), Ok(config));
    }

    #[test]
    fn start_reads_back() {
        for text in ["now", "all", "30m", "1h30m"] {
            assert_eq!(text.parse::<Start>().map(|start| start.to_string()), Ok(text.to_owned()));
        }
        let refused = "yesterday".parse::<Start>().expect_err("refused").to_string();
        assert!(refused.contains("yesterday") && refused.contains("now"), "{refused}");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let cases = [
            (r#"{"kubernetes":{"namespaces":["Shop"]}}"#, "Shop"),
            (r#"{"kubernetes":{"namespaces":["shop","shop"]}}"#, "twice"),
            (r#"{"kubernetes":{"server":"kubernetes.default"}}"#, "server"),
            (r#"{"kubernetes":{"eventTtl":"0s"}}"#, "eventTtl"),
            (r#"{"kubernetes":{"sever":"x"}}"#, "sever"),
        ];
        for (json, word) in cases {
            let error = read(json).expect_err(json);
            assert!(error.contains(word), "{error}");
        }
    }
}
