//! Promise 3 and 4: a sink that is down, answers errors, or hangs loses nothing, keeps the order, and
//! is not sent anything else under the same key.

#![allow(clippy::expect_used)] // a test fails where an expectation is not met

mod harness;

use harness::{PATIENCE, Setup, accepted, create_at_rate, distinct, same_bytes_under_each_key};
use rig::{Behaviour, Cluster, Receiver};

const EVENTS: usize = 2_000;
const PER_SECOND: u32 = 50;

/// 2,000 events at 50 per second; in the middle third one receiver is down, one answers 500, one
/// accepts requests and never answers.
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_any_kind_loses_nothing() {
    let cluster = Cluster::start().await;
    let (down, failing, hanging) = (Receiver::start(), Receiver::start(), Receiver::start());
    let setup = Setup::new(cluster.folder(), cluster.kubeconfig_path())
        .webhook("down", &down.url(), "")
        .webhook("failing", &failing.url(), "")
        .webhook("hanging", &hanging.url(), "");
    let relay = setup.relay().start();
    let client = cluster.client();
    let mut created = create_at_rate(client, 0..EVENTS / 3, PER_SECOND).await;
    down.down().await;
    failing.behave(Behaviour::status(500));
    hanging.behave(Behaviour::Hang);
    created.extend(create_at_rate(client, EVENTS / 3..EVENTS * 2 / 3, PER_SECOND).await);
    down.up();
    failing.behave(Behaviour::status(200));
    hanging.behave(Behaviour::status(200));
    created.extend(create_at_rate(client, EVENTS * 2 / 3..EVENTS, PER_SECOND).await);

    for receiver in [&down, &failing, &hanging] {
        let requests = receiver.wait_for(PATIENCE, |requests| distinct(requests) >= EVENTS).await;
        let verdict = accepted(&requests, &created).check();
        verdict.assert();
        assert_eq!(verdict.distinct, EVENTS);
        assert_eq!(verdict.duplicates, 0, "no request that was accepted came again");
        same_bytes_under_each_key(&requests);
    }
    assert!(relay.terminate().await.success());
}
