//! Clients of services that others wrote, which `tests/clients/run.sh` installs.

use std::process::Command;

use serde::Deserialize;
use serde_json::Value;

/// What a client was told to send, and what it said of it.
#[derive(Debug, Deserialize)]
pub struct Report {
    pub message: String,
    pub success: bool,
    pub words: String,
}

/// Runs the script of this name, with its settings.
pub async fn run(script: &'static str, settings: Value) -> Vec<Report> {
    let output = tokio::task::spawn_blocking(move || {
        let mut command = Command::new("tests/clients/run.sh");
        command.arg(script).arg(settings.to_string()).output().expect("a shell")
    });
    let output = output.await.expect("no panic");
    let (stdout, stderr) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}{stderr}");
    let reports = stdout.lines().map(|line| serde_json::from_str(line).expect("a report"));
    reports.inspect(|report| println!("{script}: {report:?}")).collect()
}
