//! A record as a row of kube-eventer's table.

use jiff::tz::TimeZone;
use mysql_async::Value;

use super::table::{IDENTITY, Table};
use crate::event::Record;
use crate::event::render::Moment;

/// kube-eventer's columns (`common/mysql/mysql.go`), in its order.
const COLUMNS: [&str; 9] = [
    "namespace",
    "kind",
    "name",
    "type",
    "reason",
    "message",
    "event_id",
    "first_occurrence_time",
    "last_occurrence_time",
];

/// The statement that stores so many rows at once. A record that is there already is left as it is.
pub(super) fn insert(table: &str, rows: usize, with_identity: bool) -> String {
    let mut columns = COLUMNS.to_vec();
    if with_identity {
        columns.push(IDENTITY);
    }
    let row = format!("({})", vec!["?"; columns.len()].join(","));
    let statement =
        format!("INSERT INTO {table} ({}) VALUES {}", columns.join(","), vec![row; rows].join(","));
    if with_identity {
        // IGNORE would turn every other error into a warning, too.
        return format!("{statement} ON DUPLICATE KEY UPDATE {IDENTITY} = {IDENTITY}");
    }
    statement
}

/// The values of a record, in the order of the columns.
pub(super) fn values(record: &Record, cluster: &str, table: &Table, zone: &TimeZone) -> Vec<Value> {
    let event = record.event();
    let first = Moment::new(event.time("/firstTimestamp"), zone).text();
    let last = Moment::new(Some(event.occurred().unwrap_or(record.received_at)), zone).text();
    let texts = [
        event.text("/involvedObject/namespace").to_owned(),
        event.text("/involvedObject/kind").to_owned(),
        event.text("/involvedObject/name").to_owned(),
        event.text("/type").to_owned(),
        event.text("/reason").to_owned(),
        event.text("/message").to_owned(),
        event.text("/metadata/uid").to_owned(),
        first,
        last,
    ];
    let mut values: Vec<_> = COLUMNS
        .iter()
        .zip(texts)
        .map(|(column, text)| Value::from(table.fit(column, text)))
        .collect();
    if table.has_identity() {
        values.push(Value::from(record.id(cluster).to_string()));
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::testing::record;

    #[test]
    fn a_row_has_the_values_of_kube_eventer() {
        let body = r#"{"metadata":{"uid":"u-1","name":"web.17a3","namespace":"shop"},
            "involvedObject":{"kind":"Pod","namespace":"shop","name":"web"},"reason":"BackOff",
            "message":"why","type":"Warning","firstTimestamp":null,
            "lastTimestamp":"2024-05-01T02:00:00Z"}"#;
        let zone = TimeZone::get("Asia/Shanghai").expect("a zone");
        let expected = [
            "shop",
            "Pod",
            "web",
            "Warning",
            "BackOff",
            "why",
            "u-1",
            "0001-01-01 00:00:00 +0000 UTC",
            "2024-05-01 10:00:00 +0800 CST",
        ];
        let values = values(&record("7", body), "prod", &Table::default(), &zone);
        assert_eq!(values, expected.map(Value::from));
    }

    #[test]
    fn the_statement_is_kube_eventers_for_as_many_rows() {
        assert_eq!(
            insert("`kube_event`", 1, false),
            "INSERT INTO `kube_event` (namespace,kind,name,type,reason,message,event_id,\
             first_occurrence_time,last_occurrence_time) VALUES (?,?,?,?,?,?,?,?,?)"
        );
        let twice = insert("`t`", 2, true);
        assert!(twice.ends_with(
            "VALUES (?,?,?,?,?,?,?,?,?,?),(?,?,?,?,?,?,?,?,?,?) \
             ON DUPLICATE KEY UPDATE record_id = record_id"
        ));
    }
}
