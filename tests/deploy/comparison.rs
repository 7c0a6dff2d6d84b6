//! Renderings of kustomize and of the chart, compared.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::rendering::NAMESPACE;

/// Both ways render the same objects.
pub(crate) fn assert_same(name: &str, kustomize: Vec<Value>, helm: Vec<Value>) {
    let (kustomize, helm) = (comparable(kustomize), comparable(helm));
    let keys = |objects: &BTreeMap<String, Value>| objects.keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&kustomize), keys(&helm), "{name}");
    for (key, object) in &kustomize {
        assert_eq!(object, &helm[key], "{name}: {key}");
    }
}

/// Labels that are usual for charts.
const OF_HELM: [&str; 3] =
    ["app.kubernetes.io/instance", "app.kubernetes.io/managed-by", "helm.sh/chart"];

/// Objects by kind, namespace and name, without what the two ways must do differently: kustomize puts a hash of the
/// configuration into the name of its ConfigMap, the chart puts one into an annotation of the pod. Both restart it.
fn comparable(objects: Vec<Value>) -> BTreeMap<String, Value> {
    let hashed = objects.iter().filter(|object| object["kind"] == "ConfigMap");
    let hashed = hashed.filter_map(|object| object["metadata"]["name"].as_str());
    let hashed: Vec<_> =
        hashed.filter(|name| name.starts_with("kube-event-relay-")).map(str::to_owned).collect();
    let same = objects.into_iter().map(|object| {
        let mut text = object.to_string();
        for name in hashed.iter().filter(|name| !name.ends_with("-dashboard")) {
            text = text.replace(name.as_str(), NAMESPACE);
        }
        let mut object: Value = serde_json::from_str(&text).expect("JSON");
        if let Some(metadata) = object.pointer_mut("/spec/template/metadata") {
            let metadata = metadata.as_object_mut().expect("an object");
            if let Some(mut annotations) = metadata.remove("annotations") {
                let checksum =
                    annotations.as_object_mut().expect("annotations").remove("checksum/config");
                assert!(checksum.is_some() && annotations == json!({}), "{annotations}");
            }
        }
        if let Some(labels) = object.pointer_mut("/metadata/labels").and_then(Value::as_object_mut)
        {
            labels.retain(|label, _| !OF_HELM.contains(&label.as_str()));
        }
        if let Some(config) = object.pointer_mut("/data/relay.yaml") {
            *config = serde_saphyr::from_str(config.as_str().expect("a file")).expect("YAML");
        }
        let metadata = &object["metadata"];
        (format!("{} {} {}", object["kind"], metadata["namespace"], metadata["name"]), object)
    });
    same.collect()
}
