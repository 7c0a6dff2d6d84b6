//! Looking at requests: content types, JSON fields, mentions in a text.

use serde_json::Value;

use super::service::Call;

/// Whether a request says that it is JSON, in UTF-8 if it names a character set.
pub fn says_json(call: &Call) -> bool {
    let value = call.headers.get("content-type").and_then(|value| value.to_str().ok());
    let value = value.unwrap_or_default().to_ascii_lowercase();
    let mut parts = value.split(';').map(str::trim);
    parts.next() == Some("application/json")
        && parts.all(|part| match part.strip_prefix("charset=") {
            Some(charset) => charset.trim_matches('"') == "utf-8",
            None => true,
        })
}

/// A JSON object in UTF-8, without anything after it.
pub fn object(body: &[u8]) -> Option<Value> {
    serde_json::from_slice(body).ok().filter(Value::is_object)
}

/// Why a text field cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unfit {
    /// It is absent, or not a string.
    Missing,
    /// There is nothing but white space in it.
    Empty,
}

/// The string at this JSON pointer, which has to say something.
pub fn text<'a>(json: &'a Value, pointer: &str) -> Result<&'a str, Unfit> {
    let text = json.pointer(pointer).and_then(Value::as_str).ok_or(Unfit::Missing)?;
    if text.trim().is_empty() { Err(Unfit::Empty) } else { Ok(text) }
}

/// The strings of an array at this JSON pointer; none when it is absent or null.
///
/// # Errors
/// It is something else.
pub fn strings(json: &Value, pointer: &str) -> Result<Vec<String>, ()> {
    match json.pointer(pointer) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(items)) => {
            items.iter().map(|item| item.as_str().map(str::to_owned).ok_or(())).collect()
        }
        Some(_) => Err(()),
    }
}

/// Whether JSON is written with `\uXXXX` escapes.
pub fn has_unicode_escapes(body: &[u8]) -> bool {
    let mut bytes = body.iter();
    while let Some(byte) = bytes.next() {
        if *byte == b'\\' && bytes.next() == Some(&b'u') {
            return true;
        }
    }
    false
}

/// The longest beginning of a text that has at most so many bytes.
pub fn truncated(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}

/// What is between each `open` and the `close` after it.
pub fn between<'a>(text: &'a str, open: &'a str, close: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(open).skip(1).filter_map(move |rest| Some(rest.split_once(close)?.0))
}
