//! What an operator sees of a relay agrees with what it did: health, metrics and the commands that
//! only look, of a running relay and of the directory of a stopped one.

#![allow(clippy::expect_used)] // a test fails where an expectation is not met

mod harness;

use std::io::{BufRead, BufReader};
use std::iter::repeat_n;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use harness::metrics::Metrics;
use harness::{BINARY, Setup, all_done, program, status_when};
use kube_event_relay::relay::{CursorStatus, SinkState, Status};
use rig::{Cluster, CreatedEvent, EventSpec, Receiver, Relay};
use serde::de::DeserializeOwned;

/// Events of each kind: unremarkable, warnings, errors in kube-eventer's sense, and such as one
/// sink does not want.
const NORMAL: usize = 30;
const WARNINGS: usize = 5;
const ERRORS: usize = 3;
const NOISE: usize = 2;
const EVENTS: usize = NORMAL + WARNINGS + ERRORS + NOISE;

/// Two sinks: `oncall` filters and is well, `archive` is down at first and at the end.
#[tokio::test(flavor = "multi_thread")]
async fn health_metrics_and_commands_agree_with_what_was_delivered() {
    let cluster = Cluster::start().await;
    let (oncall, archive) = (Receiver::start(), Receiver::start());
    archive.down().await;
    let setup = Setup::new(cluster.folder(), cluster.kubeconfig_path())
        .webhook("oncall", &oncall.url(), "exclude: [{reasons: [Noise]}]")
        .webhook("archive", &archive.url(), "");
    let data = setup.data();
    let data = ["--data-dir", data.to_str().expect("UTF-8")];
    let relay = setup.relay().start();
    status_when(&relay, |status| status.streams[0].live).await;
    let created = create_all(&cluster).await;
    let url = relay.admin_url().await;
    let server = ["--server", url.as_str()];

    a_sink_that_is_down_shows_why(&relay, &server).await;
    archive.up();
    status_when(&relay, |status| all_done(status, EVENTS)).await;
    health_is_good(&relay).await;
    metrics_agree(&relay, &created, [&oncall, &archive]).await;
    commands_agree(&server, &created);
    let refused = failure(&[&["status"], &data[..]].concat(), 1);
    let holder = format!("in use by process {} on host ", relay.process_id());
    for part in ["a relay is running on data directory", &holder, "ask it with --server"] {
        assert!(refused.contains(part), "{part}: {refused}");
    }

    archive.down().await;
    let late = cluster.client().create_events("default", 4, 1).await;
    status_when(&relay, |status| {
        status.sinks[0].lag_records == 0 && status.sinks[1].lag_records == 4
    })
    .await;
    assert!(relay.terminate().await.success());
    let refused = failure(&[&["status"], &server[..]].concat(), 1);
    assert!(refused.contains(&format!("no relay answers at {url}; is it running?")), "{refused}");
    assert!(refused.contains("--data-dir"), "{refused}");
    a_stopped_relays_directory_tells_the_same(&data, &late);

    // Looking has changed nothing: what waited is delivered, and nothing else.
    archive.up();
    let before = archive.count();
    let relay = setup.relay().start();
    status_when(&relay, |status| all_done(status, EVENTS + 4)).await;
    assert_eq!(archive.count() - before, 4);
    assert!(relay.terminate().await.success());
}

/// One block per interval where there is no terminal; a relay that goes away is waited for.
#[tokio::test(flavor = "multi_thread")]
async fn the_status_can_be_watched() {
    let cluster = Cluster::start().await;
    let receiver = Receiver::start();
    let setup = Setup::new(cluster.folder(), cluster.kubeconfig_path()).webhook(
        "oncall",
        &receiver.url(),
        "",
    );
    let relay = setup.relay().start();
    let url = relay.admin_url().await;
    let mut child = Command::new(BINARY)
        .args(["status", "--watch", "500ms", "--server", &url])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut until = move |wanted: &str| {
        let text = lines.by_ref().map(|line| line.expect("text"));
        text.take_while(|line| !line.starts_with(wanted)).collect::<Vec<_>>()
    };
    assert_eq!(until("relay "), [""; 0], "nothing before the first block");
    let block = until("relay ");
    assert_eq!(block.last().map(String::as_str), Some(""), "an empty line in between");
    assert!(block.iter().any(|line| line.starts_with("oncall ")), "{block:#?}");
    assert!(!block.iter().any(|line| line.contains('\u{1b}')), "{block:#?}");
    assert!(relay.terminate().await.success());
    until("error: no relay answers at ");
    child.kill().expect("killed");
    child.wait().expect("ended");
    let refused = failure(&["status", "--watch", "--server", &url], 1);
    assert!(refused.contains("no relay answers"), "{refused}");
}

#[test]
fn a_wrong_command_line_is_code_2_and_what_is_not_there_is_code_1() {
    let both = ["status", "--server", "http://127.0.0.1:1", "--data-dir", "/nonexistent"];
    assert!(failure(&both, 2).contains("cannot be used with"));
    assert!(failure(&["cursor", "show"], 2).contains("<SINK>"));
    assert!(failure(&["status", "-o", "xml"], 2).contains("table, json"));
    let missing = failure(&["cursor", "list", "--data-dir", "/nonexistent"], 1);
    assert!(missing.contains("there is no data directory at /nonexistent"), "{missing}");
}

async fn create_all(cluster: &Cluster) -> Vec<CreatedEvent> {
    let kinds = [
        ("Normal", "Pulled", NORMAL),
        ("Warning", "Unhealthy", WARNINGS),
        ("Warning", "FailedMount", ERRORS),
        ("Normal", "Noise", NOISE),
    ];
    let kinds = kinds.into_iter().flat_map(|(kind, reason, count)| repeat_n((kind, reason), count));
    let kinds: Vec<_> = kinds.collect();
    let spec = move |number: usize| EventSpec {
        kind: kinds[number].0.to_owned(),
        reason: kinds[number].1.to_owned(),
        ..EventSpec::new(&format!("operations-{number}"))
    };
    cluster.client().create_events_with("default", EVENTS, 4, spec).await
}

async fn a_sink_that_is_down_shows_why(relay: &Relay, server: &[&str]) {
    status_when(relay, |status| {
        let [oncall, archive] = &status.sinks[..] else { panic!("two sinks") };
        let attempts = archive.failure.as_ref().map_or(0, |failure| failure.attempts);
        oncall.lag_records == 0 && archive.lag_records == EVENTS as u64 && attempts >= 2
    })
    .await;
    let status: Status = json(&[&["status"], server].concat());
    let archive = &status.sinks[1];
    assert_eq!((archive.state, archive.delivered), (SinkState::Retrying, 0));
    assert!(archive.retried >= 1 && archive.lag_seconds > 0.0, "{archive:?}");
    let down = archive.failure.as_ref().expect("a failure");
    assert!(down.attempts >= 2 && down.cause.contains("refused"), "{down:?}");
    assert!(down.since <= down.at && down.next_attempt_at.expect("a time") > down.at, "{down:?}");

    let page = table(&[&["status"], server].concat());
    let line = page.lines().find(|line| line.starts_with("!! sink archive: "));
    let line = line.unwrap_or_else(|| panic!("{page}"));
    for part in ["nothing accepted for ", ", 40 records wait, ", " attempts, ", "refused"] {
        assert!(line.contains(part), "{part}: {line}");
    }
    assert!(line.contains("next in ") || line.contains("trying now"), "{line}");
    assert_eq!(row(&page, "archive")[..4], ["archive", "webhook", "retrying", "40"], "{page}");
    assert_eq!(relay.get("/readyz").await.0, 200, "another pod would not reach the sink either");
}

async fn health_is_good(relay: &Relay) {
    for path in ["/healthz", "/healtz", "/readyz"] {
        assert_eq!(relay.get_text(path).await, "ok", "{path}");
    }
    let checks = "[+] log: ok\n[+] stream all-namespaces: ok\nready\n";
    assert_eq!(relay.get_text("/readyz?verbose").await, checks);
}

/// Every family of kube-eventer's that is not another sink's, and all of ours.
async fn metrics_agree(relay: &Relay, created: &[CreatedEvent], receivers: [&Receiver; 2]) {
    let metrics = Metrics::of(relay).await;
    let attempts = |sink| {
        metrics.number::<usize>(&format!(
            "kube_event_relay_sink_delivery_seconds_count{{sink=\"{sink}\"}}"
        ))
    };
    let [oncall, archive] = ["oncall", "archive"].map(attempts);
    assert_eq!(oncall, receivers[0].count());
    assert!(archive > receivers[1].count(), "some met a closed port");
    let (exports, retried) = (oncall + archive, [oncall - (EVENTS - NOISE), archive - EVENTS]);
    let newest = newest(created);
    let expected = format!(
        r#"# TYPE eventer_scraper_last_time_seconds gauge
# TYPE eventer_scraper_events_total_number counter
eventer_scraper_events_total_number 40
# TYPE eventer_scraper_duration_milliseconds summary
# TYPE eventer_manager_last_time_seconds gauge
# TYPE eventer_exporter_duration_milliseconds summary
eventer_exporter_duration_milliseconds_count{{exporter="webHook"}} {exports}
# TYPE eventer_events_normal_total counter
eventer_events_normal_total{{kind="Pod",namespace="default",reason="Noise"}} 2
eventer_events_normal_total{{kind="Pod",namespace="default",reason="Pulled"}} 30
# TYPE eventer_events_warning_total counter
eventer_events_warning_total{{kind="Pod",name="pod",namespace="default",reason="Unhealthy"}} 5
# TYPE eventer_events_error_total counter
eventer_events_error_total{{kind="Pod",name="pod",namespace="default",reason="VolumeFailMount"}} 3
kube_event_relay_sink_delivered_total{{sink="oncall"}} 38
kube_event_relay_sink_delivered_total{{sink="archive"}} 40
kube_event_relay_sink_filtered_total{{sink="oncall"}} 2
kube_event_relay_sink_filtered_total{{sink="archive"}} 0
kube_event_relay_sink_retried_total{{sink="oncall"}} {}
kube_event_relay_sink_retried_total{{sink="archive"}} {}
kube_event_relay_sink_dead_lettered_total{{sink="archive"}} 0
kube_event_relay_sink_lost_total{{sink="archive"}} 0
kube_event_relay_sink_held{{sink="archive"}} 0
kube_event_relay_sink_lag_records{{sink="archive"}} 0
kube_event_relay_sink_lag_seconds{{sink="archive"}} 0
kube_event_relay_stream_records_total{{stream="all-namespaces"}} 40
kube_event_relay_stream_relists_total{{stream="all-namespaces"}} 1
kube_event_relay_stream_watches_total{{stream="all-namespaces"}} 1
kube_event_relay_stream_gaps_total{{stream="all-namespaces"}} 0
kube_event_relay_stream_live{{stream="all-namespaces"}} 1
kube_event_relay_stream_frontier{{stream="all-namespaces"}} {newest}
kube_event_relay_log_appended_records_total 40
kube_event_relay_log_damaged_segments_total 0
kube_event_relay_log_full 0
kube_event_relay_log_max_bytes 2147483648"#,
        retried[0], retried[1]
    );
    let metrics = Metrics::with_lines(relay, &expected).await;
    for name in [
        "eventer_scraper_duration_milliseconds_sum",
        "eventer_scraper_duration_milliseconds_count",
        "eventer_exporter_duration_milliseconds_sum{exporter=\"webHook\"}",
        "kube_event_relay_log_bytes",
        "kube_event_relay_log_append_seconds_count",
        "kube_event_relay_log_sync_seconds_count",
        "process_resident_memory_bytes",
    ] {
        assert!(metrics.number::<f64>(name) > 0.0, "{name}");
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64();
    for name in [
        "eventer_scraper_last_time_seconds",
        "eventer_manager_last_time_seconds",
        "kube_event_relay_stream_last_message_timestamp_seconds{stream=\"all-namespaces\"}",
    ] {
        let age = now - metrics.number::<f64>(name);
        assert!((-1.0..60.0).contains(&age), "{name} is {age} s old");
    }
}

/// The newest resourceVersion.
fn newest(created: &[CreatedEvent]) -> u64 {
    created.iter().map(|event| event.resource_version).max().expect("events")
}

/// `status`, `cursor list` and `cursor show` of a running relay with nothing left to do.
fn commands_agree(server: &[&str], created: &[CreatedEvent]) {
    let newest = newest(created);
    let status: Status = json(&[&["status"], server].concat());
    assert!(status.started_at.is_some());
    assert_eq!((status.cluster.as_str(), status.log.records), ("rig", EVENTS as u64));
    let stream = &status.streams[0];
    assert_eq!((stream.live, stream.records, stream.gaps.len()), (true, EVENTS as u64, 0));
    assert_eq!(stream.frontier, Some(newest.to_string()));
    for (sink, delivered) in status.sinks.iter().zip([EVENTS - NOISE, EVENTS]) {
        assert_eq!((sink.state, &sink.failure), (SinkState::Idle, &None), "{}", sink.name);
        assert_eq!((sink.delivered, sink.lag_records), (delivered as u64, 0), "{}", sink.name);
    }
    let page = table(&[&["status"], server].concat());
    assert!(page.starts_with("relay   rig, version "), "{page}");
    assert!(
        page.contains("\nok: every stream is live, everything received has been delivered\n"),
        "{page}"
    );
    assert_eq!(row(&page, "oncall")[..7], ["oncall", "webhook", "idle", "0", "-", "38", "2"]);
    assert_eq!(row(&page, "archive")[..7], ["archive", "webhook", "idle", "0", "-", "40", "0"]);

    let cursors: Vec<CursorStatus> = json(&[&["cursor", "list"], server].concat());
    let all: Vec<_> = status.sinks.into_iter().flat_map(|sink| sink.cursors).collect();
    assert_eq!(cursors, all);
    let page = table(&[&["cursor", "list"], server].concat());
    let at = format!("0.{newest}");
    for sink in ["oncall", "archive"] {
        assert_eq!(row(&page, sink)[..4], [sink, "all-namespaces", &at, "0"], "{page}");
    }
    let shown: Vec<CursorStatus> = json(&[&["cursor", "show", "oncall"], server].concat());
    assert_eq!(shown, cursors[..1]);
    let page = table(&[&["cursor", "show", "oncall"], server].concat());
    let expected = format!(
        "sink      oncall\nstream    all-namespaces\nposition  {at}\nlag       0 records\nmoved     "
    );
    assert!(page.starts_with(&expected), "{page}");
    let unknown = failure(&[&["cursor", "show", "pager"], server].concat(), 1);
    assert_eq!(unknown, "there is no sink \"pager\"; there are: oncall, archive");
}

/// The same commands, when four events wait for `archive`.
fn a_stopped_relays_directory_tells_the_same(data: &[&str], late: &[CreatedEvent]) {
    let newest = newest(late).to_string();
    let status: Status = json(&[&["status"], data].concat());
    assert_eq!((status.started_at, status.log.records), (None, EVENTS as u64 + 4));
    let stream = &status.streams[0];
    assert_eq!((stream.live, stream.phase.as_str()), (false, "stopped"));
    assert_eq!((stream.records, &stream.frontier), (EVENTS as u64 + 4, &Some(newest.clone())));
    let lags: Vec<_> =
        status.sinks.iter().map(|sink| (sink.name.as_str(), sink.lag_records)).collect();
    assert_eq!(lags, [("archive", 4), ("oncall", 0)]);
    assert!(status.sinks[0].lag_seconds > 0.0 && status.sinks[1].lag_seconds == 0.0);
    let page = table(&[&["status"], data].concat());
    assert!(page.starts_with("relay   -, version ") && page.contains(", stopped\n"), "{page}");
    assert!(
        page.contains("\nok: nothing is stuck; what waits is delivered when the relay runs\n"),
        "{page}"
    );

    let cursors: Vec<CursorStatus> = json(&[&["cursor", "list"], data].concat());
    assert_eq!(cursors.len(), 2);
    let page = table(&[&["cursor", "list"], data].concat());
    assert_eq!(row(&page, "archive")[3], "4", "{page}");
    assert_eq!(row(&page, "oncall")[2..4], [format!("0.{newest}").as_str(), "0"], "{page}");
    let shown: Vec<CursorStatus> = json(&[&["cursor", "show", "archive"], data].concat());
    assert_eq!(shown, cursors[..1]);
    let page = table(&[&["cursor", "show", "archive"], data].concat());
    assert!(page.contains("\nlag       4 records\n"), "{page}");
    let unknown = failure(&[&["cursor", "show", "pager"], data].concat(), 1);
    assert_eq!(unknown, "there is no sink \"pager\"; there are: archive, oncall");
}

/// What a command prints for people.
fn table(arguments: &[&str]) -> String {
    let answer = program(arguments);
    assert_eq!((answer.code, answer.stderr.as_str()), (Some(0), ""), "{arguments:?}: {answer:?}");
    answer.stdout
}

/// What it prints for programs.
fn json<T: DeserializeOwned>(arguments: &[&str]) -> T {
    let text = table(&[arguments, &["-o", "json"]].concat());
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"))
}

/// The one line in which it says why it fails.
fn failure(arguments: &[&str], code: i32) -> String {
    let answer = program(arguments);
    assert_eq!(
        (answer.code, answer.stdout.as_str()),
        (Some(code), ""),
        "{arguments:?}: {answer:?}"
    );
    assert_eq!(answer.stderr.lines().count(), 1, "{arguments:?}: {}", answer.stderr);
    let line = answer.stderr.trim_end().strip_prefix("error: ");
    line.unwrap_or_else(|| panic!("{arguments:?}: {}", answer.stderr)).to_owned()
}

/// The cells of a table's line.
fn row<'a>(page: &'a str, first: &str) -> Vec<&'a str> {
    let mut rows = page.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.find(|cells| cells.first() == Some(&first)).unwrap_or_else(|| panic!("{first}: {page}"))
}
