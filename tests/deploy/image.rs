//! The image: what `deploy/image-root.sh` puts into it is all that the relay needs, as the user and with the rights that
//! the manifests give, in a root that cannot be written but for the volume.
//!
//! No container engine is needed: a mount namespace and `chroot` make the same root. The binary is that of
//! `deploy/build-static.sh`, which `tests/run.sh` runs before. Where it has not been run, as it takes a quarter of an hour,
//! the one under test stands in, with the libraries that it needs beside it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rig::{Cluster, Receiver, Relay};
use serde_json::Value;

use crate::harness::{BINARY, PATIENCE, create_at_rate, distinct, live, status_when};
use crate::rendering::{NAMESPACE, kustomize, output, repository, restricted};

/// The most the image may take: 30 MB, before it is compressed.
const MOST_BYTES: u64 = 30_000_000;

/// Where Kubernetes mounts a pod's credentials.
const SERVICE_ACCOUNT: &str = "var/run/secrets/kubernetes.io/serviceaccount";

const VOLUME: &str = "var/lib/kube-event-relay";

/// The binary of the image, when it has been built.
pub(crate) fn static_binary() -> Option<PathBuf> {
    let path = repository("target/static/kube-event-relay");
    if path.exists() {
        return Some(path);
    }
    println!(
        "deploy/build-static.sh has not been run: the test binary stands in, with its libraries"
    );
    None
}

/// A folder with what the image holds.
struct Image {
    root: PathBuf,
    bytes: u64,
}

impl Image {
    fn assemble(folder: &Path) -> Self {
        let root = folder.join("image");
        let binary = static_binary();
        let mut command = Command::new(repository("deploy/image-root.sh"));
        output(command.arg(binary.as_deref().unwrap_or(Path::new(BINARY))).arg(&root));
        let bytes = bytes(&root);
        if binary.is_none() {
            add_libraries(&root);
        }
        Self { root, bytes }
    }

    /// What a kubelet puts into every pod.
    fn credentials(&self, cluster: &Cluster, token: &str) {
        let folder = self.root.join(SERVICE_ACCOUNT);
        fs::create_dir_all(&folder).expect("a folder");
        fs::copy(cluster.ca_path(), folder.join("ca.crt")).expect("copied");
        fs::write(folder.join("token"), token).expect("written");
        fs::write(folder.join("namespace"), NAMESPACE).expect("written");
        fs::write(self.root.join("etc/hosts"), "127.0.0.1 localhost\n").expect("written");
    }

    /// The program in its root, which nothing but the volume makes writable; the process is the relay itself.
    fn relay(&self, name: &str) -> rig::RelayBuilder {
        let script = "mount --bind \"$1\" \"$1\" && mount --bind \"$1/$2\" \"$1/$2\" \
             && mount -o remount,bind,ro \"$1\" && mount -t proc -o ro proc \"$1/proc\" \
             && root=$1 && program=$3 && shift 3 \
             && exec chroot --userspec=65532:65532 --groups=65532 \"$root\" \"$program\" \"$@\"";
        let root = self.root.to_str().expect("a path of text");
        Relay::builder("unshare").args([
            "--mount",
            "--propagation",
            "private",
            "--",
            "sh",
            "-euc",
            script,
            "sh",
            root,
            VOLUME,
            name,
        ])
    }
}

/// The libraries that a binary needs which is not static, at the same places.
fn add_libraries(root: &Path) {
    let needed = output(Command::new("ldd").arg(BINARY));
    for path in needed.split_whitespace().filter(|word| word.starts_with('/')) {
        let target = root.join(path.trim_start_matches('/'));
        fs::create_dir_all(target.parent().expect("a folder")).expect("a folder");
        fs::copy(path, target).expect("copied");
    }
}

/// Bytes of all files below a folder.
fn bytes(folder: &Path) -> u64 {
    let shown = output(Command::new("du").args(["--summarize", "--bytes"]).arg(folder));
    shown.split_whitespace().next().and_then(|word| word.parse().ok()).expect("a number")
}

/// kube-eventer's command line in a pod: the service account's credentials, the second name of the binary, names that
/// are resolved, certificates of the image's authorities, and a time zone.
#[tokio::test(flavor = "multi_thread")]
async fn the_image_alone_is_enough_for_the_main_job() {
    let cluster = Cluster::start().await;
    let client = cluster.client();
    client.apply(&restricted(NAMESPACE), false).await;
    for object in kustomize("base").iter().filter(|object| {
        !object["rules"].is_null()
            || !object["subjects"].is_null()
            || object["kind"] == "ServiceAccount"
    }) {
        client.apply(object, false).await;
    }
    let token =
        client.token(NAMESPACE, "kube-event-relay", std::time::Duration::from_secs(600)).await;
    let image = Image::assemble(cluster.folder());
    println!("the image holds {} bytes", image.bytes);
    image.credentials(&cluster, &token);
    let port = cluster.url().rsplit(':').next().expect("a port").to_owned();
    // The API server stands for a service with TLS, whose authority is one of those that the image trusts.
    let bundle = image.root.join("etc/ssl/certs/ca-certificates.crt");
    let authorities = fs::read_to_string(&bundle).expect("the image has authorities");
    assert!(authorities.matches("BEGIN CERTIFICATE").count() > 100, "those of the system");
    let own = fs::read_to_string(cluster.ca_path()).expect("a certificate");
    fs::write(&bundle, authorities + &own).expect("written");

    let receiver = Receiver::start();
    let relay = image
        .relay("/kube-eventer")
        .env("KUBERNETES_SERVICE_HOST", "localhost")
        .env("KUBERNETES_SERVICE_PORT", &port)
        .env("TZ", "Asia/Shanghai")
        .arg("--source=kubernetes:")
        .arg(format!("--sink=webhook:{}/hook?method=POST", receiver.url()))
        .arg(format!("--sink=webhook:https://localhost:{port}/version?method=GET"));
    let mut created = Vec::new();
    for round in 0..3_usize {
        let running = relay.start();
        live(&running).await;
        created.extend(create_at_rate(client, round * 20..(round + 1) * 20, 50).await);
        receiver.wait_for(PATIENCE, |requests| distinct(requests) >= created.len()).await;
        status_when(&running, |status| status.sinks.iter().all(|sink| sink.delivered >= 20)).await;
        only_the_volume_is_writable(&running);
        // In turns as an update ends it, and as a node that dies does.
        if round % 2 == 0 {
            assert!(running.terminate().await.success());
        } else {
            running.kill().await;
        }
    }
    let requests = receiver.requests();
    let times = requests.iter().map(|request| request.json()["EventTime"].clone());
    assert!(
        times.into_iter().all(|time| time.to_string().contains("+0800 CST")),
        "the zone is known"
    );
    // kube-eventer's body has no uid: the messages name the events.
    let messages: std::collections::BTreeSet<_> =
        requests.iter().map(|request| request.json()["EventMessage"].to_string()).collect();
    assert_eq!(messages.len(), created.len(), "every event once");
}

/// User, rights and mounts of the process are those of the manifest.
fn only_the_volume_is_writable(relay: &Relay) {
    let read = |file: &str| {
        fs::read_to_string(format!("/proc/{}/{file}", relay.process_id())).expect("it runs")
    };
    let status = read("status");
    let line = |field: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("the field");
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(
        (line("Uid:"), line("Gid:")),
        (vec!["65532".to_owned(); 4], vec!["65532".to_owned(); 4])
    );
    assert_eq!(line("CapEff:"), ["0000000000000000"]);
    let mounts = read("mounts");
    let options = |line: &str| line.split(' ').nth(3).expect("options").to_owned();
    let of_root = |line: &&str| {
        line.split(' ').nth(1).is_some_and(|point| point == "/" || point.starts_with("/proc"))
    };
    let read_only = mounts
        .lines()
        .filter(of_root)
        .all(|line| options(line).split(',').any(|option| option == "ro"));
    assert!(read_only, "{mounts}");
}

/// The binary is static, and small enough with all that comes along.
#[test]
fn the_static_binary_needs_nothing() {
    // Without it this shows nothing.
    let Some(binary) = static_binary() else { return };
    let kind = fs::read(&binary).expect("the binary");
    let interpreter = String::from_utf8_lossy(&kind[..4096]).contains("ld-linux");
    assert!(!interpreter, "it asks for a dynamic linker");
    let folder = tempfile::tempdir().expect("a folder");
    let image = Image::assemble(folder.path());
    println!("binary {} bytes, image {} bytes", kind.len(), image.bytes);
    assert!(image.bytes <= MOST_BYTES, "{} bytes", image.bytes);
}

/// The last stage of the Dockerfile, built by Buildah from what the first one hands over: there is no base image to be
/// fetched, and no engine that has to run.
#[test]
fn the_dockerfile_makes_an_image_that_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    Image::assemble(&folder.path().join("build"));
    let text = fs::read_to_string(repository("deploy/Dockerfile")).expect("a file");
    let last = text.find("FROM scratch").expect("a last stage");
    let dockerfile = folder.path().join("Dockerfile");
    fs::write(&dockerfile, &text[last..]).expect("written");
    let buildah = |arguments: &[&str]| {
        let mut command = Command::new(rig::buildah());
        let store = |name| folder.path().join(name);
        command.arg("--root").arg(store("store")).arg("--runroot").arg(store("run"));
        output(command.args(["--storage-driver", "vfs"]).args(arguments).current_dir(&folder))
    };
    let stage = "build=build";
    buildah(&["bud", "--isolation", "chroot", "--build-context", stage, "--tag", "relay", "."]);
    let described: Value =
        serde_json::from_str(&buildah(&["inspect", "--type", "image", "relay"])).expect("JSON");
    let config = &described["OCIv1"]["config"];
    assert_eq!(config["User"], "65532:65532");
    assert_eq!(config["Entrypoint"], serde_json::json!(["/kube-event-relay"]));
    assert_eq!(config["ExposedPorts"], serde_json::json!({"8084/tcp": {}}));
    let container = buildah(&["from", "relay"]);
    for name in ["/kube-event-relay", "/kube-eventer"] {
        let run = ["run", "--isolation", "chroot", container.trim(), "--", name, "--version"];
        assert!(buildah(&run).contains(env!("CARGO_PKG_VERSION")), "{name}");
    }
}

#[test]
fn the_dockerfile_has_no_fault_that_hadolint_knows() {
    let dockerfile = repository("deploy/Dockerfile");
    output(Command::new(rig::hadolint()).arg(&dockerfile));
    let text = fs::read_to_string(dockerfile).expect("a file");
    let set = kustomize("base");
    let set: &Value = crate::rendering::only(&set, "StatefulSet");
    let user = &set["spec"]["template"]["spec"]["securityContext"]["runAsUser"];
    assert!(text.contains(&format!("USER {user}:{user}")), "manifest and image name the same user");
    let version = format!("rust:{}-", env!("CARGO_PKG_RUST_VERSION"));
    let built_with =
        text.lines().find_map(|line| line.strip_prefix("FROM ")).expect("a first stage");
    assert!(
        built_with.split('-').next() >= version.trim_end_matches('-').split('-').next(),
        "{built_with}"
    );
}
