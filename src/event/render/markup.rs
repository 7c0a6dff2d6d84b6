//! How a service marks text.

use std::borrow::Cow;

/// The few signs of a service's text that rendering needs.
#[derive(Debug, Clone, Copy)]
pub struct Markup {
    /// Stand around words that matter.
    pub strong: (&'static str, &'static str),
    /// Begins a new line.
    pub line: &'static str,
    /// Begins a line that belongs to the one above it.
    pub under: &'static str,
    /// Separates things that do not belong together.
    pub paragraph: &'static str,
    /// Makes a text that is not ours stand for itself.
    pub escape: fn(&str) -> Cow<'_, str>,
}

impl Markup {
    /// Text without any marks.
    pub const PLAIN: Self = Self {
        strong: ("", ""),
        line: "\n",
        under: "\n  ",
        paragraph: "\n",
        escape: |text| text.into(),
    };

    /// `text`, escaped and marked as important; nothing stays nothing.
    #[must_use]
    pub fn strong(&self, text: &str) -> String {
        if text.is_empty() {
            return String::new();
        }
        format!("{}{}{}", self.strong.0, (self.escape)(text), self.strong.1)
    }

    /// `text`, escaped, with its line breaks in the way of the service.
    #[must_use]
    pub fn text(&self, text: &str) -> String {
        let escaped = (self.escape)(text);
        if self.line == "\n" { escaped.into_owned() } else { escaped.replace('\n', self.line) }
    }
}
