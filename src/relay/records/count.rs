//! How many records there are of each reason, kind, namespace, type or day.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::control::ControlError;
use super::super::error::RelayError;
use super::super::offline::at_rest;
use super::query::RecordQuery;
use super::read::Search;
use crate::event::{Record, StreamId};
use crate::log::Stream;
use crate::relay::RelayHandle;

/// Values that are told apart: names of namespaces are as many as somebody makes.
const VALUES_MAX: usize = 10_000;

/// Stands for every value that no longer fits.
const OTHER: &str = "_other";

/// What records are counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CountBy {
    /// `Normal`, `Warning`.
    Type,
    /// Reason of the event.
    Reason,
    /// Kind of the involved object.
    Kind,
    /// Its namespace.
    Namespace,
    /// The day on which the relay received it, in UTC.
    Day,
}

/// Which records to count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CountQuery {
    /// By what.
    pub by: CountBy,
    /// Received then or later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Received before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Of this stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<StreamId>,
}

/// How many records there are of each value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecordCounts {
    /// By what.
    pub by: CountBy,
    /// All of them.
    pub records: u64,
    /// Each value: days in order, others the most frequent first.
    pub counts: Vec<RecordCount>,
}

/// How many records there are of a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecordCount {
    /// The value.
    pub value: String,
    /// How many.
    pub records: u64,
}

impl RelayHandle {
    /// Counts records, which reads them all. Few may do so at a time; it ends with its future.
    pub async fn count_records(&self, query: &CountQuery) -> Result<RecordCounts, ControlError> {
        let turn = self.shared.searching.clone();
        let _turn = turn.try_acquire_owned().map_err(|_| ControlError::Busy)?;
        let streams: Vec<_> = self.shared.all_streams().cloned().collect();
        count(&streams, query).await
    }
}

/// Counts the records of a stopped relay's log. Blocking.
pub fn offline_counts(path: &Path, query: &CountQuery) -> Result<RecordCounts, RelayError> {
    at_rest(path, async |storage, _| {
        Ok(count(&storage.all_streams().cloned().collect::<Vec<_>>(), query).await?)
    })
}

async fn count(streams: &[Stream], query: &CountQuery) -> Result<RecordCounts, ControlError> {
    let CountQuery { by, since, until, stream } = query.clone();
    let which = RecordQuery { since, until, stream, ..RecordQuery::default() };
    let mut search = Search::begin(streams, &which).await?;
    let mut tally = Tally::new(by);
    while let Some(found) = search.next(false).await? {
        found.records.iter().for_each(|record| tally.add(record));
    }
    Ok(tally.end())
}

/// Counts so far.
struct Tally {
    by: CountBy,
    records: u64,
    counts: BTreeMap<String, u64>,
}

impl Tally {
    fn new(by: CountBy) -> Self {
        Self { by, records: 0, counts: BTreeMap::new() }
    }

    fn add(&mut self, record: &Record) {
        let header = &record.header;
        let day;
        let value = match self.by {
            CountBy::Type => &header.event_type,
            CountBy::Reason => &header.reason,
            CountBy::Kind => &header.kind,
            CountBy::Namespace => &header.namespace,
            CountBy::Day => {
                day = record.received_at.strftime("%Y-%m-%d").to_string();
                &day
            }
        };
        self.records += 1;
        if let Some(count) = self.counts.get_mut(value) {
            *count += 1;
            return;
        }
        let fits = self.counts.len() < VALUES_MAX;
        *self.counts.entry(if fits { value.clone() } else { OTHER.to_owned() }).or_default() += 1;
    }

    fn end(self) -> RecordCounts {
        let Self { by, records, counts } = self;
        let counts = counts.into_iter().map(|(value, records)| RecordCount { value, records });
        let mut counts: Vec<_> = counts.collect();
        if by != CountBy::Day {
            counts.sort_by_key(|count| std::cmp::Reverse(count.records));
        }
        RecordCounts { by, records, counts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::runner::fixtures::record;

    #[test]
    fn the_most_frequent_come_first_and_days_in_order() {
        let mut reasons = Tally::new(CountBy::Reason);
        let mut days = Tally::new(CountBy::Day);
        for (reason, time) in [
            ("Pulled", "2026-01-03T00:00:00Z"),
            ("BackOff", "2026-01-02T23:59:59Z"),
            ("Pulled", "2026-01-03T10:00:00Z"),
        ] {
            let mut record = record(1);
            reason.clone_into(&mut record.header.reason);
            record.received_at = time.parse().expect("a time");
            reasons.add(&record);
            days.add(&record);
        }
        let plain = |counts: RecordCounts| {
            assert_eq!(counts.records, 3);
            let counts = counts.counts.into_iter().map(|count| (count.value, count.records));
            counts.collect::<Vec<_>>()
        };
        assert_eq!(plain(reasons.end()), [("Pulled".to_owned(), 2), ("BackOff".to_owned(), 1)]);
        let days = plain(days.end());
        assert_eq!(days, [("2026-01-02".to_owned(), 1), ("2026-01-03".to_owned(), 2)]);
    }

    #[test]
    fn values_are_bounded() {
        let mut tally = Tally::new(CountBy::Namespace);
        for number in 0..VALUES_MAX + 7 {
            let mut record = record(1);
            record.header.namespace = format!("n{number}");
            tally.add(&record);
        }
        let counts = tally.end();
        assert_eq!((counts.records, counts.counts.len()), (10_007, 10_001));
        assert_eq!((counts.counts[0].value.as_str(), counts.counts[0].records), (OTHER, 7));
    }
}
