//! What the README and the guides tell people to type is typed here, literally, in a clean clone of the repository.

use std::path::Path;
use std::process::Command;

use rig::{Client, Cluster};

use crate::rendering::{NAMESPACE, output, repository, restricted};

/// The blocks of commands below a heading.
fn blocks(document: &str, heading: &str) -> Vec<String> {
    let text = std::fs::read_to_string(repository(document)).expect(document);
    let start = text
        .find(&format!("\n{heading}\n"))
        .unwrap_or_else(|| panic!("{document} has no {heading}"));
    let section = &text[start + heading.len() + 1..];
    let end = section.find("\n## ").unwrap_or(section.len());
    let blocks = section[..end].split("```sh\n").skip(1);
    blocks.map(|block| block.split("```").next().expect("a block").to_owned()).collect()
}

/// What is committed, and nothing that lies about.
fn clone(folder: &Path) {
    let source = repository("");
    output(
        Command::new("git").args(["clone", "--quiet", "--no-hardlinks"]).arg(source).arg(folder),
    );
}

/// Types a block into a shell, in a folder, against a cluster.
fn type_in(block: &str, folder: &Path, cluster: &Cluster) -> String {
    let programs = rig::kubectl();
    let programs = programs.parent().expect("a folder");
    assert_eq!(rig::helm().parent(), Some(programs));
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").expect("a path"));
    let mut shell = Command::new("bash");
    shell.args(["-euc", block]).current_dir(folder).env("PATH", path);
    output(shell.env("KUBECONFIG", cluster.kubeconfig_path()).env("HOME", cluster.folder()))
}

async fn is_installed(client: &Client) {
    let path = format!("/apis/apps/v1/namespaces/{NAMESPACE}/statefulsets/kube-event-relay");
    let set = client.get(&path).await;
    let image = &set["spec"]["template"]["spec"]["containers"][0]["image"];
    assert_eq!(image, &format!("kube-event-relay:{}", env!("CARGO_PKG_VERSION")));
}

/// Each way of the README, in a cluster of its own.
#[tokio::test(flavor = "multi_thread")]
async fn the_readme_installs_it() {
    let blocks = blocks("README.md", "## In a cluster");
    assert_eq!(blocks.len(), 2, "{blocks:?}");
    for block in blocks {
        let cluster = Cluster::start().await;
        let checkout = cluster.folder().join("checkout");
        clone(&checkout);
        println!("{}", type_in(&block, &checkout, &cluster));
        is_installed(cluster.client()).await;
    }
}

/// Installed and removed as the guide says.
#[tokio::test(flavor = "multi_thread")]
async fn the_chart_can_be_upgraded_and_removed() {
    let cluster = Cluster::start().await;
    let checkout = cluster.folder().join("checkout");
    clone(&checkout);
    cluster.client().apply(&restricted(NAMESPACE), false).await;
    let install = "helm upgrade --install kube-event-relay deploy/helm/kube-event-relay --namespace kube-event-relay";
    type_in(install, &checkout, &cluster);
    type_in(
        &format!("{install} --set config.cluster=other --set resources.limits.memory=512Mi"),
        &checkout,
        &cluster,
    );
    is_installed(cluster.client()).await;
    type_in("helm uninstall kube-event-relay --namespace kube-event-relay", &checkout, &cluster);
    let sets = cluster.client().get("/apis/apps/v1/statefulsets").await;
    assert_eq!(sets["items"], serde_json::json!([]));
}
