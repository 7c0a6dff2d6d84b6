//! Every system call fails once: log and state go on as if nothing had been, or stop with exit code 1
//! and a reason, and are whole again after a restart. Never do they go on silently with something lost.
//!
//! One run of a fixed, short piece of work is repeated: for each class of calls, each call of that class,
//! and each error it may end with, once. A sync that fails takes with it what it was to make durable, as
//! Linux does: whoever tries it again and believes it loses what was promised.
//!
//! `SEED` repeats an earlier run. `SYSTEM_CALLS=fdatasync:EIO:7` runs one case (parts may be left out from
//! the end) and says what happened. Reads from the page cache, which Linux neither interrupts nor cuts
//! short, are sampled; `SYSTEM_CALLS=all` leaves none of them out.

#![allow(clippy::expect_used)] // a test fails where an expectation is not met

mod harness;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use harness::exerciser::{self, Exerciser, Orders, Promises};
use rig::{Calls, FailingCalls, Failure};
use rustix::process::{Pid, Signal, kill_process};

/// Turns of the work in which a call fails: with a rotation, a trim and several cursor commits.
const TURNS: u32 = 5;
/// Longer than the watchdog of the log waits before it ends a process that hangs.
const LIMIT: Duration = Duration::from_secs(60);
/// Processes at once: they wait for the disk, and for room on it, more than they compute.
const WORKERS: usize = 3;
/// Of the reads from the page cache, every so-manieth fails.
const CACHED_STEP: usize = 8;

/// The classes of calls, and how they may fail. EINTR only where Linux knows it; a call that has
/// nothing to write knows no ENOSPC, and one that reads from the page cache no EIO.
const CASES: [(&str, &[&str]); 18] = [
    ("open", &["EIO", "ENOSPC", "EINTR"]),
    ("read", &["EIO", "EINTR", "short"]),
    ("read-cached", &["EINTR", "short"]),
    ("pread", &["EIO", "EINTR", "short"]),
    ("pread-cached", &["EINTR", "short"]),
    ("write", &["EIO", "ENOSPC", "EINTR", "short"]),
    ("pwrite", &["EIO", "ENOSPC", "EINTR", "short"]),
    ("fsync", &["EIO", "ENOSPC", "EINTR"]),
    ("fdatasync", &["EIO", "ENOSPC", "EINTR"]),
    ("sync_file_range", &["EIO", "ENOSPC"]),
    ("ftruncate", &["EIO", "EINTR"]),
    ("fallocate", &["EIO", "ENOSPC", "EINTR"]),
    ("rename", &["EIO", "ENOSPC"]),
    ("unlink", &["EIO"]),
    ("rmdir", &["EIO"]),
    ("mkdir", &["EIO", "ENOSPC"]),
    ("readdir", &["EIO"]),
    ("stat", &["EIO"]),
];

#[test]
fn exerciser_process() {
    exerciser::run_when_ordered();
}

#[test]
fn every_system_call_fails_once_and_nothing_is_lost_silently() {
    let number = |text: String| text.parse().expect("SEED is a number");
    let seed = std::env::var("SEED").map_or_else(|_| rand::random(), number);
    let started = Instant::now();
    let store = Store::prepare(seed);
    let cases = Mutex::new(store.cases(&wanted()));
    let (table, wrong) = (Mutex::new(Table::default()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for worker in 0..WORKERS {
            let area = store.folder.path().join(format!("worker-{worker}"));
            let (store, cases, table, wrong) = (&store, &cases, &table, &wrong);
            let next = || cases.lock().expect("a lock").pop_front();
            scope.spawn(move || {
                while let Some(case) = next() {
                    let outcome = store.run(&area, &case);
                    if let Err(what) = &outcome.recovered {
                        wrong.lock().expect("a lock").push(format!("{case:?}: {what}"));
                    }
                    table.lock().expect("a lock").add(&case, &outcome);
                }
            });
        }
    });
    table.into_inner().expect("a lock").print();
    println!("{:.0?}, SEED={seed}", started.elapsed());
    let wrong = wrong.into_inner().expect("a lock");
    assert!(wrong.is_empty(), "{} cases went wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// `all`, the beginning of the names of cases, or nothing.
fn wanted() -> String {
    std::env::var("SYSTEM_CALLS").unwrap_or_default()
}

/// A data directory to begin with, and what was promised about it.
struct Store {
    folder: tempfile::TempDir,
    seed: u64,
    promises: Promises,
    /// Calls of the work when none fails.
    totals: BTreeMap<String, u64>,
}

/// How the process ended whose call failed.
#[derive(Debug, Clone, PartialEq, Eq)]
enum End {
    WentOn,
    Stopped(String),
    /// By its own watchdog.
    Aborted,
}

/// What became of a case.
#[derive(Debug)]
struct Outcome {
    /// The path of the call that failed; `None`: there was no such call this time.
    hit: Option<PathBuf>,
    end: Option<End>,
    recovered: Result<(), String>,
}

impl Store {
    /// Lets a log grow, in one go, until the work that follows rotates and trims; not every seed has
    /// such a length, so the next ones are tried, too.
    fn prepare(seed: u64) -> Self {
        let folder = scratch();
        let (totals, promises) = (BTreeMap::new(), Promises::default());
        let mut store = Self { folder, seed, promises, totals };
        let lengths = || (20..60).step_by(TURNS as usize - 1);
        for (seed, turns) in
            (seed..).take(20).flat_map(|seed| lengths().map(move |turns| (seed, turns)))
        {
            store.seed = seed;
            store.begin(turns);
            let work = store.work(&store.folder.path().join("first"), None);
            assert_eq!(work.end, Ok(End::WentOn));
            store.totals = work.calls.totals;
            let does = |class| store.totals.get(class) > Some(&0);
            if does("rmdir") && does("mkdir") {
                println!("SEED={seed} calls of the work: {:?}", store.totals);
                return store;
            }
        }
        panic!("the work neither rotates nor trims, however long the log is; SEED={seed}");
    }

    /// Begins anew with a log of so many turns.
    fn begin(&mut self, turns: u32) {
        let (directory, environment) = (self.template(), [].into());
        if directory.exists() {
            std::fs::remove_dir_all(&directory).expect("remove");
        }
        let orders = Orders { directory, seed: self.seed, turns: Some(turns), environment };
        self.promises = Promises::default();
        assert_eq!(run(&orders, &mut self.promises), Ok(End::WentOn));
        // It was given up, and is laid down again in the work.
        std::fs::remove_file(self.template().join("reserve")).expect("a reserve");
    }

    fn template(&self) -> PathBuf {
        self.folder.path().join("template")
    }

    /// All cases, or those that begin as wanted.
    fn cases(&self, wanted: &str) -> VecDeque<Failure> {
        let mut cases = VecDeque::new();
        for (class, errors) in CASES {
            for error in errors {
                let calls = 1..=self.totals.get(class).copied().unwrap_or_default();
                let is_sampled = class.ends_with("-cached") && wanted.is_empty();
                let calls = calls.step_by(if is_sampled { CACHED_STEP } else { 1 });
                cases.extend(calls.map(|call| Failure { class: class.to_owned(), call, error }));
            }
        }
        let name = |case: &Failure| format!("{}:{}:{}:", case.class, case.error, case.call);
        let is_one = !["", "all"].contains(&wanted);
        cases.retain(|case| !is_one || name(case).starts_with(&format!("{wanted}:")));
        println!(
            "{} cases; of the cached reads, every {CACHED_STEP}th unless all are asked for",
            cases.len()
        );
        cases
    }

    /// Does the work once, on a copy of the store.
    fn work(&self, area: &Path, failure: Option<&Failure>) -> Work {
        if area.exists() {
            std::fs::remove_dir_all(area).expect("remove");
        }
        let directory = area.join("data");
        copy(&self.template(), &directory);
        let failing = FailingCalls::new(&directory, area);
        let mut environment: HashMap<_, _> = failing.environment(failure).into_iter().collect();
        let stderr = area.join("stderr").to_str().expect("a path of text").to_owned();
        environment.insert(exerciser::STDERR.to_owned(), stderr);
        let orders = Orders { directory, seed: self.seed, turns: Some(TURNS), environment };
        let mut promises = self.promises.clone();
        promises.opened = None;
        let end = run(&orders, &mut promises);
        let broken = self.promises.broken_by(&promises);
        let end = if broken.is_empty() { end } else { Err(broken.join(", ")) };
        Work {
            calls: failing.calls(),
            lost: failing.lose_what_was_not_synced(),
            orders,
            promises,
            end,
        }
    }

    /// Does the work with a failing call, and looks at what is left without one.
    fn run(&self, area: &Path, case: &Failure) -> Outcome {
        let work = self.work(area, Some(case));
        let hit = work.calls.hit.clone();
        let end = match work.end.clone() {
            Ok(end) => end,
            Err(what) => {
                return Outcome { recovered: Err(format!("{what} ({hit:?})")), hit, end: None };
            }
        };
        let recovered = work
            .restart()
            .map_err(|what| format!("after {end:?}: {what} ({hit:?}, lost {:?})", work.lost));
        if !["", "all"].contains(&wanted().as_str()) {
            println!("{case:?} {hit:?} {end:?} {recovered:?}");
        }
        Outcome { hit, end: Some(end), recovered }
    }
}

/// The work, done.
struct Work {
    calls: Calls,
    /// The file that lost what was written since its last good sync.
    lost: Option<PathBuf>,
    orders: Orders,
    promises: Promises,
    end: Result<End, String>,
}

impl Work {
    /// Starts again without a fault: everything promised is there, and it goes on.
    fn restart(&self) -> Result<(), String> {
        let stderr = self.orders.environment.get_key_value(exerciser::STDERR);
        let environment = stderr.into_iter().map(|(name, file)| (name.clone(), file.clone()));
        let environment = environment.collect();
        let orders = Orders { turns: Some(1), environment, ..self.orders.clone() };
        let mut promises = self.promises.clone();
        (promises.opened, promises.stopped) = (None, None);
        let end = run(&orders, &mut promises)?;
        let broken = self.promises.broken_by(&promises);
        match (end, broken.is_empty()) {
            (End::WentOn, true) => Ok(()),
            (end, _) => Err(format!("{end:?} {}", broken.join(", "))),
        }
    }
}

/// Runs an exerciser to its end; an error is an end that is not allowed.
fn run(orders: &Orders, promises: &mut Promises) -> Result<End, String> {
    let mut process = Exerciser::start(orders, "exerciser_process");
    let id = i32::try_from(process.id()).ok().and_then(Pid::from_raw).expect("a process id");
    let (ended, end) = channel::<()>();
    let guard = std::thread::spawn(move || {
        let hangs = end.recv_timeout(LIMIT) == Err(RecvTimeoutError::Timeout);
        if hangs {
            kill_process(id, Signal::KILL).expect("it runs");
        }
        hangs
    });
    let code = process.finish(promises);
    drop(ended);
    let hangs = guard.join().expect("never panics");
    match (code, &promises.stopped) {
        _ if !promises.violations.is_empty() => Err(promises.violations.join(", ")),
        _ if hangs => Err(format!("it hangs for {LIMIT:?}")),
        (Some(0), None) => Ok(End::WentOn),
        (Some(exerciser::STOPPED), Some(why)) => Ok(End::Stopped(why.clone())),
        (None, _) => Ok(End::Aborted),
        (code, why) => Err(format!("exit code {code:?}, {why:?}")),
    }
}

/// What became of the cases, by class and error.
#[derive(Debug, Default)]
struct Table(BTreeMap<(usize, String, &'static str), Row>);

#[derive(Debug, Default)]
struct Row {
    runs: u32,
    hit: u32,
    went_on: u32,
    stopped: u32,
    aborted: u32,
    recovered: u32,
}

impl Table {
    fn add(&mut self, case: &Failure, outcome: &Outcome) {
        let place = CASES.iter().position(|(class, _)| *class == case.class).unwrap_or_default();
        let row = self.0.entry((place, case.class.clone(), case.error)).or_default();
        row.runs += 1;
        row.hit += u32::from(outcome.hit.is_some());
        row.went_on += u32::from(outcome.end == Some(End::WentOn));
        row.stopped += u32::from(matches!(outcome.end, Some(End::Stopped(_))));
        row.aborted += u32::from(outcome.end == Some(End::Aborted));
        row.recovered += u32::from(outcome.recovered.is_ok());
    }

    fn print(&self) {
        println!("class           error    runs  hit went on stopped aborted recovered");
        for ((_, class, error), row) in &self.0 {
            let Row { runs, hit, went_on, stopped, aborted, recovered } = row;
            println!(
                "{class:<15} {error:<7} {runs:>5} {hit:>4} {went_on:>7} {stopped:>7} {aborted:>7} \
                 {recovered:>9}"
            );
        }
    }
}

/// A folder in memory where there is room: what a sync keeps and loses is the library's to say, and
/// thousands of copies of a store would otherwise wait for the disk.
fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let room = rustix::fs::statvfs(memory).map_or(0, |volume| volume.f_bavail * volume.f_frsize);
    let folder = if room > 1 << 30 { memory.to_owned() } else { std::env::temp_dir() };
    tempfile::tempdir_in(folder).expect("a folder")
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("create");
    for entry in std::fs::read_dir(from).expect("list") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        if entry.metadata().expect("metadata").is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).expect("copy");
        }
    }
}
