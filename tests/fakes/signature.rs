//! Signatures, written apart from those of the sinks.

use hmac::{Hmac, Mac};
use sha1::Sha1;
use sha2::Sha256;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The base64 of HMAC-SHA256.
pub fn hmac_base64(key: &str, message: &str) -> String {
    let mut hmac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("a key of any length");
    hmac.update(message.as_bytes());
    base64(&hmac.finalize().into_bytes())
}

/// The base64 of HMAC-SHA1.
pub fn hmac_sha1_base64(key: &str, message: &str) -> String {
    let mut hmac = Hmac::<Sha1>::new_from_slice(key.as_bytes()).expect("a key of any length");
    hmac.update(message.as_bytes());
    base64(&hmac.finalize().into_bytes())
}

/// Standard base64, with padding.
pub fn base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = (byte(0) << 16) | (byte(1) << 8) | byte(2);
        for at in 0..4 {
            let sextet = (bits >> (18 - 6 * at)) & 63;
            let letter = char::from(ALPHABET[sextet as usize]);
            text.push(if at > chunk.len() { '=' } else { letter });
        }
    }
    text
}
