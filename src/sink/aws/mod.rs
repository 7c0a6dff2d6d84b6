//! Requests that are signed for AWS: who the relay is, and the signature.
//!
//! Invariant: keys that are written are read anew for every delivery; those of a role are renewed before they
//! expire, and again when they are refused.

mod signature;
mod web_identity;

use std::path::PathBuf;

use jiff::Timestamp;
use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Client, Request};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::signature::{Scope, Unsigned};
use self::web_identity::WebIdentity;
use super::keys::{KeptKeys, Keys};
use super::options::{now, wrong};
use super::target::parse_url;
use super::{Outcome, SinkError};
use crate::setting::Secret;

/// `sigv4` of a sink. What is not written is in the environment, as AWS's own clients have it.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct SigV4Options {
    /// Region; `$AWS_REGION`, else `$AWS_DEFAULT_REGION`, when it is not written.
    #[serde(default)]
    region: Option<String>,
    /// `es` for a domain of `OpenSearch` Service, `aoss` for a collection of `OpenSearch` Serverless.
    #[serde(default)]
    service: Service,
    /// A pair of keys, else `$AWS_ACCESS_KEY_ID` and `$AWS_SECRET_ACCESS_KEY`, else those of `roleArn`.
    #[serde(default)]
    access_key_id: Option<Secret>,
    /// The other half of the pair.
    #[serde(default)]
    secret_access_key: Option<Secret>,
    /// The token of keys that are a role's; `$AWS_SESSION_TOKEN` beside keys of the environment.
    #[serde(default)]
    session_token: Option<Secret>,
    /// ARN of a role that the pod's service account may assume; `$AWS_ROLE_ARN` when it is not written.
    #[serde(default)]
    role_arn: Option<String>,
    /// File with the service account's token; `$AWS_WEB_IDENTITY_TOKEN_FILE` when it is not written.
    #[serde(default)]
    web_identity_token_file: Option<PathBuf>,
    /// The Security Token Service, for `roleArn`; that of the region when it is not written.
    #[serde(default)]
    sts: Option<String>,
}

/// What requests are signed for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Service {
    #[default]
    Es,
    Aoss,
}

/// Looks a variable of the environment up; one that is empty is not there.
pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Variables with which kube-eventer signs, asked for or not; AWS's SDK for Go knows both names of each.
const KEY_ID_VARIABLES: [&str; 2] = ["AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY"];
const SECRET_VARIABLES: [&str; 2] = ["AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY"];

/// Whether one of the variables for keys is set.
pub(super) fn has_key_variable(environment: Environment<'_>) -> bool {
    KEY_ID_VARIABLES.iter().chain(&SECRET_VARIABLES).any(|name| environment(name).is_some())
}

/// Signs requests.
pub(super) struct Signer {
    region: String,
    service: &'static str,
    origin: Origin,
    kept: KeptKeys,
}

/// Where keys come from.
enum Origin {
    Written {
        id: Secret,
        secret: Secret,
        token: Option<Secret>,
    },
    /// The role that the service account may assume.
    ServiceAccount(WebIdentity),
}

/// Keys as of now, with what they sign for.
pub(super) struct Signing {
    keys: Keys,
    region: String,
    service: &'static str,
}

impl SigV4Options {
    /// What signs, unless something is missing.
    pub(super) fn signer(&self, environment: Environment<'_>) -> Result<Signer, SinkError> {
        let region = self.region.clone();
        let region = region
            .or_else(|| environment("AWS_REGION"))
            .or_else(|| environment("AWS_DEFAULT_REGION"))
            .ok_or_else(|| {
                wrong("sigv4", "region is required, here or as environment variable AWS_REGION")
            })?;
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if region.is_empty() || !region.chars().all(is_name) {
            return Err(wrong("sigv4", "region is a name such as eu-central-1"));
        }
        let service = match self.service {
            Service::Es => "es",
            Service::Aoss => "aoss",
        };
        let origin = match self.written(environment)? {
            Some(written) => written,
            None => Origin::ServiceAccount(self.service_account(&region, environment)?),
        };
        Ok(Signer { region, service, origin, kept: KeptKeys::default() })
    }

    /// The pair of keys that is written, or in the environment.
    fn written(&self, environment: Environment<'_>) -> Result<Option<Origin>, SinkError> {
        let variable = |names: &[&str]| {
            let set = names.iter().find(|name| environment(name).is_some());
            set.map(|name| Secret::Environment { env: (*name).to_owned() })
        };
        let (id, secret, token) = match (&self.access_key_id, &self.secret_access_key) {
            (Some(id), Some(secret)) => (id.clone(), secret.clone(), self.session_token.clone()),
            (Some(_), None) => {
                return Err(wrong("sigv4", "secretAccessKey is required beside accessKeyId"));
            }
            (None, Some(_)) => {
                return Err(wrong("sigv4", "accessKeyId is required beside secretAccessKey"));
            }
            (None, None) => match (variable(&KEY_ID_VARIABLES), variable(&SECRET_VARIABLES)) {
                (Some(id), Some(secret)) => {
                    let token = self.session_token.clone();
                    (id, secret, token.or_else(|| variable(&["AWS_SESSION_TOKEN"])))
                }
                _ => return Ok(None),
            },
        };
        Ok(Some(Origin::Written { id, secret, token }))
    }

    fn service_account(
        &self,
        region: &str,
        environment: Environment<'_>,
    ) -> Result<WebIdentity, SinkError> {
        let role = self.role_arn.clone().or_else(|| environment("AWS_ROLE_ARN"));
        let token_file = self.web_identity_token_file.clone();
        let token_file =
            token_file.or_else(|| environment("AWS_WEB_IDENTITY_TOKEN_FILE").map(PathBuf::from));
        let (Some(role), Some(token_file)) = (role, token_file) else {
            return Err(wrong(
                "sigv4",
                "there are no keys: set accessKeyId and secretAccessKey, or roleArn and webIdentityTokenFile, here or \
                 as environment variables AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_ROLE_ARN and \
                 AWS_WEB_IDENTITY_TOKEN_FILE",
            ));
        };
        let sts = self.sts.clone().unwrap_or_else(|| web_identity::endpoint(region));
        let sts = parse_url(&sts).map_err(|reason| wrong("sigv4", format!("sts: {reason}")))?;
        Ok(WebIdentity { role, token_file, sts })
    }
}

impl Signer {
    /// Checks what can be checked without reading files, which may appear later.
    pub(super) fn check(&self) -> Result<(), SinkError> {
        let Origin::Written { id, secret, token } = &self.origin else { return Ok(()) };
        let token = token.iter();
        [id, secret].into_iter().chain(token).try_for_each(|secret| now("sigv4", secret).map(drop))
    }

    /// Keys that are valid for a while.
    pub(super) async fn signing(&mut self, client: &Client) -> Result<Signing, Outcome> {
        let keys = match &self.origin {
            Origin::Written { id, secret, token } => revealed(id, secret, token.as_ref())?,
            Origin::ServiceAccount(role) => self.kept.get(role.keys(client)).await?,
        };
        Ok(Signing { keys, region: self.region.clone(), service: self.service })
    }

    /// The service has refused the keys. Returns whether other ones may be had.
    pub(super) fn forget(&mut self) -> bool {
        self.kept.forget();
        matches!(self.origin, Origin::ServiceAccount(_))
    }
}

fn revealed(id: &Secret, secret: &Secret, token: Option<&Secret>) -> Result<Keys, Outcome> {
    let reveal = |option: &str, secret: &Secret| {
        let hold = |error| Outcome::Hold { cause: format!("sigv4.{option}: {error}") };
        secret.reveal().map_err(hold)
    };
    Ok(Keys {
        id: reveal("accessKeyId", id)?,
        secret: reveal("secretAccessKey", secret)?,
        token: token.map(|token| reveal("sessionToken", token)).transpose()?,
        expires: None,
    })
}

impl Signing {
    pub(super) fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Signs a request that is complete otherwise. Its query is written as the signature has it, because not
    /// everybody reads another spelling as the same.
    pub(super) fn sign(&self, request: &mut Request, body: &[u8]) -> Result<(), Outcome> {
        let query: Vec<(String, String)> = request.url().query_pairs().into_owned().collect();
        let url = request.url();
        let host = url.host_str().unwrap_or_default();
        let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let content_type = request.headers().get(reqwest::header::CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok()).map(str::to_owned);
        let method = request.method().clone();
        let path = url.path().to_owned();
        let unsigned = Unsigned { method: method.as_str(), path: &path, query: &query, body };
        let scope = Scope { region: &self.region, service: self.service };
        let own = [("host", Some(host)), ("content-type", content_type)];
        let headers = own.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        let headers = unsigned.sign(headers, &scope, &self.keys, Timestamp::now());
        if !query.is_empty() {
            request.url_mut().set_query(Some(&signature::query(&query)));
        }
        for (name, value) in headers {
            let bad =
                |_| Outcome::Hold { cause: format!("sigv4: the value of {name} is no header") };
            let mut value = HeaderValue::from_str(&value).map_err(bad)?;
            value.set_sensitive(name != "x-amz-date");
            request.headers_mut().insert(HeaderName::from_static(name), value);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn signer(options: Value, environment: &[(&str, &str)]) -> Result<Signer, String> {
        let options: SigV4Options = serde_json::from_value(options).expect("options");
        let environment = |wanted: &str| {
            let found = environment.iter().find(|(name, _)| *name == wanted);
            found.map(|(_, value)| (*value).to_owned())
        };
        options.signer(&environment).map_err(|error| error.to_string())
    }

    fn origin(options: Value, environment: &[(&str, &str)]) -> String {
        match signer(options, environment).expect("a signer").origin {
            Origin::Written { id, secret, token } => format!("{id:?} {secret:?} {token:?}"),
            Origin::ServiceAccount(WebIdentity { role, token_file, sts }) => {
                format!("{role} {} {sts}", token_file.display())
            }
        }
    }

    #[test]
    fn keys_come_from_the_options_then_the_environment_then_the_service_account() {
        let mut environment = vec![
            ("AWS_REGION", "eu-central-1"),
            ("AWS_ROLE_ARN", "r"),
            ("AWS_WEB_IDENTITY_TOKEN_FILE", "/t"),
        ];
        let sts = "https://sts.eu-central-1.amazonaws.com/";
        assert_eq!(origin(json!({}), &environment), format!("r /t {sts}"));
        let role = json!({"roleArn": "mine", "region": "cn-north-1"});
        let sts = "https://sts.cn-north-1.amazonaws.com.cn/";
        assert_eq!(origin(role, &environment), format!("mine /t {sts}"));
        environment.extend([("AWS_ACCESS_KEY", "i"), ("AWS_SECRET_ACCESS_KEY", "s")]);
        assert_eq!(
            origin(json!({}), &environment),
            "<secret from $AWS_ACCESS_KEY> <secret from $AWS_SECRET_ACCESS_KEY> None"
        );
        environment.push(("AWS_SESSION_TOKEN", "t"));
        assert!(
            origin(json!({}), &environment).ends_with("Some(<secret from $AWS_SESSION_TOKEN>)")
        );
        // Somebody else's token does not go with keys that are written.
        let written = json!({"accessKeyId": "i", "secretAccessKey": "s"});
        assert_eq!(origin(written, &environment), "<secret> <secret> None");
    }

    #[test]
    fn what_is_missing_is_named() {
        let region = [("AWS_DEFAULT_REGION", "eu-central-1")];
        for (options, environment, part) in [
            (json!({}), &[][..], "AWS_REGION"),
            (json!({"region": "eu central"}), &[], "a name such as"),
            (json!({}), &region, "AWS_WEB_IDENTITY_TOKEN_FILE"),
            (json!({"accessKeyId": "s3cret"}), &region, "secretAccessKey is required"),
            (json!({"secretAccessKey": "s3cret"}), &region, "accessKeyId is required"),
            (json!({"roleArn": "r"}), &region, "webIdentityTokenFile"),
            (json!({"roleArn": "r", "webIdentityTokenFile": "/t", "sts": "x"}), &region, "sts: "),
        ] {
            let error = signer(options, environment).err().expect("refused");
            assert!(error.starts_with("option sigv4: ") && error.contains(part), "{part}: {error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
        assert!(has_key_variable(&|name| (name == "AWS_SECRET_KEY").then(|| "s".to_owned())));
        assert!(!has_key_variable(&|_| None));
    }
}
