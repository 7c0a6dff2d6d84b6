//! The built-in functions of Go's text/template.

use std::cmp::Ordering;
use std::fmt::Write;

use jiff::tz::TimeZone;
use serde_json::Value as Json;

use super::evaluator::Failure;
use super::printf;
use super::value::Value;

/// Their names.
pub(super) const NAMES: &[&str] = &[
    "and", "eq", "ge", "gt", "html", "index", "js", "le", "len", "lt", "ne", "not", "or", "print",
    "printf", "println", "slice", "urlquery",
];

/// Calls a function; `and` and `or` are the evaluator's.
pub(super) fn call<'a>(
    name: &str,
    arguments: &[Value<'a>],
    zone: &TimeZone,
) -> Result<Value<'a>, Failure> {
    match (name, arguments) {
        ("not", [value]) => Ok(Value::Bool(!value.is_true())),
        ("len", [value]) => len(value),
        ("index", [value, keys @ ..]) => {
            keys.iter().try_fold(value.clone(), |value, key| index(&value, key))
        }
        ("slice", [value, bounds @ ..]) => slice(value, bounds),
        ("print", values) => Ok(Value::text(print(values, zone))),
        ("println", values) => {
            let words: Vec<_> = values.iter().map(|value| value.shown(zone)).collect();
            Ok(Value::text(words.join(" ") + "\n"))
        }
        ("printf", [Value::Text(format), values @ ..]) => {
            Ok(Value::text(printf::printf(format, values, zone)))
        }
        ("html", values) => Ok(Value::text(html(&print(values, zone)))),
        ("js", values) => Ok(Value::text(js(&print(values, zone)))),
        ("urlquery", values) => Ok(Value::text(urlquery(&print(values, zone)))),
        ("eq", [first, others @ ..]) if !others.is_empty() => {
            let mut equal = false;
            for other in others {
                equal |= compare("eq", first, other)? == Some(Ordering::Equal);
            }
            Ok(Value::Bool(equal))
        }
        ("ne", [left, right]) => {
            Ok(Value::Bool(compare("ne", left, right)? != Some(Ordering::Equal)))
        }
        ("lt" | "le" | "gt" | "ge", [left, right]) => {
            let order = compare(name, left, right)?;
            Ok(Value::Bool(match name {
                "lt" => order == Some(Ordering::Less),
                "le" => matches!(order, Some(Ordering::Less | Ordering::Equal)),
                "gt" => order == Some(Ordering::Greater),
                _ => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
            }))
        }
        _ => Err(Failure::always(format!("{name} cannot be called with {}", types(arguments)))),
    }
}

fn types(arguments: &[Value<'_>]) -> String {
    if arguments.is_empty() {
        return "no arguments".to_owned();
    }
    arguments.iter().map(Value::type_name).collect::<Vec<_>>().join(", ")
}

fn len<'a>(value: &Value<'a>) -> Result<Value<'a>, Failure> {
    let length = match value {
        Value::Text(text) => text.len(),
        Value::List(items) => items.len(),
        Value::Map(map) => map.map_or(0, serde_json::Map::len),
        Value::Missing | Value::Nil => 0,
        _ => return Err(Failure::always(format!("a {} has no length", value.type_name()))),
    };
    Ok(Value::Integer(i64::try_from(length).unwrap_or(i64::MAX)))
}

fn index<'a>(value: &Value<'a>, key: &Value<'a>) -> Result<Value<'a>, Failure> {
    match (value, key) {
        (Value::Map(map), Value::Text(key)) => {
            let text = map.and_then(|map| map.get(key.as_ref())).and_then(Json::as_str);
            Ok(Value::text(text.unwrap_or_default()))
        }
        (Value::List(items), Value::Integer(at)) => {
            usize::try_from(*at).ok().and_then(|at| items.get(at).cloned()).ok_or_else(|| {
                Failure::new(format!("there is no element {at} in a list of {}", items.len()))
            })
        }
        (Value::Text(text), Value::Integer(at)) => usize::try_from(*at)
            .ok()
            .and_then(|at| text.as_bytes().get(at))
            .map(|byte| Value::Integer(i64::from(*byte)))
            .ok_or_else(|| {
                Failure::new(format!("there is no byte {at} in a text of {}", text.len()))
            }),
        _ => Err(Failure::always(format!(
            "a {} cannot be indexed with a {}",
            value.type_name(),
            key.type_name()
        ))),
    }
}

/// `slice text from to`. A bound inside a character moves to its start: the result stays text.
fn slice<'a>(value: &Value<'a>, bounds: &[Value<'a>]) -> Result<Value<'a>, Failure> {
    let length = match value {
        Value::Text(text) => text.len(),
        Value::List(items) => items.len(),
        _ => return Err(Failure::always(format!("a {} cannot be sliced", value.type_name()))),
    };
    let bound = |at: usize, default: usize| match bounds.get(at) {
        None => Ok(default),
        Some(Value::Integer(bound)) => usize::try_from(*bound)
            .ok()
            .filter(|bound| *bound <= length)
            .ok_or_else(|| Failure::new(format!("{bound} is outside of 0 to {length}"))),
        Some(other) => Err(Failure::always(format!("a {} is no bound", other.type_name()))),
    };
    let (from, to) = (bound(0, 0)?, bound(1, length)?);
    if from > to {
        return Err(Failure::new(format!("{from} is greater than {to}")));
    }
    Ok(match value {
        Value::Text(text) => {
            let start = |at| (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            let (from, to) = (start(from), start(to));
            Value::text(text[from..to].to_owned())
        }
        Value::List(items) => Value::List(items[from..to].to_vec()),
        _ => Value::Nil,
    })
}

/// Space stands between operands neither of which is a text.
fn print(values: &[Value<'_>], zone: &TimeZone) -> String {
    let mut printed = String::new();
    let mut after_text = true;
    for value in values {
        let is_text = matches!(value, Value::Text(_));
        if !after_text && !is_text {
            printed.push(' ');
        }
        printed.push_str(&value.shown(zone));
        after_text = is_text;
    }
    printed
}

/// Compares values of one type; `None` is "different, without an order".
fn compare(name: &str, left: &Value<'_>, right: &Value<'_>) -> Result<Option<Ordering>, Failure> {
    let only_equality = name == "eq" || name == "ne";
    match (left, right) {
        (Value::Integer(left), Value::Integer(right)) => Ok(Some(left.cmp(right))),
        (Value::Float(left), Value::Float(right)) => Ok(left.partial_cmp(right)),
        (Value::Text(left), Value::Text(right)) => Ok(Some(left.cmp(right))),
        (Value::Bool(left), Value::Bool(right)) if only_equality => {
            Ok((left == right).then_some(Ordering::Equal))
        }
        (left, right) if only_equality && (is_nothing(left) || is_nothing(right)) => {
            Ok((is_nothing(left) && is_nothing(right)).then_some(Ordering::Equal))
        }
        _ => Err(Failure::always(format!(
            "{name} cannot compare a {} with a {}",
            left.type_name(),
            right.type_name()
        ))),
    }
}

fn is_nothing(value: &Value<'_>) -> bool {
    match value {
        Value::Missing | Value::Nil => true,
        Value::Struct(value) => value.is_pointer && value.json.is_none(),
        _ => false,
    }
}

fn html(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut escaped, character| {
        match character {
            '"' => escaped.push_str("&#34;"),
            '\'' => escaped.push_str("&#39;"),
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '\0' => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
        escaped
    })
}

/// A JavaScript text that is a JSON text too: Go writes `\'`, which JSON does not know.
fn js(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' => escaped.push_str("\\\\"),
            '"' => escaped.push_str("\\\""),
            '\''
            | '<'
            | '>'
            | '&'
            | '='
            | '\u{0}'..='\u{1f}'
            | '\u{7f}'
            | '\u{2028}'
            | '\u{2029}' => {
                // Writing to a String cannot fail.
                let _written = write!(escaped, "\\u{:04X}", u32::from(character));
            }
            other => escaped.push(other),
        }
    }
    escaped
}

fn urlquery(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                encoded.push(char::from(byte));
            }
            b' ' => encoded.push('+'),
            other => {
                let _written = write!(encoded, "%{other:02X}");
            }
        }
    }
    encoded
}
