//! Building [`Status`] and the gauges from what the parts say.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;

use super::observer::{PhaseReport, StreamReport};
use super::replay;
use super::report::SinkReport;
use super::shared::Shared;
use super::status::{
    CursorStatus, GapStatus, LogStatus, LossStatus, PauseStatus, RemovedSinkStatus, SinkStatus,
    Status, StreamStatus, VerifyStatus,
};
use super::survey::{StreamSurvey, Survey};
use crate::cursor::{Loss, State};
use crate::event::StreamId;
use crate::log::Gap;
use crate::telemetry::Metrics;

/// The whole relay now. Blocking for a few milliseconds.
pub(crate) fn overview(shared: &Shared) -> Status {
    let survey = Survey::of(&shared.log, shared.all_streams());
    let watched = shared.watched.iter().zip(&survey.streams);
    let full_reason = shared.full_reason();
    // Looked at once: a sink is either there or removed.
    let sinks = shared.sinks();
    Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        cluster: shared.cluster.clone(),
        started_at: Some(shared.started_at),
        configuration: shared.configuration(),
        log: LogStatus {
            max_bytes: shared.limits.max_bytes.0,
            full: full_reason.is_some(),
            full_reason,
            verifying: shared
                .verify_progress
                .get()
                .map(|(segments_read, segments)| VerifyStatus { segments_read, segments }),
            ..log_status(shared.directory.path(), &shared.metrics, &survey)
        },
        streams: watched
            .map(|(watched, found)| live_stream(&shared.state, &watched.report, found))
            .collect(),
        sinks: sinks.iter().map(|sink| live_sink(&shared.state, sink, &survey.streams)).collect(),
        removed: removed(&shared.state, &sinks, &survey.streams),
    }
}

/// Brings the gauges up to date.
pub(crate) fn refresh_gauges(shared: &Shared, survey: &Survey) {
    let now = Timestamp::now();
    for sink in shared.sinks() {
        let lag =
            |found: &StreamSurvey| found.lag(shared.state.cursor(sink.name(), &found.id).as_ref());
        sink.metrics.lag_records.set(saturating(survey.streams.iter().map(lag).sum()));
        sink.metrics.lag_seconds.set(sink.lag_seconds(now));
        let remaining = replay::remaining(&shared.state, sink.name());
        sink.metrics.replay_remaining.set(saturating(remaining));
        let letters = shared.state.letter_tally(sink.name());
        sink.metrics.dead_letters.set(saturating(letters.records));
        sink.metrics.dead_letter_bytes.set(saturating(letters.bytes));
    }
    let log = shared.metrics.log();
    log.bytes.set(saturating(survey.bytes));
    log.records.set(saturating(survey.streams.iter().map(StreamSurvey::held).sum()));
    log.max_bytes.set(saturating(shared.limits.max_bytes.0));
    log.full.set(i64::from(shared.full_reason().is_some()));
}

/// What is on disk.
pub(crate) fn log_status(
    directory: &std::path::Path,
    metrics: &Metrics,
    survey: &Survey,
) -> LogStatus {
    LogStatus {
        directory: directory.display().to_string(),
        bytes: survey.bytes,
        max_bytes: 0,
        segments: survey.streams.iter().map(|found| found.segments.len() as u64).sum(),
        records: survey.streams.iter().map(StreamSurvey::held).sum(),
        damaged_segments: metrics.log().damaged_segments.get(),
        full: false,
        full_reason: None,
        verifying: None,
    }
}

/// What log and state say about a stream; the rest is as `phase` has it.
pub(crate) fn stream_status(
    state: &State,
    found: &StreamSurvey,
    phase: PhaseReport,
) -> StreamStatus {
    let frontier = found.frontier.as_ref();
    let position = frontier.map(|frontier| &frontier.position);
    StreamStatus {
        stream: found.id.to_string(),
        live: phase.live,
        phase: phase.name,
        reason: phase.reason,
        generation: position.map_or(0, |position| position.generation.0),
        frontier: position.map(|position| position.resource_version.to_string()),
        records: frontier.map_or(0, |frontier| frontier.sequence),
        last_record_at: None,
        complete_until: state.complete_until(&found.id),
        relists: 0,
        gaps: state.gaps(&found.id).into_iter().map(gap_status).collect(),
    }
}

/// A sink's place in every stream in which it has one.
pub(crate) fn cursors(state: &State, sink: &str, streams: &[StreamSurvey]) -> Vec<CursorStatus> {
    let status = |found: &StreamSurvey| {
        let cursor = state.cursor(sink, &found.id)?;
        let position = cursor.position.as_ref();
        Some(CursorStatus {
            sink: sink.to_owned(),
            stream: found.id.to_string(),
            generation: position.map(|position| position.generation.0),
            resource_version: position.map(|position| position.resource_version.to_string()),
            lag_records: found.lag(Some(&cursor)),
            updated_at: Some(cursor.updated_at),
        })
    };
    streams.iter().filter_map(status).collect()
}

fn live_stream(state: &State, report: &StreamReport, found: &StreamSurvey) -> StreamStatus {
    StreamStatus {
        last_record_at: report.last_record_at(),
        relists: report.relists(),
        ..stream_status(state, found, report.phase())
    }
}

fn live_sink(state: &State, report: &SinkReport, streams: &[StreamSurvey]) -> SinkStatus {
    let cursors = cursors(state, report.name(), streams);
    let recorded = |found: &StreamSurvey| {
        let losses = state.losses(report.name(), &found.id).into_iter();
        losses.map(|loss| loss_status(&found.id, loss)).collect::<Vec<_>>()
    };
    let losses: Vec<_> = streams.iter().flat_map(recorded).collect();
    SinkStatus {
        name: report.name().to_owned(),
        kind: report.identity.kind.to_owned(),
        state: report.state(),
        required: report.identity.required,
        lag_records: cursors.iter().map(|cursor| cursor.lag_records).sum(),
        lag_seconds: report.lag_seconds(Timestamp::now()),
        delivered: report.metrics.delivered.get(),
        retried: report.metrics.retried.get(),
        filtered: report.metrics.filtered.get(),
        dead_letters: state.dead_letter_count(report.name()),
        lost: losses.iter().map(|loss| loss.records).sum(),
        losses,
        grouped: state.grouped(report.name()),
        throttled_until: report.throttled_until(),
        pause: pause(state, report.name()),
        failure: report.failure(),
        cursors,
        replays: replay::statuses(state, report.name(), Some(report)),
    }
}

/// Sinks of which something is kept although they are not configured any more.
fn removed(
    state: &State,
    configured: &[Arc<SinkReport>],
    streams: &[StreamSurvey],
) -> Vec<RemovedSinkStatus> {
    let is_there = |name: &String| configured.iter().any(|sink| sink.name() == name);
    let names = known_sinks(state).into_iter().filter(|name| !is_there(name));
    let status = |name: String| RemovedSinkStatus {
        dead_letters: state.dead_letter_count(&name),
        cursors: cursors(state, &name, streams),
        name,
    };
    names.map(status).collect()
}

/// All sinks of which something is kept.
pub(crate) fn known_sinks(state: &State) -> BTreeSet<String> {
    let with_cursors = state.cursors().into_iter().map(|(sink, ..)| sink);
    with_cursors.chain(state.sinks_with_letters()).collect()
}

/// Who has paused a sink, if it is paused and that is still known.
pub(crate) fn pause(state: &State, sink: &str) -> Option<PauseStatus> {
    let entry = state.is_paused(sink).then(|| state.last_change("cursor pause", sink))??;
    Some(PauseStatus { since: entry.at, by: entry.from })
}

/// A loss as it is shown.
pub(crate) fn loss_status(stream: &StreamId, loss: Loss) -> LossStatus {
    LossStatus {
        stream: stream.to_string(),
        after: loss.after.position.map(|position| position.to_string()),
        until: loss.until.position.map(|position| position.to_string()),
        records: loss.records,
        from_time: loss.from_time,
        to_time: loss.to_time,
        cause: loss.cause.to_string(),
    }
}

fn gap_status(gap: Gap) -> GapStatus {
    GapStatus {
        after: gap.after.map(|position| position.to_string()),
        until: gap.until.to_string(),
        from_time: gap.from_time,
        to_time: gap.to_time,
        cause: gap.cause,
    }
}

fn saturating(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
