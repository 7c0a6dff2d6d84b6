//! A secret as services quote it.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

/// Each of these secrets in each form, one quotation of a request or secret at a time.
pub(super) fn of(secrets: &[String]) -> Vec<String> {
    secrets.iter().flat_map(|secret| forms(secret)).collect()
}

fn forms(secret: &str) -> [String; 8] {
    let json = Value::from(secret).to_string();
    let percent = utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string();
    [
        secret.to_owned(),
        json.clone(),
        Value::from(json).to_string(),
        // As Go and PHP escape it.
        secret
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('/', "\\/")
            .replace('&', "\\u0026")
            .replace('<', "\\u003c"),
        percent.to_lowercase().replace(&secret_word(secret).to_lowercase(), secret_word(secret)),
        percent,
        STANDARD.encode(secret),
        URL_SAFE_NO_PAD.encode(secret),
    ]
}

/// The longest run of letters and digits.
fn secret_word(secret: &str) -> &str {
    let words = secret.split(|character: char| !character.is_ascii_alphanumeric());
    words.max_by_key(|word| word.len()).unwrap_or_default()
}
