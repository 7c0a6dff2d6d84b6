//! `docs/kube-eventer-options.md`: every line is what the program makes of that option, and no option of kube-eventer
//! is missing. What can be seen of an option is what `config convert` prints.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::harness::{Answer, BINARY, program};
use crate::rendering::repository;

const PAGE: &str = "docs/kube-eventer-options.md";

/// What flags are tried behind.
const LEAST: [&str; 2] = ["--source=kubernetes:https://kubernetes.default", "--sink=log"];

/// The options of kube-eventer 1.2.14, by the section of the page that has to name them.
const OPTIONS: [(&str, &str); 13] = [
    ("Source", "inClusterConfig insecure localKubeConfig auth useServiceAccount"),
    ("dingtalk", "access_token level namespaces kinds label msg_type cluster_id region sign"),
    ("wechat", "corp_id corp_secret agent_id to_user label level namespaces kinds"),
    (
        "webhook",
        "method header level namespaces kinds reason custom_body_configmap \
         custom_body_configmap_namespace",
    ),
    (
        "elasticsearch",
        "nodes ver index use_namespace cluster_name esUserName esUserSecret maxRetries \
         healthCheck sniff startupHealthcheckTimeout bulkWorkers pipeline sigv4",
    ),
    (
        "kafka",
        "brokers eventstopic timeseriestopic compression user password cacert cert key \
         insecuressl",
    ),
    ("mysql", "table"),
    ("mongo", ""),
    (
        "influxdb",
        "user pw db withfields insecuressl cluster_name retention disable_counter_metrics \
         concurrency",
    ),
    ("honeycomb", "writekey dataset apihost"),
    ("sls", "project logStore topic regionId accessKeyId accessKeySecret internal label"),
    ("eventbridge", "clusterId regionId accessKeyId accessKeySecret eventBusName internal"),
    ("riemann", "ttl batchsize tags state"),
];

/// The variables and files that kube-eventer reads.
const VARIABLES: &str = "KUBERNETES_SERVICE_HOST KUBERNETES_SERVICE_PORT \
    /var/run/secrets/kubernetes.io/serviceaccount HOME TZ HTTP_PROXY HTTPS_PROXY \
    NO_PROXY HONEYCOMB_WRITEKEY AWS_ACCESS_KEY_ID AWS_ACCESS_KEY \
    AWS_SECRET_ACCESS_KEY AWS_SECRET_KEY RegionId AccessKeyId AccessKeySecret \
    SLS_ENDPOINT ClusterId EventBusName OwnerAccountId ALIBABA_CLOUD_IMDS_ENDPOINT \
    ALIBABA_CLOUD_IMDSV2_DISABLED ALIBABA_CLOUD_ECS_METADATA /var/addon/token-config";

/// A line of a table.
struct Line {
    section: String,
    /// What the options of this table stand behind.
    behind: Option<String>,
    /// What is written on the command line, and variables as `$NAME=VALUE`.
    written: Vec<String>,
    outcome: Outcome,
    /// What the relay says.
    said: Vec<String>,
}

enum Outcome {
    /// The file contains this.
    Contains(Value),
    /// The file is the same as without.
    NoEffect,
    Refused,
    /// The program does something else, and ends.
    Ends,
}

/// What `config convert` makes of a command line.
#[derive(Default)]
struct Converted {
    code: Option<i32>,
    file: Value,
    said: Vec<String>,
}

fn between(text: &str, mark: char) -> Vec<String> {
    text.split(mark).skip(1).step_by(2).map(str::to_owned).collect()
}

fn outcome(cell: &str) -> Outcome {
    match cell {
        "" => Outcome::Ends,
        "no effect" => Outcome::NoEffect,
        "refused" => Outcome::Refused,
        _ => {
            let yaml = cell.trim_matches('`');
            Outcome::Contains(serde_saphyr::from_str(yaml).unwrap_or_else(|_| panic!("{cell}")))
        }
    }
}

/// The lines of all tables whose second column is the file.
fn lines() -> Vec<Line> {
    let page = std::fs::read_to_string(repository(PAGE)).expect("the page");
    let (mut section, mut behind, mut is_of_file) = (String::new(), None, false);
    let mut lines = Vec::new();
    for text in page.lines() {
        if let Some(title) = text.strip_prefix("## ") {
            (section, behind) = (title.to_owned(), None);
        } else if text.starts_with("Behind `") {
            behind = between(text, '`').into_iter().next();
        } else if let Some(row) = text.strip_prefix("| ").filter(|_| is_of_file) {
            let cells: Vec<_> = row.split('|').map(str::trim).collect();
            let [written, file, remark, ""] = cells[..] else { panic!("three columns: {text}") };
            lines.push(Line {
                section: section.clone(),
                behind: behind.clone(),
                written: between(written, '`'),
                outcome: outcome(file),
                said: between(remark, '"'),
            });
        } else if !text.starts_with('|') {
            is_of_file = false;
        }
        is_of_file |= text.starts_with("| kube-eventer | `relay.yaml` |");
    }
    lines
}

impl Line {
    /// Whether the whole source or sink is written, and nothing to compare it with.
    fn is_whole(&self) -> bool {
        ["--source=", "--sink="].iter().any(|flag| self.written[0].starts_with(flag))
    }

    fn is_of_sink(&self) -> bool {
        let first = self.behind.as_ref().unwrap_or(&self.written[0]);
        first.starts_with("--sink=") && self.section != "Flags"
    }

    /// The command line without the option.
    fn without(&self) -> Vec<String> {
        match &self.behind {
            Some(flag) => vec![flag.clone()],
            None => LEAST.map(str::to_owned).to_vec(),
        }
    }

    fn with(&self) -> Vec<String> {
        let written = &self.written[0];
        if self.is_whole() {
            let sink = (self.section == "Source").then(|| LEAST[1].to_owned());
            return [written.clone()].into_iter().chain(sink).collect();
        }
        let mut arguments = self.without();
        if written.starts_with("--") {
            arguments.extend(written.split(' ').map(str::to_owned));
        } else {
            let separator = if arguments[0].contains('?') { '&' } else { '?' };
            let separator =
                if arguments[0].contains(':') { separator.into() } else { ":?".to_owned() };
            arguments[0] = format!("{}{separator}{written}", arguments[0]);
        }
        arguments
    }

    fn variables(&self) -> Vec<(&str, &str)> {
        let variables = self.written[1..].iter().filter_map(|text| text.strip_prefix('$'));
        variables.map(|text| text.split_once('=').expect("NAME=VALUE")).collect()
    }

    /// What does not hold of this line.
    fn fault(&self) -> Option<String> {
        let with = convert(&self.with(), &self.variables());
        let code = if matches!(self.outcome, Outcome::Refused) { 2 } else { 0 };
        if with.code != Some(code) {
            return Some(format!("ends with {:?}: {:?}", with.code, with.said));
        }
        if matches!(self.outcome, Outcome::Ends) {
            return None;
        }
        let without = (!self.is_whole()).then(|| convert(&self.without(), &[]));
        let without = without.unwrap_or_default();
        self.fault_of_words(&with, &without).or_else(|| self.fault_of_file(&with, &without))
    }

    /// The relay says what the page quotes, and nothing else on account of this option.
    fn fault_of_words(&self, with: &Converted, without: &Converted) -> Option<String> {
        let said: Vec<_> = with.said.iter().filter(|said| !without.said.contains(said)).collect();
        let is_said = |text: &String| said.iter().any(|said| said.contains(text.as_str()));
        let holds = said.len() == self.said.len() && self.said.iter().all(is_said);
        (!holds).then(|| format!("says {said:?}"))
    }

    fn fault_of_file(&self, with: &Converted, without: &Converted) -> Option<String> {
        match &self.outcome {
            Outcome::Contains(part) => {
                let whole = json!({"sinks": [part]});
                let part = if self.is_of_sink() { &whole } else { part };
                if contains(&without.file, part) {
                    return Some("is there without the option".to_owned());
                }
                (!contains(&with.file, part)).then(|| format!("is not in {}", with.file))
            }
            Outcome::NoEffect if with.file != without.file => {
                Some(format!("has an effect: {}", with.file))
            }
            _ => None,
        }
    }
}

fn convert(arguments: &[String], variables: &[(&str, &str)]) -> Converted {
    let mut command = Command::new(BINARY);
    command.args(["config", "convert", "--with-secrets", "--"]).args(arguments);
    // Variables of whoever runs the test are none of its business.
    command.env_clear().envs(variables.iter().copied()).stdin(Stdio::null());
    let output = command.output().expect("the program starts");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    let said = text(output.stderr).lines().map(str::to_owned).collect();
    let file = serde_saphyr::from_str(&text(output.stdout)).unwrap_or_default();
    Converted { code: output.status.code(), file, said }
}

/// Whether all of `part` is in `whole`; lists are the same length, and `null` is what is not there.
fn contains(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            let value = |key| whole.get(key).unwrap_or(&Value::Null);
            part.iter().all(|(key, part)| contains(value(key), part))
        }
        (Value::Array(whole), Value::Array(part)) => {
            let mut pairs = whole.iter().zip(part);
            whole.len() == part.len() && pairs.all(|(whole, part)| contains(whole, part))
        }
        _ => whole == part,
    }
}

#[test]
fn every_line_is_what_becomes_of_the_option() {
    let lines = lines();
    assert!(lines.len() > 150, "{} lines were read", lines.len());
    let faults = lines.iter().filter_map(|line| {
        Some(format!("{}: {}: {}", line.section, line.written.join(" "), line.fault()?))
    });
    let faults: Vec<_> = faults.collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// Names in front of `=` in what is written.
fn names(section: &str) -> BTreeSet<String> {
    let lines = lines().into_iter().filter(|line| line.section == section);
    let written = lines.flat_map(|line| line.written);
    let parts =
        written.flat_map(|text| text.split(['?', '&']).map(str::to_owned).collect::<Vec<_>>());
    let name = |part: String| part.split(['=', ' ']).next().unwrap_or_default().to_owned();
    parts.map(name).collect()
}

#[test]
fn every_option_of_kube_eventer_is_there() {
    for (section, options) in OPTIONS {
        let named = names(section);
        let missing: Vec<_> =
            options.split_whitespace().filter(|option| !named.contains(*option)).collect();
        assert!(missing.is_empty(), "{section}: {missing:?}");
    }
}

#[test]
fn every_variable_that_kube_eventer_reads_is_there() {
    let page = std::fs::read_to_string(repository(PAGE)).expect("the page");
    let (_, table) = page.split_once("## Variables and files").expect("the table");
    let names = VARIABLES.split_whitespace();
    let missing: Vec<_> = names.filter(|name| !table.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// The flags of the usage text, but for those that are the relay's own.
fn flags(usage: &str) -> Vec<String> {
    let sections = usage.split("\n\n").filter(|text| !text.starts_with("Flags of this relay"));
    // A heading and how it is called come first.
    let words = sections.skip(2).flat_map(str::split_whitespace);
    let flags = words.filter_map(|word| word.strip_prefix('-'));
    let name = |flag: &str| flag.trim_start_matches('-').split('[').next().map(str::to_owned);
    flags.filter_map(name).collect()
}

#[test]
fn every_flag_of_kube_eventer_is_there() {
    let Answer { stdout, .. } = program(&["run", "--help"]);
    let (flags, named) = (flags(&stdout), names("Flags"));
    assert!(flags.len() >= 23, "{flags:?}");
    let missing: Vec<_> =
        flags.iter().filter(|flag| !named.contains(&format!("--{flag}"))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
