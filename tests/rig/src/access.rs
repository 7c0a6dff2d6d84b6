//! Namespaces, service accounts and their rights.
//!
//! Invariant: a service account can do what its roles say and no more; the API
//! server checks it by RBAC. So a test can run the relay with the very rights that
//! its installation manifest gives.

use crate::client::Client;
use serde_json::{Value, json};
use std::time::Duration;

const ROLES: &str = "/apis/rbac.authorization.k8s.io/v1";

impl Client {
    /// Creates a namespace.
    pub async fn create_namespace(&self, name: &str) {
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        self.post("/api/v1/namespaces", &namespace).await;
    }

    /// The uid of a namespace; that of `kube-system` serves to name a cluster.
    pub async fn namespace_uid(&self, name: &str) -> String {
        let namespace = self.get(&format!("/api/v1/namespaces/{name}")).await;
        namespace["metadata"]["uid"].as_str().expect("a uid").to_owned()
    }

    /// Creates a service account.
    pub async fn create_service_account(&self, namespace: &str, name: &str) {
        let account =
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}});
        self.post(&format!("/api/v1/namespaces/{namespace}/serviceaccounts"), &account).await;
    }

    /// Gives a service account rights in the whole cluster by a `ClusterRole` of its
    /// own. `rules` is the list as in a manifest, such as
    /// `[{"apiGroups": [""], "resources": ["events"], "verbs": ["list", "watch"]}]`.
    pub async fn grant_in_cluster(&self, namespace: &str, account: &str, rules: &Value) {
        self.grant("Cluster", ROLES, namespace, account, rules).await;
    }

    /// Gives a service account rights in `target`, a namespace, by a `Role`.
    pub async fn grant_in_namespace(
        &self,
        target: &str,
        namespace: &str,
        account: &str,
        rules: &Value,
    ) {
        let path = format!("{ROLES}/namespaces/{target}");
        self.grant("", &path, namespace, account, rules).await;
    }

    async fn grant(&self, scope: &str, path: &str, namespace: &str, account: &str, rules: &Value) {
        const API: &str = "rbac.authorization.k8s.io/v1";
        let plural = scope.to_lowercase();
        let name = format!("{namespace}-{account}");
        let role = json!({
            "apiVersion": API,
            "kind": format!("{scope}Role"),
            "metadata": {"name": name},
            "rules": rules,
        });
        self.post(&format!("{path}/{plural}roles"), &role).await;
        let binding = json!({
            "apiVersion": API,
            "kind": format!("{scope}RoleBinding"),
            "metadata": {"name": name},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": format!("{scope}Role"),
                "name": name,
            },
            "subjects": [{"kind": "ServiceAccount", "namespace": namespace, "name": account}],
        });
        self.post(&format!("{path}/{plural}rolebindings"), &binding).await;
    }

    /// Removes what [`Client::grant_in_cluster`] gave.
    pub async fn revoke_in_cluster(&self, namespace: &str, account: &str) {
        self.delete(&format!("{ROLES}/clusterrolebindings/{namespace}-{account}")).await;
        self.delete(&format!("{ROLES}/clusterroles/{namespace}-{account}")).await;
    }

    /// Issues a token for a service account; ten minutes is the shortest lifetime
    /// that Kubernetes allows.
    pub async fn token(&self, namespace: &str, account: &str, lifetime: Duration) -> String {
        let request = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": lifetime.as_secs()},
        });
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token");
        let answer = self.post(&path, &request).await;
        answer["status"]["token"].as_str().expect("a token").to_owned()
    }

    /// A service account in `default` with these rights in the whole cluster, and a
    /// token of ten minutes for it.
    pub async fn least_privilege_token(&self, account: &str, rules: &Value) -> String {
        self.create_service_account("default", account).await;
        self.grant_in_cluster("default", account, rules).await;
        self.token("default", account, Duration::from_secs(600)).await
    }
}
