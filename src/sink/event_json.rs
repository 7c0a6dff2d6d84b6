//! The event of a record as a piece of JSON that fits on one line.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::Outcome;
use crate::event::Record;

/// The event of `record` as it is, without line breaks.
///
/// A body that is not JSON can never be sent: only a damaged log holds one.
pub(super) fn event_json(record: &Record) -> Result<Cow<'_, RawValue>, Outcome> {
    let not_json = |error: serde_json::Error| Outcome::Rejected {
        reason: format!("its body is not JSON: {error}"),
    };
    if record.body.contains(&b'\n') {
        // Line breaks stand only between tokens: inside a text JSON writes them as \n.
        let value: serde_json::Value = serde_json::from_slice(&record.body).map_err(not_json)?;
        return serde_json::value::to_raw_value(&value).map(Cow::Owned).map_err(not_json);
    }
    serde_json::from_slice(&record.body).map(Cow::Borrowed).map_err(not_json)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::testing::record;

    #[test]
    fn keeps_the_bytes_of_one_line_and_joins_several() {
        let plain = record("7", r#"{"b": 1,"a":"x"}"#);
        assert_eq!(event_json(&plain).expect("JSON").get(), r#"{"b": 1,"a":"x"}"#);
        let lines = record("7", "{\"b\":1,\n\"a\":\"x\"}");
        assert_eq!(event_json(&lines).expect("JSON").get(), r#"{"b":1,"a":"x"}"#);
    }

    #[test]
    fn refuses_what_is_not_json() {
        assert!(matches!(event_json(&record("7", "{")), Err(Outcome::Rejected { .. })));
    }
}
