//! Options of the `kafka` sink.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::message::Value;
use crate::setting::Secret;
use crate::sink::SinkError;
use crate::sink::options::{now, wrong};

/// `options` of a sink of kind `kafka`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Options {
    /// Brokers to begin with, `HOST:PORT`; they name the others.
    pub(super) brokers: Brokers,
    /// The topic.
    #[serde(default = "default_topic")]
    pub(super) topic: String,
    /// What the value of a message is.
    #[serde(default)]
    pub(super) value: Value,
    /// How batches of messages are compressed.
    #[serde(default)]
    pub(super) compression: Compression,
    /// For SASL.
    #[serde(default)]
    pub(super) username: Option<Secret>,
    /// For SASL.
    #[serde(default)]
    pub(super) password: Option<Secret>,
    /// How user name and password are shown to a broker.
    #[serde(default)]
    pub(super) mechanism: Mechanism,
    /// Whether connections are encrypted; `ca` and `certificate` imply it.
    #[serde(default)]
    pub(super) tls: bool,
    /// File with PEM certificates that are trusted in place of those of the system.
    #[serde(default)]
    pub(super) ca: Option<PathBuf>,
    /// File with the PEM certificate that is shown to a broker, and those that lead to its authority.
    #[serde(default)]
    pub(super) certificate: Option<PathBuf>,
    /// File with the PEM key of `certificate`.
    #[serde(default)]
    pub(super) key: Option<PathBuf>,
    /// What `key` is encrypted with.
    #[serde(default)]
    pub(super) key_password: Option<Secret>,
    /// Whether any certificate of a broker will do. It does not switch TLS on.
    #[serde(default)]
    pub(super) insecure: bool,
}

/// Addresses: a list, or one text with commas.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected HOST:PORT, or a list of them")]
pub(super) enum Brokers {
    /// Separated by commas.
    Text(String),
    /// Each may again be several.
    List(Vec<String>),
}

/// A codec of Kafka.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Compression {
    #[default]
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

/// A mechanism of SASL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub(super) enum Mechanism {
    /// kube-eventer's.
    #[default]
    #[serde(rename = "PLAIN")]
    Plain,
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
}

/// Of a topic's name (Apache Kafka, `org.apache.kafka.common.internals.Topic`).
const LONGEST_TOPIC: usize = 249;

impl Options {
    /// Checks what can be checked without reading files, which may appear later.
    pub(super) fn check(&self) -> Result<(), SinkError> {
        let brokers = self.brokers.each();
        if brokers.is_empty() {
            return Err(wrong("brokers", "name at least one, such as kafka:9092"));
        }
        if !brokers.iter().all(|broker| is_address(broker)) {
            return Err(wrong("brokers", "write each as HOST:PORT, such as kafka:9092"));
        }
        check_topic(&self.topic)?;
        self.check_credentials()
    }

    fn check_credentials(&self) -> Result<(), SinkError> {
        match (&self.username, &self.password) {
            (Some(_), None) => return Err(wrong("password", "`username` needs it")),
            (None, Some(_)) => return Err(wrong("username", "`password` needs it")),
            (None, None) if self.mechanism != Mechanism::Plain => {
                return Err(wrong("username", "`mechanism` needs it"));
            }
            _ => {}
        }
        match (&self.certificate, &self.key) {
            (Some(_), None) => return Err(wrong("key", "`certificate` needs it")),
            (None, Some(_)) => return Err(wrong("certificate", "`key` needs it")),
            _ => {}
        }
        if self.insecure && !self.uses_tls() {
            return Err(wrong("insecure", "it does not switch TLS on: write `tls: true`, too"));
        }
        let secrets = [
            ("username", &self.username),
            ("password", &self.password),
            ("keyPassword", &self.key_password),
        ];
        secrets.into_iter().try_for_each(|(option, secret)| {
            secret.as_ref().map_or(Ok(()), |secret| now(option, secret).map(drop))
        })
    }

    /// Whether connections are encrypted.
    pub(super) fn uses_tls(&self) -> bool {
        self.tls || self.ca.is_some() || self.certificate.is_some()
    }
}

impl Brokers {
    /// Each address by itself.
    pub(super) fn each(&self) -> Vec<&str> {
        let texts = match self {
            Self::Text(text) => std::slice::from_ref(text),
            Self::List(texts) => texts,
        };
        let addresses = texts.iter().flat_map(|text| text.split(',')).map(str::trim);
        addresses.filter(|address| !address.is_empty()).collect()
    }
}

impl Compression {
    /// As librdkafka names it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

impl Mechanism {
    /// As SASL names it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

fn is_address(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let bracketed = host.starts_with('[') && host.ends_with(']');
    let forbidden = |c: char| c.is_whitespace() || "/@,\"'".contains(c);
    !host.is_empty()
        && (bracketed || !host.contains(':'))
        && !host.contains(forbidden)
        && port.parse::<u16>().is_ok_and(|port| port > 0)
}

fn check_topic(topic: &str) -> Result<(), SinkError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let dots = topic == "." || topic == "..";
    if topic.is_empty() || topic.len() > LONGEST_TOPIC || dots || !topic.chars().all(allowed) {
        return Err(wrong("topic", "write a name of 1 to 249 letters, digits, `.`, `_` and `-`"));
    }
    Ok(())
}

fn default_topic() -> String {
    "kubernetes-events".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(more: &serde_json::Value) -> Result<(), String> {
        let mut options = json!({"brokers": "kafka:9092"});
        for (name, value) in more.as_object().expect("an object") {
            options[name] = value.clone();
        }
        let options: Options =
            serde_json::from_value(options).map_err(|error| error.to_string())?;
        options.check().map_err(|error| error.to_string())
    }

    #[test]
    fn what_cannot_work_is_refused_by_name() {
        for (options, option) in [
            (json!({"brokers": []}), "brokers"),
            (json!({"brokers": "kafka"}), "brokers"),
            (json!({"brokers": ["a:9092", "http://b:9092"]}), "brokers"),
            (json!({"brokers": "a:0"}), "brokers"),
            (json!({"topic": "a b"}), "topic"),
            (json!({"topic": ".."}), "topic"),
            (json!({"topic": "x".repeat(250)}), "topic"),
            (json!({"username": "u"}), "password"),
            (json!({"password": "s3cret"}), "username"),
            (json!({"mechanism": "SCRAM-SHA-512"}), "username"),
            (json!({"certificate": "/c"}), "key"),
            (json!({"key": "/k"}), "certificate"),
            (json!({"insecure": true}), "insecure"),
            (json!({"username": {"env": "NO_SUCH_VARIABLE"}, "password": "s3cret"}), "username"),
        ] {
            let error = check(&options).expect_err("refused");
            assert!(error.starts_with(&format!("option {option}: ")), "{options}: {error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
        assert!(check(&json!({"mechanism": "GSSAPI"})).is_err());
        assert!(check(&json!({"brokers": 9092})).is_err_and(|error| error.contains("HOST:PORT")));
    }

    #[test]
    fn what_works_is_taken() {
        for options in [
            json!({}),
            json!({"brokers": ["a:9092, b:9093", "[::1]:9094"], "compression": "zstd"}),
            json!({"username": "u", "password": {"file": "/no/such/file"}, "mechanism": "SCRAM-SHA-256"}),
            json!({"tls": true, "insecure": true}),
            json!({"certificate": "/c", "key": "/k", "keyPassword": "p", "insecure": true}),
        ] {
            assert_eq!(check(&options), Ok(()), "{options}");
        }
    }

    #[test]
    fn brokers_are_a_list_or_one_text() {
        for brokers in [json!("a:1, b:2,c:3"), json!(["a:1", "b:2,c:3", ""])] {
            let brokers: Brokers = serde_json::from_value(brokers).expect("brokers");
            assert_eq!(brokers.each(), ["a:1", "b:2", "c:3"]);
        }
    }
}
