//! The `sls` sink against a service that checks every signature: what it stores, and what it does when it
//! cannot.

#![allow(clippy::expect_used)] // a test fails where an expectation is not met

mod fakes;

use std::path::PathBuf;

use fakes::alibaba_sts::{AlibabaSts, PROVIDER, ROLE};
use fakes::clients;
use fakes::records::{record, records};
use fakes::sls::{Keys, LOG_STORE, PROJECT, REGION, Sls};
use jiff::{SignedDuration, Timestamp};
use kube_event_relay::event::Record;
use kube_event_relay::sink::{Delivery, Outcome, Sink, SinkContext, http_client, registry};
use serde_json::{Value, json};

fn keys(secret: &str, token: Option<&str>) -> Keys {
    let token = token.map(str::to_owned);
    Keys { id: "LTAI1".into(), secret: secret.to_owned(), token }
}

fn sink(service: &Sls, more: &Value) -> Box<dyn Sink> {
    let mut options = json!({
        "project": PROJECT, "logStore": LOG_STORE, "topic": "k8s",
        "endpoint": format!("http://{}", service.address()),
    });
    for (name, value) in more.as_object().expect("an object") {
        options[name] = value.clone();
    }
    let http = http_client().expect("CA certificates of the system");
    let context = SinkContext { cluster: "test".into(), http, config_maps: None };
    let Value::Object(options) = options else { panic!("an object") };
    (registry::find("sls").expect("a kind").build)(&options, &context).expect("a sink")
}

fn written(secret: &str) -> Value {
    json!({"region": REGION, "accessKeyId": "LTAI1", "accessKeySecret": secret})
}

async fn outcome(sink: &mut dyn Sink, batch: &[Record]) -> Outcome {
    match sink.deliver(batch).await {
        Delivery::Whole(outcome) => outcome,
        other => panic!("{other:?}"),
    }
}

fn cause(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Hold { cause } => cause,
        other => panic!("not held: {other:?}"),
    }
}

#[tokio::test]
async fn logs_have_the_fields_of_kube_eventer_and_the_identity_of_their_record() {
    let service = Sls::start(keys("secret-1", None)).await;
    let mut options = written("secret-1");
    options["labels"] = json!({"team": "ops"});
    let mut sink = sink(&service, &options);
    assert_eq!(outcome(sink.as_mut(), &records(500)).await, Outcome::Accepted);
    let stored = service.stored();
    assert_eq!(stored.len(), 500);
    let names: Vec<_> = stored[0].fields.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["eventId", "hostname", "level", "pod_id", "pod_name", "team", "record_id"]);
    assert_eq!(stored[0].topic, "k8s");
    assert!(stored[0].fields[0].1.contains("\"message\": \"message 1\""));
    // The events are from 2024: with their own time the service would refuse the whole request.
    assert!(Timestamp::now().as_second() - stored[0].time < 60);
}

#[tokio::test]
async fn what_the_service_answers_leads_to_what_it_documents() {
    let service = Sls::start(keys("secret-1", None)).await;
    let mut sink = sink(&service, &written("secret-1"));
    let one = records(1);
    for (status, code) in [
        (403, "WriteQuotaExceed"),
        (403, "ShardWriteQuotaExceed"),
        (400, "RequestTimeTooSkewed"),
        (500, "InternalServerError"),
        (503, "ServerBusy"),
    ] {
        service.refuse_next(1, status, code);
        let outcome = outcome(sink.as_mut(), &one).await;
        assert!(matches!(outcome, Outcome::Retry { .. }), "{code}: {outcome:?}");
    }
    for (status, code) in [(400, "PostBodyInvalid"), (400, "InvalidEncoding"), (413, "")] {
        service.refuse_next(1, status, code);
        let outcome = outcome(sink.as_mut(), &one).await;
        assert!(matches!(outcome, Outcome::Rejected { .. }), "{code}: {outcome:?}");
    }
    for (status, code, part) in [
        (404, "ProjectNotExist", "`project`"),
        (404, "LogStoreNotExist", "`logStore`"),
        (403, "ProjectForbidden", "closed"),
        (401, "InvalidAccessKeyId", "`accessKeyId`"),
    ] {
        service.refuse_next(1, status, code);
        let outcome = outcome(sink.as_mut(), &one).await;
        assert!(cause(&outcome).contains(part), "{code}: {outcome:?}");
    }
    assert_eq!(outcome(sink.as_mut(), &one).await, Outcome::Accepted);
}

#[tokio::test]
async fn a_wrong_key_holds_and_is_not_shown() {
    let service = Sls::start(keys("secret-1", None)).await;
    let mut sink = sink(&service, &written("wrong-secret"));
    let held = outcome(sink.as_mut(), &records(1)).await;
    assert!(cause(&held).contains("accessKeySecret") && !cause(&held).contains("wrong-secret"));
    service.rotate(keys("wrong-secret", None));
    assert_eq!(outcome(sink.as_mut(), &records(1)).await, Outcome::Accepted);
}

#[tokio::test]
async fn an_endpoint_that_knows_signature_v1_alone_is_written_to_with_that() {
    let service = Sls::start(keys("secret-1", None)).await;
    service.be_old();
    let mut options = written("secret-1");
    let held = outcome(sink(&service, &options).as_mut(), &records(1)).await;
    assert!(cause(&held).contains("V1 expected"), "{held:?}");
    options["signature"] = "v1".into();
    assert_eq!(outcome(sink(&service, &options).as_mut(), &records(3)).await, Outcome::Accepted);
    assert_eq!(service.stored().len(), 3);
    let wrong = json!({"accessKeyId": "LTAI1", "accessKeySecret": "wrong", "signature": "v1"});
    let held = outcome(sink(&service, &wrong).as_mut(), &records(1)).await;
    assert!(cause(&held).contains("SignatureNotMatch"), "{held:?}");

    // Neither a region nor anybody who knows it: V1 does without. The token is signed, too.
    service.rotate(keys("role-1", Some("token-1")));
    let metadata = format!("http://{}", service.address());
    let role = json!({"metadata": metadata, "tokenConfig": "/nonexistent", "signature": "v1"});
    assert_eq!(outcome(sink(&service, &role).as_mut(), &records(1)).await, Outcome::Accepted);
}

#[tokio::test]
async fn keys_of_the_machine_s_role_are_kept_and_renewed_when_they_are_refused() {
    let service = Sls::start(keys("role-1", Some("token-1"))).await;
    let metadata = format!("http://{}", service.address());
    let mut sink = sink(&service, &json!({"metadata": metadata, "tokenConfig": "/nonexistent"}));
    for version in 1..=3 {
        let batch = [record(version, "x")];
        assert_eq!(outcome(sink.as_mut(), &batch).await, Outcome::Accepted);
    }
    assert_eq!(service.role_requests(), 1);
    service.rotate(keys("role-2", Some("token-2")));
    assert_eq!(outcome(sink.as_mut(), &records(1)).await, Outcome::Accepted);
    assert_eq!(service.role_requests(), 2);
}

/// A service account's token in a file, and the service that gives keys for it.
struct ServiceAccount {
    folder: tempfile::TempDir,
    sts: AlibabaSts,
}

impl ServiceAccount {
    async fn with(token: &str, keys: Keys) -> Self {
        let sts = AlibabaSts::start(token, keys).await;
        let account = Self { folder: tempfile::tempdir().expect("a folder"), sts };
        account.write(token);
        account
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("token")
    }

    fn write(&self, token: &str) {
        std::fs::write(self.file(), format!("{token}\n")).expect("a file");
    }

    fn options(&self) -> Value {
        json!({
            "region": REGION, "sts": format!("http://{}", self.sts.address()),
            "rrsa": {
                "roleArn": ROLE, "oidcProviderArn": PROVIDER, "oidcTokenFile": self.file(),
            },
            // Were it read, it would be an error.
            "tokenConfig": self.file(),
        })
    }
}

const TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.c3lzdGVtOnJlbGF5.c2lnbmF0dXJl";

#[tokio::test]
async fn keys_of_a_service_account_s_role_are_kept_and_renewed_when_they_are_refused() {
    let service = Sls::start(keys("role-1", Some("sts-token-1"))).await;
    let account = ServiceAccount::with(TOKEN, keys("role-1", Some("sts-token-1"))).await;
    let mut sink = sink(&service, &account.options());
    for version in 1..=3 {
        let batch = [record(version, "x")];
        assert_eq!(outcome(sink.as_mut(), &batch).await, Outcome::Accepted);
    }
    assert_eq!(account.sts.issued(), 1);
    // The token has been replaced meanwhile, as kubelet does.
    service.rotate(keys("role-2", Some("sts-token-2")));
    account.sts.know("another.identity.token", keys("role-2", Some("sts-token-2")));
    account.write("another.identity.token");
    assert_eq!(outcome(sink.as_mut(), &records(1)).await, Outcome::Accepted);
    assert_eq!((account.sts.issued(), service.role_requests()), (2, 0));
}

#[tokio::test]
async fn keys_of_a_service_account_s_role_are_renewed_before_they_expire() {
    let service = Sls::start(keys("role-1", Some("sts-token-1"))).await;
    let account = ServiceAccount::with(TOKEN, keys("role-1", Some("sts-token-1"))).await;
    account.sts.keys_live(SignedDuration::from_mins(9));
    let mut sink = sink(&service, &account.options());
    for _ in 0..2 {
        assert_eq!(outcome(sink.as_mut(), &records(1)).await, Outcome::Accepted);
    }
    assert_eq!(account.sts.issued(), 2);
    // They still live, and nobody waits for their successors.
    account.sts.refuse(Some((503, "ServiceUnavailable", "later")));
    assert_eq!(outcome(sink.as_mut(), &records(1)).await, Outcome::Accepted);
    assert_eq!(account.sts.issued(), 2);
}

#[tokio::test]
async fn keys_that_are_written_come_before_those_of_a_service_account() {
    let service = Sls::start(keys("secret-1", None)).await;
    let account = ServiceAccount::with(TOKEN, keys("role-1", Some("sts-token-1"))).await;
    let mut options = account.options();
    options["accessKeyId"] = "LTAI1".into();
    options["accessKeySecret"] = "secret-1".into();
    assert_eq!(outcome(sink(&service, &options).as_mut(), &records(1)).await, Outcome::Accepted);
    assert_eq!(account.sts.issued(), 0);
}

#[tokio::test]
async fn what_the_token_service_refuses_is_told_without_the_token() {
    let service = Sls::start(keys("role-1", Some("sts-token-1"))).await;
    let account = ServiceAccount::with(TOKEN, keys("role-1", Some("sts-token-1"))).await;
    let mut sink = sink(&service, &account.options());
    for (status, code, part) in [
        (401, "AuthenticationFail.OIDCToken.Expired", "kubelet"),
        (400, "AuthenticationFail.OIDCToken.AudienceNotMatch", "sts.aliyuncs.com"),
        (400, "AuthenticationFail.OIDCToken.IssuerNotMatch", "switch RRSA on"),
        (403, "AuthenticationFail.NoPermission", "trust policy"),
        (404, "EntityNotExist.Role", ROLE),
        (400, "MissingRoleArn", "`rrsa`"),
    ] {
        account.sts.refuse(Some((status, code, "said")));
        let held = outcome(sink.as_mut(), &records(1)).await;
        assert!(cause(&held).contains(code) && cause(&held).contains(part), "{held:?}");
        assert!(TOKEN.split('.').all(|secret| !cause(&held).contains(secret)), "{held:?}");
    }
    for (status, code) in [(400, "Throttling.User"), (429, ""), (500, "InternalError")] {
        account.sts.refuse(Some((status, code, "Request was denied due to user flow control.")));
        let outcome = outcome(sink.as_mut(), &records(1)).await;
        let Outcome::Retry { cause, .. } = &outcome else { panic!("{code}: {outcome:?}") };
        assert!(cause.starts_with("STS: HTTP") && !cause.contains(TOKEN), "{cause}");
    }
    account.sts.refuse(None);
    std::fs::remove_file(account.file()).expect("a file");
    let held = outcome(sink.as_mut(), &records(1)).await;
    assert!(cause(&held).contains("projected volume"), "{held:?}");
    // No record is refused for any of that.
    account.write(TOKEN);
    assert_eq!(outcome(sink.as_mut(), &records(1)).await, Outcome::Accepted);
}

#[tokio::test]
async fn a_machine_without_keys_is_told_what_to_do() {
    let service = Sls::start(keys("x", None)).await;
    let nowhere =
        json!({"region": REGION, "metadata": "http://127.0.0.1:1", "tokenConfig": "/nonexistent"});
    let outcome = outcome(sink(&service, &nowhere).as_mut(), &records(1)).await;
    let Outcome::Retry { cause, .. } = outcome else { panic!("{outcome:?}") };
    assert!(cause.contains("`accessKeyId`"), "{cause}");
}

/// What the stand-in checks is what Alibaba Cloud's own client sends.
#[tokio::test]
async fn the_sdk_of_the_service_and_the_fake_understand_each_other() {
    let service = Sls::start(keys("secret-1", None)).await;
    let settings = json!({
        "url": format!("http://{}", service.address()), "region": REGION, "project": PROJECT,
        "logStore": LOG_STORE, "id": "LTAI1", "secret": "secret-1",
    });
    let reports = clients::run("sls", settings).await;
    let expected = [
        ("plain", true, "1"),
        ("too old", false, "PostBodyInvalid"),
        ("no such logstore", false, "LogStoreNotExist"),
        ("wrong key", false, "SignatureNotMatch"),
    ];
    assert_eq!(reports.len(), expected.len());
    for (report, (message, success, words)) in reports.iter().zip(expected) {
        assert_eq!((report.message.as_str(), report.success), (message, success), "{report:?}");
        assert!(report.words.contains(words), "{report:?}");
    }
    let stored = service.stored();
    assert_eq!((stored.len(), stored[0].topic.as_str()), (1, "k8s"));
    let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(stored[0].fields, [field("level", "Warning"), field("message", "容器 web")]);
}
