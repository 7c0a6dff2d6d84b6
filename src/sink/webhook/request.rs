//! Requests: headers, key, signature.
//!
//! Invariant: the same records give the same request, so that a receiver can recognise a
//! redelivery.

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, InvalidHeaderValue};
use reqwest::{Client, Method, Request, Url};
use sha2::{Digest, Sha256};

use crate::event::Record;
use crate::setting::{Secret, SecretError};
use crate::sink::Outcome;
use crate::sink::http::{Redaction, cause_of};
use crate::sink::signing::{hexadecimal, hmac_sha256};

use super::body::Body;
use super::options::{Options, parse_header_name, parse_method};

/// Recommended by draft-ietf-httpapi-idempotency-key-header; a structured-field string.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const SIGNATURE: HeaderName = HeaderName::from_static("x-signature-256");

/// Headers whose values are no secrets: hiding them would hide ordinary words.
const PUBLIC_HEADERS: [&str; 4] = ["accept", "content-type", "user-agent", "x-request-id"];

/// Bytes of a key.
const KEY_BYTES: usize = 16;

/// Everything about a request but its body, with secrets as of now.
pub(super) struct Envelope {
    method: Method,
    url: Url,
    headers: HeaderMap,
    hmac_secret: Option<String>,
    /// Takes the secrets out of what the service says.
    pub(super) redaction: Redaction,
}

impl Envelope {
    /// Reads the secrets. What cannot be had is a hold.
    pub(super) fn new(options: &Options) -> Result<Self, Outcome> {
        let hold =
            |option: &str, cause: String| Outcome::Hold { cause: format!("{option}: {cause}") };
        let secret =
            |option: &'static str| move |error: SecretError| hold(option, error.to_string());
        let mut redaction = Redaction::default();
        let url = options.url.reveal("url", &mut redaction)?;
        let mut headers = HeaderMap::new();
        for (name, value) in &options.headers {
            let name = parse_header_name(name).map_err(|cause| hold("headers", cause))?;
            let value = value.reveal().map_err(secret("headers"))?;
            if !PUBLIC_HEADERS.contains(&name.as_str()) {
                redaction.hide(&value);
            }
            let value = header_value(&value).map_err(|error| hold("headers", error.to_string()))?;
            headers.insert(name, value);
        }
        let hmac_secret = options.hmac_secret.as_ref().map(Secret::reveal).transpose();
        let hmac_secret = hmac_secret.map_err(secret("hmacSecret"))?;
        redaction.hide(hmac_secret.as_deref().unwrap_or_default());
        let method = parse_method(&options.method).map_err(|cause| hold("method", cause))?;
        Ok(Self { method, url, headers, hmac_secret, redaction })
    }

    /// The request for `body`, known to the receiver by `key`.
    pub(super) fn request(
        &self,
        client: &Client,
        body: Body,
        key: &str,
    ) -> Result<Request, Outcome> {
        let mut headers = HeaderMap::new();
        if let Some(content_type) = body.content_type {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        let signature = self.hmac_secret.as_ref().map(|secret| {
            (SIGNATURE, format!("sha256={}", signature(secret.as_bytes(), &body.bytes)))
        });
        let own = [(IDEMPOTENCY_KEY, format!("\"{key}\"")), (REQUEST_ID, key.to_owned())];
        for (name, value) in own.into_iter().chain(signature) {
            // Hexadecimal digits and quotation marks are always a header value.
            headers.extend(HeaderValue::from_str(&value).ok().map(|value| (name, value)));
        }
        for (name, value) in &self.headers {
            headers.insert(name, value.clone());
        }
        client
            .request(self.method.clone(), self.url.clone())
            .headers(headers)
            .body(body.bytes)
            .build()
            .map_err(|error| Outcome::Hold { cause: cause_of(error) })
    }
}

/// The value of a header, marked as one that no log may show.
fn header_value(text: &str) -> Result<HeaderValue, InvalidHeaderValue> {
    let mut value = HeaderValue::from_str(text)?;
    value.set_sensitive(true);
    Ok(value)
}

/// The key of one record: its id.
pub(super) fn key_of(record: &Record, cluster: &str) -> String {
    record.id(cluster).to_string()
}

/// The key of a batch: the same for the same records in the same order.
pub(super) fn key_of_all(records: &[Record], cluster: &str) -> String {
    let mut digest = Sha256::new();
    for record in records {
        digest.update(key_of(record, cluster));
    }
    hexadecimal(&digest.finalize()[..KEY_BYTES])
}

/// HMAC-SHA256 in hexadecimal, as GitHub signs its webhooks.
fn signature(secret: &[u8], body: &[u8]) -> String {
    hexadecimal(&hmac_sha256(secret, body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::testing::{context, record};
    use serde_json::json;

    fn request(options: serde_json::Value, content_type: Option<&'static str>) -> Request {
        let options = serde_json::from_value(options).expect("options");
        let Ok(envelope) = Envelope::new(&options) else { panic!("an envelope") };
        let body = Body { bytes: b"Hello, World!".to_vec(), content_type };
        envelope.request(&context().http, body, "k1").expect("a request")
    }

    fn header<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
        request.headers().get(name).and_then(|value| value.to_str().ok())
    }

    #[test]
    fn a_request_is_known_by_its_key_and_signed() {
        // The example of GitHub's documentation, "Validating webhook deliveries".
        let request = request(
            json!({"url": "http://h/", "hmacSecret": "It's a Secret to Everybody"}),
            Some("application/json"),
        );
        assert_eq!(request.method(), Method::POST);
        assert_eq!(header(&request, "idempotency-key"), Some("\"k1\""));
        assert_eq!(header(&request, "x-request-id"), Some("k1"));
        assert_eq!(header(&request, "content-type"), Some("application/json"));
        assert_eq!(
            header(&request, "x-signature-256"),
            Some("sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17")
        );
    }

    #[test]
    fn configured_headers_win() {
        let request = request(
            json!({"url": "http://me:pw@h/", "method": "PUT", "headers": {
                "content-type": "text/plain", "X-Request-Id": "mine", "X-Key": "abc"}}),
            Some("application/json"),
        );
        assert_eq!(request.method(), Method::PUT);
        assert_eq!(header(&request, "content-type"), Some("text/plain"));
        assert_eq!(header(&request, "x-request-id"), Some("mine"));
        assert_eq!(header(&request, "x-key"), Some("abc"));
        assert_eq!(header(&request, "authorization"), Some("Basic bWU6cHc="));
        assert!(!format!("{request:?}").contains("abc"), "{request:?}");
    }

    #[test]
    fn a_secret_that_is_missing_is_a_hold_that_names_its_place() {
        let options = json!({"url": {"file": "/no/such/file"}});
        let options = serde_json::from_value(options).expect("options");
        let Err(Outcome::Hold { cause }) = Envelope::new(&options) else { panic!("a hold") };
        assert!(cause.starts_with("url: ") && cause.contains("/no/such/file"), "{cause}");
    }

    #[test]
    fn the_key_of_a_batch_depends_on_every_record() {
        let records = [record("7", "{}"), record("8", "{}")];
        let key = key_of_all(&records, "c");
        assert_eq!(key.len(), 32);
        assert_eq!(key, key_of_all(&records.clone(), "c"));
        assert_ne!(key, key_of_all(&records[..1], "c"));
        assert_ne!(key, key_of_all(&records, "d"));
    }
}
