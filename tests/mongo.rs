//! The `mongo` sink and a real `MongoDB`: every record is one document, whatever happens to the server.

#![allow(clippy::expect_used)] // a test fails where an expectation is not met

mod fakes;
mod harness;

use std::path::Path;
use std::time::{Duration, Instant};

use fakes::records::{record, records};
use futures::TryStreamExt;
use harness::{Setup, all_done, status_when};
use kube_event_relay::event::Record;
use kube_event_relay::relay::Status;
use kube_event_relay::setting::EventerUri;
use kube_event_relay::sink::{Delivery, Outcome, Sink, SinkContext, http_client, registry};
use mongodb::Collection;
use mongodb::bson::{Bson, DateTime, Document, doc};
use rig::{Cluster, EventSpec, MongoDb, MongoTopology};
use serde_json::{Value, json};

/// A new sink for the default collection of a database of its own.
fn sink(server: &MongoDb, database: &str) -> Box<dyn Sink> {
    let (user, password) = MongoDb::USER;
    build(&json!({"uri": server.uri(user, password), "database": database}))
}

fn build(options: &Value) -> Box<dyn Sink> {
    let http = http_client().expect("CA certificates of the system");
    let context = SinkContext { cluster: "test".into(), http, config_maps: None };
    let kind = registry::find("mongo").expect("a kind");
    (kind.build)(options.as_object().expect("an object"), &context).expect("a sink")
}

fn collection(server: &MongoDb, database: &str) -> Collection<Document> {
    server.client().database(database).collection("event")
}

async fn count(server: &MongoDb, database: &str) -> u64 {
    let collection = collection(server, database);
    collection.count_documents(doc! {}).await.expect("a count")
}

async fn accept(sink: &mut dyn Sink, batch: &[Record]) {
    assert_eq!(sink.deliver(batch).await, Delivery::Whole(Outcome::Accepted));
}

/// Tries until the server takes it, as the relay does.
async fn accept_at_last(sink: &mut dyn Sink, batch: &[Record]) -> u32 {
    let mut failures = 0;
    loop {
        match sink.deliver(batch).await {
            Delivery::Whole(Outcome::Accepted) => return failures,
            Delivery::Whole(Outcome::Retry { .. }) => failures += 1,
            other => panic!("{other:?}"),
        }
        tokio::task::yield_now().await;
    }
}

/// What holds the sink, and says nothing that nobody may see.
async fn held(sink: &mut dyn Sink) -> String {
    match sink.deliver(&records(2)).await {
        Delivery::Whole(Outcome::Hold { cause }) => {
            assert!(!cause.contains("-word"), "{cause}");
            cause
        }
        other => panic!("no hold: {other:?}"),
    }
}

async fn retried(sink: &mut dyn Sink) -> String {
    match sink.deliver(&records(2)).await {
        Delivery::Whole(Outcome::Retry { cause, .. }) => cause,
        other => panic!("no retry: {other:?}"),
    }
}

/// One record of 500 was refused; the server's reply.
fn one_refused(delivery: Delivery, place: usize) -> String {
    let Delivery::Each(mut outcomes) = delivery else { panic!("{delivery:?}") };
    assert_eq!(outcomes.len(), 500);
    let Outcome::Rejected { reason } = outcomes.remove(place) else { panic!("{outcomes:?}") };
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Accepted), "{outcomes:?}");
    reason
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_in_the_middle_has_every_record_once() {
    const RECORDS: u64 = 5_000;
    let mut server = MongoDb::start(MongoTopology::ReplicaSet).await;
    let all = records(RECORDS);
    let mut sink = sink(&server, "storm");
    let begun = Instant::now();
    let mut failures = 0;
    for (number, batch) in all.chunks(500).enumerate() {
        if number == 5 {
            // Somewhere between the request and its answer, or before it.
            let (delivery, ()) = tokio::join!(sink.deliver(batch), server.kill());
            println!("while it was killed: {delivery:?}");
            let cause = retried(sink.as_mut()).await;
            assert!(!cause.contains(MongoDb::USER.1), "{cause}");
            server.start_again().await;
        }
        failures += accept_at_last(sink.as_mut(), batch).await;
    }
    println!(
        "{RECORDS} documents with a kill in {:.1?}, {failures} more failures",
        begun.elapsed()
    );
    assert_eq!(count(&server, "storm").await, RECORDS);
    let distinct = collection(&server, "storm").distinct("message", doc! {}).await;
    assert_eq!(distinct.expect("messages").len(), 5_000);
    // What was acknowledged survives another kill, and comes to nothing when it is sent again.
    server.kill().await;
    server.start_again().await;
    for batch in all.chunks(700) {
        accept_at_last(sink.as_mut(), batch).await;
    }
    assert_eq!(count(&server, "storm").await, RECORDS);
}

/// One server for all of it: starting one takes longer than what is asked of it.
#[tokio::test(flavor = "multi_thread")]
async fn documents_arrive_once_in_a_real_mongodb() {
    let server = MongoDb::start(MongoTopology::ReplicaSet).await;
    a_document_has_kube_eventers_fields_and_an_identity(&server).await;
    a_record_that_another_index_refuses_stops_no_other(&server).await;
    a_record_that_a_validator_refuses_stops_no_other(&server).await;
    a_wrong_credential_holds_until_it_is_right(&server).await;
    a_user_without_the_right_holds_until_it_has_it(&server).await;
    every_answer_has_its_class(&server).await;
    a_write_without_a_majority_is_not_accepted(&server).await;
    the_write_concern_is_ours_whatever_the_uri_says(&server).await;
}

async fn a_document_has_kube_eventers_fields_and_an_identity(server: &MongoDb) {
    let (user, password) = MongoDb::USER;
    let uri = format!("mongo:?{}", server.uri(user, password));
    let uri = EventerUri::parse(&uri, &|_| None).expect("a valid URI");
    let (config, warnings) = registry::translate(&uri).expect("a valid sink");
    assert!(warnings.is_empty(), "{warnings:?}");
    let mut sink = build(&Value::Object(config.options));
    let batch = [record(1, "sagt \"nein\" 🤒\0"), record(2, "two")];
    for _ in 0..2 {
        accept(sink.as_mut(), &batch).await;
    }
    accept(sink.as_mut(), &batch[1..]).await;
    // kube-eventer's database and collection.
    let documents = collection(server, "k8s").find(doc! {}).sort(doc! {"message": 1}).await;
    let documents: Vec<_> = documents.expect("a cursor").try_collect().await.expect("documents");
    let expected = |record: &Record, message: &str| {
        doc! {
            "_id": record.id("test").to_string(), "count": 3, "namespace": "shop", "kind": "Pod",
            "name": "web", "type": "Warning", "reason": "BackOff", "message": message,
            "event_id": "u-1",
            "last_occurrence_time": DateTime::parse_rfc3339_str("2024-05-01T02:00:00Z").expect("a time"),
        }
    };
    let all = [expected(&batch[0], "sagt \"nein\" 🤒\0"), expected(&batch[1], "two")];
    assert_eq!(documents, all);
    assert!(documents[0].keys().eq(all[0].keys()), "{documents:?}");
    assert!(matches!(documents[0]["count"], Bson::Int32(3)));
}

async fn a_record_that_another_index_refuses_stops_no_other(server: &MongoDb) {
    let collection = collection(server, "indexed");
    let index = doc! {"key": {"message": 1}, "name": "operators_own", "unique": true};
    let create = doc! {"createIndexes": "event", "indexes": [index]};
    server.client().database("indexed").run_command(create).await.expect("an index");
    collection.insert_one(doc! {"message": "message 250"}).await.expect("stored");
    let mut sink = sink(server, "indexed");
    let batch = records(500);
    let reason = one_refused(sink.deliver(&batch).await, 249);
    assert!(reason.contains("E11000") && reason.contains("operators_own"), "{reason}");
    assert_eq!(count(server, "indexed").await, 500, "499 and that of the operator");
    // Again it is the same, although now all the others are there already.
    one_refused(sink.deliver(&batch).await, 249);
    collection.drop_index("operators_own").await.expect("dropped");
    accept(sink.as_mut(), &batch[249..250]).await;
    accept(sink.as_mut(), &batch).await;
    assert_eq!(count(server, "indexed").await, 501);
}

async fn a_record_that_a_validator_refuses_stops_no_other(server: &MongoDb) {
    let database = server.client().database("choosy");
    let validator = doc! {"message": {"$ne": "message 250"}};
    database.create_collection("event").validator(validator).await.expect("a collection");
    let mut sink = sink(server, "choosy");
    let batch = records(500);
    let reason = one_refused(sink.deliver(&batch).await, 249);
    assert!(reason.contains("121") && reason.contains("$ne"), "{reason}");
    assert_eq!(count(server, "choosy").await, 499);
    database.run_command(doc! {"collMod": "event", "validator": {}}).await.expect("changed");
    accept(sink.as_mut(), &batch).await;
    assert_eq!(count(server, "choosy").await, 500);
}

async fn a_wrong_credential_holds_until_it_is_right(server: &MongoDb) {
    let folder = tempfile::tempdir().expect("a folder");
    let secret = folder.path().join("uri");
    std::fs::write(&secret, server.uri("writer", "old-word")).expect("written");
    let mut sink = build(&json!({"uri": {"file": secret}, "database": "closed"}));
    let cause = held(sink.as_mut()).await;
    assert!(cause.contains("check user, password and authSource"), "{cause}");
    let create =
        doc! {"createUser": "writer", "pwd": "new-word", "roles": ["readWriteAnyDatabase"]};
    server.admin(create).await;
    held(sink.as_mut()).await;
    // Mended in the file, and then at the server.
    std::fs::write(&secret, server.uri("writer", "new-word") + "\n").expect("written");
    accept(sink.as_mut(), &records(2)).await;
    std::fs::write(&secret, server.uri("writer", "newest-word")).expect("written");
    held(sink.as_mut()).await;
    server.admin(doc! {"updateUser": "writer", "pwd": "newest-word"}).await;
    accept(sink.as_mut(), &records(3)).await;
    assert_eq!(count(server, "closed").await, 3);
    let nobody = json!({"uri": format!("mongodb://{}/", server.address())});
    let cause = held(build(&nobody).as_mut()).await;
    assert!(cause.contains("allow the user to insert"), "{cause}");
}

async fn a_user_without_the_right_holds_until_it_has_it(server: &MongoDb) {
    server
        .admin(doc! {"createUser": "guest", "pwd": "guest-word", "roles": ["readAnyDatabase"]})
        .await;
    let options = json!({"uri": server.uri("guest", "guest-word"), "database": "guarded"});
    let mut sink = build(&options);
    let cause = held(sink.as_mut()).await;
    assert!(cause.contains("readWrite") && cause.contains("not authorized"), "{cause}");
    let role = doc! {"role": "readWrite", "db": "guarded"};
    server.admin(doc! {"grantRolesToUser": "guest", "roles": [role]}).await;
    accept(sink.as_mut(), &records(2)).await;
    let view = doc! {"create": "view", "viewOn": "event", "pipeline": []};
    server.client().database("guarded").run_command(view).await.expect("a view");
    let (user, password) = MongoDb::USER;
    let options =
        json!({"uri": server.uri(user, password), "database": "guarded", "collection": "view"});
    let cause = held(build(&options).as_mut()).await;
    assert!(cause.contains("`database` and `collection`"), "{cause}");
}

/// Makes the next insert of the relay fail.
async fn fail_next(server: &MongoDb, how: Document) {
    let mut data = doc! {"failCommands": ["insert"], "appName": "kube-event-relay"};
    data.extend(how);
    server
        .admin(doc! {"configureFailPoint": "failCommand", "mode": {"times": 1}, "data": data})
        .await;
}

async fn every_answer_has_its_class(server: &MongoDb) {
    let mut sink = sink(server, "classes");
    let transient =
        [6, 7, 24, 50, 89, 91, 112, 189, 262, 9001, 10107, 11600, 11602, 13435, 13436, 14031];
    for code in transient {
        fail_next(server, doc! {"errorCode": code}).await;
        let cause = retried(sink.as_mut()).await;
        let begun = Instant::now();
        accept_at_last(sink.as_mut(), &records(2)).await;
        println!("{cause}; accepted after {:.1?}", begun.elapsed());
    }
    for code in [2, 9, 13, 18, 20, 26, 59, 72, 73, 166, 8000] {
        fail_next(server, doc! {"errorCode": code}).await;
        let cause = held(sink.as_mut()).await;
        assert!(cause.contains(&format!("Error code {code}")), "{cause}");
        accept(sink.as_mut(), &records(2)).await;
    }
    for code in [52, 10334, 17280] {
        fail_next(server, doc! {"errorCode": code}).await;
        let delivery = sink.deliver(&records(2)).await;
        assert!(
            matches!(delivery, Delivery::Whole(Outcome::Rejected { .. })),
            "{code}: {delivery:?}"
        );
    }
    fail_next(server, doc! {"closeConnection": true}).await;
    retried(sink.as_mut()).await;
    accept(sink.as_mut(), &records(2)).await;
    assert_eq!(count(server, "classes").await, 2);
}

async fn a_write_without_a_majority_is_not_accepted(server: &MongoDb) {
    let mut sink = sink(server, "unsure");
    for code in [64, 79, 100] {
        let error = doc! {"code": code, "errmsg": "waiting for replication timed out"};
        fail_next(server, doc! {"writeConcernError": error}).await;
        let cause = retried(sink.as_mut()).await;
        assert!(cause.contains("not confirmed") && cause.contains("waiting for"), "{cause}");
        assert_eq!(count(server, "unsure").await, 2, "it was written all the same");
        accept_at_last(sink.as_mut(), &records(2)).await;
    }
    assert_eq!(count(server, "unsure").await, 2);
}

/// A standalone server refuses what drivers do for their own second attempt (code 20).
#[tokio::test(flavor = "multi_thread")]
async fn a_standalone_server_takes_writes_although_the_uri_wants_retries() {
    let server = MongoDb::start(MongoTopology::Standalone).await;
    the_write_concern_is_ours_whatever_the_uri_says(&server).await;
}

async fn the_write_concern_is_ours_whatever_the_uri_says(server: &MongoDb) {
    let database = server.client().database("watched");
    database.run_command(doc! {"profile": 2}).await.expect("every command is noted");
    let (user, password) = MongoDb::USER;
    let uri = server.uri(user, password) + "&retryWrites=true&w=0&journal=false&maxPoolSize=100";
    let mut sink = build(&json!({"uri": uri, "database": "watched"}));
    // Few, or what was noted is cut off.
    accept(sink.as_mut(), &records(2)).await;
    let profile: Collection<Document> = database.collection("system.profile");
    let noted = profile.find_one(doc! {"op": "insert"}).await;
    let noted = noted.expect("an answer").expect("an insert");
    let command = noted.get_document("command").expect("a command");
    let expected = doc! {"w": "majority", "j": true, "wtimeout": 10_000};
    assert_eq!(command.get_document("writeConcern").expect("a write concern"), &expected);
    assert!(!command.contains_key("txnNumber"), "a number is for the driver's own retries");
    assert_eq!(count(server, "watched").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_for_servers_that_the_ca_knows() {
    let folder = tempfile::tempdir().expect("a folder");
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls");
    let read = |name: &str| std::fs::read_to_string(fixtures.join(name)).expect("a fixture");
    let certificate = folder.path().join("server.pem");
    std::fs::write(&certificate, read("server.pem") + &read("server.key")).expect("written");
    let topology = MongoTopology::Tls { certificate, ca: fixtures.join("ca.pem") };
    let server = MongoDb::start(topology).await;
    let (user, password) = MongoDb::USER;
    let plain = server.uri(user, password) + "&serverSelectionTimeoutMS=500";
    let with_tls = format!("{plain}&tls=true");
    let ca = folder.path().join("ca.pem");
    let own = json!({"uri": with_tls, "ca": ca});
    for options in [json!({"uri": plain}), json!({"uri": with_tls})] {
        retried(build(&options).as_mut()).await;
    }
    let mut sink = build(&own);
    assert!(held(sink.as_mut()).await.starts_with("ca: cannot read"));
    // Another CA has not signed its certificate; the file is read again when it changes.
    std::fs::write(&ca, read("server.pem")).expect("written");
    assert!(retried(sink.as_mut()).await.contains("certificate"));
    std::fs::write(&ca, read("ca.pem")).expect("written");
    accept(sink.as_mut(), &records(2)).await;
    accept(build(&json!({"uri": plain, "ca": ca})).as_mut(), &records(3)).await;
    let in_uri = format!("{with_tls}&tlsCAFile={}", ca.display());
    accept(build(&json!({"uri": in_uri})).as_mut(), &records(4)).await;
    assert_eq!(count(&server, "k8s").await, 4);
}

const EVENTS: usize = 600;

/// 600 events while the server is killed in the middle, and then the relay: one document each.
#[tokio::test(flavor = "multi_thread")]
async fn a_relay_and_a_server_that_are_killed_store_every_event_once() {
    let (cluster, server) =
        tokio::join!(Cluster::start(), MongoDb::start(MongoTopology::ReplicaSet));
    let mut server = server;
    let (user, password) = MongoDb::USER;
    let sink = format!(
        "{{name: archive, kind: mongodb, options: {{uri: \"{}\"}}, batch: {{maxRecords: 20, maxWait: 0s}}, \
         retry: {{initial: 100ms, max: 1s, timeout: 5s}}}}",
        server.uri(user, password)
    );
    let setup = Setup::new(cluster.folder(), cluster.kubeconfig_path()).sink(&sink);
    let mut relay = setup.relay().start();
    for part in 0..3 {
        if part == 1 {
            server.kill().await;
        }
        create(&cluster, part * EVENTS / 3..(part + 1) * EVENTS / 3).await;
        if part == 1 {
            let held_up = |status: &Status| status.sinks[0].lag_records > 0;
            status_when(&relay, held_up).await;
            server.start_again().await;
        }
        if part == 2 {
            relay.kill().await;
            let printed = format!("{:?}", relay.lines());
            assert!(!printed.contains(password), "{printed}");
            relay = setup.relay().start();
        }
    }
    status_when(&relay, |status| all_done(status, EVENTS)).await;
    assert_eq!(count(&server, "k8s").await, EVENTS as u64);
    let distinct = collection(&server, "k8s").distinct("message", doc! {}).await;
    assert_eq!(distinct.expect("messages").len(), EVENTS);

    // A relay that has forgotten everything delivers all of it again.
    assert!(relay.terminate().await.success());
    std::fs::remove_dir_all(setup.data()).expect("the data directory");
    let relay = setup.relay().start();
    status_when(&relay, |status| all_done(status, EVENTS)).await;
    assert_eq!(count(&server, "k8s").await, EVENTS as u64);
    assert!(relay.terminate().await.success());
}

/// Creates the events with these numbers, ten at a time.
async fn create(cluster: &Cluster, numbers: std::ops::Range<usize>) {
    for ten in numbers.collect::<Vec<_>>().chunks(10) {
        let create = |number: &usize| {
            let spec = EventSpec {
                message: format!("message {number}"),
                ..EventSpec::new(&format!("storm-{number}"))
            };
            let client = cluster.client();
            async move { client.create_event("default", &spec).await }
        };
        futures::future::join_all(ten.iter().map(create)).await;
    }
}

#[tokio::test]
async fn a_server_that_is_away_is_waited_for_and_not_for_long() {
    let port = rig::ReservedPort::new();
    let uri = format!("mongodb://u:s3cret-word@{}/?serverSelectionTimeoutMS=0", port.address());
    let mut sink = build(&json!({"uri": uri}));
    // Below the 30 s of the runner, or its cause would never be seen.
    let delivery = tokio::time::timeout(Duration::from_secs(25), sink.deliver(&records(1))).await;
    let Ok(Delivery::Whole(Outcome::Retry { cause, .. })) = delivery else {
        panic!("{delivery:?}")
    };
    assert!(cause.contains("Server selection timeout") && !cause.contains("-word"), "{cause}");
}
