//! Signature V4 of SLS, which kube-eventer uses, too.
//!
//! Source: help.aliyun.com, "Signature V4"; `signature_v4.go` of the service's SDK for Go, whose test vectors
//! are below.

use std::collections::BTreeMap;
use std::fmt::Write;

use jiff::Timestamp;
use jiff::fmt::strtime;
use sha2::{Digest, Sha256};

use crate::sink::signing::{hexadecimal, hmac_sha256};

/// What is signed of a request. Names of headers are in lower case.
#[derive(Debug)]
pub(super) struct Unsigned<'a> {
    pub(super) path: &'a str,
    pub(super) query: BTreeMap<String, String>,
    /// With `host` and `content-type`.
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: &'a [u8],
}

/// Who signs, for where.
#[derive(Debug)]
pub(super) struct Signer<'a> {
    pub(super) key_id: &'a str,
    pub(super) secret: &'a str,
    pub(super) region: &'a str,
}

const DATE_HEADER: &str = "x-log-date";
const HASH_HEADER: &str = "x-log-content-sha256";

impl Unsigned<'_> {
    /// The headers of the request, with date, hash and signature. It is one of a POST.
    pub(super) fn sign(mut self, signer: &Signer<'_>, now: Timestamp) -> BTreeMap<String, String> {
        let date_time = strtime::format("%Y%m%dT%H%M%SZ", now).unwrap_or_default();
        let date = date_time.split('T').next().unwrap_or_default().to_owned();
        let body_hash = hexadecimal(&Sha256::digest(self.body));
        self.headers.insert(DATE_HEADER.to_owned(), date_time.clone());
        self.headers.insert(HASH_HEADER.to_owned(), body_hash.clone());
        let covered: Vec<_> = self.headers.iter().filter(|(name, _)| is_signed(name)).collect();
        let lines: Vec<_> =
            covered.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let lines = lines.concat();
        let names: Vec<_> = covered.iter().map(|(name, _)| name.as_str()).collect();
        let canonical = format!(
            "POST\n{}\n{}\n{lines}\n{}\n{body_hash}",
            self.path,
            query(&self.query),
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
        self.headers.insert("authorization".to_owned(), authorization);
        self.headers
    }
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
        if value.is_empty() { key.clone() } else { format!("{key}={}", encoded(value)) }
    };
    pairs.iter().map(pair).collect::<Vec<_>>().join("&")
}

/// Percent encoding of everything but the unreserved characters of RFC 3986.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _written = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn signature(request: Unsigned<'_>, signer: &Signer<'_>, at: &str) -> String {
        let headers = request.sign(signer, at.parse().expect("a time"));
        headers["authorization"].rsplit('=').next().expect("a signature").to_owned()
    }

    #[test]
    fn signs_the_vectors_of_the_service_s_sdk() {
        let request = |query, headers| Unsigned {
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
            encoded("123abc!@#$%^&*()-=_+ ~|\\/"),
            "123abc%21%40%23%24%25%5E%26%2A%28%29-%3D_%2B%20~%7C%5C%2F"
        );
    }

    #[test]
    fn signs_what_kube_eventer_s_algorithm_signs() {
        let group = "0a1e08f8b2939e0512160a07546573744b6579120b54657374436f6e74656e741a00220e31302e3233302e3230312e313137";
        let body: Vec<u8> = format!("f023{group}")
            .as_bytes()
            .chunks(2)
            .map(|digits| {
                u8::from_str_radix(std::str::from_utf8(digits).expect("ASCII"), 16).expect("hex")
            })
            .collect();
        let headers = map(&[
            ("host", "my-project.cn-hangzhou.log.aliyuncs.com"),
            ("content-type", "application/x-protobuf"),
            ("x-log-apiversion", "0.6.0"),
            ("x-log-bodyrawsize", "50"),
            ("x-log-compresstype", "lz4"),
        ]);
        let request = Unsigned {
            path: "/logstores/app_log/shards/lb",
            query: map(&[]),
            headers,
            body: &body,
        };
        let signer = Signer {
            key_id: "mockAccessKeyID",
            secret: "mockAccessKeySecret",
            region: "cn-hangzhou",
        };
        assert_eq!(
            signature(request, &signer, "2023-11-14T22:13:20Z"),
            "993f3091cf57caaf8a08fd6e9a764e0141b2a8afe1efd53a065607164418b154"
        );
    }
}
