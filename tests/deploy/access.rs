//! The rights that the manifests give are enough, each is needed, and there are no more: the relay runs with the token
//! of the service account that was applied.

use std::path::PathBuf;
use std::time::Duration;

use http::{Method, StatusCode};
use rig::{Client, Cluster, EventSpec, Receiver};
use serde_json::{Value, json};

use crate::harness::continuous::{NAMESPACE as EVENTS, Observed};
use crate::harness::{PATIENCE, Setup};
use crate::rendering::{NAMESPACE, helm, kustomize, restricted};

/// What a relay says that may not read the cluster's identity.
const UNIDENTIFIED: &str = "kube-system may not be read";

/// Only what gives rights, and whom.
fn rights(mut objects: Vec<Value>) -> Vec<Value> {
    let kinds = ["ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"];
    objects.retain(|object| kinds.iter().any(|kind| object["kind"] == *kind));
    objects
}

/// Applies rights in a namespace of their account, and returns a kubeconfig of that account and its token.
async fn account(cluster: &Cluster, namespace: &str, rights: &[Value]) -> (PathBuf, String) {
    let client = cluster.client();
    client.apply(&restricted(namespace), false).await;
    for object in rights {
        client.apply(object, false).await;
    }
    let token = client.token(namespace, "kube-event-relay", Duration::from_secs(600)).await;
    (cluster.write_kubeconfig(cluster.url(), &token), token)
}

async fn is_forbidden(account: &Client, requests: &[(Method, &str)]) {
    for (method, path) in requests {
        let answer = account.send(method.clone(), path, None).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{method} {path}");
    }
}

fn says(observed: &Observed, text: &str) -> bool {
    observed.relay.lines().iter().any(|line| line.text.contains(text))
}

/// The base, applied as it is, is enough, also for the identity of the cluster; it gives no right beyond that.
#[tokio::test(flavor = "multi_thread")]
async fn the_rights_of_the_installation_are_enough_and_no_more() {
    let cluster = Cluster::start().await;
    let client = cluster.client();
    let (kubeconfig, token) = account(&cluster, NAMESPACE, &rights(kustomize("base"))).await;
    let observed = Observed::start(&cluster.folder().join("base"), &kubeconfig);
    observed.passes(client, "by-the-manifest").await;
    observed.ready().await;
    assert!(!says(&observed, UNIDENTIFIED));

    let event = client.create_event(EVENTS, &EventSpec::new("not-to-be-touched")).await;
    let event = format!("/api/v1/namespaces/{EVENTS}/events/{}", event.name);
    is_forbidden(
        &cluster.client_with_token(&token),
        &[
            (Method::GET, &event),
            (Method::DELETE, &event),
            (Method::GET, "/api/v1/secrets"),
            (Method::GET, "/api/v1/pods"),
            (Method::GET, "/api/v1/namespaces"),
            (Method::GET, "/api/v1/namespaces/default"),
            (Method::GET, "/api/v1/namespaces/kube-system/configmaps"),
            (Method::GET, "/api/v1/namespaces/kube-event-relay/secrets/kube-event-relay"),
        ],
    )
    .await;
    observed.has_all(client).await;
}

/// Each verb of each rule, and what the relay says without it.
fn verbs(objects: &[Value]) -> Vec<(usize, String, String)> {
    let role = objects.iter().find(|object| object["kind"] == "ClusterRole").expect("a role");
    let rules = role["rules"].as_array().expect("rules").iter().enumerate();
    let verbs = rules.flat_map(|(index, rule)| {
        let verbs = rule["verbs"].as_array().expect("verbs").iter();
        verbs.map(move |verb| {
            let verb = verb.as_str().expect("a verb").to_owned();
            let said = match rule["resources"][0].as_str().expect("a resource") {
                "events" => format!("verb {verb} on events in all namespaces is missing"),
                "namespaces" => UNIDENTIFIED.to_owned(),
                other => panic!("nothing is known to be missed without {verb} on {other}"),
            };
            (index, verb, said)
        })
    });
    verbs.collect()
}

/// The same objects in a namespace of their own, under names of their own, without one verb of one rule.
fn without(objects: &[Value], index: usize, verb: &str, namespace: &str) -> Vec<Value> {
    let mut objects = objects.to_vec();
    for object in &mut objects {
        if let Some(rules) = object.get_mut("rules") {
            let verbs = rules[index]["verbs"].as_array_mut().expect("verbs");
            verbs.retain(|it| it != verb);
            if verbs.is_empty() {
                rules.as_array_mut().expect("rules").remove(index);
            }
        }
    }
    let text = serde_json::to_string(&objects).expect("JSON");
    let mut objects: Vec<Value> =
        serde_json::from_str(&text.replace("\"kube-event-relay\"", &format!("{namespace:?}")))
            .expect("JSON");
    for object in &mut objects {
        // Only the account keeps its name.
        if object["kind"] == "ServiceAccount" {
            object["metadata"]["name"] = json!("kube-event-relay");
        }
        if let Some(subjects) = object.get_mut("subjects") {
            subjects[0]["name"] = json!("kube-event-relay");
        }
    }
    objects
}

/// Every right is used: without it the relay says what it misses.
#[tokio::test(flavor = "multi_thread")]
async fn every_right_is_needed() {
    let cluster = Cluster::start().await;
    let objects = rights(kustomize("base"));
    let verbs = verbs(&objects);
    assert_eq!(verbs.len(), 3, "list and watch events, get kube-system: {verbs:?}");
    for (number, (index, verb, said)) in verbs.iter().enumerate() {
        let namespace = format!("without-{number}");
        let objects = without(&objects, *index, verb, &namespace);
        let (kubeconfig, _) = account(&cluster, &namespace, &objects).await;
        let observed = Observed::start(&cluster.folder().join(&namespace), &kubeconfig);
        let line = observed.relay.wait_for_line(PATIENCE, |line| line.contains(said)).await;
        println!("without {verb}: {}", line.text);
        assert!(observed.relay.terminate().await.success());
    }
}

/// With roles instead of a cluster role it reads its namespace, and may read nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn the_namespaced_rights_are_enough_and_no_more() {
    let cluster = Cluster::start().await;
    let client = cluster.client();
    for (name, objects) in [
        ("kustomize", kustomize("overlays/namespaced")),
        ("helm", helm("shop", &["--set", "namespaces={shop}"])),
    ] {
        let rights = rights(objects);
        assert!(
            rights.iter().all(|object| !object["kind"].to_string().contains("Cluster")),
            "{name}"
        );
        let (kubeconfig, token) = account(&cluster, "shop", &rights).await;
        let folder = cluster.folder().join(name);
        let observed = Observed::start_with(&folder, &kubeconfig, "namespaces: [shop]");
        observed.ready().await;
        let event = client.create_event("shop", &EventSpec::new(name)).await;
        observed.arrives(&event).await;
        let others =
            [(Method::GET, "/api/v1/events"), (Method::GET, "/api/v1/namespaces/default/events")];
        is_forbidden(&cluster.client_with_token(&token), &others).await;
        assert!(observed.relay.terminate().await.success());
        for object in &rights {
            let path = format!(
                "{}/{}",
                client.collection(object).await,
                object["metadata"]["name"].as_str().expect("a name")
            );
            client.delete(&path).await;
        }
    }
}

/// A template that is in a ConfigMap is read with the right for that one, which is there only when it was asked for.
#[tokio::test(flavor = "multi_thread")]
async fn a_template_is_read_with_the_right_for_its_config_map_alone() {
    let cluster = Cluster::start().await;
    let client = cluster.client();
    let values =
        "templateConfigMaps[0].namespace=kube-event-relay,templateConfigMaps[0].name=template";
    let rights = rights(helm(NAMESPACE, &["--set", values]));
    let (kubeconfig, token) = account(&cluster, NAMESPACE, &rights).await;
    let template = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "template", "namespace": NAMESPACE},
        "data": {"body": "{\"told\": \"{{ .Reason }}\"}"},
    });
    client.apply(&template, false).await;
    let receiver = Receiver::start();
    let sink = format!(
        "{{name: told, kind: webhook, options: {{url: \"{}\", body: {{configMap: {{namespace: {NAMESPACE}, name: template, key: body}}}}}}}}",
        receiver.url()
    );
    let folder = cluster.folder().join("template");
    std::fs::create_dir(&folder).expect("a folder");
    let relay = Setup::new(&folder, &kubeconfig).sink(&sink).relay().start();
    client.create_event(EVENTS, &EventSpec::new("templated")).await;
    let requests = receiver.wait_for(PATIENCE, |requests| !requests.is_empty()).await;
    assert_eq!(requests[0].json(), json!({"told": "Tested"}));
    assert!(relay.terminate().await.success());
    let others = [
        (Method::GET, "/api/v1/namespaces/kube-event-relay/configmaps"),
        (Method::GET, "/api/v1/namespaces/kube-event-relay/configmaps/kube-event-relay"),
    ];
    is_forbidden(&cluster.client_with_token(&token), &others).await;
}
