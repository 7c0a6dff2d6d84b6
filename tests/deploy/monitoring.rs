//! Alerts and dashboard speak of metrics that a running relay exports; the alerts fire when they should, and each
//! leads to a section of the operators' guide.

use std::collections::BTreeSet;
use std::process::Command;

use rig::{Cluster, Receiver};
use serde_json::Value;

use crate::documents::{GUIDE, GUIDE_IN_CHINESE};
use crate::harness::{Setup, live};
use crate::rendering::{kustomize, only, output, repository};

/// What Prometheus itself adds.
const OF_PROMETHEUS: [&str; 1] = ["up"];

/// Words of the query language that are followed by something other than a parenthesis.
const WORDS: [&str; 12] = [
    "and",
    "or",
    "unless",
    "by",
    "without",
    "on",
    "ignoring",
    "offset",
    "bool",
    "group_left",
    "group_right",
    "inf",
];

/// The rules, as Prometheus reads them.
fn rules() -> Value {
    only(&kustomize("overlays/monitoring"), "PrometheusRule")["spec"].clone()
}

fn alerts() -> Vec<Value> {
    rules()["groups"][0]["rules"].as_array().expect("rules").clone()
}

fn dashboard() -> Value {
    let objects = kustomize("overlays/monitoring");
    let text = objects.iter().find_map(|object| object["data"]["dashboard.json"].as_str());
    serde_json::from_str(text.expect("a dashboard")).expect("JSON")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is not a text"))
}

/// The expressions of the panels.
fn panels(dashboard: &Value) -> Vec<String> {
    let panels = dashboard["panels"].as_array().expect("panels").iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().expect("targets"));
    targets.map(|target| text(&target["expr"]).to_owned()).collect()
}

/// The variables that are asked of Prometheus: name, the series that have the values, and their label.
fn variables(dashboard: &Value) -> Vec<(String, String, String)> {
    let query = regex::Regex::new(r"^label_values\((.+), (\w+)\)$").expect("a pattern");
    let list = dashboard["templating"]["list"].as_array().expect("variables").iter();
    let asked = list.filter(|variable| variable["type"] == "query");
    asked
        .map(|variable| {
            let found = query.captures(text(&variable["query"]["query"])).expect("label_values");
            (text(&variable["name"]).to_owned(), found[1].to_owned(), found[2].to_owned())
        })
        .collect()
}

fn expressions() -> Vec<String> {
    let mut found: Vec<_> = alerts().iter().map(|alert| text(&alert["expr"]).to_owned()).collect();
    let dashboard = dashboard();
    found.extend(panels(&dashboard));
    found.extend(variables(&dashboard).into_iter().map(|(_, series, _)| series));
    found
}

/// What is within brackets of this kind, and the rest.
fn cut(text: &str, open: char, close: char) -> String {
    let mut depth = 0_u32;
    let kept = text.chars().filter(|letter| {
        depth += u32::from(*letter == open);
        let keep = depth == 0;
        depth -= u32::from(*letter == close);
        keep
    });
    kept.collect()
}

/// The metrics that an expression names: its words that are neither functions, nor labels, nor of the language.
fn metrics(expression: &str) -> BTreeSet<String> {
    let grouping = regex::Regex::new(r"\b(by|without|on|ignoring)\s*\([^)]*\)").expect("a pattern");
    let plain = cut(&cut(expression, '{', '}'), '[', ']');
    let plain = grouping.replace_all(&plain, " ").into_owned();
    let word = regex::Regex::new(r"[a-zA-Z_:][a-zA-Z0-9_:]*\b(\s*\()?").expect("a pattern");
    let words = word.find_iter(&plain).map(|found| found.as_str().trim());
    let words = words.filter(|word| !word.ends_with('(') && !WORDS.contains(word));
    // `5m` begins with a digit: what is left of it is a unit of time.
    words.filter(|word| word.len() > 1).map(str::to_owned).collect()
}

/// Every metric of a relay that has a stream and a sink.
async fn exported() -> BTreeSet<String> {
    let cluster = Cluster::start().await;
    let receiver = Receiver::start();
    let setup = Setup::new(cluster.folder(), cluster.kubeconfig_path());
    let relay = setup.webhook("hook", &receiver.url(), "").relay().start();
    live(&relay).await;
    cluster.client().create_event("default", &warning()).await;
    receiver.wait_for(crate::harness::PATIENCE, |requests| !requests.is_empty()).await;
    let shown = relay.get_text("/metrics").await;
    let lines = shown.lines().filter(|line| !line.starts_with('#'));
    let names = lines.filter_map(|line| line.split(['{', ' ']).next());
    let names = names.map(str::to_owned).collect();
    assert!(relay.terminate().await.success());
    names
}

fn warning() -> rig::EventSpec {
    rig::EventSpec { kind: "Warning".into(), ..rig::EventSpec::new("for-the-counters") }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_that_is_named_is_exported() {
    let exported = exported().await;
    let mut named = BTreeSet::new();
    for expression in expressions() {
        let metrics = metrics(&expression);
        assert!(!metrics.is_empty(), "{expression} names no metric");
        for metric in metrics {
            let known = exported.contains(&metric) || OF_PROMETHEUS.contains(&metric.as_str());
            assert!(known, "{expression}: a running relay exports no {metric}");
            named.insert(metric);
        }
    }
    println!("{} metrics named, {} exported", named.len(), exported.len());
}

#[test]
fn metrics_are_found_in_expressions() {
    for (expression, expected) in [
        ("absent(up{job=\"kube-event-relay\"} == 1)", vec!["up"]),
        (
            "max by (namespace, sink) (a_b offset 10m) > 900 and on (x) rate(c:d[5m]) > 0",
            vec!["a_b", "c:d"],
        ),
        ("x_total unless x_total offset 1h or vector(0)", vec!["x_total"]),
        (
            "topk(10, sum by (reason) (rate(e_total{job=\"$job\"}[$__rate_interval]))) * 60",
            vec!["e_total"],
        ),
    ] {
        let found: Vec<_> = metrics(expression).into_iter().collect();
        assert_eq!(found, expected, "{expression}");
    }
}

/// Prometheus' own checker reads the rules, and `tests/deploy/alerts.yaml` says when each fires.
#[test]
fn alerts_fire_when_they_should() {
    let folder = tempfile::tempdir().expect("a folder");
    let promtool = rig::promtool();
    let rules = serde_json::to_vec(&rules()).expect("JSON, which is YAML");
    std::fs::write(folder.path().join("rules.yaml"), rules).expect("written");
    let tests = folder.path().join("alerts.yaml");
    std::fs::copy(repository("tests/deploy/alerts.yaml"), &tests).expect("copied");
    let checked = output(
        Command::new(&promtool)
            .args(["check", "rules", "--lint=all", "--lint-fatal"])
            .arg(folder.path().join("rules.yaml")),
    );
    println!("{}", checked.trim());
    println!("{}", output(Command::new(&promtool).args(["test", "rules"]).arg(&tests)).trim());

    let tests: Value =
        serde_saphyr::from_str(&std::fs::read_to_string(&tests).expect("text")).expect("YAML");
    let tests = tests["tests"].as_array().expect("tests").iter();
    let cases: Vec<_> =
        tests.flat_map(|test| test["alert_rule_test"].as_array().expect("cases").clone()).collect();
    for alert in alerts() {
        let of_it = cases.iter().filter(|case| case["alertname"] == alert["alert"]);
        let fires =
            |case: &&Value| case["exp_alerts"].as_array().is_some_and(|alerts| !alerts.is_empty());
        let (firing, quiet): (Vec<_>, Vec<_>) = of_it.partition(fires);
        assert!(
            !firing.is_empty() && !quiet.is_empty(),
            "{} is tested firing and quiet",
            alert["alert"]
        );
    }
}

/// The anchor of a heading, as it is made of its text.
fn anchors(guide: &str) -> BTreeSet<String> {
    let headings = guide.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-"))
        .collect()
}

#[test]
fn every_alert_leads_to_the_guide() {
    for guide in [GUIDE, GUIDE_IN_CHINESE] {
        let anchors = anchors(&std::fs::read_to_string(repository(guide)).expect(guide));
        for alert in alerts() {
            let runbook = text(&alert["annotations"]["runbook_url"]);
            let (file, anchor) = runbook.split_once('#').expect("an anchor");
            assert_eq!(file, GUIDE);
            assert_eq!(anchor, text(&alert["alert"]).to_lowercase());
            assert!(anchors.contains(anchor), "{guide} has no section {anchor}");
        }
    }
}

/// Two relays can be told apart: by the job, and by the namespace, of which all are shown at first.
#[test]
fn the_dashboard_filters_by_job_and_namespace() {
    let dashboard = dashboard();
    let labels: Vec<_> =
        variables(&dashboard).into_iter().map(|(name, _, label)| (name, label)).collect();
    let same = |name: &str| (name.to_owned(), name.to_owned());
    assert_eq!(labels, ["job", "namespace"].map(same));
    let list = dashboard["templating"]["list"].as_array().expect("variables");
    let namespace = list.iter().find(|variable| variable["name"] == "namespace").expect("there");
    assert_eq!(
        (&namespace["includeAll"], &namespace["current"]["value"]),
        (&true.into(), &"$__all".into())
    );
    for expression in panels(&dashboard) {
        for metric in metrics(&expression) {
            let filtered = format!(r#"{metric}{{job="$job", namespace=~"$namespace"}}"#);
            let found = [metric, filtered].map(|text| expression.matches(&text).count());
            assert_eq!(found[0], found[1], "{expression}");
        }
    }
}

#[test]
fn the_dashboard_is_one() {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().expect("panels");
    let ids: BTreeSet<_> =
        panels.iter().map(|panel| panel["id"].as_u64().expect("an id")).collect();
    assert_eq!(ids.len(), panels.len(), "ids are unique");
    let mut taken = BTreeSet::new();
    for panel in panels {
        let title = text(&panel["title"]);
        assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{title} has a unit");
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
        let place = |side: &str| panel["gridPos"][side].as_u64().expect("a number");
        for x in place("x")..place("x") + place("w") {
            assert!(x < 24, "{title} is on the grid");
            for y in place("y")..place("y") + place("h") {
                assert!(taken.insert((x, y)), "{title} lies on another panel");
            }
        }
    }
}
