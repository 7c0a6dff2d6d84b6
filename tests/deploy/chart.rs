//! What the chart makes of its values, and which it refuses: what would render, but not run.

use std::process::Command;

use serde_json::Value;

use crate::rendering::{NAMESPACE, helm, only, repository};

/// What Helm says about values that the chart does not take.
fn refusal(arguments: &[&str]) -> String {
    let mut command = Command::new(rig::helm());
    command.args(["template", NAMESPACE, "--namespace", NAMESPACE]).args(arguments);
    let output = command.arg(repository("deploy/helm/kube-event-relay")).output().expect("helm");
    assert!(!output.status.success(), "{arguments:?} were taken");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn is_refused(cases: &[(&str, &str)]) {
    for (values, reason) in cases {
        let said = refusal(&["--set", values]);
        assert!(said.contains(reason), "{values}: {said}");
    }
}

/// Each of these is installed.
fn is_taken(cases: &[&str]) {
    for values in cases {
        only(&helm(NAMESPACE, &["--set", values]), "StatefulSet");
    }
}

#[test]
fn a_volume_that_the_log_does_not_fit_into_is_refused() {
    is_refused(&[
        (
            "persistence.size=1Gi",
            "persistence.size (1Gi) is smaller than the log may become (2GiB)",
        ),
        ("persistence.size=2G", "smaller"),
        ("config.log.maxBytes=5GiB", "persistence.size (4Gi) is smaller"),
        ("config.log.maxBytes=4294967297", "smaller"),
        ("config.log.maxBytes=null,persistence.size=1Gi", "(2GiB)"),
        ("eventerArgs={--sink=log,--max-bytes=8GiB}", "(8GiB)"),
        ("config.log.maxBytes=much", r#"config.log.maxBytes: "much" is not a size"#),
        ("persistence.size=4GX", r#"persistence.size: "4GX" is not a size"#),
    ]);
    is_taken(&[
        "persistence.size=2Gi",
        "config.log.maxBytes=4096MiB",
        "config.log.maxBytes=4294967296",
        "config.log.maxBytes=4TB,persistence.size=4.5T",
        "config.log.maxBytes=512Mi,persistence.size=600000000",
    ]);
}

/// Values in a file are numbers with a point to Helm.
#[test]
fn a_number_of_bytes_in_a_file_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("values.yaml");
    let path = path.to_str().expect("a path of text");
    let write = |bytes: u64| {
        let text = format!("config: {{log: {{maxBytes: {bytes}}}}}\n");
        std::fs::write(path, text).expect("written");
    };
    write(4 << 30);
    let objects = helm(NAMESPACE, &["--values", path]);
    let config = only(&objects, "ConfigMap")["data"]["relay.yaml"].as_str().expect("a file");
    let config: Value = serde_saphyr::from_str(config).expect("YAML");
    assert_eq!(config["log"]["maxBytes"], 4_u64 << 30);
    write((4 << 30) + 1);
    assert!(refusal(&["--values", path]).contains("smaller"));
}

#[test]
fn a_drain_that_would_be_cut_short_is_refused() {
    is_refused(&[
        ("config.drainDeadline=45s", "has to be more than config.drainDeadline (45s)"),
        ("config.drainDeadline=0.5m30s", "(0.5m30s)"),
        ("config.drainDeadline=1h", "terminationGracePeriodSeconds (45)"),
        ("terminationGracePeriodSeconds=20", "terminationGracePeriodSeconds (20)"),
        ("config.drainDeadline=null,terminationGracePeriodSeconds=20", "(20s)"),
        ("eventerArgs={--sink=log},terminationGracePeriodSeconds=20", "(20s)"),
    ]);
    is_taken(&[
        "config.drainDeadline=44s999ms",
        "config.drainDeadline=1m,terminationGracePeriodSeconds=61",
    ]);
}

#[test]
fn a_port_that_nobody_would_ask_is_refused() {
    let port = "the chart's probes and Service ask port 8084";
    is_refused(&[
        ("config.admin.listen=0.0.0.0:9000", port),
        ("config.admin.listen=127.0.0.1:8084", port),
        ("eventerArgs={--sink=log,--healthz-port=9000}", port),
        ("eventerArgs={--sink=log,--healthz-port}", port),
        ("eventerArgs={--sink=log,--healthz-ip=127.0.0.1}", port),
    ]);
    is_taken(&[
        "config.admin.listen=[::]:8084",
        "eventerArgs={--sink=log,--healthz-ip=0.0.0.0,--healthz-port=8084}",
    ]);
}

#[test]
fn the_command_line_of_kube_eventer_has_no_namespaces() {
    is_refused(&[(
        "eventerArgs={--sink=log},namespaces={shop}",
        "eventerArgs and namespaces exclude each other",
    )]);
}
