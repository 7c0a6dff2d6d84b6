//! What sinks for services of Alibaba Cloud have in common: who the relay is to them.

mod credentials;
mod rrsa;
mod token_config;

pub(super) use credentials::{Credentials, Origin, account, region};
pub(super) use rrsa::RrsaOptions;

use std::collections::BTreeMap;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value};

use crate::setting::{EventerUri, Secret};
use crate::sink::options::{environment, now, wrong};
use crate::sink::target::parse_url;
use crate::sink::{Outcome, SinkError};

/// kube-eventer's option `internal`: true unless it says otherwise, in one of the spellings of Go's `strconv.ParseBool`.
pub(super) fn translate_internal(
    uri: &EventerUri,
    options: &mut Map<String, Value>,
    warnings: &mut Vec<String>,
) {
    match uri.first("internal") {
        None | Some("true" | "1" | "t" | "T" | "TRUE" | "True") => {}
        Some("false" | "0" | "f" | "F" | "FALSE" | "False") => {
            options.insert("internal".to_owned(), false.into());
        }
        Some(_) => {
            warnings.push("`internal` is neither true nor false and is read as true".to_owned());
        }
    }
}

/// kube-eventer's variables for a pair of keys.
const KEY_ID: &str = "AccessKeyId";
const KEY_SECRET: &str = "AccessKeySecret";

/// The pair of keys that is written, or in kube-eventer's environment variables, or half here and half there, as in
/// kube-eventer; `None` when there is none.
pub(super) fn written(
    id: Option<&Secret>,
    secret: Option<&Secret>,
) -> Result<Option<Origin>, SinkError> {
    if id.or(secret).is_none() && environment(KEY_ID).and(environment(KEY_SECRET)).is_none() {
        return Ok(None);
    }
    let id = half(id, KEY_ID)
        .ok_or_else(|| wrong("accessKeyId", required_beside("accessKeySecret", KEY_ID)))?;
    let secret = half(secret, KEY_SECRET)
        .ok_or_else(|| wrong("accessKeySecret", required_beside("accessKeyId", KEY_SECRET)))?;
    now("accessKeyId", &id)?;
    now("accessKeySecret", &secret)?;
    Ok(Some(Origin::Written { id, secret }))
}

fn half(written: Option<&Secret>, variable: &str) -> Option<Secret> {
    let of_environment = |_| Secret::Environment { env: variable.to_owned() };
    written.cloned().or_else(|| environment(variable).map(of_environment))
}

fn required_beside(other: &str, variable: &str) -> String {
    format!("it is required beside {other}, here or as environment variable {variable}")
}

/// The role that the service account may assume; `None` when there is none.
pub(super) fn of_service_account(
    options: &RrsaOptions,
    sts: Option<&str>,
    internal: bool,
) -> Result<Option<Origin>, SinkError> {
    let role = options.role(sts, internal, &environment)?;
    Ok(role.map(Origin::ServiceAccount))
}

/// Where the metadata service of the machine is: its environment variable wins, as in kube-eventer.
pub(super) fn metadata(configured: &str) -> Result<String, SinkError> {
    let variable = environment("ALIBABA_CLOUD_IMDS_ENDPOINT");
    let url = variable.unwrap_or_else(|| configured.to_owned()).trim_end_matches('/').to_owned();
    parse_url(&url).map_err(|reason| wrong("metadata", reason))?;
    Ok(url)
}

/// Headers that say who the relay is, which no log may show.
const SECRET_HEADERS: [&str; 3] = ["authorization", "x-acs-accesskey-id", "x-acs-security-token"];

/// The headers of a request.
pub(super) fn header_map<N: AsRef<str> + Ord>(
    headers: &BTreeMap<N, String>,
) -> Result<HeaderMap, Outcome> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name = name.as_ref();
        let bad = || Outcome::Hold { cause: format!("the value of {name} is no header") };
        let mut value = HeaderValue::from_str(value).map_err(|_| bad())?;
        value.set_sensitive(SECRET_HEADERS.contains(&name));
        map.insert(name.parse::<HeaderName>().map_err(|_| bad())?, value);
    }
    Ok(map)
}
