//! Filters by example, and what holds of all of them.

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::event::{Generation, Position, StreamId};

fn record(event: &Value) -> Record {
    let mut event = event.clone();
    event["metadata"]["resourceVersion"] = "7".into();
    let (version, header, body) = Record::parse_event(event.to_string().as_bytes()).expect("event");
    Record {
        stream: StreamId::all_namespaces(),
        position: Position::new(Generation(0), version),
        received_at: Timestamp::UNIX_EPOCH,
        header,
        body,
    }
}

fn of(namespace: &str, reason: &str) -> Record {
    record(&json!({"metadata": {}, "type": "Warning", "reason": reason,
        "involvedObject": {"namespace": namespace}}))
}

fn filter(include: &str, exclude: &[&str]) -> Filter {
    let read = |json: &str| serde_json::from_str::<Match>(json).expect("a valid match");
    let exclude: Vec<_> = exclude.iter().map(|json| read(json)).collect();
    Filter::new(&read(include), &exclude).expect("patterns")
}

#[test]
fn an_empty_filter_passes_everything() {
    assert!(Filter::default().passes(&of("prod", "BackOff")));
    assert!(Filter::default().passes_everything());
}

#[test]
fn patterns_cover_the_whole_value() {
    let filter = filter(r#"{"namespaces":["prod|prod-.*"]}"#, &[]);
    assert!(filter.passes(&of("prod-eu", "")));
    assert!(!filter.passes(&of("my-prod", "")));
    assert!(!filter.passes(&of("", "")), "a node has no namespace");
}

/// The table in `docs/configuration.md`.
#[test]
fn what_a_glob_says_can_be_said() {
    let cases = [
        ("prod-.*", "prod-eu", "my-prod-eu"),
        (".*memory.*", "out of memory again", "out of disk"),
        ("web-.", "web-1", "web-12"),
        ("web-[0-9]", "web-1", "web-a"),
        ("(Failed|Back).*", "BackOff", "Unhealthy"),
        (r"shop\.eu", "shop.eu", "shop-eu"),
        ("(?i)oomkill.*", "OOMKilling", "Killing"),
        ("|prod-.*", "", "test"),
        (".+", "x", ""),
    ];
    for (pattern, matching, other) in cases {
        let wanted = Match { reasons: Some(vec![pattern.to_owned()]), ..Match::default() };
        let filter = Filter::new(&wanted, &[]).expect(pattern);
        let passes = [matching, other].map(|reason| filter.passes(&of("shop", reason)));
        assert_eq!(passes, [true, false], "{pattern}");
    }
}

#[test]
fn exclusion_wins_over_inclusion() {
    let exclude = r#"{"reasons":["BackOff"],"namespaces":["test"]}"#;
    let filter = filter(r#"{"type":"Warning"}"#, &[exclude]);
    assert!(filter.passes(&of("prod", "BackOff")));
    assert!(!filter.passes(&of("test", "BackOff")));
}

#[test]
fn an_empty_list_matches_nothing() {
    assert!(!filter(r#"{"kinds":[]}"#, &[]).passes(&of("prod", "BackOff")));
    assert!(!filter(r#"{"labels":{"app":[]}}"#, &[]).passes(&of("prod", "BackOff")));
    assert!(filter("{}", &[r#"{"messages":[]}"#]).passes(&of("prod", "BackOff")));
}

#[test]
fn a_bad_pattern_is_named_with_its_list() {
    let bad = |json| {
        let wanted = serde_json::from_str(json).expect("a match");
        Filter::new(&wanted, &[]).expect_err("not a regular expression").to_string()
    };
    assert_eq!(
        bad(r#"{"reasons":["*test*"]}"#),
        "reasons: \"*test*\" is not a regular expression: repetition operator missing expression; \
         what is * in a glob is .* here"
    );
    let label = bad(r#"{"labels":{"app.kubernetes.io/name":"("}}"#);
    assert!(label.starts_with("labels.app.kubernetes.io/name: \"(\" is not"), "{label}");
}

#[test]
fn messages_labels_and_components_are_of_the_body() {
    let event = record(&json!({
        "metadata": {"labels": {"app.kubernetes.io/name": "shop", "odd~key": "1"}},
        "message": "Back-off pulling image\n\"shop:1\"",
        "source": {"component": "kubelet"}, "reportingComponent": "other",
    }));
    let passes = |include: &str| filter(include, &[]).passes(&event);
    assert!(passes(r#"{"messages":"Back-off.*shop:1\""}"#), "a dot is also a line break");
    assert!(!passes(r#"{"messages":"Back-off"}"#), "the whole message");
    assert!(passes(r#"{"labels":{"app.kubernetes.io/name":["shop","cart"],"odd~key":"1"}}"#));
    assert!(!passes(r#"{"labels":{"app.kubernetes.io/name":"shop","odd~key":"2"}}"#));
    assert!(passes(r#"{"labels":{"absent":""}}"#) && !passes(r#"{"labels":{"absent":".+"}}"#));
    assert!(passes(r#"{"components":["kubelet"]}"#) && !passes(r#"{"components":"other"}"#));
    let new_style = json!({"metadata": {}, "source": {}, "reportingComponent": "scheduler"});
    assert!(filter(r#"{"components":"scheduler"}"#, &[]).passes(&record(&new_style)));
}

#[test]
fn the_header_excludes_only_what_the_body_cannot_save() {
    let exclude = r#"{"reasons":"BackOff","messages":"restarting .*"}"#;
    let by_body = filter(r#"{"type":"Warning","components":"kubelet"}"#, &[exclude]);
    assert!(by_body.may_pass(&of("prod", "BackOff").header), "another message would pass");
    assert!(!by_body.may_pass(&Header::default()), "no body makes it a warning");
    let by_header = filter(r#"{"messages":"x"}"#, &[r#"{"reasons":"BackOff"}"#, exclude]);
    assert!(!by_header.may_pass(&of("prod", "BackOff").header));
}

#[test]
fn a_body_that_does_not_matter_is_not_read() {
    let unreadable = Record { body: "no JSON".into(), ..of("test", "BackOff") };
    let subject = Subject::of(&unreadable);
    assert!(!filter(r#"{"kinds":"Job","messages":".*"}"#, &[]).include.matches(&subject));
    assert!(!subject.is_read());
    assert!(filter(r#"{"messages":""}"#, &[]).include.matches(&subject), "it reads as empty");
    assert!(subject.is_read());
}

#[test]
fn an_explanation_names_rule_value_and_pattern() {
    let explain = |include, exclude: &[&str], record: &Record| {
        filter(include, exclude).explain(record).to_string()
    };
    let (event, jobs) = (of("shop", "BackOff"), r#"{"kinds":"Job","reasons":"BackOff"}"#);
    let cases = [
        ("{}", &[][..], "match: it is empty, and matches everything"),
        (
            r#"{"type":"Warning","namespaces":["prod","sh.*"]}"#,
            &[jobs],
            "match: type \"Warning\" matches \"Warning\", namespaces \"shop\" matches \"sh.*\"; \
             exclude[0] does not apply: kinds \"\" does not match \"Job\"",
        ),
        (r#"{"reasons":"Failed.*"}"#, &[], r#"match: reasons "BackOff" does not match "Failed.*""#),
        (
            r#"{"reasons":["Failed.*","Evicted"]}"#,
            &[],
            r#"match: reasons "BackOff" matches none of "Failed.*", "Evicted""#,
        ),
        (r#"{"names":[]}"#, &[], "match: names is an empty list, which matches nothing"),
        (
            "{}",
            &[jobs, r#"{"namespaces":"shop|test","labels":{"app":""}}"#],
            r#"exclude[1]: namespaces "shop" matches "shop|test", labels.app "" matches """#,
        ),
        ("{}", &["{}"], "exclude[0]: it is empty, and matches everything"),
    ];
    for (include, exclude, sentence) in cases {
        assert_eq!(explain(include, exclude, &event), sentence);
    }
    let long = record(&json!({"metadata": {}, "message": "é".repeat(500)}));
    let sentence = explain(r#"{"messages":".+"}"#, &[], &long);
    assert_eq!(sentence, format!("match: messages \"{}\"… matches \".+\"", "é".repeat(120)));
}

#[test]
fn an_explanation_is_json_for_programs() {
    let explain = |include| {
        serde_json::to_value(filter(include, &[]).explain(&of("shop", "BackOff"))).expect("JSON")
    };
    assert_eq!(
        explain(r#"{"labels":{"app":["a","b"]}}"#),
        json!({"decision": "notMatched", "field": "labels.app", "value": "", "patterns": ["a", "b"]})
    );
    assert_eq!(
        explain(r#"{"reasons":"Back.*"}"#),
        json!({"decision": "passes", "spared": [],
            "matched": [{"field": "reasons", "value": "BackOff", "pattern": "Back.*"}]})
    );
}

#[test]
fn a_match_is_written_as_it_was_read() {
    let json =
        json!({"type": ["Warning"], "messages": ["a"], "components": [], "labels": {"k": ["v"]}});
    let wanted: Match = serde_json::from_value(json.clone()).expect("a match");
    assert_eq!(serde_json::to_value(&wanted).expect("JSON"), json);
    assert_eq!(serde_json::to_value(Match::default()).expect("JSON"), json!({}));
    let error = serde_json::from_str::<Match>(r#"{"labels":{"app":5}}"#).expect_err("a number");
    assert!(error.to_string().contains("expected a pattern, or a list of patterns"), "{error}");
}

/// Values and patterns of few letters, so that they match about as often as not.
fn any_list() -> impl Strategy<Value = Option<Vec<String>>> {
    prop::option::weighted(0.4, prop::collection::vec("[ab|]{0,2}|\\.\\*", 0..3))
}

fn any_match() -> impl Strategy<Value = Match> {
    let lists = (any_list(), any_list(), any_list(), any_list());
    (lists, any_list(), any_list(), any_list(), any_list()).prop_map(
        |((types, namespaces, kinds, names), reasons, messages, components, label)| Match {
            types,
            namespaces,
            kinds,
            names,
            reasons,
            messages,
            components,
            labels: label.into_iter().map(|list| ("app".to_owned(), list)).collect(),
        },
    )
}

fn any_record() -> impl Strategy<Value = Record> {
    prop::collection::vec("[ab]?", 8).prop_map(|texts| {
        record(&json!({
            "metadata": {"labels": {"app": texts[0]}}, "message": texts[1], "type": texts[2],
            "reason": texts[3], "reportingComponent": texts[4],
            "involvedObject": {"kind": texts[5], "namespace": texts[6], "name": texts[7]},
        }))
    })
}

/// The rules said again, slowly.
fn wants(wanted: &Match, record: &Record) -> bool {
    let event = record.event();
    let at = |list: &Option<Vec<String>>, pointer: &str| {
        list.as_ref().is_none_or(|list| has(list, event.text(pointer)))
    };
    at(&wanted.types, "/type")
        && at(&wanted.namespaces, "/involvedObject/namespace")
        && at(&wanted.kinds, "/involvedObject/kind")
        && at(&wanted.names, "/involvedObject/name")
        && at(&wanted.reasons, "/reason")
        && at(&wanted.messages, "/message")
        && at(&wanted.components, "/reportingComponent")
        && wanted.labels.values().all(|list| has(list, event.text("/metadata/labels/app")))
}

fn has(list: &[String], value: &str) -> bool {
    let is = |choice: &str| choice == ".*" || choice == value;
    list.iter().any(|pattern| pattern.split('|').any(is))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_passes_may_pass_and_is_explained_so(
        include in any_match(),
        exclude in prop::collection::vec(any_match(), 0..3),
        record in any_record(),
    ) {
        let filter = Filter::new(&include, &exclude).expect("patterns");
        let wanted = wants(&include, &record) && !exclude.iter().any(|rule| wants(rule, &record));
        prop_assert_eq!(filter.passes(&record), wanted);
        prop_assert_eq!(filter.explain(&record).passes(), wanted);
        prop_assert!(filter.may_pass(&record.header) || !wanted);
    }
}
