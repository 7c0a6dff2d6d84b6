//! The programs of those who install the relay and look after it.
//!
//! Invariant: whoever gets a path from here gets the program itself, built from pinned sources or
//! from the distribution; never an imitation.

use crate::binaries::output;
use std::path::{Path, PathBuf};
use std::process::Command;

/// `kubectl`, with the kustomize that it contains.
#[must_use]
pub fn kubectl() -> PathBuf {
    built("kubectl")
}

/// Helm.
#[must_use]
pub fn helm() -> PathBuf {
    built("helm")
}

/// The linter of workflows.
#[must_use]
pub fn actionlint() -> PathBuf {
    built("actionlint")
}

/// The checker of Prometheus' rules.
#[must_use]
pub fn promtool() -> PathBuf {
    PathBuf::from(run("unpack.sh", &["promtool", "prometheus"]).trim())
}

/// What builds images without an engine.
#[must_use]
pub fn buildah() -> PathBuf {
    run("install.sh", &["buildah", "buildah"]);
    PathBuf::from("buildah")
}

/// The linter of Dockerfiles.
#[must_use]
pub fn hadolint() -> PathBuf {
    PathBuf::from(run("hadolint.sh", &[]).trim())
}

fn built(program: &str) -> PathBuf {
    run("build.sh", &[program]);
    output().join(program)
}

/// Runs a script of the rig and returns what it prints; its messages go to the terminal.
fn run(script: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join(script));
    command.args(arguments).env("RIG_OUTPUT", output()).stderr(std::process::Stdio::inherit());
    let output = command.output().unwrap_or_else(|problem| panic!("{script}: {problem}"));
    assert!(output.status.success(), "tests/rig/{script} failed; its messages are above");
    String::from_utf8(output.stdout).expect("UTF-8")
}
