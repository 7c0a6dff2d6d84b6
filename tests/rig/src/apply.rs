//! Manifests on the API server, as `kubectl apply --server-side` puts them there.
//!
//! Invariant: a field that the API server does not know is an error, not passed over.

use crate::client::{Answer, Client};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Time between two looks at whether a definition is served.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// How long that may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Name of the applier: it owns the fields.
const MANAGER: &str = "rig";

impl Client {
    /// Applies an object; with `dry_run` only as far as admission. Panics unless that is accepted.
    pub async fn apply(&self, object: &Value, dry_run: bool) -> Value {
        let answer = self.try_apply(object, dry_run).await;
        assert!(answer.status.is_success(), "{} for {object}", answer.body);
        answer.body
    }

    /// The same, whatever the answer.
    pub async fn try_apply(&self, object: &Value, dry_run: bool) -> Answer {
        let collection = self.collection(object).await;
        let name = text(&object["metadata"]["name"]);
        let dry_run = if dry_run { "&dryRun=All" } else { "" };
        let path = format!(
            "{collection}/{name}?fieldManager={MANAGER}&force=true&fieldValidation=Strict{dry_run}"
        );
        let request = self.request(Method::PATCH, &path);
        let request = request.header("content-type", "application/apply-patch+yaml");
        let body = serde_json::to_vec(object).expect("JSON");
        let answer = request.body(body).send().await;
        let answer = answer.unwrap_or_else(|problem| panic!("{path}: {problem:?}"));
        let status = answer.status();
        Answer { status, body: answer.json().await.expect("an answer of the API server") }
    }

    /// Applies the definition of a custom resource, and waits until it is served.
    pub async fn define(&self, definition: &Value) {
        self.apply(definition, false).await;
        let group = text(&definition["spec"]["group"]);
        let plural = text(&definition["spec"]["names"]["plural"]);
        let version = text(&definition["spec"]["versions"][0]["name"]);
        let path = format!("/apis/{group}/{version}/{plural}");
        let begin = Instant::now();
        while self.send(Method::GET, &path, None).await.status != StatusCode::OK {
            assert!(begin.elapsed() < PATIENCE, "{path} is not served");
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    /// Where objects of this kind are, by what the API server says of its kinds.
    pub async fn collection(&self, object: &Value) -> String {
        let version = text(&object["apiVersion"]);
        let root = if version.contains('/') { "apis" } else { "api" };
        let kinds = self.get(&format!("/{root}/{version}")).await;
        let kinds = kinds["resources"].as_array().expect("a list of kinds").clone();
        let is_it =
            |kind: &Value| kind["kind"] == object["kind"] && !text(&kind["name"]).contains('/');
        let kind = kinds.iter().find(|kind| is_it(kind));
        let kind = kind.unwrap_or_else(|| panic!("{version} has no {}", object["kind"]));
        let plural = text(&kind["name"]);
        if kind["namespaced"] == json!(true) {
            let namespace = text(&object["metadata"]["namespace"]);
            format!("/{root}/{version}/namespaces/{namespace}/{plural}")
        } else {
            format!("/{root}/{version}/{plural}")
        }
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is not a text"))
}
