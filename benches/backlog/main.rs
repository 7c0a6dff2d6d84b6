//! A dead sink beside 14 that live: what a backlog takes in memory and on disk, and that all of it
//! is given back.
//!
//! `cargo bench --bench backlog`. The real program runs as a process of its own; a local API server
//! streams numbered events to it, a local receiver counts and checks what each sink sends. The run
//! fails when a limit below is passed, or when a record is missing or out of order.
//!
//! - `BACKLOG_RECORDS`: how many events; 200,000 unless said otherwise, 10,000,000 is the full size.
//! - `BACKLOG_UNFILTERED`: how many of the 14 live sinks take every event. All of them in a run of
//!   up to a million; above, 2, while 2 take warnings (a twentieth) and 10 one namespace (a
//!   hundredth) each: so many deliveries would keep the machine busy for hours and show nothing more.
//! - `BACKLOG_PROGRAM`: another build of the program, to compare allocators.
//! - `CI=true`: a restart may take three times as long.

#![allow(clippy::expect_used, clippy::cast_precision_loss)]

mod api;
mod events;
mod memory;
mod receiver;

use std::fmt::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rig::{Relay, RelayBuilder, ReservedPort};

use api::Api;
use events::{FIRST, Wanted};
use memory::{Memory, Watch};
use receiver::Receiver;

/// Sinks whose receiver answers.
const LIVE: usize = 14;
const MIB: u64 = 1 << 20;

/// Resident memory, in every phase: the aim. What passes it is said.
const MEMORY_AIM: u64 = 64 * MIB;
/// What it must not pass.
const MEMORY_LIMIT: u64 = 96 * MIB;
/// Bytes on disk in hundredths of the bytes of the events' JSON.
const DISK_PERCENT_LIMIT: u64 = 50;
/// What may stay on disk when every sink has everything: the reserve (16 MiB), the segment that is
/// being written, which is never removed, and the state.
const REST_LIMIT: u64 = 48 * MIB;
/// From the start of the program to readiness.
const RESTART_LIMIT: Duration = Duration::from_secs(1);
/// Machines of CI share their cores.
const CI_FACTOR: u32 = 3;
/// How long nothing happens in the idle phase.
const IDLE: Duration = Duration::from_secs(10);
/// How often it is looked whether a phase is over.
const LOOK: Duration = Duration::from_millis(100);
/// A phase in which nothing has moved for so long has failed.
const PATIENCE: Duration = Duration::from_secs(120);

fn main() -> ExitCode {
    let runtime = tokio::runtime::Runtime::new().expect("runtime");
    let failures = runtime.block_on(measure());
    for failure in &failures {
        println!("FAILED: {failure}");
    }
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn measure() -> Vec<String> {
    let bench = Bench::new();
    println!(
        "{} events, {LIVE} live sinks of which {} take everything, 1 dead sink\n",
        bench.records, bench.unfiltered
    );
    let mut report = Report::new();
    let begun = Instant::now();
    let relay = bench.relay.start();
    let watch = Watch::of(relay.process_id());
    ready(&relay).await;
    report.phase("ready", begun.elapsed(), 0, watch.phase(), bench.disk());

    let begun = Instant::now();
    bench.api.release(bench.last());
    let filled = bench.until(begun, async || appended(&relay).await).await;
    report.phase("fill", filled, bench.records, watch.phase(), bench.disk());
    let caught_up = bench.until(begun, async || bench.live_records()).await;
    let delivered = bench.live_wanted();
    report.phase("live sinks", caught_up, delivered, watch.phase(), bench.disk());
    report.raw_bytes = bench.api.raw_bytes();
    tokio::time::sleep(IDLE).await;
    report.phase("idle", IDLE, 0, watch.phase(), bench.disk());
    drop(watch);

    relay.terminate().await;
    let begun = Instant::now();
    let relay = bench.relay.start();
    ready(&relay).await;
    report.restart("after SIGTERM", begun.elapsed());
    relay.kill().await;
    let begun = Instant::now();
    let relay = bench.relay.start();
    let watch = Watch::of(relay.process_id());
    ready(&relay).await;
    report.restart("after SIGKILL", begun.elapsed());
    report.phase("restarted", begun.elapsed(), 0, watch.phase(), bench.disk());

    let begun = Instant::now();
    bench.revive();
    let drained = bench.until(begun, async || bench.receiver.tally(LIVE).records).await;
    report.phase("drain", drained, bench.records, watch.phase(), bench.disk());
    let begun = Instant::now();
    bench.until_given_back().await;
    let given_back = begun.elapsed();
    report.phase("given back", given_back, 0, watch.phase(), bench.disk());
    tokio::time::sleep(IDLE).await;
    report.phase("idle again", IDLE, 0, watch.phase(), bench.disk());
    drop(watch);
    relay.terminate().await;

    report.print();
    let mut failures = report.failures();
    failures.extend(bench.faults());
    failures
}

/// What takes part.
struct Bench {
    records: u64,
    unfiltered: usize,
    wanted: Vec<Wanted>,
    api: Api,
    receiver: Receiver,
    dead: ReservedPort,
    relay: RelayBuilder,
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let records = variable("BACKLOG_RECORDS").unwrap_or(200_000);
        let most = if records > 1_000_000 { 2 } else { LIVE };
        let unfiltered =
            variable::<usize>("BACKLOG_UNFILTERED").map_or(most, |count| count.min(LIVE));
        let wanted: Vec<Wanted> = (0..LIVE)
            .map(|sink| match sink {
                _ if sink < unfiltered => Wanted::ALL,
                _ if sink < unfiltered + 2 => Wanted::WARNINGS,
                _ => Wanted::namespace(sink as u64),
            })
            .chain([Wanted::ALL])
            .collect();
        let (api, receiver, dead) = (Api::start(), Receiver::new(&wanted), ReservedPort::new());
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("tempdir");
        let file = folder.path().join("relay.yaml");
        let live = receiver.listen();
        let data = folder.path().join("data");
        let text = configuration(&api, &data, &wanted, live, dead.number());
        std::fs::write(&file, text).expect("write");
        let program = std::env::var_os("BACKLOG_PROGRAM")
            .map_or_else(|| env!("CARGO_BIN_EXE_kube-event-relay").into(), PathBuf::from);
        let file = file.to_str().expect("a path of text");
        let relay = Relay::builder(program).without_admin().args(["run", "--config", file]);
        Self { records, unfiltered, wanted, api, receiver, dead, relay, folder }
    }

    fn last(&self) -> u64 {
        FIRST - 1 + self.records
    }

    fn live_wanted(&self) -> u64 {
        self.wanted[..LIVE].iter().map(|wanted| wanted.among(self.records)).sum()
    }

    fn live_records(&self) -> u64 {
        // A sink that has everything counts as if it took every event, so that all sinks together
        // have what they want exactly when the number of records is reached.
        let lacking: u64 = (0..LIVE)
            .map(|sink| self.wanted[sink].among(self.records) - self.receiver.tally(sink).records)
            .sum();
        self.records.saturating_sub(lacking)
    }

    /// Waits until the count has reached the number of records, and returns how long that took.
    async fn until(&self, begun: Instant, count: impl AsyncFn() -> u64) -> Duration {
        let (mut before, mut moved) = (0, Instant::now());
        loop {
            let now = count().await;
            if now >= self.records {
                return begun.elapsed();
            }
            let delivered: u64 = (0..=LIVE).map(|sink| self.receiver.tally(sink).records).sum();
            if before != now + delivered {
                (before, moved) = (now + delivered, Instant::now());
            }
            assert!(moved.elapsed() < PATIENCE, "{now} of {}, and nothing moves", self.records);
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The dead sink's receiver begins to answer.
    fn revive(&self) {
        let listener = self.dead.listen().into_std().expect("a listener");
        listener.set_nonblocking(false).expect("a listener that blocks");
        self.receiver.accept(listener);
    }

    fn disk(&self) -> u64 {
        bytes_below(self.folder.path().join("data").as_path())
    }

    /// Waits until the directory is small, or does not become smaller any more.
    async fn until_given_back(&self) {
        let give_up = Instant::now() + PATIENCE;
        while self.disk() > REST_LIMIT && Instant::now() < give_up {
            tokio::time::sleep(LOOK).await;
        }
    }

    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut repeated = 0;
        for (sink, wanted) in self.wanted.iter().enumerate() {
            let tally = self.receiver.tally(sink);
            repeated += tally.repeated;
            if let Some(fault) = tally.fault {
                faults.push(format!("sink {sink}: {fault}"));
            }
            let expected = wanted.among(self.records);
            if tally.records != expected {
                faults.push(format!("sink {sink}: {} of {expected} events", tally.records));
            }
        }
        let whole = if faults.is_empty() { "every sink has" } else { "NOT every sink has" };
        println!(
            "{whole} what it wants, in order; {repeated} delivered twice, around two restarts"
        );
        faults
    }
}

fn configuration(api: &Api, data: &Path, wanted: &[Wanted], live: u16, dead: u16) -> String {
    let mut text = format!(
        "cluster: backlog\n\
         source: {{kubernetes: {{server: \"{}\", start: now}}}}\n\
         log: {{dataDir: {}, maxBytes: 100Gi, retain: 0s}}\n\
         admin: {{listen: \"127.0.0.1:0\"}}\nsinks:\n",
        api.url(),
        data.display()
    );
    for (sink, wanted) in wanted.iter().enumerate() {
        let port = if sink < LIVE { live } else { dead };
        let wanted = wanted.to_match();
        let _written = writeln!(
            text,
            "  - name: sink-{sink}\n    kind: webhook\n    match: {wanted}\n    \
             options: {{url: \"http://127.0.0.1:{port}/{sink}\", format: array}}\n    \
             retry: {{initial: 1s, max: 2s, timeout: 30s}}"
        );
    }
    text
}

async fn ready(relay: &Relay) {
    let begun = Instant::now();
    while !relay.get("/readyz").await.0.is_success() {
        assert!(begun.elapsed() < PATIENCE, "not ready");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Records that are durable.
async fn appended(relay: &Relay) -> u64 {
    const NAME: &str = "kube_event_relay_log_appended_records_total ";
    let metrics = relay.get_text("/metrics").await;
    let line = metrics.lines().find_map(|line| line.strip_prefix(NAME)).expect("the metric");
    line.parse().expect("a number")
}

fn variable<T: std::str::FromStr>(name: &str) -> Option<T> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name}={value} is not a number")))
}

/// Bytes that the files below a directory occupy, or their lengths, whichever is more.
fn bytes_below(path: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(path) else { return 0 };
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_below(&entry.path()),
        Ok(metadata) => metadata.len().max(metadata.blocks() * 512),
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}

/// One line of the table.
struct Phase {
    name: &'static str,
    took: Duration,
    records: u64,
    memory: Memory,
    disk: u64,
}

/// What was measured.
struct Report {
    phases: Vec<Phase>,
    restarts: Vec<(&'static str, Duration)>,
    raw_bytes: u64,
}

impl Report {
    fn new() -> Self {
        Self { phases: Vec::new(), restarts: Vec::new(), raw_bytes: 0 }
    }

    fn phase(
        &mut self,
        name: &'static str,
        took: Duration,
        records: u64,
        memory: Memory,
        disk: u64,
    ) {
        self.phases.push(Phase { name, took, records, memory, disk });
        eprintln!("{name}: {took:.1?}, peak {} MiB", memory.peak / MIB);
    }

    fn restart(&mut self, how: &'static str, took: Duration) {
        self.restarts.push((how, took));
    }

    fn print(&self) {
        let raw = self.raw_bytes as f64;
        println!(
            "phase      | seconds | records/s | RSS end | of that no file | mean | peak MiB | disk MiB | / raw"
        );
        println!(
            "-----------|--------:|----------:|--------:|----------------:|-----:|---------:|---------:|-----:"
        );
        for Phase { name, took, records, memory, disk } in &self.phases {
            let mib = |bytes: u64| bytes as f64 / MIB as f64;
            let seconds = took.as_secs_f64();
            let rate = if *records == 0 {
                String::new()
            } else {
                format!("{:.0}", *records as f64 / seconds)
            };
            println!(
                "{name:10} | {seconds:7.1} | {rate:>9} | {:7.1} | {:15.1} | {:4.1} | {:8.1} | {:8.1} | {:5.3}",
                mib(memory.now),
                mib(memory.anonymous),
                mib(memory.mean),
                mib(memory.peak),
                mib(*disk),
                *disk as f64 / raw,
            );
        }
        println!("\nraw: {:.1} MiB", raw / MIB as f64);
        for (how, took) in &self.restarts {
            println!("ready {how}: {:.0} ms", took.as_secs_f64() * 1000.0);
        }
    }

    fn failures(&self) -> Vec<String> {
        let mut failures = Vec::new();
        for Phase { name, memory, disk, .. } in &self.phases {
            let peak = memory.peak / MIB;
            if memory.peak > MEMORY_AIM {
                println!("aim missed: {name}: {peak} MiB resident, {} aimed at", MEMORY_AIM / MIB);
            }
            if memory.peak > MEMORY_LIMIT {
                failures
                    .push(format!("{name}: {peak} MiB resident, {} allowed", MEMORY_LIMIT / MIB));
            }
            if *name == "idle" && disk * 100 > self.raw_bytes * DISK_PERCENT_LIMIT {
                failures.push(format!("{disk} bytes on disk for {} of events", self.raw_bytes));
            }
            if *name == "given back" && *disk > REST_LIMIT {
                failures.push(format!("{} MiB are still on disk", disk / MIB));
            }
        }
        let in_ci = std::env::var("CI").is_ok_and(|value| value == "true");
        let limit = RESTART_LIMIT * if in_ci { CI_FACTOR } else { 1 };
        for (how, took) in &self.restarts {
            if *took > limit {
                failures.push(format!("ready {took:.2?} {how}, {limit:?} allowed"));
            }
        }
        failures
    }
}
