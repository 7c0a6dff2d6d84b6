//! What the README and the guides tell people to type is typed here, literally, in a clean clone of the repository.

use std::path::Path;
use std::process::Command;

use rig::{Client, Cluster, EventSpec, Receiver, Relay};

use crate::documents::{GUIDE, GUIDE_IN_CHINESE, blocks, section};
use crate::harness::{BINARY, PATIENCE};
use crate::rendering::{NAMESPACE, output, repository, restricted};

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
    has_image(client, &format!("kube-event-relay:{}", env!("CARGO_PKG_VERSION"))).await;
}

async fn has_image(client: &Client, image: &str) {
    let path = format!("/apis/apps/v1/namespaces/{NAMESPACE}/statefulsets/kube-event-relay");
    let set = client.get(&path).await;
    assert_eq!(set["spec"]["template"]["spec"]["containers"][0]["image"], image);
}

/// Each way of the README, in a cluster of its own.
#[tokio::test(flavor = "multi_thread")]
async fn the_readme_installs_it() {
    let blocks = blocks("README.md", "## In a cluster", "sh");
    assert_eq!(blocks.len(), 2, "{blocks:?}");
    for block in blocks {
        let cluster = Cluster::start().await;
        let checkout = cluster.folder().join("checkout");
        clone(&checkout);
        println!("{}", type_in(&block, &checkout, &cluster));
        is_installed(cluster.client()).await;
    }
}

/// The commands that print the events of a cluster, with the program that is built already in place of `cargo run`, a
/// port that is free, and a webhook that is there.
#[tokio::test(flavor = "multi_thread")]
async fn the_readme_prints_and_sends_events() {
    let blocks = blocks("README.md", "## Two commands", "sh");
    let blocks: Vec<_> = blocks.iter().filter(|block| block.contains("--data-dir")).collect();
    assert_eq!(blocks.len(), 2, "{blocks:?}");
    let (cluster, receiver) = (Cluster::start().await, Receiver::start());
    for (number, block) in blocks.into_iter().enumerate() {
        let address = receiver.url().replace("http://", "");
        let command = block
            .replace("cargo run --release --", &format!("exec {BINARY}"))
            .replace("127.0.0.1:9000", &address);
        let command =
            format!("cd {} && {} --healthz-port=0", cluster.folder().display(), command.trim());
        let relay = Relay::builder("bash")
            .args(["-euc", &command])
            .env("KUBECONFIG", cluster.kubeconfig_path())
            .without_admin()
            .start();
        relay.wait_for_line(PATIENCE, |line| line.contains("watching events")).await;
        let name = format!("event-{number}");
        let spec = EventSpec { kind: "Warning".to_owned(), ..EventSpec::new(&name) };
        cluster.client().create_event("default", &spec).await;
        let line = relay.wait_for_line(PATIENCE, |line| line.contains(&name)).await;
        let event: serde_json::Value = serde_json::from_str(&line.text).expect("a line of JSON");
        assert_eq!(event["event"]["metadata"]["name"], name.as_str(), "{event}");
        receiver.wait_for(PATIENCE, |requests| requests.len() == number).await;
        assert!(relay.terminate().await.success());
    }
}

/// The image that the guide pushes is the one that its pods run, in both ways.
#[tokio::test(flavor = "multi_thread")]
async fn the_guide_installs_what_it_pushes() {
    let pushed = blocks(GUIDE, "### The image", "sh").remove(0);
    let pushed = pushed.lines().find_map(|line| line.strip_prefix("docker push ")).expect("pushed");
    let overlay = blocks(GUIDE, "### With kubectl", "yaml").remove(0);
    let helm = blocks(GUIDE, "### With Helm", "sh").remove(0);
    let kubectl = blocks(GUIDE, "### With kubectl", "sh").remove(0);
    for (folder, command) in [("mine", kubectl), ("kube-event-relay", helm)] {
        let cluster = Cluster::start().await;
        let checkout = cluster.folder().join("kube-event-relay");
        clone(&checkout);
        let mine = cluster.folder().join("mine");
        std::fs::create_dir(&mine).expect("a folder");
        let configuration = checkout.join("deploy/kustomize/base/relay.yaml");
        std::fs::copy(configuration, mine.join("relay.yaml")).expect("copied");
        std::fs::write(mine.join("kustomization.yaml"), &overlay).expect("written");
        println!("{}", type_in(&command, &cluster.folder().join(folder), &cluster));
        has_image(cluster.client(), pushed).await;
    }
}

/// Both languages have the same commands and manifests, but for comments.
#[test]
fn both_languages_have_the_same_blocks() {
    let plain = |document: &str, heading: &str| {
        let section = section(document, heading);
        let blocks = section.split("```").skip(1).step_by(2).flat_map(str::lines);
        let lines =
            blocks.map(|line| line.split(" #").next().expect("a line").trim_end().to_owned());
        lines.collect::<Vec<_>>()
    };
    for (english, chinese) in [("## Install", "## 安装"), ("## Alerts", "## 告警")] {
        assert_eq!(plain(GUIDE, english), plain(GUIDE_IN_CHINESE, chinese));
    }
}

/// What the guide loads into nodes is what a release has.
#[test]
fn the_archive_is_one_of_the_release() {
    let archive = "kube-event-relay-image-x86_64.tar.gz";
    let load = blocks(GUIDE, "### The image", "sh").remove(1);
    assert!(load.lines().all(|line| line.contains(archive)), "{load}");
    let workflow = repository(".github/workflows/release.yaml");
    let workflow = std::fs::read_to_string(workflow).expect("the workflow");
    assert!(workflow.contains(&archive.replace("x86_64", "${{ matrix.architecture }}")));
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
