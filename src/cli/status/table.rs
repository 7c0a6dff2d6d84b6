//! The status as text.

use std::time::Duration;

use jiff::Timestamp;

use super::{problem, replays};
use crate::cli::output::{self, Palette, Table, Tone};
use crate::relay::{LogStatus, SinkState, SinkStatus, Status, StreamStatus};

/// The whole page: what it is, what is wrong, then the figures.
pub(super) fn render(status: &Status, now: Timestamp, palette: Palette) -> String {
    let parts = [
        heading(status, now),
        verdict(status, now, palette),
        streams(status, now, palette),
        sinks(status, now, palette),
    ];
    let parts = parts.into_iter().chain(replays::section(status, now, palette));
    parts.collect::<Vec<_>>().join("\n")
}

fn heading(status: &Status, now: Timestamp) -> String {
    let log = &status.log;
    let state = status
        .started_at
        .map_or_else(|| "stopped".to_owned(), |time| format!("up {}", output::since(time, now)));
    // A stopped relay's directory does not know the name of the cluster.
    let cluster = if status.cluster.is_empty() { "-" } else { &status.cluster };
    format!(
        "relay   {cluster}, version {}, {state}\nlog     {}, {}, {}\n",
        status.version,
        output::plural(log.records, "record"),
        usage(log),
        log.directory,
    )
}

/// `1.1 GiB of 2.0 GiB (55%)`; a stopped relay's directory does not know its bound.
fn usage(log: &LogStatus) -> String {
    let used = output::size(log.bytes);
    let percent = (u128::from(log.bytes) * 100).checked_div(u128::from(log.max_bytes));
    percent.map_or_else(
        || used.clone(),
        |percent| format!("{used} of {} ({percent}%)", output::size(log.max_bytes)),
    )
}

fn verdict(status: &Status, now: Timestamp, palette: Palette) -> String {
    let problems = problem::find(status, now);
    if !problems.is_empty() {
        let lines = problems.iter().map(|problem| {
            let mark = if problem.tone == Tone::Bad { "!!" } else { " !" };
            let line = format!("{mark} {}", output::one_line(&problem.text));
            palette.paint(problem.tone, &line) + "\n"
        });
        return lines.collect();
    }
    let behind: u64 = status.sinks.iter().map(|sink| sink.lag_records + sink.grouped).sum();
    let line = match (status.started_at.is_some(), behind) {
        (true, 0) => "ok: every stream is live, everything received has been delivered",
        (true, _) => "ok: every stream is live, nothing is stuck",
        (false, 0) => "ok: everything received has been delivered",
        (false, _) => "ok: nothing is stuck; what waits is delivered when the relay runs",
    };
    palette.paint(Tone::Good, line) + "\n"
}

fn streams(status: &Status, now: Timestamp, palette: Palette) -> String {
    let mut table = Table::new(&[
        "STREAM",
        "STATE",
        "FRONTIER",
        ">RECORDS",
        ">LAST RECORD",
        ">COMPLETE UNTIL",
        ">RELISTS",
        ">GAPS",
    ]);
    for stream in &status.streams {
        let tone = match (status.started_at, stream.live) {
            (Some(_), false) => Tone::Bad,
            _ if !stream.gaps.is_empty() => Tone::Warning,
            _ => Tone::Plain,
        };
        table.row(
            tone,
            [
                stream.stream.clone(),
                stream.phase.clone(),
                frontier(stream),
                output::count(stream.records),
                output::ago(stream.last_record_at, now),
                output::ago(stream.complete_until, now),
                counted(status, stream.relists),
                output::count(stream.gaps.len() as u64),
            ],
        );
    }
    table.render(palette)
}

/// `GENERATION.RESOURCEVERSION`, as in the log's directory.
fn frontier(stream: &StreamStatus) -> String {
    let version = stream.frontier.as_ref();
    version.map_or_else(|| "-".to_owned(), |version| format!("{}.{version}", stream.generation))
}

fn sinks(status: &Status, now: Timestamp, palette: Palette) -> String {
    if status.sinks.is_empty() {
        return "no sinks are configured: events are kept in the log and go nowhere\n".to_owned();
    }
    let mut table = Table::new(&[
        "SINK",
        "KIND",
        "STATE",
        ">LAG",
        ">OLDEST",
        ">DELIVERED",
        ">FILTERED",
        ">RETRIED",
        ">DEAD",
        ">LOST",
    ]);
    // A stopped relay's directory knows what is kept, and not what was counted while it ran.
    let counted = |number| counted(status, number);
    for sink in &status.sinks {
        table.row(
            tone(sink),
            [
                if sink.required {
                    sink.name.clone()
                } else {
                    format!("{} (best effort)", sink.name)
                },
                if sink.kind.is_empty() { "-".to_owned() } else { sink.kind.clone() },
                state(sink, now),
                output::count(sink.lag_records),
                oldest(sink),
                counted(sink.delivered),
                counted(sink.filtered),
                counted(sink.retried),
                output::count(sink.dead_letters),
                output::count(sink.lost),
            ],
        );
    }
    table.render(palette)
}

/// What was counted since the start.
fn counted(status: &Status, number: u64) -> String {
    if status.started_at.is_some() { output::count(number) } else { "-".to_owned() }
}

fn tone(sink: &SinkStatus) -> Tone {
    match sink.state {
        SinkState::Held => Tone::Bad,
        _ if sink.failure.is_some() || sink.lost > 0 => Tone::Bad,
        SinkState::Paused => Tone::Warning,
        _ if sink.dead_letters > 0 => Tone::Warning,
        _ => Tone::Plain,
    }
}

/// What it does, how long a rate limit keeps it waiting, and what waits in groups.
fn state(sink: &SinkStatus, now: Timestamp) -> String {
    let left = sink.throttled_until.map(|until| until.duration_since(now));
    let left = left.and_then(|left| Duration::try_from(left).ok()).filter(|left| !left.is_zero());
    let left = left.map(|left| format!(", {} left", output::duration(left)));
    let grouped =
        (sink.grouped > 0).then(|| format!(", {} in groups", output::count(sink.grouped)));
    let parts = [Some(word(sink.state).to_owned()), left, grouped];
    parts.into_iter().flatten().collect()
}

fn word(state: SinkState) -> &'static str {
    match state {
        SinkState::Idle => "idle",
        SinkState::Delivering => "delivering",
        SinkState::Retrying => "retrying",
        SinkState::Throttled => "throttled",
        SinkState::Held => "HELD",
        SinkState::Paused => "paused",
        SinkState::Stopped => "stopped",
    }
}

fn oldest(sink: &SinkStatus) -> String {
    match Duration::try_from_secs_f64(sink.lag_seconds) {
        Ok(age) if sink.lag_records > 0 => output::duration(age),
        _ => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn a_sink_that_waits_says_for_how_long() {
        let mut status = fixture::healthy();
        let until = fixture::now() + jiff::SignedDuration::from_secs(42);
        status.sinks[0].state = SinkState::Throttled;
        status.sinks[0].throttled_until = Some(until);
        status.sinks[1].grouped = 1_200;
        let page = page(&status);
        assert!(page.contains(" throttled, 42s left "), "{page}");
        assert!(page.contains(" idle, 1,200 in groups "), "{page}");
        assert!(page.contains("nothing is stuck"), "{page}");
    }

    fn page(status: &Status) -> String {
        render(status, fixture::now(), Palette::plain())
    }

    #[test]
    fn a_healthy_relay() {
        let expected = "\
relay   prod-eu, version 0.1.0, up 4h 14m
log     1,234,567 records, 1.1 GiB of 2.0 GiB (59%), /var/lib/kube-event-relay

ok: every stream is live, everything received has been delivered

STREAM          STATE     FRONTIER  RECORDS  LAST RECORD  COMPLETE UNTIL  RELISTS  GAPS
all-namespaces  watching  1.9304      9,304       3s ago          1s ago        1     0

SINK     KIND     STATE  LAG  OLDEST  DELIVERED  FILTERED  RETRIED  DEAD  LOST
oncall   webhook  idle     0       -      9,304         0        0     0     0
archive  webhook  idle     0       -      9,304         0        0     0     0
";
        assert_eq!(page(&fixture::healthy()), expected);
    }

    #[test]
    fn a_troubled_relay() {
        let missing = "may be missing";
        let give_up = "`cursor forget goes` and `dead-letter discard goes --all`";
        let did_you_mean = "column 11: unknown kind `webhok`; did you mean `webhook`?";
        let cause = "stopped for longer than events live";
        let (lost, full) = ("never to be delivered (stream all-namespaces,", "the log was full");
        let expected = format!(
            "\
relay   prod-eu, version 0.1.0, up 4h 14m
log     1,234,567 records, 2.0 GiB of 2.0 GiB (100%), /var/lib/kube-event-relay

!! log: full (2.0 GiB of 2.0 GiB), intake waits; raise log.maxBytes, or help the sinks below
!! configuration: /etc/kube-event-relay/relay.yaml has not been taken over for 30m 0s: line 12, {did_you_mean}
!! stream all-namespaces: not live (halted), complete until 20m 0s ago: 403 Forbidden: grant list and watch on events
!! sink oncall: nothing accepted for 2h 13m, 1,204 records wait, 412 attempts, next in 40s: connection refused
!! sink pager: held for 4h 0m, 9,304 records wait, an operator must act: errcode 310000: sign not match check the secret
!! sink archive: 2 records lost between 2026-01-02T11:00:00Z and 2026-01-02T11:30:00Z, {lost} 1.1100 to 1.1150): {full}
!! sink archive: 3 records lost between 2026-01-02T10:00:00Z and 2026-01-02T10:30:00Z, {lost} 1.1000 to 1.1050): {full}
!! sink archive: 7 records lost between 2026-01-02T09:00:00Z and 2026-01-02T09:30:00Z, {lost} 1.900 to 1.950): {full}
 ! log: 1 damaged segment moved aside as *.damaged; the gaps say what was in them
 ! configuration: log, admin in /etc/kube-event-relay/relay.yaml has changed since the relay started; restart it for that
 ! stream all-namespaces: events between 2026-01-02T04:00:00Z and 2026-01-02T04:30:00Z {missing} (resourceVersion 400 to 450): {cause}
 ! stream all-namespaces: events between 2026-01-02T03:00:00Z and 2026-01-02T03:30:00Z {missing} (resourceVersion 300 to 350): {cause}
 ! stream all-namespaces: events between 2026-01-02T02:00:00Z and 2026-01-02T02:30:00Z {missing} (resourceVersion 200 to 250): {cause}
 ! stream all-namespaces: 2 older gaps; -o json lists all
 ! sink archive: 50 records lost in 1 older range; -o json lists all
 ! sink archive: 1 dead letter, which it refused for good
 ! sink goes: not configured any more, its cursor and 3 dead letters kept; put it back, or give it up with {give_up}

STREAM          STATE   FRONTIER  RECORDS  LAST RECORD  COMPLETE UNTIL  RELISTS  GAPS
all-namespaces  halted  1.9304      9,304       3s ago      20m 0s ago        1     5

SINK                   KIND      STATE       LAG  OLDEST  DELIVERED  FILTERED  RETRIED  DEAD  LOST
oncall                 webhook   retrying  1,204  2h 13m      8,100         0      412     0     0
pager                  dingtalk  HELD      9,304   2d 7h          0         0        0     0     0
archive (best effort)  webhook   idle          0       -      9,304         0        0     1    62
"
        );
        assert_eq!(page(&fixture::troubled()), expected);
    }

    #[test]
    fn a_stopped_relay_is_not_blamed_for_standing_still() {
        let mut status = fixture::healthy();
        status.started_at = None;
        status.cluster.clear();
        status.log.max_bytes = 0;
        status.streams[0].live = false;
        status.streams[0].phase = "stopped".into();
        status.sinks[0].state = SinkState::Stopped;
        status.sinks[0].lag_records = 5;
        let page = page(&status);
        assert!(page.starts_with("relay   -, version 0.1.0, stopped\n"), "{page}");
        assert!(page.contains("log     1,234,567 records, 1.1 GiB, /var/lib"), "{page}");
        assert!(page.contains("\nok: nothing is stuck; what waits"), "{page}");
    }

    #[test]
    fn only_what_is_wrong_is_red() {
        let page = render(&fixture::troubled(), fixture::now(), Palette::coloured());
        let red = page.lines().filter(|line| line.starts_with("\u{1b}[31m"));
        let red: Vec<_> = red.filter(|line| !line.contains("!!")).collect();
        assert_eq!(red.len(), 4, "stream, oncall, pager, archive: {red:?}");
    }
}
