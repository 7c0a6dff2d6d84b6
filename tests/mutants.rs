//! The test of the tests: whatever promise of the program is broken, some test notices.
//!
//! Each deliberate fault (`src/fault.rs`) has tests here that have to fail once it is switched on, and
//! pass as long as it is not. A new fault needs a row in [`KILLERS`]. Run with `--features faults`;
//! `FAULTS=skip-sync,trim-one-too-far` looks at these alone.

#![allow(clippy::expect_used)] // a test fails where an expectation is not met

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use kube_event_relay::fault::Fault;
use rustix::process::{Pid, Signal, kill_process};

/// A test that has to fail with a fault.
struct Killer {
    fault: Fault,
    /// `lib`, or the name of a file in `tests`.
    executable: &'static str,
    /// Its whole name.
    test: &'static str,
    environment: &'static [(&'static str, &'static str)],
}

const EVERY_CALL: &str = "every_system_call_fails_once_and_nothing_is_lost_silently";

const KILLERS: [Killer; 10] = [
    Killer {
        environment: &[("POWER_CUTS", "15")],
        ..killer(
            Fault::SkipSync,
            "power_loss",
            "what_was_durable_survives_power_cuts_at_any_moment",
        )
    },
    killer(
        Fault::PublishBeforeCommit,
        "lib",
        "log::tests::a_commit_that_fails_does_not_move_the_frontier",
    ),
    killer(
        Fault::TrimOneTooFar,
        "lib",
        "log::tests::trimming_gives_back_whole_segments_behind_a_position",
    ),
    Killer {
        environment: &[("PROPTEST_CASES", "40"), ("SEED", "1")],
        ..killer(Fault::TrimOneTooFar, "model", "log_and_cursors_hold_what_a_plain_model_holds")
    },
    killer(
        Fault::DropOnClientError,
        "sink_conformance",
        "a_record_that_is_refused_does_not_stop_the_others",
    ),
    killer(Fault::DropOnClientError, "lib", "sink::http::reply::tests::every_status_has_its_class"),
    Killer {
        environment: &[("SYSTEM_CALLS", "pwrite:EIO"), ("SEED", "1")],
        ..killer(Fault::SwallowWriteError, "system_calls", EVERY_CALL)
    },
    killer(
        Fault::AdvancePastRetry,
        "lib",
        "relay::runner::flight::tests::only_the_unfinished_are_sent_again_and_the_prefix_waits_for_them",
    ),
    killer(
        Fault::AdvancePastRetry,
        "lib",
        "relay::runner::tests::property::whatever_a_sink_does_the_cursor_passes_only_what_has_ended",
    ),
    Killer {
        environment: &[("SYSTEM_CALLS", "fdatasync:EIO"), ("SEED", "1")],
        ..killer(Fault::RetryFailedSync, "system_calls", EVERY_CALL)
    },
];

const fn killer(fault: Fault, executable: &'static str, test: &'static str) -> Killer {
    Killer { fault, executable, test, environment: &[] }
}

/// What the tests print when they cannot be run where they are.
const NOT_TESTED: &str = "NOT TESTED";
/// A test that takes longer hangs, and that is a failure, too.
const PATIENCE: Duration = Duration::from_secs(150);

/// How a test ended.
#[derive(Debug, PartialEq)]
enum End {
    Passed,
    Failed,
    Hung,
    /// It says that it cannot be run here.
    NotTested,
    /// There is no test of that name.
    Absent,
}

#[test]
fn every_fault_is_noticed_by_the_tests_that_are_named_for_it() {
    let chosen = std::env::var("FAULTS").ok();
    let is_chosen = |fault: Fault| {
        chosen.as_ref().is_none_or(|names| names.split(',').any(|name| name == fault.name()))
    };
    let killers: Vec<_> = KILLERS.iter().filter(|killer| is_chosen(killer.fault)).collect();
    let executables = build(&killers);
    let mut table = String::new();
    let mut wrong = Vec::new();
    for fault in Fault::ALL.into_iter().filter(|fault| is_chosen(*fault)) {
        if !killers.iter().any(|killer| killer.fault == fault) {
            wrong.push(format!("{}: no test is named for it", fault.name()));
        }
    }
    for killer in killers {
        let begun = Instant::now();
        let verdict = try_killer(killer, &executables);
        let seconds = begun.elapsed().as_secs_f64();
        let test = format!("{}::{}", killer.executable, killer.test);
        let noticed = if verdict.is_ok() { "killed by" } else { "NOT KILLED BY" };
        let line = format!("{:22} {noticed} {test} ({seconds:.1} s)", killer.fault.name());
        eprintln!("{line}");
        writeln!(table, "{line}").expect("memory");
        if let Err(why) = verdict {
            wrong.push(format!("{}: {test} {why}", killer.fault.name()));
        }
    }
    println!("{table}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The test has to pass without the fault and to fail with it.
fn try_killer(killer: &Killer, executables: &BTreeMap<String, PathBuf>) -> Result<(), String> {
    let executable = executables.get(killer.executable).ok_or("is not there")?;
    match run(killer, executable, false) {
        (End::Passed, _) => {}
        (End::NotTested, _) if std::env::var("CI").as_deref() != Ok("true") => {
            eprintln!("{NOT_TESTED}: {}: its test cannot be run here", killer.fault.name());
            return Ok(());
        }
        (end, output) => return Err(format!("has to pass without the fault: {end:?}\n{output}")),
    }
    match run(killer, executable, true) {
        (End::Failed | End::Hung, _) => Ok(()),
        (end, output) => Err(format!("has to fail with the fault: {end:?}\n{output}")),
    }
}

fn run(killer: &Killer, executable: &PathBuf, with_fault: bool) -> (End, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("output");
    let output = File::create(&path).expect("a file");
    let mut command = Command::new(executable);
    command.args(["--exact", killer.test, "--nocapture"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    command.envs(killer.environment.iter().copied());
    // Cases that fail on purpose are nothing to remember.
    command
        .env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "true")
        .env("PROPTEST_MAX_SHRINK_ITERS", "0");
    command.env_remove(Fault::VARIABLE).env("RUST_BACKTRACE", "0");
    if with_fault {
        command.env(Fault::VARIABLE, killer.fault.name());
    }
    command.stdin(Stdio::null()).stderr(output.try_clone().expect("a file")).stdout(output);
    let mut child = command.spawn().expect("a test starts");
    let id = Pid::from_child(&child);
    let (ended, end) = channel();
    let waiting = std::thread::spawn(move || {
        // Nobody waits for it any more when it is late.
        let _late = ended.send(child.wait().expect("wait").success());
    });
    let success = end.recv_timeout(PATIENCE);
    if success.is_err() {
        kill_process(id, Signal::KILL).expect("kill");
    }
    waiting.join().expect("it ends");
    let mut text = Vec::new();
    File::open(&path).and_then(|mut file| file.read_to_end(&mut text)).expect("output");
    let text = String::from_utf8_lossy(&text).into_owned();
    let end = match success {
        Err(_late) => End::Hung,
        Ok(false) => End::Failed,
        Ok(true) if text.contains(NOT_TESTED) => End::NotTested,
        Ok(true) if text.contains("ok. 0 passed") => End::Absent,
        Ok(true) => End::Passed,
    };
    (end, text)
}

/// Builds the executables of the tests that are named, and says where they are.
fn build(killers: &[&Killer]) -> BTreeMap<String, PathBuf> {
    let names: BTreeSet<&str> = killers.iter().map(|killer| killer.executable).collect();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["test", "--no-run", "--features", "faults", "--message-format=json", "--quiet"]);
    // What cargo tells a test about its package makes it build dependencies anew that look at that.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    for name in names {
        if name == "lib" {
            command.arg("--lib");
        } else if PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join(format!("tests/{name}.rs"))
            .exists()
        {
            command.args(["--test", name]);
        }
    }
    let built = command
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo starts");
    assert!(built.status.success(), "the tests cannot be built");
    let text = String::from_utf8(built.stdout).expect("JSON");
    let artifacts = text.lines().filter_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let executable = message["executable"].as_str()?.into();
        let is_lib = message["target"]["kind"][0] == "lib";
        let name = if is_lib { "lib" } else { message["target"]["name"].as_str()? };
        Some((name.to_owned(), executable))
    });
    artifacts.collect()
}
