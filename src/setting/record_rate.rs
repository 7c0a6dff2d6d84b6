//! How many records may pass in a time, as people write it: `20/s`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use super::Span;

/// So many records in a time: `20/s`, `100/m`, `5/10s`. At least one record, in a millisecond to a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RecordRate {
    records: u32,
    per: Span,
}

/// The text is not a rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a rate: write a number of records and a time, such as 20/s, 100/m or 5/10s")]
pub struct InvalidRecordRate(pub String);

/// Shorter times are stored as none.
const SHORTEST: Duration = Duration::from_millis(1);

/// Whoever wants less than a record a day does not want it.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

impl JsonSchema for RecordRate {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "RecordRate".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        String::json_schema(generator)
    }
}

impl RecordRate {
    /// So many records in so many seconds, both at least 1.
    #[must_use]
    pub const fn per_seconds(records: u32, seconds: u64) -> Self {
        let records = if records == 0 { 1 } else { records };
        let seconds = if seconds == 0 { 1 } else { seconds };
        Self { records, per: Span::from_secs(seconds) }
    }

    /// A rate of so many records in a time; `None` when there are none, or the time is none or above a day.
    #[must_use]
    pub fn new(records: u32, per: Duration) -> Option<Self> {
        (records > 0 && (SHORTEST..=LONGEST).contains(&per))
            .then_some(Self { records, per: Span(per) })
    }

    /// How many records.
    #[must_use]
    pub fn records(self) -> u32 {
        self.records
    }

    /// In which time.
    #[must_use]
    pub fn per(self) -> Duration {
        self.per.0
    }

    /// The time between two records.
    #[must_use]
    pub fn interval(self) -> Duration {
        self.per.0 / self.records
    }

    /// How long so many records take.
    #[must_use]
    pub fn duration_of(self, records: u64) -> Duration {
        let seconds = self.per.0.as_secs_f64() / f64::from(self.records);
        // Rounded, as it is for people to read; what is too long for a duration has no end for them.
        #[allow(clippy::cast_precision_loss)]
        Duration::try_from_secs_f64(seconds * records as f64).unwrap_or(Duration::MAX)
    }
}

impl FromStr for RecordRate {
    type Err = InvalidRecordRate;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = || {
            let (records, per) = text.split_once('/')?;
            let per: Span = match per {
                "s" | "m" | "h" => format!("1{per}").parse().ok()?,
                per => per.parse().ok()?,
            };
            Self::new(records.trim().parse().ok()?, per.0)
        };
        read().ok_or_else(|| InvalidRecordRate(text.to_owned()))
    }
}

impl TryFrom<String> for RecordRate {
    type Error = InvalidRecordRate;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<RecordRate> for String {
    fn from(rate: RecordRate) -> Self {
        rate.to_string()
    }
}

impl fmt::Display for RecordRate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per = self.per.to_string();
        // `20/s` rather than `20/1s`.
        let unit = per.strip_prefix('1').filter(|unit| matches!(*unit, "s" | "m" | "h"));
        write!(formatter, "{}/{}", self.records, unit.unwrap_or(&per))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_read_back_as_they_are_written() {
        for text in ["20/s", "100/m", "1/h", "5/10s", "7/250ms"] {
            let rate: RecordRate = text.parse().expect(text);
            assert_eq!(rate.to_string(), text);
        }
        let rate: RecordRate = "30/1m".parse().expect("a rate");
        assert_eq!((rate.to_string().as_str(), rate.interval()), ("30/m", Duration::from_secs(2)));
        assert_eq!(rate.duration_of(90), Duration::from_secs(180));
    }

    #[test]
    fn what_is_no_rate_is_refused() {
        for text in
            ["", "20", "0/s", "-1/s", "20/", "20/0", "20/1ns", "x/s", "1/25h", "20/fortnight"]
        {
            let error = text.parse::<RecordRate>().expect_err(text);
            assert!(error.to_string().contains("such as 20/s"), "{error}");
        }
    }
}
