//! `/var/addon/token-config`: credentials that Alibaba Cloud's Kubernetes service puts into a pod, encrypted
//! with a key beside them, and rotates in place.
//!
//! Source: kube-eventer, `sinks/utils/aliyun_util.go`.

use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockDecryptMut, KeyIvInit};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::sink::keys::Keys;

#[derive(Deserialize)]
struct TokenConfig {
    #[serde(rename = "access.key.id")]
    key_id: String,
    #[serde(rename = "access.key.secret")]
    secret: String,
    #[serde(rename = "security.token")]
    token: String,
    expiration: String,
    keyring: String,
}

/// Bytes of an initialisation vector.
const VECTOR: usize = 16;

/// Reads the file's text. The error says what is wrong, without any of it.
pub(super) fn read(text: &str) -> Result<Keys, String> {
    let config: TokenConfig =
        serde_json::from_str(text).map_err(|error| format!("it is not as expected: {error}"))?;
    let decrypt = |name: &str, value: &str| {
        decrypt(value, config.keyring.as_bytes())
            .ok_or_else(|| format!("{name} cannot be decrypted"))
    };
    Ok(Keys {
        id: decrypt("access.key.id", &config.key_id)?,
        secret: decrypt("access.key.secret", &config.secret)?,
        token: Some(decrypt("security.token", &config.token)?).filter(|token| !token.is_empty()),
        expires: Some(
            config.expiration.parse().map_err(|_| "expiration is not a time".to_owned())?,
        ),
    })
}

/// Base64 of an initialisation vector and AES-CBC; the length of the key chooses the cipher.
fn decrypt(value: &str, key: &[u8]) -> Option<String> {
    let bytes = STANDARD.decode(value).ok()?;
    let (vector, text) = bytes.split_at_checked(VECTOR)?;
    let plain = match key.len() {
        16 => cbc::Decryptor::<aes::Aes128>::new_from_slices(key, vector)
            .ok()?
            .decrypt_padded_vec_mut::<Pkcs7>(text),
        24 => cbc::Decryptor::<aes::Aes192>::new_from_slices(key, vector)
            .ok()?
            .decrypt_padded_vec_mut::<Pkcs7>(text),
        32 => cbc::Decryptor::<aes::Aes256>::new_from_slices(key, vector)
            .ok()?
            .decrypt_padded_vec_mut::<Pkcs7>(text),
        _ => return None,
    };
    String::from_utf8(plain.ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEYRING: &[u8] = b"0123456789abcdef";

    #[test]
    fn decrypts_what_the_service_has_encrypted() {
        for (value, expected) in [
            (
                "ZmVkY2JhOTg3NjU0MzIxMDmgq1y8bIEqRMpkMHkoDObQTkNWL6Di1ChE3YhFFRbT",
                "LTAItestAccessKey",
            ),
            (
                "AAAAAAAAAAAAAAAAAAAAAFUACPr7bcy1FnI09xpVkvEYb4mTtYBwFX7alsMAYcIg",
                "LTAItestAccessKeyId",
            ),
        ] {
            assert_eq!(decrypt(value, KEYRING).as_deref(), Some(expected));
        }
        assert_eq!(decrypt("AAAA", KEYRING), None);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,60}", key in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _read = (read(&text).is_ok(), decrypt(&text, &key));
        }
    }
}
