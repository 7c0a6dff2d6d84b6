//! kube-eventer's flags, as users write them and as they get them wrong.

use proptest::prelude::*;

use super::parser::parse;
use super::*;
use crate::log::WhenFull;
use crate::setting::{ByteSize, Span};

const SOURCE: &str = "--source=kubernetes:https://kubernetes.default";

fn strings(arguments: &[&str]) -> Vec<String> {
    arguments.iter().map(|argument| (*argument).to_owned()).collect()
}

fn load(arguments: &[&str]) -> Loaded {
    match read(&strings(arguments), &|_| None) {
        Ok(Arguments::Flags(loaded)) => *loaded,
        other => panic!("{arguments:?}: {other:?}"),
    }
}

fn error(arguments: &[&str]) -> String {
    let error = read(&strings(arguments), &|_| None).expect_err("refused");
    assert!(error.is_usage());
    error.to_string()
}

#[test]
fn a_sink_without_a_source_means_the_cluster_of_kubectl() {
    let loaded = load(&["--sink=log"]);
    assert_eq!(loaded.config.source, crate::source::SourceConfig::default());
}

#[test]
fn flags_are_read_as_go_reads_them() {
    for arguments in [&["-v=3"][..], &["--v=3"], &["-v", "3"], &["--v", "3"], &["--v=1", "-v", "3"]]
    {
        assert_eq!(
            parse(&strings(arguments)).expect("valid").number("v"),
            Some(3),
            "{arguments:?}"
        );
    }
    let metrics =
        |arguments: &[&str]| parse(&strings(arguments)).expect("valid").boolean("event-metrics");
    assert_eq!(metrics(&["--event-metrics"]), Some(true));
    assert_eq!(metrics(&["--event-metrics=false"]), Some(false));
    assert_eq!(metrics(&["--event-metrics=F"]), Some(false));
    let value = parse(&strings(&["--log_dir="])).expect("valid");
    assert_eq!(value.text("log_dir"), Some(""), "an empty value is a value");
    let value = parse(&strings(&["--log_dir", "--v"])).expect("valid");
    assert_eq!(
        value.text("log_dir"),
        Some("--v"),
        "the next argument is the value, whatever it is"
    );
    let value = parse(&strings(&["--log_dir=a=b"])).expect("valid");
    assert_eq!(value.text("log_dir"), Some("a=b"));
}

#[test]
fn parsing_stops_at_the_first_argument_that_is_no_flag() {
    for (arguments, count, first, after_terminator, value_of) in [
        (&["--event-metrics", "false", "--sink=log"][..], 2, 2, false, Some("event-metrics")),
        (&["-v=1", "log", "--sink=log"], 2, 2, false, None),
        (&["-v=1", "-", "-v=2"], 2, 2, false, None),
        (&["-v=1", "", "-v=2"], 2, 2, false, None),
        (&["-v=1", "--", "-v=2"], 1, 3, true, None),
    ] {
        let parsed = parse(&strings(arguments)).expect("valid");
        let ignored = Ignored { count, first, after_terminator, value_of };
        assert_eq!(parsed.ignored, Some(ignored), "{arguments:?}");
        assert_eq!(parsed.given.len(), 1);
    }
    assert_eq!(parse(&strings(&["-v=1", "--"])).expect("valid").ignored, None);
}

#[test]
fn help_is_seen_where_it_stands() {
    for arguments in [&["-h"][..], &["--help"], &["-v=1", "-help", "--bogus"]] {
        assert!(parse(&strings(arguments)).expect("valid").help, "{arguments:?}");
    }
    assert!(parse(&strings(&["--bogus", "-h"])).is_err());
}

#[test]
fn every_flag_of_kube_eventer_is_accepted() {
    let loaded = load(&[
        SOURCE,
        "--sink=log",
        "--max_procs=4",
        "--healthz-ip=127.0.0.1",
        "--healthz-port=0x1F90",
        "--event-metrics=0",
        "--v=5",
        "--vmodule=a=1,b*=2",
        "--log_backtrace_at=f.go:12",
        "--log_dir=/x",
        "--log_file=/y",
        "--log_file_max_size=0",
        "--logtostderr",
        "--alsologtostderr=false",
        "--alsologtostderrthreshold=info",
        "--stderrthreshold=10",
        "--legacy_stderr_threshold_behavior=t",
        "--add_dir_header",
        "--skip_headers",
        "--skip_log_headers=true",
        "--one_output",
    ]);
    assert_eq!(loaded.warnings, Vec::<String>::new());
    assert_eq!(loaded.config.admin.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(loaded.config.telemetry.verbosity, 5);
    assert!(!loaded.config.telemetry.event_metrics);
    assert_eq!(loaded.config.sinks[0].name, "log");
}

#[test]
fn our_flags_set_the_log() {
    let config = load(&[
        SOURCE,
        "--sink=log",
        "--data-dir=/d",
        "--start",
        "30m",
        "--cluster=prod",
        "--max-bytes=1GiB",
        "--retain=2h",
        "--when-full=drop-oldest",
    ])
    .config;
    assert_eq!(config.log.data_dir, PathBuf::from("/d"));
    assert_eq!(String::from(config.source.kubernetes.start), "30m");
    assert_eq!(config.cluster, "prod");
    assert_eq!(config.log.max_bytes, ByteSize::mib(1024));
    assert_eq!(config.log.retain, Span::from_secs(7200));
    assert_eq!(config.log.when_full, WhenFull::DropOldest);
}

#[test]
fn the_data_directory_may_come_from_the_environment() {
    let environment = |name: &str| (name == DATA_DIRECTORY_VARIABLE).then(|| "/env".to_owned());
    let directory = |arguments: &[&str]| match read(&strings(arguments), &environment) {
        Ok(Arguments::Flags(loaded)) => loaded.config.log.data_dir,
        other => panic!("{other:?}"),
    };
    assert_eq!(directory(&[SOURCE]), PathBuf::from("/env"));
    assert_eq!(directory(&[SOURCE, "--data-dir=/flag"]), PathBuf::from("/flag"));
}

#[test]
fn sinks_are_named_after_their_kind_unless_they_have_a_name() {
    let names: Vec<_> = load(&[
        SOURCE,
        "--sink=log",
        "--sink=log:?name=log-2",
        "--sink=log",
        "--sink=webhook:https://h/x?name=pager",
    ])
    .config
    .sinks
    .into_iter()
    .map(|sink| sink.name)
    .collect();
    assert_eq!(names, ["log", "log-2", "log-3", "pager"]);
}

/// Every message in full: it is what an operator has to go by.
#[test]
fn every_mistake_names_its_flag_and_a_remedy() {
    let cases = [
        (&["--sinkk=x"][..], "unknown flag --sinkk; did you mean --sink?"),
        (&["--bogus"], "unknown flag --bogus; `kube-event-relay run --help` lists all flags"),
        (&["--=x"], "argument 1 is not a flag: write --name=value or --name value"),
        (&["---v=1"], "argument 1 is not a flag: write --name=value or --name value"),
        (&["--sink"], "--sink needs a value: write --sink=VALUE"),
        (
            &["--event-metrics=maybe"],
            r#"--event-metrics: "maybe" is not a boolean; write true or false"#,
        ),
        (
            &["--max_procs=many"],
            r#"--max_procs: "many" is not a whole number; write digits, such as 4"#,
        ),
        (
            &["--healthz-port=-1"],
            r#"--healthz-port: "-1" is not a whole number; write digits, such as 8084"#,
        ),
        (
            &[SOURCE, "--healthz-port=65535"],
            "--healthz-port: 65535 is above 65534, the highest port",
        ),
        (
            &[SOURCE, "--healthz-ip=host"],
            r#"--healthz-ip: "host" is not an IP address; write one, such as 0.0.0.0"#,
        ),
        (&["-v=high"], r#"--v: "high" is not a level; write a number, such as 2"#),
        (&["-v=0x2"], r#"--v: "0x2" is not a level; write a number, such as 2"#),
        (&["--vmodule=a"], r#"--vmodule: "a" is not a list of levels; write file=2,other=3"#),
        (
            &["--log_backtrace_at=f"],
            r#"--log_backtrace_at: "f" is not a place in code; write file.go:234"#,
        ),
        (
            &["--stderrthreshold=loud"],
            r#"--stderrthreshold: "loud" is not a severity; write INFO, WARNING, ERROR, FATAL or a number"#,
        ),
        (
            &["--frequency=30"],
            r#"--frequency: "30" is not a duration: write numbers with units, such as 30s, 5m or 1h30m"#,
        ),
        (
            &[SOURCE, "--frequency=1s"],
            "--frequency: 1s is not between 5s and 3m; leave it out, it has no effect here",
        ),
        (
            &["--max-bytes=2XB"],
            r#"--max-bytes: "2XB" is not a size: write a number of bytes with a unit, such as 512MiB or 2GiB"#,
        ),
        (
            &[SOURCE, "--max-bytes=0"],
            "--max-bytes: less than 64MiB cannot be kept to; write a size such as 2GiB",
        ),
        (&["--when-full=stop"], r#"--when-full: "stop" is not known; write pause or drop-oldest"#),
        (
            &[SOURCE, "--start=soon"],
            r#"--start: "soon" is not a start: write `now`, `all`, or a duration such as 30m"#,
        ),
        (&[SOURCE, "--data-dir="], "--data-dir: the path is empty; write a directory"),
        (&[SOURCE, "--cluster="], "--cluster: a cluster needs a name; any text will do"),
        (
            &[],
            "exactly one --source is needed, and there are 0; write --source=kubernetes:https://kubernetes.default, or --config FILE",
        ),
        (
            &[SOURCE, SOURCE],
            "exactly one --source is needed, and there are 2; write --source=kubernetes:https://kubernetes.default, or --config FILE",
        ),
        (
            &["--source=prometheus:http://x"],
            r#"--source: unknown source "prometheus"; the only one is kubernetes: --source=kubernetes:https://kubernetes.default"#,
        ),
        (
            &["--config=f", "--sink=log"],
            "--sink cannot stand beside --config; write it in the file instead",
        ),
        (
            &[SOURCE, "--sink=log:?name=a", "--sink=log:?name=a"],
            r#"--sink number 2 (log): two sinks are named "a"; names must be unique"#,
        ),
    ];
    for (arguments, expected) in cases {
        assert_eq!(error(arguments), expected, "{arguments:?}");
    }
}

#[test]
fn a_sink_that_does_not_exist_is_refused() {
    let message = error(&[SOURCE, "--sink=log", "--sink=carrierpigeon:https://h?token=s3cret"]);
    assert!(message.starts_with("--sink number 2 (carrierpigeon): unknown sink kind"), "{message}");
    assert!(message.contains("this relay refuses to start"), "{message}");
    assert!(!message.contains("s3cret"), "{message}");
}

#[test]
fn a_bad_uri_is_placed_and_not_shown() {
    for (arguments, place) in [
        ([SOURCE, "--sink=webhook:https://h/%gh?token=s3cret"], "--sink number 1: "),
        ([SOURCE, "--sink=:s3cret"], "--sink number 1: "),
        (["--sink=log", "--source=kubernetes:127.0.0.1:80/s3cret"], "--source: "),
    ] {
        let message = error(&arguments);
        assert!(message.starts_with(place) && !message.contains("s3cret"), "{message}");
    }
}

#[test]
fn what_kube_eventer_passed_over_silently_is_a_warning() {
    let cases = [
        (&[SOURCE, "--sink=log", "--frequency=30s"][..], "--frequency has no effect"),
        (
            &[SOURCE, "--sink=log", "--event-metrics", "false"],
            "write --event-metrics=true or --event-metrics=false",
        ),
        (&[SOURCE, "--sink=log", "extra"], "1 argument is ignored from number 3 on"),
        (&[SOURCE, "--sink=log", "--", "-v=1"], "1 argument is ignored after --"),
        (&[SOURCE], "no sinks are configured"),
        (&[SOURCE, "--sink=log:#x"], "--sink number 1 (log): "),
        (
            &["--source=kubernetes:?incluster=false", "--sink=log"],
            "--source: unknown option \"incluster\"",
        ),
    ];
    for (arguments, expected) in cases {
        let warnings = load(arguments).warnings;
        assert!(
            warnings.iter().any(|warning| warning.contains(expected)),
            "{arguments:?}: {warnings:?}"
        );
    }
}

#[test]
fn a_file_takes_flags_for_logging_only() {
    let arguments = read(&strings(&["--config", "f.yaml", "-v=4", "--logtostderr"]), &|_| None);
    let file = ConfigFile { path: "f.yaml".into(), verbosity: Some(4), warnings: Vec::new() };
    assert_eq!(arguments.expect("valid"), Arguments::File(file));
}

#[test]
fn version_wins_over_what_is_missing() {
    assert_eq!(read(&strings(&["-version"]), &|_| None).expect("valid"), Arguments::Version);
    assert!(read(&strings(&["--version=false"]), &|_| None).is_err());
}

proptest! {
    #[test]
    fn no_arguments_make_it_panic(arguments in prop::collection::vec("(?s).{0,40}", 0..6)) {
        let _result = read(&arguments, &|_| None);
    }

    #[test]
    fn no_values_make_it_panic(flag in prop::sample::select(flags::FLAGS.iter().map(|flag| flag.name).collect::<Vec<_>>()), value in "(?s).{0,40}") {
        if let Err(error) = read(&[SOURCE.to_owned(), format!("--{flag}={value}")], &|_| Some(value.clone())) {
            prop_assert!(error.is_usage());
        }
    }
}
