//! Child processes that never outlive the test.
//!
//! Invariant: the child is dead once its [`Process`] is dropped, and it is killed
//! when the test process dies in any other way. Why: a leftover API server holds memory
//! and its data folder, and would spoil later measurements.
//!
//! How: the kernel sends a child its parent-death signal when the *thread* that
//! started it ends. So each child has a thread of its own here, which starts it
//! and waits for its end. The signal is set through `setpriv`, since setting it
//! oneself needs unsafe code; without that program only the first half holds.

use crate::journal::Journal;
use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{OnceLock, mpsc};
use std::thread::JoinHandle;
use std::time::Instant;
use tokio::sync::watch;

/// Which of its streams a process wrote a line to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Output,
    /// Standard error.
    Error,
}

/// A line that a process wrote.
#[derive(Debug, Clone)]
pub struct Line {
    /// Where it was written to.
    pub stream: Stream,
    /// When it was read.
    pub arrived: Instant,
    /// The line without its end.
    pub text: String,
}

/// What becomes of the standard output and error of a process.
#[derive(Debug)]
pub(crate) enum Output {
    /// Each line is added here.
    Lines(Journal<Line>),
    /// Both are written to this file.
    File(File),
}

/// A running (or ended) child process.
#[derive(Debug)]
pub(crate) struct Process {
    id: u32,
    handle: OwnedFd,
    exit: watch::Receiver<Option<ExitStatus>>,
    keeper: Option<JoinHandle<()>>,
}

impl Process {
    /// Starts `command`; of it count the program, the arguments, the changes to the
    /// environment and the working folder.
    #[must_use]
    pub(crate) fn spawn(command: Command, output: Output) -> Self {
        let (started, start) = mpsc::channel();
        let (ended, exit) = watch::channel(None);
        let keeper = std::thread::spawn(move || {
            let mut child = start_child(command, &output);
            let process = Pid::from_child(&child);
            let handle = pidfd_open(process, PidfdFlags::empty()).expect("open a pidfd");
            let readers = read_streams(&mut child, &output);
            started.send((child.id(), handle)).expect("the starter waits");
            let status = child.wait().expect("wait for a child process");
            for reader in readers {
                reader.join().expect("read a child's stream");
            }
            ended.send_replace(Some(status));
        });
        let (id, handle) = start.recv().expect("the child was started");
        Self { id, handle, exit, keeper: Some(keeper) }
    }

    /// The process id.
    #[must_use]
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// The exit status, once the process has ended and all its output was read.
    #[must_use]
    pub(crate) fn exit_status(&self) -> Option<ExitStatus> {
        *self.exit.borrow()
    }

    /// Waits for the end of the process and of its output.
    pub(crate) async fn wait(&self) -> ExitStatus {
        let mut exit = self.exit.clone();
        let status = exit.wait_for(Option::is_some).await.expect("the keeper tells the status");
        status.expect("waited for it")
    }

    /// Sends a signal; does nothing when the process has ended.
    pub(crate) fn signal(&self, signal: Signal) {
        // A pidfd names this process only, even when its number was given away again.
        match pidfd_send_signal(&self.handle, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(problem) => panic!("signal {signal:?} to process {}: {problem}", self.id),
        }
    }

    /// Kills the process and waits for its end.
    pub(crate) async fn kill(&self) -> ExitStatus {
        self.signal(Signal::KILL);
        self.wait().await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        if let Some(keeper) = self.keeper.take()
            && keeper.join().is_err()
            && !std::thread::panicking()
        {
            panic!("the thread keeping process {} panicked", self.id);
        }
    }
}

fn start_child(command: Command, output: &Output) -> Child {
    let stream = || match output {
        Output::Lines(_) => Stdio::piped(),
        Output::File(file) => Stdio::from(file.try_clone().expect("share a log file")),
    };
    let program = command.get_program().to_owned();
    let mut command = with_parent_death_signal(command);
    command.stdin(Stdio::null()).stdout(stream()).stderr(stream());
    command.spawn().unwrap_or_else(|problem| panic!("start {}: {problem}", program.display()))
}

fn read_streams(child: &mut Child, output: &Output) -> Vec<JoinHandle<()>> {
    let Output::Lines(lines) = output else { return Vec::new() };
    let output = child.stdout.take().map(|stream| read_lines(stream, Stream::Output, lines));
    let error = child.stderr.take().map(|stream| read_lines(stream, Stream::Error, lines));
    output.into_iter().chain(error).collect()
}

/// Reads on a thread, not on a task: a test that blocks its runtime must not
/// block the child on a full pipe.
fn read_lines(
    stream: impl Read + Send + 'static,
    kind: Stream,
    lines: &Journal<Line>,
) -> JoinHandle<()> {
    let lines = lines.clone();
    std::thread::spawn(move || {
        let mut reader = BufReader::new(stream);
        let mut buffer = Vec::new();
        while reader.read_until(b'\n', &mut buffer).is_ok_and(|length| length > 0) {
            let text = String::from_utf8_lossy(&buffer).trim_end().to_owned();
            lines.push(Line { stream: kind, arrived: Instant::now(), text });
            buffer.clear();
        }
    })
}

fn with_parent_death_signal(command: Command) -> Command {
    if !setpriv_knows_death_signals() {
        return command;
    }
    let mut wrapped = Command::new("setpriv");
    wrapped.args(["--pdeathsig", "KILL", "--"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(name, value),
            None => wrapped.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        wrapped.current_dir(folder);
    }
    wrapped
}

fn setpriv_knows_death_signals() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| {
        let help = Command::new("setpriv").arg("--help").output();
        help.is_ok_and(|help| String::from_utf8_lossy(&help.stdout).contains("--pdeathsig"))
    })
}
