//! Every rendering of the manifests is accepted by a real API server, with every field known to it and its pod within
//! the restricted Pod Security Standard; chart and kustomize base say the same.

use std::time::Duration;

use http::StatusCode;
use rig::Cluster;
use serde_json::Value;

use crate::comparison::assert_same;
use crate::harness::program;
use crate::rendering::{NAMESPACE, helm, kustomize, objects, only, pod, repository, restricted};

/// Values of the chart that switch everything on.
const EVERYTHING: &str = "tests/deploy/everything.yaml";

/// Everything that can be rendered, with the namespace it is for.
fn renderings() -> Vec<(&'static str, &'static str, Vec<Value>)> {
    let everything = repository(EVERYTHING);
    let everything = everything.to_str().expect("a path of text");
    vec![
        ("kustomize, default", NAMESPACE, kustomize("overlays/default")),
        ("kustomize, kube-eventer", NAMESPACE, kustomize("overlays/kube-eventer")),
        ("kustomize, monitoring", NAMESPACE, kustomize("overlays/monitoring")),
        ("kustomize, namespaced", "shop", kustomize("overlays/namespaced")),
        ("helm, default", NAMESPACE, helm(NAMESPACE, &[])),
        ("helm, elsewhere", "elsewhere", helm("elsewhere", &[])),
        ("helm, namespaced", "shop", helm("shop", &["--set", "namespaces={shop}"])),
        ("helm, kube-eventer", NAMESPACE, helm(NAMESPACE, &["--set", "eventerArgs={--sink=log}"])),
        ("helm, everything", "everything", helm("everything", &["--values", everything])),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_rendering_is_accepted_and_its_pod_is_restricted() {
    let cluster = Cluster::start().await;
    let client = cluster.client();
    for file in ["prometheusrules", "servicemonitors"] {
        let path =
            repository("tests/fixtures/crds").join(format!("monitoring.coreos.com_{file}.yaml"));
        let text = std::fs::read_to_string(path).expect("a definition");
        client.define(&serde_saphyr::from_str(&text).expect("YAML")).await;
    }
    for namespace in [NAMESPACE, "shop", "elsewhere", "everything", "templates"] {
        client.apply(&restricted(namespace), false).await;
    }
    for (number, (name, namespace, objects)) in renderings().into_iter().enumerate() {
        println!("{name}: {} objects", objects.len());
        for dry_run in [true, false] {
            for object in &objects {
                client.apply(object, dry_run).await;
            }
        }
        let pod = pod(only(&objects, "StatefulSet"), &format!("relay-{number}"));
        assert_eq!(pod["metadata"]["namespace"], namespace, "{name}");
        client.apply(&pod, false).await;
    }
    // The standard is in force here: each of these is refused.
    let set = kustomize("base");
    let pod = pod(only(&set, "StatefulSet"), "refused");
    for (context, field) in [
        ("/spec/securityContext", "runAsNonRoot"),
        ("/spec/securityContext", "seccompProfile"),
        ("/spec/containers/0/securityContext", "allowPrivilegeEscalation"),
        ("/spec/containers/0/securityContext", "capabilities"),
    ] {
        let mut pod = pod.clone();
        let context = pod.pointer_mut(context).and_then(Value::as_object_mut).expect("a context");
        context.remove(field).expect("the field is there");
        let answer = client.try_apply(&pod, false).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "without {field}: {}", answer.body);
    }
}

#[test]
fn the_chart_renders_what_kustomize_does() {
    let monitoring =
        "monitoring.serviceMonitor=true,monitoring.prometheusRule=true,monitoring.dashboard=true";
    let mut monitored = kustomize("overlays/monitoring");
    monitored.retain(|object| object["kind"] != "Namespace");
    for (name, kustomize, helm) in [
        ("base", kustomize("base"), helm(NAMESPACE, &[])),
        ("monitoring", monitored, helm(NAMESPACE, &["--set", monitoring])),
        (
            "namespaced",
            kustomize("overlays/namespaced"),
            helm("shop", &["--set", "namespaces={shop}"]),
        ),
    ] {
        assert_same(name, kustomize, helm);
    }
}

#[test]
fn a_new_configuration_restarts_the_pod() {
    let template = |objects: &[Value]| only(objects, "StatefulSet")["spec"]["template"].clone();
    let changed = helm(NAMESPACE, &["--set", "config.cluster=other"]);
    assert_ne!(template(&changed), template(&helm(NAMESPACE, &[])));
    let base = kustomize("base");
    let name = only(&base, "ConfigMap")["metadata"]["name"].as_str().expect("a name").to_owned();
    assert!(name.starts_with("kube-event-relay-"), "{name} has a hash");
    assert!(template(&base).to_string().contains(&name));
}

#[test]
fn the_chart_has_no_fault_that_helm_knows() {
    let chart = repository("deploy/helm/kube-event-relay");
    let mut command = std::process::Command::new(rig::helm());
    crate::rendering::output(command.args(["lint", "--strict"]).arg(chart));
}

/// Seconds of a setting such as `20s`.
fn seconds(setting: &Value) -> u64 {
    let text = setting.as_str().expect("a duration");
    text.strip_suffix('s').and_then(|digits| digits.parse().ok()).expect("seconds")
}

/// The program accepts the configuration, and what the manifest promises it has room for: its drain, its log, and
/// what it was measured to take.
#[test]
fn the_configuration_is_valid_and_fits_its_pod() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, _, objects) in renderings() {
        let set = only(&objects, "StatefulSet");
        let container = &set["spec"]["template"]["spec"]["containers"][0];
        let flags =
            container["command"].as_array().map_or(&container["args"], |_| &container["command"]);
        if flags[0] != "run" {
            continue;
        }
        let config = objects.iter().find_map(|object| object["data"]["relay.yaml"].as_str());
        let path = folder.path().join("relay.yaml");
        std::fs::write(&path, config.expect("a configuration")).expect("written");
        let checked = program(&["config", "check", "--config", path.to_str().expect("text")]);
        assert_eq!(checked.code, Some(0), "{name}: {checked:?}");

        let config: Value = serde_saphyr::from_str(config.expect("a configuration")).expect("YAML");
        let grace = set["spec"]["template"]["spec"]["terminationGracePeriodSeconds"].as_u64();
        let drain = Duration::from_secs(seconds(&config["drainDeadline"]));
        assert!(Duration::from_secs(grace.expect("a grace period")) >= drain * 2, "{name}");
        let mounts = container["volumeMounts"].as_array().expect("mounts");
        let data = mounts.iter().find(|mount| mount["name"] == "data").expect("a volume for data");
        assert_eq!(data["mountPath"], config["log"]["dataDir"], "{name}");
    }
    let text = std::fs::read_to_string(repository("docs/performance.md")).expect("the figures");
    assert!(
        text.contains("| 10,000,000 | **96** "),
        "the most memory that was measured is not 96 MiB any more"
    );
}

/// The container of an older manifest runs unchanged, whatever name the binary has.
#[test]
fn the_command_line_of_kube_eventer_is_understood() {
    let objects = kustomize("overlays/kube-eventer");
    let container = &only(&objects, "StatefulSet")["spec"]["template"]["spec"]["containers"][0];
    let command = container["command"].as_array().expect("a command").iter();
    let flags: Vec<_> = command.map(|flag| flag.as_str().expect("a text")).collect();
    assert_eq!(flags[0], "/kube-eventer");
    let folder = tempfile::tempdir().expect("a folder");
    let data = format!("--data-dir={}", folder.path().display());
    let mut check = vec!["config", "check", "--"];
    check.extend(&flags[1..]);
    check.push(&data);
    let checked = program(&check);
    assert_eq!((checked.code, container.get("args")), (Some(0), None), "{checked:?}");
}

#[test]
fn the_rules_of_both_ways_are_in_one_file() {
    let text =
        std::fs::read_to_string(repository("deploy/kustomize/base/rbac.yaml")).expect("a file");
    let kinds: Vec<_> = objects(&text).into_iter().map(|object| object["kind"].clone()).collect();
    assert_eq!(kinds, ["ServiceAccount", "ClusterRole", "ClusterRoleBinding"]);
}
