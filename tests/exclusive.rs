//! Promise 8: two processes never write one data directory, and a directory that is not this
//! relay's is refused and left untouched.

#![allow(clippy::expect_used)] // a test fails where an expectation is not met

mod harness;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use harness::{BINARY, PATIENCE, Setup, accepted, all_done, distinct, program, status_when};
use kube_event_relay::log::FORMAT;
use rig::{Cluster, Receiver, Relay, RelayBuilder, Stream};

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_is_refused_and_the_first_is_unharmed() {
    let cluster = Cluster::start().await;
    let receiver = Receiver::start();
    let setup = Setup::new(cluster.folder(), cluster.kubeconfig_path());
    let setup = setup.webhook("only", &receiver.url(), "");
    let first = setup.relay().start();
    let mut created = cluster.client().create_events("default", 50, 4).await;
    status_when(&first, |status| all_done(status, 50)).await;

    // It does nothing itself meanwhile, so that every change on disk would be the second's.
    first.pause();
    let before = listing(&setup.data());
    let line = refusal(&setup.relay()).await;
    assert_eq!(changed(&before, &setup.data()), NOTHING, "by the second process");
    first.resume();
    let host = fs::read_to_string("/proc/sys/kernel/hostname").expect("a host name");
    let holder = format!("in use by process {} on host {}", first.process_id(), host.trim());
    assert!(line.contains(&holder), "{line}");
    assert!(line.contains("stop that process, or give this one a directory of its own"), "{line}");

    created.extend(cluster.client().create_events("default", 50, 4).await);
    let requests = receiver.wait_for(PATIENCE, |requests| distinct(requests) >= 100).await;
    let verdict = accepted(&requests, &created).check();
    verdict.assert();
    assert_eq!(verdict.duplicates, 0);
    assert!(first.terminate().await.success());
}

/// Afterwards its own relay goes on with it as if nothing had been.
#[tokio::test(flavor = "multi_thread")]
async fn a_directory_of_another_cluster_or_a_newer_format_is_left_untouched() {
    let (ours, theirs) = tokio::join!(Cluster::start(), Cluster::start());
    let receiver = Receiver::start();
    let setup = |cluster: &Cluster| {
        let setup = Setup::new(ours.folder(), cluster.kubeconfig_path());
        setup.webhook("only", &receiver.url(), "")
    };
    let created = ours.client().create_events("default", 20, 4).await;
    let relay = setup(&ours).relay().start();
    receiver.wait_for(PATIENCE, |requests| distinct(requests) >= 20).await;
    assert!(relay.terminate().await.success());
    let data = setup(&ours).data();
    let identity = data.join("relay.json");
    let own = fs::read_to_string(&identity).expect("an identity");

    theirs.client().create_events("default", 5, 1).await;
    let before = listing(&data);
    let line = refusal(&setup(&theirs).relay()).await;
    assert_eq!(changed(&before, &data), NOTHING, "by another cluster's relay");
    let uid = |cluster: &Cluster| {
        let client = cluster.client().clone();
        async move { client.get("/api/v1/namespaces/kube-system").await["metadata"]["uid"].clone() }
    };
    for (whose, uid) in [("belongs to", uid(&ours).await), ("API server is", uid(&theirs).await)] {
        let uid = uid.as_str().expect("a uid");
        assert!(line.contains(&format!("{whose} the cluster with uid {uid}")), "{line}");
    }
    assert!(line.contains("use another directory, or connect to the first cluster"), "{line}");

    let newer = own.replace(&format!("\"format\":{FORMAT}"), "\"format\":99");
    fs::write(&identity, newer).expect("written");
    let before = listing(&data);
    let line = refusal(&setup(&ours).relay()).await;
    let known = format!("has format 99, this version knows formats up to {FORMAT}");
    assert!(line.contains(&known), "{line}");
    assert!(line.contains("run the newer version again"), "{line}");
    let path = data.to_str().expect("UTF-8");
    let answer = program(&["status", "--data-dir", path]);
    assert_eq!(answer.code, Some(1));
    assert!(answer.stderr.contains("has format 99"), "{answer:?}");
    assert_eq!(changed(&before, &data), NOTHING, "by an older version");

    fs::write(&identity, own).expect("written");
    let relay = setup(&ours).relay().start();
    let last = ours.client().create_events("default", 1, 1).await;
    let requests = receiver.wait_for(PATIENCE, |requests| distinct(requests) >= 21).await;
    let verdict = accepted(&requests, &[created, last].concat()).check();
    verdict.assert();
    assert_eq!(verdict.duplicates, 0, "what was refused in between has delivered nothing");
    assert!(relay.terminate().await.success());
}

/// Found before anything else is touched: no cluster is needed.
#[tokio::test]
async fn a_directory_that_cannot_be_written_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let kubeconfig = folder.path().join("kubeconfig");
    fs::write(&kubeconfig, "{apiVersion: v1, kind: Config}").expect("written");
    let setup = Setup::new(folder.path(), &kubeconfig).sink("{name: only, kind: log}");

    fs::write(setup.data(), "somebody's notes").expect("written");
    let line = refusal(&bound_by_permissions(&setup)).await;
    assert!(line.contains(&format!("{} cannot be written", setup.data().display())), "{line}");
    assert!(line.contains("choose another directory"), "{line}");
    assert_eq!(fs::read_to_string(setup.data()).expect("still a file"), "somebody's notes");
    fs::remove_file(setup.data()).expect("removed");

    fs::create_dir(setup.data()).expect("made");
    fs::set_permissions(setup.data(), PermissionsExt::from_mode(0o555)).expect("set");
    let line = refusal(&bound_by_permissions(&setup)).await;
    assert!(line.contains(&format!("{} cannot be written", setup.data().display())), "{line}");
    assert!(line.contains("mount a writable volume there"), "{line}");
    assert_eq!(fs::read_dir(setup.data()).expect("readable").count(), 0);
}

/// The one line in which a relay that cannot start says why, with exit code 1.
async fn refusal(relay: &RelayBuilder) -> String {
    let relay = relay.start();
    let status = relay.wait_exit(PATIENCE).await;
    let lines: Vec<_> = relay.lines().into_iter().map(|line| (line.stream, line.text)).collect();
    let [(Stream::Error, line)] = &lines[..] else { panic!("one line: {lines:#?}") };
    assert_eq!(status.code(), Some(1), "{line}");
    line.strip_prefix("error: ").unwrap_or_else(|| panic!("{line}")).to_owned()
}

/// The relay, without root's privilege of ignoring permissions.
fn bound_by_permissions(setup: &Setup) -> RelayBuilder {
    if !rustix::process::geteuid().is_root() {
        return setup.relay();
    }
    Relay::builder("setpriv")
        .without_admin()
        .args(["--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all", BINARY])
        .args(["run", "--config"])
        .arg(setup.write())
}

/// Everything in a directory: when it was changed and, of files, the content.
type Listing = BTreeMap<PathBuf, (SystemTime, Option<Vec<u8>>)>;

fn listing(directory: &Path) -> Listing {
    let mut found = BTreeMap::new();
    let mut left = vec![directory.to_owned()];
    while let Some(path) = left.pop() {
        let metadata = fs::metadata(&path).expect("it exists");
        if metadata.is_dir() {
            let entries = fs::read_dir(&path).expect("readable");
            left.extend(entries.map(|entry| entry.expect("an entry").path()));
        }
        let changed = metadata.modified().expect("a time");
        found.insert(path.clone(), (changed, fs::read(&path).ok()));
    }
    found
}

const NOTHING: [PathBuf; 0] = [];

/// What has come, gone or changed since.
fn changed(before: &Listing, directory: &Path) -> Vec<PathBuf> {
    let now = listing(directory);
    let paths: BTreeSet<_> = before.keys().chain(now.keys()).collect();
    paths.into_iter().filter(|path| before.get(*path) != now.get(*path)).cloned().collect()
}
