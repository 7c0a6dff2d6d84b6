//! A data directory of an older format is brought to this one, whatever happens meanwhile, and one of
//! a newer format is left as it is.

#![allow(clippy::expect_used)] // a test fails where an expectation is not met

mod stored;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime};

use kube_event_relay::log::{DataDirectory, FORMAT};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use stored::{check, independent, package};

const BINARY: &str = env!("CARGO_BIN_EXE_kube-event-relay");
/// Golden data directories of older formats.
const OLDER: [&str; 1] = ["0001-initial"];
/// Seed of the moments at which migrations are killed.
const SEED: &str = "MIGRATION_SEED";
/// Directories in which a migration is killed several times.
const ROUNDS: usize = 12;
const KILLS: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn an_older_directory_is_migrated_when_it_is_opened_and_only_then() {
    for folder in OLDER {
        let directory = package::unpack(folder);
        check::check(directory.path()).await;
        assert_migrated(directory.path());
        let opened = DataDirectory::open(directory.path(), Duration::ZERO).expect("open again");
        assert!(opened.migrated().is_empty(), "there is nothing left to do");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_says_what_it_would_do_and_does_it_once() {
    for folder in OLDER {
        let directory = package::unpack(folder);
        let data = directory.path().to_str().expect("UTF-8");
        let before = listing(directory.path());

        let planned = run(&["migrate", "--data-dir", data, "--dry-run"]);
        assert!(planned.status.success(), "{planned:?}");
        let text = String::from_utf8_lossy(&planned.stdout).into_owned();
        assert!(text.contains("these steps would bring it to"), "{text}");
        assert!(text.contains("0002-segment-heads"), "{text}");
        // Who only looks does not migrate either, and is told what to do.
        let refused = run(&["status", "--data-dir", data]);
        let text = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(1), "{text}");
        assert!(text.contains(&format!("`kube-event-relay migrate --data-dir {data}`")), "{text}");
        assert_eq!(changed(&before, directory.path()), NOTHING);

        let done = run(&["migrate", "--data-dir", data, "-o", "json"]);
        assert!(done.status.success(), "{done:?}");
        let outcome: serde_json::Value = serde_json::from_slice(&done.stdout).expect("JSON");
        assert_eq!((&outcome["from"], &outcome["to"]), (&1.into(), &FORMAT.into()));
        assert_eq!(outcome["steps"][0]["name"], "segment-heads");
        assert_migrated(directory.path());

        let before = listing(&directory.path().join("streams"));
        let again = run(&["migrate", "--data-dir", data]);
        let text = String::from_utf8_lossy(&again.stdout).into_owned();
        assert!(again.status.success() && text.contains("nothing to do"), "{again:?}");
        assert_eq!(changed(&before, &directory.path().join("streams")), NOTHING);
        assert!(run(&["status", "--data-dir", data]).status.success());
        check::check(directory.path()).await;
    }
}

/// Killed with SIGKILL at random moments, several times in a row, and then left to finish.
#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_is_killed_goes_on_where_it_was() {
    let seed =
        std::env::var(SEED).map_or_else(|_| rand::random(), |text| text.parse().expect("a seed"));
    println!("{SEED}={seed}");
    let mut dice = StdRng::seed_from_u64(seed);
    for folder in OLDER {
        let golden = package::unpack(folder);
        let whole = copy(golden.path());
        let begun = Instant::now();
        let mut child = migration(whole.path());
        until_it_migrates(whole.path(), &mut child);
        let start = begun.elapsed();
        assert!(child.wait().expect("ended").success());
        let step = begun.elapsed().saturating_sub(start);
        let (mut before, mut during, mut after) = (0, 0, 0);
        for round in 0..ROUNDS {
            let directory = copy(golden.path());
            for _ in 0..KILLS {
                let mut child = migration(directory.path());
                if round % 4 == 0 {
                    std::thread::sleep(start.mul_f64(dice.random_range(0.0..1.5)));
                } else {
                    until_it_migrates(directory.path(), &mut child);
                    std::thread::sleep(step.mul_f64(dice.random_range(0.0..0.9)));
                }
                child.kill().expect("kill");
                child.wait().expect("ended");
                match state(directory.path()) {
                    (1, None) => before += 1,
                    (FORMAT, Some(1)) => during += 1,
                    (FORMAT, None) => {
                        after += 1;
                        break;
                    }
                    other => panic!("{other:?}"),
                }
            }
            let mut last = migration(directory.path());
            assert!(last.wait().expect("ended").success());
            check::check(directory.path()).await;
            assert_migrated(directory.path());
        }
        println!("killed {before} times before, {during} during, {after} after the step");
        assert!(during > 0, "the moments were badly chosen");
    }
}

#[test]
fn a_newer_directory_is_refused_and_left_byte_for_byte_as_it_was() {
    let newer = FORMAT + 1;
    for identity in [
        format!("{{\"format\":{newer}}}\n"),
        format!("{{\"format\":{newer},\"migratingFrom\":1}}\n"),
        "{\"format\":4000000000,\"else\":[]}\n".to_owned(),
    ] {
        let directory = package::unpack(OLDER[0]);
        fs::write(directory.path().join("relay.json"), identity).expect("written");
        let before = listing(directory.path());
        let data = directory.path().to_str().expect("UTF-8");
        for arguments in [
            &["migrate", "--data-dir", data][..],
            &["migrate", "--dry-run", "--data-dir", data],
            &["status", "--data-dir", data],
        ] {
            let answer = run(arguments);
            let text = String::from_utf8_lossy(&answer.stderr).into_owned();
            assert_eq!(answer.status.code(), Some(1), "{text}");
            assert!(text.contains("run the newer version again"), "{text}");
            assert_eq!(text.lines().count(), 1, "{text}");
        }
        assert!(DataDirectory::open(directory.path(), Duration::ZERO).is_err());
        assert_eq!(changed(&before, directory.path()), NOTHING);
    }
}

#[test]
fn the_command_leaves_alone_what_a_relay_uses_and_what_is_no_data_directory() {
    let directory = tempfile::tempdir().expect("a folder");
    let data = directory.path().to_str().expect("UTF-8");
    let answer = run(&["migrate", "--data-dir", data]);
    let text = String::from_utf8_lossy(&answer.stderr).into_owned();
    assert_eq!(answer.status.code(), Some(1), "{text}");
    assert!(text.contains("there is no data directory") && text.contains("--data-dir"), "{text}");
    assert_eq!(fs::read_dir(directory.path()).expect("listed").count(), 0);

    let _held = DataDirectory::open(directory.path(), Duration::ZERO).expect("free");
    let answer = run(&["migrate", "--data-dir", data]);
    let text = String::from_utf8_lossy(&answer.stderr).into_owned();
    assert_eq!(answer.status.code(), Some(1), "{text}");
    assert!(text.contains(&format!("in use by process {}", std::process::id())), "{text}");
}

/// Every segment has the head that its first block asks for, and nothing else is left to do.
fn assert_migrated(directory: &Path) {
    assert_eq!(state(directory), (FORMAT, None));
    for stream in ["all-namespaces", "namespace-shop"] {
        let segments = independent::segments(&directory.join("streams").join(stream));
        assert!(segments.iter().all(|segment| segment.head.is_some()), "{stream}");
        // Compares each head with its block.
        independent::records(&segments);
    }
}

/// What `relay.json` says: format and, while a migration runs, the one it started from. As soon as
/// anything is of the new format, a program of the old one is kept away.
fn state(directory: &Path) -> (u32, Option<u32>) {
    let text = fs::read(directory.join("relay.json")).expect("never absent");
    let identity: serde_json::Value = serde_json::from_slice(&text).expect("never half written");
    let number =
        |name: &str| identity[name].as_u64().map(|number| number.try_into().expect("small"));
    let (format, from) = (number("format").expect("a format"), number("migratingFrom"));
    assert!(format >= 2 || !has_heads(directory), "a head in a directory of format {format}");
    (format, from)
}

fn has_heads(directory: &Path) -> bool {
    let within = |path: &Path| {
        fs::read_dir(path).expect("listed").map(|entry| entry.expect("an entry").path())
    };
    let streams = within(&directory.join("streams"));
    streams.flat_map(|stream| within(&stream)).any(|segment| segment.join("head").exists())
}

/// Returns as soon as the step has begun, or the program has ended.
fn until_it_migrates(directory: &Path, child: &mut Child) {
    while state(directory) == (1, None) && child.try_wait().expect("a child").is_none() {
        std::thread::yield_now();
    }
}

fn migration(directory: &Path) -> Child {
    let mut command = Command::new(BINARY);
    command.arg("migrate").arg("--data-dir").arg(directory).stdout(Stdio::null());
    command.spawn().expect("the program")
}

fn run(arguments: &[&str]) -> Output {
    Command::new(BINARY).args(arguments).output().expect("the program")
}

fn copy(directory: &Path) -> tempfile::TempDir {
    fn copy_into(from: &Path, to: &Path) {
        for entry in fs::read_dir(from).expect("listed").map(|entry| entry.expect("an entry")) {
            let to = to.join(entry.file_name());
            if entry.path().is_dir() {
                fs::create_dir(&to).expect("created");
                copy_into(&entry.path(), &to);
            } else {
                fs::copy(entry.path(), to).expect("copied");
            }
        }
    }
    let copied = tempfile::tempdir().expect("a folder");
    copy_into(directory, copied.path());
    copied
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
    let paths = before.keys().chain(now.keys().filter(|path| !before.contains_key(*path)));
    paths.filter(|path| before.get(*path) != now.get(*path)).cloned().collect()
}
