//! Data directories as one file, and back.

use std::fs::File;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// zstd's strongest level: a data directory is mostly dead copies of pages.
const LEVEL: i32 = 22;
/// Far enough to find the first copy of anything.
const WINDOW_LOG: u32 = 27;
/// Written anew by whoever opens the directory.
const LEFT_OUT: [&str; 2] = ["LOCK", "reserve"];

/// The golden data directory of a format.
pub fn golden(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(folder).join("fixture.tar.zst")
}

/// Unpacks a golden data directory into a folder of its own.
pub fn unpack(folder: &str) -> TempDir {
    let directory = tempfile::tempdir().expect("a folder");
    let packed = File::open(golden(folder)).expect("the fixture");
    let mut plain = zstd::Decoder::new(packed).expect("zstd");
    plain.window_log_max(WINDOW_LOG).expect("a window");
    tar::Archive::new(plain).unpack(directory.path()).expect("unpacked");
    directory
}

/// Packs a data directory into `file`.
pub fn pack(directory: &Path, file: &Path) {
    let target = File::create(file).expect("created");
    let mut packer = zstd::Encoder::new(target, LEVEL).expect("zstd");
    packer.window_log(WINDOW_LOG).expect("a window");
    packer.long_distance_matching(true).expect("matching");
    let mut archive = tar::Builder::new(packer);
    archive.mode(tar::HeaderMode::Deterministic);
    let mut entries: Vec<_> =
        std::fs::read_dir(directory).expect("listed").map(|entry| entry.expect("entry")).collect();
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name();
        if LEFT_OUT.iter().any(|left_out| name == *left_out) {
            continue;
        }
        let added = if entry.path().is_dir() {
            archive.append_dir_all(&name, entry.path())
        } else {
            archive.append_path_with_name(entry.path(), &name)
        };
        added.expect("added");
    }
    archive.into_inner().expect("archived").finish().expect("packed");
}
