//! A process that uses log and state the way the relay does, says aloud what it was promised, and
//! checks at every start that earlier promises were kept.
//!
//! A test that does something terrible to the process or to its volume runs its own program again as
//! this process, reads what it says ([`Promises`]), and starts it once more afterwards. What is
//! stored is a function of its version alone, so every byte can be checked without a second copy.
//!
//! ```text
//! opened FIRST LAST CURSOR  everything above FIRST and up to LAST was found, and as it should be
//! appending VERSION         versions up to this one have been handed over
//! durable VERSION           … and the log says that they are durable
//! moved VERSION             the cursor is durably here
//! trimming VERSION          what ends at or below it may be gone
//! violation TEXT            a promise was broken
//! stopped TEXT              the log or the state gave up, and said why
//! ```

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use kube_event_relay::cursor::{Cursor, DeadLetter, State};
use kube_event_relay::event::{Generation, Header, Position, Record, StreamId};
use kube_event_relay::log::{
    Chunk, DataDirectory, Entry, Log, LogError, NewRecord, Reader, Stream,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Exit code after a broken promise.
pub const VIOLATED: i32 = 3;
/// Exit code after an error that the log or the state reported.
pub const STOPPED: i32 = 1;

/// What the process is told, by its environment.
#[derive(Debug, Clone)]
pub struct Orders {
    /// The data directory.
    pub directory: PathBuf,
    /// Decides what is done, and in which order.
    pub seed: u64,
    /// Turns before it closes in order; `None`: it goes on for ever.
    pub turns: Option<u32>,
    /// Further variables of its environment, such as a fault.
    pub environment: HashMap<String, String>,
}

const DIRECTORY: &str = "EXERCISER_DIRECTORY";
const SEED: &str = "EXERCISER_SEED";
const TURNS: &str = "EXERCISER_TURNS";
/// A file for what the process writes to standard error, where that is wanted only after a failure.
pub const STDERR: &str = "EXERCISER_STDERR";
const SINK: &str = "exerciser";
/// Every so-manieth version is refused by the sink and becomes a dead letter.
const REFUSED_EVERY: u64 = 997;

/// What an exerciser finds when it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// The log has everything above it.
    pub first: u64,
    /// The frontier.
    pub last: u64,
    /// The cursor.
    pub cursor: u64,
}

/// What the process has said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Promises {
    /// What it found, once it had checked everything.
    pub opened: Option<Found>,
    /// Highest version handed over.
    pub appending: u64,
    /// Highest version promised to be durable.
    pub durable: u64,
    /// Highest version that the cursor was promised to have passed durably.
    pub moved: u64,
    /// Highest version that may have been trimmed.
    pub trimming: u64,
    /// What it says is broken.
    pub violations: Vec<String>,
    /// Why it gave up.
    pub stopped: Option<String>,
}

impl Promises {
    /// Takes note of a line.
    pub fn hear(&mut self, line: &str) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let number = || rest.parse().expect("a version");
        match word {
            "opened" => {
                let mut numbers = rest.split(' ').map(|text| text.parse().expect("a version"));
                let mut next = || numbers.next().expect("three versions");
                let found = Found { first: next(), last: next(), cursor: next() };
                self.opened = Some(found);
                // Opening makes durable what it finds.
                (self.appending, self.durable, self.moved) = (found.last, found.last, found.cursor);
            }
            "appending" => self.appending = number(),
            "durable" => self.durable = number(),
            "moved" => self.moved = number(),
            "trimming" => self.trimming = number(),
            "violation" => self.violations.push(rest.to_owned()),
            "stopped" => self.stopped = Some(rest.to_owned()),
            // The test runner says something, too.
            _ => {}
        }
    }

    /// What the next process breaks of the promises of this one; empty when it keeps them all. What
    /// it said itself is not repeated.
    pub fn broken_by(&self, next: &Self) -> Vec<String> {
        let mut broken = Vec::new();
        if let Some(Found { first, last, cursor }) = next.opened {
            if first > self.trimming {
                broken.push(format!(
                    "the log begins after {first}, trimmed was up to {}",
                    self.trimming
                ));
            }
            if last < self.durable {
                broken.push(format!("{} was durable, the log ends at {last}", self.durable));
            }
            if last > self.appending {
                broken
                    .push(format!("the log ends at {last}, written was up to {}", self.appending));
            }
            if cursor < self.moved {
                broken.push(format!("the cursor was at {}, it is at {cursor}", self.moved));
            }
        }
        broken
    }
}

/// The process, from outside.
#[derive(Debug)]
pub struct Exerciser {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Exerciser {
    /// Starts it. `test` is the name of the test that calls [`run_when_ordered`] in this program.
    pub fn start(orders: &Orders, test: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["--exact", test, "--nocapture", "--quiet"]);
        command.env(DIRECTORY, &orders.directory).env(SEED, orders.seed.to_string());
        if let Some(turns) = orders.turns {
            command.env(TURNS, turns.to_string());
        }
        command.envs(&orders.environment).stdin(Stdio::null()).stdout(Stdio::piped());
        if let Some(file) = orders.environment.get(STDERR) {
            command.stderr(std::fs::File::create(file).expect("a file"));
        }
        let mut child = command.spawn().expect("this program starts again");
        let lines = BufReader::new(child.stdout.take().expect("piped"));
        Self { child, lines }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line it says; `None` when it has ended.
    pub fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.lines.read_line(&mut line).expect("a pipe");
        (read > 0).then(|| line.trim_end().to_owned())
    }

    /// Kills it with SIGKILL, and hears what it had said.
    pub fn kill(mut self, promises: &mut Promises) {
        self.child.kill().expect("kill");
        self.finish(promises);
    }

    /// Hears it out to its end, and returns its exit code; `None` when it was killed.
    pub fn finish(&mut self, promises: &mut Promises) -> Option<i32> {
        while let Some(line) = self.line() {
            promises.hear(&line);
        }
        self.child.wait().expect("wait").code()
    }
}

/// To be called by a test named in [`Exerciser::start`]: does nothing unless this process was started
/// as an exerciser, and never returns when it was.
pub fn run_when_ordered() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let number = |name| std::env::var(name).ok().map(|text| text.parse().expect("a number"));
    let turns = number(TURNS).map(|turns: u64| u32::try_from(turns).expect("a small number"));
    let seed = number(SEED).unwrap_or_default();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let code = runtime.block_on(exercise(Path::new(&directory), seed, turns));
    // Not by way of the destructors of the test runner, which would say that the test has passed.
    std::process::exit(code);
}

/// A promise that was broken, or an error that was reported.
enum End {
    Violation(String),
    Stopped(LogError),
}

impl From<LogError> for End {
    fn from(error: LogError) -> Self {
        Self::Stopped(error)
    }
}

async fn exercise(directory: &Path, seed: u64, turns: Option<u32>) -> i32 {
    match work(directory, seed, turns).await {
        Ok(()) => 0,
        Err(End::Violation(what)) => {
            say(format_args!("violation {what}"));
            VIOLATED
        }
        Err(End::Stopped(error)) => {
            say(format_args!("stopped {error}"));
            STOPPED
        }
    }
}

async fn work(directory: &Path, seed: u64, turns: Option<u32>) -> Result<(), End> {
    let directory = directory.to_owned();
    let opened = tokio::task::spawn_blocking(move || open(&directory)).await;
    let (log, state, stream) = opened.expect("opening never panics")?;
    let mut turn = Turn::begin(stream, state.clone()).await?;
    let mut dice = StdRng::seed_from_u64(seed);
    for _ in 0..turns.unwrap_or(u32::MAX) {
        turn.append(&mut dice).await?;
        turn.read(&mut dice).await?;
        if dice.random_ratio(1, 4) {
            turn.trim().await?;
        }
    }
    turn.state.note_frontier(turn.stream.id(), &position(turn.appended));
    log.close().await?;
    state.close().await?;
    Ok(())
}

fn open(directory: &Path) -> Result<(Log, State, Stream), LogError> {
    let directory = Arc::new(DataDirectory::open(directory, Duration::from_secs(10))?);
    let log = Log::open(directory.clone(), Arc::default())?;
    let state = State::open(directory)?;
    let stream = log.stream(&StreamId::all_namespaces())?;
    Ok((log, state, stream))
}

/// What goes on between two starts.
struct Turn {
    stream: Stream,
    state: State,
    reader: Reader,
    /// Highest version appended.
    appended: u64,
    /// Highest version the sink has.
    delivered: u64,
    /// Records of the stream up to there.
    sequence: u64,
}

impl Turn {
    /// Checks everything that is there.
    async fn begin(stream: Stream, state: State) -> Result<Self, End> {
        let cursor = state.cursor(SINK, stream.id());
        let delivered =
            cursor.as_ref().and_then(|cursor| cursor.position.as_ref()).map_or(0, version);
        let frontier = stream.frontier().map_or(0, |frontier| version(&frontier.position));
        if delivered > frontier {
            return Err(violation(format!(
                "the cursor is at {delivered}, the log ends at {frontier}"
            )));
        }
        let mut all = stream.reader(None);
        let mut read: Option<(u64, u64)> = None;
        loop {
            let Some(chunk) = all.try_next().await? else {
                if all.check_room().is_ok() {
                    break;
                }
                // Nothing tells when there is room again.
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            };
            let begins = read.map_or_else(|| before(&chunk), |(_, end)| end);
            let first = read.map_or(begins, |(first, _)| first);
            read = Some((first, check(&chunk, begins)?));
        }
        let (first, last) = read.unwrap_or_default();
        if last != frontier {
            return Err(violation(format!("read up to {last}, the log ends at {frontier}")));
        }
        let letters = state.dead_letters(SINK, usize::MAX).await?;
        let refused = (1..=delivered).filter(|version| is_refused(*version)).count();
        if letters.len() < refused {
            return Err(violation(format!("{} dead letters of {refused}", letters.len())));
        }
        let reader = stream.reader(cursor.as_ref().and_then(|cursor| cursor.position.clone()));
        let sequence = cursor.map_or(0, |cursor| cursor.sequence);
        say(format_args!("opened {first} {last} {delivered}"));
        Ok(Self { stream, state, reader, appended: frontier, delivered, sequence })
    }

    /// Appends a group, and waits until it is durable.
    async fn append(&mut self, dice: &mut StdRng) -> Result<(), End> {
        let count = [1, 3, 40, 150][dice.random_range(0..4)];
        let first = self.appended + 1;
        self.appended += count;
        say(format_args!("appending {}", self.appended));
        for version in first..=self.appended {
            self.stream.append(entry(version)).await?;
        }
        self.stream.sync().await?;
        let frontier = self.stream.frontier().map_or(0, |frontier| version(&frontier.position));
        if frontier < self.appended {
            return Err(violation(format!(
                "synced to {}, the log ends at {frontier}",
                self.appended
            )));
        }
        say(format_args!("durable {}", self.appended));
        self.state.note_frontier(self.stream.id(), &position(self.appended));
        Ok(())
    }

    /// Reads some of what is there, as a sink that refuses a few; now and then durably.
    async fn read(&mut self, dice: &mut StdRng) -> Result<(), End> {
        for _ in 0..dice.random_range(0..6) {
            let Some(chunk) = self.reader.try_next().await? else { break };
            if let Chunk::Records { records, sequence, .. } = &chunk {
                self.sequence = *sequence;
                for record in records.iter().filter(|record| is_refused(version(&record.position)))
                {
                    self.state.bury(&letter(record))?;
                }
            }
            self.delivered = check(&chunk, self.delivered)?;
            let cursor = Cursor {
                position: Some(position(self.delivered)),
                sequence: self.sequence,
                updated_at: Timestamp::now(),
            };
            self.state.move_cursor(SINK, self.stream.id(), cursor);
        }
        if dice.random_ratio(1, 3) {
            self.state.sync().await?;
            say(format_args!("moved {}", self.delivered));
        }
        Ok(())
    }

    /// Removes what the cursor has durably passed.
    async fn trim(&mut self) -> Result<(), End> {
        let cursor = self.state.durable_cursor(SINK, self.stream.id());
        if let Some(passed) = cursor.and_then(|cursor| cursor.position) {
            say(format_args!("trimming {}", version(&passed)));
            self.stream.trim(&passed).await?;
        }
        Ok(())
    }
}

/// The last version that a log may have lost to trimming when this chunk is its first.
fn before(chunk: &Chunk) -> u64 {
    let Chunk::Records { records, end, .. } = chunk else { return 0 };
    let first = records.first().map_or_else(|| version(end), |record| version(&record.position));
    (0..first).rev().find(|version| is_record(*version)).unwrap_or_default()
}

/// Checks that a chunk follows `first`, and that every byte is right. Returns how far it goes.
fn check(chunk: &Chunk, first: u64) -> Result<u64, End> {
    let Chunk::Records { records, end, .. } = chunk else {
        return Err(violation(format!("damage after {first}")));
    };
    let end = version(end);
    let mut found = records.iter();
    for expected in (first + 1..=end).filter(|version| is_record(*version)) {
        let Some(record) = found.next() else {
            return Err(violation(format!("{expected} is missing")));
        };
        if version(&record.position) != expected {
            return Err(violation(format!("{} instead of {expected}", record.position)));
        }
        if record.body != body(expected) || record.header != header(expected) {
            return Err(violation(format!("{expected} is not as it was written")));
        }
    }
    match found.next() {
        Some(record) => Err(violation(format!("{} after the end {end}", record.position))),
        None => Ok(end),
    }
}

fn violation(what: String) -> End {
    End::Violation(what)
}

/// Whether a version is a record: some only move the frontier, as deletions do.
pub fn is_record(version: u64) -> bool {
    version % 13 != 5
}

fn is_refused(version: u64) -> bool {
    version.is_multiple_of(REFUSED_EVERY) && is_record(version)
}

pub fn entry(version: u64) -> Entry {
    if !is_record(version) {
        return Entry::Advance(position(version));
    }
    Entry::Record(NewRecord {
        position: position(version),
        received_at: Timestamp::UNIX_EPOCH,
        header: header(version),
        body: body(version),
    })
}

fn header(version: u64) -> Header {
    let reason = ["BackOff", "Started", "Unhealthy"][(version % 3) as usize].to_owned();
    Header { uid: format!("uid-{version}"), reason, ..Header::default() }
}

/// Bytes that do not compress: mostly of an event's length, now and then so many that a block takes
/// several parts, so that segments fill up within a second.
pub fn body(version: u64) -> Bytes {
    let mut dice = StdRng::seed_from_u64(version);
    let length = if version.is_multiple_of(50) { 40_000 } else { dice.random_range(200..4_000) };
    let mut bytes = vec![0; length];
    dice.fill(&mut bytes[..]);
    bytes.into()
}

fn letter(record: &Record) -> DeadLetter {
    let reason = "refused by the test".to_owned();
    DeadLetter::new(SINK.to_owned(), record.clone(), reason, Timestamp::UNIX_EPOCH)
}

pub fn position(version: u64) -> Position {
    Position::new(Generation(0), version.to_string().parse().expect("a version"))
}

pub fn version(position: &Position) -> u64 {
    position.resource_version.as_str().parse().expect("a number")
}

fn say(line: std::fmt::Arguments<'_>) {
    let mut stdout = std::io::stdout().lock();
    // Nobody listens any more: the test has ended, and so does this process.
    if writeln!(stdout, "{line}").and_then(|()| stdout.flush()).is_err() {
        std::process::exit(STOPPED);
    }
}
