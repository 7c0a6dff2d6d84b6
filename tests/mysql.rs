//! The `mysql` sink against a real MariaDB: what it stores, how often, and what it does when it cannot.

#![allow(clippy::expect_used)] // a test fails where an expectation is not met

mod fakes;

use std::time::{Duration, Instant};

use fakes::mariadb;
use fakes::records::{record, records};
use kube_event_relay::event::Record;
use kube_event_relay::sink::{Delivery, Outcome, Sink, SinkContext, http_client, registry};
use mysql_async::prelude::FromRow;
use rig::MariaDb;
use serde_json::{Value, json};

struct Bench {
    server: MariaDb,
}

impl Bench {
    fn dsn(&self, password: &str, database: &str) -> String {
        format!("{}:{password}@tcp({})/{database}", MariaDb::USER.0, self.server.address())
    }

    fn sink(&self, table: &str) -> Box<dyn Sink> {
        sink(&self.dsn(MariaDb::USER.1, "relay"), table)
    }

    async fn run(&self, statement: &str) {
        mariadb::run(&self.server, statement).await;
    }

    async fn rows<T: FromRow + Send + 'static>(&self, query: &str) -> Vec<T> {
        mariadb::rows(&self.server, query).await
    }

    async fn count(&self, table: &str) -> u64 {
        self.rows::<u64>(&format!("SELECT COUNT(*) FROM {table}")).await[0]
    }
}

fn sink(dsn: &str, table: &str) -> Box<dyn Sink> {
    let http = http_client().expect("CA certificates of the system");
    let context = SinkContext { cluster: "test".into(), http, config_maps: None };
    let Value::Object(options) = json!({"dsn": dsn, "table": table}) else { panic!("an object") };
    (registry::find("mysql").expect("a kind").build)(&options, &context).expect("a sink")
}

async fn deliver(sink: &mut dyn Sink, batch: &[Record]) -> Outcome {
    match sink.deliver(batch).await {
        Delivery::Whole(outcome) => outcome,
        other => panic!("{other:?}"),
    }
}

/// Tries until the server takes it, as the relay does.
async fn deliver_at_last(sink: &mut dyn Sink, batch: &[Record]) -> u32 {
    let mut failures = 0;
    loop {
        match deliver(sink, batch).await {
            Outcome::Accepted => return failures,
            Outcome::Retry { .. } => failures += 1,
            other => panic!("{other:?}"),
        }
        tokio::task::yield_now().await;
    }
}

/// One server for all of it: starting one takes longer than what is asked of it.
#[tokio::test(flavor = "multi_thread")]
async fn rows_arrive_once_in_a_real_mariadb() {
    let mut bench = Bench { server: MariaDb::start().await };
    a_table_is_made_and_a_record_stored_once(&bench).await;
    a_table_of_kube_eventer_is_taken_as_it_is(&bench).await;
    one_record_that_is_refused_refuses_its_batch_and_no_other(&bench).await;
    what_an_operator_must_solve_holds(&bench).await;
    a_server_that_is_killed_in_the_middle_has_every_record_once(&mut bench).await;
}

/// The columns that kube-eventer fills, but for the times.
type Row = (String, String, String, String, String, String, String);

async fn a_table_is_made_and_a_record_stored_once(bench: &Bench) {
    let mut sink = bench.sink("kube_event");
    let batch = [record(1, "sagt \"nein\" 🤒"), record(2, "two")];
    for _ in 0..2 {
        assert_eq!(deliver(sink.as_mut(), &batch).await, Outcome::Accepted);
    }
    let rows: Vec<Row> = bench
        .rows("SELECT namespace, kind, name, type, reason, message, event_id FROM kube_event ORDER BY id")
        .await;
    let expected = |message: &str| {
        ["shop", "Pod", "web", "Warning", "BackOff", message, "u-1"].map(str::to_owned).into()
    };
    assert_eq!(rows, [expected("sagt \"nein\" 🤒"), expected("two")]);
}

async fn a_table_of_kube_eventer_is_taken_as_it_is(bench: &Bench) {
    let columns: Vec<_> = [
        "namespace",
        "kind",
        "name",
        "type",
        "reason",
        "message",
        "event_id",
        "first_occurrence_time",
        "last_occurrence_time",
    ]
    .map(|column| format!("{column} VARCHAR(255) NOT NULL DEFAULT ''"))
    .into();
    let statement = format!(
        "CREATE TABLE old_event (id BIGINT PRIMARY KEY AUTO_INCREMENT, {}, \
         update_time TIMESTAMP DEFAULT CURRENT_TIMESTAMP) DEFAULT CHARSET = utf8mb3",
        columns.join(", ")
    );
    bench.run(&statement).await;
    let mut sink = bench.sink("old_event");
    let batch = [record(1, &format!("🤒{}", "é".repeat(400)))];
    for _ in 0..2 {
        assert_eq!(deliver(sink.as_mut(), &batch).await, Outcome::Accepted);
    }
    let messages: Vec<String> = bench.rows("SELECT message FROM old_event").await;
    assert_eq!(messages.len(), 2, "it has no room for the identity of a record");
    assert_eq!(messages[0], format!("\u{fffd}{}…", "é".repeat(253)));
}

async fn one_record_that_is_refused_refuses_its_batch_and_no_other(bench: &Bench) {
    assert_eq!(
        deliver(bench.sink("choosy").as_mut(), &[record(1, "first")]).await,
        Outcome::Accepted
    );
    bench.run("ALTER TABLE choosy ADD CHECK (message <> 'message 250')").await;
    let mut sink = bench.sink("choosy");
    let batch = records(500);
    let refused = deliver(sink.as_mut(), &batch).await;
    assert!(
        matches!(&refused, Outcome::Rejected { reason } if reason.contains("CONSTRAINT")),
        "{refused:?}"
    );
    assert_eq!(bench.count("choosy").await, 1, "a batch is stored as a whole or not at all");
    assert_eq!(deliver(sink.as_mut(), &batch[..249]).await, Outcome::Accepted);
    assert!(matches!(deliver(sink.as_mut(), &batch[249..250]).await, Outcome::Rejected { .. }));
    assert_eq!(deliver(sink.as_mut(), &batch[250..]).await, Outcome::Accepted);
    // The first of them was there already.
    assert_eq!(bench.count("choosy").await, 499);
    bench.run("ALTER TABLE choosy DROP CONSTRAINT CONSTRAINT_1").await;
    assert_eq!(deliver(sink.as_mut(), &batch[249..250]).await, Outcome::Accepted);
}

async fn what_an_operator_must_solve_holds(bench: &Bench) {
    let held = |outcome: Outcome, part: &str| match outcome {
        Outcome::Hold { cause } => {
            assert!(cause.contains(part), "{part}: {cause}");
            assert!(!cause.contains(MariaDb::USER.1), "{cause}");
        }
        other => panic!("{part}: {other:?}"),
    };
    let batch = records(1);
    let mut wrong = sink(&bench.dsn("wrong-word", "relay"), "kube_event");
    held(deliver(wrong.as_mut(), &batch).await, "check user and password");
    let mut nowhere = sink(&bench.dsn(MariaDb::USER.1, "later"), "kube_event");
    held(deliver(nowhere.as_mut(), &batch).await, "create the database");
    bench.run("CREATE DATABASE later").await;
    assert_eq!(deliver(nowhere.as_mut(), &batch).await, Outcome::Accepted, "it goes on by itself");
    bench.run("CREATE USER guest IDENTIFIED BY 'guest-word'").await;
    bench.run("GRANT SELECT ON relay.* TO guest").await;
    let dsn = format!("guest:guest-word@tcp({})/relay", bench.server.address());
    held(deliver(sink(&dsn, "guests").as_mut(), &batch).await, "allow the user to INSERT");
    bench.run("CREATE TABLE strange (a INT)").await;
    held(deliver(bench.sink("strange").as_mut(), &batch).await, "not that of kube-eventer");
    bench.run("DROP TABLE strange").await;
}

async fn a_server_that_is_killed_in_the_middle_has_every_record_once(bench: &mut Bench) {
    const RECORDS: u64 = 5_000;
    let all = records(RECORDS);
    let mut sink = bench.sink("storm");
    let begun = Instant::now();
    let mut failures = 0;
    for (number, batch) in all.chunks(500).enumerate() {
        if number == 5 {
            bench.server.kill().await;
            let outcome = deliver(sink.as_mut(), batch).await;
            assert!(matches!(outcome, Outcome::Retry { .. }), "{outcome:?}");
            bench.server.start_again().await;
        }
        failures += deliver_at_last(sink.as_mut(), batch).await;
    }
    let took: Duration = begun.elapsed();
    assert_eq!(bench.count("storm").await, RECORDS);
    let distinct: Vec<u64> = bench.rows("SELECT COUNT(DISTINCT message) FROM storm").await;
    assert_eq!(distinct, [RECORDS]);
    let ordered: Vec<String> = bench.rows("SELECT message FROM storm ORDER BY id LIMIT 3").await;
    assert_eq!(ordered, ["message 1", "message 2", "message 3"]);
    println!("{RECORDS} rows with a kill in {took:.1?}, {failures} further failures");
}
