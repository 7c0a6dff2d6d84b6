//! Indented JSON as Go writes it, into a buffer: as it is, or as the inside of a JSON text.
//!
//! Invariant: with [`Place::Text`] a buffer gets what a JSON encoder makes of the bytes of [`Place::Document`], without
//! ever having those. Source: `encoding/json` of Go, `MarshalIndent` and its escapes of `<`, `>`, `&`, U+2028 and U+2029;
//! the short escapes are those of `serde_json`.

use std::fmt::Write;

use super::tree::Tree;

/// Where the JSON is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sink) enum Place {
    /// It stands alone.
    Document,
    /// It is the inside of a text of other JSON: its quotes, backslashes and line breaks are escaped.
    Text,
}

/// Writes JSON, one space of indentation per level.
pub(super) struct Writer<'a> {
    out: &'a mut String,
    place: Place,
    depth: usize,
    /// Whether the object or list that is open has nothing yet.
    is_empty: bool,
}

/// Indentation of most events; what is deeper is written space by space.
const SPACES: &str = "                ";

impl<'a> Writer<'a> {
    pub(super) fn new(out: &'a mut String, place: Place) -> Self {
        Self { out, place, depth: 0, is_empty: true }
    }

    /// Begins an object or a list.
    pub(super) fn open(&mut self, bracket: char) {
        self.out.push(bracket);
        self.depth += 1;
        self.is_empty = true;
    }

    /// Ends it.
    pub(super) fn close(&mut self, bracket: char) {
        self.depth = self.depth.saturating_sub(1);
        if !self.is_empty {
            self.new_line();
        }
        self.out.push(bracket);
        self.is_empty = false;
    }

    /// Begins an item of a list.
    pub(super) fn item(&mut self) {
        if !self.is_empty {
            self.out.push(',');
        }
        self.is_empty = false;
        self.new_line();
    }

    /// Begins a value of an object.
    pub(super) fn key(&mut self, name: &str) {
        self.item();
        self.text(name);
        self.out.push_str(": ");
    }

    /// A text with its quotes.
    pub(super) fn text(&mut self, text: &str) {
        self.quote();
        escape(self.out, text, self.place);
        self.quote();
    }

    /// What has nothing to escape: a number, `true`, `null`.
    pub(super) fn plain(&mut self, value: impl std::fmt::Display) {
        // Writing to a String cannot fail.
        let _written = write!(self.out, "{value}").is_ok();
    }

    /// Any value.
    pub(super) fn value(&mut self, value: &Tree<'_>) {
        match value {
            Tree::Null => self.out.push_str("null"),
            Tree::Flag(flag) => self.plain(flag),
            Tree::Number(number) => self.plain(number),
            Tree::Text(text) => self.text(text),
            Tree::List(list) => {
                self.open('[');
                for value in list {
                    self.item();
                    self.value(value);
                }
                self.close(']');
            }
            Tree::Object(pairs) => self.pairs(Tree::pairs(pairs)),
        }
    }

    /// An object.
    pub(super) fn pairs(&mut self, pairs: Vec<(&str, &Tree<'_>)>) {
        self.open('{');
        for (key, value) in pairs {
            self.key(key);
            self.value(value);
        }
        self.close('}');
    }

    fn quote(&mut self) {
        self.out.push_str(match self.place {
            Place::Document => "\"",
            Place::Text => "\\\"",
        });
    }

    fn new_line(&mut self) {
        self.out.push_str(match self.place {
            Place::Document => "\n",
            Place::Text => "\\n",
        });
        match SPACES.get(..self.depth) {
            Some(spaces) => self.out.push_str(spaces),
            None => self.out.extend(std::iter::repeat_n(' ', self.depth)),
        }
    }
}

/// Whether a byte begins something that is escaped, or, with 0xe2, perhaps does.
const SPECIAL: [bool; 256] = {
    let mut special = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        special[byte] = true;
        byte += 1;
    }
    special[b'"' as usize] = true;
    special[b'\\' as usize] = true;
    special[b'<' as usize] = true;
    special[b'>' as usize] = true;
    special[b'&' as usize] = true;
    special[0xe2] = true;
    special
};

/// Appends `text` as a text of JSON without its quotes.
pub(in crate::sink) fn escape(out: &mut String, text: &str, place: Place) {
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| SPECIAL[usize::from(byte)]) {
        let (plain, special) = rest.split_at(at);
        out.push_str(plain);
        let mut characters = special.chars();
        // There is one: it was found.
        let Some(character) = characters.next() else { break };
        rest = characters.as_str();
        if character > '\u{7f}' && !matches!(character, '\u{2028}' | '\u{2029}') {
            out.push(character);
            continue;
        }
        // The backslash of the escape itself, which is escaped in turn inside of a text.
        out.push_str(if place == Place::Text { "\\\\" } else { "\\" });
        escaped(out, character, place);
    }
    out.push_str(rest);
}

/// What follows the backslash.
fn escaped(out: &mut String, character: char, place: Place) {
    let short = match character {
        '"' | '\\' => {
            if place == Place::Text {
                out.push('\\');
            }
            character
        }
        '\u{8}' => 'b',
        '\u{c}' => 'f',
        '\n' => 'n',
        '\r' => 'r',
        '\t' => 't',
        _ => {
            // Writing to a String cannot fail.
            let _written = write!(out, "u{:04x}", u32::from(character)).is_ok();
            return;
        }
    };
    out.push(short);
}
