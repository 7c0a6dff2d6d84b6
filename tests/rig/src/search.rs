//! A real search server: `OpenSearch` or Elasticsearch, alone for its owner.
//!
//! Invariant: it keeps its port and its data over kills and starts.

use crate::binaries::output;
use crate::client::plain_http_client;
use crate::port::ReservedPort;
use crate::process::{Output, Process};
use crate::server::{open_log, wait_until_ready};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Which server; the versions are those of `search/build.sh`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SearchProduct {
    /// `OpenSearch` 2.
    OpenSearch2,
    /// `OpenSearch` 3, which needs Java 21.
    OpenSearch3,
    /// Elasticsearch 6, the last one with types.
    Elasticsearch6,
    /// Elasticsearch 7.
    Elasticsearch7,
}

impl SearchProduct {
    fn name(self) -> &'static str {
        match self {
            Self::OpenSearch2 => "opensearch-2",
            Self::OpenSearch3 => "opensearch-3",
            Self::Elasticsearch6 => "elasticsearch-6",
            Self::Elasticsearch7 => "elasticsearch-7",
        }
    }

    fn transport_port(self) -> &'static str {
        if self == Self::Elasticsearch6 { "transport.tcp.port" } else { "transport.port" }
    }
}

/// A server of one node.
#[derive(Debug)]
pub struct SearchServer {
    product: SearchProduct,
    libraries: PathBuf,
    folder: TempDir,
    http_port: ReservedPort,
    transport_port: ReservedPort,
    http: reqwest::Client,
    process: Option<Process>,
}

impl SearchServer {
    /// Starts one on a free port of the loopback address. Fetches its libraries if need be.
    pub async fn start(product: SearchProduct) -> Self {
        Self::start_if_possible(product).await.expect("a Java that is recent enough")
    }

    /// The same, or nothing where there is no Java that is recent enough for it.
    pub async fn start_if_possible(product: SearchProduct) -> Option<Self> {
        let fetched = tokio::task::spawn_blocking(move || fetch(product));
        let mut server = Self {
            product,
            libraries: fetched.await.expect("fetch the server")?,
            folder: folder(),
            http_port: ReservedPort::new(),
            transport_port: ReservedPort::new(),
            http: plain_http_client(),
            process: None,
        };
        server.start_with(&[]).await;
        Some(server)
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.http_port.address())
    }

    /// Kills it. Its port refuses connections.
    pub async fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill().await;
        }
    }

    /// Starts it after a kill, with further settings: `http.max_content_length=64kb`.
    pub async fn start_with(&mut self, settings: &[&str]) {
        let process = Process::spawn(self.command(settings), Output::File(open_log(&self.log())));
        let health = format!("{}/_cluster/health?wait_for_status=yellow&timeout=1s", self.url());
        wait_until_ready(self.product.name(), &process, &self.log(), || async {
            let answer = self.http.get(&health).send().await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
        self.process = Some(process);
    }

    /// Sends a request with JSON, or none for `Null`, and returns whatever is answered.
    pub async fn send(&self, method: Method, path: &str, body: &Value) -> (StatusCode, Value) {
        let mut request = self.http.request(method, format!("{}{path}", self.url()));
        if !body.is_null() {
            request = request.json(body);
        }
        let answer = request.send().await.unwrap_or_else(|problem| panic!("{path}: {problem:?}"));
        let status = answer.status();
        let body = answer.bytes().await.unwrap_or_else(|problem| panic!("{path}: {problem:?}"));
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    /// The same for what has to succeed.
    pub async fn call(&self, method: Method, path: &str, body: &Value) -> Value {
        let (status, answer) = self.send(method, path, body).await;
        assert!(status.is_success(), "{path}: {status} {answer}");
        answer
    }

    /// Every document of an index, alias or pattern, at most ten thousand: its index, its `_id`, its source.
    pub async fn documents(&self, index: &str) -> Vec<Value> {
        self.call(Method::POST, &format!("/{index}/_refresh"), &Value::Null).await;
        let query = json!({"size": 10_000, "query": {"match_all": {}}});
        let found = self.call(Method::POST, &format!("/{index}/_search"), &query).await;
        found["hits"]["hits"].as_array().expect("hits").clone()
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("server.log")
    }

    fn command(&self, settings: &[&str]) -> Command {
        let path = self.libraries.display();
        let java = std::fs::read_to_string(self.libraries.join("java")).expect("the path of Java");
        let mut command = Command::new(java.trim());
        command
            // Small, and soon ready: it does not live long enough for more.
            .args(["-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
            .args(["-cp", &format!("{path}/classes:{path}/lib/*"), "Launcher"])
            .arg(format!("path.home={}", self.folder.path().display()))
            .args(["cluster.name=rig", "node.name=rig", "network.host=127.0.0.1"])
            .arg(format!("http.port={}", self.http_port.number()))
            .arg(format!("{}={}", self.product.transport_port(), self.transport_port.number()))
            .arg("discovery.type=single-node")
            // A machine that builds is often nearly full.
            .arg("cluster.routing.allocation.disk.threshold_enabled=false")
            .args(settings);
        command
    }
}

/// What its folders begin with, before the number of the process that owns them.
const FOLDER: &str = "rig-search-";

/// A new folder. Those of processes that have ended go: a server that tests share is never dropped.
fn folder() -> TempDir {
    let temporary = std::env::temp_dir();
    for entry in std::fs::read_dir(&temporary).expect("the temporary folder").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.strip_prefix(FOLDER).and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|owner| !Path::new("/proc").join(owner).exists()) {
            // An error: another process was faster.
            let _removed = std::fs::remove_dir_all(entry.path());
        }
    }
    let prefix = format!("{FOLDER}{}-", std::process::id());
    tempfile::Builder::new().prefix(&prefix).tempdir().expect("a temporary folder")
}

/// What `search/build.sh` says when there is no Java for a server.
const NO_JAVA: i32 = 3;

fn fetch(product: SearchProduct) -> Option<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("search/build.sh");
    let built = output();
    // Its messages go to the terminal: it fetches some 45 MB.
    let status = Command::new(script).arg(product.name()).env("RIG_OUTPUT", &built).status();
    let status = status.expect("run tests/rig/search/build.sh (it needs bash)");
    if status.code() == Some(NO_JAVA) {
        return None;
    }
    assert!(status.success(), "tests/rig/search/build.sh failed ({status}); see above");
    Some(built.join("search").join(product.name()))
}
