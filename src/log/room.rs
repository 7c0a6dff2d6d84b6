//! Waiting for room on the volume, where nothing can be done without it.
//!
//! sled cannot open a database on a full volume, so there even reading has to wait.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::reserve::Reserve;
use super::stream::{Context, blocking};
use super::{DataDirectory, LogError};

/// How often a full volume is looked at again.
pub(crate) const ROOM_POLL: Duration = Duration::from_millis(500);

/// What opening a log may take: the newest segment and the state are read and their ends rewritten.
const OPENING_BYTES: u64 = 8 << 20;

impl DataDirectory {
    /// Whether there is room to open what is in it. The reserve is given up when there is not.
    pub(crate) fn make_room(&self) -> Result<(), LogError> {
        let reserve = Reserve::new(self.path());
        if reserve.free_bytes() < OPENING_BYTES {
            reserve.give_up();
        }
        if reserve.free_bytes() < OPENING_BYTES {
            return Err(LogError::Full { path: PathBuf::from(self.path()) });
        }
        Ok(())
    }
}

/// Runs an operation of the file system where it may block; while the volume is full, again and again.
pub(super) async fn when_there_is_room<T: Send + 'static>(
    context: &Arc<Context>,
    operation: impl Fn() -> Result<T, LogError> + Clone + Send + 'static,
) -> Result<T, LogError> {
    let mut waiting = None;
    loop {
        let done = blocking(operation.clone()).await;
        let Err(LogError::Full { path }) = done else { return done };
        if waiting.is_none() {
            tracing::warn!(path = %path.display(), "the volume is full; reading waits for room");
            waiting = Some(context.reserve.wait());
        }
        context.reserve.give_up();
        tokio::time::sleep(ROOM_POLL).await;
    }
}
