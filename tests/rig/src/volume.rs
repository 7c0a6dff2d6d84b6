//! A volume whose power can be cut, which can be full, and which can grow.
//!
//! A small ext4 file system on a loop device. [`Volume::cut`] stops it the way a power cut does: from
//! that moment nothing reaches the image any more, every sync fails, and what was only in memory is
//! forgotten once [`Volume::restore`] has mounted it again, which replays ext4's journal.
//!
//! # What a cut forgets, and what it does not
//!
//! Forgotten is everything that the kernel had not yet written to the device: bytes without a sync,
//! and files, names and lengths whose transaction was not yet committed to the journal. Not forgotten
//! is what had been written to the device without being flushed there: the image keeps it, as a device
//! with a protected cache does. And a sync of any one file commits the journal, and with it every
//! change of names made before, so on ext4 a directory that nobody synced is durable, too.
//!
//! # Invariant
//!
//! Nothing is left behind: mount, loop device and image go with the value. When its process was
//! killed, the next [`Volume::create`] of any process removes them; it knows them by the process id
//! and start time in the name of their folder.
//!
//! Needs root, loop devices, and Debian's packages e2fsprogs, mount and perl-base.

use rustix::mount::{MountFlags, UnmountFlags};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Folders of volumes begin with this, followed by process id and start time of their owner.
const PREFIX: &str = "power-volume-";
const IMAGE: &str = "image";
const MOUNT_POINT: &str = "volume";
const BALLAST: &str = "ballast";
/// ext4 commits its journal this often by itself, in seconds: so seldom that only syncs do it.
const OPTIONS: &std::ffi::CStr = c"commit=3600";
/// How long a volume that is still in use is waited for. Whoever used it has been told to end.
const BUSY_PATIENCE: Duration = Duration::from_secs(20);
const BUSY_POLL: Duration = Duration::from_millis(2);
/// Holds the volume open and waits for a line, then for nothing else: `EXT4_IOC_SHUTDOWN` with
/// `EXT4_GOING_FLAGS_NOLOGFLUSH`. In Perl, since an ioctl of one's own needs unsafe code in Rust.
const SWITCH: &str = r#"$| = 1;
my $forgetting = pack "L", 2;
open my $volume, "<", shift or die "open: $!";
print "ready\n";
defined(<STDIN>) or exit;
ioctl $volume, 0x8004587d, $forgetting or die "shutdown: $!";
print "cut\n";"#;

/// A file system of its own, with a power switch.
#[derive(Debug)]
pub struct Volume {
    folder: TempDir,
    device: PathBuf,
    /// Its size for those who use it.
    bytes: u64,
    /// The size of its file system; what is beyond `bytes` is held back.
    most: u64,
    /// Blocks that ext4 keeps for itself, so that it can write what it has accepted.
    kept_by_ext4: u64,
    /// `None` while the power is cut.
    switch: Option<Switch>,
}

/// A process that waits for the word to cut, so that the cut comes within a fraction of a millisecond.
#[derive(Debug)]
struct Switch {
    child: Child,
    answers: BufReader<ChildStdout>,
}

impl Volume {
    /// Why volumes cannot be made here, if so. Tries it, once.
    pub fn available() -> Result<(), String> {
        static ANSWER: OnceLock<Result<(), String>> = OnceLock::new();
        ANSWER.get_or_init(try_everything).clone()
    }

    /// Whether volumes can be made here. Where not, that is said aloud; when the variable `CI` is
    /// `true`, it is a failure.
    #[must_use]
    pub fn is_possible() -> bool {
        let Err(reason) = Self::available() else { return true };
        let ci = std::env::var("CI").is_ok_and(|value| value == "true");
        assert!(!ci, "volumes cannot be made here: {reason}");
        eprintln!("NOT TESTED: volumes cannot be made here: {reason}");
        false
    }

    /// A new, empty volume of this size. Its image takes only what is written to it.
    #[must_use]
    pub fn create(bytes: u64) -> Self {
        Self::create_growing(bytes, bytes)
    }

    /// A new, empty volume of `bytes` that can [`Volume::grow`] up to `most`.
    #[must_use]
    pub fn create_growing(bytes: u64, most: u64) -> Self {
        remove_leftovers();
        Self::try_create(bytes, most).unwrap_or_else(|problem| panic!("make a volume: {problem}"))
    }

    fn try_create(bytes: u64, most: u64) -> Result<Self, String> {
        let own = std::process::id();
        let start = start_time(own).ok_or("this process is not in /proc")?;
        let folder = tempfile::Builder::new().prefix(&format!("{PREFIX}{own}-{start}-")).tempdir();
        let folder = folder.map_err(|problem| format!("temporary folder: {problem}"))?;
        let image = folder.path().join(IMAGE);
        File::create(&image)
            .and_then(|file| file.set_len(most))
            .and_then(|()| fs::create_dir(folder.path().join(MOUNT_POINT)))
            .map_err(|problem| format!("{}: {problem}", image.display()))?;
        // No room for root alone: what is free is free for everybody. Nothing left for later.
        let settings = "lazy_itable_init=0,lazy_journal_init=0,nodiscard";
        run(Command::new("mkfs.ext4").args(["-q", "-m", "0", "-E", settings]).arg(&image))?;
        let device = run(Command::new("losetup").args(["--find", "--show"]).arg(&image))?;
        let mut volume = Self {
            folder,
            device: PathBuf::from(device.trim()),
            bytes,
            most,
            kept_by_ext4: 0,
            switch: None,
        };
        volume.mount()?;
        Ok(volume)
    }

    /// The root of the file system.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.folder.path().join(MOUNT_POINT)
    }

    /// The power goes. When this returns, nothing reaches the device any more, and every sync that
    /// has not returned by then fails.
    pub fn cut(&mut self) {
        let switch = self.switch.take().expect("the power is on");
        switch.press().unwrap_or_else(|problem| panic!("cut the power: {problem}"));
    }

    /// The power is back. Waits until nobody uses the volume any more; whoever did must have ended.
    pub fn restore(&mut self) {
        drop(self.switch.take());
        self.unmount().unwrap_or_else(|problem| {
            panic!(
                "{} is still in use {BUSY_PATIENCE:?} after the cut: {problem}",
                self.path().display()
            )
        });
        self.mount().unwrap_or_else(|problem| panic!("mount after a power cut: {problem}"));
    }

    /// Makes it larger, while it is in use.
    pub fn grow(&mut self, bytes: u64) {
        self.bytes = bytes;
        self.hold_back().unwrap_or_else(|problem| panic!("grow a volume: {problem}"));
    }

    /// Bytes that are free.
    #[must_use]
    pub fn free(&self) -> u64 {
        let volume = rustix::fs::statvfs(self.path()).expect("a mounted volume");
        volume.f_bavail * volume.f_frsize
    }

    /// Takes room away until at most `leave_free` bytes are left, and at most a few blocks less. Can
    /// be called again with another number. The ballast is on disk when this returns, and so is
    /// whatever else was written before.
    pub fn fill(&self, leave_free: u64) {
        self.free_up();
        let ballast = File::create(self.path().join(BALLAST)).expect("a ballast file");
        let mut length = 0;
        // What it takes to note where the blocks are is not known beforehand.
        while let Some(more) = self.free().checked_sub(leave_free).filter(|more| *more > 0) {
            match rustix::fs::fallocate(&ballast, rustix::fs::FallocateFlags::empty(), length, more)
            {
                Ok(()) => length += more,
                Err(rustix::io::Errno::NOSPC) => break,
                Err(problem) => panic!("lay down {more} bytes of ballast: {problem}"),
            }
            ballast.sync_all().expect("sync the ballast");
        }
    }

    /// Gives back what [`Volume::fill`] took.
    pub fn free_up(&self) {
        match fs::remove_file(self.path().join(BALLAST)) {
            Err(problem) if problem.kind() != std::io::ErrorKind::NotFound => {
                panic!("remove the ballast: {problem}")
            }
            // Blocks are given back when the journal is committed.
            _ => run(Command::new("sync").arg("--file-system").arg(self.path()))
                .map(drop)
                .expect("sync"),
        }
    }

    fn mount(&mut self) -> Result<(), String> {
        rustix::mount::mount(&self.device, self.path(), "ext4", MountFlags::empty(), OPTIONS)
            .map_err(|problem| format!("mount {}: {problem}", self.device.display()))?;
        let kept = fs::read_to_string(self.reserved_clusters()).unwrap_or_default();
        self.kept_by_ext4 = kept.trim().parse().map_err(|problem| format!("{kept}: {problem}"))?;
        if self.bytes < self.most {
            self.hold_back()?;
        }
        self.switch = Some(Switch::arm(&self.path())?);
        Ok(())
    }

    /// Keeps ext4 from giving away what the volume shall not have yet, and what it wants for itself.
    /// Growing the file system in use would take the capability `SYS_RESOURCE`, which root in a
    /// container often lacks.
    fn hold_back(&self) -> Result<(), String> {
        let beyond = self.most.checked_sub(self.bytes).ok_or("it cannot grow that far")?;
        let volume = rustix::fs::statvfs(self.path()).map_err(|problem| problem.to_string())?;
        let kept = self.kept_by_ext4 + beyond / volume.f_frsize;
        let file = self.reserved_clusters();
        fs::write(&file, kept.to_string())
            .map_err(|problem| format!("{}: {problem}", file.display()))
    }

    fn reserved_clusters(&self) -> PathBuf {
        let name = self.device.file_name().unwrap_or_default();
        Path::new("/sys/fs/ext4").join(name).join("reserved_clusters")
    }

    fn unmount(&self) -> Result<(), String> {
        let give_up = Instant::now() + BUSY_PATIENCE;
        loop {
            match rustix::mount::unmount(self.path(), UnmountFlags::empty()) {
                Err(rustix::io::Errno::BUSY) if Instant::now() < give_up => {
                    std::thread::sleep(BUSY_POLL);
                }
                ended => return ended.map_err(|problem| problem.to_string()),
            }
        }
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        drop(self.switch.take());
        remove(self.folder.path(), &self.device);
    }
}

impl Switch {
    fn arm(volume: &Path) -> Result<Self, String> {
        let mut command = Command::new("perl");
        command.args(["-e", SWITCH]).arg(volume).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|problem| format!("start perl: {problem}"))?;
        let answers = child.stdout.take().map(BufReader::new).ok_or("perl has no output")?;
        let mut switch = Self { child, answers };
        switch.expect("ready")?;
        Ok(switch)
    }

    fn press(mut self) -> Result<(), String> {
        let mut input = self.child.stdin.take().ok_or("perl has no input")?;
        input.write_all(b"cut\n").map_err(|problem| problem.to_string())?;
        self.expect("cut")
    }

    fn expect(&mut self, word: &str) -> Result<(), String> {
        let mut line = String::new();
        self.answers.read_line(&mut line).map_err(|problem| problem.to_string())?;
        if line.trim_end() == word { Ok(()) } else { Err(format!("no \"{word}\" from perl")) }
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

/// Unmounts and detaches what is in a folder of a volume. Lazily: whoever still uses it keeps it
/// until they end, and then it is gone.
fn remove(folder: &Path, device: &Path) {
    let _not_mounted = rustix::mount::unmount(folder.join(MOUNT_POINT), UnmountFlags::DETACH);
    let _not_attached = run(Command::new("losetup").arg("--detach").arg(device));
}

/// Removes volumes whose process has ended without doing so.
fn remove_leftovers() {
    let Ok(entries) = fs::read_dir(std::env::temp_dir()) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some((process, start)) = owner(&name) else { continue };
        if start_time(process) == Some(start) {
            continue;
        }
        let image = entry.path().join(IMAGE);
        let listed = run(Command::new("losetup").args(["-n", "-O", "NAME", "-j"]).arg(image));
        for device in listed.unwrap_or_default().lines().chain([""]) {
            remove(&entry.path(), Path::new(device.trim()));
        }
        // Another process may be removing it, too.
        let _gone = fs::remove_dir_all(entry.path());
    }
}

/// Process id and start time in the name of a folder.
fn owner(name: &str) -> Option<(u32, u64)> {
    let mut parts = name.strip_prefix(PREFIX)?.split('-');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// When a process was started, in ticks since the system was; `None` when there is no such process.
/// Together with the id this names a process for good, since ids are used again.
fn start_time(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name of the program, in parentheses, may contain anything. It is the second field.
    let (_, after_name) = status.rsplit_once(')')?;
    after_name.split_whitespace().nth(19)?.parse().ok()
}

fn try_everything() -> Result<(), String> {
    if !rustix::process::geteuid().is_root() {
        return Err("only root may mount; run the tests as root".to_owned());
    }
    if !Path::new("/dev/loop-control").exists() {
        return Err("there is no /dev/loop-control; load the kernel module loop".to_owned());
    }
    let mut volume = Volume::try_create(8 << 20, 8 << 20)?;
    volume.switch.take().ok_or("there is no switch")?.press()?;
    volume.unmount()?;
    volume.mount()
}

/// Runs a program and returns what it printed.
fn run(command: &mut Command) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().map_err(|problem| {
        format!("start {program}: {problem}; it comes with the packages e2fsprogs and mount")
    })?;
    if !output.status.success() {
        return Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
