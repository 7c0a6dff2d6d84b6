//! Line protocol: one point per line.
//!
//! Source: InfluxDB, "Line protocol" (the same for 1.x, 2.x and 3.x). Invariant: whatever the texts are, a
//! line is one point with exactly these tags and fields; nothing in a text can end a tag, a field or the line
//! early.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use crate::event::render::cut;

/// Longest value of a tag, in bytes. Measurement and tags together have 65,535; names of Kubernetes have 253.
const LONGEST_TAG: usize = 1_000;

/// A point.
pub(super) struct Line<'a> {
    measurement: &'static str,
    /// By key, which is the order InfluxDB keeps them in.
    tags: BTreeMap<&'static str, &'a str>,
    fields: BTreeMap<&'static str, Field<'a>>,
    /// Nanoseconds since 1970.
    timestamp: i64,
}

/// The value of a field. Its type may never change.
pub(super) enum Field<'a> {
    Text(&'a str),
    Integer(u64),
}

impl<'a> Line<'a> {
    /// A point without tags and fields. It needs at least one field.
    pub(super) fn new(measurement: &'static str, timestamp: i64) -> Self {
        Self { measurement, tags: BTreeMap::new(), fields: BTreeMap::new(), timestamp }
    }

    /// With this tag. A tag without a value does not exist in InfluxDB.
    pub(super) fn tag(mut self, key: &'static str, value: &'a str) -> Self {
        self.tags.insert(key, value);
        self
    }

    /// With this text.
    pub(super) fn text(mut self, key: &'static str, value: &'a str) -> Self {
        self.fields.insert(key, Field::Text(value));
        self
    }

    /// With this number.
    pub(super) fn integer(mut self, key: &'static str, value: u64) -> Self {
        self.fields.insert(key, Field::Integer(value));
        self
    }
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Measurements and keys are ours, and have nothing to escape.
        formatter.write_str(self.measurement)?;
        for (key, value) in &self.tags {
            let value = tag(value);
            if !value.is_empty() {
                write!(formatter, ",{key}={value}")?;
            }
        }
        let mut separator = ' ';
        for (key, value) in &self.fields {
            write!(formatter, "{separator}{key}={value}")?;
            separator = ',';
        }
        write!(formatter, " {}", self.timestamp)
    }
}

impl fmt::Display for Field<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Without the `i` it would be a float, and its type cannot be changed later.
            Self::Integer(number) => write!(formatter, "{number}i"),
            Self::Text(text) => {
                formatter.write_char('"')?;
                let mut rest = *text;
                while let Some(at) = rest.find(['"', '\\']) {
                    let (plain, escaped) = rest.split_at(at);
                    write!(formatter, "{plain}\\{}", &escaped[..1])?;
                    rest = &escaped[1..];
                }
                formatter.write_str(rest)?;
                formatter.write_char('"')
            }
        }
    }
}

/// The value of a tag, escaped. It cannot hold a line break.
///
/// A backslash before a character that has to be escaped, or at the end, is left out. `InfluxDB` looks for the end
/// of a line by skipping each backslash with what follows it, so in `\\,` the comma counts there and is escaped
/// elsewhere; behind a tag with such a space and such a comma, a line break in a text ended the point
/// (seen with 1.6).
fn tag(value: &str) -> String {
    let value = cut(value, LONGEST_TAG);
    let mut escaped = String::with_capacity(value.len());
    let mut backslashes = 0;
    for character in value.chars() {
        if character == '\\' {
            backslashes += 1;
            continue;
        }
        if matches!(character, ',' | '=' | ' ') || character.is_control() {
            escaped.push('\\');
        } else {
            escaped.extend(std::iter::repeat_n('\\', backslashes));
        }
        backslashes = 0;
        escaped.push(if character.is_control() { ' ' } else { character });
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_cannot_end_what_they_are_in() {
        let line = Line::new("events", 7)
            .tag("z", "a,b c=d\ne")
            .tag("b", "back\\")
            .tag("empty", "")
            .tag("only", "\\")
            .text("message", "say \"hi\" C:\\dir\nnext\\")
            .integer("count", 3);
        let expected = "events,b=back,z=a\\,b\\ c\\=d\\ e \
                        count=3i,message=\"say \\\"hi\\\" C:\\\\dir\nnext\\\\\" 7";
        assert_eq!(line.to_string(), expected);
    }

    #[test]
    fn a_backslash_in_a_tag_escapes_nothing() {
        for (value, expected) in [
            (r"a\b", r"a\b"),
            (r"a\\b", r"a\\b"),
            (r"a\,b", r"a\,b"),
            (r"a\\ b", r"a\ b"),
            ("a\\\nb", r"a\ b"),
            (r"a\\", "a"),
            (r"\", ""),
        ] {
            assert_eq!(tag(value), expected, "{value:?}");
        }
    }

    #[test]
    fn a_tag_has_a_bound() {
        let long = "é".repeat(5_000);
        assert!(tag(&long).len() <= LONGEST_TAG);
    }
}
