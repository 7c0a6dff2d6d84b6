//! SIGTERM: intake stops, deliveries under way end within the drain deadline, exit code 0. Nothing is
//! missing after a restart; nothing is sent twice that was answered in time.

#![allow(clippy::expect_used)] // a test fails where an expectation is not met

mod harness;

use std::path::Path;
use std::time::{Duration, Instant};

use harness::{PATIENCE, Setup, accepted, create_at_rate, distinct};
use kube_event_relay::relay::offline_status;
use rig::{Behaviour, Cluster, Received, Receiver, Relay};
use rustix::process::{Pid, Signal, kill_process};

/// A sink that gives a request a minute, so that nothing but the end of the relay ends one.
fn patient(receiver: &Receiver) -> String {
    let url = receiver.url();
    format!("{{name: only, kind: webhook, options: {{url: \"{url}\"}}, retry: {{timeout: 1m}}}}")
}

/// 40 events per second come in and a tenth of them gets out, when the signal comes.
#[tokio::test(flavor = "multi_thread")]
async fn under_load_it_ends_in_order_and_nothing_is_missing_or_sent_twice() {
    let cluster = Cluster::start().await;
    let receiver = Receiver::start();
    receiver.behave(Behaviour::delay(Duration::from_millis(250)));
    let setup = Setup::new(cluster.folder(), cluster.kubeconfig_path()).sink(&patient(&receiver));
    let relay = setup.relay().start();
    let client = cluster.client().clone();
    let load = tokio::spawn(async move { create_at_rate(&client, 0..400, 40).await });
    receiver.wait_for(PATIENCE, |requests| requests.len() >= 10).await;
    assert!(relay.terminate().await.success());
    let under_way = distinct(&receiver.requests());

    let created = load.await.expect("created");
    let stopped = offline_status(&setup.data()).expect("a stopped relay's directory");
    let frontier = frontier(&setup.data());
    assert!(frontier < created[399].resource_version, "intake went on");
    let records = stopped.streams[0].records;
    assert!(records > under_way as u64, "there was a backlog: {records} against {under_way}");
    assert_eq!(
        stopped.sinks[0].lag_records,
        records - under_way as u64,
        "what was answered is done"
    );

    receiver.behave(Behaviour::status(200));
    let relay = setup.relay().start();
    let requests = receiver.wait_for(PATIENCE, |requests| distinct(requests) >= 400).await;
    let verdict = accepted(&requests, &created).check();
    verdict.assert();
    assert_eq!((requests.len(), verdict.duplicates), (400, 0));
    assert!(relay.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_hangs_does_not_hold_it_longer_than_the_deadline() {
    let cluster = Cluster::start().await;
    let receiver = Receiver::start();
    receiver.behave(Behaviour::Hang);
    let setup = Setup::new(cluster.folder(), cluster.kubeconfig_path())
        .option("drainDeadline: 2s")
        .sink(&patient(&receiver));
    let relay = setup.relay().start();
    let created = create_at_rate(cluster.client(), 0..20, 50).await;
    receiver.wait_for(PATIENCE, |requests| requests.len() == 1).await;
    let signalled = Instant::now();
    assert!(relay.terminate().await.success());
    let took = signalled.elapsed();
    println!("ended {took:.1?} after the signal");
    assert!(took >= Duration::from_secs(2), "the delivery was given {took:?} only");
    assert!(took < Duration::from_secs(20), "the deadline did not end it");
    let told = relay.lines().iter().any(|line| line.text.contains("drain deadline has passed"));
    assert!(told, "it says why the delivery was broken off");

    everything_arrives_after_a_restart(&setup, &receiver, &created).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_it_at_once() {
    let cluster = Cluster::start().await;
    let receiver = Receiver::start();
    receiver.behave(Behaviour::Hang);
    let setup = Setup::new(cluster.folder(), cluster.kubeconfig_path())
        .option("drainDeadline: 10m")
        .sink(&patient(&receiver));
    let created = create_at_rate(cluster.client(), 0..20, 50).await;
    for (second, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        receiver.clear();
        let relay = setup.relay().start();
        receiver.wait_for(PATIENCE, |requests| requests.len() == 1).await;
        signal(&relay, Signal::TERM);
        relay.wait_for_line(PATIENCE, |line| line.contains("a second signal ends")).await;
        let (ready, reason) = relay.get("/readyz").await;
        assert_eq!((ready.as_u16(), reason.contains("the relay is stopping")), (503, true));
        signal(&relay, second);
        let status = relay.wait_exit(PATIENCE).await;
        assert_eq!(status.code(), Some(code), "{second:?}");
    }
    everything_arrives_after_a_restart(&setup, &receiver, &created).await;
}

/// The request that hung comes again as it was, and with it everything else.
async fn everything_arrives_after_a_restart(
    setup: &Setup,
    receiver: &Receiver,
    created: &[rig::CreatedEvent],
) {
    let hung = receiver.requests().swap_remove(0);
    receiver.behave(Behaviour::status(200));
    let relay = setup.relay().start();
    let requests =
        receiver.wait_for(PATIENCE, |requests| distinct(requests) >= created.len()).await;
    let verdict = accepted(&requests, created).check();
    verdict.assert();
    assert_eq!(verdict.duplicates, 0);
    let again = requests.iter().find(|request| request.accepted()).expect("one was accepted");
    let identity = |request: &Received| {
        (request.header("idempotency-key").map(str::to_owned), request.body.clone())
    };
    assert_eq!(identity(again), identity(&hung));
    assert!(relay.terminate().await.success());
}

fn frontier(data: &Path) -> u64 {
    let status = offline_status(data).expect("a stopped relay's directory");
    let frontier = status.streams[0].frontier.as_ref().expect("records");
    frontier.parse().expect("a number")
}

fn signal(relay: &Relay, signal: Signal) {
    let process = i32::try_from(relay.process_id()).ok().and_then(Pid::from_raw);
    kill_process(process.expect("a process id"), signal).expect("it runs");
}
