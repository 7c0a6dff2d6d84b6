//! The etcd server of a test cluster.
//!
//! Invariant: it keeps its ports over stops, starts and restores, so the API server
//! in front of it need not know. Its own JSON gateway serves for compaction and
//! snapshots: these are the calls that `etcdctl` makes.

use crate::binaries::Binaries;
use crate::client::plain_http_client;
use crate::port::ReservedPort;
use crate::process::{Output, Process};
use crate::server::{open_log, wait_until_ready};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

#[derive(Debug)]
pub(crate) struct Etcd {
    programs: Binaries,
    folder: PathBuf,
    log: PathBuf,
    client_port: ReservedPort,
    peer_port: ReservedPort,
    restores: usize,
    http: reqwest::Client,
    process: Option<Process>,
}

impl Etcd {
    pub(crate) fn new(programs: Binaries, folder: &Path) -> Self {
        Self {
            programs,
            folder: folder.to_owned(),
            log: folder.join("etcd.log"),
            client_port: ReservedPort::new(),
            peer_port: ReservedPort::new(),
            restores: 0,
            http: plain_http_client(),
            process: None,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.client_port.address())
    }

    fn peer_url(&self) -> String {
        format!("http://{}", self.peer_port.address())
    }

    /// A restore makes a new folder, as etcd demands.
    fn data_folder(&self) -> PathBuf {
        self.folder.join(format!("etcd-data-{}", self.restores))
    }

    pub(crate) async fn start(&mut self) {
        let mut command = Command::new(&self.programs.etcd);
        command
            .arg("--data-dir")
            .arg(self.data_folder())
            .args(["--listen-client-urls", &self.url(), "--advertise-client-urls", &self.url()])
            .args(["--listen-peer-urls", &self.peer_url()])
            .args(["--initial-advertise-peer-urls", &self.peer_url()])
            .args(["--initial-cluster", &format!("default={}", self.peer_url())])
            // Nobody else takes part in the election, so it need not wait long.
            .args(["--heartbeat-interval", "20", "--election-timeout", "200"])
            // The data need not survive a power cut.
            .arg("--unsafe-no-fsync")
            .args(["--log-level", "warn"]);
        let process = Process::spawn(command, Output::File(open_log(&self.log)));
        let health = format!("{}/health", self.url());
        let http = &self.http;
        wait_until_ready("etcd", &process, &self.log, || async {
            let answer = http.get(&health).send().await.ok()?;
            let body: Value = answer.json().await.ok()?;
            (body["health"] == "true").then_some(())
        })
        .await;
        self.process = Some(process);
    }

    pub(crate) async fn stop(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill().await;
        }
    }

    async fn call(&self, path: &str, body: &Value) -> Value {
        let request = self.http.post(format!("{}{path}", self.url())).json(body);
        let answer = request.send().await.expect("call etcd");
        let status = answer.status();
        let text = answer.text().await.expect("read etcd's answer");
        assert!(status.is_success(), "etcd answered {status} to {path}: {text}");
        serde_json::from_str(&text).expect("JSON from etcd")
    }

    pub(crate) async fn revision(&self) -> u64 {
        let status = self.call("/v3/maintenance/status", &json!({})).await;
        status["header"]["revision"].as_str().and_then(|text| text.parse().ok()).expect("revision")
    }

    pub(crate) async fn compact(&self) -> u64 {
        let revision = self.revision().await;
        let request = json!({"revision": revision.to_string(), "physical": true});
        self.call("/v3/kv/compaction", &request).await;
        revision
    }

    /// Saves a snapshot of the running server.
    pub(crate) async fn snapshot(&self, path: &Path) {
        let url = format!("{}/v3/maintenance/snapshot", self.url());
        let answer = self.http.post(url).json(&json!({})).send().await.unwrap();
        let stream = answer.text().await.expect("read the snapshot");
        let mut snapshot = Vec::new();
        for part in serde_json::Deserializer::from_str(&stream).into_iter::<Value>() {
            let part = part.expect("JSON from etcd");
            let blob = part["result"]["blob"].as_str();
            assert!(part["error"].is_null(), "etcd broke off the snapshot: {part}");
            snapshot.extend(STANDARD.decode(blob.unwrap_or_default()).expect("base64 from etcd"));
        }
        std::fs::write(path, snapshot).expect("write the snapshot");
    }

    /// Replaces all data by a snapshot and starts the server again.
    pub(crate) async fn restore(&mut self, snapshot: &Path) {
        self.stop().await;
        self.restores += 1;
        let outcome = Command::new(&self.programs.restore)
            .arg("snapshot-restore")
            .arg(snapshot)
            .arg(self.data_folder())
            .arg(self.peer_url())
            .output()
            .expect("run the restore");
        let problem = String::from_utf8_lossy(&outcome.stderr);
        assert!(outcome.status.success(), "restore of {} failed: {problem}", snapshot.display());
        self.start().await;
    }
}
