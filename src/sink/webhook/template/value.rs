//! Values of a template: parts of an event, constants, and results of functions.
//!
//! Invariant: a field that is missing or of an unexpected type reads as Go's zero value, so that no
//! event makes a correct template fail.

use std::borrow::Cow;
use std::fmt::Write;

use jiff::tz::TimeZone;
use serde_json::{Map, Value as Json};

use super::shape::{EMBEDDED, Kind, Shape};
use crate::event::render::Moment;

/// A value, which may point into the event.
#[derive(Debug, Clone)]
pub(super) enum Value<'a> {
    /// The value of a key that a map does not have.
    Missing,
    /// A pointer to nothing.
    Nil,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(Cow<'a, str>),
    Time(Moment),
    Struct(Struct<'a>),
    /// Texts under keys.
    Map(Option<&'a Map<String, Json>>),
    List(Vec<Value<'a>>),
}

/// A Go struct, read out of JSON.
#[derive(Debug, Clone, Copy)]
pub(super) struct Struct<'a> {
    pub(super) shape: &'static Shape,
    pub(super) json: Option<&'a Json>,
    /// Reached through a pointer, so that nothing is there when `json` is nothing.
    pub(super) is_pointer: bool,
}

impl<'a> Value<'a> {
    pub(super) fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Self::Text(text.into())
    }

    /// Reads a field of this type; `json` is what the event has there.
    fn read(kind: Kind, json: Option<&'a Json>, zone: &TimeZone) -> Self {
        let json = json.filter(|json| !json.is_null());
        let a_struct = |shape, is_pointer| Self::Struct(Struct { shape, json, is_pointer });
        match kind {
            Kind::Text => Self::Text(json.map_or(Cow::Borrowed(""), json_text)),
            Kind::Integer => Self::Integer(json.and_then(Json::as_i64).unwrap_or_default()),
            Kind::Time => Self::Time(Moment::new(json.and_then(timestamp), zone)),
            Kind::TextMap => Self::Map(json.and_then(Json::as_object)),
            Kind::Texts => Self::list(json, |item| Self::Text(json_text(item))),
            Kind::Struct(shape) => a_struct(shape, false),
            Kind::Pointer(shape) => a_struct(shape, true),
            Kind::Structs(shape) => Self::list(json, |item| {
                Self::Struct(Struct { shape, json: Some(item), is_pointer: false })
            }),
            Kind::TimePointer => json
                .and_then(timestamp)
                .map_or(Self::Nil, |at| Self::Time(Moment::new(Some(at), zone))),
            Kind::IntegerPointer => json.and_then(Json::as_i64).map_or(Self::Nil, Self::Integer),
            Kind::BoolPointer => json.and_then(Json::as_bool).map_or(Self::Nil, Self::Bool),
        }
    }

    fn list(json: Option<&'a Json>, item: impl Fn(&'a Json) -> Self) -> Self {
        Self::List(json.and_then(Json::as_array).into_iter().flatten().map(item).collect())
    }

    /// What Go calls true: anything but zero, nothing and empty.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Missing | Self::Nil => false,
            Self::Bool(value) => *value,
            Self::Integer(value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Text(text) => !text.is_empty(),
            Self::Time(_) => true,
            Self::Struct(value) => !value.is_nil(),
            Self::Map(map) => map.is_some_and(|map| !map.is_empty()),
            Self::List(items) => !items.is_empty(),
        }
    }

    /// Bytes that a use of it goes through, roughly. A struct is only looked into.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::List(items) => items.iter().map(|item| size_of::<Self>() + item.weight()).sum(),
            _ => 0,
        }
    }

    /// Its type, for messages.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Missing | Self::Nil => "nil",
            Self::Bool(_) => "bool",
            Self::Integer(_) => "int",
            Self::Float(_) => "float64",
            Self::Text(_) => "string",
            Self::Time(_) => "Time",
            Self::Struct(value) => value.shape.name,
            Self::Map(_) => "map",
            Self::List(_) => "list",
        }
    }

    /// What Go prints for it.
    pub(super) fn shown(&self, zone: &TimeZone) -> Cow<'_, str> {
        match self {
            Self::Missing => "<no value>".into(),
            Self::Nil => "<nil>".into(),
            Self::Bool(value) => value.to_string().into(),
            Self::Integer(value) => value.to_string().into(),
            Self::Float(value) => value.to_string().into(),
            Self::Text(text) => Cow::Borrowed(text),
            Self::Time(moment) => moment.text().into(),
            Self::Struct(value) => value.shown(zone).into(),
            Self::Map(_) => {
                let pairs = self
                    .entries()
                    .into_iter()
                    .map(|(key, value)| format!("{}:{}", key.shown(zone), value.shown(zone)));
                format!("map[{}]", pairs.collect::<Vec<_>>().join(" ")).into()
            }
            Self::List(items) => {
                let items: Vec<_> = items.iter().map(|item| item.shown(zone)).collect();
                format!("[{}]", items.join(" ")).into()
            }
        }
    }

    /// Keys with values, as a range goes through them: a map by its keys in order.
    pub(super) fn entries(&self) -> Vec<(Value<'a>, Value<'a>)> {
        match self {
            Self::Map(Some(map)) => {
                let mut pairs: Vec<_> = map.iter().collect();
                pairs.sort_by_key(|(key, _)| *key);
                pairs
                    .into_iter()
                    .map(|(key, value)| (Value::text(key.as_str()), Value::Text(json_text(value))))
                    .collect()
            }
            Self::List(items) => (0..).map(Value::Integer).zip(items.iter().cloned()).collect(),
            _ => Vec::new(),
        }
    }
}

impl<'a> Struct<'a> {
    fn is_nil(&self) -> bool {
        self.is_pointer && self.json.is_none()
    }

    /// The field of this name, also one of the embedded struct.
    pub(super) fn field(&self, name: &str, zone: &TimeZone) -> Option<Value<'a>> {
        let get = |key| self.json.and_then(|json| json.get(key));
        if let Some(field) = self.shape.field(name) {
            return Some(Value::read(field.kind, get(field.key), zone));
        }
        let embedded = self.shape.field(EMBEDDED)?;
        match Value::read(embedded.kind, get(embedded.key), zone) {
            Value::Struct(inner) => inner.field(name, zone),
            _ => None,
        }
    }

    /// Names of its fields, for messages.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        let embedded = self.shape.field(EMBEDDED).map(|_| super::shape::OBJECT_META.fields);
        self.shape.fields.iter().chain(embedded.unwrap_or_default()).map(|field| field.name)
    }

    /// As the generated `String` methods of Kubernetes types show it.
    fn shown(&self, zone: &TimeZone) -> String {
        if self.is_nil() {
            return "<nil>".to_owned();
        }
        let mut text = format!("&{}{{", self.shape.name);
        for field in self.shape.fields {
            let value =
                Value::read(field.kind, self.json.and_then(|json| json.get(field.key)), zone);
            // Writing to a String cannot fail.
            let _written = write!(text, "{}:{},", field.name, value.shown(zone));
        }
        text.push('}');
        text
    }
}

/// A text as it is, anything else as JSON.
fn json_text(json: &Json) -> Cow<'_, str> {
    json.as_str().map_or_else(|| json.to_string().into(), Cow::Borrowed)
}

fn timestamp(json: &Json) -> Option<jiff::Timestamp> {
    json.as_str()?.parse().ok()
}
