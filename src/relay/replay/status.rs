//! Replays as an operator sees them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cursor::{Replay, ReplayRange, State};
use crate::event::Match;
use crate::relay::report::SinkReport;
use crate::relay::status::{FailureStatus, SinkState};
use crate::setting::RecordRate;

/// A replay: what of the log is sent to a sink again, and how far that is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplayStatus {
    /// Its number.
    pub number: u64,
    /// The sink.
    pub sink: String,
    /// What it is doing.
    pub state: ReplayState,
    /// What of each stream.
    pub ranges: Vec<ReplayedRange>,
    /// Which of the records in it, of those that the sink wants.
    #[serde(default, rename = "match", skip_serializing_if = "matches_everything")]
    #[schemars(with = "BTreeMap<String, serde_json::Value>")]
    pub filter: Match,
    /// How fast at most: `20/s`.
    pub rate: RecordRate,
    /// Records of its ranges that it has passed: accepted, excluded by a filter, kept as dead letters, or lost.
    pub done: u64,
    /// Records of its ranges, before filtering.
    pub total: u64,
    /// Records of its ranges that were not in the log any more when it came to them.
    pub lost: u64,
    /// The failure it is recovering from.
    pub failure: Option<FailureStatus>,
    /// When it was asked for.
    pub asked_at: Timestamp,
    /// Who asked for it: an address, or a user.
    pub asked_by: String,
    /// When it ended, if it has.
    pub ended_at: Option<Timestamp>,
}

/// A half-open range of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplayedRange {
    /// The stream.
    pub stream: String,
    /// Its records lie behind this position, `generation.resourceVersion`; absent: the beginning.
    pub after: Option<String>,
    /// The last of them lies here or before.
    pub until: Option<String>,
}

/// What a replay is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReplayState {
    /// Another one of the sink is before it, or the relay does not run.
    Waiting,
    /// Sending.
    Running,
    /// Waiting for the live stream of the sink, which is hindered itself.
    Yielding,
    /// Waiting to try again after a failure.
    Retrying,
    /// Waiting for the rate limit of the service.
    Throttled,
    /// Waiting for an operator.
    Held,
    /// The sink is paused.
    Paused,
    /// All of it was passed.
    Done,
    /// Ended by an operator.
    Cancelled,
}

impl ReplayState {
    /// Whether nothing more comes of it.
    #[must_use]
    pub fn has_ended(self) -> bool {
        matches!(self, Self::Done | Self::Cancelled)
    }
}

/// The replays of a sink, oldest first. Without an account of the sink: it does not run.
pub(crate) fn statuses(
    state: &State,
    sink: &str,
    report: Option<&SinkReport>,
) -> Vec<ReplayStatus> {
    let replays = state.replays().into_iter().filter(|(_, replay)| replay.sink == sink);
    replays.map(|(number, replay)| status(state, number, replay, report)).collect()
}

/// Records that the replays of a sink have yet to pass.
pub(crate) fn remaining(state: &State, sink: &str) -> u64 {
    let replays = state.replays().into_iter();
    let open = replays.filter(|(_, replay)| replay.sink == sink && replay.end.is_none());
    open.map(|(number, replay)| replay.total().saturating_sub(state.replayed(number))).sum()
}

fn status(state: &State, number: u64, replay: Replay, report: Option<&SinkReport>) -> ReplayStatus {
    let doing = match (&replay.end, report) {
        (Some(end), _) if end.cancelled => ReplayState::Cancelled,
        (Some(_), _) => ReplayState::Done,
        (None, Some(report)) => doing(number, report),
        (None, None) => ReplayState::Waiting,
    };
    let beside = report.and_then(SinkReport::beside).filter(|(beside, _)| *beside == number);
    ReplayStatus {
        number,
        state: doing,
        done: state.replayed(number),
        total: replay.total(),
        ranges: replay.ranges.iter().map(range_status).collect(),
        sink: replay.sink,
        filter: replay.filter,
        rate: replay.rate,
        lost: replay.lost,
        failure: beside.and_then(|(_, report)| report.failure()),
        asked_at: replay.asked_at,
        asked_by: replay.asked_by,
        ended_at: replay.end.map(|end| end.at),
    }
}

/// What a replay that has not ended is doing.
fn doing(number: u64, live: &SinkReport) -> ReplayState {
    if live.state() == SinkState::Paused {
        return ReplayState::Paused;
    }
    let Some((_, report)) = live.beside().filter(|(beside, _)| *beside == number) else {
        return ReplayState::Waiting;
    };
    match report.state() {
        SinkState::Retrying => ReplayState::Retrying,
        SinkState::Throttled => ReplayState::Throttled,
        SinkState::Held => ReplayState::Held,
        _ if live.is_hindered() => ReplayState::Yielding,
        _ => ReplayState::Running,
    }
}

fn range_status(range: &ReplayRange) -> ReplayedRange {
    let text = |place: &crate::cursor::Place| place.position.as_ref().map(ToString::to_string);
    ReplayedRange {
        stream: range.stream.to_string(),
        after: text(&range.after),
        until: text(&range.until),
    }
}

fn matches_everything(filter: &Match) -> bool {
    *filter == Match::default()
}
