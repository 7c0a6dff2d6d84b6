//! A data directory of an older format is brought to this one, whatever happens meanwhile, and one of
//! a newer format is left as it is.

#![allow(clippy::expect_used)] // a test fails where an expectation is not met

mod stored;

use std::collections::BTreeMap;
use std::fs;
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime};

use kube_event_relay::log::{DataDirectory, FORMAT};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rig::Volume;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;
use stored::{check, independent, package};

const BINARY: &str = env!("CARGO_BIN_EXE_kube-event-relay");
/// Golden data directories of older formats.
const OLDER: [&str; 1] = ["0001-initial"];
/// Seed of the moments at which migrations are killed, or lose their power.
const SEED: &str = "MIGRATION_SEED";
/// Directories in which a migration is killed several times.
const ROUNDS: usize = 12;
const KILLS: usize = 3;
/// A golden directory, its migrated copy and the reserve, several times over.
const VOLUME_BYTES: u64 = 512 << 20;

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
    let mut dice = dice();
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

/// The power is cut at every change of a name that a migration makes, at once and at some moment before
/// the next change, and after its end. Every other directory loses it twice. Then it is opened.
#[tokio::test(flavor = "multi_thread")]
async fn a_migration_whose_power_is_cut_goes_on_where_it_was() {
    let mut dice = dice();
    if !Volume::is_possible() {
        return;
    }
    let mut volume = Volume::create(VOLUME_BYTES);
    for folder in OLDER {
        let golden = package::unpack(folder);
        let steps = durations(copy(golden.path()).path());
        let mut left = BTreeMap::new();
        for change in 0..=steps.len() {
            let longest = steps.get(change).copied().unwrap_or_default();
            for (round, delay) in
                [Duration::ZERO, longest.mul_f64(dice.random())].iter().enumerate()
            {
                let directory = durable_copy(golden.path(), &volume);
                let mut cuts = vec![(change, *delay)];
                if (change + round).is_multiple_of(2) {
                    cuts.push((dice.random_range(0..steps.len()), Duration::ZERO));
                }
                for (change, delay) in cuts {
                    let found = cut(&mut volume, &directory, change, delay, dice.random());
                    *left.entry(found).or_insert(0) += 1;
                }
                check::check(&directory).await;
                assert_migrated(&directory);
                fs::remove_dir_all(&directory).expect("removed");
            }
        }
        let [before, during, after] = [(1, None), (FORMAT, Some(1)), (FORMAT, None)]
            .map(|state| left.get(&state).copied().unwrap_or(0));
        println!("power cuts: {before} before, {during} during, {after} after the step");
        assert!(during > 0 && after > 0, "the moments were badly chosen");
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

fn dice() -> StdRng {
    let seed =
        std::env::var(SEED).map_or_else(|_| rand::random(), |text| text.parse().expect("a seed"));
    println!("{SEED}={seed}");
    StdRng::seed_from_u64(seed)
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
    segments(directory).iter().any(|segment| segment.join("head").exists())
}

fn segments(directory: &Path) -> Vec<PathBuf> {
    let within = |path: &Path| {
        fs::read_dir(path).expect("listed").map(|entry| entry.expect("an entry").path())
    };
    within(&directory.join("streams")).flat_map(|stream| within(&stream)).collect()
}

/// How long a migration takes from its first change of a name to the second, and so on; last, from
/// its last to its end.
fn durations(directory: &Path) -> Vec<Duration> {
    let mut moments = Vec::new();
    let mut child = follow(directory, |_| {
        moments.push(Instant::now());
        false
    });
    assert!(child.wait().expect("ended").success());
    moments.push(Instant::now());
    moments.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

/// Starts a migration, and cuts its power after so many changes and this time, or after its end if that
/// comes first. Returns what is left.
fn cut(
    volume: &mut Volume,
    directory: &Path,
    change: usize,
    delay: Duration,
    is_heard_out: bool,
) -> (u32, Option<u32>) {
    let mut child = follow(directory, |changes| changes > change);
    std::thread::sleep(delay);
    if let Some(status) = child.try_wait().expect("a child") {
        assert!(status.success(), "it ended with {status} before the cut");
    }
    volume.cut();
    if !is_heard_out {
        child.kill().expect("kill");
    }
    let ended = child.wait_with_output().expect("ended");
    volume.restore();
    let found = state(directory);
    match ended.status.code() {
        // However late it said so: after the cut every sync fails.
        Some(0) => assert_eq!(found, (FORMAT, None), "it said that it was done"),
        Some(1) | None => {}
        code => panic!("it ended with {code:?}: {}", String::from_utf8_lossy(&ended.stderr)),
    }
    found
}

/// Starts a migration and returns it as soon as `is_enough` says so, which is told the number of files
/// that have got a name in the directory or in a segment; or when it has ended.
fn follow(directory: &Path, mut is_enough: impl FnMut(usize) -> bool) -> Child {
    const TICK: Timespec = Timespec { tv_sec: 0, tv_nsec: 2_000_000 };
    let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
    let changes = inotify::init(flags).expect("inotify");
    for folder in segments(directory).into_iter().chain([directory.to_owned()]) {
        let named = inotify::WatchFlags::CREATE | inotify::WatchFlags::MOVED_TO;
        inotify::add_watch(&changes, folder, named).expect("watched");
    }
    let mut command = migrate(directory);
    // sled panics once the volume is gone, which is expected.
    let mut child = command.stderr(Stdio::piped()).spawn().expect("the program");
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut events = inotify::Reader::new(&changes, &mut buffer);
    let (mut seen, mut has_ended) = (0, false);
    loop {
        match events.next() {
            Ok(_) => {
                seen += 1;
                if is_enough(seen) {
                    return child;
                }
            }
            Err(rustix::io::Errno::WOULDBLOCK) if has_ended => return child,
            Err(rustix::io::Errno::WOULDBLOCK) => {
                poll(&mut [PollFd::new(&changes, PollFlags::IN)], Some(&TICK)).expect("poll");
                has_ended = child.try_wait().expect("a child").is_some();
            }
            Err(error) => panic!("inotify: {error}"),
        }
    }
}

/// A copy on the volume that a power cut leaves as it is.
fn durable_copy(directory: &Path, volume: &Volume) -> PathBuf {
    let copied = volume.path().join("data");
    fs::create_dir(&copied).expect("created");
    copy_into(directory, &copied);
    rustix::fs::syncfs(fs::File::open(&copied).expect("opened")).expect("synced");
    copied
}

/// Returns as soon as the step has begun, or the program has ended.
fn until_it_migrates(directory: &Path, child: &mut Child) {
    while state(directory) == (1, None) && child.try_wait().expect("a child").is_none() {
        std::thread::yield_now();
    }
}

fn migration(directory: &Path) -> Child {
    migrate(directory).spawn().expect("the program")
}

fn migrate(directory: &Path) -> Command {
    let mut command = Command::new(BINARY);
    command.arg("migrate").arg("--data-dir").arg(directory).stdout(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    Command::new(BINARY).args(arguments).output().expect("the program")
}

fn copy(directory: &Path) -> tempfile::TempDir {
    let copied = tempfile::tempdir().expect("a folder");
    copy_into(directory, copied.path());
    copied
}

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
