//! Options of a kind, read into a type.
//!
//! Invariant: the names of the options are the fields of the type, and nothing else; every error
//! names the option it is about and never shows a value.

use serde::de::{self, DeserializeOwned, Deserializer, Visitor};
use serde::{Serialize, forward_to_deserialize_any};
use serde_json::{Map, Value};

pub(super) use super::description::describe;

use super::SinkError;
use crate::setting::Secret;

/// How alike a name must be to be suggested; 1 is equal. Found by trial: `levle` and `nodes` are
/// suggested for `level` and `node`, `key` is not for `kind`.
const ALIKE: f64 = 0.8;

/// Reads `options`; an unknown one is an error.
pub(super) fn parse<T: DeserializeOwned>(options: &Map<String, Value>) -> Result<T, SinkError> {
    let known = names::<T>();
    if let Some(unknown) = options.keys().find(|name| !known.contains(&name.as_str())) {
        let hint = hint(unknown, known.iter().copied());
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        return Err(SinkError::Option {
            option: unknown.clone(),
            reason: format!("there is no such option{hint}; known options: {known}"),
        });
    }
    serde_json::from_value(Value::Object(options.clone()))
        .map_err(|error| blame::<T>(options, &error.to_string()))
}

/// The options with every literal secret replaced.
pub(super) fn redact<T: DeserializeOwned + Serialize>(
    options: &Map<String, Value>,
) -> Result<Map<String, Value>, SinkError> {
    let typed: T = parse(options)?;
    let Ok(Value::Object(mut redacted)) = serde_json::to_value(typed) else {
        return Ok(Map::new());
    };
    // Defaults that nobody wrote stay unwritten.
    redacted.retain(|name, _| options.contains_key(name));
    Ok(redacted)
}

/// Names of the options a type reads, taken from the type itself.
pub(super) fn names<T: DeserializeOwned>() -> &'static [&'static str] {
    let mut fields = FieldNames(&[]);
    // Always an error: the fields are seen before any of them is read.
    let _stopped = T::deserialize(&mut fields).is_err();
    fields.0
}

/// `; did you mean …?` when one of `known` is like `name`, otherwise nothing.
pub(super) fn hint<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(name, known).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default()
}

/// The known name most like `name`, if any is like it.
pub(super) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&name, &candidate.to_lowercase()), candidate))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|(left, _), (right, _)| left.total_cmp(right))
        .map(|(_, candidate)| candidate)
}

/// Finds the option an error is about, by reading each alone.
fn blame<T: DeserializeOwned>(options: &Map<String, Value>, whole: &str) -> SinkError {
    let wrong = options.iter().find_map(|(name, value)| {
        let alone = Map::from_iter([(name.clone(), value.clone())]);
        let error = serde_json::from_value::<T>(Value::Object(alone)).err()?.to_string();
        (!is_missing(&error)).then(|| (name.clone(), error))
    });
    let (option, reason) = wrong.unwrap_or_else(|| {
        let name = whole.split('`').nth(1).unwrap_or_default();
        (name.to_owned(), "it is required".to_owned())
    });
    SinkError::Option { option, reason: without_value(&reason) }
}

fn is_missing(error: &str) -> bool {
    error.starts_with("missing field")
}

/// Errors of serde quote the value they do not like, which may be a secret.
fn without_value(error: &str) -> String {
    if error.starts_with("data did not match any variant") {
        return "write a text, {env: NAME} or {file: PATH}".to_owned();
    }
    match (error.strip_prefix("invalid "), error.split_once(", expected ")) {
        (Some(invalid), Some((_, expected))) => {
            let what = invalid.split(':').next().unwrap_or_default();
            format!("invalid {what}, expected {expected}")
        }
        _ => error.to_owned(),
    }
}

/// The error for an option.
pub(super) fn wrong(option: &str, reason: impl Into<String>) -> SinkError {
    SinkError::Option { option: option.to_owned(), reason: reason.into() }
}

/// The secret, unless it is in a file.
pub(super) fn now(option: &str, secret: &Secret) -> Result<Option<String>, SinkError> {
    match secret {
        Secret::File { .. } => Ok(None),
        _ => secret.reveal().map(Some).map_err(|error| wrong(option, error.to_string())),
    }
}

/// A variable of the environment that is set and not empty.
pub(super) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A deserializer that only learns which fields it is asked for.
struct FieldNames(&'static [&'static str]);

impl<'de> Deserializer<'de> for &mut FieldNames {
    type Error = de::value::Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.0 = fields;
        Err(de::Error::custom("the names are known"))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Self::Error> {
        Err(de::Error::custom("options are a struct"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use serde_json::json;

    #[derive(Debug, Serialize, Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Sample {
        key_secret: Secret,
        #[serde(default)]
        count: u32,
    }

    fn error(options: Value) -> String {
        let Value::Object(options) = options else { panic!("an object") };
        parse::<Sample>(&options).expect_err("wrong options").to_string()
    }

    #[test]
    fn names_come_from_the_type() {
        assert_eq!(names::<Sample>(), ["keySecret", "count"]);
    }

    #[test]
    fn errors_name_the_option_and_the_nearest_known_one() {
        let unknown = error(json!({"keysecret": "x"}));
        assert!(unknown.starts_with("option keysecret: "), "{unknown}");
        assert!(unknown.contains("did you mean `keySecret`?"), "{unknown}");
        assert!(!error(json!({"zzz": 1})).contains("did you mean"));
        assert_eq!(error(json!({"count": 1})), "option keySecret: it is required");
    }

    #[test]
    fn errors_do_not_show_values() {
        let wrong_type = error(json!({"count": "s3cret, expected: s3cret", "keySecret": "x"}));
        assert!(wrong_type.starts_with("option count: invalid type"), "{wrong_type}");
        let wrong_secret = error(json!({"keySecret": {"environment": "s3cret"}}));
        assert!(wrong_secret.contains("{env: NAME}"), "{wrong_secret}");
        assert!(!wrong_secret.contains("s3cret"), "{wrong_secret}");
    }

    #[test]
    fn redaction_keeps_what_was_written_except_secrets() {
        let options = Map::from_iter([("keySecret".to_owned(), json!("hunter2"))]);
        let redacted = redact::<Sample>(&options).expect("valid options");
        assert_eq!(Value::Object(redacted), json!({"keySecret": "<secret>"}));
    }
}
