//! The direction of imports, and what else about the shape of the sources can be checked by reading them.

#![allow(clippy::expect_used, missing_docs)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Modules from the top down, each with what it may import. The ground floor (`event`, `setting`,
/// `telemetry`) imports nothing of ours.
const ALLOWED: [(&str, &[&str]); 11] = [
    (
        "cli",
        &[
            "config",
            "admin",
            "relay",
            "source",
            "sink",
            "cursor",
            "log",
            "event",
            "setting",
            "telemetry",
        ],
    ),
    (
        "config",
        &["admin", "relay", "source", "sink", "cursor", "log", "event", "setting", "telemetry"],
    ),
    ("admin", &["relay", "source", "sink", "cursor", "log", "event", "setting", "telemetry"]),
    ("relay", &["source", "sink", "cursor", "log", "event", "setting", "telemetry"]),
    ("source", &["log", "event", "setting", "telemetry"]),
    ("sink", &["event", "setting", "telemetry"]),
    ("cursor", &["log", "event", "setting", "telemetry"]),
    ("log", &["event", "setting", "telemetry"]),
    ("event", &[]),
    ("setting", &[]),
    ("telemetry", &[]),
];

/// What every module may name: deliberate faults, which break one promise each, and the inputs of
/// the fuzzer.
const EVERYWHERE: [&str; 2] = ["fault", "fuzzing"];

/// Crates that one place alone may name, so that it alone has to change with them.
const CONFINED: [(&str, &str); 4] = [
    ("sled::", "src/log/database.rs"),
    ("kube::", "src/source/"),
    ("k8s_openapi::", "src/source/"),
    ("zstd::", "src/log/compression.rs"),
];

/// Where the steps of migrations are.
const MIGRATIONS: &str = "migrations";

/// Longest source file, in lines.
const LINES_LIMIT: usize = 500;

#[test]
fn imports_go_down_only() {
    let mut wrong = Vec::new();
    for file in sources() {
        let Some(module) = module_of(&file) else { continue };
        let (_, allowed) = ALLOWED
            .iter()
            .find(|(name, _)| *name == module)
            .unwrap_or_else(|| panic!("{module} is a new module: say what it may import"));
        for imported in imports(&read(&file)) {
            let imported = imported.as_str();
            if imported != module && !EVERYWHERE.contains(&imported) && !allowed.contains(&imported)
            {
                wrong.push(format!("{} imports {imported}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn crates_with_traps_are_named_in_one_place() {
    let mut wrong = Vec::new();
    for file in sources() {
        for (name, place) in CONFINED {
            let names_it = code_lines(&read(&file)).any(|line| names(line, name));
            if names_it && !file.starts_with(place) && !file.to_string_lossy().starts_with(place) {
                wrong.push(format!("{} names {name}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_file_says_what_it_is_for_and_has_one_subject() {
    let mut wrong = Vec::new();
    for file in sources() {
        let text = read(&file);
        if !text.starts_with("//! ") {
            wrong.push(format!("{} does not begin with //!", file.display()));
        }
        let lines = text.lines().count();
        if lines > LINES_LIMIT {
            wrong.push(format!("{} has {lines} lines", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_table_of_modules_names_each_folder() {
    let folders: BTreeSet<String> = fs::read_dir("src")
        .expect("src")
        .flatten()
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    let known: BTreeSet<String> = ALLOWED.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(folders, known);
}

/// Lines of the relay's log have one style: no sentence, so no full stop, and no article in front.
#[test]
fn log_messages_have_one_style() {
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for file in sources() {
        let text = read(&file);
        for call in text.split("tracing::").skip(1) {
            let is_event = ["info!(", "warn!(", "error!(", "debug!("];
            if !is_event.iter().any(|name| call.starts_with(name)) {
                continue;
            }
            let call = call.split(");").next().unwrap_or(call);
            let Some(message) = call.rsplit('"').nth(1) else { continue };
            seen += 1;
            if message.ends_with('.') || message.starts_with("The ") || message.starts_with("A ") {
                wrong.push(format!("{}: {message}", file.display()));
            }
        }
    }
    assert!(seen > 60, "{seen}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Every Rust file of the program: below `src`, and the steps of migrations.
fn sources() -> Vec<PathBuf> {
    fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                collect(&path, files);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    let mut files = Vec::new();
    collect(Path::new("src"), &mut files);
    collect(Path::new(MIGRATIONS), &mut files);
    assert!(files.len() > 40, "tests run in the root of the repository");
    files
}

fn module_of(file: &Path) -> Option<String> {
    // The steps are part of the log.
    if file.starts_with(MIGRATIONS) {
        return Some("log".to_owned());
    }
    let mut parts = file.components().skip(1);
    let first = parts.next()?.as_os_str().to_string_lossy().into_owned();
    parts.next().map(|_| first)
}

/// Modules of ours that a file names: `crate::name`, alone or in a group.
fn imports(text: &str) -> BTreeSet<String> {
    let code: String = code_lines(text).flat_map(|line| [line, "\n"]).collect();
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let group = rest.strip_prefix('{').and_then(|rest| rest.split('}').next());
        for item in
            group.unwrap_or(rest).split(',').take(if group.is_some() { usize::MAX } else { 1 })
        {
            let name: String =
                item.trim().chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
            if !name.is_empty() {
                found.insert(name);
            }
        }
    }
    found
}

fn code_lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.trim_start().starts_with("//"))
}

fn names(line: &str, name: &str) -> bool {
    line.match_indices(name).any(|(at, _)| {
        !line[..at]
            .ends_with(|before: char| before.is_alphanumeric() || before == '_' || before == ':')
    })
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).expect("a readable source file")
}
