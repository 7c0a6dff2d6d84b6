//! What has to be done every second, and more often when the log is nearly full: retention, gauges,
//! and the proof that the relay turns.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

use super::error::RelayError;
use super::retention::Levels;
use super::shared::Shared;
use super::survey::Survey;
use super::{integrity, overview, retention};
use crate::log::LogError;

/// Quiet time after which kube-eventer's intake metrics are moved all the same: its alerts expect
/// that every 30 s.
const QUIET_MAX: Duration = Duration::from_secs(15);

/// Comes around until it is aborted, or until the log or the state has failed.
pub(crate) async fn keep_house(shared: Arc<Shared>) -> Result<(), RelayError> {
    let levels = Levels::of(shared.limits.max_bytes.0);
    let mut intake = IntakeMeter::new();
    loop {
        let survey = look_after(&shared).await?;
        overview::refresh_gauges(&shared, &survey);
        intake.report(&shared);
        shared.beat.strike();
        sleep(levels.on_volume(survey.bytes, survey.free).next_look(survey.bytes)).await;
    }
}

/// Looks at the log once, and acts as it is found to be.
pub(crate) async fn look_after(shared: &Arc<Shared>) -> Result<Survey, RelayError> {
    let seen = shared.clone();
    let look = spawn_blocking(move || look(&seen)).await;
    let survey = look.map_err(|_panic| RelayError::Bug("looking at the log".to_owned()))??;
    retention::act(shared, &survey).await;
    Ok(survey)
}

/// Surveys the log and reports what it has lost. Blocking.
fn look(shared: &Shared) -> Result<Survey, LogError> {
    shared.state.health()?;
    shared.log.keep_reserve();
    for stream in shared.all_streams() {
        match integrity::report_damage(stream, &shared.state, &shared.metrics) {
            // It is kept in memory, and durable as soon as there is room.
            Err(LogError::Full { .. }) => {}
            reported => reported?,
        }
        integrity::note_frontier(&shared.state, stream);
    }
    Ok(Survey::of(&shared.log, shared.all_streams()))
}

/// Feeds kube-eventer's intake metrics.
struct IntakeMeter {
    reported: Instant,
    seconds_before: f64,
}

impl IntakeMeter {
    fn new() -> Self {
        Self { reported: Instant::now(), seconds_before: 0.0 }
    }

    fn report(&mut self, shared: &Shared) {
        let count: u64 = shared.watched.iter().map(|watched| watched.report.take_received()).sum();
        if count == 0 && self.reported.elapsed() < QUIET_MAX {
            return;
        }
        self.reported = Instant::now();
        // What it takes here to take events in is to write them.
        let log = shared.metrics.log();
        let seconds = log.append_seconds.get_sample_sum() + log.sync_seconds.get_sample_sum();
        let spent = Duration::try_from_secs_f64(seconds - self.seconds_before).unwrap_or_default();
        self.seconds_before = seconds;
        shared.metrics.eventer().observe_intake(count, spent);
    }
}
