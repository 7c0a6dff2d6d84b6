//! The whole program: how soon an event arrives, and how many a second.
//!
//! `cargo bench --bench relay`. Latency is measured against a real API server, beside a bare watch of
//! the same events; throughput with a local watch stream that is faster than the relay, beside a
//! loop that only sends the same bodies.

#![allow(
    clippy::expect_used,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]

use std::collections::HashMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube_event_relay::cli::demo::api_server::{ApiServer, EventStore};
use kube_event_relay::cli::demo::workload::Workload;
use rig::{Cluster, EventSpec, Received, Receiver, Relay};

const BINARY: &str = env!("CARGO_BIN_EXE_kube-event-relay");
const PATIENCE: Duration = Duration::from_secs(180);
/// Events of the latency measurement, and how many of them a second.
const PACED: usize = 1_500;
const PER_SECOND: u32 = 50;
/// Events of the throughput measurement.
const FLOOD: usize = 30_000;

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("runtime");
    runtime.block_on(async {
        latency().await;
        println!();
        throughput().await;
    });
}

/// A relay of its own: its folder goes with it.
struct Setup {
    relay: Relay,
    _folder: tempfile::TempDir,
}

fn start(source: &str, url: &str, options: &str) -> Setup {
    let folder = tempfile::tempdir_in("target").expect("tempdir");
    let file = folder.path().join("relay.yaml");
    let text = format!(
        "source: {{kubernetes: {{{source}, start: now}}}}\n\
         log: {{dataDir: {}}}\nadmin: {{listen: \"127.0.0.1:0\"}}\n\
         sinks: [{{name: hook, kind: webhook, options: {{url: \"{url}\"{options}}}}}]\n",
        folder.path().join("data").display()
    );
    std::fs::write(&file, text).expect("write");
    let file = file.to_str().expect("a path of text").to_owned();
    let relay = Relay::builder(BINARY).without_admin().args(["run", "--config", &file]).start();
    Setup { relay, _folder: folder }
}

/// Waits until the stream is live, so that nothing of the start is measured.
async fn live(relay: &Relay) {
    loop {
        let (status, _) = relay.get("/readyz").await;
        if status.is_success() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn latency() {
    let cluster = Cluster::start().await;
    let (hook, bare) = (Receiver::start(), bare_watch(&cluster).await);
    let source = format!("kubeconfig: {}", cluster.kubeconfig_path().display());
    let setup = start(&source, &hook.url(), "");
    live(&setup.relay).await;
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / PER_SECOND);
    let mut asked = HashMap::new();
    for number in 0..PACED {
        ticks.tick().await;
        let name = format!("paced-{number}");
        asked.insert(name.clone(), Instant::now());
        cluster.client().create_event("default", &EventSpec::new(&name)).await;
    }
    let arrived = hook.wait_for(PATIENCE, |requests| requests.len() >= PACED).await;
    let since = |name: &str, at: Instant| (at - asked[name]).as_secs_f64() * 1000.0;
    let mut relayed: Vec<f64> =
        arrived.iter().map(|request| since(&name_of(request), request.arrived)).collect();
    bare.abort();
    let mut watched: Vec<f64> = SEEN
        .lock()
        .expect("no panic")
        .iter()
        .filter(|(name, _)| asked.contains_key(name))
        .map(|(name, at)| since(name, *at))
        .collect();
    println!("request to create -> seen, {PACED} events at {PER_SECOND} per second, ms");
    println!("                    |    p50 |    p99");
    println!("--------------------|-------:|------:");
    for (what, values) in [("a bare watch", &mut watched), ("webhook of the relay", &mut relayed)] {
        println!("{what:20}| {:6.2} | {:6.2}", quantile(values, 0.5), quantile(values, 0.99));
    }
    setup.relay.terminate().await;
}

/// Names of events with the moment at which a plain watch saw them.
static SEEN: std::sync::Mutex<Vec<(String, Instant)>> = std::sync::Mutex::new(Vec::new());

async fn bare_watch(cluster: &Cluster) -> tokio::task::JoinHandle<()> {
    let path = "/api/v1/events?watch=1";
    let request = cluster.client().request(reqwest::Method::GET, path);
    let mut response = request.send().await.expect("a watch");
    tokio::spawn(async move {
        let mut buffer = Vec::new();
        while let Ok(Some(bytes)) = response.chunk().await {
            buffer.extend_from_slice(&bytes);
            while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = buffer.drain(..=end).collect();
                let item: serde_json::Value = serde_json::from_slice(&line).unwrap_or_default();
                let name = item["object"]["metadata"]["name"].as_str().unwrap_or_default();
                SEEN.lock().expect("no panic").push((name.to_owned(), Instant::now()));
            }
        }
    })
}

fn name_of(request: &Received) -> String {
    request.json()["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}

async fn throughput() {
    println!("events per second, {FLOOD} events from a local watch to a local webhook");
    println!("                                | events/s | ratio");
    println!("--------------------------------|---------:|------:");
    let baseline = send_only().await;
    println!("sending only, one per request   | {baseline:8.0} |  1.00");
    for (what, options, per_request) in [
        ("relay, one event per request", "", 1),
        ("relay, arrays of up to 500", ", format: array", 500),
    ] {
        let rate = flood(options, per_request).await;
        println!("{what:32}| {rate:8.0} | {:5.2}", rate / baseline);
    }
}

async fn send_only() -> f64 {
    let hook = Receiver::start();
    let client = kube_event_relay::sink::http_client().expect("client");
    let mut workload = Workload::new(7);
    let bodies: Vec<Vec<u8>> = (0..FLOOD)
        .map(|_| workload.next_event(Timestamp::now()).to_string().into_bytes())
        .collect();
    let begun = Instant::now();
    for body in bodies {
        let answer = client.post(hook.url()).body(body).send().await.expect("an answer");
        assert!(answer.status().is_success());
    }
    FLOOD as f64 / begun.elapsed().as_secs_f64()
}

async fn flood(options: &str, per_request: usize) -> f64 {
    let store = EventStore::new(4 * FLOOD);
    let server = ApiServer::start(store.clone()).await.expect("server");
    let hook = Receiver::start();
    let setup = start(&format!("server: \"{}\"", server.url()), &hook.url(), options);
    live(&setup.relay).await;
    let mut workload = Workload::new(7);
    let begun = Instant::now();
    for _ in 0..FLOOD {
        store.put(workload.next_event(Timestamp::now())).expect("a named event");
    }
    let counted = |requests: &[Received]| match per_request {
        1 => requests.len(),
        _ => requests.iter().map(|one| one.json().as_array().map_or(0, Vec::len)).sum(),
    };
    let arrived = hook.wait_for(PATIENCE, move |requests| counted(requests) >= FLOOD).await;
    let last = arrived.last().expect("requests").arrived;
    setup.relay.terminate().await;
    FLOOD as f64 / (last - begun).as_secs_f64()
}

fn quantile(values: &mut [f64], q: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * q) as usize]
}
