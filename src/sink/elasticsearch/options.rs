//! Options of the sink, as a person writes them.

use std::path::PathBuf;

use reqwest::header::HeaderValue;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::setting::Secret;
use crate::sink::SinkError;
use crate::sink::aws::SigV4Options;
use crate::sink::options::{now, wrong};
use crate::sink::target::Target;

/// `options` of a sink of kind `elasticsearch`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Options {
    /// URLs of nodes. They are tried in turn.
    pub(super) nodes: Vec<Target>,
    /// What names of indexes begin with; the name of the data stream.
    #[serde(default = "default_index")]
    pub(super) index: String,
    /// Whether each namespace has indexes of its own.
    #[serde(default)]
    pub(super) index_per_namespace: bool,
    /// Whether `index` is a data stream.
    #[serde(default)]
    pub(super) data_stream: bool,
    /// The alias every index gets. With it the sink creates the indexes itself.
    #[serde(default)]
    pub(super) alias: Option<String>,
    /// Whether the sink creates an index template.
    #[serde(default)]
    pub(super) template: bool,
    /// Ingest pipeline.
    #[serde(default)]
    pub(super) pipeline: Option<String>,
    /// `EventTags.cluster_name` of documents; the name of the cluster unless given.
    #[serde(default)]
    pub(super) cluster_name: Option<String>,
    /// Major version of Elasticsearch whose protocol is spoken; asked for unless given.
    #[serde(default)]
    pub(super) version: Option<u8>,
    /// For basic authentication.
    #[serde(default)]
    pub(super) username: Option<Secret>,
    /// For basic authentication.
    #[serde(default)]
    pub(super) password: Option<Secret>,
    /// `id:api_key`, or the same in base64.
    #[serde(default)]
    pub(super) api_key: Option<Secret>,
    /// A token of the token service, or of `OpenID` Connect.
    #[serde(default)]
    pub(super) bearer_token: Option<Secret>,
    /// Whether and how requests are signed for AWS: `OpenSearch` Service and `OpenSearch` Serverless.
    #[serde(default)]
    pub(super) sigv4: Option<SigV4Options>,
    /// File with PEM certificates that are trusted beside those of the system.
    #[serde(default)]
    pub(super) ca: Option<PathBuf>,
}

/// Versions whose protocol is known; 2 and 5 because kube-eventer has them.
const VERSIONS: [u8; 6] = [2, 5, 6, 7, 8, 9];

/// Of an index name, in bytes: 255 are allowed, and `-`, a namespace of 63 and `-2006.01.02` follow.
const LONGEST_INDEX: usize = 255 - 64 - 11;

impl Options {
    /// Checks what can be checked without reading files, which may appear later.
    pub(super) fn check(&self) -> Result<(), SinkError> {
        if self.nodes.is_empty() {
            return Err(wrong("nodes", "name at least one, such as http://elasticsearch:9200"));
        }
        self.nodes.iter().try_for_each(|node| node.check("nodes"))?;
        check_name("index", &self.index)?;
        self.alias.iter().try_for_each(|alias| check_name("alias", alias))?;
        if self.version.is_some_and(|version| !VERSIONS.contains(&version)) {
            return Err(wrong(
                "version",
                "it is the major version of Elasticsearch, 5 to 9; for OpenSearch leave it out or write 7",
            ));
        }
        self.check_data_stream()?;
        self.check_credentials()
    }

    fn check_data_stream(&self) -> Result<(), SinkError> {
        if !self.data_stream {
            return Ok(());
        }
        if self.alias.is_some() {
            return Err(wrong("alias", "a data stream is a name by itself: leave it out"));
        }
        if self.index_per_namespace {
            return Err(wrong("indexPerNamespace", "there is one data stream: leave it out"));
        }
        if self.version.is_some_and(|version| version < 7) {
            return Err(wrong("dataStream", "there are data streams from Elasticsearch 7.9 on"));
        }
        Ok(())
    }

    fn check_credentials(&self) -> Result<(), SinkError> {
        match (&self.username, &self.password) {
            (Some(_), None) => return Err(wrong("password", "`username` needs it")),
            (None, Some(_)) => return Err(wrong("username", "`password` needs it")),
            _ => {}
        }
        let ways = [
            ("username", &self.username),
            ("apiKey", &self.api_key),
            ("bearerToken", &self.bearer_token),
        ];
        if self.sigv4.is_some()
            && let Some((other, _)) = ways.iter().find(|(_, secret)| secret.is_some())
        {
            return Err(wrong(other, "requests are signed for AWS (`sigv4`): one is enough"));
        }
        let given: Vec<_> = ways.iter().filter(|(_, secret)| secret.is_some()).collect();
        if let [_, (second, _), ..] = given[..] {
            return Err(wrong(second, "there is another credential already: one is enough"));
        }
        for (option, secret) in ways {
            let secret = secret.as_ref().map(|secret| now(option, secret)).transpose()?.flatten();
            if secret.is_some_and(|secret| HeaderValue::from_str(&secret).is_err()) {
                return Err(wrong(option, "it contains a control character"));
            }
        }
        self.password.iter().try_for_each(|secret| now("password", secret).map(drop))
    }
}

/// What Elasticsearch and `OpenSearch` demand of the name of an index or alias.
fn check_name(option: &str, name: &str) -> Result<(), SinkError> {
    let forbidden = |character: char| {
        character.is_uppercase() || character.is_control() || "\\/*?\"<>| ,#:".contains(character)
    };
    if name.is_empty() || name.len() > LONGEST_INDEX {
        return Err(wrong(option, format!("it has 1 to {LONGEST_INDEX} bytes")));
    }
    if name.starts_with(['-', '_', '+']) || name == "." || name == ".." {
        return Err(wrong(option, "a name does not begin with `-`, `_` or `+`"));
    }
    if name.contains(forbidden) {
        return Err(wrong(
            option,
            "a name has no upper case, no spaces and none of \\ / * ? \" < > | , # :",
        ));
    }
    Ok(())
}

fn default_index() -> String {
    "kubernetes-events".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn check(more: &Value) -> Result<(), String> {
        let mut options = json!({"nodes": ["http://h:9200"]});
        for (name, value) in more.as_object().expect("an object") {
            options[name] = value.clone();
        }
        let options: Options = serde_json::from_value(options).expect("options");
        options.check().map_err(|error| error.to_string())
    }

    #[test]
    fn what_cannot_work_is_refused_by_name() {
        for (options, option) in [
            (json!({"nodes": []}), "nodes"),
            (json!({"nodes": ["es:9200"]}), "nodes"),
            (json!({"index": "Events"}), "index"),
            (json!({"index": "_events"}), "index"),
            (json!({"alias": "a b"}), "alias"),
            (json!({"version": 4}), "version"),
            (json!({"dataStream": true, "alias": "a"}), "alias"),
            (json!({"dataStream": true, "version": 6}), "dataStream"),
            (json!({"dataStream": true, "indexPerNamespace": true}), "indexPerNamespace"),
            (json!({"username": "u"}), "password"),
            (json!({"password": "s3cret"}), "username"),
            (json!({"apiKey": "s3cret", "bearerToken": "s3cret"}), "bearerToken"),
            (json!({"apiKey": "s3cret\n"}), "apiKey"),
            (json!({"apiKey": "s3cret", "sigv4": {}}), "apiKey"),
        ] {
            let error = check(&options).expect_err("refused");
            assert!(error.starts_with(&format!("option {option}: ")), "{options}: {error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn what_works_is_taken() {
        for options in [
            json!({}),
            json!({"username": "u", "password": {"file": "/no/such/file"}}),
            json!({"apiKey": "id:key", "alias": "all", "version": 9}),
            json!({"dataStream": true, "index": "logs-kubernetes-default", "template": true}),
        ] {
            assert_eq!(check(&options), Ok(()));
        }
    }
}
