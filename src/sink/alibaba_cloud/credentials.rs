//! Who the relay is: keys that are written, those of a role that the service account or the machine has, or those of a
//! file.
//!
//! Invariant: keys that expire are renewed before they do, and again when the service refuses them.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::{Client, StatusCode};
use serde::Deserialize;

use super::rrsa::Rrsa;
use super::token_config;
use crate::setting::Secret;
use crate::sink::Outcome;
use crate::sink::http::cause_of;
use crate::sink::keys::{KeptKeys, Keys};

/// Where keys come from.
#[derive(Debug, Clone)]
pub(in crate::sink) enum Origin {
    /// A pair that is written, or in the environment.
    Written { id: Secret, secret: Secret },
    /// The role that the service account may assume.
    ServiceAccount(Rrsa),
    /// The file of the Kubernetes service where there is one, else the role of the machine.
    Machine { token_config: PathBuf, metadata: String },
}

/// Keys, kept as long as they live.
pub(in crate::sink) struct Credentials {
    origin: Origin,
    kept: KeptKeys,
}

/// The metadata service is near, or not there at all.
const METADATA_TIMEOUT: Duration = Duration::from_secs(5);

const TOKEN: &str = "X-aliyun-ecs-metadata-token";
const TOKEN_SECONDS: &str = "X-aliyun-ecs-metadata-token-ttl-seconds";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RoleKeys {
    access_key_id: String,
    access_key_secret: String,
    security_token: String,
    expiration: Timestamp,
}

impl Credentials {
    pub(in crate::sink) fn new(origin: Origin) -> Self {
        Self { origin, kept: KeptKeys::default() }
    }

    /// Whether [`keys`](Self::keys) looks at the region.
    pub(in crate::sink) fn needs_region(&self) -> bool {
        matches!(&self.origin, Origin::ServiceAccount(role) if role.needs_region())
    }

    /// Keys that are valid for a while, for a sink of this region.
    pub(in crate::sink) async fn keys(
        &mut self,
        client: &Client,
        region: &str,
    ) -> Result<Keys, Outcome> {
        let Self { origin, kept } = self;
        kept.get(origin.fetch(client, region)).await
    }

    /// The service has refused the keys. Returns whether other ones may be had.
    pub(in crate::sink) fn forget(&mut self) -> bool {
        self.kept.forget();
        !matches!(self.origin, Origin::Written { .. })
    }
}

impl Origin {
    async fn fetch(&self, client: &Client, region: &str) -> Result<Keys, Outcome> {
        match self {
            Self::Written { id, secret } => {
                let reveal = |option: &str, secret: &Secret| {
                    let hold = |error| Outcome::Hold { cause: format!("{option}: {error}") };
                    secret.reveal().map_err(hold)
                };
                let (id, secret) = (reveal("accessKeyId", id)?, reveal("accessKeySecret", secret)?);
                Ok(Keys { id, secret, token: None, expires: None })
            }
            Self::ServiceAccount(role) => role.keys(client, region).await,
            Self::Machine { token_config, metadata } => match std::fs::read_to_string(token_config)
            {
                Ok(text) => token_config::read(&text).map_err(|reason| Outcome::Hold {
                    cause: format!("{}: {reason}", token_config.display()),
                }),
                Err(_absent) => role_keys(client, metadata).await,
            },
        }
    }
}

/// Keys of the role that the machine has, from the metadata service of Alibaba Cloud.
async fn role_keys(client: &Client, metadata: &str) -> Result<Keys, Outcome> {
    let token = metadata_token(client, metadata).await?;
    let path = "latest/meta-data/ram/security-credentials/";
    let role = ask(client, &format!("{metadata}/{path}"), token.as_deref()).await?;
    let role = role.trim();
    let keys = ask(client, &format!("{metadata}/{path}{role}"), token.as_deref()).await?;
    let keys: RoleKeys = serde_json::from_str(&keys).map_err(|_| Outcome::Retry {
        after: None,
        cause: format!("the metadata service has no keys for the role {role}"),
    })?;
    Ok(Keys {
        id: keys.access_key_id,
        secret: keys.access_key_secret,
        token: Some(keys.security_token),
        expires: Some(keys.expiration),
    })
}

/// What the second version of the metadata service asks for; the first knows no such thing.
async fn metadata_token(client: &Client, metadata: &str) -> Result<Option<String>, Outcome> {
    let request = client
        .put(format!("{metadata}/latest/api/token"))
        .header(TOKEN_SECONDS, "18000")
        .timeout(METADATA_TIMEOUT);
    let response = request.send().await.map_err(unreachable)?;
    match response.status() {
        StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => Ok(None),
        _ => Ok(Some(response.text().await.map_err(unreachable)?.trim().to_owned())),
    }
}

/// The region of the machine.
pub(in crate::sink) async fn region(client: &Client, metadata: &str) -> Result<String, Outcome> {
    fact(client, metadata, "region-id").await
}

/// The account that the machine belongs to.
pub(in crate::sink) async fn account(client: &Client, metadata: &str) -> Result<String, Outcome> {
    fact(client, metadata, "owner-account-id").await
}

async fn fact(client: &Client, metadata: &str, name: &str) -> Result<String, Outcome> {
    let token = metadata_token(client, metadata).await?;
    let url = format!("{metadata}/latest/meta-data/{name}");
    Ok(ask(client, &url, token.as_deref()).await?.trim().to_owned())
}

async fn ask(client: &Client, url: &str, token: Option<&str>) -> Result<String, Outcome> {
    let mut request = client.get(url).timeout(METADATA_TIMEOUT);
    if let Some(token) = token {
        request = request.header(TOKEN, token);
    }
    let response = request.send().await.map_err(unreachable)?;
    if !response.status().is_success() {
        let cause = format!(
            "the metadata service answers HTTP {}; give the machine a role that may write, or set the \
             options `accessKeyId` and `accessKeySecret`",
            response.status()
        );
        return Err(Outcome::Hold { cause });
    }
    response.text().await.map_err(unreachable)
}

fn unreachable(error: reqwest::Error) -> Outcome {
    let cause = format!(
        "there are no keys: the options `accessKeyId` and `accessKeySecret` are not set, and the metadata \
         service of the machine does not answer: {}",
        cause_of(error)
    );
    Outcome::Retry { after: None, cause }
}
