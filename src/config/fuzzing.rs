//! What is promised of configurations for any input: see [`crate::fuzzing`].

use std::path::Path;

use super::eventer::{self, Arguments};
use super::{Config, ConfigError, Loaded, eventer_source, yaml};
use crate::setting::{ByteSize, EventerUri, Span};
use crate::sink::registry;
use crate::source::Start;

/// Stands where a secret stands; no message may show it.
const SECRET: &str = "s3cret-7f2e91";

/// Arguments, one per line: a configuration or a message of one line, and no secret in it. What a
/// command line says can be written as YAML and read again.
pub(crate) fn uris(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let environment = |name: &str| name.len().is_multiple_of(2).then(|| format!("{name}=%2F&a"));
    let arguments: Vec<String> = text.split('\n').map(str::to_owned).collect();
    match eventer::read(&arguments, &environment) {
        Ok(Arguments::Flags(loaded)) => writes_back(*loaded),
        Ok(_) => {}
        Err(error) => is_one_line(&error),
    }
    for argument in &arguments {
        uri(argument, &environment);
        settings(argument);
        secret_in_uri(argument, &environment);
    }
}

fn uri(text: &str, environment: &dyn Fn(&str) -> Option<String>) {
    let Ok(uri) = EventerUri::parse(text, environment) else { return };
    let _shown = format!("{uri:?}");
    drop(eventer_source::from_uri(&uri));
    drop(registry::translate(&uri));
}

/// A URI with secrets in it, to which anything was added.
fn secret_in_uri(addition: &str, environment: &dyn Fn(&str) -> Option<String>) {
    if addition.contains(SECRET) {
        return;
    }
    let front = format!(
        "webhook:https://user:{SECRET}@example.com/{SECRET}?token={SECRET}&header=Authorization={SECRET}"
    );
    let messages = match EventerUri::parse(&(front + addition), environment) {
        Err(error) => vec![error.to_string()],
        Ok(uri) => {
            let shown = format!("{uri:?}");
            match registry::translate(&uri) {
                Err(error) => vec![shown, error.to_string()],
                Ok((sink, warnings)) => [vec![shown, format!("{sink:?}")], warnings].concat(),
            }
        }
    };
    assert!(!messages.concat().contains(SECRET), "{messages:?}");
}

/// Small values: what is read prints as a text that reads the same.
fn settings(text: &str) {
    if let Ok(span) = text.parse::<Span>() {
        assert_eq!(span.to_string().parse(), Ok(span));
    }
    if let Ok(size) = text.parse::<ByteSize>() {
        assert_eq!(size.to_string().parse(), Ok(size));
    }
    if let Ok(start) = text.parse::<Start>() {
        assert_eq!(start.to_string().parse().ok(), Some(start));
    }
}

/// A file: a configuration, or a message of one line with a place that is in the file. What was read
/// can be written and read again, and no message shows a secret.
pub(crate) fn yaml(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match yaml::load(&text, Path::new("relay.yaml")) {
        Ok(loaded) => writes_back(loaded),
        Err(error) => {
            is_one_line(&error);
            let ConfigError::InFile { line, column, .. } = error else { panic!("{error}") };
            // YAML ends a line at a carriage return, too.
            let lines = text.split(['\n', '\r']).count() as u64;
            assert!((1..=lines).contains(&line) && column >= 1, "{line}:{column} of {lines} lines");
        }
    }
    secret_in_file(&text);
}

/// A sink with secrets in it, to which anything was added as more options, and as more of the file.
fn secret_in_file(addition: &str) {
    if addition.contains(SECRET) {
        return;
    }
    let options = addition.replace('\n', "\n    ");
    let text = format!(
        "sinks:\n- name: a\n  kind: webhook\n  options:\n    hmacSecret: {SECRET}\n    url: \
         'https://u:{SECRET}@h/{SECRET}'\n    headers: {{Authorization: {SECRET}}}\n    {options}\n{addition}"
    );
    if let Err(error) = yaml::load(&text, Path::new("relay.yaml")) {
        let message = error.to_string();
        assert!(!message.contains(SECRET), "{message}");
    }
}

fn is_one_line(error: &ConfigError) {
    let message = error.to_string();
    assert!(!message.is_empty() && !message.contains('\n'), "{message:?}");
}

fn writes_back(loaded: Loaded) {
    let Loaded { config, .. } = loaded;
    let written = match config.to_yaml() {
        Ok(written) => written,
        Err(error) => panic!("{error}"),
    };
    match Config::from_yaml(&written, Path::new("written.yaml")) {
        Ok(again) => assert_eq!(again.config, config, "{written}"),
        Err(error) => panic!("{error}\n{written}"),
    }
    assert!(config.to_masked_yaml().is_ok());
}
