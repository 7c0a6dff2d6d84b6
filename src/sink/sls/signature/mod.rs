//! What SLS wants of a request that is signed: one of two signatures, over the same parts.

mod v1;
mod v4;

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The signatures that SLS takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum SignatureVersion {
    /// HMAC-SHA1, where an endpoint knows no other.
    V1,
    /// HMAC-SHA256 with a key for one day and one region, as kube-eventer's.
    #[default]
    V4,
}

/// What is signed of a request. Names of headers are in lower case.
#[derive(Debug)]
pub(super) struct Unsigned<'a> {
    pub(super) method: &'static str,
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
    /// Part of signature V4 only.
    pub(super) region: &'a str,
}

impl Unsigned<'_> {
    /// The headers of the request, with date, digest and signature.
    pub(super) fn sign(
        self,
        version: SignatureVersion,
        signer: &Signer<'_>,
        now: Timestamp,
    ) -> BTreeMap<String, String> {
        match version {
            SignatureVersion::V1 => v1::sign(self, signer, now),
            SignatureVersion::V4 => v4::sign(self, signer, now),
        }
    }
}

/// What the tests of both signatures sign.
#[cfg(test)]
mod vectors {
    use super::*;

    pub(super) const KEYS: Signer<'_> =
        Signer { key_id: "mockAccessKeyID", secret: "mockAccessKeySecret", region: "cn-hangzhou" };

    /// A `LogGroup` in the first vectors of the service's SDK, in hexadecimal digits.
    pub(super) const GROUP: &str = "0a1e08f8b2939e0512160a07546573744b6579120b54657374436f6e74656e741a00220e31302e3233302e3230312e313137";

    pub(super) fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    /// The bytes of hexadecimal digits.
    pub(super) fn bytes(digits: &str) -> Vec<u8> {
        let byte = |pair: &[u8]| {
            let digits = std::str::from_utf8(pair).expect("ASCII");
            u8::from_str_radix(digits, 16).expect("hexadecimal digits")
        };
        digits.as_bytes().chunks(2).map(byte).collect()
    }
}
