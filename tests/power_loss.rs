//! What the log and the state say is durable survives a power cut: nothing promised is lost, nothing
//! is invented, and what is left opens by itself.
//!
//! `POWER_CUTS` (200) says how often the power goes, `SEED` repeats an earlier run.
//!
//! # How a cut is made
//!
//! Log and state are on an ext4 file system of their own, which is shut down without flushing its
//! journal ([`Volume::cut`]). What was not synced is forgotten then, as the first test here shows.
//! Cuts are aimed at every operation that changes files, and go off at once or within milliseconds.
//!
//! # Why no promise is missed and none is made up
//!
//! Everything that the process ever said counts, whether it was read before the cut or after it.
//!
//! * *No missed alarm*: a line said before the cut is in the pipe at the latest when the cut is made,
//!   and the pipe is read to its end.
//! * *No false alarm*: a line said after the cut promises what was durable before. From the moment
//!   at which the volume is shut down every sync fails; one that was under way either had reached the
//!   device, or fails, too. So a program that syncs before it promises cannot promise anything that
//!   the cut takes away, however late it says so. A program that does otherwise is caught even when
//!   it first lies after the cut.
//!
//! What may be gone grows with `trimming`, also after the cut; that word is said only of what the
//! cursor has durably passed, and the log may never begin after the cursor, which is checked as well.
//!
//! # What this cannot show
//!
//! The image keeps what was written to it without being flushed: a cut is that of a machine whose disk
//! has a protected cache.
//!
//! ext4 commits its whole journal with any sync, every name included. With all syncs of directories
//! switched off, cuts still lose nothing: before each promise a file is synced, whose sync takes the
//! names along. That the directories are synced matters on other file systems, and nothing here tells.
//! The syncs of files do show: without those of the files that are replaced, or without `fdatasync`,
//! the first few cuts break something. With the cargo feature `faults` the latter is a test.

#![allow(clippy::expect_used)] // a test fails where an expectation is not met

mod harness;

use std::collections::{BTreeMap, HashMap};
use std::ffi::CStr;
use std::fs::{self, File};
use std::io::Write;
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use harness::exerciser::{self, Exerciser, Orders, Promises};
use kube_event_relay::fault::Fault;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rig::Volume;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;

const VOLUME_BYTES: u64 = 1 << 30;
/// A moment that is aimed at but does not come within this time is not waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// Longest time between the moment aimed at and the cut, in microseconds.
const LATEST: u64 = 6_000;

/// The moment at which the power goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Aim {
    /// While it creates a store.
    Creating,
    /// While it opens a store.
    Opening,
    /// A group of entries is being written.
    Appending,
    /// A group has just become durable.
    Durable,
    /// A segment is full, its seal is being written.
    Sealing,
    /// The directory of a new segment has just appeared.
    Rotating,
    /// The cursor has just become durable.
    Moving,
    /// It has begun to trim.
    Trimming,
    /// The directory of a segment that is trimmed has just been renamed.
    Removing,
    /// Anything.
    AnyMoment,
    /// It has closed in order.
    Closed,
}

const AIMS: [Aim; 11] = [
    Aim::Creating,
    Aim::Opening,
    Aim::Appending,
    Aim::Durable,
    Aim::Sealing,
    Aim::Rotating,
    Aim::Moving,
    Aim::Trimming,
    Aim::Removing,
    Aim::AnyMoment,
    Aim::Closed,
];

/// What cuts of one kind have shown.
#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    cuts: u64,
    /// Versions that became durable before them.
    promised: u64,
}

/// A store that loses its power again and again.
struct Ordeal {
    volume: Volume,
    dice: StdRng,
    environment: HashMap<String, String>,
    /// Stores begun so far.
    stores: u32,
    /// What the processes so far have promised of the present one.
    earlier: Promises,
    /// The moment of the latest cut of that store.
    latest: Option<Aim>,
    /// How long opening takes, for aiming.
    opening: Duration,
    tallies: BTreeMap<Aim, Tally>,
    /// Durable versions that were gone after a cut.
    lost: u64,
}

impl Ordeal {
    fn begin(seed: u64, fault: Option<&str>) -> Self {
        // What sled panics about once the volume is gone is expected, in hundreds of lines.
        let mut environment = HashMap::from([("RUST_BACKTRACE".to_owned(), "0".to_owned())]);
        environment.extend(fault.map(|fault| (Fault::VARIABLE.to_owned(), fault.to_owned())));
        Self {
            volume: Volume::create(VOLUME_BYTES),
            dice: StdRng::seed_from_u64(seed),
            environment,
            stores: 0,
            earlier: Promises::default(),
            latest: None,
            opening: Duration::from_millis(100),
            tallies: BTreeMap::new(),
            lost: 0,
        }
    }

    fn directory(&self) -> PathBuf {
        self.volume.path().join(format!("data-{}", self.stores))
    }

    /// Goes on with an empty store. Under another name: the removal of the old one is not synced.
    fn begin_another_store(&mut self) {
        match fs::remove_dir_all(self.directory()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("remove: {error}"),
            _ => self.stores += 1,
        }
        self.earlier = Promises::default();
        self.latest = None;
    }

    /// One cut, wherever the dice aim it. Returns what the process found broken, if anything, and at
    /// which moment the cut came that left it behind.
    fn next(&mut self) -> (Option<Aim>, Vec<String>) {
        let aim = AIMS[self.dice.random_range(0..AIMS.len())];
        if aim == Aim::Creating {
            self.begin_another_store();
        }
        (self.latest, self.cut(aim))
    }

    /// Starts a process, cuts its power, and gives the power back. Returns what is broken.
    fn cut(&mut self, aim: Aim) -> Vec<String> {
        let closes = aim == Aim::Closed;
        let turns = closes.then(|| self.dice.random_range(1..20));
        let mut process = self.start(turns);
        let mut promises = self.carried_over();
        let mut broken = Vec::new();
        let mut hit = aim;
        if closes {
            if process.finish(&mut promises) != Some(0) {
                broken.push("it did not close in order".to_owned());
            }
        } else if let Err(problem) = self.take_aim(&mut process, &mut promises, &mut hit) {
            broken.push(problem);
        }
        broken.append(&mut promises.violations);
        self.volume.cut();
        // Half of them are heard out: each must find out by itself that nothing becomes durable any
        // more, stop, and name the cause.
        if !closes && self.dice.random() {
            match (process.finish(&mut promises), &promises.stopped) {
                (Some(exerciser::STOPPED), Some(why)) if !why.contains("it was closed") => {}
                (code, why) => {
                    broken.push(format!("after the cut it ended with {code:?}: {why:?}"));
                }
            }
        } else if !closes {
            process.kill(&mut promises);
        }
        self.volume.restore();
        self.judge(hit, promises, broken)
    }

    /// What still holds when the next process starts.
    fn carried_over(&self) -> Promises {
        let Promises { appending, durable, moved, trimming, .. } = self.earlier;
        Promises { appending, durable, moved, trimming, ..Promises::default() }
    }

    fn start(&mut self, turns: Option<u32>) -> Exerciser {
        let orders = Orders {
            directory: self.directory(),
            seed: self.dice.random(),
            turns,
            environment: self.environment.clone(),
        };
        Exerciser::start(&orders, "exerciser_process")
    }

    /// Waits for the moment aimed at. When it does not come, `aim` becomes another.
    fn take_aim(
        &mut self,
        process: &mut Exerciser,
        promises: &mut Promises,
        aim: &mut Aim,
    ) -> Result<(), String> {
        let started = Instant::now();
        if let Aim::Creating | Aim::Opening = aim {
            std::thread::sleep(self.opening.mul_f64(self.dice.random()));
            return Ok(());
        }
        hear_until(process, promises, |line| line.starts_with("opened"))?;
        self.opening = started.elapsed();
        let word = match aim {
            Aim::Appending => "appending",
            Aim::Durable => "durable",
            Aim::Moving => "moved",
            Aim::Trimming => "trimming",
            _ => "",
        };
        if let Aim::Sealing | Aim::Rotating | Aim::Removing = aim {
            if !self.wait_for_files(*aim) {
                *aim = Aim::AnyMoment;
            }
        } else {
            let mut left = self.dice.random_range(1..=if word.is_empty() { 60 } else { 12 });
            hear_until(process, promises, |line| {
                left -= u32::from(line.starts_with(word));
                left == 0
            })?;
        }
        if self.dice.random() {
            std::thread::sleep(Duration::from_micros(self.dice.random_range(0..LATEST)));
        }
        Ok(())
    }

    /// Waits until the process does to its segments what is aimed at.
    fn wait_for_files(&self, aim: Aim) -> bool {
        let streams = fs::read_dir(self.directory().join("streams")).expect("streams");
        let stream = streams.flatten().next().expect("a stream").path();
        let changes = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)
            .expect("inotify");
        let named = inotify::WatchFlags::CREATE | inotify::WatchFlags::MOVED_TO;
        inotify::add_watch(&changes, &stream, named).expect("watch a stream");
        for segment in fs::read_dir(&stream).expect("a stream").flatten() {
            // It may be trimmed meanwhile.
            let _gone = inotify::add_watch(&changes, segment.path(), named);
        }
        let is_aimed_at = |event: &inotify::Event<'_>| {
            let name = event.file_name().map(CStr::to_bytes).unwrap_or_default();
            let is_directory = event.events().contains(inotify::ReadFlags::ISDIR);
            let is_new = event.events().contains(inotify::ReadFlags::CREATE);
            match aim {
                Aim::Sealing => name == b"seal.new" || name == b"seal",
                // sled keeps a directory of its own in each segment.
                Aim::Rotating => is_directory && is_new && name != b"blobs",
                _ => name.ends_with(b".removing"),
            }
        };
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(&changes, &mut buffer);
        let give_up = Instant::now() + PATIENCE;
        loop {
            match events.next() {
                Ok(event) if is_aimed_at(&event) => return true,
                Ok(_) => {}
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    let left = give_up.saturating_duration_since(Instant::now());
                    let left = Timespec::try_from(left).expect("a short time");
                    let mut wanted = [PollFd::new(&changes, PollFlags::IN)];
                    if poll(&mut wanted, Some(&left)).expect("poll") == 0 {
                        return false;
                    }
                }
                Err(error) => panic!("inotify: {error}"),
            }
        }
    }

    /// Compares what is there with what was promised.
    fn judge(&mut self, aim: Aim, promises: Promises, mut broken: Vec<String>) -> Vec<String> {
        broken.extend(promises.violations.iter().cloned());
        broken.extend(self.earlier.broken_by(&promises));
        broken.extend(self.moved_aside());
        let mut found_durable = self.earlier.durable;
        if let Some(found) = promises.opened {
            if found.first > found.cursor {
                broken.push(format!(
                    "the log begins after {}, the cursor is at {}",
                    found.first, found.cursor
                ));
            }
            self.lost += self.earlier.durable.saturating_sub(found.last);
            found_durable = found.last;
        }
        let tally = self.tallies.entry(aim).or_default();
        tally.cuts += 1;
        tally.promised += promises.durable.saturating_sub(found_durable);
        self.earlier = promises;
        self.latest = Some(aim);
        broken
    }

    /// What was taken for damaged. A power cut damages nothing that was promised, and what was not
    /// promised is no damage.
    fn moved_aside(&self) -> Vec<String> {
        let streams = entries(&self.directory().join("streams"));
        let places = streams.into_iter().chain([self.directory()]);
        let found = places.flat_map(|place| entries(&place)).map(|path| path.display().to_string());
        found.filter(|path| path.ends_with(".damaged")).collect()
    }

    /// Checks what the last cut has left.
    fn check_the_rest(&mut self) -> Vec<String> {
        let mut promises = self.carried_over();
        let mut process = self.start(Some(1));
        let mut broken = Vec::new();
        match process.finish(&mut promises) {
            Some(0) => {}
            code => broken.push(format!("it ended with {code:?}: {:?}", promises.stopped)),
        }
        broken.extend(promises.violations.iter().cloned());
        broken.extend(self.earlier.broken_by(&promises));
        broken
    }

    fn promised(&self) -> u64 {
        self.tallies.values().map(|tally| tally.promised).sum()
    }

    fn print(&self) {
        for (aim, Tally { cuts, promised }) in &self.tallies {
            println!("{aim:?}: {cuts} cuts, {promised} versions had become durable");
        }
        println!("{} versions had become durable", self.promised());
    }
}

/// What is in a directory; nothing when there is none.
fn entries(path: &Path) -> Vec<PathBuf> {
    fs::read_dir(path)
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default()
}

/// Hears lines up to one that passes.
fn hear_until(
    process: &mut Exerciser,
    promises: &mut Promises,
    mut passes: impl FnMut(&str) -> bool,
) -> Result<(), String> {
    while let Some(line) = process.line() {
        promises.hear(&line);
        if passes(&line) {
            return Ok(());
        }
    }
    Err(format!("it ended before the cut: {:?}", promises.stopped))
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect(name))
}

#[test]
fn exerciser_process() {
    exerciser::run_when_ordered();
}

#[test]
fn what_was_durable_survives_power_cuts_at_any_moment() {
    let cuts = number("POWER_CUTS").unwrap_or(200);
    let seed = number("SEED").unwrap_or_else(rand::random);
    println!("SEED={seed} POWER_CUTS={cuts}");
    if !Volume::is_possible() {
        return;
    }
    let begun = Instant::now();
    let mut ordeal = Ordeal::begin(seed, None);
    for cut in 0..cuts {
        let (left_by, broken) = ordeal.next();
        assert_eq!(broken, [""; 0], "before cut {cut}, left by one at {left_by:?}");
    }
    assert_eq!(ordeal.check_the_rest(), [""; 0], "after the last cut");
    let each = begun.elapsed() / u32::try_from(cuts).expect("not that many");
    ordeal.print();
    println!("{cuts} cuts, {} stores, {} lost, {each:.2?} a cut", ordeal.stores + 1, ordeal.lost);
    assert_eq!(ordeal.lost, 0);
    assert!(ordeal.promised() > cuts, "it did some work");
    assert!(cuts < 200 || ordeal.tallies.len() == AIMS.len(), "each moment was hit");
}

/// The test of the test: without the sync, the very same cuts lose what was promised.
#[cfg(feature = "faults")]
#[test]
fn without_fdatasync_the_same_cuts_lose_data() {
    /// This often, and on until something is lost, at most up to the limit.
    const CUTS: u32 = 20;
    const LIMIT: u32 = 200;
    let seed = number("SEED").unwrap_or_else(rand::random);
    println!("SEED={seed}");
    if !Volume::is_possible() {
        return;
    }
    let mut ordeal = Ordeal::begin(seed, Some(Fault::SkipSync.name()));
    let (mut cuts, mut noticed) = (0, 0);
    while cuts < CUTS || (ordeal.lost == 0 && cuts < LIMIT) {
        let (left_by, broken) = ordeal.next();
        cuts += 1;
        if !broken.is_empty() {
            noticed += 1;
            println!("left by a cut at {left_by:?}: {broken:?}");
            ordeal.begin_another_store();
        }
    }
    ordeal.print();
    println!("{cuts} cuts without fdatasync, {noticed} noticed, {} versions lost", ordeal.lost);
    assert!(ordeal.lost > 0, "a durable version was lost");
}

/// The test of the tool: a cut forgets a file that was not synced, and keeps one that was.
#[test]
fn a_cut_forgets_what_was_not_synced() {
    if !Volume::is_possible() {
        return;
    }
    let mut volume = Volume::create(32 << 20);
    let [synced, forgotten] = ["synced", "forgotten"].map(|name| volume.path().join(name));
    File::create(&synced)
        .and_then(|mut file| {
            file.write_all(b"content")?;
            file.sync_data()
        })
        .expect("write and sync");
    fs::write(&forgotten, b"content").expect("write");
    volume.cut();
    volume.restore();
    assert_eq!(fs::read(&synced).expect("it was synced"), b"content");
    assert_eq!(fs::read(&forgotten).unwrap_or_default(), b"", "it was not");
}
