//! The `mongo` sink beside a bare `insertMany` of the driver, with the same documents and the same write concern.
//!
//! `cargo bench --bench mongo`. The sink makes the documents of the events itself; those of the driver are ready.

#![allow(clippy::expect_used)]

mod comparison;

use std::process::ExitCode;
use std::time::Instant;

use kube_event_relay::event::Record;
use mongodb::bson::{DateTime, Document, doc};
use mongodb::options::{Acknowledgment, WriteConcern};
use rig::{MongoDb, MongoTopology};
use serde_json::json;

#[tokio::main]
async fn main() -> ExitCode {
    let server = MongoDb::start(MongoTopology::ReplicaSet).await;
    let (user, password) = MongoDb::USER;
    let sink = json!({"uri": server.uri(user, password), "collection": "sink"});
    let concern = WriteConcern::builder().w(Acknowledgment::Majority).journal(true).build();
    let collection = server.client().database("k8s").collection::<Document>("bare");
    let bare = async |batch: &[Record]| {
        let documents: Vec<_> = batch.iter().map(document).collect();
        let begun = Instant::now();
        let insert =
            collection.insert_many(documents).ordered(false).write_concern(concern.clone());
        insert.await.expect("stored");
        begun.elapsed()
    };
    comparison::compare("mongo", comparison::sink("mongo", &sink), bare).await
}

fn document(record: &Record) -> Document {
    let event = record.event();
    let time =
        |pointer| DateTime::from_millis(event.time(pointer).expect("a time").as_millisecond());
    doc! {
        "_id": record.id(comparison::CLUSTER).to_string(),
        "count": i32::try_from(event.count()).expect("a small count"),
        "namespace": event.text("/involvedObject/namespace"),
        "kind": event.text("/involvedObject/kind"),
        "name": event.text("/involvedObject/name"),
        "type": event.text("/type"),
        "reason": event.text("/reason"),
        "message": event.text("/message"),
        "event_id": event.text("/metadata/uid"),
        "first_occurrence_time": time("/firstTimestamp"),
        "last_occurrence_time": time("/lastTimestamp"),
    }
}
