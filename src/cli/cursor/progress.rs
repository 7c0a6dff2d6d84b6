//! Waiting for a replay, with a bar on a terminal.

use crate::admin::{Client, ClientError};
use crate::cli::status::replays;
use crate::cli::{output, progress};
use crate::relay::ReplayStatus;

/// Why the end of a replay was not seen.
#[derive(Debug, thiserror::Error)]
pub(super) enum WaitError {
    /// The relay could not be asked.
    #[error("{0}; the replay goes on by itself when the relay runs, `cursor replay list` shows it")]
    Client(#[from] ClientError),
    /// It is not known any more.
    #[error("replay {0} is not known any more; `cursor replay list` shows those that are kept")]
    Unknown(u64),
}

/// Waits until a replay has ended. Standard error shows how far it is, when that is a terminal.
pub(super) async fn wait(client: &Client, number: u64) -> Result<ReplayStatus, WaitError> {
    let bar = progress::bar(&format!("replay {number}"), "records");
    loop {
        let all = client.replays().await?;
        let replay = all.into_iter().find(|replay| replay.number == number);
        let replay = replay.ok_or(WaitError::Unknown(number))?;
        bar.set_length(replay.total);
        bar.set_position(replay.done);
        bar.set_message(format!(", {}", replays::word(replay.state)));
        if replay.state.has_ended() {
            bar.finish_and_clear();
            return Ok(replay);
        }
        tokio::time::sleep(progress::INTERVAL).await;
    }
}

/// What became of it, on one line.
pub(super) fn summary(replay: &ReplayStatus) -> String {
    let lost = match replay.lost {
        0 => String::new(),
        lost => format!(", {} not in the log any more", output::count(lost)),
    };
    format!(
        "replay {} is {}: {} of {}{lost}\n",
        replay.number,
        replays::word(replay.state),
        output::count(replay.done),
        output::plural(replay.total, "record"),
    )
}
