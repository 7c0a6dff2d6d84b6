//! Manifests as their users' programs render them.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

/// Where everything is installed unless something else is said.
pub(crate) const NAMESPACE: &str = "kube-event-relay";

/// A file of the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// What `kubectl kustomize deploy/kustomize/FOLDER` prints.
pub(crate) fn kustomize(folder: &str) -> Vec<Value> {
    kustomize_at(&repository("deploy/kustomize").join(folder))
}

/// The same for a folder that lies anywhere.
pub(crate) fn kustomize_at(folder: &Path) -> Vec<Value> {
    let mut command = Command::new(rig::kubectl());
    objects(&output(command.arg("kustomize").arg(folder)))
}

/// What `helm template` prints for these further arguments.
pub(crate) fn helm(namespace: &str, arguments: &[&str]) -> Vec<Value> {
    let mut command = Command::new(rig::helm());
    command.args(["template", NAMESPACE, "--namespace", namespace]).args(arguments);
    objects(&output(command.arg(repository("deploy/helm/kube-event-relay"))))
}

/// What a program prints; it has to succeed.
pub(crate) fn output(command: &mut Command) -> String {
    let output = command.output().expect("the program starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let errors = text(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}{}", text(&output.stdout));
    text(&output.stdout)
}

/// The objects of a file with several.
pub(crate) fn objects(text: &str) -> Vec<Value> {
    let objects: Vec<Value> = serde_saphyr::from_multiple(text).expect("YAML");
    let mut objects: Vec<_> = objects.into_iter().filter(|object| !object.is_null()).collect();
    // As kubectl applies them.
    objects.sort_by_key(|object| object["kind"] != "Namespace");
    objects
}

/// The one object of a kind.
pub(crate) fn only<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    let mut found = objects.iter().filter(|object| object["kind"] == kind);
    let object = found.next().unwrap_or_else(|| panic!("there is no {kind}"));
    assert!(found.next().is_none(), "there is more than one {kind}");
    object
}

/// The namespace in which pods have to keep to the restricted standard.
pub(crate) fn restricted(name: &str) -> Value {
    let labels = json!({"pod-security.kubernetes.io/enforce": "restricted"});
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
}

/// The pod that the controller makes of a StatefulSet.
pub(crate) fn pod(set: &Value, name: &str) -> Value {
    let mut pod = set["spec"]["template"].clone();
    pod["apiVersion"] = json!("v1");
    pod["kind"] = json!("Pod");
    pod["metadata"]["name"] = json!(name);
    pod["metadata"]["namespace"] = set["metadata"]["namespace"].clone();
    let claim =
        json!({"name": "data", "persistentVolumeClaim": {"claimName": format!("data-{name}")}});
    pod["spec"]["volumes"].as_array_mut().expect("volumes").push(claim);
    pod
}
