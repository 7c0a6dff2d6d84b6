//! The `eventbridge` sink against a service that checks every signature and answers for each event.

#![allow(clippy::expect_used)] // a test fails where an expectation is not met

mod fakes;

use std::collections::BTreeSet;
use std::time::Duration;

use fakes::alibaba_sts::{AlibabaSts, PROVIDER, ROLE};
use fakes::clients;
use fakes::event_bridge::{EventBridge, KEY_ID};
use fakes::records::records;
use fakes::sls::Keys;
use kube_event_relay::event::Record;
use kube_event_relay::sink::{Delivery, Outcome, Sink, SinkContext, http_client, registry};
use serde_json::{Value, json};

const SECRET: &str = "key-secret";

fn sink(service: &EventBridge, secret: &str) -> Box<dyn Sink> {
    build(
        service,
        &json!({
            "accessKeyId": KEY_ID, "accessKeySecret": secret, "tokenConfig": "/nonexistent",
        }),
    )
}

fn build(service: &EventBridge, credential: &Value) -> Box<dyn Sink> {
    let mut options = json!({
        "clusterId": "c1", "region": "cn-hangzhou", "account": "42", "eventBus": "ops",
        "endpoint": format!("http://{}", service.address()),
    });
    for (name, value) in credential.as_object().expect("an object") {
        options[name] = value.clone();
    }
    let Value::Object(options) = options else { panic!("an object") };
    let http = http_client().expect("CA certificates of the system");
    let context = SinkContext { cluster: "test".into(), http, config_maps: None };
    let kind = registry::find("eventbridge").expect("a kind");
    (kind.build)(&options, &context).expect("a sink")
}

async fn whole(sink: &mut dyn Sink, batch: &[Record]) -> Outcome {
    match sink.deliver(batch).await {
        Delivery::Whole(outcome) => outcome,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn events_are_those_of_kube_eventer_with_the_identity_of_their_record() {
    let service = EventBridge::start(SECRET).await;
    let mut sink = sink(&service, SECRET);
    let batch = records(4);
    for _ in 0..2 {
        assert_eq!(whole(sink.as_mut(), &batch).await, Outcome::Accepted);
    }
    let stored = service.stored();
    assert_eq!(stored[..4], stored[4..], "a redelivery is recognised by its ids");
    assert_eq!(stored[0]["aliyuneventbusname"], "ops");
    let subject = stored[0]["subject"].as_str().expect("a subject");
    assert!(subject.starts_with("acs:cs:cn-hangzhou:42:c1/apis/"), "{subject}");
    let nonces = service.nonces();
    assert_ne!(nonces[0], nonces[1], "each attempt is signed anew");
}

#[tokio::test]
async fn the_service_answers_for_each_event() {
    let service = EventBridge::start(SECRET).await;
    let mut sink = sink(&service, SECRET);
    for (code, rejected) in [("InvalidArgument", true), ("FlowControl", false)] {
        service.refuse_place(1, (code, "said"));
        let Delivery::Each(outcomes) = sink.deliver(&records(3)).await else { panic!("one each") };
        assert_eq!((&outcomes[0], &outcomes[2]), (&Outcome::Accepted, &Outcome::Accepted));
        let is_rejected = matches!(outcomes[1], Outcome::Rejected { .. });
        assert_eq!(is_rejected, rejected, "{code}: {:?}", outcomes[1]);
    }
}

#[tokio::test]
async fn what_only_an_operator_can_mend_holds() {
    let service = EventBridge::start(SECRET).await;
    let held = |outcome: Outcome, part: &str| match outcome {
        Outcome::Hold { cause } => assert!(cause.contains(part), "{part}: {cause}"),
        other => panic!("{part}: {other:?}"),
    };
    held(whole(sink(&service, "wrong").as_mut(), &records(1)).await, "check the keys");
    let mut sink = sink(&service, SECRET);
    for (code, part) in [("EventBusNotExist", "`eventBus`"), ("NoPermission", "PutEvents")] {
        service.refuse_all((code, "said"));
        held(whole(sink.as_mut(), &records(1)).await, part);
    }
    service.throttle(Some(7));
    let Outcome::Retry { after, cause } = whole(sink.as_mut(), &records(1)).await else {
        panic!("tried again")
    };
    assert_eq!(after, Some(Duration::from_secs(7)), "{cause}");
}

#[tokio::test]
async fn a_service_account_s_role_is_assumed() {
    let service = EventBridge::start("role-secret").await;
    service.demand_token("sts-token-1");
    let keys = |secret: &str, token: &str| Keys {
        id: KEY_ID.to_owned(),
        secret: secret.to_owned(),
        token: Some(token.to_owned()),
    };
    let sts = AlibabaSts::start("identity-token", keys("role-secret", "sts-token-1")).await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("token");
    std::fs::write(&file, "identity-token").expect("a file");
    let mut sink = build(
        &service,
        &json!({
            "sts": format!("http://{}", sts.address()),
            "rrsa": {"roleArn": ROLE, "oidcProviderArn": PROVIDER, "oidcTokenFile": file},
            // Were it read, it would be an error.
            "tokenConfig": file,
        }),
    );
    for _ in 0..2 {
        assert_eq!(whole(sink.as_mut(), &records(1)).await, Outcome::Accepted);
    }
    assert_eq!(sts.issued(), 1);
    service.know("role-secret-2");
    service.demand_token("sts-token-2");
    sts.know("identity-token", keys("role-secret-2", "sts-token-2"));
    assert_eq!(whole(sink.as_mut(), &records(1)).await, Outcome::Accepted);
    assert_eq!((sts.issued(), service.stored().len()), (2, 3));
}

/// What the stand-in checks is what Alibaba Cloud's own client sends.
#[tokio::test]
async fn the_sdk_of_the_service_and_the_fake_understand_each_other() {
    let service = EventBridge::start(SECRET).await;
    service.refuse_events("poison", ("InvalidArgument", "no poison"));
    let settings = json!({
        "address": service.address().to_string(), "id": KEY_ID, "secret": SECRET,
    });
    let reports = clients::run("event_bridge", settings).await;
    let said: Vec<_> = reports
        .iter()
        .map(|report| (report.message.as_str(), report.success, report.words.as_str()))
        .collect();
    assert_eq!(said[..3], [("1", true, ""), ("2", false, "no poison"), ("both", true, "1")]);
    let (message, success, words) = said[3];
    assert!(message == "wrong key" && !success && words.contains("SignatureNotMatch"), "{said:?}");
    let stored = service.stored();
    assert_eq!(stored.len(), 1);
    // The fields that the sink writes are those of the client.
    let mut sink = sink(&service, SECRET);
    assert_eq!(whole(sink.as_mut(), &records(1)).await, Outcome::Accepted);
    let fields = |event: &Value| {
        event.as_object().expect("an event").keys().cloned().collect::<BTreeSet<_>>()
    };
    assert_eq!(fields(&stored[0]), fields(&service.stored()[1]));
}
