//! `--sink`.

use std::collections::HashSet;

use super::parser::Parsed;
use crate::setting::EventerUri;
use crate::sink::{SinkConfig, SinkError, registry};

/// Reads every `--sink`, in order.
pub(super) fn read(
    parsed: &Parsed,
    warnings: &mut Vec<String>,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<SinkConfig>, String> {
    let mut sinks = Vec::new();
    let mut unnamed = Vec::new();
    for (index, text) in parsed.texts("sink").enumerate() {
        let uri = EventerUri::parse(text, environment)
            .map_err(|error| format!("--sink number {}: {error}", index + 1))?;
        let (sink, found) = from_uri(&uri).map_err(|message| placed(index, &uri.kind, &message))?;
        if uri.first(registry::NAME_OPTION).is_none_or(str::is_empty) {
            unnamed.push(index);
        }
        warnings.extend(found.iter().map(|warning| placed(index, &uri.kind, warning)));
        sinks.push(sink);
    }
    name_after_kind(&mut sinks, &unnamed);
    Ok(sinks)
}

fn from_uri(uri: &EventerUri) -> Result<(SinkConfig, Vec<String>), String> {
    registry::translate(uri).map_err(|error| match error {
        SinkError::UnknownKind { .. } => {
            format!("{error}; kube-eventer ran without such a sink, this relay refuses to start")
        }
        other => other.to_string(),
    })
}

/// `webhook`, `webhook-2`, …: whatever is not taken by a name that was given.
fn name_after_kind(sinks: &mut [SinkConfig], unnamed: &[usize]) {
    let mut taken: HashSet<String> = sinks
        .iter()
        .enumerate()
        .filter(|(index, _)| !unnamed.contains(index))
        .map(|(_, sink)| sink.name.clone())
        .collect();
    for index in unnamed {
        let sink = &mut sinks[*index];
        let mut name = sink.kind.clone();
        let mut count = 1;
        while !taken.insert(name.clone()) {
            count += 1;
            name = format!("{}-{count}", sink.kind);
        }
        sink.name = name;
    }
}

/// A message about the sink at `index`. Shows its kind only: the rest of a URI is secret.
pub(super) fn placed(index: usize, kind: &str, message: &str) -> String {
    format!("--sink number {} ({}): {message}", index + 1, kind.escape_debug())
}
