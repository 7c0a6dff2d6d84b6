//! Relays to look at: one that is well, one where everything is wrong.

use jiff::Timestamp;

use crate::relay::{
    ConfigurationRefusal, ConfigurationStatus, CursorStatus, FailureStatus, GapStatus, LogStatus,
    LossStatus, RemovedSinkStatus, SinkState, SinkStatus, Status, StreamStatus,
};

/// Noon.
pub(in crate::cli) fn now() -> Timestamp {
    at("12:00:00")
}

fn at(time: &str) -> Timestamp {
    format!("2026-01-02T{time}Z").parse().expect("a time")
}

/// Two idle sinks behind one live stream.
pub(in crate::cli) fn healthy() -> Status {
    Status {
        version: "0.1.0".into(),
        cluster: "prod-eu".into(),
        started_at: Some(at("07:46:00")),
        configuration: None,
        log: LogStatus {
            directory: "/var/lib/kube-event-relay".into(),
            bytes: 1_288_490_188,
            max_bytes: 2 << 30,
            segments: 310,
            records: 1_234_567,
            damaged_segments: 0,
            full: false,
            full_reason: None,
            verifying: None,
        },
        streams: vec![StreamStatus {
            stream: "all-namespaces".into(),
            live: true,
            phase: "watching".into(),
            reason: None,
            generation: 1,
            frontier: Some("9304".into()),
            records: 9_304,
            last_record_at: Some(at("11:59:57")),
            complete_until: Some(at("11:59:59")),
            relists: 1,
            gaps: Vec::new(),
        }],
        sinks: vec![sink("oncall"), sink("archive")],
        removed: Vec::new(),
    }
}

fn sink(name: &str) -> SinkStatus {
    SinkStatus {
        name: name.into(),
        kind: "webhook".into(),
        state: SinkState::Idle,
        required: true,
        lag_records: 0,
        lag_seconds: 0.0,
        delivered: 9_304,
        retried: 0,
        filtered: 0,
        dead_letters: 0,
        lost: 0,
        losses: Vec::new(),
        grouped: 0,
        throttled_until: None,
        pause: None,
        failure: None,
        cursors: vec![CursorStatus {
            sink: name.into(),
            stream: "all-namespaces".into(),
            generation: Some(1),
            resource_version: Some("9304".into()),
            lag_records: 0,
            updated_at: Some(at("11:59:59")),
        }],
        replays: Vec::new(),
    }
}

/// Full log, dead stream with gaps, one sink retrying, one held, one well but with losses.
pub(in crate::cli) fn troubled() -> Status {
    let mut status = healthy();
    status.log.full = true;
    status.log.bytes = status.log.max_bytes;
    status.log.damaged_segments = 1;
    status.configuration = Some(refused_configuration());
    let stream = &mut status.streams[0];
    stream.live = false;
    stream.phase = "halted".into();
    stream.reason = Some("403 Forbidden: grant list and watch on events".into());
    stream.complete_until = Some(at("11:40:00"));
    stream.gaps = (0..5).map(gap).collect();
    status.sinks = vec![retrying(), held(), sink("archive")];
    status.removed = vec![RemovedSinkStatus {
        name: "goes".into(),
        dead_letters: 3,
        cursors: status.sinks[2].cursors.clone(),
    }];
    status.sinks[2].dead_letters = 1;
    status.sinks[2].losses = vec![loss(2, 50), loss(11, 2), loss(10, 3), loss(9, 7)];
    status.sinks[2].lost = 62;
    status.sinks[2].required = false;
    status
}

fn refused_configuration() -> ConfigurationStatus {
    ConfigurationStatus {
        path: "/etc/kube-event-relay/relay.yaml".into(),
        taken_over_at: at("07:46:00"),
        refusal: Some(ConfigurationRefusal {
            reason: "line 12, column 11: unknown kind `webhok`; did you mean `webhook`?".into(),
            since: at("11:30:00"),
        }),
        needs_restart: vec!["log".into(), "admin".into()],
    }
}

fn gap(hour: u8) -> GapStatus {
    GapStatus {
        after: (hour > 0).then(|| format!("{hour}00")),
        until: format!("{hour}50"),
        from_time: (hour > 0).then(|| at(&format!("0{hour}:00:00.25"))),
        to_time: at(&format!("0{hour}:30:00")),
        cause: "stopped for longer than events live".into(),
    }
}

fn loss(hour: u8, records: u64) -> LossStatus {
    LossStatus {
        stream: "all-namespaces".into(),
        after: (hour > 2).then(|| format!("1.{hour}00")),
        until: Some(format!("1.{hour}50")),
        records,
        from_time: at(&format!("{hour:02}:00:00.25")),
        to_time: at(&format!("{hour:02}:30:00")),
        cause: "the log was full".into(),
    }
}

fn retrying() -> SinkStatus {
    let mut sink = sink("oncall");
    sink.state = SinkState::Retrying;
    sink.lag_records = 1_204;
    sink.lag_seconds = 7_980.4;
    sink.delivered = 8_100;
    sink.retried = 412;
    sink.failure = Some(FailureStatus {
        cause: "connection refused".into(),
        at: at("11:59:40"),
        since: at("09:47:00"),
        attempts: 412,
        next_attempt_at: Some(at("12:00:40")),
    });
    sink.cursors[0].resource_version = Some("8100".into());
    sink.cursors[0].lag_records = 1_204;
    sink.cursors[0].updated_at = Some(at("09:47:00"));
    sink
}

fn held() -> SinkStatus {
    let mut sink = sink("pager");
    sink.kind = "dingtalk".into();
    sink.state = SinkState::Held;
    sink.lag_records = 9_304;
    sink.lag_seconds = 200_000.0;
    sink.delivered = 0;
    sink.failure = Some(FailureStatus {
        cause: "errcode 310000: sign not match\ncheck the secret".into(),
        at: at("08:00:00"),
        since: at("08:00:00"),
        attempts: 1,
        next_attempt_at: None,
    });
    let cursor = &mut sink.cursors[0];
    cursor.generation = None;
    cursor.resource_version = None;
    cursor.lag_records = 9_304;
    cursor.updated_at = None;
    sink
}
