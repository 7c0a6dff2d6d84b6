//! The API as its document describes it, asked by a tool that others wrote (schemathesis): whatever is asked, there
//! is no 5xx, every answer has its described form, nothing changes without the token, and no secret is in an answer.

#![allow(clippy::expect_used)] // a test fails where an expectation is not met

mod harness;

use std::path::Path;
use std::process::Command;

use harness::{Setup, all_done, status_when};
use kube_event_relay::cursor::AuditEntry;
use rig::{Cluster, Receiver, Relay};
use serde_json::json;

const SECRET: &str = "hunter2-hunter2";
const EVENTS: usize = 20;

/// Runs the tool, and returns what was sent and answered.
fn ask(url: &str, token: Option<&str>, checks: &[&str], report: &Path) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/run.sh");
    let settings = json!({"url": url, "token": token, "checks": checks, "report": report});
    let run = Command::new(script).args(["schemathesis", &settings.to_string()]).output();
    let run = run.expect("the script runs");
    let said = String::from_utf8_lossy(&run.stdout);
    let complained = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{said}\n{complained}");
    println!("{}", said.lines().rev().take(12).collect::<Vec<_>>().join("\n"));
    std::fs::read_to_string(report).expect("the report")
}

async fn changes(relay: &Relay) -> Vec<AuditEntry> {
    serde_json::from_value(relay.get_json("/api/v1/audit").await).expect("entries")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_is_as_its_document_says() {
    let cluster = Cluster::start().await;
    let sink = Receiver::start();
    let setup = Setup::new(cluster.folder(), cluster.kubeconfig_path())
        .webhook("oncall", &format!("{}?token={SECRET}", sink.url()), "")
        .sink(&format!(
            "{{name: signed, kind: webhook, options: {{url: \"{}\", hmacSecret: {SECRET}, \
             headers: {{Authorization: {SECRET}}}}}}}",
            sink.url()
        ));
    let relay = setup.relay().start();
    cluster.client().create_events("default", EVENTS, 1).await;
    status_when(&relay, |status| all_done(status, EVENTS)).await;
    let (url, folder) = (relay.admin_url().await, cluster.folder().to_owned());
    let checks = ["not_a_server_error", "content_type_conformance", "response_schema_conformance"];

    let without = {
        let (url, report) = (url.clone(), folder.join("without.har"));
        let asked = move || ask(&url, None, &checks, &report);
        tokio::task::spawn_blocking(asked).await.expect("no panic")
    };
    assert!(changes(&relay).await.is_empty(), "nothing changes without the token");
    let delivered = sink.count();
    assert_eq!(delivered, 2 * EVENTS, "and nothing is sent");

    let token = std::fs::read_to_string(setup.data().join("admin-token")).expect("a token");
    let with = {
        let (url, report) = (url.clone(), folder.join("with.har"));
        let checks = [&checks[..], &["ignored_auth"]].concat();
        let token = token.clone();
        let asked = move || ask(&url, Some(token.trim()), &checks, &report);
        tokio::task::spawn_blocking(asked).await.expect("no panic")
    };
    assert!(!changes(&relay).await.is_empty(), "with it there are changes");
    for report in [&without, &with] {
        assert!(!report.contains(SECRET), "no answer holds a secret");
        assert!(!report.contains(token.trim()), "nor the token");
        assert!(report.contains("/api/v1/log/records"), "nothing is left out");
    }
    assert!(relay.terminate().await.success());
}
