//! The signature of `EventBridge`'s API: HMAC-SHA1 over method, type, date, headers and path.
//!
//! Source: the service's SDK for Go, `client.go` and `eventbridge-util`.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::sink::signing::hmac_sha1;

/// The value of `authorization` for a POST with these headers, whose names are in lower case.
pub(super) fn authorization(
    key_id: &str,
    secret: &str,
    path: &str,
    headers: &BTreeMap<&'static str, String>,
) -> String {
    let header = |name: &str| headers.get(name).map(String::as_str).unwrap_or_default();
    let signed: Vec<_> = headers
        .iter()
        .filter(|(name, _)| name.starts_with("x-acs"))
        .map(|(name, value)| format!("{name}:{value}\n"))
        .collect();
    let text = format!(
        "POST\n{}\n{}\n{}\n{}{path}",
        header("content-md5"),
        header("content-type"),
        header("date"),
        signed.concat(),
    );
    let signature = STANDARD.encode(hmac_sha1(secret.as_bytes(), text.as_bytes()));
    format!("acs:{key_id}:{signature}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signature(secret: &str) -> String {
        let headers = BTreeMap::from([
            ("content-type", "application/cloudevents-batch+json; charset=utf-8".to_owned()),
            ("date", "Tue, 14 Nov 2023 22:13:20 GMT".to_owned()),
            ("x-acs-signature-method", "HMAC-SHA1".to_owned()),
            ("x-acs-signature-nonce", "nonce-1".to_owned()),
            ("x-acs-signature-version", "1.0".to_owned()),
            ("x-eventbridge-version", "2015-06-06".to_owned()),
        ]);
        authorization("id", secret, "/openapi/putEvents", &headers)
    }

    #[test]
    fn signs_the_vectors_of_the_algorithm() {
        assert_eq!(signature("mockSecret"), "acs:id:6/t1bbW5WmqvNa5pAzeSdQgjit8=");
        assert_eq!(signature("testsecret"), "acs:id:awcJWylJ5UTKmO8XyMhfyFiD65A=");
    }
}
