//! Options of the `influxdb` sink.

use std::path::PathBuf;

use reqwest::Url;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::point::Points;
use crate::setting::Secret;
use crate::sink::SinkError;
use crate::sink::options::{now, wrong};
use crate::sink::target::Target;

/// `options` of a sink of kind `influxdb`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Options {
    /// The server, and what is in front of the paths of its API.
    pub(super) url: Target,
    /// Which API.
    #[serde(default)]
    pub(super) api: Api,
    /// Of 1.x and 3.x.
    #[serde(default)]
    database: Option<String>,
    /// Of 1.x; without it the database's default one.
    #[serde(default)]
    pub(super) retention_policy: Option<String>,
    /// Whether a database or retention policy that is missing is created; 1.x.
    #[serde(default)]
    create_database: Option<bool>,
    /// Of 1.x.
    #[serde(default)]
    pub(super) user: Option<String>,
    /// Of 1.x.
    #[serde(default)]
    pub(super) password: Option<Secret>,
    /// Of 2.x.
    #[serde(default)]
    pub(super) org: Option<String>,
    /// Of 2.x.
    #[serde(default)]
    pub(super) bucket: Option<String>,
    /// Of 2.x and 3.x.
    #[serde(default)]
    pub(super) token: Option<Secret>,
    /// What a point has.
    #[serde(default)]
    pub(super) points: Points,
    /// The tag `cluster_name`; without it the relay's own name of the cluster.
    #[serde(default)]
    pub(super) cluster_name: Option<String>,
    /// Whether any certificate will do.
    #[serde(default)]
    pub(super) insecure: bool,
    /// File with PEM certificates that are trusted beside those of the system.
    #[serde(default)]
    pub(super) ca: Option<PathBuf>,
}

/// A generation of `InfluxDB`'s API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Api {
    /// 1.x, and what is compatible with it.
    #[default]
    V1,
    /// 2.x and `InfluxDB` Cloud.
    V2,
    /// 3.x.
    V3,
}

/// kube-eventer's.
const DATABASE: &str = "k8s";

impl Options {
    /// Checks what can be checked without reading files, which may appear later.
    pub(super) fn check(&self) -> Result<(), SinkError> {
        self.url.check("url")?;
        self.check_api()?;
        for (option, secret) in [("password", &self.password), ("token", &self.token)] {
            if let Some(secret) = secret {
                now(option, secret)?;
            }
        }
        match self.api {
            Api::V2 if self.bucket.as_deref().unwrap_or_default().is_empty() => {
                Err(wrong("bucket", "api v2 needs one"))
            }
            Api::V2 if self.token.is_none() => Err(wrong("token", "api v2 needs one")),
            Api::V1 if self.password.is_some() && self.user.is_none() => {
                Err(wrong("user", "`password` needs one"))
            }
            _ => Ok(()),
        }
    }

    /// An option of another API would have no effect.
    fn check_api(&self) -> Result<(), SinkError> {
        use Api::{V1, V2, V3};
        let owned: [(&str, bool, &[Api]); 8] = [
            ("database", self.database.is_some(), &[V1, V3]),
            ("retentionPolicy", self.retention_policy.is_some(), &[V1]),
            ("createDatabase", self.create_database.is_some(), &[V1]),
            ("user", self.user.is_some(), &[V1]),
            ("password", self.password.is_some(), &[V1]),
            ("org", self.org.is_some(), &[V2]),
            ("bucket", self.bucket.is_some(), &[V2]),
            ("token", self.token.is_some(), &[V2, V3]),
        ];
        let foreign = owned.iter().find(|(_, given, apis)| *given && !apis.contains(&self.api));
        foreign.map_or(Ok(()), |(option, _, apis)| {
            let apis: Vec<_> = apis.iter().map(|api| format!("`api: {}`", api.name())).collect();
            Err(wrong(option, format!("it is for {} only", apis.join(" and "))))
        })
    }

    pub(super) fn database(&self) -> &str {
        self.database.as_deref().unwrap_or(DATABASE)
    }

    pub(super) fn creates_database(&self) -> bool {
        self.api == Api::V1 && self.create_database.unwrap_or(true)
    }

    /// Where points are written to. The query of `base` stays, for what proxies want to see.
    pub(super) fn write_url(&self, base: &Url) -> Url {
        let mut url = endpoint(base, self.api.write_path());
        let mut query = url.query_pairs_mut();
        match self.api {
            Api::V1 => {
                query.append_pair("db", self.database());
                query.append_pair("precision", "ns");
                if let Some(policy) = &self.retention_policy {
                    query.append_pair("rp", policy);
                }
            }
            Api::V2 => {
                query.append_pair("bucket", self.bucket.as_deref().unwrap_or_default());
                query.append_pair("precision", "ns");
                if let Some(org) = &self.org {
                    query.append_pair("org", org);
                }
            }
            Api::V3 => {
                query.append_pair("db", self.database());
                query.append_pair("precision", "nanosecond");
                // Good lines of a request are kept, and bad ones named. The default, but not for ever.
                query.append_pair("accept_partial", "true");
                // Accepted is what is in the write-ahead log.
                query.append_pair("no_sync", "false");
            }
        }
        drop(query);
        url
    }
}

impl Api {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
            Self::V3 => "v3",
        }
    }

    fn write_path(self) -> &'static str {
        match self {
            Self::V1 => "/write",
            Self::V2 => "/api/v2/write",
            Self::V3 => "/api/v3/write_lp",
        }
    }
}

/// Where a statement goes to.
pub(super) fn query_url(base: &Url, statement: &str) -> Url {
    let mut url = endpoint(base, "/query");
    url.query_pairs_mut().append_pair("db", "").append_pair("q", statement);
    url
}

fn endpoint(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
    url
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(mut options: Value) -> Options {
        options["url"] = "https://h:8086/influx/?x=1".into();
        serde_json::from_value(options).expect("options")
    }

    fn write_url(options: Value) -> String {
        let options = read(options);
        options.check().expect("valid options");
        options.write_url(&"https://h:8086/influx/?x=1".parse().expect("a URL")).to_string()
    }

    #[test]
    fn each_api_has_its_request() {
        assert_eq!(write_url(json!({})), "https://h:8086/influx/write?x=1&db=k8s&precision=ns");
        assert_eq!(
            write_url(json!({"database": "a b", "retentionPolicy": "default"})),
            "https://h:8086/influx/write?x=1&db=a+b&precision=ns&rp=default"
        );
        assert_eq!(
            write_url(json!({"api": "v2", "org": "o", "bucket": "b", "token": "t"})),
            "https://h:8086/influx/api/v2/write?x=1&bucket=b&precision=ns&org=o"
        );
        assert_eq!(
            write_url(json!({"api": "v3"})),
            "https://h:8086/influx/api/v3/write_lp?x=1&db=k8s&precision=nanosecond\
             &accept_partial=true&no_sync=false"
        );
    }

    #[test]
    fn options_of_another_api_are_refused() {
        for (options, expected) in [
            (json!({"bucket": "b"}), "option bucket: it is for `api: v2` only"),
            (json!({"token": "t"}), "option token: it is for `api: v2` and `api: v3` only"),
            (json!({"api": "v3", "user": "u"}), "option user: it is for `api: v1` only"),
            (json!({"api": "v2", "token": "t"}), "option bucket: api v2 needs one"),
            (json!({"api": "v2", "bucket": "b"}), "option token: api v2 needs one"),
            (json!({"password": "p"}), "option user: `password` needs one"),
        ] {
            assert_eq!(read(options).check().expect_err("refused").to_string(), expected);
        }
    }
}
