//! The volume tested by itself: a cut forgets what was not synced and nothing else, room can be
//! taken and given, and nothing is left behind.

#![allow(clippy::expect_used)]

use rig::Volume;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const MIB: u64 = 1 << 20;

fn write(path: &Path, content: &[u8]) -> File {
    let mut file = File::create(path).expect("create");
    file.write_all(content).expect("write");
    file
}

#[test]
fn a_cut_forgets_what_was_not_synced_and_keeps_what_was() {
    if !Volume::is_possible() {
        return;
    }
    let mut volume = Volume::create(32 * MIB);
    let path = volume.path();
    for round in 0..3 {
        let kept = path.join(format!("kept-{round}"));
        let file = write(&kept, b"synced");
        file.sync_all().expect("sync");
        // Into blocks that the file already has, and behind its end.
        file.write_at(b"SYNC", 0).expect("overwrite");
        file.write_at(&vec![7; 100_000], 6).expect("append");
        let forgotten = path.join("forgotten");
        let renamed = path.join("renamed");
        write(&forgotten, b"not synced");
        fs::rename(&kept, &renamed).expect("rename");
        volume.cut();
        assert!(file.sync_all().is_err(), "no sync succeeds without power");
        assert!(file.sync_data().is_err(), "no sync succeeds without power");
        drop(file);
        volume.restore();
        assert_eq!(fs::read(&kept).expect("its name is as it was synced"), b"synced");
        assert!(!forgotten.exists(), "a file that nobody synced");
        assert!(!renamed.exists(), "a name that nobody synced");
    }
    assert_eq!(fs::read_dir(&path).expect("list").count(), 4, "three files and lost+found");
}

#[test]
fn a_volume_can_be_filled_and_grown() {
    if !Volume::is_possible() {
        return;
    }
    let mut volume = Volume::create_growing(32 * MIB, 64 * MIB);
    let path = volume.path();
    let free = volume.free();
    assert!(free > 16 * MIB && free <= 32 * MIB, "{free}");
    for leave_free in [4 * MIB, MIB, 0, 2 * MIB] {
        volume.fill(leave_free);
        let free = volume.free();
        assert!(free <= leave_free && free + 64 * 1024 >= leave_free, "{free} of {leave_free}");
    }
    let write = |mib: usize| fs::write(path.join("data"), vec![1; mib << 20]);
    assert_eq!(write(3).expect_err("full").kind(), std::io::ErrorKind::StorageFull);
    volume.grow(64 * MIB);
    write(20).expect("there is room after it has grown");
    volume.free_up();
    assert!(volume.free() > 30 * MIB, "the ballast is gone");
    volume.cut();
    volume.restore();
    assert!(volume.free() > 30 * MIB, "for good");
}

#[test]
fn nothing_is_left_behind_even_by_a_file_that_is_open() {
    if !Volume::is_possible() {
        return;
    }
    let volume = Volume::create(8 * MIB);
    let path = volume.path();
    let open = write(&path.join("open"), b"still open");
    drop(volume);
    assert!(!path.exists());
    let mounts = fs::read_to_string("/proc/self/mounts").expect("mounts");
    assert!(!mounts.contains(&*path.to_string_lossy()), "{mounts}");
    drop(open);
}

/// Started as a process of its own by the test below.
#[test]
fn makes_a_volume_and_waits_to_be_killed() {
    if std::env::var_os("MAKE_A_VOLUME").is_none() {
        return;
    }
    let volume = Volume::create(8 * MIB);
    println!("{}", volume.path().display());
    std::io::stdin().read_line(&mut String::new()).expect("never ends");
}

#[test]
fn the_volume_of_a_killed_process_is_removed_by_the_next() {
    if !Volume::is_possible() {
        return;
    }
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", "makes_a_volume_and_waits_to_be_killed", "--nocapture", "--quiet"]);
    command.env("MAKE_A_VOLUME", "1").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("this program starts again");
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut lines = lines.map(|line| PathBuf::from(line.expect("a line")));
    let path = lines.find(|line| line.is_absolute()).expect("the path of its volume");
    child.kill().expect("kill");
    child.wait().expect("wait");
    assert!(path.exists(), "nobody has removed it yet");
    drop(Volume::create(8 * MIB));
    assert!(!path.exists());
    let mounts = fs::read_to_string("/proc/self/mounts").expect("mounts");
    assert!(!mounts.contains(&*path.to_string_lossy()), "{mounts}");
}
