//! Secrets taken out of what a service says.
//!
//! Invariant: no text that went through [`Redaction::explain`] contains a secret the sink sent, as it is, as an
//! escape of JSON, percent-encoded or in base64, as long as the secret is not so short that it would be part of
//! ordinary words.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::percent_decode_str;
use reqwest::Url;

/// What stands in place of a secret.
const REPLACEMENT: &str = "<secret>";

/// Shorter pieces of a URL or header are parts of ordinary words and no useful secrets.
const SHORTEST_SECRET: usize = 6;

/// Longest text of a service in a reason or cause, in bytes.
const LONGEST_TEXT: usize = 300;

/// Everything a sink sends that must not come back in a message.
#[derive(Default)]
pub(crate) struct Redaction(Vec<String>);

impl Redaction {
    /// Hides `secret`, and every word of it: `Bearer abcdef` hides `abcdef` too.
    pub(crate) fn hide(&mut self, secret: &str) {
        for piece in [secret].into_iter().chain(secret.split_whitespace()) {
            if piece.len() >= SHORTEST_SECRET {
                self.add(piece);
                self.add(&STANDARD_NO_PAD.encode(piece));
                self.add(&URL_SAFE_NO_PAD.encode(piece));
            }
        }
        // The whole before its parts.
        self.0.sort_by_key(|piece| std::cmp::Reverse(piece.len()));
    }

    /// Hides the parts of a URL that may be secret: all but scheme, host and port.
    pub(crate) fn hide_url(&mut self, url: &Url) {
        self.hide(&decoded(url.as_str()));
        self.hide_credential(url);
        url.path().split('/').for_each(|segment| self.hide(&decoded(segment)));
        url.query_pairs().for_each(|(_, value)| self.hide(&value));
        url.query().unwrap_or_default().split(['&', '=']).for_each(|piece| self.hide(piece));
    }

    /// User and password of a URL become a header (RFC 7617), which a service may quote.
    fn hide_credential(&mut self, url: &Url) {
        let Some(password) = url.password().map(decoded) else { return };
        self.hide(&password);
        self.hide(&STANDARD.encode(format!("{}:{password}", decoded(url.username()))));
    }

    fn add(&mut self, piece: &str) {
        // Escapes put backslashes into a text, so those of a secret tell nothing.
        let piece = piece.replace('\\', "");
        if piece.len() >= SHORTEST_SECRET && !self.0.contains(&piece) {
            self.0.push(piece);
        }
    }

    /// `text` on one line, without secrets and not too long.
    pub(crate) fn explain(&self, text: &str) -> String {
        let line = self.0.iter().fold(text.to_owned(), |line, secret| without(&line, secret));
        let line = line
            .split(|character: char| character.is_whitespace() || character.is_control())
            .filter(|word| !word.is_empty())
            .collect::<Vec<_>>()
            .join(" ");
        shorten(line)
    }
}

fn decoded(part: &str) -> String {
    percent_decode_str(part).decode_utf8_lossy().into_owned()
}

/// `text` with every place replaced that says `secret`.
fn without(text: &str, secret: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if let Some(after) = after(rest, secret) {
            kept.push_str(REPLACEMENT);
            rest = after;
        } else {
            kept.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    kept
}

/// What follows on `secret` where the text begins with it, each character as it is or encoded.
fn after<'a>(text: &'a str, secret: &str) -> Option<&'a str> {
    let mut rests = vec![text];
    for character in secret.chars() {
        rests = rests.into_iter().flat_map(|rest| after_character(rest, character)).collect();
        if rests.is_empty() {
            return None;
        }
    }
    rests.into_iter().next()
}

/// What follows on one character: percent-encoded (RFC 3986, 2.1), as `\u0026` (RFC 8259, 7), or as it is; each with
/// any number of backslashes in front.
fn after_character(text: &str, character: char) -> impl Iterator<Item = &str> {
    let bare = without_backslashes(text);
    let is_escaped = bare.len() < text.len();
    let escaped = is_escaped.then(|| {
        let mut units = [0; 2];
        let mut units = character.encode_utf16(&mut units).iter();
        units.try_fold(bare, |rest, unit| after_unit(without_backslashes(rest), *unit))
    });
    let encoded = |text| character.encode_utf8(&mut [0; 4]).bytes().try_fold(text, after_byte);
    let with_backslashes = is_escaped.then(|| encoded(text).or(text.strip_prefix(character)));
    [encoded(bare), escaped.flatten(), bare.strip_prefix(character), with_backslashes.flatten()]
        .into_iter()
        .flatten()
}

/// The text without the backslashes that it begins with, however they are encoded.
fn without_backslashes(mut text: &str) -> &str {
    let backslash = b'\\';
    let next = |text: &'_ str| -> Option<usize> {
        let rest = after_byte(text, backslash).or_else(|| {
            let rest = text.strip_prefix('\\')?;
            Some(after_unit(rest, backslash.into()).unwrap_or(rest))
        });
        rest.map(|rest| text.len() - rest.len())
    };
    while let Some(length) = next(text) {
        text = &text[length..];
    }
    text
}

/// `%26`
fn after_byte(text: &str, byte: u8) -> Option<&str> {
    after_digits(text.strip_prefix('%')?, 2, byte.into())
}

/// `u0026`
fn after_unit(text: &str, unit: u16) -> Option<&str> {
    after_digits(text.strip_prefix('u')?, 4, unit)
}

fn after_digits(text: &str, digits: usize, expected: u16) -> Option<&str> {
    let (digits, rest) = text.split_at_checked(digits)?;
    (u16::from_str_radix(digits, 16).ok()? == expected).then_some(rest)
}

fn shorten(mut text: String) -> String {
    if text.len() > LONGEST_TEXT {
        let end = (0..=LONGEST_TEXT).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or_default());
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hides_urls_and_headers() {
        let mut redaction = Redaction::default();
        redaction.hide("Bearer abcdef123");
        redaction.hide_url(
            &"https://hooks.example.com/services/T0/XyZ987654?access_token=tok%2Ben1"
                .parse()
                .expect("a URL"),
        );
        let text =
            "no hook /services/T0/XyZ987654 for abcdef123, tok+en1, tok%2Ben1 at example.com";
        let explained = redaction.explain(text);
        for secret in ["XyZ987654", "abcdef123", "tok+en1", "tok%2Ben1"] {
            assert!(!explained.contains(secret), "{explained}");
        }
        assert!(explained.contains("at example.com"), "{explained}");
    }

    #[test]
    fn hides_secrets_however_they_are_encoded() {
        let secret = r#"a"b\c/d%25e&é🎉"#;
        let mut redaction = Redaction::default();
        redaction.hide(secret);
        let json = serde_json::Value::from(secret).to_string();
        for quoted in [
            secret.to_owned(),
            json.clone(),
            serde_json::Value::from(json).to_string(),
            r#"a\"b\\c\/d%25e\u0026\u00e9\uD83C\uDF89"#.to_owned(),
            "a%22b%5Cc%2Fd%2525e%26%C3%A9%F0%9F%8E%89".to_owned(),
            "a%22b%5cc/d%2525e&%c3%a9%f0%9f%8e%89".to_owned(),
            r"a\u0022b\u005cc\/d\u002525e&é🎉".to_owned(),
            STANDARD.encode(secret),
            URL_SAFE_NO_PAD.encode(secret),
        ] {
            let explained = redaction.explain(&format!("no {quoted} here"));
            let rest = explained.replace(['"', '\\', '='], "");
            assert_eq!(rest, "no <secret> here", "{quoted}: {explained}");
        }
    }

    #[test]
    fn hides_user_and_password_of_a_url() {
        let mut redaction = Redaction::default();
        redaction.hide_url(&"http://relay:p%40ss-word@h/".parse().expect("a URL"));
        let text = format!("p@ss-word p%40ss-word {}", STANDARD.encode("relay:p@ss-word"));
        assert_eq!(redaction.explain(&text), "<secret> <secret> <secret>");
    }

    proptest! {
        #[test]
        fn whatever_the_secret_it_is_hidden(text in any::<String>(), secret in r"[!-\[\]-~é🎉]{6,40}") {
            let mut redaction = Redaction::default();
            redaction.hide(&secret);
            let _explained = redaction.explain(&text);
            prop_assert_eq!(redaction.explain(&secret), "<secret>");
        }
    }

    #[test]
    fn joins_lines_and_cuts_between_characters() {
        let redaction = Redaction::default();
        assert_eq!(redaction.explain(" a\r\n\tb\u{0}c "), "a b c");
        let long = redaction.explain(&"é".repeat(400));
        assert_eq!(long, format!("{}…", "é".repeat(150)));
    }
}
