//! The `elasticsearch` sink before a server that demands signatures for AWS, and checks each with code of its own:
//! written keys, those of the environment, and those of a role that the service account may assume.

#![allow(clippy::expect_used)] // a test fails where an expectation is not met

mod fakes;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use fakes::aws_sts::{AwsSts, ROLE};
use fakes::elasticsearch::Elasticsearch;
use fakes::records::records;
use fakes::sigv4::{AwsKeys, REGION};
use jiff::SignedDuration;
use kube_event_relay::event::Record;
use kube_event_relay::sink::{Delivery, Outcome, Sink, SinkContext, http_client, registry};
use serde_json::{Value, json};

fn keys(secret: &str, token: Option<&str>) -> AwsKeys {
    let token = token.map(str::to_owned);
    AwsKeys { id: "AKIDEXAMPLE1".to_owned(), secret: secret.to_owned(), token }
}

fn written(keys: &AwsKeys) -> Value {
    json!({
        "region": REGION, "accessKeyId": keys.id, "secretAccessKey": keys.secret,
        "sessionToken": keys.token,
    })
}

/// A server that takes what these keys sign for domains.
async fn server(keys: &AwsKeys) -> Elasticsearch {
    let server = Elasticsearch::start("7.10.2").await;
    server.demand_signature(keys.clone(), "es");
    server
}

fn sink(server: &Elasticsearch, sigv4: &Value, more: &Value) -> Box<dyn Sink> {
    let mut options =
        json!({"nodes": [format!("http://{}", server.address())], "sigv4": sigv4.clone()});
    for (name, value) in more.as_object().expect("an object") {
        options[name] = value.clone();
    }
    let http = http_client().expect("CA certificates of the system");
    let context = SinkContext { cluster: "test".into(), http, config_maps: None };
    let kind = registry::find("elasticsearch").expect("a kind");
    (kind.build)(options.as_object().expect("an object"), &context).expect("a sink")
}

async fn outcome(sink: &mut dyn Sink, batch: &[Record]) -> Outcome {
    match sink.deliver(batch).await {
        Delivery::Whole(outcome) => outcome,
        Delivery::Each(outcomes) => {
            let first = outcomes.first().expect("an outcome").clone();
            assert!(outcomes.iter().all(|outcome| *outcome == first), "{outcomes:?}");
            first
        }
        other @ Delivery::Part { .. } => panic!("{other:?}"),
    }
}

fn cause(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Hold { cause } => cause,
        other => panic!("not held: {other:?}"),
    }
}

#[tokio::test]
async fn every_request_is_signed_whatever_is_in_its_path_and_query() {
    let keys = keys("aws-secret-1", Some("session/token+1=="));
    let server = server(&keys).await;
    // A path with an encoded character, and queries with commas, stars and spaces.
    let more = json!({"template": true, "alias": "all", "index": "événements", "pipeline": "a b"});
    let mut one = sink(&server, &written(&keys), &more);
    assert_eq!(outcome(one.as_mut(), &records(3)).await, Outcome::Accepted);
    assert_eq!(server.stored(), 3);
    let calls = server.calls();
    assert!(calls.iter().any(|call| call.contains("/_index_template/%C3%A9")), "{calls:?}");
    assert!(calls.iter().any(|call| call == "GET /") && calls.len() > 3, "{calls:?}");

    server.demand_signature(keys.clone(), "aoss");
    let held = outcome(one.as_mut(), &records(5)).await;
    assert!(cause(&held).contains("`service`"), "{held:?}");
    let mut collection = written(&keys);
    collection["service"] = "aoss".into();
    let mut one = sink(&server, &collection, &json!({}));
    assert_eq!(outcome(one.as_mut(), &records(5)).await, Outcome::Accepted);
}

#[tokio::test]
async fn a_wrong_key_holds_and_nothing_of_the_keys_is_shown() {
    let right = keys("aws-secret-1", Some("session-token-1"));
    let server = server(&right).await;
    for wrong in [
        keys("wrong-secret", Some("session-token-1")),
        keys("aws-secret-1", Some("another-token")),
        keys("aws-secret-1", None),
    ] {
        let held = outcome(sink(&server, &written(&wrong), &json!({})).as_mut(), &records(1)).await;
        let cause = cause(&held);
        assert!(cause.contains("HTTP 403") && cause.contains("`sigv4`"), "{cause}");
        for secret in
            ["AKIDEXAMPLE1", "secret-1", "wrong-secret", "session-token-1", "another-token"]
        {
            assert!(!cause.contains(secret), "{cause}");
        }
    }
    let mut written = written(&right);
    written["region"] = "us-east-1".into();
    let held = outcome(sink(&server, &written, &json!({})).as_mut(), &records(1)).await;
    assert!(cause(&held).contains("`region`"), "{held:?}");
    assert_eq!(server.stored(), 0);
}

/// A service account's token in a file, and the service that gives keys for it.
struct ServiceAccount {
    folder: tempfile::TempDir,
    sts: AwsSts,
}

impl ServiceAccount {
    async fn with(token: &str, keys: &AwsKeys) -> Self {
        let sts = AwsSts::start(token, keys.clone()).await;
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
            "region": REGION, "roleArn": ROLE, "webIdentityTokenFile": self.file(),
            "sts": format!("http://{}", self.sts.address()),
        })
    }
}

const TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.c3lzdGVtOnJlbGF5.c2lnbmF0dXJl";

#[tokio::test]
async fn keys_of_a_role_are_kept_and_renewed_when_they_are_refused() {
    let first = keys("role-secret-1", Some("role-token-1"));
    let server = server(&first).await;
    let account = ServiceAccount::with(TOKEN, &first).await;
    let mut sink = sink(&server, &account.options(), &json!({}));
    for count in 1..=3 {
        assert_eq!(outcome(sink.as_mut(), &records(count)).await, Outcome::Accepted);
    }
    assert_eq!(account.sts.issued(), 1);
    // The token has been replaced meanwhile, as kubelet does.
    let second = keys("role-secret-2", Some("<role>&token-2"));
    server.demand_signature(second.clone(), "es");
    account.sts.know("another.identity.token", second);
    account.write("another.identity.token");
    assert_eq!(outcome(sink.as_mut(), &records(4)).await, Outcome::Accepted);
    assert_eq!((account.sts.issued(), server.stored()), (2, 4));
}

#[tokio::test]
async fn keys_of_a_role_are_renewed_before_they_expire() {
    let keys = keys("role-secret-1", Some("role-token-1"));
    let server = server(&keys).await;
    let account = ServiceAccount::with(TOKEN, &keys).await;
    account.sts.keys_live(SignedDuration::from_mins(9));
    let mut sink = sink(&server, &account.options(), &json!({}));
    for _ in 0..2 {
        assert_eq!(outcome(sink.as_mut(), &records(1)).await, Outcome::Accepted);
    }
    assert_eq!(account.sts.issued(), 2);
    // They still live, and nobody waits for their successors.
    account.sts.refuse(Some((503, "ServiceUnavailable")));
    assert_eq!(outcome(sink.as_mut(), &records(1)).await, Outcome::Accepted);
}

#[tokio::test]
async fn what_the_token_service_refuses_is_told_without_the_token() {
    let keys = keys("role-secret-1", Some("role-token-1"));
    let server = server(&keys).await;
    let account = ServiceAccount::with(TOKEN, &keys).await;
    let mut sink = sink(&server, &account.options(), &json!({}));
    for (status, code, part) in [
        (400, "ExpiredTokenException", "kubelet"),
        (400, "InvalidIdentityToken", "sts.amazonaws.com"),
        (403, "AccessDenied", ROLE),
        (403, "RegionDisabledException", "region"),
        (400, "ValidationError", "`sigv4`"),
    ] {
        account.sts.refuse(Some((status, code)));
        let held = outcome(sink.as_mut(), &records(1)).await;
        assert!(cause(&held).contains(code) && cause(&held).contains(part), "{held:?}");
        assert!(TOKEN.split('.').all(|secret| !cause(&held).contains(secret)), "{held:?}");
    }
    for (status, code) in
        [(400, "Throttling"), (400, "IDPCommunicationError"), (500, "InternalFailure")]
    {
        account.sts.refuse(Some((status, code)));
        let outcome = outcome(sink.as_mut(), &records(1)).await;
        let Outcome::Retry { cause, .. } = &outcome else { panic!("{code}: {outcome:?}") };
        assert!(cause.starts_with("STS: HTTP") && !cause.contains(TOKEN), "{cause}");
    }
    account.sts.refuse(None);
    std::fs::remove_file(account.file()).expect("a file");
    let held = outcome(sink.as_mut(), &records(1)).await;
    assert!(cause(&held).contains("projected volume"), "{held:?}");
    account.write(TOKEN);
    assert_eq!(outcome(sink.as_mut(), &records(1)).await, Outcome::Accepted);
}

/// Runs the program with these variables, among which there is none of AWS but those.
async fn program(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kube-event-relay"));
    let of_aws = std::env::vars_os().map(|(name, _)| name);
    for name in of_aws.filter(|name| name.to_string_lossy().starts_with("AWS_")) {
        command.env_remove(name);
    }
    command.args(arguments).envs(variables.iter().copied());
    let output = tokio::task::spawn_blocking(move || command.output());
    output.await.expect("no panic").expect("the program starts")
}

async fn converted(folder: &Path, uri: &str, variables: &[(&str, &str)]) -> (PathBuf, String) {
    let sink = format!("--sink={uri}");
    let source = "--source=kubernetes:https://127.0.0.1:1?inClusterConfig=false";
    let output =
        program(&["config", "convert", "--with-secrets", "--", source, &sink], variables).await;
    let warnings = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{warnings}");
    let path = folder.join("relay.yaml");
    std::fs::write(&path, output.stdout).expect("a file");
    (path, warnings)
}

/// As kube-eventer does, which takes keys and region from the environment, and signs wherever one of the keys is there.
#[tokio::test(flavor = "multi_thread")]
async fn kube_eventer_s_command_line_signs_with_the_keys_of_the_environment() {
    let right = keys("aws-secret-1", Some("session-token-1"));
    let server = server(&right).await;
    let folder = tempfile::tempdir().expect("a folder");
    let uri = format!("elasticsearch:http://{}?ver=7&sniff=false&name=aws", server.address());
    let environment = [
        ("AWS_REGION", REGION),
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE1"),
        ("AWS_SECRET_ACCESS_KEY", "aws-secret-1"),
        ("AWS_SESSION_TOKEN", "session-token-1"),
    ];
    let (asked, warnings) =
        converted(folder.path(), &format!("{uri}&sigv4=true"), &environment).await;
    assert!(!warnings.contains("signed"), "{warnings}");
    let test = ["sink", "test", "aws", "--config", asked.to_str().expect("text")];
    let output = program(&test, &environment).await;
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("outcome  accepted"), "{said}");
    assert_eq!(server.stored(), 1);

    let (_, warnings) = converted(folder.path(), &uri, &environment).await;
    assert!(warnings.contains("signed for AWS"), "{warnings}");
    let output = program(&test, &environment).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));

    let output = program(&test, &[]).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("AWS_REGION"), "{said}");
}
