//! A rolling update: SIGTERM, then the next version on the same volume. Nothing is lost and nothing comes twice; how
//! long there is no watch is measured.

use std::path::Path;
use std::time::{Duration, Instant};

use rig::{Cluster, Receiver, Relay};

use crate::harness::continuous::Writer;
use crate::harness::{BINARY, PATIENCE, Setup, accepted, live};
use crate::image::static_binary;

const UPDATES: usize = 10;

const PER_SECOND: u32 = 40;

/// The versions take turns: the binary under test, and the one of the image when it was built.
#[tokio::test(flavor = "multi_thread")]
async fn an_update_loses_nothing_and_is_short() {
    let cluster = Cluster::start().await;
    let receiver = Receiver::start();
    let setup = Setup::new(cluster.folder(), cluster.kubeconfig_path()).webhook(
        "hook",
        &receiver.url(),
        "",
    );
    let config = setup.write();
    let image = static_binary();
    let start = |number: usize| {
        let other = image.as_deref().filter(|_| number % 2 == 1);
        let builder = Relay::builder(other.unwrap_or(Path::new(BINARY))).without_admin();
        builder.args(["run", "--config", config.to_str().expect("a path of text")]).start()
    };
    let writer = Writer::start(cluster.client(), PER_SECOND);
    let mut relay = start(0);
    live(&relay).await;
    let mut absences = Vec::new();
    for number in 1..=UPDATES {
        let before = receiver.count();
        receiver.wait_for(PATIENCE, |requests| requests.len() >= before + 20).await;
        let signalled = Instant::now();
        assert!(relay.terminate().await.success());
        relay = start(number);
        live(&relay).await;
        absences.push(signalled.elapsed());
    }
    drop(writer);
    let existing = cluster.client().existing_events().await;
    receiver.wait_for(PATIENCE, |requests| requests.len() >= existing.len()).await;
    let status = live(&relay).await;
    assert!(relay.terminate().await.success());
    let verdict = accepted(&receiver.requests(), &existing).check();
    verdict.assert();
    assert_eq!(verdict.duplicates, 0);
    assert!(status.streams[0].gaps.is_empty(), "{status:?}");
    absences.sort();
    let (median, longest): (Duration, Duration) = (absences[UPDATES / 2], absences[UPDATES - 1]);
    println!(
        "{UPDATES} updates, {} events: without a watch {median:.1?} in the median, {longest:.1?} at most",
        existing.len()
    );
}
