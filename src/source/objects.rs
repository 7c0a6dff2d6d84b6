//! The few other objects the relay reads: namespace `kube-system` and config maps.

use std::collections::HashMap;

use serde::Deserialize;

use super::SourceError;
use super::api::{Api, PROBE_TIMEOUT, percent_encoded};
use super::failure::Failure;
use super::parse::quote;

#[derive(Deserialize)]
struct Namespace {
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    uid: String,
}

#[derive(Deserialize)]
struct ConfigMap {
    #[serde(default)]
    data: Option<HashMap<String, String>>,
}

/// The uid of namespace `kube-system`, which names the cluster for as long as it exists.
/// `None` when the relay may not read it.
pub(super) async fn cluster_uid(api: &Api) -> Result<Option<String>, SourceError> {
    let body = match api.get("/api/v1/namespaces/kube-system", PROBE_TIMEOUT).await {
        Ok(body) => body,
        Err(Failure::Answer(refusal)) if matches!(refusal.code, 403 | 404) => return Ok(None),
        Err(failure) => return Err(error(&failure, "read namespace kube-system")),
    };
    uid(&body).map_err(|error| {
        let answer = quote(&body);
        SourceError::Unreachable(format!("{error} in the answer for a namespace: {answer}"))
    })
}

/// The uid of a namespace.
pub(super) fn uid(body: &[u8]) -> serde_json::Result<Option<String>> {
    let namespace: Namespace = serde_json::from_slice(body)?;
    Ok(Some(namespace.metadata.uid).filter(|uid| !uid.is_empty()))
}

/// The text under a key of a config map.
pub(super) async fn config_map_text(
    api: &Api,
    namespace: &str,
    name: &str,
    key: &str,
) -> Result<String, SourceError> {
    let address = format!(
        "/api/v1/namespaces/{}/configmaps/{}",
        percent_encoded(namespace),
        percent_encoded(name)
    );
    let what = format!("read config map {namespace}/{name}");
    let body = api.get(&address, PROBE_TIMEOUT).await.map_err(|failure| error(&failure, &what))?;
    let mut data =
        data(&body).map_err(|error| SourceError::Refused(format!("cannot {what}: {error}")))?;
    data.remove(key).ok_or_else(|| {
        SourceError::Refused(format!(
            "config map {namespace}/{name} has no key {key:?}; add it, or correct the name"
        ))
    })
}

/// The texts of a config map, by their keys.
pub(super) fn data(body: &[u8]) -> serde_json::Result<HashMap<String, String>> {
    let map: ConfigMap = serde_json::from_slice(body)?;
    Ok(map.data.unwrap_or_default())
}

fn error(failure: &Failure, what: &str) -> SourceError {
    match failure {
        Failure::Answer(refusal) => {
            let remedy = match refusal.code {
                401 => "; check the relay's credentials",
                403 => "; grant verb get on it to the relay's service account",
                404 => "; create it, or correct the name",
                _ => "",
            };
            SourceError::Refused(format!("cannot {what}: {}{remedy}", refusal.said()))
        }
        Failure::Network(cause) | Failure::Unusable(cause) => {
            SourceError::Unreachable(format!("cannot {what}: {cause}"))
        }
    }
}
