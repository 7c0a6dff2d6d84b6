//! A real InfluxDB 1.x.
//!
//! Invariant: it is alone on its port and in its folder, knows one administrator, and nothing of it is left when
//! it is dropped. Killed and started again it keeps its port and its data.

use crate::binaries::output;
use crate::client::plain_http_client;
use crate::port::ReservedPort;
use crate::process::{Output, Process};
use crate::server::{open_log, wait_until_ready};
use reqwest::Method;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// The one administrator's name and password: kube-eventer's defaults.
const ADMINISTRATOR: &str = "root";

/// An InfluxDB server.
#[derive(Debug)]
pub struct InfluxDb {
    program: PathBuf,
    folder: TempDir,
    port: ReservedPort,
    process: Option<Process>,
}

impl InfluxDb {
    /// How many values a tag may have; 100,000 by default.
    pub const VALUES_PER_TAG: u64 = 100;

    /// Starts an empty one and waits until it is ready. `root` with the password `root` may do everything, and
    /// nobody may do anything without a password.
    pub async fn start() -> Self {
        let program = tokio::task::spawn_blocking(program).await.unwrap();
        let folder = tempfile::Builder::new().prefix("rig-").tempdir().expect("make a folder");
        let mut server = Self { program, folder, port: ReservedPort::new(), process: None };
        std::fs::write(server.config(), server.settings()).expect("write the configuration");
        server.start_again().await;
        let statement = format!(
            "CREATE USER {ADMINISTRATOR} WITH PASSWORD '{ADMINISTRATOR}' WITH ALL PRIVILEGES"
        );
        server.query("", &statement).await;
        server
    }

    /// Its URL, without a path.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.port.address())
    }

    /// Kills it: what it has not written down is gone.
    pub async fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill().await;
        }
    }

    /// Starts it after a kill, with its data, and waits until it is ready.
    pub async fn start_again(&mut self) {
        let log = self.folder.path().join("influxd.log");
        let mut command = Command::new(&self.program);
        command.arg("run").arg("-config").arg(self.config());
        let process = Process::spawn(command, Output::File(open_log(&log)));
        let (http, ping) = (plain_http_client(), format!("{}/ping", self.url()));
        wait_until_ready("influxd", &process, &log, || async {
            http.get(&ping).send().await.ok().filter(|answer| answer.status().is_success())
        })
        .await;
        self.process = Some(process);
    }

    /// What a statement answers: its first series, or null.
    ///
    /// Panics when it is refused.
    pub async fn query(&self, database: &str, statement: &str) -> Value {
        let url = format!("{}/query", self.url());
        let request = plain_http_client().request(Method::POST, url);
        let request = request.query(&[("db", database), ("q", statement), ("epoch", "ns")]);
        let request = request.basic_auth(ADMINISTRATOR, Some(ADMINISTRATOR));
        let answer = request.send().await.expect("ask InfluxDB");
        let text = answer.text().await.expect("read InfluxDB's answer");
        let answer: Value = serde_json::from_str(&text).expect("JSON from InfluxDB");
        let result = &answer["results"][0];
        assert!(answer["error"].is_null() && result["error"].is_null(), "{statement}: {text}");
        result["series"][0].clone()
    }

    /// The points of a measurement, in order of time: an object each, with `time` in nanoseconds.
    pub async fn points(&self, database: &str, measurement: &str) -> Vec<Value> {
        let series = self.query(database, &format!("SELECT * FROM \"{measurement}\"")).await;
        let columns = series["columns"].as_array().cloned().unwrap_or_default();
        let rows = series["values"].as_array().cloned().unwrap_or_default();
        let name = |column: &Value| column.as_str().unwrap_or_default().to_owned();
        let point = |row: &Value| {
            let values = row.as_array().cloned().unwrap_or_default();
            columns.iter().map(name).zip(values).collect::<Value>()
        };
        rows.iter().map(point).collect()
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("influxdb.conf")
    }

    fn settings(&self) -> String {
        let path = |name: &str| path_text(&self.folder.path().join(name));
        format!(
            "reporting-disabled = true\nbind-address = \"127.0.0.1:0\"\n\
             [meta]\ndir = \"{}\"\n[data]\ndir = \"{}\"\nwal-dir = \"{}\"\nmax-values-per-tag = {}\n\
             [monitor]\nstore-enabled = false\n\
             [http]\nbind-address = \"{}\"\nauth-enabled = true\nlog-enabled = false\n",
            path("meta"),
            path("data"),
            path("wal"),
            Self::VALUES_PER_TAG,
            self.port.address()
        )
    }
}

fn path_text(path: &Path) -> String {
    path.to_str().expect("a path of text").to_owned()
}

fn program() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("influxdb.sh");
    let run = Command::new(script).env("RIG_OUTPUT", output()).output();
    let run = run.expect("run tests/rig/influxdb.sh (it needs bash)");
    let problem = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "tests/rig/influxdb.sh failed: {problem}");
    String::from_utf8(run.stdout).expect("a path of text").trim().into()
}
