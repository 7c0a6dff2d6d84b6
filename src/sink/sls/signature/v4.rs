//! Signature V4, which kube-eventer uses, too.
//!
//! Source: help.aliyun.com, "Signature V4"; `signature_v4.go` of the service's SDK for Go, whose test vectors
//! are below.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::fmt::strtime;
use sha2::{Digest, Sha256};

use super::{Signer, Unsigned};
use crate::sink::signing::{hexadecimal, hmac_sha256, percent_encoded};

const DATE_HEADER: &str = "x-log-date";
const HASH_HEADER: &str = "x-log-content-sha256";

/// Signs the request.
pub(super) fn sign(
    mut request: Unsigned<'_>,
    signer: &Signer<'_>,
    now: Timestamp,
) -> BTreeMap<String, String> {
    let date_time = strtime::format("%Y%m%dT%H%M%SZ", now).unwrap_or_default();
    let date = date_time.split('T').next().unwrap_or_default().to_owned();
    let body_hash = hexadecimal(&Sha256::digest(request.body));
    request.headers.insert(DATE_HEADER.to_owned(), date_time.clone());
    request.headers.insert(HASH_HEADER.to_owned(), body_hash.clone());
    let covered: Vec<_> = request.headers.iter().filter(|(name, _)| is_signed(name)).collect();
    let lines: Vec<_> = covered.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let lines = lines.concat();
    let names: Vec<_> = covered.iter().map(|(name, _)| name.as_str()).collect();
    let canonical = format!(
        "{}\n{}\n{}\n{lines}\n{}\n{body_hash}",
        request.method,
        request.path,
        query(&request.query),
        names.join(";"),
    );
    let scope = format!("{date}/{}/sls/aliyun_v4_request", signer.region);
    let hash = hexadecimal(&Sha256::digest(canonical));
    let text = format!("SLS4-HMAC-SHA256\n{date_time}\n{scope}\n{hash}");
    let start = format!("aliyun_v4{}", signer.secret).into_bytes();
    let key = [date.as_str(), signer.region, "sls", "aliyun_v4_request"]
        .iter()
        .fold(start, |key, part| hmac_sha256(&key, part.as_bytes()));
    let signature = hexadecimal(&hmac_sha256(&key, text.as_bytes()));
    let authorization =
        format!("SLS4-HMAC-SHA256 Credential={}/{scope},Signature={signature}", signer.key_id);
    request.headers.insert("authorization".to_owned(), authorization);
    request.headers
}

fn is_signed(name: &str) -> bool {
    name.starts_with("x-log-")
        || name.starts_with("x-acs-")
        || name == "host"
        || name == "content-type"
}

/// Keys as they are, values in percent encoding, and a key alone when its value is empty.
fn query(pairs: &BTreeMap<String, String>) -> String {
    let pair = |(key, value): (&String, &String)| {
        if value.is_empty() { key.clone() } else { format!("{key}={}", percent_encoded(value)) }
    };
    pairs.iter().map(pair).collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::super::vectors::{GROUP, KEYS, bytes, map};
    use super::*;

    fn signature(request: Unsigned<'_>, signer: &Signer<'_>, at: &str) -> String {
        let headers = sign(request, signer, at.parse().expect("a time"));
        headers["authorization"].rsplit('=').next().expect("a signature").to_owned()
    }

    #[test]
    fn signs_the_vectors_of_the_service_s_sdk() {
        let request = |query, headers| Unsigned {
            method: "POST",
            path: "/logstores",
            query,
            headers,
            body: b"adasd= -asd zcas",
        };
        let signer = |region| Signer { key_id: "acsddda21dsd", secret: "zxasdasdasw2", region };
        let at = "2022-08-08T03:23:30Z";
        assert_eq!(
            signature(request(map(&[]), map(&[])), &signer("cn-shanghai"), at),
            "8a10a5e723cb2e75964816de660b2c16a58af8bc0261f7f0722d832468c76ce8"
        );
        let query = map(&[(" abc", "efg"), (" agc ", ""), ("", "efg"), ("A-bc", "eFg")]);
        let headers = map(&[("hello", "world"), ("x-log-test", "het123"), ("x-acs-ppp", "dds")]);
        assert_eq!(
            signature(request(query, headers), &signer("cn-hangzhou"), at),
            "a98f5632e93836e63839cd836a54055f480020a9364ca944e2d34f2eb9bf1bed"
        );
        assert_eq!(
            percent_encoded("123abc!@#$%^&*()-=_+ ~|\\/"),
            "123abc%21%40%23%24%25%5E%26%2A%28%29-%3D_%2B%20~%7C%5C%2F"
        );
    }

    #[test]
    fn signs_what_kube_eventer_s_algorithm_signs() {
        let body = bytes(&format!("f023{GROUP}"));
        let headers = map(&[
            ("host", "my-project.cn-hangzhou.log.aliyuncs.com"),
            ("content-type", "application/x-protobuf"),
            ("x-log-apiversion", "0.6.0"),
            ("x-log-bodyrawsize", "50"),
            ("x-log-compresstype", "lz4"),
        ]);
        let request = Unsigned {
            method: "POST",
            path: "/logstores/app_log/shards/lb",
            query: map(&[]),
            headers,
            body: &body,
        };
        assert_eq!(
            signature(request, &KEYS, "2023-11-14T22:13:20Z"),
            "993f3091cf57caaf8a08fd6e9a764e0141b2a8afe1efd53a065607164418b154"
        );
    }
}
