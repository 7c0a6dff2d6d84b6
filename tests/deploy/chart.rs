//! What the chart makes of its values, and which it refuses: what would render, but not run.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::{Value, json};

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

/// The names of a value's parts, and of their parts, that have names of the chart's choice.
fn names(schema: &Value, place: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let Some(properties) = schema["properties"].as_object() else { return found };
    assert_eq!(schema["additionalProperties"], false, "{place} is closed");
    for (name, property) in properties {
        let place = format!("{place}.{name}");
        found.extend(names(property, &place));
        found.insert(place);
    }
    found
}

/// A name that is misspelt is refused: the schema knows those in values.yaml, and no other.
#[test]
fn the_schema_has_the_names_of_the_values() {
    let chart = repository("deploy/helm/kube-event-relay");
    let read = |file: &str| std::fs::read_to_string(chart.join(file)).expect(file);
    let schema: Value = serde_json::from_str(&read("values.schema.json")).expect("JSON");
    let values: Value = serde_saphyr::from_str(&read("values.yaml")).expect("YAML");
    let mut known = names(&schema, "");
    assert!(known.remove(".global"), "of Helm itself");
    for name in &known {
        let pointer = name.replace('.', "/");
        assert!(values.pointer(&pointer).is_some(), "values.yaml has no {name}");
    }
    for (name, value) in values.as_object().expect("values") {
        assert!(known.contains(&format!(".{name}")), "{name}");
        let parts =
            value.as_object().filter(|_| schema["properties"][name]["properties"].is_object());
        for part in parts.into_iter().flat_map(serde_json::Map::keys) {
            assert!(known.contains(&format!(".{name}.{part}")), "{name}.{part}");
        }
    }
    is_refused(&[
        ("persistance.size=1Gi", "additional properties 'persistance' not allowed"),
        ("persistence.sise=1Gi", "additional properties 'sise' not allowed"),
        ("eventerArgs={--sink=log,9000}", "want string"),
    ]);
}

/// The pod that the chart makes of these values.
fn pod(arguments: &[&str]) -> Value {
    only(&helm(NAMESPACE, arguments), "StatefulSet")["spec"]["template"].clone()
}

/// Nothing is left empty: `annotations:` alone would be null.
#[test]
fn a_pod_without_annotations_has_none() {
    let metadata = pod(&["--set", "eventerArgs={--sink=log}"])["metadata"].clone();
    assert_eq!(metadata, json!({"labels": {"app.kubernetes.io/name": "kube-event-relay"}}));
    let annotated = "eventerArgs={--sink=log},podAnnotations.note=text";
    assert_eq!(pod(&["--set", annotated])["metadata"]["annotations"], json!({"note": "text"}));
}

/// A key that both have is there once, and the pod is still found.
#[test]
fn labels_and_annotations_of_the_chart_win() {
    let named = r"podLabels.team=a,podLabels.app\.kubernetes\.io/name=other";
    let labels = pod(&["--set", named])["metadata"]["labels"].clone();
    assert_eq!(labels, json!({"team": "a", "app.kubernetes.io/name": "kube-event-relay"}));
    let annotated = pod(&["--set", "podAnnotations.checksum/config=never"]);
    assert_eq!(annotated["metadata"]["annotations"], pod(&[])["metadata"]["annotations"]);
}

/// What is asked for in addition comes last, and takes nothing away.
#[test]
fn volumes_can_be_added() {
    let everything = repository("tests/deploy/everything.yaml");
    let added = pod(&["--values", everything.to_str().expect("a path of text")]);
    let usual = pod(&[]);
    let places = ["/spec/volumes", "/spec/containers/0/volumeMounts"];
    let more = ["/extraVolumes", "/extraVolumeMounts"];
    let values = std::fs::read_to_string(everything).expect("a file");
    let values: Value = serde_saphyr::from_str(&values).expect("YAML");
    for (place, more) in places.iter().zip(more) {
        let count = usual.pointer(place).and_then(Value::as_array).expect("a list").len();
        let list = added.pointer(place).and_then(Value::as_array).expect("a list");
        assert_eq!(
            Some(&list[count..]),
            values.pointer(more).and_then(Value::as_array).map(Vec::as_slice)
        );
    }
}

/// Every object says of which release of which chart it is.
#[test]
fn every_object_has_the_labels_that_charts_have() {
    let everything = repository("tests/deploy/everything.yaml");
    for object in helm(NAMESPACE, &["--values", everything.to_str().expect("a path of text")]) {
        let labels = &object["metadata"]["labels"];
        assert_eq!(labels["app.kubernetes.io/managed-by"], "Helm", "{object}");
        assert_eq!(labels["app.kubernetes.io/instance"], NAMESPACE, "{object}");
        let chart = format!("kube-event-relay-{}", env!("CARGO_PKG_VERSION"));
        assert_eq!(labels["helm.sh/chart"], chart.as_str(), "{object}");
    }
}
