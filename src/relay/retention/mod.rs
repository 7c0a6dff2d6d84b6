//! Removing what is not needed any more, and what the policy gives up when the log is full.
//!
//! Invariant: every record removed before a sink had it is counted for that sink and said in the log.

mod levels;
mod plan;

use jiff::Timestamp;
pub(crate) use levels::Levels;
use plan::{Plan, Reach, Situation, StreamView, plan};

use super::report::SinkReport;
use super::shared::Shared;
use super::survey::{StreamSurvey, Survey};
use crate::log::{SegmentInfo, Stream};

/// Removes segments, and opens or closes intake, as the log is found to be.
pub(crate) async fn act(shared: &Shared, survey: &Survey) {
    let views: Vec<_> = survey.streams.iter().map(|found| view(shared, found)).collect();
    let situation = Situation {
        now: Timestamp::now(),
        retain: shared.limits.retain.0,
        bytes: survey.bytes,
        levels: Levels::of(shared.limits.max_bytes.0),
        when_full: shared.limits.when_full,
        intake_open: !shared.is_full(),
    };
    let Plan { segments, intake_open } = plan(&situation, &views);
    for ((stream, found), count) in shared.all_streams().zip(&survey.streams).zip(segments) {
        trim(shared, stream, &found.segments[..count]).await;
    }
    set_intake(shared, intake_open, survey.bytes);
}

fn view<'a>(shared: &Shared, found: &'a StreamSurvey) -> StreamView<'a> {
    let reach = |report: &SinkReport| {
        let cursor = shared.state.durable_cursor(report.name(), &found.id);
        cursor.and_then(|cursor| cursor.position).map_or(Reach::Nothing, Reach::UpTo)
    };
    let slowest = |reports: &mut dyn Iterator<Item = &SinkReport>| {
        reports.map(reach).min().unwrap_or(Reach::Everything)
    };
    let sinks = || shared.sinks.iter().map(AsRef::as_ref);
    StreamView {
        segments: &found.segments,
        by_all: slowest(&mut sinks()),
        by_required: slowest(&mut sinks().filter(|report| report.identity.required)),
    }
}

async fn trim(shared: &Shared, stream: &Stream, segments: &[SegmentInfo]) {
    let Some((last, through)) = segments.last().and_then(|last| Some((last, last.last.as_ref()?)))
    else {
        return;
    };
    match stream.trim(through).await {
        Ok(trimmed) => {
            tracing::debug!(
                stream = %stream.id(), %through, segments = trimmed.segments,
                bytes = trimmed.bytes, "segments removed"
            );
            shared.sinks.iter().for_each(|sink| count_lost(sink, stream, last.end_sequence));
        }
        // Nothing is lost by it; the next look tries again.
        Err(error) => tracing::warn!(stream = %stream.id(), %error, "segments cannot be removed"),
    }
}

/// Counts the removed records that a sink has neither passed nor read into memory.
fn count_lost(sink: &SinkReport, stream: &Stream, removed: u64) {
    let lost = sink.lane(stream.id()).map_or(0, |lane| lane.remove(removed));
    if lost > 0 {
        sink.metrics.lost.inc_by(lost);
        tracing::warn!(
            sink = sink.name(), stream = %stream.id(), records = lost,
            "the log was full: records were dropped before the sink had received them"
        );
    }
}

fn set_intake(shared: &Shared, open: bool, bytes: u64) {
    if shared.set_full(!open) != open {
        return;
    }
    shared.log.set_intake(open);
    if open {
        tracing::info!("there is room in the log again; intake goes on");
    } else {
        tracing::warn!(
            bytes,
            max_bytes = shared.limits.max_bytes.0,
            "the log is full of records that sinks have not received; intake waits for them"
        );
    }
}
