//! The Kubernetes API server of a test cluster.
//!
//! Invariant: it keeps its address and credentials over restarts, as a control
//! plane behind a stable address does.

use crate::binaries::Binaries;
use crate::client::Client;
use crate::credentials::Credentials;
use crate::port::ReservedPort;
use crate::process::{Output, Process};
use crate::server::{open_log, wait_until_ready};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Namespaces that the server creates by itself after it has reported ready.
const SYSTEM_NAMESPACES: [&str; 2] = ["kube-system", "default"];

/// What a test may choose.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) event_ttl: String,
    pub(crate) arguments: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct ApiServer {
    program: PathBuf,
    log: PathBuf,
    port: ReservedPort,
    arguments: Vec<String>,
    process: Option<Process>,
}

impl ApiServer {
    pub(crate) fn new(
        programs: &Binaries,
        folder: &Path,
        credentials: &Credentials,
        etcd_url: &str,
        options: &Options,
    ) -> Self {
        let port = ReservedPort::new();
        let mut arguments = vec![
            format!("--etcd-servers={etcd_url}"),
            // Only the tests compact, at the moment of their choice.
            "--etcd-compaction-interval=0".into(),
            "--bind-address=127.0.0.1".into(),
            format!("--secure-port={}", port.number()),
            format!("--cert-dir={}", folder.display()),
            format!("--tls-cert-file={}", credentials.server_certificate.display()),
            format!("--tls-private-key-file={}", credentials.server_key.display()),
            format!("--token-auth-file={}", credentials.token_file.display()),
            "--authorization-mode=RBAC".into(),
            "--service-account-issuer=https://kubernetes.default.svc".into(),
            format!(
                "--service-account-signing-key-file={}",
                credentials.account_private_key.display()
            ),
            format!("--service-account-key-file={}", credentials.account_public_key.display()),
            "--service-cluster-ip-range=10.0.0.0/24".into(),
            // Both need controllers, and none run here.
            "--endpoint-reconciler-type=none".into(),
            "--disable-admission-plugins=ServiceAccount".into(),
            // Now and then the server tells of itself in events of this API. Tests count on their
            // own being the only ones, and write them by the other API.
            "--runtime-config=events.k8s.io/v1=false".into(),
            // No limit of its own: the proxy tells the relay to slow down when a test wants it.
            "--enable-priority-and-fairness=false".into(),
            "--max-requests-inflight=0".into(),
            "--max-mutating-requests-inflight=0".into(),
            "--profiling=false".into(),
            format!("--event-ttl={}", options.event_ttl),
        ];
        // Last, so that they override the ones above.
        arguments.extend(options.arguments.iter().cloned());
        Self {
            program: programs.apiserver.clone(),
            log: folder.join("kube-apiserver.log"),
            port,
            arguments,
            process: None,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.port.address())
    }

    pub(crate) fn is_running(&self) -> bool {
        self.process.is_some()
    }

    pub(crate) async fn start(&mut self, client: &Client) {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        self.process = Some(Process::spawn(command, Output::File(open_log(&self.log))));
        self.wait_until_ready(client).await;
    }

    /// Waits until it is ready, also after a failure of etcd; returns at once when
    /// it is stopped.
    pub(crate) async fn wait_until_ready(&self, client: &Client) {
        let Some(process) = &self.process else { return };
        let answers = async |path: &str| {
            let answer = client.request(reqwest::Method::GET, path).send().await;
            answer.is_ok_and(|answer| answer.status().is_success())
        };
        wait_until_ready("kube-apiserver", process, &self.log, || async {
            if !answers("/readyz").await {
                return None;
            }
            for namespace in SYSTEM_NAMESPACES {
                if !answers(&format!("/api/v1/namespaces/{namespace}")).await {
                    return None;
                }
            }
            Some(())
        })
        .await;
    }

    pub(crate) async fn stop(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill().await;
        }
    }
}
