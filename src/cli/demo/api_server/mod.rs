//! A small Kubernetes API server that knows nothing but events.
//!
//! It behaves as a kube-apiserver does where a careful client can tell the difference: pages of a
//! list come from one snapshot, a watch sends every change strictly after its resourceVersion and
//! in order, and what is older than its history is answered with 410, which a watch sends as an
//! ERROR item. Like a kube-apiserver it sends no bookmarks for events.
//!
//! Not only for the demo: benchmarks drive it too, so it holds objects as bytes and copies them
//! to the wire. It serves no TLS and checks no credentials, and listens on 127.0.0.1 only.

mod failure;
mod history;
mod routes;
mod store;
mod watch;

pub use history::{Expired, NotNamed};
pub use store::EventStore;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

/// A running API server. Dropping it ends it, watches included.
#[derive(Debug)]
pub struct ApiServer {
    address: SocketAddr,
    stop: DropGuard,
    task: JoinHandle<io::Result<()>>,
}

impl ApiServer {
    /// Serves the events of `store` on a free port of 127.0.0.1.
    pub async fn start(store: EventStore) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let server = axum::serve(listener, routes::all(store, stop.clone()))
            .with_graceful_shutdown(stop.clone().cancelled_owned());
        let task = tokio::spawn(server.into_future());
        Ok(Self { address, stop: stop.drop_guard(), task })
    }

    /// Its address, such as `http://127.0.0.1:40123`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Ends all watches, then the server.
    pub async fn stop(self) -> io::Result<()> {
        drop(self.stop);
        self.task.await?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::demo::testing::http;
    use serde_json::{Value, json};
    use std::time::Duration;

    /// Longer than any of these tests takes.
    const PATIENCE: Duration = Duration::from_secs(20);

    fn event(namespace: &str, name: &str) -> Value {
        json!({"metadata": {"namespace": namespace, "name": name}})
    }

    async fn server(store: &EventStore) -> ApiServer {
        ApiServer::start(store.clone()).await.expect("a free port")
    }

    async fn get(server: &ApiServer, path: &str) -> (u16, Value) {
        let answer = http().get(server.url() + path).send().await.expect("an answer");
        (answer.status().as_u16(), answer.json().await.expect("JSON"))
    }

    /// The items of a watch as `TYPE name@version`, until it has sent `count` or has ended.
    async fn watch(server: &ApiServer, query: &str, count: usize) -> Vec<String> {
        let url = format!("{}/api/v1/{query}", server.url());
        let mut answer = http().get(url).send().await.expect("an answer");
        let (mut text, mut lines) = (String::new(), 0);
        while lines < count {
            let chunk = tokio::time::timeout(PATIENCE, answer.chunk()).await.expect("in time");
            let Some(chunk) = chunk.expect("no error") else { break };
            text.push_str(std::str::from_utf8(&chunk).expect("UTF-8"));
            lines = text.lines().count();
        }
        text.lines().map(|line| describe(&serde_json::from_str(line).expect("JSON"))).collect()
    }

    fn describe(item: &Value) -> String {
        let text = |pointer| item.pointer(pointer).and_then(Value::as_str).unwrap_or("-");
        assert_ne!(text("/object/kind"), "-", "objects of a watch carry their kind");
        let version = text("/object/metadata/resourceVersion");
        format!("{} {}@{version}", text("/type"), text("/object/metadata/name"))
    }

    #[tokio::test]
    async fn a_list_and_a_watch_from_its_version_miss_nothing() {
        let store = EventStore::new(1_000);
        let server = server(&store).await;
        for name in ["a", "b", "c"] {
            store.put(event("shop", name)).expect("named");
        }
        let (_, list) = get(&server, "/api/v1/events").await;
        assert_eq!(list["items"].as_array().map(Vec::len), Some(3));
        let version = list["metadata"]["resourceVersion"].as_str().expect("a version").to_owned();
        store.put(event("shop", "a")).expect("named");
        let query = format!("events?watch=1&resourceVersion={version}");
        let watching = watch(&server, &query, 4);
        let changing = async {
            store.put(event("bank", "d")).expect("named");
            store.delete("shop", "b").expect("there");
            tokio::task::yield_now().await;
            store.put(event("shop", "b")).expect("named");
        };
        let (items, ()) = tokio::join!(watching, changing);
        assert_eq!(items, ["MODIFIED a@4004", "ADDED d@4005", "DELETED b@4006", "ADDED b@4007"]);
    }

    #[tokio::test]
    async fn pages_show_one_snapshot_although_it_changes_meanwhile() {
        let store = EventStore::new(1_000);
        let server = server(&store).await;
        for name in ["a", "b", "c"] {
            store.put(event("shop", name)).expect("named");
        }
        let (_, first) = get(&server, "/api/v1/events?limit=2").await;
        store.delete("shop", "c").expect("there");
        store.put(event("shop", "d")).expect("named");
        let token = first["metadata"]["continue"].as_str().expect("more").to_owned();
        let next = format!("/api/v1/events?limit=2&continue={token}");
        let (_, second) = get(&server, &next).await;
        assert_eq!(second["items"][0]["metadata"]["name"], "c");
        assert_eq!(second["items"].as_array().map(Vec::len), Some(1));
        assert_eq!(second["metadata"]["continue"], "");
        assert_eq!(second["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);

        store.compact(store.latest());
        let (code, status) = get(&server, &next).await;
        assert_eq!((code, &status["kind"], &status["code"]), (410, &json!("Status"), &json!(410)));
    }

    #[tokio::test]
    async fn a_watch_from_a_version_that_is_too_old_says_so_and_ends() {
        let store = EventStore::new(2);
        let server = server(&store).await;
        for _ in 0..4 {
            store.put(event("shop", "a")).expect("named");
        }
        let url = format!("{}/api/v1/events?watch=1&resourceVersion=4001", server.url());
        let answer = http().get(url).send().await.expect("an answer");
        assert_eq!(answer.status().as_u16(), 200);
        let item: Value = answer.json().await.expect("one item");
        assert_eq!((&item["type"], &item["object"]["code"]), (&json!("ERROR"), &json!(410)));
        let items = watch(&server, "events?watch=1&resourceVersion=4002", 2).await;
        assert_eq!(items, ["MODIFIED a@4003", "MODIFIED a@4004"]);
    }

    #[tokio::test]
    async fn a_namespace_is_watched_alone() {
        let store = EventStore::new(1_000);
        let server = server(&store).await;
        for (namespace, name) in [("shop", "a"), ("bank", "b"), ("shop", "c")] {
            store.put(event(namespace, name)).expect("named");
        }
        let query = "namespaces/shop/events?watch=true";
        assert_eq!(watch(&server, query, 2).await, ["ADDED a@4001", "ADDED c@4003"]);
        let (_, list) = get(&server, "/api/v1/namespaces/bank/events").await;
        assert_eq!(list["items"].as_array().map(Vec::len), Some(1));
        let (_, cluster) = get(&server, "/api/v1/namespaces/kube-system").await;
        assert!(cluster["metadata"]["uid"].is_string());
        assert_eq!(get(&server, "/api/v1/namespaces/shop").await.0, 404);
        assert_eq!(get(&server, "/api/v1/pods").await.0, 404);
    }

    #[tokio::test]
    async fn a_quiet_watch_ends_at_its_timeout_and_when_the_server_stops() {
        let store = EventStore::new(1_000);
        let server = server(&store).await;
        let nothing: Vec<String> = Vec::new();
        let query = "events?watch=1&timeoutSeconds=0&resourceVersion=4000";
        assert_eq!(watch(&server, query, 1).await, nothing);

        let url = format!("{}/api/v1/events?watch=1&resourceVersion=4000", server.url());
        let mut quiet = http().get(url).send().await.expect("an answer");
        tokio::time::timeout(PATIENCE, server.stop()).await.expect("in time").expect("stopped");
        assert_eq!(quiet.chunk().await.expect("a clean end"), None);
    }
}
