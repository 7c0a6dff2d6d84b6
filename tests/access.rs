//! Rights of the relay (`deploy/kustomize/base/rbac.yaml`) that are missing are named and tried again
//! by itself; credentials are read anew when they are replaced. Sinks go on meanwhile.

#![allow(clippy::expect_used)] // a test fails where an expectation is not met

mod harness;

use std::path::{Path, PathBuf};
use std::time::Duration;

use harness::continuous::{NAMESPACE, Observed, Writer};
use http::{Method, StatusCode};
use rig::{Client, Cluster, CreatedEvent, EventSpec, Kubeconfig, Proxy, Traffic};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

const PER_SECOND: u32 = 10;

/// Time between two looks at whether the API server has learned of a change.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// What an operator changed is noticed within a minute, and a bit for a busy machine.
const NOTICED: Duration = Duration::from_secs(75);

/// The manifest of the installation.
fn manifest() -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/kustomize/base/rbac.yaml");
    let text = std::fs::read_to_string(path).expect("the manifest");
    serde_saphyr::from_multiple(&text).expect("YAML")
}

/// The rules of the manifest with other verbs for events.
fn rules(verbs: &[&str]) -> Value {
    let role = manifest().into_iter().find(|object| object["kind"] == "ClusterRole");
    let mut rules = role.expect("a ClusterRole")["rules"].take();
    let events = rules.as_array_mut().expect("rules").iter_mut();
    let mut events = events.filter(|rule| rule["resources"] == json!(["events"]));
    events.next().expect("a rule for events")["verbs"] = json!(verbs);
    rules
}

/// Waits until the API server answers a request so: it learns of new roles and tokens by and by.
async fn until_answered(client: &Client, path: &str, status: StatusCode) {
    let begin = Instant::now();
    while client.send(Method::GET, path, None).await.status != status {
        assert!(begin.elapsed() < NOTICED, "{path} is not answered by {status}");
        sleep(LOOK_INTERVAL).await;
    }
}

/// Without the right to read namespace kube-system the relay does its work, and says what it cannot
/// check.
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_may_not_be_identified_is_relayed_all_the_same() {
    let cluster = Cluster::start().await;
    let client = cluster.client();
    let rules = json!([{"apiGroups": [""], "resources": ["events"], "verbs": ["list", "watch"]}]);
    let token = client.least_privilege_token("blind", &rules).await;
    let kubeconfig = cluster.write_kubeconfig(cluster.url(), &token);
    let observed = Observed::start(&cluster.folder().join("blind"), &kubeconfig);
    observed.passes(client, "unidentified").await;
    observed.ready().await;
    let hidden = |text: &str| text.contains("namespace kube-system may not be read");
    observed.relay.wait_for_line(harness::PATIENCE, hidden).await;
    observed.has_all(client).await;
}

/// A relay of an account whose rights are changed while it runs.
struct Limited<'a> {
    cluster: &'a Cluster,
    account: String,
    observed: Observed,
    proxy: Proxy,
    token: String,
}

impl<'a> Limited<'a> {
    async fn start(cluster: &'a Cluster, account: String) -> Self {
        let rules = rules(&["list", "watch"]);
        let token = cluster.client().least_privilege_token(&account, &rules).await;
        let proxy = Proxy::start(cluster.url());
        let kubeconfig = cluster.write_kubeconfig(&proxy.url(), &token);
        let observed = Observed::start(&cluster.folder().join(&account), &kubeconfig);
        observed.ready().await;
        Self { cluster, account, observed, proxy, token }
    }

    /// Gives these rights, and waits until `path` is answered accordingly.
    async fn grant(&self, verbs: &[&str], path: &str, status: StatusCode) {
        let role =
            format!("/apis/rbac.authorization.k8s.io/v1/clusterroles/default-{}", self.account);
        self.cluster.client().patch(&role, &json!({"rules": rules(verbs)})).await;
        until_answered(&self.cluster.client_with_token(&self.token), path, status).await;
    }

    /// Breaks all connections, so that the relay asks anew: a running watch is not checked again.
    async fn reconnect(&self) {
        self.proxy.switch(Traffic::Refuse).await;
        self.proxy.switch(Traffic::Pass).await;
    }
}

const LIST: &str = "/api/v1/events?limit=1";
const WATCH: &str = "/api/v1/events?watch=1&timeoutSeconds=1";

/// A verb is taken away while records wait for a receiver that is down: readiness and log name what
/// is missing, the records are delivered all the same, and the stream comes back when the role is
/// right again.
async fn without(cluster: &Cluster, missing: &str, granted: &[&str], path: &str) {
    let limited = Limited::start(cluster, format!("without-{missing}")).await;
    let (observed, client) = (&limited.observed, cluster.client());
    observed.receiver.down().await;
    let waiting = client.create_event(NAMESPACE, &EventSpec::new(&format!("no-{missing}"))).await;
    in_the_log(observed, &waiting).await;

    limited.grant(granted, path, StatusCode::FORBIDDEN).await;
    limited.reconnect().await;
    let rule = format!("verb {missing} on events in all namespaces is missing");
    let (_, said) = observed.unready(&rule).await;
    assert!(said.contains("bind a ClusterRole"), "{said}");
    observed.relay.wait_for_line(harness::PATIENCE, |line| line.contains(&rule)).await;
    let meanwhile = EventSpec::new(&format!("meanwhile-no-{missing}"));
    let meanwhile = client.create_event(NAMESPACE, &meanwhile).await;
    observed.receiver.up();
    observed.arrives(&waiting).await;
    observed.unready(&rule).await;

    limited.grant(&["list", "watch"], path, StatusCode::OK).await;
    let took = observed.ready().await;
    println!("verb {missing} granted again: ready after {:.1} s", took.as_secs_f64());
    assert!(took < NOTICED, "{took:?}");
    observed.arrives(&meanwhile).await;
    limited.observed.has_all(client).await;
}

/// Waits until the frontier has reached an event.
async fn in_the_log(observed: &Observed, event: &CreatedEvent) {
    let begin = Instant::now();
    loop {
        let status = observed.relay.get_json("/api/v1/status").await;
        let frontier = status["streams"][0]["frontier"].as_str().and_then(|text| text.parse().ok());
        if frontier >= Some(event.resource_version) {
            return;
        }
        assert!(begin.elapsed() < harness::PATIENCE, "{event:?} is not in the log: {status}");
        sleep(LOOK_INTERVAL).await;
    }
}

/// One of two namespaces may not be read: it is named, and the other goes on.
async fn without_a_namespace(cluster: &Cluster) {
    let client = cluster.client();
    client.create_namespace("closed").await;
    client.create_service_account("default", "partly").await;
    let rules = json!([{"apiGroups": [""], "resources": ["events"], "verbs": ["list", "watch"]}]);
    client.grant_in_namespace(NAMESPACE, "default", "partly", &rules).await;
    let token = client.token("default", "partly", Duration::from_secs(600)).await;
    let kubeconfig = cluster.write_kubeconfig(cluster.url(), &token);
    let folder = cluster.folder().join("partly");
    let namespaces = format!("namespaces: [{NAMESPACE}, closed]");
    let observed = Observed::start_with(&folder, &kubeconfig, &namespaces);
    let closed = client.create_event("closed", &EventSpec::new("behind-a-door")).await;
    let rule = "verb list on events in namespace closed is missing: bind a Role there";
    observed.unready(rule).await;
    observed.passes(client, "beside-a-door").await;
    let (_, said) = observed.unready(rule).await;
    assert!(!said.contains("namespace default"), "{said}");

    client.grant_in_namespace("closed", "default", "partly", &rules).await;
    let took = observed.ready().await;
    println!("namespace opened: ready after {:.1} s", took.as_secs_f64());
    assert!(took < NOTICED, "{took:?}");
    observed.arrives(&closed).await;
    assert!(observed.relay.terminate().await.success());
}

/// Each missing right at a relay of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_missing_right_is_named_and_the_stream_comes_back_when_it_is_granted() {
    let cluster = Cluster::start().await;
    tokio::join!(
        without(&cluster, "watch", &["list"], WATCH),
        without(&cluster, "list", &["watch"], LIST),
        without_a_namespace(&cluster),
    );
}

/// An account whose tokens end with the secrets they are bound to, and the file of its newest token.
struct Rotating<'a> {
    cluster: &'a Cluster,
    file: PathBuf,
    observed: Observed,
    proxy: Proxy,
}

impl<'a> Rotating<'a> {
    /// A relay that reads its token from a file. The first secret is `name`-1.
    async fn start(cluster: &'a Cluster, name: &str) -> Self {
        let rules = rules(&["list", "watch"]);
        cluster.client().least_privilege_token(name, &rules).await;
        let folder = cluster.folder().join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        let file = folder.join("token");
        issue(cluster, name, 1, &file).await;
        let proxy = Proxy::start(cluster.url());
        let kubeconfig = folder.join("kubeconfig");
        Kubeconfig::new(&proxy.url())
            .authority(cluster.ca_path())
            .token_file(&file)
            .write(&kubeconfig);
        let observed = Observed::start(&folder, &kubeconfig);
        observed.ready().await;
        Self { cluster, file, observed, proxy }
    }

    /// Deletes the secret of a token, and waits until the API server no longer accepts the token:
    /// it remembers for ten seconds that it did.
    async fn revoke(&self, secret: &str, token: &str) {
        self.cluster.client().delete(&format!("/api/v1/namespaces/default/secrets/{secret}")).await;
        until_answered(&self.cluster.client_with_token(token), LIST, StatusCode::UNAUTHORIZED)
            .await;
    }

    fn token(&self) -> String {
        std::fs::read_to_string(&self.file).expect("the token")
    }

    /// The running watch was accepted with the old token; what comes now is not.
    async fn reconnect(&self) {
        self.proxy.switch(Traffic::Refuse).await;
        self.proxy.switch(Traffic::Pass).await;
    }
}

/// Puts a token that is bound to a new secret into a file, at once and whole, as the kubelet does.
async fn issue(cluster: &Cluster, account: &str, number: u32, file: &Path) {
    let name = format!("{account}-{number}");
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}});
    let secret = cluster.client().post("/api/v1/namespaces/default/secrets", &secret).await;
    let request = json!({
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": 600, "boundObjectRef": {
            "apiVersion": "v1", "kind": "Secret", "name": name, "uid": secret["metadata"]["uid"],
        }},
    });
    let path = format!("/api/v1/namespaces/default/serviceaccounts/{account}/token");
    let answer = cluster.client().post(&path, &request).await;
    let token = answer["status"]["token"].as_str().expect("a token");
    until_answered(&cluster.client_with_token(token), LIST, StatusCode::OK).await;
    let new = file.with_extension("new");
    std::fs::write(&new, token).expect("written");
    std::fs::rename(&new, file).expect("replaced");
}

/// The file is replaced before the old token ends: nobody notices.
async fn replaced_in_time(cluster: &Cluster) {
    let rotating = Rotating::start(cluster, "in-time").await;
    let old = rotating.token();
    issue(cluster, "in-time", 2, &rotating.file).await;
    rotating.revoke("in-time-1", &old).await;
    rotating.reconnect().await;
    let observed = &rotating.observed;
    let took = observed.passes(cluster.client(), "replaced-in-time").await;
    observed.ready().await;
    println!("token replaced in time: an event took {:.1} s", took.as_secs_f64());
    assert!(took < Duration::from_secs(20), "{took:?}");
    let refused = |text: &str| text.contains("does not accept the relay's credentials");
    assert!(!observed.relay.lines().iter().any(|line| refused(&line.text)));
    rotating.observed.has_all(cluster.client()).await;
}

/// The file is replaced only after the old token has ended: the relay says so and comes back.
async fn replaced_too_late(cluster: &Cluster) {
    let rotating = Rotating::start(cluster, "too-late").await;
    rotating.revoke("too-late-1", &rotating.token()).await;
    rotating.reconnect().await;
    let observed = &rotating.observed;
    observed.unready("does not accept the relay's credentials").await;
    issue(cluster, "too-late", 2, &rotating.file).await;
    let took = observed.ready().await;
    println!("token replaced too late: ready after {:.1} s", took.as_secs_f64());
    assert!(took < NOTICED, "{took:?}");
    observed.passes(cluster.client(), "replaced-too-late").await;
    rotating.observed.has_all(cluster.client()).await;
}

/// While events are created all the time.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_replaced_while_the_relay_runs() {
    let cluster = Cluster::start().await;
    let writer = Writer::start(cluster.client(), PER_SECOND);
    tokio::join!(replaced_in_time(&cluster), replaced_too_late(&cluster));
    drop(writer);
}
