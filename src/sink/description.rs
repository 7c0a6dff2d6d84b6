//! What there is to configure about a kind, read from the type of its options.
//!
//! Invariant: nothing here is written by hand. Names, forms, defaults and what they are for come from the
//! type that also reads the options.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Serialize;
use serde_json::Value;

use crate::setting::SECRET_MARK;

/// An option of a kind.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OptionDescription {
    /// Its name; `at.mobiles` is `mobiles` in the mapping `at`.
    pub name: String,
    /// What is written: `text`, `secret`, `one of v1, v2, v3`.
    pub form: String,
    /// Whether it must be written.
    pub required: bool,
    /// What counts when it is not written, unless that is nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// What it is for.
    pub about: String,
}

/// Describes the options that `T` reads, in the order of its fields.
pub(super) fn describe<T: JsonSchema>() -> Vec<OptionDescription> {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    let schema = settings.into_generator().into_root_schema_for::<T>();
    let mut options = Vec::new();
    collect("", schema.as_value(), &mut options);
    options
}

fn collect(prefix: &str, schema: &Value, options: &mut Vec<OptionDescription>) {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
    let required = schema.get("required").and_then(Value::as_array);
    for (name, option) in properties {
        let is_required =
            required.is_some_and(|names| names.iter().any(|one| one.as_str() == Some(name)));
        let name = format!("{prefix}{name}");
        let kept = without_null(option);
        if kept.get("properties").is_some() {
            collect(&format!("{name}."), kept, options);
            continue;
        }
        options.push(OptionDescription {
            form: form(kept),
            required: is_required,
            default: default_of(option),
            about: about(option),
            name,
        });
    }
}

/// The schema of what can be written, where it can also be left out.
fn without_null(schema: &Value) -> &Value {
    let alternatives = schema.get("anyOf").and_then(Value::as_array);
    let is_null = |one: &&Value| one.get("type").and_then(Value::as_str) == Some("null");
    match alternatives.map(Vec::as_slice) {
        Some([one, two]) if is_null(&two) => one,
        _ => schema,
    }
}

fn form(schema: &Value) -> String {
    if schema.get(SECRET_MARK).is_some() {
        return "secret".to_owned();
    }
    if let Some(names) = schema.get("enum").and_then(Value::as_array) {
        return one_of(names.iter().filter(|name| !name.is_null()));
    }
    let alternatives = ["oneOf", "anyOf"].iter().find_map(|key| schema.get(*key)?.as_array());
    if let Some(alternatives) = alternatives {
        return form_of(alternatives);
    }
    match type_of(schema) {
        Some("boolean") => "true or false".to_owned(),
        Some("integer" | "number") => "number".to_owned(),
        Some("array") => format!("list of {}", schema.get("items").map_or_else(any, form)),
        Some("object") => object(schema),
        Some("string") => "text".to_owned(),
        _ => any(),
    }
}

fn any() -> String {
    "anything".to_owned()
}

/// A schema says `[T, "null"]` of what can be left out.
fn type_of(schema: &Value) -> Option<&str> {
    match schema.get("type")? {
        Value::Array(types) => types.iter().filter_map(Value::as_str).find(|name| *name != "null"),
        one => one.as_str(),
    }
}

fn object(schema: &Value) -> String {
    let fields = schema.get("properties").and_then(Value::as_object);
    match (fields, schema.get("additionalProperties")) {
        (Some(fields), _) => {
            let fields: Vec<_> = fields.keys().map(String::as_str).collect();
            format!("{{{}: …}}", fields.join(": …, "))
        }
        (None, Some(values)) if values.is_object() => format!("mapping to {}", form(values)),
        _ => "mapping".to_owned(),
    }
}

/// Alternatives: words to choose from, or forms.
fn form_of(alternatives: &[Value]) -> String {
    let words: Option<Vec<_>> = alternatives.iter().map(words).collect();
    if let Some(words) = words {
        return one_of(words.into_iter().flatten());
    }
    let forms = alternatives.iter().filter(|one| type_of(one) != Some("null")).map(form);
    forms.collect::<Vec<_>>().join(" or ")
}

/// The words that can be written, where there is nothing else.
fn words(schema: &Value) -> Option<Vec<&Value>> {
    match (schema.get("const"), schema.get("enum")) {
        (Some(word), _) => Some(vec![word]),
        (None, Some(Value::Array(words))) => Some(words.iter().collect()),
        _ => None,
    }
}

fn one_of<'a>(words: impl Iterator<Item = &'a Value>) -> String {
    let words: Vec<_> =
        words.map(|word| word.as_str().map_or_else(|| word.to_string(), str::to_owned)).collect();
    format!("one of {}", words.join(", "))
}

/// Nothing, and lists of nothing, are not told.
fn default_of(schema: &Value) -> Option<Value> {
    let default = schema.get("default")?;
    let nothing = match default {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    };
    (!nothing).then(|| default.clone())
}

fn about(schema: &Value) -> String {
    let text = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setting::Secret;
    use serde::Deserialize;
    use std::collections::BTreeMap;

    #[derive(Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "camelCase")]
    #[allow(dead_code)] // read through its schema only
    struct Sample {
        /// Which key,
        /// in two lines.
        key_secret: Secret,
        #[serde(default = "seven")]
        count: u32,
        #[serde(default)]
        at: Option<Nested>,
        #[serde(default)]
        api: Api,
        #[serde(default)]
        headers: BTreeMap<String, Secret>,
        #[serde(default)]
        names: Vec<String>,
    }

    #[derive(Serialize, Deserialize, JsonSchema)]
    struct Nested {
        /// Phone numbers.
        mobiles: Vec<String>,
    }

    #[derive(Default, Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "lowercase")]
    enum Api {
        #[default]
        V1,
        V2,
    }

    fn seven() -> u32 {
        7
    }

    #[test]
    fn options_are_described_by_their_type() {
        let options = describe::<Sample>();
        let line = |option: &OptionDescription| {
            let default = option.default.as_ref().map(ToString::to_string).unwrap_or_default();
            let required = if option.required { "!" } else { "" };
            format!("{}{required} | {} | {default} | {}", option.name, option.form, option.about)
        };
        assert_eq!(
            options.iter().map(line).collect::<Vec<_>>(),
            [
                "keySecret! | secret |  | Which key, in two lines.",
                "count | number | 7 | ",
                "at.mobiles! | list of text |  | Phone numbers.",
                "api | one of v1, v2 | \"v1\" | ",
                "headers | mapping to secret |  | ",
                "names | list of text |  | ",
            ]
        );
    }
}
