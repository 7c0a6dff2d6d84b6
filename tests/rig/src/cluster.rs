//! A Kubernetes control plane of one test: real etcd, real API server.
//!
//! Invariant: a cluster is alone on its ports and in its folder, and nothing of it
//! is left when it is dropped. So tests run in parallel, and each may destroy what
//! it likes.

use crate::apiserver::{ApiServer, Options};
use crate::binaries::binaries;
use crate::client::Client;
use crate::credentials::Credentials;
use crate::etcd::Etcd;
use crate::kubeconfig::Kubeconfig;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use tempfile::TempDir;
use tokio::sync::Mutex;

/// Choices for a cluster that is to be started.
#[derive(Debug, Clone)]
pub struct ClusterBuilder {
    options: Options,
}

impl ClusterBuilder {
    /// How long the API server keeps an event, such as `1h` or `10s`.
    #[must_use]
    pub fn event_ttl(mut self, duration: &str) -> Self {
        duration.clone_into(&mut self.options.event_ttl);
        self
    }

    /// A further argument of the API server; a repeated one overrides the rig's own.
    #[must_use]
    pub fn apiserver_arg(mut self, argument: &str) -> Self {
        self.options.arguments.push(argument.to_owned());
        self
    }

    /// Starts the servers and waits until they are ready.
    pub async fn start(self) -> Cluster {
        let programs = binaries().await;
        let folder = tempfile::Builder::new().prefix("rig-").tempdir().expect("make a folder");
        let credentials = Credentials::generate(folder.path());
        let mut etcd = Etcd::new(programs.clone(), folder.path());
        let mut apiserver =
            ApiServer::new(programs, folder.path(), &credentials, &etcd.url(), &self.options);
        let url = apiserver.url();
        let client = Client::new(&url, &credentials.authority, &credentials.admin_token);
        etcd.start().await;
        apiserver.start(&client).await;
        // Now and then the server tells of its own start. Tests count on their events being the only ones.
        client.delete("/api/v1/namespaces/default/events").await;
        let kubeconfig = folder.path().join("admin.kubeconfig");
        Kubeconfig::new(&url)
            .authority(&credentials.authority)
            .token(&credentials.admin_token)
            .write(&kubeconfig);
        Cluster {
            apiserver: Mutex::new(apiserver),
            etcd: Mutex::new(etcd),
            url,
            client,
            credentials,
            kubeconfig,
            files: AtomicUsize::new(0),
            folder,
        }
    }
}

/// A running cluster; see the module.
#[derive(Debug)]
pub struct Cluster {
    // Dropped in this order: the servers before the folder they write to.
    apiserver: Mutex<ApiServer>,
    etcd: Mutex<Etcd>,
    url: String,
    client: Client,
    credentials: Credentials,
    kubeconfig: PathBuf,
    files: AtomicUsize,
    folder: TempDir,
}

impl Cluster {
    /// Starts a cluster with the default choices: events live for an hour.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// A cluster with choices.
    #[must_use]
    pub fn builder() -> ClusterBuilder {
        ClusterBuilder { options: Options { event_ttl: "1h".into(), arguments: Vec::new() } }
    }

    /// The API server's URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The administrator's kubeconfig.
    #[must_use]
    pub fn kubeconfig_path(&self) -> &Path {
        &self.kubeconfig
    }

    /// The certificate of the authority that signed the API server's.
    #[must_use]
    pub fn ca_path(&self) -> &Path {
        &self.credentials.authority
    }

    /// The administrator's bearer token.
    #[must_use]
    pub fn admin_token(&self) -> &str {
        &self.credentials.admin_token
    }

    /// A client with the administrator's rights; cheap to clone.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// A client with the rights of the holder of `token`.
    #[must_use]
    pub fn client_with_token(&self, token: &str) -> Client {
        Client::new(&self.url, self.ca_path(), token)
    }

    /// A folder for files of the test; removed with the cluster.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a kubeconfig for the holder of `token` at `url`, which is the
    /// cluster's own or that of a [`crate::Proxy`] before it.
    pub fn write_kubeconfig(&self, url: &str, token: &str) -> PathBuf {
        let number = self.files.fetch_add(1, Ordering::Relaxed);
        let path = self.folder.path().join(format!("{number}.kubeconfig"));
        Kubeconfig::new(url).authority(self.ca_path()).token(token).write(&path);
        path
    }

    /// The store's current revision, which is the cluster's newest resourceVersion.
    pub async fn revision(&self) -> u64 {
        self.etcd.lock().await.revision().await
    }

    /// Forgets all history before the current revision, which is returned: a watch
    /// from before then gets "too old resource version".
    pub async fn compact_etcd(&self) -> u64 {
        self.etcd.lock().await.compact().await
    }

    /// Saves a snapshot of the running store.
    pub async fn snapshot_etcd(&self, path: &Path) {
        self.etcd.lock().await.snapshot(path).await;
    }

    /// Puts the store back to a snapshot, so that resourceVersions go back. The API
    /// server, unless stopped, is stopped meanwhile, as Kubernetes' documentation of
    /// restores demands.
    pub async fn restore_etcd(&self, path: &Path) {
        let mut apiserver = self.apiserver.lock().await;
        let was_running = apiserver.is_running();
        apiserver.stop().await;
        self.etcd.lock().await.restore(path).await;
        if was_running {
            apiserver.start(&self.client).await;
        }
    }

    /// Like [`Cluster::restore_etcd`], but under a running API server, as after a
    /// careless restore. Creating events may then fail with "requested lease not
    /// found" until the API server is restarted: it shares leases among events, and
    /// does not expect its present one to be gone.
    pub async fn restore_etcd_carelessly(&self, path: &Path) {
        self.etcd.lock().await.restore(path).await;
        self.apiserver.lock().await.wait_until_ready(&self.client).await;
    }

    /// Kills etcd.
    pub async fn stop_etcd(&self) {
        self.etcd.lock().await.stop().await;
    }

    /// Starts etcd again, with its data and on its ports, and waits until the API
    /// server, unless stopped, is ready again.
    pub async fn start_etcd(&self) {
        self.etcd.lock().await.start().await;
        self.apiserver.lock().await.wait_until_ready(&self.client).await;
    }

    /// Kills the API server; its port refuses connections.
    pub async fn stop_apiserver(&self) {
        self.apiserver.lock().await.stop().await;
    }

    /// Starts the API server again on its port and waits until it is ready.
    pub async fn start_apiserver(&self) {
        self.apiserver.lock().await.start(&self.client).await;
    }

    /// Kills the API server and starts it again.
    pub async fn restart_apiserver(&self) {
        self.stop_apiserver().await;
        self.start_apiserver().await;
    }
}
