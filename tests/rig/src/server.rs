//! What the two server processes have in common: a log file, and being awaited.

use crate::process::Process;
use std::fs::{File, OpenOptions};
use std::path::Path;
use std::time::Duration;

/// How long a server may take to get ready on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Between two looks at a server's readiness; it offers nothing to wait on.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Lines of a server's log that a failure shows.
const LOG_LINES: usize = 30;

/// Opens a log to append to, since a server may be started several times.
pub(crate) fn open_log(path: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(path).expect("open a log file")
}

/// The last lines of a log.
pub(crate) fn log_tail(path: &Path) -> String {
    let log = std::fs::read(path).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}

/// Asks `probe` until it answers; panics with the end of the log when the process
/// ends first or takes too long.
pub(crate) async fn wait_until_ready<Answer, Probing: Future<Output = Option<Answer>>>(
    name: &str,
    process: &Process,
    log: &Path,
    probe: impl Fn() -> Probing,
) -> Answer {
    let asking = async {
        loop {
            if let Some(answer) = probe().await {
                return answer;
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    };
    tokio::select! {
        answer = asking => answer,
        status = process.wait() => panic!("{name} ended with {status}:\n{}", log_tail(log)),
        () = tokio::time::sleep(PATIENCE) => panic!("{name} is not ready:\n{}", log_tail(log)),
    }
}
