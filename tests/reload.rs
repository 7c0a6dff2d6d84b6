//! The configuration file of a running relay: sinks are added, changed and removed under load, and those that
//! stay lose nothing and keep their order. A file that is not accepted changes nothing.

#![allow(clippy::expect_used, clippy::format_push_string)] // a test fails where an expectation is not met

mod harness;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use harness::{
    PATIENCE, Setup, accepted, all_done, create_at_rate, distinct, program,
    same_bytes_under_each_key, status_when,
};
use kube_event_relay::relay::{Change, Status};
use rig::{Cluster, Receiver, Relay};

const PER_SECOND: u32 = 100;
const EVENTS: usize = 300;

fn names(status: &Status) -> Vec<&str> {
    let mut names: Vec<_> = status.sinks.iter().map(|sink| sink.name.as_str()).collect();
    names.sort_unstable();
    names
}

/// The file as it would be written anew, in place.
fn rewrite(setup: &Setup) {
    setup.write();
}

/// `relay.yaml` in a folder that is mounted from a `ConfigMap`: a link through another link, which is switched.
struct Mount {
    folder: PathBuf,
    version: u32,
}

impl Mount {
    fn new(folder: &Path) -> Self {
        let mount = Self { folder: folder.join("mounted"), version: 0 };
        fs::create_dir(&mount.folder).expect("a folder");
        symlink("..data/relay.yaml", mount.file()).expect("a link");
        mount
    }

    fn file(&self) -> PathBuf {
        self.folder.join("relay.yaml")
    }

    /// What kubelet does when a `ConfigMap` has changed.
    fn put(&mut self, text: &str) {
        self.version += 1;
        let data = format!("..v{}", self.version);
        fs::create_dir(self.folder.join(&data)).expect("a folder");
        fs::write(self.folder.join(&data).join("relay.yaml"), text).expect("written");
        let new = self.folder.join("..data_tmp");
        symlink(&data, &new).expect("a link");
        fs::rename(&new, self.folder.join("..data")).expect("switched");
    }
}

async fn reload(relay: &Relay, setup: &Setup, more: &[&str]) -> harness::Answer {
    let (url, token) = (relay.admin_url().await, setup.data().join("admin-token"));
    let token = token.to_str().expect("UTF-8");
    let place = ["config", "reload", "-o", "json", "--server", &url, "--token-file", token];
    program(&[&place, more].concat())
}

fn change(answer: &harness::Answer) -> Change {
    serde_json::from_str(&answer.stdout).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn sinks_come_and_go_and_the_others_lose_nothing() {
    let cluster = Cluster::start().await;
    let [stays, changes, goes, comes] = [(); 4].map(|()| Receiver::start());
    let base = Setup::new(cluster.folder(), cluster.kubeconfig_path());
    let before = base
        .clone()
        .webhook("stays", &stays.url(), "")
        .webhook("changes", &changes.url(), "")
        .webhook("goes", &goes.url(), "");
    let after = base
        .clone()
        .webhook("stays", &stays.url(), "")
        .webhook("changes", &changes.url(), "batch: {maxRecords: 7}")
        .webhook("comes", &comes.url(), "");
    let relay = before.relay().start();
    let client = cluster.client();
    let (mut created, ()) = tokio::join!(create_at_rate(client, 0..EVENTS, PER_SECOND), async {
        stays.wait_for(PATIENCE, |requests| requests.len() >= EVENTS / 3).await;
        rewrite(&after);
        status_when(&relay, |status| names(status) == ["changes", "comes", "stays"]).await;
    });
    created.extend(create_at_rate(client, EVENTS..2 * EVENTS, PER_SECOND).await);
    status_when(&relay, |status| all_done(status, 2 * EVENTS)).await;

    let requests = stays.requests();
    let verdict = accepted(&requests, &created).check();
    verdict.assert();
    assert_eq!((verdict.distinct, verdict.duplicates), (2 * EVENTS, 0));
    same_bytes_under_each_key(&requests);
    let late = distinct(&comes.requests());
    assert!((EVENTS..2 * EVENTS).contains(&late), "what arrived since it came: {late}");
    // What was under way while it was halted may come twice, and nothing is missing or out of order.
    let requests = changes.requests();
    let verdict = accepted(&requests, &created).check();
    verdict.assert();
    assert_eq!(verdict.distinct, 2 * EVENTS);
    let at_gone = distinct(&goes.requests());
    assert!((1..2 * EVENTS).contains(&at_gone), "{at_gone}");

    // The cursor of the sink that is gone was kept: back again, it goes on there.
    rewrite(&before);
    status_when(&relay, |status| names(status) == ["changes", "goes", "stays"]).await;
    status_when(&relay, |status| all_done(status, 2 * EVENTS)).await;
    let verdict = accepted(&goes.requests(), &created).check();
    verdict.assert();
    assert_eq!((verdict.distinct, verdict.duplicates), (2 * EVENTS, 0));
    let metrics = relay.get_text("/metrics").await;
    assert!(!metrics.contains("sink=\"comes\""), "series of sinks that are gone end");
    assert!(relay.terminate().await.success());
}

fn refusal(status: &Status) -> Option<&str> {
    let refusal = status.configuration.as_ref()?.refusal.as_ref();
    refusal.map(|refusal| refusal.reason.as_str())
}

/// The file is right, and something it needs comes later: nobody has to touch the file again.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_waited_for() {
    let cluster = Cluster::start().await;
    let sink = Receiver::start();
    let base =
        Setup::new(cluster.folder(), cluster.kubeconfig_path()).webhook("one", &sink.url(), "");
    let relay = base.relay().start();
    status_when(&relay, |status| status.streams[0].live).await;
    let template = cluster.folder().join("template");
    let two = format!(
        "{{name: two, kind: slack, options: {{url: \"{}\", template: {{file: \"{}\"}}}}}}",
        sink.url(),
        template.display()
    );
    base.sink(&two).write();
    let status = status_when(&relay, |status| refusal(status).is_some()).await;
    let reason = refusal(&status).expect("a reason");
    assert!(reason.contains(template.to_str().expect("UTF-8")), "{reason}");
    fs::write(&template, "{{ reason }}").expect("written");
    status_when(&relay, |status| names(status) == ["one", "two"] && refusal(status).is_none())
        .await;
    let refused = |line: &&rig::Line| line.text.contains("the configuration is not taken over");
    assert_eq!(relay.lines().iter().filter(refused).count(), 1, "told of once");
    assert!(relay.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_file_changes_nothing() {
    let cluster = Cluster::start().await;
    let sink = Receiver::start();
    let setup =
        Setup::new(cluster.folder(), cluster.kubeconfig_path()).webhook("one", &sink.url(), "");
    let text = fs::read_to_string(setup.write()).expect("the file");
    let mut mount = Mount::new(cluster.folder());
    mount.put(&text);
    let file = mount.file();
    let arguments = ["run", "--config", file.to_str().expect("UTF-8")];
    let relay = Relay::builder(harness::BINARY).without_admin().args(arguments).start();
    status_when(&relay, |status| status.streams[0].live).await;
    let successful = |value: u8| {
        let line = format!("kube_event_relay_config_last_reload_successful {value}\n");
        let relay = &relay;
        async move {
            let give_up = std::time::Instant::now() + PATIENCE;
            while !relay.get_text("/metrics").await.contains(&line) {
                assert!(std::time::Instant::now() < give_up, "{line}");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        }
    };
    successful(1).await;

    mount.put(&text.replace("kind: webhook", "kind: webhok"));
    relay
        .wait_for_line(PATIENCE, |line| {
            line.contains("did you mean `webhook`?") && line.contains("stays as it was")
        })
        .await;
    successful(0).await;
    let status = status_when(&relay, |status| refusal(status).is_some()).await;
    assert!(refusal(&status).expect("a reason").contains("did you mean `webhook`?"), "{status:?}");
    let refused = reload(&relay, &setup, &[]).await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("did you mean `webhook`?"), "{}", refused.stderr);
    let created = cluster.client().create_events("default", 5, 1).await;
    status_when(&relay, |status| all_done(status, 5)).await;
    accepted(&sink.requests(), &created).check().assert();

    // What was wrong is mended, and another sink comes.
    let two = format!("{text}  - {{name: two, kind: log}}\n");
    mount.put(&two);
    status_when(&relay, |status| names(status) == ["one", "two"]).await;
    successful(1).await;
    status_when(&relay, |status| refusal(status).is_none()).await;
    // What the dry run says is what happens, and it is noted.
    let mut before = "two".to_owned();
    for number in 0.. {
        let name = format!("three-{number}");
        mount.put(&format!("{text}  - {{name: {name}, kind: log}}\n"));
        let said = change(&reload(&relay, &setup, &["--dry-run"]).await);
        let done = change(&reload(&relay, &setup, &[]).await);
        status_when(&relay, |status| names(status) == ["one", &name]).await;
        // The relay may have looked at the file in between.
        if done.effect != "nothing changes" {
            let effect = format!("added: {name}; removed (its cursor is kept): {before}");
            assert_eq!(said.effect, effect);
            assert_eq!(Change { dry_run: false, ..said }, done);
            break;
        }
        before = name;
    }
    let unchanged = change(&reload(&relay, &setup, &["--dry-run"]).await);
    assert_eq!(unchanged.effect, "nothing changes");

    // On SIGHUP at once; what needs a restart is said.
    mount.put(&text.replace("cluster: rig", "cluster: other"));
    let process = rustix::process::Pid::from_raw(relay.process_id().try_into().expect("a process"));
    rustix::process::kill_process(process.expect("a process"), rustix::process::Signal::HUP)
        .expect("a signal");
    status_when(&relay, |status| names(status) == ["one"]).await;
    relay.wait_for_line(PATIENCE, |line| line.contains("restart it for the rest")).await;
    let waits = |status: &Status| {
        status.configuration.as_ref().is_some_and(|file| file.needs_restart == ["cluster"])
    };
    status_when(&relay, waits).await;
    assert!(relay.terminate().await.success());
}
