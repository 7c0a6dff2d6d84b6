//! Signature Version 4 of AWS.
//!
//! Source: "Create a signed AWS API request" of the IAM User Guide; the vectors are those of AWS's signing test suite
//! (`aws-c-auth`, `tests/aws-signing-test-suite/v4`). The path is encoded once more than it is sent, as every service
//! but S3 has it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::sink::keys::Keys;
use crate::sink::signing::{hexadecimal, hmac_sha256, percent_encoded};

/// What is signed of a request, beside its headers.
pub(super) struct Unsigned<'a> {
    pub(super) method: &'a str,
    /// As it is sent.
    pub(super) path: &'a str,
    /// Names and values, not encoded.
    pub(super) query: &'a [(String, String)],
    pub(super) body: &'a [u8],
}

/// What the signature holds for, besides a day.
pub(super) struct Scope<'a> {
    pub(super) region: &'a str,
    pub(super) service: &'a str,
}

/// Headers by their names in lower case.
pub(super) type Headers = BTreeMap<&'static str, String>;

/// `OpenSearch` Serverless asks for it; the others take it.
const HASH_HEADER: &str = "x-amz-content-sha256";
const DATE_HEADER: &str = "x-amz-date";

impl Unsigned<'_> {
    /// The headers that are signed, and the signature.
    pub(super) fn sign(
        &self,
        mut headers: Headers,
        scope: &Scope<'_>,
        keys: &Keys,
        now: Timestamp,
    ) -> Headers {
        headers.insert(HASH_HEADER, hexadecimal(&Sha256::digest(self.body)));
        headers.insert(DATE_HEADER, now.strftime("%Y%m%dT%H%M%SZ").to_string());
        if let Some(token) = &keys.token {
            headers.insert("x-amz-security-token", token.clone());
        }
        let authorization = self.authorization(&headers, scope, keys);
        headers.insert("authorization", authorization);
        // The client sets it.
        headers.remove("host");
        headers
    }

    /// The value of `authorization` over all of these headers.
    fn authorization(&self, headers: &Headers, scope: &Scope<'_>, keys: &Keys) -> String {
        let date_time = headers.get(DATE_HEADER).map(String::as_str).unwrap_or_default();
        let date = date_time.split('T').next().unwrap_or_default();
        let names: Vec<_> = headers.keys().copied().collect();
        let names = names.join(";");
        let lines: Vec<_> =
            headers.iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect();
        let canonical = format!(
            "{}\n{}\n{}\n{}\n{names}\n{}",
            self.method,
            path(self.path),
            query(self.query),
            lines.concat(),
            hexadecimal(&Sha256::digest(self.body)),
        );
        let Scope { region, service } = scope;
        let scope = format!("{date}/{region}/{service}/aws4_request");
        let hash = hexadecimal(&Sha256::digest(canonical));
        let text = format!("AWS4-HMAC-SHA256\n{date_time}\n{scope}\n{hash}");
        let start = format!("AWS4{}", keys.secret).into_bytes();
        let key = [date, region, service, "aws4_request"]
            .iter()
            .fold(start, |key, part| hmac_sha256(&key, part.as_bytes()));
        let signature = hexadecimal(&hmac_sha256(&key, text.as_bytes()));
        format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
            keys.id
        )
    }
}

fn path(sent: &str) -> String {
    sent.split('/').map(percent_encoded).collect::<Vec<_>>().join("/")
}

/// The query in the one spelling that counts: everything encoded, in order.
pub(super) fn query(pairs: &[(String, String)]) -> String {
    let encoded =
        |(name, value): &(String, String)| (percent_encoded(name), percent_encoded(value));
    let mut pairs: Vec<_> = pairs.iter().map(encoded).collect();
    pairs.sort();
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCOPE: Scope<'_> = Scope { region: "us-east-1", service: "service" };

    const TOKEN: &str = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";

    fn keys(token: Option<&str>) -> Keys {
        Keys {
            id: "AKIDEXAMPLE".to_owned(),
            secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned(),
            token: token.map(str::to_owned),
            expires: None,
        }
    }

    /// The signature of a request of the suite, with these headers beside host and date.
    fn signature(
        (method, path): (&str, &str),
        query: &[(&str, &str)],
        more: &[(&'static str, &str)],
        body: &str,
    ) -> String {
        let own = |text: &&str| (*text).to_owned();
        let query: Vec<_> = query.iter().map(|(name, value)| (own(name), own(value))).collect();
        let mut headers = Headers::from([
            ("host", "example.amazonaws.com".to_owned()),
            (DATE_HEADER, "20150830T123600Z".to_owned()),
        ]);
        headers.extend(more.iter().map(|(name, value)| (*name, own(value))));
        let request = Unsigned { method, path, query: &query, body: body.as_bytes() };
        let authorization = request.authorization(&headers, &SCOPE, &keys(None));
        let scope =
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, ";
        assert!(authorization.starts_with(scope), "{authorization}");
        authorization.rsplit('=').next().expect("a signature").to_owned()
    }

    #[test]
    fn signs_the_vectors_of_the_test_suite() {
        let unreserved = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        let form = [
            ("content-type", "application/x-www-form-urlencoded; charset=utf-8"),
            ("content-length", "13"),
            (HASH_HEADER, "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e"),
        ];
        let order = [("Param-3", "Value3"), ("Param", "Value2"), ("\u{1234}", "Value1")];
        for (name, signed, expected) in [
            (
                "get-vanilla",
                signature(("GET", "/"), &[], &[], ""),
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            (
                "get-vanilla-query-order-encoded",
                signature(("GET", "/"), &order, &[], ""),
                "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac",
            ),
            (
                "get-vanilla-query-unreserved",
                signature(("GET", "/"), &[(unreserved, unreserved)], &[], ""),
                "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197",
            ),
            (
                "get-space-unnormalized",
                signature(("GET", "/example space/"), &[], &[], ""),
                "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741",
            ),
            (
                "get-utf8",
                signature(("GET", "/\u{1234}"), &[], &[], ""),
                "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85",
            ),
            (
                "post-sts-header-before",
                signature(("POST", "/"), &[], &[("x-amz-security-token", TOKEN)], ""),
                "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
            ),
            (
                "post-x-www-form-urlencoded-parameters",
                signature(("POST", "/"), &[], &form, "Param1=value1"),
                "328d1b9eaadca9f5818ef05e8392801e091653bafec24fcab71e7344e7f51422",
            ),
        ] {
            assert_eq!(signed, expected, "{name}");
        }
    }

    /// `double-encode-path` and `double-url-encode` of the suite.
    #[test]
    fn a_path_is_encoded_once_more_than_it_is_sent() {
        assert_eq!(
            path("/test/@connections/JBDvjfGEIAMCERw%3D"),
            "/test/%40connections/JBDvjfGEIAMCERw%253D"
        );
        assert_eq!(path("/functions/arn%3Aaws/invocations"), "/functions/arn%253Aaws/invocations");
    }

    #[test]
    fn hash_date_and_token_are_among_what_is_signed() {
        let request = Unsigned { method: "POST", path: "/_bulk", query: &[], body: b"{}\n" };
        let own = Headers::from([("host", "h".to_owned())]);
        let now = "2015-08-30T12:36:00Z".parse().expect("a time");
        let headers = request.sign(own, &SCOPE, &keys(Some("token")), now);
        assert_eq!(headers[DATE_HEADER], "20150830T123600Z");
        assert_eq!(headers[HASH_HEADER], hexadecimal(&Sha256::digest(b"{}\n")));
        let signed = "SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token, ";
        assert!(headers["authorization"].contains(signed), "{headers:?}");
        assert!(!headers.contains_key("host"));
    }
}
