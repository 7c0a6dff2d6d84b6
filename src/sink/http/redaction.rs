//! Secrets taken out of what a service says.
//!
//! Invariant: no text that went through [`Redaction::explain`] contains a secret the sink sent, as
//! long as the secret is not so short that it would be part of ordinary words.

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
            if piece.len() >= SHORTEST_SECRET && !self.0.iter().any(|known| known == piece) {
                self.0.push(piece.to_owned());
            }
        }
        // The whole before its parts.
        self.0.sort_by_key(|piece| std::cmp::Reverse(piece.len()));
    }

    /// Hides the parts of a URL that may be secret: all but scheme, host and port.
    pub(crate) fn hide_url(&mut self, url: &Url) {
        self.hide(url.as_str());
        self.hide(url.password().unwrap_or_default());
        url.path().split('/').for_each(|segment| self.hide(segment));
        url.query_pairs().for_each(|(_, value)| self.hide(&value));
        url.query().unwrap_or_default().split(['&', '=']).for_each(|piece| self.hide(piece));
    }

    /// `text` on one line, without secrets and not too long.
    pub(crate) fn explain(&self, text: &str) -> String {
        let mut line = text.to_owned();
        for secret in &self.0 {
            if line.contains(secret.as_str()) {
                line = line.replace(secret.as_str(), REPLACEMENT);
            }
        }
        let line = line
            .split(|character: char| character.is_whitespace() || character.is_control())
            .filter(|word| !word.is_empty())
            .collect::<Vec<_>>()
            .join(" ");
        shorten(line)
    }
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
    fn joins_lines_and_cuts_between_characters() {
        let redaction = Redaction::default();
        assert_eq!(redaction.explain(" a\r\n\tb\u{0}c "), "a b c");
        let long = redaction.explain(&"é".repeat(400));
        assert_eq!(long, format!("{}…", "é".repeat(150)));
    }
}
