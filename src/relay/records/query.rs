//! Which records to read.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::control::ControlError;
use crate::event::{Filter, Match, MatchError, StreamId};

/// Which records: all that match everything that is given. Patterns are as under a sink's `match`: regular
/// expressions over the whole value.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RecordQuery {
    /// Pattern of the type: `Normal`, `Warning`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub event_type: Option<String>,
    /// Pattern of the reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Pattern of the involved object's kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Pattern of its namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Pattern of its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A sink's `match` in YAML's flow form: `{messages: ['.*oom.*']}`.
    #[serde(rename = "match", skip_serializing_if = "Option::is_none")]
    pub matching: Option<String>,
    /// Received then or later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Received before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Of this stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<StreamId>,
    /// At most so many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Whether to wait for more at the end.
    pub follow: bool,
}

impl RecordQuery {
    /// The patterns, compiled.
    pub(super) fn filter(&self) -> Result<Filter, ControlError> {
        let refused = |reason: String| ControlError::Selection(reason);
        let mut wanted: Match = match &self.matching {
            Some(text) => {
                text.parse().map_err(|error: MatchError| refused(format!("match: {error}")))?
            }
            None => Match::default(),
        };
        let patterns = [
            ("type", &self.event_type, &mut wanted.types),
            ("reason", &self.reason, &mut wanted.reasons),
            ("kind", &self.kind, &mut wanted.kinds),
            ("namespace", &self.namespace, &mut wanted.namespaces),
            ("name", &self.name, &mut wanted.names),
        ];
        for (name, pattern, list) in patterns {
            let Some(pattern) = pattern else { continue };
            if list.replace(vec![pattern.clone()]).is_some() {
                return Err(refused(format!(
                    "{name} is given twice: by itself and in match; keep one"
                )));
            }
        }
        Filter::new(&wanted, &[]).map_err(|error| refused(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::runner::fixtures::record;

    fn passes(query: &RecordQuery, reason: &str) -> bool {
        let mut record = record(1);
        reason.clone_into(&mut record.header.reason);
        query.filter().expect("patterns").passes(&record)
    }

    #[test]
    fn patterns_and_a_match_are_put_together() {
        let query = RecordQuery { reason: Some("Back.*|Failed".into()), ..RecordQuery::default() };
        assert!(passes(&query, "BackOff") && passes(&query, "Failed") && !passes(&query, "Fail"));
        let both = RecordQuery { matching: Some("{type: Nothing}".into()), ..query.clone() };
        assert!(!passes(&both, "BackOff"));
        let twice = RecordQuery { matching: Some("{reasons: x}".into()), ..query };
        let error = twice.filter().expect_err("twice").to_string();
        assert!(error.contains("reason is given twice"), "{error}");
        let wrong = RecordQuery { kind: Some("*".into()), ..RecordQuery::default() };
        assert!(wrong.filter().expect_err("no pattern").to_string().contains("kinds"));
    }
}
