//! Signatures and digests as services write them, and the percent-encoding that goes with them.

use std::fmt::Write;

use hmac::{Hmac, Mac};
use sha1::Sha1;
use sha2::Sha256;

/// HMAC-SHA1.
pub(super) fn hmac_sha1(key: &[u8], text: &[u8]) -> Vec<u8> {
    #[allow(clippy::expect_used)] // HMAC takes a key of any length.
    let mut mac = Hmac::<Sha1>::new_from_slice(key).expect("a key of any length");
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

/// HMAC-SHA256.
pub(super) fn hmac_sha256(key: &[u8], text: &[u8]) -> Vec<u8> {
    #[allow(clippy::expect_used)] // HMAC takes a key of any length.
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length");
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

/// Percent-encoding of everything but the unreserved characters of RFC 3986.
pub(super) fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _written = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}

/// Content type of a [`form`].
pub(super) const FORM: &str = "application/x-www-form-urlencoded";

/// The fields of a form, encoded.
pub(super) fn form(fields: &[(&str, &str)]) -> String {
    let field = |(name, value): &(&str, &str)| {
        format!("{}={}", percent_encoded(name), percent_encoded(value))
    };
    fields.iter().map(field).collect::<Vec<_>>().join("&")
}

/// Hexadecimal digits in lower case.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut digits, byte| {
        // Writing to a String cannot fail.
        let _written = write!(digits, "{byte:02x}");
        digits
    })
}
