//! The YAML file: what can be written, and what a mistake is answered with.

use std::path::Path;

use proptest::prelude::*;

use super::*;

fn message(text: &str) -> String {
    load(text, Path::new("relay.yaml")).expect_err(text).to_string()
}

fn loaded(text: &str) -> Loaded {
    load(text, Path::new("relay.yaml")).unwrap_or_else(|error| panic!("{error}"))
}

/// Every message in full: it is what an operator has to go by.
#[test]
fn every_mistake_has_a_place_and_a_remedy() {
    let cases = [
        ("sinkz: []", r#"1:1: unknown key "sinkz"; did you mean "sinks"?"#),
        (
            "foo: 1",
            r#"1:1: unknown key "foo"; known: cluster, source, log, admin, telemetry, drainDeadline, deadLetters, sinks"#,
        ),
        ("log: {maxByte: 1GiB}", r#"1:7: unknown key "maxByte"; did you mean "maxBytes"?"#),
        ("log: 5", "1:6: expected a mapping (key: value), found the number 5"),
        ("sinks: 5", "1:8: expected a list, found the number 5"),
        ("cluster: [a]", "1:10: expected text, found a list"),
        ("cluster: ' '", "1:1: a cluster needs a name; any text will do"),
        (
            "log: {maxBytes: 2XB}",
            r#"1:17: "2XB" is not a size: write a number of bytes with a unit, such as 512MiB or 2GiB"#,
        ),
        ("log: {maxBytes: -5}", "1:17: expected a size: a number of bytes, or text such as 512MiB"),
        ("log: {maxBytes: 0}", "1:7: less than 64MiB cannot be kept to; write a size such as 2GiB"),
        (
            "log:\n  retain: 30",
            r#"2:11: "30" is not a duration: write numbers with units, such as 30s, 5m or 1h30m"#,
        ),
        ("log: {whenFull: pauze}", r#"1:17: unknown value "pauze"; did you mean "pause"?"#),
        (
            "admin: {listen: localhost:8084}",
            "1:17: not an address; write IP:PORT, such as 0.0.0.0:8084",
        ),
        (
            "source: {kubernetes: {start: soon}}",
            r#"1:30: "soon" is not a start: write `now`, `all`, or a duration such as 30m"#,
        ),
        (
            "telemetry: {verbosity: 99999999999}",
            "1:24: expected a whole number from -2147483648 to 2147483647, found the number 99999999999",
        ),
        ("telemetry: {eventMetrics: maybe}", "1:27: expected true or false, found text"),
        ("a: 1\na: 2", r#"2:1: the key "a" is written twice; keep one"#),
        ("sinks: [", "1:8: unclosed bracket '['"),
    ];
    for (text, expected) in cases {
        assert_eq!(message(text), format!("relay.yaml:{expected}"), "{text}");
    }
}

#[test]
fn mistakes_in_a_sink_are_found_in_it() {
    let cases = [
        ("kind: log", r#"2:3: the key "name" is missing here"#),
        (
            "name: a b\n  kind: log",
            r#"2:3: "a b" cannot name a sink; use 1 to 63 letters, digits, '-', '_' and '.'"#,
        ),
        (
            // The cursors of a replay are named so.
            "name: replay/7\n  kind: log",
            r#"2:3: "replay/7" cannot name a sink; use 1 to 63 letters, digits, '-', '_' and '.'"#,
        ),
        (
            "name: a\n  kind: log\n- name: a\n  kind: log",
            r#"4:3: two sinks are named "a"; names must be unique"#,
        ),
        (
            "name: a\n  kind: log\n  rate: {messages: 0, per: 1m}",
            "4:10: rate.messages must not be 0; write at least 1",
        ),
        (
            "name: a\n  kind: log\n  batch:\n    maxRecords: 0",
            "5:5: batch.maxRecords must not be 0; write at least 1",
        ),
        (
            "name: a\n  kind: log\n  retry: {initial: 2m}",
            "4:11: retry.initial 2m is longer than retry.max 1m; lower the first or raise the second",
        ),
        (
            "name: a\n  kind: log\n  match: {reasons: [ok, '*x']}",
            r#"4:11: reasons: "*x" is not a regular expression: repetition operator missing expression; what is * in a glob is .* here"#,
        ),
        (
            "name: a\n  kind: log\n  exclude:\n  - {}\n  - kinds: ['(']",
            r#"6:5: kinds: "(" is not a regular expression: unclosed group"#,
        ),
        (
            "name: a\n  kind: log\n  match: {kinds: {a: b}}",
            "4:18: expected a pattern, or a list of patterns",
        ),
        (
            "name: a\n  kind: log\n  match:\n    labels:\n      app: x\n      app.kubernetes.io/name: ['(']",
            r#"7:7: labels.app.kubernetes.io/name: "(" is not a regular expression: unclosed group"#,
        ),
        (
            "name: a\n  kind: log\n  match: {labels: {app: 5}}",
            "4:25: expected a pattern, or a list of patterns",
        ),
        (
            "name: a\n  kind: log\n  match: {labels: app}",
            "4:19: expected a mapping (key: value), found text",
        ),
    ];
    for (sink, expected) in cases {
        assert_eq!(
            message(&format!("sinks:\n- {sink}\n")),
            format!("relay.yaml:{expected}"),
            "{sink}"
        );
    }
}

#[test]
fn options_of_a_kind_are_found_in_the_file() {
    let unknown = message(
        "sinks:\n- name: a\n  kind: webhook\n  options:\n    url: https://h/x\n    bogus: 1\n",
    );
    assert!(unknown.starts_with("relay.yaml:6:5: sink \"a\": option bogus: "), "{unknown}");
    let missing = message("sinks:\n- name: a\n  kind: webhook\n  options: {}\n");
    assert!(missing.starts_with("relay.yaml:4:3: sink \"a\": option url: "), "{missing}");
    let kind = message("sinks:\n- name: a\n  kind: webhok\n");
    assert!(
        kind.starts_with("relay.yaml:3:3: unknown sink kind \"webhok\"; did you mean "),
        "{kind}"
    );
}

#[test]
fn no_message_shows_a_secret() {
    for options in ["{url: [s3cret]}", "{s3cret: {}, url: {s3cret: x}}", "s3cret", "[s3cret]"] {
        let message =
            message(&format!("sinks:\n- name: a\n  kind: webhook\n  options: {options}\n"));
        // The name of an unknown option is no secret.
        let shown = message.replace("option s3cret", "");
        assert!(!shown.contains("s3cret"), "{message}");
    }
}

#[test]
fn a_hostile_document_is_refused() {
    let deep = format!("a: {}", "[".repeat(100_000));
    let laughs = (b'b'..=b'j').map(char::from).fold("a: &a [x]\n".to_owned(), |text, name| {
        let previous = char::from(name as u8 - 1);
        let many = vec![format!("*{previous}"); 9].join(",");
        format!("{text}{name}: &{name} [{many}]\n")
    });
    for text in [deep, laughs] {
        assert!(message(&text).ends_with("too large, or nested too deeply"), "{}", message(&text));
    }
}

#[test]
fn nothing_at_all_is_a_relay_without_sinks() {
    for text in ["", "# nothing\n", "sinks:\nlog:\n"] {
        let Loaded { config, warnings } = loaded(text);
        assert_eq!(config, Config::default());
        assert!(warnings[0].starts_with("no sinks are configured"), "{warnings:?}");
    }
}

#[test]
fn everything_can_be_written() {
    let Loaded { config, warnings } = loaded(EVERYTHING);
    assert_eq!(warnings, Vec::<String>::new());
    assert_eq!(config.cluster, "5");
    assert_eq!(config.admin.listen.port(), 9000);
    assert_eq!(config.sinks[0].rate.expect("a rate").messages, 18);
    let written = config.to_yaml().expect("YAML");
    assert_eq!(loaded(&written).config, config, "{written}");
}

const EVERYTHING: &str = "
cluster: 5
source:
  kubernetes: {namespaces: [shop, shop-eu], start: 30m, eventTtl: 3h}
log: {dataDir: /data, maxBytes: 1GiB, retain: 12h, whenFull: drop-oldest}
admin: {listen: '127.0.0.1:9000'}
telemetry: {verbosity: 4, eventMetrics: false}
drainDeadline: 10s
deadLetters: {maxRecords: 5, maxBytes: 1MiB, whenFull: drop-oldest}
sinks:
- name: oncall
  kind: webhook
  options: {url: 'https://example.com/hook'}
  match: {type: Warning, namespaces: [prod-.*], reasons: ['BackOff|Failed.*']}
  exclude: [{kinds: [Job]}, {messages: '.*: .*', labels: {app.kubernetes.io/name: [a, b]}, components: x}]
  batch: {maxRecords: 100, maxBytes: 65536, maxWait: 1s}
  retry: {initial: 500ms, max: 5m, timeout: 10s}
  rate: {messages: 18, per: 1m}
  required: false
- name: audit
  kind: log
";

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "(?s).{0,200}") {
        let _result = load(&text, Path::new("x"));
    }

    /// Pieces of a real file in any order reach deeper than random text does.
    #[test]
    fn no_shuffled_file_makes_it_panic(lines in prop::collection::vec(prop::sample::select(EVERYTHING.lines().collect::<Vec<_>>()), 0..20)) {
        let _result = load(&lines.join("\n"), Path::new("x"));
    }

    #[test]
    fn every_error_is_one_line(text in "[a-z:{}\\[\\], \"'\n*&!|>%-]{0,80}") {
        if let Err(error) = load(&text, Path::new("x")) {
            prop_assert!(!error.to_string().contains('\n'), "{error}");
        }
    }
}
