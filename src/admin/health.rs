//! Judgements about a relay's health, as pure functions.

use std::fmt::Write;
use std::time::Duration;

use jiff::Timestamp;

use crate::relay::{FullReason, Status, StreamStatus};
use crate::setting::Span;

/// kube-eventer's limit: six of its rounds.
const STALL: Duration = Duration::from_secs(3 * 60);

/// Why the streams make no progress, if one makes none: it brought its last record, and its
/// completeness was last proved, more than three minutes ago. The first words are kube-eventer's.
///
/// A full log is no reason to be restarted: intake goes on as soon as there is room.
pub(super) fn stalled(status: &Status, now: Timestamp) -> Option<String> {
    if status.log.full {
        return None;
    }
    let mut stalled =
        status.streams.iter().filter_map(|stream| Some((stream, idle(stream, status, now)?)));
    let (stream, idle) = stalled.find(|(_, idle)| *idle > STALL)?;
    let reason = stream.reason.as_deref().unwrap_or("no reason is known");
    Some(format!(
        "No event batch within 3m0s: stream {} ({}) last made progress {} ago: {reason}",
        stream.stream,
        stream.phase,
        Span::from_secs(idle.as_secs()),
    ))
}

/// How long ago a stream was last known to be complete or brought a record; a relay that has just
/// started is given the time since then.
fn idle(stream: &StreamStatus, status: &Status, now: Timestamp) -> Option<Duration> {
    let last = stream.complete_until.max(stream.last_record_at).max(status.started_at)?;
    // A negative duration is a clock that was set back: nothing is known to be late.
    Some(Duration::try_from(now.duration_since(last)).unwrap_or_default())
}

/// One line per check and a verdict, in the form of the Kubernetes API server's `/readyz?verbose`.
pub(super) fn checks(status: &Status, ready: &Result<(), String>) -> String {
    let mut text = String::new();
    let log = match (status.log.full, status.log.full_reason) {
        (false, _) => Ok(()),
        (true, Some(FullReason::Volume)) => Err("the volume is full, intake waits"),
        (true, _) => Err("full, intake waits"),
    };
    check(&mut text, "log", log);
    for stream in &status.streams {
        let reason = stream.reason.as_deref().unwrap_or(&stream.phase);
        let live = if stream.live { Ok(()) } else { Err(reason) };
        check(&mut text, &format!("stream {}", stream.stream), live);
    }
    match ready {
        Ok(()) => text.push_str("ready\n"),
        Err(reasons) => {
            text.push_str("not ready:\n");
            text.push_str(reasons.trim_end());
            text.push('\n');
        }
    }
    text
}

fn check(text: &mut String, name: &str, outcome: Result<(), &str>) {
    // Writing to a string cannot fail.
    let _written = match outcome {
        Ok(()) => writeln!(text, "[+] {name}: ok"),
        Err(reason) => writeln!(text, "[-] {name}: {reason}"),
    };
}

#[cfg(test)]
mod tests {
    use super::super::server::fixture::status;
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    fn a_stream_that_was_complete_recently_makes_progress() {
        let status = status();
        assert_eq!(stalled(&status, at("2026-01-02T12:02:59Z")), None);
        assert_eq!(stalled(&status, at("2026-01-02T12:03:00Z")), None);
        assert_eq!(stalled(&status, at("2026-01-02T11:00:00Z")), None, "a clock set back");
    }

    #[test]
    fn a_stream_that_was_not_is_named_with_its_reason() {
        let mut status = status();
        status.streams[0].phase = "connecting".into();
        status.streams[0].reason = Some("connection refused".into());
        assert_eq!(
            stalled(&status, at("2026-01-02T12:04:05Z")).expect("stalled"),
            "No event batch within 3m0s: stream all-namespaces (connecting) last made \
             progress 4m5s ago: connection refused"
        );
    }

    #[test]
    fn a_stream_that_waits_for_room_in_the_log_is_not_stalled() {
        let mut status = status();
        status.log.full = true;
        assert_eq!(stalled(&status, at("2026-01-02T15:00:00Z")), None);
    }

    #[test]
    fn a_record_is_progress_too() {
        let mut status = status();
        status.streams[0].last_record_at = Some(at("2026-01-02T12:30:00Z"));
        assert_eq!(stalled(&status, at("2026-01-02T12:32:00Z")), None);
        assert!(stalled(&status, at("2026-01-02T12:34:00Z")).is_some());
    }

    #[test]
    fn a_relay_that_has_just_started_is_given_time() {
        let mut status = status();
        status.streams[0].complete_until = Some(at("2026-01-01T00:00:00Z"));
        status.started_at = Some(at("2026-01-02T12:00:00Z"));
        assert_eq!(stalled(&status, at("2026-01-02T12:02:00Z")), None);
        assert!(stalled(&status, at("2026-01-02T12:04:00Z")).is_some());
        status.streams[0].complete_until = None;
        assert!(stalled(&status, at("2026-01-02T12:04:00Z")).is_some());
    }

    #[test]
    fn every_check_is_listed() {
        let mut status = status();
        assert_eq!(checks(&status, &Ok(())), "[+] log: ok\n[+] stream all-namespaces: ok\nready\n");
        status.log.full = true;
        status.streams[0].live = false;
        status.streams[0].reason = Some("403: grant list and watch on events".into());
        assert_eq!(
            checks(&status, &Err("the log is full".into())),
            "[-] log: full, intake waits\n\
             [-] stream all-namespaces: 403: grant list and watch on events\n\
             not ready:\nthe log is full\n"
        );
        status.log.full_reason = Some(FullReason::Volume);
        let text = checks(&status, &Ok(()));
        assert!(text.starts_with("[-] log: the volume is full, intake waits\n"), "{text}");
    }
}
