//! Signature Version 4 of AWS, checked as the documentation says ("Create a signed AWS API request" of the IAM User
//! Guide) and written apart from that of the sinks.

use axum::http::HeaderName;
use hmac::{Hmac, Mac};
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

use super::service::Call;

/// Keys that AWS knows.
#[derive(Clone, Debug)]
pub struct AwsKeys {
    pub id: String,
    pub secret: String,
    pub token: Option<String>,
}

pub const REGION: &str = "eu-central-1";

/// Whether the request is signed with these keys for this service in [`REGION`]; else AWS's words.
pub fn check(call: &Call, keys: &AwsKeys, service: &str) -> Result<(), String> {
    let header = |name: &str| {
        call.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    };
    let Some(given) = header("authorization").strip_prefix("AWS4-HMAC-SHA256 ") else {
        return Err("Missing Authentication Token".to_owned());
    };
    let part =
        |name: &str| given.split(", ").find_map(|part| part.strip_prefix(name)).unwrap_or_default();
    if header("x-amz-security-token") != keys.token.as_deref().unwrap_or_default() {
        return Err("The security token included in the request is invalid.".to_owned());
    }
    let date_time = header("x-amz-date");
    let at = jiff::fmt::strtime::parse("%Y%m%dT%H%M%SZ", date_time)
        .and_then(|time| time.to_datetime())
        .and_then(|time| time.to_zoned(jiff::tz::TimeZone::UTC));
    let age = at.map(|at| Timestamp::now().duration_since(at.timestamp()).abs());
    if age.is_ok_and(|age| age > SignedDuration::from_mins(5)) {
        return Err(format!("Signature expired: {date_time}"));
    }
    let scope = format!("{}/{REGION}/{service}/aws4_request", &date_time[..date_time.len().min(8)]);
    if part("Credential=") != format!("{}/{scope}", keys.id) {
        return Err("The security token included in the request is invalid.".to_owned());
    }
    let signed: Vec<&str> = part("SignedHeaders=").split(';').collect();
    let must_be_signed = call.headers.keys().map(HeaderName::as_str);
    let mut must_be_signed = must_be_signed
        .filter(|name| name.starts_with("x-amz-") || ["host", "content-type"].contains(name));
    if !signed.is_sorted() || !must_be_signed.all(|name| signed.contains(&name)) {
        return Err("'Host' or an x-amz header is not signed".to_owned());
    }
    let body_hash = hex(&Sha256::digest(&call.body));
    if header("x-amz-content-sha256") != body_hash {
        return Err("The provided x-amz-content-sha256 header does not match".to_owned());
    }
    let lines: Vec<_> = signed.iter().map(|name| format!("{name}:{}\n", header(name))).collect();
    let canonical = format!(
        "{}\n{}\n{}\n{}\n{}\n{body_hash}",
        call.method,
        uri(call),
        query(call),
        lines.concat(),
        signed.join(";")
    );
    let text = format!(
        "AWS4-HMAC-SHA256\n{date_time}\n{scope}\n{}",
        hex(&Sha256::digest(canonical.as_bytes()))
    );
    let mut key = format!("AWS4{}", keys.secret).into_bytes();
    for part in scope.split('/') {
        key = mac(&key, part);
    }
    if part("Signature=") != hex(&mac(&key, &text)) {
        return Err(format!(
            "The request signature we calculated does not match the signature you provided. The Canonical String for \
             this request should have been '{canonical}'"
        ));
    }
    Ok(())
}

/// Each segment encoded once more.
fn uri(call: &Call) -> String {
    let segments = call.path.split('/').map(encoded);
    segments.collect::<Vec<_>>().join("/")
}

fn query(call: &Call) -> String {
    let mut pairs: Vec<_> = call
        .query
        .iter()
        .map(|(name, value)| format!("{}={}", encoded(name), encoded(value)))
        .collect();
    pairs.sort();
    pairs.join("&")
}

fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect::<Vec<_>>().concat()
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}
