//! The same bytes by another way, and that they are the same for any JSON.
//!
//! Here each step is done by itself and by `serde_json`, which takes a multiple of the time.

use std::collections::BTreeMap;

use jiff::Timestamp;
use proptest::collection::vec;
use proptest::prelude::*;
use serde::Serialize;
use serde_json::ser::PrettyFormatter;
use serde_json::{Map, Serializer, Value};

use super::{
    EVENT, Flag, Key, List, Micros, Number, Place, Seconds, Shape, Struct, Structs, Text, Texts,
    Tree,
};
use crate::event::EventObject;
use crate::sink::chat::go_json;

/// The event with one space of indentation per level, as a value first, then as bytes, then with Go's escapes.
pub(in crate::sink) fn indented(event: &EventObject) -> String {
    let value = Value::Object(fields(event.value(), EVENT));
    let mut bytes = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut bytes, PrettyFormatter::with_indent(b" "));
    // Writing a JSON value to memory cannot fail, and gives UTF-8.
    let _written = value.serialize(&mut serializer).is_ok();
    go_json(&String::from_utf8_lossy(&bytes))
}

fn fields(value: &Value, keys: &[Key]) -> Map<String, Value> {
    let mut fields = Map::new();
    for Key { name, shape, always } in keys {
        let found = value.get(name).filter(|value| !value.is_null());
        let shown = found.and_then(|value| shown(value, *shape));
        let shown = shown.or_else(|| always.then(|| empty(*shape)));
        fields.extend(shown.map(|value| ((*name).to_owned(), value)));
    }
    fields
}

/// What Go shows of a value; nothing when it is empty, or no value of this shape.
fn shown(value: &Value, shape: Shape) -> Option<Value> {
    match shape {
        Text => value.as_str().filter(|text| !text.is_empty()).map(Value::from),
        Number => value.as_i64().filter(|number| *number != 0).map(Value::from),
        Flag => value.as_bool().map(Value::from),
        Seconds => time(value, "%Y-%m-%dT%H:%M:%SZ"),
        Micros => time(value, "%Y-%m-%dT%H:%M:%S%.6fZ"),
        Texts => {
            let sorted: BTreeMap<_, _> = value.as_object()?.iter().collect();
            (!sorted.is_empty()).then(|| {
                sorted.into_iter().map(|(key, text)| (key.clone(), text.clone())).collect()
            })
        }
        List => value.as_array().filter(|list| !list.is_empty()).cloned().map(Value::Array),
        Struct(keys) => value.is_object().then(|| Value::Object(fields(value, keys))),
        Structs(keys) => {
            let list = value.as_array().filter(|list| !list.is_empty())?;
            Some(list.iter().map(|value| Value::Object(fields(value, keys))).collect())
        }
    }
}

fn time(value: &Value, format: &str) -> Option<Value> {
    let time: Timestamp = value.as_str()?.parse().ok()?;
    Some(time.strftime(format).to_string().into())
}

/// What Go shows of an empty value that is not left out.
fn empty(shape: Shape) -> Value {
    match shape {
        Text => "".into(),
        Struct(keys) => Value::Object(fields(&Value::Null, keys)),
        _ => Value::Null,
    }
}

/// The inside of a JSON text with this text.
fn inside(text: &str) -> String {
    let quoted = go_json(&Value::from(text).to_string());
    quoted[1..quoted.len() - 1].to_owned()
}

/// Texts with all that is escaped, and with what looks like it.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{0,8}",
        "[\\x00-\\x20\\x7f\"\\\\<>&\u{2027}-\u{202a}\u{e2}\u{e9}\u{1f912}/]{0,12}",
        any::<String>(),
    ]
}

/// Times in the form that is expected, in others, and some that are none.
fn time_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[0-9]{4}-0[1-9]-[0-2][0-9]T[01][0-9]:[0-5][0-9]:[0-5][0-9]Z",
        "[0-9]{4}-0[1-9]-[0-2][0-9]T[01][0-9]:[0-5][0-9]:[0-5][0-9]\\.[0-9]{1,9}Z",
        "[0-9]{4}-0[1-9]-[0-2][0-9][Tt ][0-2][0-9]:[0-5][0-9]:[0-6][0-9](\\.[0-9]{6})?(Z|z|\\+08:00|-00:30)",
        "[+-]?[0-9]{3,6}-0[1-9]-[0-2][0-9]T[01][0-9]:[0-5][0-9]:60Z",
        Just("2016-12-31T23:59:60Z".to_owned()),
        Just("0001-01-01T00:00:00Z".to_owned()),
    ]
}

fn number() -> impl Strategy<Value = Value> {
    prop_oneof![
        (-3i64..3).prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
    ]
}

fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        number(),
        text().prop_map(Value::from),
        time_text().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::Array),
            vec((text(), inner), 0..4).prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

/// What belongs there.
fn of_shape(shape: Shape) -> BoxedStrategy<Value> {
    match shape {
        Text => text().prop_map(Value::from).boxed(),
        Number => number().boxed(),
        Seconds | Micros => time_text().prop_map(Value::from).boxed(),
        Flag => any::<bool>().prop_map(Value::from).boxed(),
        Texts => vec((text(), text()), 0..4)
            .prop_map(|pairs| {
                Value::Object(
                    pairs.into_iter().map(|(key, text)| (key, Value::from(text))).collect(),
                )
            })
            .boxed(),
        List => vec(text(), 0..3).prop_map(Value::from).boxed(),
        Struct(keys) => object(keys),
        Structs(keys) => vec(object(keys), 0..3).prop_map(Value::Array).boxed(),
    }
}

/// Objects with some of these keys, mostly with what belongs there, in any order.
fn object(keys: &'static [Key]) -> BoxedStrategy<Value> {
    let field = |key: &'static Key| {
        let value = prop_oneof![4 => of_shape(key.shape), 1 => anything()];
        proptest::option::of(value.prop_map(move |value| (key.name.to_owned(), value)))
    };
    let fields: Vec<_> = keys.iter().map(field).collect();
    let fields = fields.prop_map(|fields| fields.into_iter().flatten().collect::<Vec<_>>());
    let others = vec((text(), anything()), 0..2);
    let all = (fields, others).prop_map(|(fields, others)| [fields, others].concat());
    all.prop_shuffle().prop_map(|fields| fields.into_iter().collect()).boxed()
}

proptest! {
    #[test]
    fn the_bytes_are_the_same(value in prop_oneof![8 => object(EVENT), 1 => anything()]) {
        let event = EventObject::from_value(value);
        let expected = indented(&event);
        prop_assert_eq!(super::indented(&event), expected.as_str());
        let mut written = String::from("before ");
        let json = event.to_json();
        let tree = Tree::read(&json).expect("JSON");
        super::write_indented(&tree, Place::Text, &mut written);
        prop_assert_eq!(written, format!("before {}", inside(&expected)));
    }

    #[test]
    fn a_tree_says_what_a_value_says(pairs in vec(("[a-c\"]{0,2}", anything()), 0..6), broken in any::<prop::sample::Index>()) {
        // Keys that are there twice, too.
        let pairs: Vec<_> = pairs.iter().map(|(key, value)| format!("{}: {value}", Value::from(key.as_str()))).collect();
        let json = format!("{{\"list\": [{{{0}}}], \"labels\": {{{0}}}}}", pairs.join(","));
        let json = format!("{{\"metadata\": {{\"finalizers\": [{json}], \"labels\": {{{}}}}}}}", pairs.join(","));
        let mut written = String::new();
        super::write_indented(&Tree::read(json.as_bytes()).expect("JSON"), Place::Document, &mut written);
        prop_assert_eq!(written, indented(&EventObject::parse(json.as_bytes())));
        let cut = &json.as_bytes()[..broken.index(json.len())];
        let errors = (Tree::read(cut).map(drop), serde_json::from_slice::<Value>(cut).map(drop));
        prop_assert_eq!(errors.0.map_err(|error| error.to_string()), errors.1.map_err(|error| error.to_string()));
    }

    #[test]
    fn a_text_has_the_same_escapes(text in text()) {
        for (place, expected) in [(Place::Document, inside(&text)), (Place::Text, inside(&inside(&text)))] {
            let mut written = String::new();
            super::escape(&mut written, &text, place);
            prop_assert_eq!(written, expected);
        }
    }
}
