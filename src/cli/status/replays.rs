//! Replays as text.

use jiff::Timestamp;

use crate::cli::output::{self, Palette, Table, Tone};
use crate::relay::{ReplayState, ReplayStatus, Status};

/// What is being sent again; empty when nothing is.
pub(super) fn section(status: &Status, now: Timestamp, palette: Palette) -> Option<String> {
    let all = status.sinks.iter().flat_map(|sink| &sink.replays);
    let open: Vec<_> = all.filter(|replay| !replay.state.has_ended()).cloned().collect();
    (!open.is_empty()).then(|| table(&open, now, palette))
}

/// Replays, each on a line.
pub(in crate::cli) fn table(replays: &[ReplayStatus], now: Timestamp, palette: Palette) -> String {
    let mut table = Table::new(&[
        "REPLAY", "SINK", "STATE", ">DONE", ">RECORDS", ">LOST", "RATE", ">LEFT", ">ASKED",
        ">ENDED",
    ]);
    for replay in replays {
        table.row(
            tone(replay),
            [
                replay.number.to_string(),
                replay.sink.clone(),
                word(replay.state).to_owned(),
                output::count(replay.done),
                output::count(replay.total),
                output::count(replay.lost),
                replay.rate.to_string(),
                left(replay),
                output::ago(Some(replay.asked_at), now),
                output::ago(replay.ended_at, now),
            ],
        );
    }
    let failing = replays.iter().filter_map(|replay| {
        let failure = replay.failure.as_ref()?;
        let since = output::since(failure.since, now);
        let line = format!("replay {}: failing for {since}: {}", replay.number, failure.cause);
        Some(palette.paint(Tone::Bad, &output::one_line(&line)) + "\n")
    });
    table.render(palette) + &failing.collect::<String>()
}

fn tone(replay: &ReplayStatus) -> Tone {
    match replay.state {
        ReplayState::Held | ReplayState::Retrying => Tone::Bad,
        _ if replay.lost > 0 => Tone::Bad,
        ReplayState::Paused | ReplayState::Yielding => Tone::Warning,
        _ => Tone::Plain,
    }
}

/// How long it takes at least.
fn left(replay: &ReplayStatus) -> String {
    if replay.state.has_ended() {
        return "-".to_owned();
    }
    output::duration(replay.rate.duration_of(replay.total.saturating_sub(replay.done)))
}

/// The state in one word.
pub(in crate::cli) fn word(state: ReplayState) -> &'static str {
    match state {
        ReplayState::Waiting => "waiting",
        ReplayState::Running => "running",
        ReplayState::Yielding => "yielding",
        ReplayState::Retrying => "retrying",
        ReplayState::Throttled => "throttled",
        ReplayState::Held => "HELD",
        ReplayState::Paused => "paused",
        ReplayState::Done => "done",
        ReplayState::Cancelled => "cancelled",
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;
    use crate::relay::ReplayedRange;

    fn replay(number: u64, state: ReplayState) -> ReplayStatus {
        let range = ReplayedRange {
            stream: "all-namespaces".into(),
            after: Some("1.100".into()),
            until: Some("1.1300".into()),
        };
        let ended = state.has_ended();
        ReplayStatus {
            number,
            sink: "oncall".into(),
            state,
            ranges: vec![range],
            filter: crate::event::Match::default(),
            rate: "20/s".parse().expect("a rate"),
            done: if ended { 1_200 } else { 400 },
            total: 1_200,
            lost: 0,
            failure: None,
            asked_at: fixture::now() - std::time::Duration::from_secs(90),
            asked_by: "127.0.0.1:4711".into(),
            ended_at: ended.then(fixture::now),
        }
    }

    #[test]
    fn what_is_sent_again_is_shown_line_by_line() {
        let all = [replay(7, ReplayState::Done), replay(8, ReplayState::Running)];
        let expected = "\
REPLAY  SINK    STATE     DONE  RECORDS  LOST  RATE  LEFT       ASKED   ENDED
7       oncall  done     1,200    1,200     0  20/s     -  1m 30s ago  0s ago
8       oncall  running    400    1,200     0  20/s   40s  1m 30s ago       -
";
        assert_eq!(table(&all, fixture::now(), Palette::plain()), expected);
    }

    #[test]
    fn why_a_replay_does_not_get_on_is_said() {
        let mut failing = replay(9, ReplayState::Retrying);
        failing.failure = fixture::troubled().sinks[0].failure.clone();
        let text = table(&[failing], fixture::now(), Palette::plain());
        assert!(text.ends_with("replay 9: failing for 2h 13m: connection refused\n"), "{text}");
    }

    #[test]
    fn a_status_shows_what_has_not_ended() {
        let mut status = fixture::healthy();
        assert_eq!(section(&status, fixture::now(), Palette::plain()), None);
        status.sinks[0].replays = vec![replay(7, ReplayState::Done)];
        assert_eq!(section(&status, fixture::now(), Palette::plain()), None);
        status.sinks[0].replays.push(replay(8, ReplayState::Waiting));
        let text = section(&status, fixture::now(), Palette::plain()).expect("one");
        assert!(text.contains("waiting") && !text.contains("done "), "{text}");
    }
}
