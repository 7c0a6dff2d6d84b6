//! The servers' programs.
//!
//! Invariant: whoever gets a path from here gets a program that was built from the
//! pinned sources (or that `KUBEBUILDER_ASSETS` names). `build.sh` is the one place
//! that builds; it takes a file lock, so any number of test processes may ask.

use std::path::{Path, PathBuf};
use std::process::Command;
use tokio::sync::OnceCell;

/// Where the programs are.
#[derive(Debug, Clone)]
pub(crate) struct Binaries {
    /// The Kubernetes API server.
    pub(crate) apiserver: PathBuf,
    /// The etcd server.
    pub(crate) etcd: PathBuf,
    /// The rig's own etcd, which also restores snapshots.
    pub(crate) restore: PathBuf,
}

/// Builds the programs if need be; once per process.
pub(crate) async fn binaries() -> &'static Binaries {
    static BINARIES: OnceCell<Binaries> = OnceCell::const_new();
    BINARIES.get_or_init(|| async { tokio::task::spawn_blocking(build).await.unwrap() }).await
}

/// Where everything is that the rig builds.
pub(crate) fn output() -> PathBuf {
    let rig = Path::new(env!("CARGO_MANIFEST_DIR"));
    std::env::var_os("RIG_OUTPUT").map_or_else(|| rig.join("../../target/rig"), PathBuf::from)
}

fn build() -> Binaries {
    let rig = Path::new(env!("CARGO_MANIFEST_DIR"));
    let built = output();
    // Its messages go to the terminal: a first build takes minutes.
    let status = Command::new(rig.join("build.sh")).env("RIG_OUTPUT", &built).status();
    let status = status.expect("run tests/rig/build.sh (it needs bash)");
    assert!(status.success(), "tests/rig/build.sh failed ({status}); its messages are above");
    let given = std::env::var_os("KUBEBUILDER_ASSETS").filter(|folder| !folder.is_empty());
    let servers = given.map_or_else(|| built.clone(), PathBuf::from);
    Binaries {
        apiserver: servers.join("kube-apiserver"),
        etcd: servers.join("etcd"),
        restore: built.join("etcd"),
    }
}
