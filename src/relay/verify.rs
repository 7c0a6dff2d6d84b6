//! Looking for damage: in a running relay, and in the directory of a stopped one.
//!
//! Invariants:
//! 1. A running relay is looked through by one at a time, and not faster than half of one core allows.
//! 2. The directory of a stopped relay is not changed.

use std::path::Path;
use std::sync::TryLockError;
use std::thread::sleep;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::error::RelayError;
use super::handle::RelayHandle;
use super::offline::{refuse_other_formats, running};
use super::verification::Verification;
use crate::cursor::{StateFindings, state_at_rest};
use crate::log::{
    DirectoryAtRest, LogError, Looking, Progress, Scratch, Stream, StreamFindings, VerifyError,
    streams_at_rest,
};

/// Longest rest between two segments. On a disk that slow, shorter ones would not help others either.
const REST_MAX: Duration = Duration::from_secs(1);

/// Why a running relay did not look for damage.
#[derive(Debug, thiserror::Error)]
pub enum VerifyRefusal {
    /// Somebody else does.
    #[error("the log is being verified already, for somebody else; wait for that, and ask again")]
    Busy,
    /// The relay starts or stops, or whoever asked has gone.
    #[error(
        "the relay is starting or stopping, so its log cannot be verified; ask again when it runs"
    )]
    NotRunning,
    /// The log or the state cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
}

impl RelayHandle {
    /// Reads every block of the log and both copies of the state, until `stop`. What is damaged is moved
    /// aside, and repaired from the API server. Blocking, for as long as it takes.
    pub fn verify(&self, stop: &CancellationToken) -> Result<Verification, VerifyRefusal> {
        let _turn = match self.shared.verifying.try_lock() {
            Ok(turn) => turn,
            Err(TryLockError::WouldBlock) => return Err(VerifyRefusal::Busy),
            // There is nothing in it that could be half done.
            Err(TryLockError::Poisoned(turn)) => turn.into_inner(),
        };
        let go_on = || !self.shared.is_stopping() && !stop.is_cancelled();
        let streams: Vec<_> = self.shared.all_streams().collect();
        let segments = streams.iter().map(|stream| stream.segments().len() as u64).sum();
        let looking = self.shared.verify_progress.begin(segments);
        let streams = streams.into_iter().map(|stream| inspect(stream, &looking, go_on));
        let streams = streams.collect::<Result<_, _>>()?;
        let state = self.shared.state.verify()?;
        Ok(Verification::new(self.shared.directory.path(), streams, state))
    }
}

/// Looks through a stream, and rests as long as it works.
fn inspect(
    stream: &Stream,
    looking: &Looking<'_>,
    go_on: impl Fn() -> bool,
) -> Result<StreamFindings, VerifyRefusal> {
    let mut inspection = stream.inspect();
    loop {
        let begun = Instant::now();
        if !inspection.step()? {
            return Ok(inspection.finish()?);
        }
        looking.step();
        sleep(begun.elapsed().min(REST_MAX));
        if !go_on() {
            return Err(VerifyRefusal::NotRunning);
        }
    }
}

/// Looks through what a stopped relay left behind. `scratch` is where copies of segments are made, one at
/// a time. Blocking.
pub fn offline_verification(
    path: &Path,
    scratch: &Path,
    progress: &Progress,
) -> Result<Verification, RelayError> {
    refuse_other_formats(path)?;
    let directory = DirectoryAtRest::open(path).map_err(running)?;
    let look = || -> Result<_, VerifyError> {
        let scratch = Scratch::new(scratch, path)?;
        let StateFindings { copies, reached } = state_at_rest(&directory, &scratch)?;
        let streams = streams_at_rest(&directory, &reached, &scratch, progress)?;
        Ok(Verification::new(path, streams, copies))
    };
    let verification = look()?;
    directory.was_at_rest().map_err(running)?;
    Ok(verification)
}
