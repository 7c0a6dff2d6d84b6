//! Secrets among the options of sinks: where they are, whether they can be had, and how to take
//! literal ones out.
//!
//! Which options are secret only the kind knows. It shows it by [`SinkConfig::redacted`]: where
//! that differs from what was written, there is a literal secret.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::Config;
use crate::setting::{Secret, SecretError};
use crate::sink::{SinkConfig, SinkError};

/// What [`SinkConfig::redacted`] puts in place of a literal secret, or of the secret part of one.
const REDACTED: &str = "<secret>";

/// An environment variable that stands for a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placeholder {
    /// Name of the variable to set.
    pub variable: String,
    /// The sink.
    pub sink: String,
    /// The option of the sink, such as `url` or `headers.Authorization`.
    pub option: String,
}

/// Something that is not on this machine, and the path of the option that needs it.
pub(super) struct Missing {
    /// Such as `url` or `headers.Authorization`.
    pub option: String,
    /// What is missing, and what to do.
    pub reason: String,
}

/// Environment variables that a sink needs and that are not set.
pub(super) fn missing_variables(sink: &SinkConfig) -> Result<Vec<Missing>, SinkError> {
    missing(sink, &|secret| matches!(secret, Secret::Environment { .. }))
}

/// Files that a sink needs and that cannot be read. They may appear later.
pub(super) fn missing_files(sink: &SinkConfig) -> Result<Vec<Missing>, SinkError> {
    missing(sink, &|secret| matches!(secret, Secret::File { .. }))
}

fn missing(sink: &SinkConfig, wanted: &dyn Fn(&Secret) -> bool) -> Result<Vec<Missing>, SinkError> {
    let mut missing = Vec::new();
    visit(sink, &mut |option, value, _| {
        let secret = reference(value).filter(wanted);
        if let Some(error) = secret.and_then(|secret| secret.reveal().err()) {
            let reason = match &error {
                // Not only secrets are written as `{file: PATH}`: templates are, too.
                SecretError::File { path, cause } => format!(
                    "cannot read {}: {cause}; mount the file, or correct its path",
                    path.display()
                ),
                SecretError::Environment(_) => error.to_string(),
            };
            missing.push(Missing { option: option.to_owned(), reason });
        }
    })?;
    Ok(missing)
}

/// The configuration fit to be shown.
pub(super) fn redacted(config: &Config) -> Result<Config, SinkError> {
    let sinks = config.sinks.iter().map(SinkConfig::redacted).collect::<Result<_, _>>()?;
    Ok(Config { sinks, ..config.clone() })
}

/// The configuration with `{env: NAME}` for every literal secret, and which variables are to be set.
pub(super) fn replaced(config: &Config) -> Result<(Config, Vec<Placeholder>), SinkError> {
    let mut config = config.clone();
    let mut taken = HashSet::new();
    let mut placeholders = Vec::new();
    for sink in &mut config.sinks {
        let name = sink.name.clone();
        sink.options = visit(sink, &mut |option, redacted, written| {
            let hidden = redacted.as_str().is_some_and(|text| text.contains(REDACTED));
            if !hidden || written == Some(redacted) {
                return;
            }
            let variable = free_name(&variable_name(&name, option), &mut taken);
            *redacted = json!({ "env": variable });
            let (sink, option) = (name.clone(), option.to_owned());
            placeholders.push(Placeholder { variable, sink, option });
        })?;
    }
    Ok((config, placeholders))
}

/// What is called for a value: its path, the value with secrets redacted, and as it was written.
type Each<'a> = dyn FnMut(&str, &mut Value, Option<&Value>) + 'a;

/// Calls `each` for every value that is neither list nor mapping, and for every reference to a
/// secret, and gives the redacted options back.
fn visit(sink: &SinkConfig, each: &mut Each<'_>) -> Result<Map<String, Value>, SinkError> {
    let mut redacted = sink.redacted()?.options;
    for (name, value) in &mut redacted {
        visit_value(name, value, sink.options.get(name), each);
    }
    Ok(redacted)
}

fn visit_value(path: &str, value: &mut Value, written: Option<&Value>, each: &mut Each<'_>) {
    if reference(value).is_some() {
        return each(path, value, written);
    }
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                let written = written.and_then(|written| written.get(index));
                visit_value(&format!("{path}.{index}"), item, written, each);
            }
        }
        Value::Object(entries) => {
            for (key, item) in entries {
                let written = written.and_then(|written| written.get(key));
                visit_value(&format!("{path}.{key}"), item, written, each);
            }
        }
        _ => each(path, value, written),
    }
}

/// The secret behind `{env: NAME}` or `{file: PATH}`; `None` for everything else. A header named
/// `env` is no reference: its redacted value says so.
fn reference(value: &Value) -> Option<Secret> {
    let entries = value.as_object().filter(|entries| entries.len() == 1)?;
    let (key, text) = entries.iter().next()?;
    let text = text.as_str().filter(|text| *text != REDACTED)?.to_owned();
    match key.as_str() {
        "env" => Some(Secret::Environment { env: text }),
        "file" => Some(Secret::File { file: text.into() }),
        _ => None,
    }
}

/// `webhook-2` and `headers.Authorization` make `WEBHOOK_2_HEADERS_AUTHORIZATION`.
fn variable_name(sink: &str, option: &str) -> String {
    let name = format!("{sink}_{option}");
    let upper = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    let digit = name.starts_with(|c: char| c.is_ascii_digit()).then_some('_');
    digit.into_iter().chain(name.chars().map(upper)).collect()
}

fn free_name(wanted: &str, taken: &mut HashSet<String>) -> String {
    let mut name = wanted.to_owned();
    let mut count = 1;
    while !taken.insert(name.clone()) {
        count += 1;
        name = format!("{wanted}_{count}");
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_named_after_sink_and_option() {
        let cases = [
            (("webhook", "url"), "WEBHOOK_URL"),
            (("webhook-2", "headers.X-Token"), "WEBHOOK_2_HEADERS_X_TOKEN"),
            (("1st", "url"), "_1ST_URL"),
        ];
        for ((sink, option), expected) in cases {
            assert_eq!(variable_name(sink, option), expected);
        }
        let mut taken = HashSet::new();
        assert_eq!(free_name("A", &mut taken), "A");
        assert_eq!(free_name("A", &mut taken), "A_2");
    }

    #[test]
    fn references_are_told_from_mappings() {
        assert!(reference(&json!({"env": "NAME"})).is_some());
        assert!(reference(&json!({"file": "/path"})).is_some());
        for other in [
            json!({"env": REDACTED}),
            json!({"env": "A", "b": "c"}),
            json!({"x": "y"}),
            json!("env"),
        ] {
            assert!(reference(&other).is_none(), "{other}");
        }
    }
}
