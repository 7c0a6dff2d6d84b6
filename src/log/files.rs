//! The few file system operations that must survive a power cut.
//!
//! A new file, directory or name exists after a power cut only when the directory that holds it was
//! synced; a file's bytes only when the file was.

use std::fs::{self, DirEntry, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::LogError;

/// Creates a directory with its parents, durably.
pub(crate) fn create_directory(path: &Path) -> Result<(), LogError> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        create_directory(parent)?;
    }
    match fs::create_dir(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(LogError::io("create directory", path, &error))
        }
        _ => sync_parent(path),
    }
}

/// The entries of a directory: all of them, or an error.
pub(crate) fn list(path: &Path) -> Result<Vec<DirEntry>, LogError> {
    let entries = fs::read_dir(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    entries.map_err(|error| LogError::io("list", path, &error))
}

/// Makes the content of a file durable.
pub(crate) fn sync_file(path: &Path) -> Result<(), LogError> {
    let file = File::open(path).map_err(|error| LogError::io("open", path, &error))?;
    file.sync_all().map_err(|error| LogError::sync(path, &error))
}

/// Makes the entries of a directory durable.
pub(crate) fn sync_directory(path: &Path) -> Result<(), LogError> {
    sync_file(path)
}

/// Makes the name of `path` durable.
pub(crate) fn sync_parent(path: &Path) -> Result<(), LogError> {
    match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => sync_directory(parent),
        None => Ok(()),
    }
}

/// Replaces the content of a small file: after a crash it has the old content or the new one.
pub(crate) fn replace(path: &Path, content: &[u8]) -> Result<(), LogError> {
    let fresh = path.with_extension("new");
    let written = File::create(&fresh).and_then(|mut file| file.write_all(content).map(|()| file));
    let file = written.map_err(|error| LogError::io("write", &fresh, &error))?;
    file.sync_all().map_err(|error| LogError::sync(&fresh, &error))?;
    rename(&fresh, path)
}

/// Renames durably.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), LogError> {
    fs::rename(from, to).map_err(|error| LogError::io("rename", from, &error))?;
    sync_parent(to)
}

/// Removes a directory and everything in it; a crash half-way leaves no directory under its old name.
pub(crate) fn remove_directory(path: &Path) -> Result<(), LogError> {
    remove_doomed(&doom(path)?)
}

/// Begins the removal of a directory, by giving it another name; returns that name.
pub(crate) fn doom(path: &Path) -> Result<PathBuf, LogError> {
    let doomed = doomed_name(path);
    rename(path, &doomed)?;
    Ok(doomed)
}

/// Finishes a removal, also one that a crash interrupted.
pub(crate) fn remove_doomed(path: &Path) -> Result<(), LogError> {
    fs::remove_dir_all(path).map_err(|error| LogError::io("remove", path, &error))?;
    sync_parent(path)
}

/// Whether the name says that its removal has begun.
pub(crate) fn is_doomed(name: &str) -> bool {
    name.ends_with(DOOMED)
}

const DOOMED: &str = ".removing";

fn doomed_name(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(DOOMED);
    path.with_file_name(name)
}

/// Bytes of all files below a directory. What vanishes meanwhile counts as nothing.
pub(crate) fn bytes_below(path: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(path) else { return 0 };
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_below(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}
