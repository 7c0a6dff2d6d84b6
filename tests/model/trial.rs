//! Does a sequence of actions to a process and to the model, and compares after each.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rig::Volume;

use super::action::{Action, Moment, Place};
use super::oracle::Model;
use super::process::Process;
use super::protocol::{Answer, Command, Outcome, SeenLetter};

type Checked = Result<(), String>;

/// The test that becomes the process under test.
pub const PROCESS: &str = "process_under_test";

/// How much was done.
#[derive(Debug, Default)]
pub struct Tally {
    pub cases: u64,
    pub actions: u64,
    pub crashes: u64,
    pub records_read: u64,
    pub segments_trimmed: u64,
}

/// One sequence of actions in a data directory of its own.
pub struct Trial<'a> {
    process: &'a mut Option<Process>,
    directory: PathBuf,
    volume: Option<&'a Volume>,
    tally: &'a mut Tally,
    model: Model,
}

impl<'a> Trial<'a> {
    /// A trial in `directory`, which is new, with a process that an earlier trial may have left.
    pub fn new(
        process: &'a mut Option<Process>,
        directory: &Path,
        volume: Option<&'a Volume>,
        tally: &'a mut Tally,
    ) -> Self {
        let directory = directory.to_owned();
        Self { process, directory, volume, tally, model: Model::default() }
    }

    /// Does everything; the error says what was not as the model has it.
    pub fn run(&mut self, actions: &[Action]) -> Checked {
        self.tally.cases += 1;
        let done = self.run_to_end(actions);
        if done.is_err() {
            // Whatever state it is in, the next trial begins with another one.
            *self.process = None;
        }
        self.free();
        done
    }

    fn run_to_end(&mut self, actions: &[Action]) -> Checked {
        self.open()?;
        for (number, action) in actions.iter().enumerate() {
            self.tally.actions += 1;
            self.act(action).map_err(|error| format!("action {number}, {action:?}: {error}"))?;
        }
        self.free();
        self.act(&Action::Commit).and_then(|()| self.act(&Action::Reopen))?;
        self.ask(&Command::Close)
    }

    fn act(&mut self, action: &Action) -> Checked {
        match action {
            Action::Crash(moment) => {
                self.tally.crashes += 1;
                self.crash(moment)?;
                self.open()
            }
            Action::Fill(left) => {
                if let Some(volume) = self.volume {
                    volume.fill(*left << 10);
                    self.model.full = true;
                }
                Ok(())
            }
            Action::Free => {
                self.free();
                Ok(())
            }
            action => {
                if let Some(command) = self.model.command(action) {
                    self.ask(&command)?;
                }
                if *action == Action::Reopen { self.open() } else { Ok(()) }
            }
        }
    }

    fn crash(&mut self, moment: &Moment) -> Checked {
        match moment {
            Moment::Idle => self.kill(None),
            Moment::Within(action, delay) => {
                let command = self.model.command(action);
                if let Some(command) = &command {
                    self.process().tell(command);
                    std::thread::sleep(Duration::from_micros((*delay).into()));
                }
                self.kill(command.as_ref())
            }
            Moment::Passing(records, delay) => {
                let (sink, words, to) = (0, 0, Place::Frontier);
                for record in records {
                    self.act(&Action::Bury { sink, record: *record, words })?;
                }
                self.act(&Action::MoveCursor { sink, to })?;
                self.crash(&Moment::Within(Box::new(Action::SyncState), *delay))
            }
            Moment::Frontier(items) => {
                if !self.model.full
                    && let Some(command) = self.model.watched(items)
                {
                    self.ask(&command)?;
                }
                self.kill(None)
            }
            Moment::Opening(delay) => {
                self.kill(None)?;
                let open = Command::Open(self.directory.clone());
                self.process().tell(&open);
                std::thread::sleep(Duration::from_micros((*delay).into()));
                self.kill(None)
            }
        }
    }

    /// Kills the process. What it had answered to a command before it died counts.
    fn kill(&mut self, command: Option<&Command>) -> Checked {
        let answer = self.process.take().and_then(|mut process| process.kill());
        match (command, answer) {
            (Some(command), Some(answer)) => self.model.conclude(command, &answer),
            _ => Ok(()),
        }
    }

    /// Opens what was left, and checks all of it.
    fn open(&mut self) -> Checked {
        let open = Command::Open(self.directory.clone());
        let Answer { outcome, seen } = self.ask_on_any_volume(&open)?;
        let Some(seen) = seen.filter(|_| outcome == Outcome::Done) else {
            return Err(format!("opening: {outcome:?}"));
        };
        let letters = [self.letters(0)?, self.letters(1)?];
        self.model.found(&seen, letters).map_err(|error| format!("opening: {error}"))?;
        let read = self.model.read_all();
        self.ask(&read).map_err(|error| format!("reading after opening: {error}"))
    }

    fn letters(&mut self, sink: usize) -> Result<Vec<SeenLetter>, String> {
        match self.ask_on_any_volume(&Command::Letters(sink))?.outcome {
            Outcome::Letters(letters) => Ok(letters),
            outcome => Err(format!("listing letters after opening: {outcome:?}")),
        }
    }

    /// Asks again with room on the volume when the answer is that there is none.
    fn ask_on_any_volume(&mut self, command: &Command) -> Result<Answer, String> {
        let answer = self.process().ask(command)?;
        if answer.outcome != Outcome::Full || !self.model.full {
            return Ok(answer);
        }
        self.free();
        self.process().ask(command)
    }

    fn ask(&mut self, command: &Command) -> Checked {
        let answer = self.process().ask(command)?;
        match &answer.outcome {
            Outcome::Chunks(chunks) => {
                let records: usize = chunks.iter().map(|chunk| chunk.records.len()).sum();
                self.tally.records_read += records as u64;
            }
            Outcome::Trimmed { segments, .. } => self.tally.segments_trimmed += segments,
            _ => {}
        }
        self.model.conclude(command, &answer)
    }

    fn process(&mut self) -> &mut Process {
        self.process.get_or_insert_with(|| Process::start(PROCESS))
    }

    fn free(&mut self) {
        if let Some(volume) = self.volume.filter(|_| self.model.full) {
            volume.free_up();
        }
        self.model.full = false;
    }
}
