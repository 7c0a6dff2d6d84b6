//! The `mysql` sink beside bare inserts of many rows with the same client, into a table of the same form.
//!
//! `cargo bench --bench mysql`. The sink makes the values of the events itself; those of the client are ready.

#![allow(clippy::expect_used)]

mod comparison;

use std::process::ExitCode;
use std::time::Instant;

use kube_event_relay::event::Record;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, Params, Value};
use rig::MariaDb;
use serde_json::json;

const COLUMNS: [&str; 10] = [
    "namespace",
    "kind",
    "name",
    "type",
    "reason",
    "message",
    "event_id",
    "first_occurrence_time",
    "last_occurrence_time",
    "record_id",
];

#[tokio::main]
async fn main() -> ExitCode {
    let server = MariaDb::start().await;
    let (user, password) = MariaDb::USER;
    let dsn = format!("{user}:{password}@tcp({})/relay", server.address());
    // The sink makes a table of its own form.
    let mut maker = comparison::sink("mysql", &json!({"dsn": dsn, "table": "bare"}));
    comparison::deliver(maker.as_mut(), &comparison::Supply::default().take(1)).await;
    let url = format!("mysql://{user}:{password}@{}/relay?prefer_socket=false", server.address());
    let opts = Opts::from_url(&url).expect("a URL");
    let mut connection = Conn::new(opts).await.expect("a connection");
    connection.query_drop("TRUNCATE TABLE bare").await.expect("empty");
    let bare = async |batch: &[Record]| {
        let statement = statement(batch.len());
        let values = batch.iter().flat_map(values).map(Value::from).collect();
        let begun = Instant::now();
        connection.exec_drop(statement, Params::Positional(values)).await.expect("stored");
        begun.elapsed()
    };
    comparison::compare("mysql", comparison::sink("mysql", &json!({"dsn": dsn})), bare).await
}

fn statement(rows: usize) -> String {
    let row = format!("({})", ["?"; COLUMNS.len()].join(","));
    format!(
        "INSERT INTO bare ({}) VALUES {} ON DUPLICATE KEY UPDATE record_id = record_id",
        COLUMNS.join(","),
        vec![row; rows].join(",")
    )
}

fn values(record: &Record) -> [String; COLUMNS.len()] {
    let event = record.event();
    let text = |pointer| event.text(pointer).to_owned();
    let time =
        |pointer| event.time(pointer).expect("a time").strftime("%F %T +0000 UTC").to_string();
    [
        text("/involvedObject/namespace"),
        text("/involvedObject/kind"),
        text("/involvedObject/name"),
        text("/type"),
        text("/reason"),
        text("/message"),
        text("/metadata/uid"),
        time("/firstTimestamp"),
        time("/lastTimestamp"),
        record.id(comparison::CLUSTER).to_string(),
    ]
}
