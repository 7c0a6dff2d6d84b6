//! Signature V1: HMAC-SHA1 over method, digest, type, date, headers of the service and path.
//!
//! Source: help.aliyun.com, "Request signatures" of the API reference of SLS; `signature.go` of the service's SDK
//! for Go, whose first two test vectors are below.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use md5::{Digest, Md5};

use super::{Signer, Unsigned};
use crate::sink::signing::{hexadecimal, hmac_sha1};

/// Signs the request. Its date stands in `date`, which the service looks at where there is no `x-log-date`.
pub(super) fn sign(
    request: Unsigned<'_>,
    signer: &Signer<'_>,
    now: Timestamp,
) -> BTreeMap<String, String> {
    let date = now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    sign_dated(request, signer, date)
}

fn sign_dated(
    request: Unsigned<'_>,
    signer: &Signer<'_>,
    date: String,
) -> BTreeMap<String, String> {
    let Unsigned { method, path, query, mut headers, body } = request;
    headers.insert("date".to_owned(), date);
    headers.insert("x-log-signaturemethod".to_owned(), "hmac-sha1".to_owned());
    if !body.is_empty() {
        // In upper case, other than everywhere else.
        let digest = hexadecimal(&Md5::digest(body)).to_ascii_uppercase();
        headers.insert("content-md5".to_owned(), digest);
    }
    let header = |name: &str| headers.get(name).map(String::as_str).unwrap_or_default();
    let of_service: Vec<_> = headers
        .iter()
        .filter(|(name, _)| name.starts_with("x-log-") || name.starts_with("x-acs-"))
        .map(|(name, value)| format!("{name}:{value}"))
        .collect();
    let text = format!(
        "{method}\n{}\n{}\n{}\n{}\n{}",
        header("content-md5"),
        header("content-type"),
        header("date"),
        of_service.join("\n"),
        resource(path, &query),
    );
    let signature = STANDARD.encode(hmac_sha1(signer.secret.as_bytes(), text.as_bytes()));
    headers.insert("authorization".to_owned(), format!("LOG {}:{signature}", signer.key_id));
    headers
}

/// Path and query, whose values stay as they are.
fn resource(path: &str, query: &BTreeMap<String, String>) -> String {
    let pairs: Vec<_> = query.iter().map(|(key, value)| format!("{key}={value}")).collect();
    if pairs.is_empty() { path.to_owned() } else { format!("{path}?{}", pairs.join("&")) }
}

#[cfg(test)]
mod tests {
    use super::super::vectors::{GROUP, KEYS, bytes, map};
    use super::*;

    /// The date in the vectors of the SDK, which is no day that there was.
    const OLD_DATE: &str = "Mon, 3 Jan 2010 08:33:47 GMT";

    fn authorization(headers: &BTreeMap<String, String>) -> &str {
        headers["authorization"].strip_prefix("LOG mockAccessKeyID:").expect("the id of the key")
    }

    #[test]
    fn signs_the_vectors_of_the_service_s_sdk() {
        let list = Unsigned {
            method: "GET",
            path: "/logstores",
            query: map(&[]),
            headers: map(&[("x-log-apiversion", "0.6.0"), ("x-log-bodyrawsize", "0")]),
            body: b"",
        };
        let headers = sign_dated(list, &KEYS, OLD_DATE.to_owned());
        assert_eq!(authorization(&headers), "Rwm6cTKzoti4HWoe+GKcb6Kv07E=");

        // A list of one group.
        let body = bytes(&format!("0a32{GROUP}"));
        let with_body = Unsigned {
            method: "GET",
            path: "/logstores/app_log",
            query: map(&[]),
            headers: map(&[
                ("content-type", "application/x-protobuf"),
                ("x-log-apiversion", "0.6.0"),
                ("x-log-bodyrawsize", "50"),
            ]),
            body: &body,
        };
        let headers = sign_dated(with_body, &KEYS, OLD_DATE.to_owned());
        assert_eq!(headers["content-md5"], "8D6881250FF5559F59BBDF04100F6E59");
        assert_eq!(authorization(&headers), "87xQWqFaOSewqRIma8kPjGYlXHc=");
    }

    #[test]
    fn signs_what_the_sink_sends() {
        let body = bytes(&format!("f023{GROUP}"));
        for (token, expected) in [
            (None, "x2OlmyPLhWJCncavSTzEoexoAQg="),
            (Some("mockSTSToken"), "BEe5N32ZW7/z2AIGuA+LF0LTgho="),
        ] {
            let mut headers = map(&[
                ("host", "my-project.cn-hangzhou.log.aliyuncs.com"),
                ("content-type", "application/x-protobuf"),
                ("x-log-apiversion", "0.6.0"),
                ("x-log-bodyrawsize", "50"),
                ("x-log-compresstype", "lz4"),
            ]);
            if let Some(token) = token {
                headers.insert("x-acs-security-token".to_owned(), token.to_owned());
            }
            let path = "/logstores/app_log/shards/lb";
            let request = Unsigned { method: "POST", path, query: map(&[]), headers, body: &body };
            let now = "2023-11-14T22:13:20Z".parse().expect("a time");
            let headers = sign(request, &KEYS, now);
            assert_eq!(headers["date"], "Tue, 14 Nov 2023 22:13:20 GMT");
            assert_eq!(headers["content-md5"], "0DEDBC6304AD57E98EEF4DFD43735CD2");
            assert_eq!(authorization(&headers), expected);
        }
    }

    #[test]
    fn a_query_is_part_of_what_is_signed_as_it_is() {
        let query = map(&[("type", "log"), ("query", "a b")]);
        assert_eq!(resource("/logstores/x", &query), "/logstores/x?query=a b&type=log");
    }
}
