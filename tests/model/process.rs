//! The process under test: it does to log and state what it is told, and says what it sees.
//!
//! The test's own program is started again for it, so that a crash is one: SIGKILL, while the writers
//! of log and state do whatever they are doing at that moment.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command as Program, Stdio};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube_event_relay::cursor::{Cursor, DeadLetter, State};
use kube_event_relay::event::{Header, Position, Record, StreamId};
use kube_event_relay::log::{
    Chunk, DataDirectory, Entry, Gap, Log, LogError, NewRecord, Reader, Stream,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sha2::{Digest, Sha256};

use super::protocol::{
    Answer, Buried, Command, Missing, Moved, Outcome, SINKS, Seen, SeenChunk, SeenLetter,
    SeenRecord, SeenSegment, Start, Written,
};

const ORDER: &str = "MODEL_PROCESS";
/// In front of every answer: the test runner says something, too.
const ANSWER: &str = "answer ";
/// Longer than anything takes that is not stuck.
const PATIENCE: Duration = Duration::from_secs(60);
/// On a full volume nothing is waited for; what comes at all comes sooner.
const IMPATIENCE: Duration = Duration::from_millis(100);

/// The record with this seed and length.
pub fn record(position: &Position, (seed, length): (u64, usize)) -> NewRecord {
    let mut dice = StdRng::seed_from_u64(seed);
    let mut body = vec![0; length];
    dice.fill(&mut body[..]);
    let text = |dice: &mut StdRng| format!("{:x}", dice.random::<u32>());
    let header = Header {
        uid: format!("uid-{seed}"),
        reason: text(&mut dice),
        namespace: text(&mut dice),
        ..Header::default()
    };
    let received_at = Timestamp::from_millisecond(seed as i64).expect("in range");
    NewRecord { position: position.clone(), received_at, header, body: body.into() }
}

/// A digest of everything in the record with this seed and length.
pub fn digest_of(position: &Position, record_of: (u64, usize)) -> String {
    let NewRecord { received_at, header, body, .. } = record(position, record_of);
    digest(received_at, &header, &body)
}

fn digest(received_at: Timestamp, header: &Header, body: &[u8]) -> String {
    let mut digest = Sha256::new();
    digest.update(format!("{} {header:?} {}", received_at.as_millisecond(), body.len()));
    digest.update(body);
    let digest = digest.finalize();
    digest
        .first_chunk()
        .map(|front| format!("{:016x}", u64::from_be_bytes(*front)))
        .expect("32 bytes")
}

/// The process, from outside.
#[derive(Debug)]
pub struct Process {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Process {
    /// Starts it. `test` is the name of the test that calls [`run_when_ordered`] in this program.
    pub fn start(test: &str) -> Self {
        let mut program = Program::new(std::env::current_exe().expect("this program"));
        program.args(["--exact", test, "--nocapture", "--quiet"]).env(ORDER, "1");
        let mut child =
            program.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts again");
        let input = child.stdin.take().expect("piped");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        Self { child, input, output }
    }

    /// Tells it something and waits for its answer.
    pub fn ask(&mut self, command: &Command) -> Result<Answer, String> {
        self.tell(command);
        self.hear().ok_or_else(|| format!("it died of {command:?}"))
    }

    /// Tells it something.
    pub fn tell(&mut self, command: &Command) {
        let line = serde_json::to_string(command).expect("JSON");
        // One that has died is noticed when it is heard.
        drop(writeln!(self.input, "{line}"));
    }

    /// Its next answer; `None` when it has ended.
    pub fn hear(&mut self) -> Option<Answer> {
        let mut line = String::new();
        while self.output.read_line(&mut line).expect("a pipe") > 0 {
            // A kill cuts an answer anywhere; half an answer is none.
            if let Some(answer) = line.strip_prefix(ANSWER).filter(|_| line.ends_with('\n')) {
                return Some(serde_json::from_str(answer).expect("an answer"));
            }
            line.clear();
        }
        None
    }

    /// Kills it with SIGKILL, and hears what it had answered.
    pub fn kill(&mut self) -> Option<Answer> {
        self.child.kill().expect("kill");
        let answer = self.hear();
        self.child.wait().expect("wait");
        answer
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// To be called by a test named in [`Process::start`]: does nothing unless this process was started
/// as the process under test, and never returns when it was.
pub fn run_when_ordered() {
    if std::env::var_os(ORDER).is_none() {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut opened = None;
    for line in std::io::stdin().lines() {
        let command = serde_json::from_str(&line.expect("a pipe")).expect("a command");
        let outcome = runtime.block_on(obey(&mut opened, command));
        let outcome = outcome.unwrap_or_else(|error| match error {
            LogError::Full { .. } => Outcome::Full,
            error => Outcome::Failed(error.to_string()),
        });
        let seen = opened.as_ref().map(Opened::see);
        let answer = serde_json::to_string(&Answer { outcome, seen }).expect("JSON");
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "{ANSWER}{answer}").and_then(|()| stdout.flush()).expect("a pipe");
    }
    // Nobody tells it anything any more: the test has ended.
    std::process::exit(0);
}

/// What is open.
struct Opened {
    log: Log,
    state: State,
    stream: Stream,
    readers: BTreeMap<usize, Reader>,
}

async fn obey(opened: &mut Option<Opened>, command: Command) -> Result<Outcome, LogError> {
    match command {
        Command::Open(path) => {
            let open = move || Opened::open(&path);
            *opened = Some(tokio::task::spawn_blocking(open).await.expect("opening never panics")?);
            Ok(Outcome::Done)
        }
        Command::Close => {
            let Some(Opened { log, state, stream, readers }) = opened.take() else {
                return Ok(Outcome::Done);
            };
            drop((readers, stream));
            let closed = log.close().await;
            state.close().await.and(closed).map(|()| Outcome::Done)
        }
        command => {
            let Some(opened) = opened else { return Ok(Outcome::Failed("it is closed".into())) };
            tokio::time::timeout(PATIENCE, opened.obey(command))
                .await
                .unwrap_or_else(|_| Ok(Outcome::Failed(format!("stuck for {PATIENCE:?}"))))
        }
    }
}

impl Opened {
    fn open(path: &Path) -> Result<Self, LogError> {
        let directory = Arc::new(DataDirectory::open(path, Duration::from_secs(10))?);
        let log = Log::open(directory.clone(), Arc::default())?;
        let state = State::open(directory)?;
        let stream = log.stream(&StreamId::all_namespaces())?;
        Ok(Self { log, state, stream, readers: BTreeMap::new() })
    }

    async fn obey(&mut self, command: Command) -> Result<Outcome, LogError> {
        let id = self.stream.id().clone();
        match command {
            Command::Append { items, full } => return self.append(&items, full).await,
            Command::AppendAndWatch(items) => {
                let mut frontier = self.stream.subscribe();
                frontier.mark_unchanged();
                self.append(&items, false).await?;
                // The sender lives as long as the stream.
                drop(frontier.changed().await);
            }
            Command::Commit { full: false } => self.stream.sync().await?,
            Command::Commit { full: true } => {
                match tokio::time::timeout(IMPATIENCE, self.stream.sync()).await {
                    Ok(synced) => synced?,
                    Err(_) => return Ok(Outcome::Pending),
                }
            }
            Command::Read { reader, chunks, from } => return self.read(reader, chunks, from).await,
            Command::Get(position) => {
                let found = self.stream.get(&position).await?;
                return Ok(Outcome::Record(found.as_ref().map(SeenRecord::of)));
            }
            Command::Move { sink, to } => {
                let updated_at = Timestamp::from_millisecond(to.at).expect("in range");
                let cursor = Cursor { position: to.position, sequence: to.sequence, updated_at };
                self.state.move_cursor(SINKS[sink], &id, cursor);
            }
            Command::Bury(buried) => self.state.bury(&letter(&id, buried))?,
            Command::Letters(sink) => {
                let letters = self.state.dead_letters(SINKS[sink], usize::MAX).await?;
                let seen = |letter: &DeadLetter| SeenLetter {
                    record: SeenRecord::of(&letter.record),
                    reason: letter.reason.clone(),
                };
                return Ok(Outcome::Letters(letters.iter().map(seen).collect()));
            }
            Command::SyncState => self.state.sync().await?,
            Command::NoteFrontier(position) => self.state.note_frontier(&id, &position),
            Command::NoteComplete(at) => {
                let time = Timestamp::from_millisecond(at).expect("in range");
                self.state.set_complete_until(&id, time);
            }
            Command::Report(missing) => self.state.report_gap(&id, missing.into_gap())?,
            Command::Trim(position) => {
                let trimmed = self.stream.trim(&position).await?;
                return Ok(Outcome::Trimmed {
                    segments: trimmed.segments,
                    records: trimmed.records,
                });
            }
            Command::Open(_) | Command::Close => unreachable!("obeyed above"),
        }
        Ok(Outcome::Done)
    }

    async fn append(&self, items: &[Written], full: bool) -> Result<Outcome, LogError> {
        for (count, Written { position, record: kind }) in items.iter().enumerate() {
            let entry = match kind {
                Some(kind) => Entry::Record(record(position, *kind)),
                None => Entry::Advance(position.clone()),
            };
            let appending = self.stream.append(entry);
            if !full {
                appending.await?;
            } else if let Ok(appended) = tokio::time::timeout(IMPATIENCE, appending).await {
                appended?;
            } else {
                return Ok(Outcome::Appended(count));
            }
        }
        Ok(Outcome::Appended(items.len()))
    }

    async fn read(
        &mut self,
        reader: usize,
        chunks: usize,
        from: Option<Start>,
    ) -> Result<Outcome, LogError> {
        if let Some(Start { after }) = from {
            self.readers.insert(reader, self.stream.reader(after));
        }
        let reader = self.readers.get_mut(&reader).expect("a reader has a place first");
        let mut seen = Vec::new();
        while seen.len() < chunks
            && let Some(chunk) = reader.try_next().await?
        {
            let Chunk::Records { records, end, sequence } = chunk else {
                return Ok(Outcome::Failed(format!("damaged: {chunk:?}")));
            };
            let records = records.iter().map(SeenRecord::of).collect();
            seen.push(SeenChunk { records, end, sequence });
        }
        Ok(Outcome::Chunks(seen))
    }

    fn see(&self) -> Seen {
        let id = self.stream.id();
        let moved = |cursor: Cursor| Moved {
            position: cursor.position,
            sequence: cursor.sequence,
            at: cursor.updated_at.as_millisecond(),
        };
        let segments = self.stream.segments();
        let mut trouble: Vec<String> =
            self.stream.take_damages().iter().map(|gap| format!("{gap:?}")).collect();
        trouble.extend(self.state.health().err().map(|error| error.to_string()));
        Seen {
            // After the segments: what they hold was durable before.
            frontier: self.stream.frontier().map(|frontier| (frontier.position, frontier.sequence)),
            segments: segments
                .into_iter()
                .map(|segment| SeenSegment {
                    first: segment.first,
                    last: segment.last,
                    first_sequence: segment.first_sequence,
                    end_sequence: segment.end_sequence,
                })
                .collect(),
            cursors: SINKS.map(|sink| self.state.cursor(sink, id).map(moved)),
            durable_cursors: SINKS.map(|sink| self.state.durable_cursor(sink, id).map(moved)),
            letters: SINKS.map(|sink| self.state.dead_letter_count(sink)),
            gaps: self.state.gaps(id).into_iter().map(Missing::of).collect(),
            noted: self.state.noted_frontier(id),
            complete: self.state.complete_until(id).map(Timestamp::as_millisecond),
            trouble,
        }
    }
}

impl SeenRecord {
    fn of(record: &Record) -> Self {
        let digest = digest(record.received_at, &record.header, &record.body);
        Self { position: record.position.clone(), digest }
    }
}

impl Missing {
    fn of(gap: Gap) -> Self {
        Self {
            after: gap.after,
            until: gap.until,
            from_time: gap.from_time.map(Timestamp::as_millisecond),
            to_time: gap.to_time.as_millisecond(),
        }
    }

    fn into_gap(self) -> Gap {
        let time = |at| Timestamp::from_millisecond(at).expect("in range");
        Gap {
            after: self.after,
            until: self.until,
            from_time: self.from_time.map(time),
            to_time: time(self.to_time),
            cause: "told by a test".to_owned(),
        }
    }
}

fn letter(stream: &StreamId, buried: Buried) -> DeadLetter {
    let NewRecord { position, received_at, header, body } = record(&buried.position, buried.record);
    let record = Record { stream: stream.clone(), position, received_at, header, body };
    DeadLetter::new(SINKS[buried.sink].to_owned(), record, buried.reason, Timestamp::UNIX_EPOCH)
}
