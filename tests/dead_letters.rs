//! Promise 6: a record that a sink refuses for good goes to the dead letters and blocks none behind
//! it. What only an operator can mend holds the sink, and nothing is discarded.

#![allow(clippy::expect_used)] // a test fails where an expectation is not met

mod harness;

use std::time::Duration;

use harness::{PATIENCE, Setup, accepted, all_done, dead_letters, distinct, status_when};
use kube_event_relay::relay::{SinkState, offline_status};
use rig::{Answer, Behaviour, Cluster, Conservation, EventSpec, Received, Receiver};

const EVENTS: usize = 500;
/// Number of the event that is refused.
const REFUSED: usize = 217;
const POISON: &str = "this one is poison";

/// Splitting 50 records takes so many refusals: of 50, 25, 13, 7, 4, 2, 1.
const REFUSALS_MAX: usize = 7;

#[tokio::test(flavor = "multi_thread")]
async fn one_refused_record_of_500_is_buried_alone_and_the_others_arrive_in_order() {
    let cluster = Cluster::start().await;
    let receiver = Receiver::start();
    receiver.behave(Behaviour::decide(|request| {
        if String::from_utf8_lossy(&request.body).contains(POISON) {
            Behaviour::Answer(Answer::status(400).body("message may not mention poison"))
        } else {
            Behaviour::status(200)
        }
    }));
    let mut created = cluster
        .client()
        .create_events_with("default", EVENTS, 8, |number| {
            let mut spec = EventSpec::new(&format!("letter-{number}"));
            if number == REFUSED {
                POISON.clone_into(&mut spec.message);
            }
            spec
        })
        .await;
    let setup = Setup::new(cluster.folder(), cluster.kubeconfig_path()).sink(&format!(
        "{{name: only, kind: webhook, options: {{url: \"{}\", format: array}}, batch: {{maxRecords: 50}}}}",
        receiver.url()
    ));
    let relay = setup.relay().start();
    let status = status_when(&relay, |status| all_done(status, EVENTS)).await;
    assert_eq!((status.sinks[0].delivered, status.sinks[0].dead_letters), (499, 1));
    assert!(relay.terminate().await.success());

    let requests = receiver.requests();
    let (good, bad): (Vec<_>, Vec<_>) = requests.iter().partition(|request| request.accepted());
    assert!(good.iter().any(|request| events_in(request).len() == 50), "batches are used");
    assert!(bad.len() <= REFUSALS_MAX, "{} refusals: the batch is split in halves", bad.len());
    let refused = created.iter().position(|event| event.name == format!("letter-{REFUSED}"));
    let refused = created.remove(refused.expect("created"));
    let mut oracle = Conservation::new();
    oracle.created(&created);
    for event in good.into_iter().flat_map(events_in) {
        oracle.received_object(&event);
    }
    let verdict = oracle.check();
    verdict.assert();
    assert_eq!((verdict.distinct, verdict.duplicates), (499, 0));

    let letters = dead_letters(&setup.data(), "only").await;
    let [letter] = &letters[..] else { panic!("one dead letter: {letters:?}") };
    assert_eq!(letter.reason, "HTTP 400 Bad Request: message may not mention poison");
    assert_eq!(letter.record.header.uid, refused.uid);
    let version = letter.record.position.resource_version.as_str();
    assert_eq!(version, refused.resource_version.to_string());
    let stopped = offline_status(&setup.data()).expect("a stopped relay's directory");
    let (stream, sink) = (&stopped.streams[0], &stopped.sinks[0]);
    assert_eq!(sink.cursors[0].resource_version, stream.frontier, "the cursor is at the frontier");
    assert_eq!((sink.dead_letters, sink.lag_records), (1, 0));
}

/// The credential is in a file that the operator replaces. Of two sinks with a bad one the first
/// goes on by itself within a minute, the second after a restart.
#[tokio::test(flavor = "multi_thread")]
async fn a_bad_credential_holds_the_sink_until_an_operator_has_replaced_it() {
    let cluster = Cluster::start().await;
    let (patient, restarted) = (Receiver::start(), Receiver::start());
    let token = |name: &str| cluster.folder().join(format!("{name}.token"));
    let sink = |name: &str, receiver: &Receiver| {
        std::fs::write(token(name), "s3cret-of-may").expect("written");
        receiver.behave(Behaviour::decide(|request| match request.header("authorization") {
            Some("fresh") => Behaviour::status(200),
            _ => Behaviour::Answer(Answer::status(401).body("s3cret-of-may has expired")),
        }));
        format!(
            "{{name: {name}, kind: webhook, retry: {{initial: 100ms, max: 200ms}}, \
             options: {{url: \"{}\", headers: {{Authorization: {{file: {}}}}}}}}}",
            receiver.url(),
            token(name).display()
        )
    };
    let setup = Setup::new(cluster.folder(), cluster.kubeconfig_path())
        .sink(&sink("patient", &patient))
        .sink(&sink("restarted", &restarted));
    let created = cluster.client().create_events("default", 20, 4).await;
    let mut relay = setup.relay().start();

    let held = |state: &SinkState| *state == SinkState::Held;
    let status = status_when(&relay, |status| {
        status.sinks.iter().all(|sink| held(&sink.state) && sink.lag_records == 20)
    })
    .await;
    for sink in &status.sinks {
        let failure = sink.failure.as_ref().expect("a failure");
        assert_eq!(
            failure.cause,
            "HTTP 401 Unauthorized: <secret> has expired; check the credentials in the sink's options"
        );
        assert_eq!((sink.delivered, sink.dead_letters, sink.lost), (0, 0, 0));
    }
    std::fs::write(token("patient"), "fresh").expect("written");
    let requests = patient.wait_for(PATIENCE, |requests| distinct(requests) >= 20).await;
    let verdict = accepted(&requests, &created).check();
    verdict.assert();
    assert_eq!(verdict.duplicates, 0);
    let status = status_when(&relay, |status| status.sinks[0].lag_records == 0).await;
    assert_eq!((status.sinks[0].state, &status.sinks[0].failure), (SinkState::Idle, &None));
    // A sink that is held is asked rarely: nobody's account is locked.
    assert!(patient.count() <= 20 + 3, "{} requests", patient.count());

    assert!(held(&status.sinks[1].state));
    assert!(relay.terminate().await.success());
    relay = setup.relay().start();
    let status = status_when(&relay, |status| held(&status.sinks[1].state)).await;
    assert_eq!((status.sinks[1].lag_records, status.sinks[1].dead_letters), (20, 0));
    assert!(relay.terminate().await.success());
    std::fs::write(token("restarted"), "fresh").expect("written");
    relay = setup.relay().start();
    let requests =
        restarted.wait_for(Duration::from_secs(30), |requests| distinct(requests) >= 20).await;
    accepted(&requests, &created).check().assert();
    assert!(relay.terminate().await.success());
    assert_eq!(distinct(&patient.requests()), 20);
    for sink in ["patient", "restarted"] {
        assert_eq!(dead_letters(&setup.data(), sink).await, []);
    }
}

fn events_in(request: &Received) -> Vec<serde_json::Value> {
    serde_json::from_value(request.json()).expect("an array")
}
