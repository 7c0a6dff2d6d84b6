//! A YAML document as a tree in which every key and every value knows its place.
//!
//! Invariant: a place is where the value is written, so that an operator can go there; for a value
//! that comes through an alias it is the place of the alias.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

/// Where something stands in a file; both count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Line.
    pub line: u64,
    /// Column, in characters.
    pub column: u64,
}

impl Place {
    /// The first character of a file.
    pub(super) const START: Self = Self { line: 1, column: 1 };
}

impl From<serde_saphyr::Location> for Place {
    fn from(location: serde_saphyr::Location) -> Self {
        Self { line: location.line().max(1), column: location.column().max(1) }
    }
}

/// A value and its place.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// Where it begins.
    pub place: Place,
    /// What it is.
    pub content: Content,
}

/// What a node is.
#[derive(Debug, Clone)]
pub(super) enum Content {
    /// Nothing, or `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number, and how it was written.
    Integer(i128, String),
    /// Another number, and how it was written.
    Float(f64, String),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// Keys with their places, and values, in the order of the file.
    Mapping(Vec<(Key, Node)>),
}

/// A key of a mapping.
#[derive(Debug, Clone)]
pub(super) struct Key {
    /// Where it begins.
    pub place: Place,
    /// Its text.
    pub text: String,
}

impl Node {
    /// Reads a document. An empty one is an empty mapping.
    pub(super) fn read(text: &str) -> Result<Self, serde_saphyr::Error> {
        let options = serde_saphyr::options! {
            leading_zero_numbers_as_strings: true,
            underscored_numbers_as_strings: true,
        };
        let root: Option<Spanned<Raw>> = serde_saphyr::from_str_with_options(text, options)?;
        Ok(root.map_or(Self { place: Place::START, content: Content::Null }, |root| {
            Self::from_raw(root, text)
        }))
    }

    /// The value under `key`, if this is a mapping that has it.
    pub(super) fn get(&self, key: &str) -> Option<(&Key, &Node)> {
        let Content::Mapping(entries) = &self.content else { return None };
        entries.iter().find(|(known, _)| known.text == key).map(|(key, node)| (key, node))
    }

    fn from_raw(raw: Spanned<Raw>, source: &str) -> Self {
        let written = || {
            let span = raw.defined.span();
            let start = usize::try_from(span.byte_offset()?).ok()?;
            let length = usize::try_from(span.byte_len()?).ok()?;
            Some(source.get(start..start.checked_add(length)?)?.trim().to_owned())
        };
        let content = match raw.value {
            Raw::Null => Content::Null,
            Raw::Bool(value) => Content::Bool(value),
            Raw::Integer(value) => {
                Content::Integer(value, written().unwrap_or_else(|| value.to_string()))
            }
            Raw::Float(value) => {
                Content::Float(value, written().unwrap_or_else(|| value.to_string()))
            }
            Raw::Text(text) => Content::Text(text),
            Raw::List(items) => {
                Content::List(items.into_iter().map(|item| Self::from_raw(item, source)).collect())
            }
            Raw::Mapping(entries) => Content::Mapping(
                entries
                    .into_iter()
                    .map(|(key, value)| {
                        let key = Key { place: key.referenced.into(), text: key.value };
                        (key, Self::from_raw(value, source))
                    })
                    .collect(),
            ),
        };
        Self { place: raw.referenced.into(), content }
    }
}

/// A value as the YAML reader hands it over.
enum Raw {
    Null,
    Bool(bool),
    Integer(i128),
    Float(f64),
    Text(String),
    List(Vec<Spanned<Raw>>),
    Mapping(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        Raw::deserialize(deserializer)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Integer(value.into()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Integer(value.into()))
    }

    fn visit_i128<E: de::Error>(self, value: i128) -> Result<Raw, E> {
        Ok(Raw::Integer(value))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Float(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<Raw, E> {
        Ok(Raw::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Mapping(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_and_value_knows_its_place() {
        let root =
            Node::read("log:\n  maxBytes: 2GiB\nsinks:\n- name: a\n  kind: b\n").expect("YAML");
        let (key, log) = root.get("log").expect("log");
        assert_eq!((key.place.line, key.place.column), (1, 1));
        let (key, value) = log.get("maxBytes").expect("maxBytes");
        assert_eq!((key.place.line, key.place.column), (2, 3));
        assert_eq!((value.place.line, value.place.column), (2, 13));
        let (_, sinks) = root.get("sinks").expect("sinks");
        let Content::List(items) = &sinks.content else { panic!("a list") };
        let (key, _) = items[0].get("kind").expect("kind");
        assert_eq!((key.place.line, key.place.column), (5, 3));
    }

    #[test]
    fn a_number_keeps_how_it_was_written() {
        let root = Node::read("a: 0x10\nb: 1e3 # c\n").expect("YAML");
        let written = |key| match &root.get(key).expect("key").1.content {
            Content::Integer(_, written) | Content::Float(_, written) => written.clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!(written("a"), "0x10");
        assert_eq!(written("b"), "1e3");
    }

    #[test]
    fn an_empty_document_is_nothing() {
        for text in ["", "\n", "# only a comment\n", "---\n", "null"] {
            let root = Node::read(text).expect(text);
            assert!(matches!(root.content, Content::Null), "{text:?}");
        }
    }

    #[test]
    fn an_alias_has_the_place_of_its_use() {
        let root = Node::read("a: &x {b: 1}\nc: *x\n").expect("YAML");
        assert_eq!(root.get("c").expect("c").1.place.line, 2);
    }
}
