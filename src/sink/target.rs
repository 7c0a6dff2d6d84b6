//! Where a sink's requests go.

use reqwest::Url;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

use super::http::Redaction;
use super::options::{now, wrong};
use super::{Outcome, SinkError};
use crate::setting::Secret;

/// A URL, most of which may be secret: only scheme, host and port are ever shown.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(transparent)]
pub(super) struct Target(pub(super) Secret);

impl Target {
    /// Checks it, unless it is in a file, which may appear later. `option` is its name.
    pub(super) fn check(&self, option: &str) -> Result<(), SinkError> {
        match now(option, &self.0)? {
            Some(url) => parse_url(&url).map(drop).map_err(|reason| wrong(option, reason)),
            None => Ok(()),
        }
    }

    /// What tells it from other targets: the URL, or where that is to be found.
    pub(super) fn credential(&self) -> String {
        self.0.reveal().unwrap_or_else(|_| format!("{:?}", self.0))
    }

    /// The URL as of now; what is secret in it is hidden from then on. `option` is its name.
    pub(super) fn reveal(&self, option: &str, redaction: &mut Redaction) -> Result<Url, Outcome> {
        let hold = |cause: String| Outcome::Hold { cause: format!("{option}: {cause}") };
        let url = self.0.reveal().map_err(|error| hold(error.to_string()))?;
        let url = parse_url(&url).map_err(hold)?;
        redaction.hide_url(&url);
        Ok(url)
    }
}

/// Reads the URL of a target. The error does not show it.
pub(super) fn parse_url(text: &str) -> Result<Url, String> {
    let url: Url = text.parse().map_err(|error| format!("it is not a URL: {error}"))?;
    match url.scheme() {
        "http" | "https" if url.has_host() => Ok(url),
        _ => Err("write a URL that begins with http:// or https:// and names a host".to_owned()),
    }
}

impl Serialize for Target {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Secret::Literal(text) = &self.0 else { return self.0.serialize(serializer) };
        match parse_url(text) {
            Ok(url) => serializer
                .serialize_str(&format!("{}/<secret>", url.origin().ascii_serialization())),
            Err(_) => self.0.serialize(serializer),
        }
    }
}
