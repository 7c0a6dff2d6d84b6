//! Removing what is not needed any more, and what the policy gives up when the log is full.
//!
//! Invariant: what is removed before a sink had it is reported for that sink, durably, before it is gone.

mod levels;
mod plan;

use jiff::Timestamp;
pub(crate) use levels::Levels;
use plan::{Plan, Reach, Situation, StreamView, plan};

use super::report::SinkReport;
use super::shared::Shared;
use super::status::FullReason;
use super::survey::{StreamSurvey, Survey};
use crate::cursor::{Place, State};
use crate::log::{SegmentInfo, Stream};

/// Removes segments, and opens or closes intake, as the log is found to be.
pub(crate) async fn act(shared: &Shared, survey: &Survey) {
    let views: Vec<_> = survey.streams.iter().map(|found| view(shared, found)).collect();
    let bound = Levels::of(shared.limits.max_bytes.0);
    let situation = Situation {
        now: Timestamp::now(),
        retain: shared.limits.retain.0,
        bytes: survey.bytes,
        levels: bound.on_volume(survey.bytes, survey.free),
        when_full: shared.limits.when_full,
        intake_open: !shared.is_intake_closed(),
    };
    let Plan { segments, intake_open } = plan(&situation, &views);
    for ((stream, found), count) in shared.all_streams().zip(&survey.streams).zip(segments) {
        trim(shared, stream, &found.segments[..count]).await;
    }
    let reason = || {
        if situation.levels == bound { FullReason::MaxBytes } else { FullReason::Volume }
    };
    set_intake(shared, (!intake_open).then(reason), survey.bytes);
}

fn view<'a>(shared: &Shared, found: &'a StreamSurvey) -> StreamView<'a> {
    let reach = |report: &SinkReport| {
        let cursor = shared.state.durable_cursor(report.name(), &found.id);
        cursor.and_then(|cursor| cursor.position).map_or(Reach::Nothing, Reach::UpTo)
    };
    let slowest = |reports: &mut dyn Iterator<Item = &SinkReport>| {
        reports.map(reach).min().unwrap_or(Reach::Everything)
    };
    let reports = shared.sinks();
    let sinks = || reports.iter().map(AsRef::as_ref);
    // What a replay has yet to read is held as for a required sink.
    let names: Vec<_> = reports.iter().map(|report| report.name()).collect();
    let replays = shared.state.replays_in(&names, &found.id).into_iter();
    let replays = replays.map(|place| place.map_or(Reach::Nothing, Reach::UpTo)).min();
    let replays = replays.unwrap_or(Reach::Everything);
    StreamView {
        segments: &found.segments,
        by_all: slowest(&mut sinks()).min(replays.clone()),
        by_required: slowest(&mut sinks().filter(|report| report.identity.required)).min(replays),
    }
}

async fn trim(shared: &Shared, stream: &Stream, segments: &[SegmentInfo]) {
    let Some((last, through)) = segments.last().and_then(|last| Some((last, last.last.as_ref()?)))
    else {
        return;
    };
    let end = Place { position: Some(through.clone()), sequence: last.end_sequence };
    shared.sinks().iter().for_each(|sink| report_lost(&shared.state, sink, stream, &end));
    // A loss is durable before its records are gone: a crash in between reports what is still there,
    // which an operator can live with. The other way round it would take records without a word.
    if shared.state.has_volatile_losses()
        && let Err(error) = shared.state.sync().await
    {
        tracing::warn!(
            stream = %stream.id(), %error,
            "segments stay until it is durable that sinks have lost them"
        );
        return;
    }
    match stream.trim(through).await {
        Ok(trimmed) => tracing::debug!(
            stream = %stream.id(), %through, segments = trimmed.segments,
            bytes = trimmed.bytes, "segments removed"
        ),
        // Nothing is lost by it; the next look tries again.
        Err(error) => tracing::warn!(stream = %stream.id(), %error, "segments cannot be removed"),
    }
}

/// Reports the records up to `end` that a sink has neither passed nor read into memory. Those in memory
/// may still reach it; if they do not, the next start finds them missing.
fn report_lost(state: &State, sink: &SinkReport, stream: &Stream, end: &Place) {
    if let Some(loss) = sink.lane(stream.id()).and_then(|lane| lane.remove(end.clone())) {
        sink.tell_lost(stream.id(), &loss);
        state.lose(sink.name(), stream.id(), loss);
    }
}

fn set_intake(shared: &Shared, full: Option<FullReason>, bytes: u64) {
    if shared.set_full(full) == full {
        return;
    }
    shared.log.set_intake(full.is_none());
    let max_bytes = shared.limits.max_bytes.0;
    match full {
        None => tracing::info!("there is room in the log again; intake goes on"),
        Some(FullReason::MaxBytes) => tracing::warn!(
            bytes,
            max_bytes,
            "the log is full of records that sinks have not received; intake waits for them"
        ),
        Some(FullReason::Volume) => tracing::warn!(
            bytes,
            max_bytes,
            "the volume is full, and the log holds records that sinks have not received; intake waits \
             for room"
        ),
    }
}
