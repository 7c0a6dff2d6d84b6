//! Makes one system call of a program fail, once.
//!
//! A library of our own (`native/failing_calls.c`) is loaded into the program with `LD_PRELOAD`. It
//! counts the calls of the C library that concern a directory, by class, and lets the n-th of a class
//! fail or do half of its work. After a failed sync it goes on as Linux does: see the library.
//!
//! Invariant: what was hit is what the library reports, never what the test meant to hit; threads
//! take turns as they like.
//!
//! | variable | meaning |
//! |---|---|
//! | `FAILING_CALLS_BELOW` | the directory |
//! | `FAILING_CALLS_REPORT` | file to which lines are appended: `hit CLASS N PATH`, `lost INODE`, and at the end `total CLASS N` |
//! | `FAILING_CALLS_CLASS`, `…_NTH`, `…_ERROR` | what fails: the class, which call of it from 1 on, `EIO`, `ENOSPC`, `EINTR` or `short` |
//! | `FAILING_CALLS_ONLY` | only paths that contain this text count |
//! | `FAILING_CALLS_SYNCED` | folder for the content of files as of their last good sync, named by inode |

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The call that fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Its class, such as `fdatasync`.
    pub class: String,
    /// Which call of that class, from 1 on.
    pub call: u64,
    /// `EIO`, `ENOSPC`, `EINTR` or `short`.
    pub error: &'static str,
}

/// The library, told which directory to watch.
#[derive(Debug)]
pub struct FailingCalls {
    below: PathBuf,
    folder: PathBuf,
    only: Option<String>,
}

/// What the library reports.
#[derive(Debug, Default)]
pub struct Calls {
    /// Path of the call that failed.
    pub hit: Option<PathBuf>,
    /// Calls by class; empty when the program was killed.
    pub totals: BTreeMap<String, u64>,
    /// Inode of the file or directory whose sync failed.
    lost: Option<u64>,
}

impl FailingCalls {
    /// Watches the directory `below`; `folder` is an empty one for what the library writes.
    #[must_use]
    pub fn new(below: &Path, folder: &Path) -> Self {
        Self { below: below.to_owned(), folder: folder.to_owned(), only: None }
    }

    /// Counts only calls on paths that contain this text.
    #[must_use]
    pub fn only(mut self, text: &str) -> Self {
        self.only = Some(text.to_owned());
        self
    }

    /// The environment in which the program is to run.
    #[must_use]
    pub fn environment(&self, failure: Option<&Failure>) -> Vec<(String, String)> {
        let text = |path: &Path| path.to_str().expect("a path of text").to_owned();
        let mut variables = vec![
            ("LD_PRELOAD", text(library())),
            ("FAILING_CALLS_BELOW", text(&self.below)),
            ("FAILING_CALLS_REPORT", text(&self.report())),
        ];
        if let Some(only) = &self.only {
            variables.push(("FAILING_CALLS_ONLY", only.clone()));
        }
        if let Some(failure) = failure {
            variables.push(("FAILING_CALLS_CLASS", failure.class.clone()));
            variables.push(("FAILING_CALLS_NTH", failure.call.to_string()));
            variables.push(("FAILING_CALLS_ERROR", failure.error.to_owned()));
            if failure.class.contains("sync") {
                std::fs::create_dir_all(self.synced()).expect("create");
                variables.push(("FAILING_CALLS_SYNCED", text(&self.synced())));
            }
        }
        variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// What the library has reported so far.
    #[must_use]
    pub fn calls(&self) -> Calls {
        let report = std::fs::read_to_string(self.report()).unwrap_or_default();
        let mut calls = Calls::default();
        for line in report.lines() {
            let words: Vec<&str> = line.splitn(4, ' ').collect();
            match *words {
                ["hit", _, _, path] => calls.hit = Some(path.into()),
                ["lost", inode] => calls.lost = Some(inode.parse().expect("a number")),
                ["total", class, total] => {
                    calls.totals.insert(class.to_owned(), total.parse().expect("a number"));
                }
                _ => assert_eq!(words[0], "reported", "{line}"),
            }
        }
        calls
    }

    /// After the program has ended: takes from the file whose sync failed what was written since its
    /// last good sync, as a power cut would. Returns the file.
    #[must_use]
    pub fn lose_what_was_not_synced(&self) -> Option<PathBuf> {
        let inode = self.calls().lost?;
        let file = find(&self.below, inode)?;
        std::fs::copy(self.synced().join(inode.to_string()), &file).expect("put back");
        Some(file)
    }

    fn report(&self) -> PathBuf {
        self.folder.join("report")
    }

    fn synced(&self) -> PathBuf {
        self.folder.join("synced")
    }
}

/// The file with this inode.
fn find(folder: &Path, inode: u64) -> Option<PathBuf> {
    std::fs::read_dir(folder).expect("list").find_map(|entry| {
        let entry = entry.expect("an entry");
        let metadata = entry.metadata().expect("metadata");
        if metadata.is_dir() {
            return find(&entry.path(), inode);
        }
        (metadata.ino() == inode).then(|| entry.path())
    })
}

/// The library, compiled once for each version of its source.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("native/failing_calls.c");
        let mut hasher = DefaultHasher::new();
        std::fs::read(&source).expect("its source").hash(&mut hasher);
        let output = crate::binaries::output();
        std::fs::create_dir_all(&output).expect("create");
        let library = output.join(format!("failing_calls-{:016x}.so", hasher.finish()));
        if !library.exists() {
            // Renamed when it is complete: test processes may compile at the same time.
            let fresh = tempfile::NamedTempFile::new_in(&output).expect("a file");
            let mut compiler = Command::new("cc");
            compiler.args(["-std=gnu11", "-O1", "-Wall", "-Wextra", "-shared", "-fPIC", "-o"]);
            let status = compiler.arg(fresh.path()).arg(&source).status();
            let status = status.expect("a C compiler: the Debian packages gcc and libc6-dev");
            assert!(status.success(), "cc failed ({status}); its messages are above");
            fresh.persist(&library).expect("rename");
        }
        library.canonicalize().expect("it exists")
    })
}
