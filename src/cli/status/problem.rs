//! What an operator should know first.

use jiff::{SignedDuration, Timestamp};

use crate::cli::output::{self, Tone};
use crate::relay::{
    ConfigurationStatus, FailureStatus, FullReason, GapStatus, LogStatus, LossStatus,
    RemovedSinkStatus, SinkState, SinkStatus, Status, StreamStatus,
};

/// Gaps of one stream that are written out; `-o json` has them all.
const GAPS_SHOWN: usize = 3;

/// Losses of one sink that are written out; `-o json` has them all.
const LOSSES_SHOWN: usize = 3;

/// A loss that was noticed longer ago is no longer alarming.
const LOSS_ALARMS: SignedDuration = SignedDuration::from_hours(24);

/// Something that is stuck, or was lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    /// How alarming it is.
    pub(super) tone: Tone,
    /// What, since when, why.
    pub(super) text: String,
}

fn bad(text: String) -> Problem {
    Problem { tone: Tone::Bad, text }
}

fn warning(text: String) -> Problem {
    Problem { tone: Tone::Warning, text }
}

/// All problems, the most urgent first.
pub(super) fn find(status: &Status, now: Timestamp) -> Vec<Problem> {
    let running = status.started_at.is_some();
    let mut problems = of_log(&status.log);
    problems.extend(status.configuration.iter().flat_map(|file| of_configuration(file, now)));
    for stream in &status.streams {
        if running && !stream.live {
            problems.push(not_live(stream, now));
        }
        problems.extend(gaps(stream));
    }
    for sink in &status.sinks {
        problems.extend(stuck(sink, now));
        problems.extend(losses(sink, now));
    }
    problems.extend(status.removed.iter().map(removed));
    problems.sort_by_key(|problem| std::cmp::Reverse(problem.tone));
    problems
}

fn of_log(log: &LogStatus) -> Vec<Problem> {
    let mut problems = Vec::new();
    if log.full && log.full_reason == Some(FullReason::Volume) {
        problems.push(bad(format!(
            "log: its volume is full ({} of it are the log's), intake waits; free space, enlarge the \
             volume, or help the sinks below",
            output::size(log.bytes),
        )));
    } else if log.full {
        problems.push(bad(format!(
            "log: full ({} of {}), intake waits; raise log.maxBytes, or help the sinks below",
            output::size(log.bytes),
            output::size(log.max_bytes),
        )));
    }
    if log.damaged_segments > 0 {
        problems.push(warning(format!(
            "log: {} moved aside as *.damaged; the gaps say what was in them",
            output::plural(log.damaged_segments, "damaged segment"),
        )));
    }
    problems
}

fn of_configuration(file: &ConfigurationStatus, now: Timestamp) -> Vec<Problem> {
    let refusal = file.refusal.iter().map(|refusal| {
        let since = output::since(refusal.since, now);
        let reason = &refusal.reason;
        bad(format!("configuration: {} has not been taken over for {since}: {reason}", file.path))
    });
    let waits = (!file.needs_restart.is_empty()).then(|| {
        let parts = file.needs_restart.join(", ");
        let since = "has changed since the relay started";
        warning(format!("configuration: {parts} in {} {since}; restart it for that", file.path))
    });
    refusal.chain(waits).collect()
}

fn not_live(stream: &StreamStatus, now: Timestamp) -> Problem {
    let complete = stream.complete_until.map_or_else(String::new, |time| {
        format!(", complete until {} ago", output::since(time, now))
    });
    let reason = stream.reason.as_deref().unwrap_or("no reason given yet");
    bad(format!("stream {}: not live ({}){complete}: {reason}", stream.stream, stream.phase))
}

fn gaps(stream: &StreamStatus) -> Vec<Problem> {
    let name = &stream.stream;
    let newest = stream.gaps.iter().rev().take(GAPS_SHOWN);
    let mut problems: Vec<_> = newest.map(|gap| of_gap(name, gap)).collect();
    let hidden = stream.gaps.len().saturating_sub(GAPS_SHOWN);
    if hidden > 0 {
        let more = output::plural(hidden as u64, "older gap");
        problems.push(warning(format!("stream {name}: {more}; -o json lists all")));
    }
    problems
}

fn of_gap(stream: &str, gap: &GapStatus) -> Problem {
    let from =
        gap.from_time.map_or_else(|| "the beginning".to_owned(), |time| format!("{time:.0}"));
    let after = gap.after.as_deref().unwrap_or("the first");
    warning(format!(
        "stream {stream}: events between {from} and {:.0} may be missing (resourceVersion {after} to {}): {}",
        gap.to_time, gap.until, gap.cause,
    ))
}

fn stuck(sink: &SinkStatus, now: Timestamp) -> Option<Problem> {
    let (name, waiting) = (&sink.name, waiting(sink.lag_records));
    match (sink.state, &sink.failure) {
        (SinkState::Held, Some(failure)) => Some(bad(format!(
            "sink {name}: held for {}, {waiting}, an operator must act{}: {}",
            output::since(failure.since, now),
            next(failure, now),
            failure.cause,
        ))),
        (SinkState::Held, None) => {
            Some(bad(format!("sink {name}: held, {waiting}, an operator must act")))
        }
        (SinkState::Paused, failure) => {
            let since = sink.pause.as_ref().map_or_else(String::new, |pause| {
                format!(" for {} ({})", output::since(pause.since, now), pause.by)
            });
            let before = failure.as_ref().map_or_else(String::new, |failure| {
                format!("; before that it failed: {}", failure.cause)
            });
            Some(warning(format!("sink {name}: paused by an operator{since}, {waiting}{before}")))
        }
        (_, Some(failure)) => Some(bad(format!(
            "sink {name}: nothing accepted for {}, {waiting}, {}{}: {}",
            output::since(failure.since, now),
            output::plural(failure.attempts, "attempt"),
            next(failure, now),
            failure.cause,
        ))),
        (_, None) => None,
    }
}

fn removed(sink: &RemovedSinkStatus) -> Problem {
    let RemovedSinkStatus { name, dead_letters, cursors } = sink;
    let letters =
        (*dead_letters > 0).then(|| output::plural(*dead_letters, "dead letter")).into_iter();
    let cursor = (!cursors.is_empty()).then(|| "its cursor".to_owned()).into_iter();
    let kept = cursor.chain(letters).collect::<Vec<_>>().join(" and ");
    let remedies = [
        (!cursors.is_empty()).then(|| format!("`cursor forget {name}`")),
        (*dead_letters > 0).then(|| format!("`dead-letter discard {name} --all`")),
    ];
    let remedies = remedies.into_iter().flatten().collect::<Vec<_>>().join(" and ");
    warning(format!(
        "sink {name}: not configured any more, {kept} kept; put it back, or give it up with {remedies}"
    ))
}

fn waiting(records: u64) -> String {
    format!("{} wait{}", output::plural(records, "record"), if records == 1 { "s" } else { "" })
}

fn next(failure: &FailureStatus, now: Timestamp) -> String {
    match failure.next_attempt_at {
        None => String::new(),
        Some(at) if at <= now => ", trying now".to_owned(),
        Some(at) => format!(", next in {}", output::since(now, at)),
    }
}

/// What a sink has lost, the newest first, and what it has refused.
fn losses(sink: &SinkStatus, now: Timestamp) -> Vec<Problem> {
    let name = &sink.name;
    let mut newest: Vec<_> = sink.losses.iter().collect();
    newest.sort_by_key(|loss| std::cmp::Reverse(loss.to_time));
    let shown = newest.iter().take(LOSSES_SHOWN);
    let mut problems: Vec<_> = shown.map(|loss| of_loss(name, loss, now)).collect();
    if let Some(hidden @ [_, ..]) = newest.get(LOSSES_SHOWN..) {
        let ranges = output::plural(hidden.len() as u64, "older range");
        let records: u64 = hidden.iter().map(|loss| loss.records).sum();
        let records = output::plural(records, "record");
        problems
            .push(warning(format!("sink {name}: {records} lost in {ranges}; -o json lists all")));
    }
    if sink.dead_letters > 0 {
        problems.push(warning(format!(
            "sink {name}: {}, which it refused for good",
            output::plural(sink.dead_letters, "dead letter"),
        )));
    }
    problems
}

fn of_loss(sink: &str, loss: &LossStatus, now: Timestamp) -> Problem {
    let text = format!(
        "sink {sink}: {} lost between {:.0} and {:.0}, never to be delivered (stream {}, {} to {}): {}",
        output::plural(loss.records, "record"),
        loss.from_time,
        loss.to_time,
        loss.stream,
        loss.after.as_deref().unwrap_or("the first"),
        loss.until.as_deref().unwrap_or("the last"),
        loss.cause,
    );
    if now.duration_since(loss.to_time) < LOSS_ALARMS { bad(text) } else { warning(text) }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn an_old_loss_is_shown_and_no_longer_alarming() {
        let mut status = fixture::troubled();
        let sink = status.sinks.pop().expect("a sink");
        let tones = |now| losses(&sink, now).iter().map(|loss| loss.tone).collect::<Vec<_>>();
        assert_eq!(tones(fixture::now())[..3], [Tone::Bad; 3]);
        let next_day = fixture::now() + SignedDuration::from_hours(24);
        assert_eq!(tones(next_day)[..3], [Tone::Warning; 3]);
    }
}
