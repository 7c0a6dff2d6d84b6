//! The whole relay on a disk that fails once: it ends with exit code 1 and says why, or waits and goes
//! on; either way every event is delivered after a restart.
//!
//! Log and state alone are shown every call that can fail in `tests/system_calls.rs`.

#![allow(clippy::expect_used)] // a test fails where an expectation is not met

mod harness;

use harness::{PATIENCE, Setup, accepted, create_at_rate, distinct, live};
use rig::{Behaviour, Cluster, CreatedEvent, FailingCalls, Failure, Receiver, Relay};

/// What fails, and whether the relay has to end.
const CASES: [(&str, &str, &str, bool); 5] = [
    ("fdatasync", "EIO", "/streams/", true),
    ("pwrite", "EIO", "/streams/", true),
    ("fdatasync", "EIO", "/state/", true),
    // Pages that found no room cannot be written again; a write that found none can.
    ("sync_file_range", "ENOSPC", "/streams/", true),
    ("pwrite", "ENOSPC", "/streams/", false),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_a_failing_disk_interrupts_is_delivered_after_a_restart() {
    let cluster = Cluster::start().await;
    let mut created = Vec::new();
    for (class, error, only, ends) in CASES {
        println!("{class} {error} below {only}");
        let folder = tempfile::tempdir().expect("a folder");
        let receiver = Receiver::start();
        let setup = Setup::new(folder.path(), cluster.kubeconfig_path()).webhook(
            "only",
            &receiver.url(),
            "",
        );
        // Opening takes the first of these calls; this is one of the commits that follow.
        let failure = Failure { class: class.to_owned(), call: 4, error };
        let failing = FailingCalls::new(&setup.data(), folder.path()).only(only);
        let environment = failing.environment(Some(&failure));
        let builder = environment
            .iter()
            .fold(setup.relay(), |builder, (name, value)| builder.env(name, value));
        let relay = builder.start();
        let from = created.len();
        created.extend(create_at_rate(cluster.client(), from..from + 100, 50).await);
        if ends {
            ends_and_says_why(&relay, &created).await;
        } else {
            everything_arrives(&receiver, &created).await;
            let ended = relay.terminate().await;
            let last: Vec<_> =
                relay.lines().into_iter().rev().take(6).map(|line| line.text).collect();
            assert!(ended.success(), "{last:#?}");
        }
        assert!(failing.calls().hit.is_some(), "the call has failed");
        let lost = failing.lose_what_was_not_synced();
        println!("lost what was not synced of {lost:?}");

        let relay = setup.relay().start();
        live(&relay).await;
        everything_arrives(&receiver, &created).await;
        assert!(relay.terminate().await.success());
    }
}

async fn ends_and_says_why(relay: &Relay, created: &[CreatedEvent]) {
    let status = relay.wait_exit(PATIENCE).await;
    let lines = relay.lines();
    let last = lines.last().expect("it says something").text.clone();
    println!("{last}");
    assert_eq!(status.code(), Some(1), "{last}");
    assert!(last.starts_with("error: ") && last.contains("cannot "), "{last}");
    assert!(!created.is_empty());
}

async fn everything_arrives(receiver: &Receiver, created: &[CreatedEvent]) {
    receiver.behave(Behaviour::status(200));
    let requests =
        receiver.wait_for(PATIENCE, |requests| distinct(requests) >= created.len()).await;
    accepted(&requests, created).check().assert();
}
