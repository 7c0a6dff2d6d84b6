//! The relay's own program, run as its users run it.
//!
//! Invariant: the program is started with the arguments of the test and the ports
//! of the system's choice; where it listens is learned from its log. It is killed
//! when dropped, and its output so far is part of every failure's message.

use crate::client::plain_http_client;
use crate::journal::Journal;
use crate::process::{Line, Output, Process};
use reqwest::StatusCode;
use rustix::process::Signal;
use serde_json::Value;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

/// How long the relay may take to listen or to end on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Lines of output that a failure shows.
const SHOWN_LINES: usize = 40;

/// A relay that is to be started.
#[derive(Debug, Clone)]
pub struct RelayBuilder {
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    data_dir: Option<PathBuf>,
    admin: bool,
}

impl RelayBuilder {
    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Sets a variable of the environment.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Passes `--data-dir=PATH`.
    #[must_use]
    pub fn data_dir(mut self, path: &Path) -> Self {
        self.data_dir = Some(path.to_owned());
        self
    }

    /// Passes no options of the admin address: for subcommands.
    #[must_use]
    pub fn without_admin(mut self) -> Self {
        self.admin = false;
        self
    }

    /// Starts the program; does not wait for anything.
    #[must_use]
    pub fn start(&self) -> Relay {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        if let Some(path) = &self.data_dir {
            let mut argument = OsString::from("--data-dir=");
            argument.push(path);
            command.arg(argument);
        }
        if self.admin {
            command.args(["--healthz-ip=127.0.0.1", "--healthz-port=0"]);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let lines = Journal::default();
        let process = Process::spawn(command, Output::Lines(lines.clone()));
        Relay { process, lines, http: plain_http_client() }
    }
}

/// A running (or ended) relay.
#[derive(Debug)]
pub struct Relay {
    process: Process,
    lines: Journal<Line>,
    http: reqwest::Client,
}

impl Relay {
    /// A relay of this program: `env!("CARGO_BIN_EXE_kube-event-relay")`.
    #[must_use]
    pub fn builder(program: impl AsRef<Path>) -> RelayBuilder {
        RelayBuilder {
            program: program.as_ref().to_owned(),
            arguments: Vec::new(),
            environment: Vec::new(),
            data_dir: None,
            admin: true,
        }
    }

    /// The process id.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// Whether it has not ended yet.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.process.exit_status().is_none()
    }

    /// Kills it (SIGKILL) and waits for its end.
    pub async fn kill(&self) -> ExitStatus {
        self.process.kill().await
    }

    /// Asks it to end (SIGTERM) and waits for that.
    pub async fn terminate(&self) -> ExitStatus {
        self.process.signal(Signal::TERM);
        self.wait_exit(PATIENCE).await
    }

    /// Freezes it (SIGSTOP): alive, but doing nothing.
    pub fn pause(&self) {
        self.process.signal(Signal::STOP);
    }

    /// Lets it go on after [`Relay::pause`].
    pub fn resume(&self) {
        self.process.signal(Signal::CONT);
    }

    /// Waits for its end; panics when the time is over first.
    pub async fn wait_exit(&self, timeout: Duration) -> ExitStatus {
        let ended = tokio::time::timeout(timeout, self.process.wait()).await;
        ended.unwrap_or_else(|_| panic!("no end within {timeout:?}:\n{}", self.recent_lines()))
    }

    /// All lines it wrote so far.
    #[must_use]
    pub fn lines(&self) -> Vec<Line> {
        self.lines.snapshot()
    }

    /// Waits for a line, past or future, and returns it. Panics when the time is
    /// over first, or the relay ends without writing it.
    pub async fn wait_for_line(
        &self,
        timeout: Duration,
        mut wanted: impl FnMut(&str) -> bool,
    ) -> Line {
        self.find_line(timeout, |text| wanted(text).then_some(())).await.0
    }

    async fn find_line<R>(
        &self,
        timeout: Duration,
        mut find: impl FnMut(&str) -> Option<R>,
    ) -> (Line, R) {
        // Looks at each line once, however many there are.
        let mut looked_at = 0;
        let mut search = |lines: &[Line]| {
            let new = &lines[looked_at..];
            looked_at = lines.len();
            new.iter().find_map(|line| Some((line.clone(), find(&line.text)?)))
        };
        let found = tokio::select! {
            biased;
            found = self.lines.find(timeout, &mut search) => found,
            _ = self.process.wait() => None,
        };
        // The last lines and the end of the process may be noticed in either order.
        found.or_else(|| self.lines.with(&mut search)).unwrap_or_else(|| {
            let status = self.process.exit_status();
            panic!("no such line (exit: {status:?}):\n{}", self.recent_lines())
        })
    }

    fn recent_lines(&self) -> String {
        self.lines.with(|lines| {
            let recent = &lines[lines.len().saturating_sub(SHOWN_LINES)..];
            recent.iter().map(|line| line.text.as_str()).collect::<Vec<_>>().join("\n")
        })
    }

    /// Resident memory in bytes, as the kernel counts it.
    #[must_use]
    pub fn rss_bytes(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The most resident memory so far, in bytes.
    #[must_use]
    pub fn peak_rss_bytes(&self) -> u64 {
        self.memory("VmHWM:")
    }

    fn memory(&self, field: &str) -> u64 {
        let path = format!("/proc/{}/status", self.process.id());
        let status = std::fs::read_to_string(path).expect("the process runs");
        let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("the field");
        let kibibytes = line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number");
        kibibytes * 1024
    }

    /// The URL of the admin address, once the log tells it.
    pub async fn admin_url(&self) -> String {
        let (_, address) = self.find_line(PATIENCE, admin_address).await;
        format!("http://{address}")
    }

    /// Asks the admin address; any status.
    pub async fn get(&self, path: &str) -> (StatusCode, String) {
        let url = format!("{}{path}", self.admin_url().await);
        let answer = self.http.get(&url).send().await;
        let answer = answer.unwrap_or_else(|problem| panic!("{url}: {problem:?}"));
        (answer.status(), answer.text().await.expect("a text"))
    }

    /// Asks the admin address for a text; panics unless it succeeds.
    pub async fn get_text(&self, path: &str) -> String {
        let (status, text) = self.get(path).await;
        assert!(status.is_success(), "{path}: {status} {text}");
        text
    }

    /// Asks the admin address for JSON; panics unless it succeeds.
    pub async fn get_json(&self, path: &str) -> Value {
        serde_json::from_str(&self.get_text(path).await).expect("JSON")
    }
}

/// The address in the line that announces the admin listener, which is written as
/// `address=127.0.0.1:1` or as `"address":"127.0.0.1:1"`.
fn admin_address(line: &str) -> Option<String> {
    let (_, _) = line.split_once("admin listening")?;
    let at = ["\"address\":\"", "address=\"", "address="]
        .iter()
        .find_map(|mark| line.find(mark).map(|start| start + mark.len()))?;
    let rest = &line[at..];
    let end =
        rest.find(|letter: char| !(letter.is_ascii_digit() || letter == '.' || letter == ':'));
    Some(rest[..end.unwrap_or(rest.len())].to_owned()).filter(|address| address.contains(':'))
}

#[cfg(test)]
mod tests {
    use super::admin_address;

    #[test]
    fn finds_the_admin_address_in_text_and_in_json() {
        for line in [
            "INFO relay: admin listening address=127.0.0.1:4711",
            "INFO relay: admin listening address=\"127.0.0.1:4711\" pid=1",
            r#"{"address":"127.0.0.1:4711","message":"admin listening"}"#,
            r#"{"fields":{"message":"admin listening","address":"127.0.0.1:4711"}}"#,
        ] {
            assert_eq!(admin_address(line).as_deref(), Some("127.0.0.1:4711"), "{line}");
        }
        assert_eq!(admin_address("webhook address=127.0.0.1:1"), None);
    }
}
