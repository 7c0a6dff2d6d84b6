//! Keys of a role that the pod's service account may assume (RRSA, RAM Roles for Service Accounts).
//!
//! Source: help.aliyun.com, "`AssumeRoleWithOIDC`" of the API reference of STS, and "Use RRSA to authorize pods" of the
//! Kubernetes service, which lists the errors. The request has no signature: the token says who asks.

use std::path::PathBuf;

use jiff::Timestamp;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Client, Request};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::sink::http::{Conflict, Redaction, Reply, cause_of, exchange_unheard};
use crate::sink::keys::{Keys, identity_token};
use crate::sink::options::wrong;
use crate::sink::signing::{FORM, form};
use crate::sink::target::parse_url;
use crate::sink::{Outcome, SinkError};

/// `rrsa` of a sink: the role that the pod's service account may assume.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::sink) struct RrsaOptions {
    /// ARN of the role; `$ALIBABA_CLOUD_ROLE_ARN` when it is not written.
    #[serde(default)]
    role_arn: Option<String>,
    /// ARN of the cluster's identity provider; `$ALIBABA_CLOUD_OIDC_PROVIDER_ARN` when it is not written.
    #[serde(default)]
    oidc_provider_arn: Option<String>,
    /// File with the service account's token; `$ALIBABA_CLOUD_OIDC_TOKEN_FILE` when it is not written.
    #[serde(default)]
    oidc_token_file: Option<PathBuf>,
}

/// A role, and what it takes to assume it.
#[derive(Debug, Clone)]
pub(in crate::sink) struct Rrsa {
    role: String,
    provider: String,
    token_file: PathBuf,
    sts: Sts,
}

/// Where the Security Token Service is.
#[derive(Debug, Clone)]
enum Sts {
    At(String),
    /// That of the region, on Alibaba Cloud's own network.
    OfRegion,
}

/// What the session of the role is called in the cloud's audit log.
const SESSION: &str = "kube-event-relay";

/// Where the service is for everybody.
const PUBLIC_STS: &str = "https://sts.aliyuncs.com";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    credentials: Credentials,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Credentials {
    access_key_id: String,
    access_key_secret: String,
    security_token: String,
    expiration: Timestamp,
}

impl RrsaOptions {
    /// The role, unless there is none: what is not written is in the environment, as the cloud's own clients have it.
    pub(super) fn role(
        &self,
        sts: Option<&str>,
        internal: bool,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Option<Rrsa>, SinkError> {
        let sts = match sts {
            Some(url) => {
                parse_url(url).map_err(|reason| wrong("sts", reason))?;
                Sts::At(url.to_owned())
            }
            None if internal => Sts::OfRegion,
            None => Sts::At(PUBLIC_STS.to_owned()),
        };
        let written = |option: &Option<String>, variable: &str| {
            option.clone().or_else(|| environment(variable))
        };
        let role = written(&self.role_arn, "ALIBABA_CLOUD_ROLE_ARN");
        let provider = written(&self.oidc_provider_arn, "ALIBABA_CLOUD_OIDC_PROVIDER_ARN");
        let token_file = self.oidc_token_file.clone();
        let token_file =
            token_file.or_else(|| environment("ALIBABA_CLOUD_OIDC_TOKEN_FILE").map(PathBuf::from));
        match (role, provider, token_file) {
            (Some(role), Some(provider), Some(token_file)) => {
                Ok(Some(Rrsa { role, provider, token_file, sts }))
            }
            // Half of it in the environment is somebody else's.
            _ if self.is_empty() => Ok(None),
            _ => Err(wrong(
                "rrsa",
                "roleArn, oidcProviderArn and oidcTokenFile are required, here or as environment variables \
                 ALIBABA_CLOUD_ROLE_ARN, ALIBABA_CLOUD_OIDC_PROVIDER_ARN and ALIBABA_CLOUD_OIDC_TOKEN_FILE",
            )),
        }
    }

    fn is_empty(&self) -> bool {
        self.role_arn.is_none()
            && self.oidc_provider_arn.is_none()
            && self.oidc_token_file.is_none()
    }
}

impl Rrsa {
    /// Whether it must be known in which region the service is to be asked.
    pub(super) fn needs_region(&self) -> bool {
        matches!(self.sts, Sts::OfRegion)
    }

    /// Keys of the role, for an hour.
    pub(super) async fn keys(&self, client: &Client, region: &str) -> Result<Keys, Outcome> {
        let mut redaction = Redaction::default();
        let token = identity_token(&self.token_file, &mut redaction)?;
        let request = self.request(client, region, &token)?;
        let reply = exchange_unheard(client, request).await.map_err(named)?;
        if !reply.status.is_success() {
            return Err(self.refusal(&reply, &redaction));
        }
        // The error of serde would quote what it does not like.
        let Ok(Answer { credentials }) = serde_json::from_slice(&reply.body) else {
            let cause = "STS: there are no keys in its answer; check the option `sts`".to_owned();
            return Err(Outcome::Hold { cause });
        };
        Ok(Keys {
            id: credentials.access_key_id,
            secret: credentials.access_key_secret,
            token: Some(credentials.security_token),
            expires: Some(credentials.expiration),
        })
    }

    fn request(&self, client: &Client, region: &str, token: &str) -> Result<Request, Outcome> {
        let hold = |cause: String| Outcome::Hold { cause: format!("sts: {cause}") };
        let url = match &self.sts {
            Sts::At(url) => parse_url(url),
            Sts::OfRegion => parse_url(&format!("https://sts-vpc.{region}.aliyuncs.com")),
        };
        let mut url = url.map_err(hold)?;
        url.query_pairs_mut().extend_pairs([
            ("Action", "AssumeRoleWithOIDC"),
            ("Version", "2015-04-01"),
            ("Format", "JSON"),
            ("Timestamp", &Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
        ]);
        let body = form(&[
            ("RoleArn", &self.role),
            ("OIDCProviderArn", &self.provider),
            ("OIDCToken", token),
            ("RoleSessionName", SESSION),
        ]);
        let request = client.post(url).header(CONTENT_TYPE, HeaderValue::from_static(FORM));
        request.body(body).build().map_err(|error| hold(cause_of(error)))
    }

    /// What the service says instead of keys. Nothing is refused for it: no record has been sent.
    fn refusal(&self, reply: &Reply, redaction: &Redaction) -> Outcome {
        let json: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        let code = json["Code"].as_str().unwrap_or_default();
        let said = format!("STS: {}", reply.explain(redaction));
        if code.starts_with("Throttling") || code.starts_with("ServiceUnavailable") {
            return Outcome::Retry { after: reply.retry_after, cause: said };
        }
        match reply.outcome(Conflict::Rejected, redaction) {
            Outcome::Retry { after, .. } => Outcome::Retry { after, cause: said },
            _ => Outcome::Hold { cause: format!("{said}; {}", self.remedy(code)) },
        }
    }

    fn remedy(&self, code: &str) -> String {
        match code.strip_prefix("AuthenticationFail.") {
            Some("OIDCToken.Expired") => {
                format!("{} is out of date: does kubelet renew it?", self.token_file.display())
            }
            Some("OIDCToken.AudienceNotMatch") => {
                "mount the token for the audience sts.aliyuncs.com".to_owned()
            }
            Some("NoPermission") => format!(
                "switch RRSA on for the cluster, and allow the service account in the trust policy of {}",
                self.role
            ),
            Some(_) => format!(
                "switch RRSA on for the cluster, check {}, and make the pod anew",
                self.provider
            ),
            None if code.starts_with("EntityNotExist") => {
                format!("create the role {}, or check its name", self.role)
            }
            None => "check the options `rrsa` and `sts`".to_owned(),
        }
    }
}

/// Says whose answer is missing.
fn named(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Retry { after, cause } => Outcome::Retry { after, cause: format!("STS: {cause}") },
        outcome => outcome,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NAMES: [&str; 3] = [
        "ALIBABA_CLOUD_ROLE_ARN",
        "ALIBABA_CLOUD_OIDC_PROVIDER_ARN",
        "ALIBABA_CLOUD_OIDC_TOKEN_FILE",
    ];

    fn options(value: Value) -> RrsaOptions {
        serde_json::from_value(value).expect("options")
    }

    #[test]
    fn the_environment_has_what_the_options_do_not() {
        let all = |name: &str| NAMES.contains(&name).then(|| format!("of {name}"));
        let role = options(json!({"roleArn": "mine"})).role(None, true, &all).expect("valid");
        let role = role.expect("a role");
        assert_eq!((role.role.as_str(), role.needs_region()), ("mine", true));
        assert_eq!(role.provider, "of ALIBABA_CLOUD_OIDC_PROVIDER_ARN");
        assert_eq!(role.token_file, PathBuf::from("of ALIBABA_CLOUD_OIDC_TOKEN_FILE"));
        let role = options(json!({})).role(None, false, &all).expect("valid").expect("a role");
        assert_eq!((role.role.as_str(), role.needs_region()), ("of ALIBABA_CLOUD_ROLE_ARN", false));
    }

    #[test]
    fn half_of_it_is_somebody_else_s_or_a_mistake() {
        let some = |name: &str| (name == NAMES[0]).then(|| "role".to_owned());
        assert!(options(json!({})).role(None, true, &some).expect("valid").is_none());
        let error = options(json!({"oidcTokenFile": "/t"})).role(None, true, &some);
        let error = error.expect_err("incomplete").to_string();
        assert!(error.starts_with("option rrsa: ") && error.contains(NAMES[1]), "{error}");
        let error = options(json!({})).role(Some("sts"), true, &some).expect_err("no URL");
        assert!(error.to_string().starts_with("option sts: "), "{error}");
    }
}
