//! The real binary: how it answers to a wrong command line, a wrong configuration, and a machine
//! that lacks something. Whatever is wrong, it says so in one line and leaves the disk untouched.

#![allow(clippy::expect_used)] // a test fails where an expectation is not met

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube_event_relay::event::{Generation, Position, Record, StreamId};
use kube_event_relay::log::{DataDirectory, Entry, Log, NewRecord};
use tempfile::TempDir;

const BINARY: &str = env!("CARGO_BIN_EXE_kube-event-relay");
const SOURCE: &str = "--source=kubernetes:https://kubernetes.default";

/// A directory of its own for each test, in which the program runs.
struct Place {
    directory: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a directory") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("written");
    }

    fn run(&self, arguments: &[&str]) -> Answer {
        self.run_as(Path::new(BINARY), arguments)
    }

    fn run_as(&self, program: &Path, arguments: &[&str]) -> Answer {
        let output = Command::new(program)
            .args(arguments)
            .current_dir(self.directory.path())
            .env("HOME", self.directory.path())
            .env("TOKEN", "s3cret")
            .env_remove("KUBECONFIG")
            .env_remove("KUBE_EVENT_RELAY_DATA_DIR")
            .env_remove("RUST_LOG")
            .output()
            .expect("the program runs");
        Answer::new(&output)
    }

    /// Every file and directory in it, with its content.
    fn listing(&self) -> BTreeSet<(PathBuf, Option<Vec<u8>>)> {
        let mut found = BTreeSet::new();
        let mut directories = vec![self.directory.path().to_owned()];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(&directory).expect("a listing") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    directories.push(path.clone());
                }
                found.insert((path.clone(), fs::read(&path).ok()));
            }
        }
        found
    }

    /// Runs it, and checks that it refuses in one line and leaves everything as it was.
    fn refused(&self, arguments: &[&str], code: i32) -> String {
        let before = self.listing();
        let answer = self.run(arguments);
        assert_eq!(self.listing(), before, "{arguments:?} changed something on disk");
        answer.refusal(arguments, code)
    }
}

/// What the program answered.
#[derive(Debug)]
struct Answer {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Answer {
    fn new(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
        Self {
            code: output.status.code(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }

    /// The one line of an error.
    fn refusal(self, arguments: &[&str], code: i32) -> String {
        assert_eq!(self.code, Some(code), "{arguments:?}: {self:?}");
        assert_eq!(self.stdout, "", "{arguments:?}");
        assert_eq!(self.stderr.lines().count(), 1, "{arguments:?}: {}", self.stderr);
        assert!(!self.stderr.contains("s3cret"), "{arguments:?}: {}", self.stderr);
        let line = self.stderr.trim_end().strip_prefix("error: ").map(str::to_owned);
        line.unwrap_or_else(|| panic!("{arguments:?}: {}", self.stderr))
    }

    /// The output of a success.
    fn success(self, arguments: &[&str]) -> (String, String) {
        assert_eq!(self.code, Some(0), "{arguments:?}: {self:?}");
        (self.stdout, self.stderr)
    }
}

#[test]
fn a_wrong_command_line_is_refused_with_code_2() {
    let place = Place::new();
    let cases: [(&[&str], &str); 16] = [
        (&["statuz"], "'status'"),
        (&["cursor", "show"], "<SINK>"),
        (&["status", "--bogus"], "--bogus"),
        (&["--sinkk=log"], "did you mean --sink?"),
        (&["run"], "exactly one --source is needed"),
        (&["run", SOURCE, "--sink=webhok:https://h/x?token=s3cret"], "webhook"),
        (&["run", SOURCE, "--sink=webhook:https://h/%gh?token=s3cret"], "%25"),
        (&["run", SOURCE, "--sink=webhook:?token=s3cret"], "--sink number 1 (webhook): option "),
        (&["run", "--source=kubernetes:127.0.0.1:80", "--sink=log"], "--source: "),
        (&["run", "--source=kubernetes:?insecure=maybe", "--sink=log"], "write true or false"),
        (&["run", SOURCE, "--retain=1 day"], "write numbers with units"),
        (&["run", SOURCE, "--max-bytes=2XB"], "write a number of bytes with a unit"),
        (&["run", SOURCE, "--healthz-port=many"], "write digits"),
        (&["run", SOURCE, "--when-full=stop"], "write pause or drop-oldest"),
        (&["config", "check"], "name a configuration file"),
        (&["config", "check", "a.yaml", "b.yaml"], "only one"),
    ];
    for (arguments, expected) in cases {
        let reason = place.refused(arguments, 2);
        assert!(reason.contains(expected), "{arguments:?}: {reason}");
    }
}

#[test]
fn a_wrong_file_is_refused_with_its_place() {
    let place = Place::new();
    let sink = |rest: &str| {
        format!(
            "sinks:\n- name: a\n  kind: webhook\n  options: {{url: 'https://h/s3cret'}}\n{rest}"
        )
    };
    let cases = [
        (
            "sinkz: []\n".to_owned(),
            "relay.yaml:1:1: unknown key \"sinkz\"; did you mean \"sinks\"?",
        ),
        ("log:\n  retain: 1d\n".to_owned(), "relay.yaml:2:11: \"1d\" is not a duration"),
        ("log:\n  maxBytes: 2XB\n".to_owned(), "relay.yaml:2:13: \"2XB\" is not a size"),
        ("telemetry: {verbosity: much}\n".to_owned(), "relay.yaml:1:24: expected a whole number"),
        ("admin: {listen: here}\n".to_owned(), "relay.yaml:1:17: not an address; write IP:PORT"),
        (
            sink("  match: {reasons: ['*']}\n"),
            "relay.yaml:5:11: reasons: \"*\" is not a regular expression",
        ),
        (sink("  rate: {messages: 0, per: 1m}\n"), "relay.yaml:5:10: rate.messages must not be 0"),
        (sink("- name: a\n  kind: log\n"), "relay.yaml:5:3: two sinks are named \"a\""),
        (
            "sinks:\n- name: a\n  kind: webhook\n  options: {ulr: s3cret}\n".to_owned(),
            "relay.yaml:4:13: sink \"a\": option ulr: ",
        ),
        (
            sink("").replace('}', ", ca: missing.crt}"),
            "relay.yaml:4:38: sink \"a\": option ca: missing.crt: No such file",
        ),
        (
            "sinks:\n- name: a\n  kind: slack\n  options: {url: {env: NOT_SET}, template: \"\\n{{ nmae }}\"}\n"
                .to_owned(),
            "relay.yaml:4:34: sink \"a\": option template: line 2: there is no variable `nmae`; \
             did you mean `name`?",
        ),
        ("sinks: [\n".to_owned(), "relay.yaml:"),
    ];
    for (text, expected) in cases {
        place.write("relay.yaml", &text);
        for arguments in
            [&["config", "check", "relay.yaml"][..], &["run", "--config", "relay.yaml"]]
        {
            let reason = place.refused(arguments, 1);
            assert!(reason.starts_with(expected), "{text}: {reason}");
        }
    }
    let reason = place.refused(&["run", "--config=missing.yaml"], 1);
    assert!(reason.contains("missing.yaml") && reason.contains("check the path"), "{reason}");
}

#[test]
fn what_the_machine_lacks_is_found_before_the_start() {
    let place = Place::new();
    place.write("file", "");
    place.write("kubeconfig", "clusters:\n- cluster: {certificate-authority: missing.crt}\n");
    place.write(
        "secret.yaml",
        "sinks:\n- {name: a, kind: webhook, options: {url: {env: NOT_SET}}}\n",
    );
    let data = ["--sink=log", "--data-dir=data"];
    let cases: [(Vec<&str>, &str); 5] =
        [
            (
                vec!["run", SOURCE, "--sink=log", "--data-dir=file/data"],
                "log.dataDir: the data directory file/data cannot be written",
            ),
            (vec!["run", SOURCE, "--sink=log", "--data-dir=file"], "log.dataDir: "),
            (
                [
                    &["run", "--source=kubernetes:?inClusterConfig=false&localKubeConfig=missing"]
                        [..],
                    &data,
                ]
                .concat(),
                "source.kubernetes.kubeconfig: the kubeconfig missing cannot be read",
            ),
            (
                [
                    &[
                        "run",
                        "--source=kubernetes:?inClusterConfig=false&localKubeConfig=kubeconfig",
                    ][..],
                    &data,
                ]
                .concat(),
                "source.kubernetes.kubeconfig: missing.crt, named in the kubeconfig kubeconfig, cannot be read",
            ),
            (
                vec!["run", "--config=secret.yaml"],
                "sinks[0].options.url: environment variable NOT_SET is not set",
            ),
        ];
    for (arguments, expected) in cases {
        let reason = place.refused(&arguments, 1);
        assert!(reason.starts_with(expected), "{arguments:?}: {reason}");
    }
}

#[test]
fn a_valid_configuration_is_said_to_be_valid() {
    let place = Place::new();
    place.write(
        "relay.yaml",
        "log: {dataDir: data}\nsinks:\n- {name: a, kind: log}\n- {name: b, kind: log}\n",
    );
    let before = place.listing();
    for (arguments, expected) in [
        (&["config", "check", "relay.yaml"][..], "configuration is valid: 2 sinks\n"),
        (
            &["config", "check", "--config", "relay.yaml", "-v=3"],
            "configuration is valid: 2 sinks\n",
        ),
        (
            &["config", "check", "--", SOURCE, "--sink=log", "--data-dir=data"],
            "configuration is valid: 1 sink\n",
        ),
        (
            &["config", "check", "-o", "json", "relay.yaml"],
            "{\n  \"valid\": true,\n  \"sinks\": 2,\n  \"warnings\": []\n}\n",
        ),
    ] {
        let output = place.run(arguments).success(arguments);
        assert_eq!(output, (expected.to_owned(), String::new()), "{arguments:?}");
    }
    let arguments = ["config", "check", "--", SOURCE, "--data-dir=data", "--frequency=30s"];
    let (stdout, stderr) = place.run(&arguments).success(&arguments);
    assert_eq!(stdout, "configuration is valid: 0 sinks\n");
    assert_eq!(stderr.lines().count(), 2, "{stderr}");
    assert!(stderr.lines().all(|line| line.starts_with("warning: ")), "{stderr}");
    assert_eq!(place.listing(), before);
}

#[test]
fn a_shown_configuration_has_no_secrets() {
    let place = Place::new();
    let flags = [
        SOURCE,
        "--sink=webhook:https://h/$TOKEN?method=POST&header=X-Key=s3cret",
        "--cluster=prod",
    ];
    for command in ["show", "convert"] {
        let arguments = [&["config", command, "--"], &flags[..]].concat();
        let (stdout, stderr) = place.run(&arguments).success(&arguments);
        assert!(!stdout.contains("s3cret") && !stderr.contains("s3cret"), "{stdout}{stderr}");
        assert!(stdout.contains("cluster: prod"), "{stdout}");
    }
    let arguments = [&["config", "show", "-o", "json", "--"][..], &flags].concat();
    let (stdout, _) = place.run(&arguments).success(&arguments);
    let shown: serde_json::Value = serde_json::from_str(&stdout).expect("JSON");
    assert_eq!(
        (&shown["cluster"], &shown["sinks"][0]["name"]),
        (&"prod".into(), &"webhook".into())
    );
    assert!(!stdout.contains("s3cret"), "{stdout}");
}

#[test]
fn a_converted_command_line_is_a_valid_file_that_means_the_same() {
    let place = Place::new();
    let flags = [
        SOURCE,
        "--sink=webhook:https://h/$TOKEN?method=POST&header=X-Key=s3cret&level=Warning",
        "--sink=log:?name=audit",
        "--sink=webhook:https://other/hook?",
        "--start=30m",
        "--max-bytes=1GiB",
        "--data-dir=data",
        "-v=4",
    ];
    let with = |command: &[&'static str]| [command, &flags[..]].concat();

    let convert = with(&["config", "convert", "--with-secrets", "--"]);
    place.write("full.yaml", &place.run(&convert).success(&convert).0);
    let check = ["config", "check", "full.yaml"];
    assert_eq!(place.run(&check).success(&check).0, "configuration is valid: 3 sinks\n");
    let (show_file, show_flags) =
        (["config", "show", "full.yaml"], with(&["config", "show", "--"]));
    let of_file = place.run(&show_file).success(&show_file).0;
    assert_eq!(of_file, place.run(&show_flags).success(&show_flags).0);

    let convert = with(&["config", "convert", "--"]);
    let text = place.run(&convert).success(&convert).0;
    assert!(text.contains("#   WEBHOOK_URL: option url of sink webhook\n"), "{text}");
    assert!(text.contains("env: WEBHOOK_2_URL"), "{text}");
    place.write("relay.yaml", &text);
    let check = ["config", "check", "relay.yaml"];
    let (stdout, stderr) = place.run(&check).success(&check);
    assert_eq!(stdout, "configuration is valid: 3 sinks\n");
    assert!(stderr.contains("environment variable WEBHOOK_URL is not set"), "{stderr}");
}

#[test]
fn the_examples_of_the_documentation_are_valid() {
    let place = Place::new();
    let text = include_str!("../docs/configuration.md");
    let examples = text.split("```yaml\n").skip(1).filter_map(|text| text.split("```").next());
    let mut kinds = String::new();
    for example in examples {
        place.write("relay.yaml", example);
        let check = ["config", "check", "relay.yaml"];
        let (stdout, stderr) = place.run(&check).success(&check);
        assert!(stdout.starts_with("configuration is valid"), "{example}: {stderr}");
        kinds.push_str(example);
    }
    for kind in ["dingtalk", "wechat", "wecom-robot", "feishu", "slack", "teams"] {
        assert!(kinds.contains(&format!("kind: {kind}\n")), "{kind} has an example");
    }
}

const SINKS: &str = "
log: {dataDir: data}
sinks:
- name: oncall
  kind: log
  match: {type: Warning, namespaces: [shop, 'prod-.*']}
  exclude: [{kinds: Job}, {messages: 'Back-off .*', components: kubelet}]
- name: audit
  kind: log
";

const EVENT: &str = r#"{"kind": "Event", "apiVersion": "v1", "type": "Warning", "reason": "BackOff",
  "message": "Back-off restarting failed container\nweb in pod web-7d4",
  "source": {"component": "COMPONENT"}, "metadata": {"resourceVersion": "4711"},
  "involvedObject": {"kind": "Pod", "namespace": "shop", "name": "web-7d4"}}"#;

#[test]
fn the_page_of_sinks_is_true() {
    let place = Place::new();
    let made = place.run(&["sink", "list", "-o", "markdown"]);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/sinks.md");
    let page = fs::read_to_string(path).expect("docs/sinks.md");
    let remedy = "run: cargo run -- sink list -o markdown >docs/sinks.md";
    assert_eq!(made.stdout, page, "{remedy}");
}

#[test]
fn the_page_of_metrics_is_true() {
    let place = Place::new();
    let made = place.run(&["metrics", "-o", "markdown"]);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    let page = fs::read_to_string(path).expect("docs/metrics.md");
    let remedy = "run: cargo run -- metrics -o markdown >docs/metrics.md";
    assert_eq!(made.stdout, page, "{remedy}");
    let (table, _) = place.run(&["metrics"]).success(&["metrics"]);
    assert!(table.contains("\nkube_event_relay_sink_dead_letters "), "{table}");
    let (json, _) = place.run(&["metrics", "-o", "json"]).success(&["json"]);
    let families: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(families[0]["type"], "gauge");
}

#[test]
fn shells_complete_commands_and_manual_pages_show_them() {
    let place = Place::new();
    let scripts = [
        ("bash", "complete -F _kube__event__relay"),
        ("zsh", "#compdef kube-event-relay"),
        ("fish", "complete -c kube-event-relay"),
    ];
    for (shell, line) in scripts {
        let (script, _) = place.run(&["completions", shell]).success(&[shell]);
        assert!(script.contains(line) && script.contains("dead-letter"), "{shell}: {script}");
    }
    let wrong = place.run(&["completions", "tcsh"]).refusal(&["tcsh"], 2);
    assert!(wrong.contains("none of bash, zsh, fish"), "{wrong}");
    let (page, _) = place.run(&["man"]).success(&["man"]);
    assert!(page.contains(".TH kube-event-relay 1") && page.contains("dead\\-letter"), "{page}");
    let command = ["man", "dead-letter", "retry"];
    let (page, _) = place.run(&command).success(&command);
    assert!(page.contains(".TH kube-event-relay-dead-letter-retry 1"), "{page}");
    assert!(page.contains("older\\-than"), "{page}");
    let wrong = place.run(&["man", "dead-letter", "burn"]).refusal(&["man"], 2);
    assert!(wrong.contains("there are: list, show, retry, discard"), "{wrong}");
}

#[test]
fn kinds_and_their_options_are_listed() {
    let place = Place::new();
    let (kinds, _) = place.run(&["sink", "list"]).success(&["sink", "list"]);
    assert!(kinds.contains("\nwebhook        HTTP requests"), "{kinds}");
    let mysql = place.run(&["sink", "list", "mysql"]).success(&["mysql"]).0;
    assert!(mysql.contains("\ndsn     secret  (required)"), "{mysql}");
    let wrong = place.run(&["sink", "list", "mysqll"]).refusal(&["mysqll"], 2);
    assert!(wrong.contains("did you mean `mysql`?"), "{wrong}");
    let (json, _) = place.run(&["sink", "list", "-o", "json"]).success(&["json"]);
    let kinds: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(kinds[0]["kind"], "log");
}

#[test]
fn a_sink_of_a_file_is_tried() {
    let place = Place::new();
    let config = "sinks: [{name: out, kind: log}, {name: gone, kind: webhook, \
                  options: {url: \"http://127.0.0.1:0/s3cret\"}}]\n";
    place.write("relay.yaml", config);
    let answer = place.run(&["sink", "test", "out", "--config", "relay.yaml"]);
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    assert!(answer.stdout.contains("\"reason\":\"RelayTest\""), "{}", answer.stdout);
    assert!(answer.stdout.contains("outcome  accepted"), "{}", answer.stdout);
    let answer = place.run(&["sink", "test", "gone", "--config", "relay.yaml"]);
    assert_eq!(answer.code, Some(1));
    assert!(answer.stdout.contains("outcome  not now"), "{}", answer.stdout);
    assert!(!answer.stdout.contains("s3cret"), "{}", answer.stdout);
    let answer = place.run(&["sink", "test", "pager", "--config", "relay.yaml"]);
    assert!(answer.stderr.contains("there is no sink \"pager\"; there are: out, gone"));
}

#[test]
fn a_filter_explains_itself_by_an_event_of_a_file() {
    let place = Place::new();
    place.write("relay.yaml", SINKS);
    place.write("kubelet.json", &EVENT.replace("COMPONENT", "kubelet"));
    let explain = |arguments: &[&str]| {
        let arguments = [&["config", "explain"], arguments].concat();
        place.run(&arguments).success(&arguments).0
    };
    let before = place.listing();
    let page = explain(&["--config", "relay.yaml", "--event", "kubelet.json"]);
    let expected = r#"Warning BackOff of Pod shop/web-7d4, resourceVersion 4711

SINK    VERDICT  WHY
oncall  stopped  exclude[1]: messages "Back-off restarting failed container\nweb in pod web-7d4" matches "Back-off .*", components "kubelet" matches "kubelet"
audit   passes   match: it is empty, and matches everything
"#;
    assert_eq!(page, expected);
    assert_eq!(explain(&["relay.yaml", "--event", "kubelet.json"]), expected);

    let list = format!("{{\"kind\": \"List\", \"items\": [{EVENT}, {{\"kind\": \"Event\"}}]}}");
    place.write("list.json", &list);
    let json = explain(&["--config=relay.yaml", "--event=list.json", "-o", "json"]);
    let explained: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let first = &explained[0]["sinks"][0];
    assert_eq!((&first["passes"], &first["decision"]), (&true.into(), &"passes".into()), "{json}");
    assert_eq!(first["spared"][1]["value"], "COMPONENT", "{json}");
    let second = &explained[1]["sinks"][0];
    assert_eq!((&second["decision"], &second["field"]), (&"notMatched".into(), &"type".into()));

    let flags = ["--", SOURCE, "--sink=webhook:https://h/$TOKEN?level=Warning&kinds=Node"];
    let page = explain(&[&["--event", "kubelet.json"], &flags[..]].concat());
    assert!(
        page.contains("\nwebhook  stopped  match: kinds \"Pod\" does not match \"Node\"\n"),
        "{page}"
    );
    fs::remove_file(place.path("list.json")).expect("removed");
    assert_eq!(place.listing(), before);
}

#[test]
fn what_cannot_be_explained_is_said_in_one_line() {
    let place = Place::new();
    place.write("relay.yaml", SINKS);
    place.write("pod.yaml", "kind: Pod\napiVersion: v1\n");
    place.write("torn.json", "{\"kind\":\n");
    let cases: [(&[&str], i32, &str); 7] = [
        (&["--config=relay.yaml"], 2, "--event"),
        (&["--event=pod.yaml"], 2, "name a configuration file"),
        (&["--event=07", "--config=relay.yaml"], 2, "write ./07 for a file of this name"),
        (&["--event=none.yaml", "--config=relay.yaml"], 1, "cannot read the event none.yaml: "),
        (&["--event=pod.yaml", "--config=relay.yaml"], 1, "it is \"Pod\" of \"v1\", not an event"),
        (&["--event=torn.json", "relay.yaml"], 1, "torn.json:2:1: not JSON: EOF while parsing"),
        (&["--event=7", "--data-dir=data", "relay.yaml"], 1, "there is no data directory at data"),
    ];
    for (arguments, code, expected) in cases {
        let reason = place.refused(&[&["config", "explain"], arguments].concat(), code);
        assert!(reason.contains(expected), "{arguments:?}: {reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_explains_itself_by_a_record_of_a_stopped_relay() {
    let place = Place::new();
    place.write("relay.yaml", SINKS);
    let directory = DataDirectory::open(&place.path("data"), Duration::ZERO).expect("a directory");
    let log = Log::open(Arc::new(directory), Arc::default()).expect("a log");
    let stream = log.stream(&StreamId::all_namespaces()).expect("a stream");
    let (version, header, body) = Record::parse_event(EVENT.as_bytes()).expect("an event");
    let position = Position::new(Generation(0), version);
    let record = NewRecord { position, received_at: Timestamp::now(), header, body };
    stream.append(Entry::Record(record)).await.expect("appended");
    stream.sync().await.expect("synced");
    log.close().await.expect("closed");
    drop((stream, log));

    let explain =
        ["config", "explain", "--config=relay.yaml", "--data-dir=data", "--event"].as_slice();
    let found = [explain, &["4711"]].concat();
    let page = place.run(&found).success(&found).0;
    assert!(page.contains("resourceVersion 4711\n") && page.contains("oncall  passes "), "{page}");
    let missing = [explain, &["4712"]].concat();
    let reason = place.run(&missing).refusal(&missing, 1);
    assert_eq!(
        reason,
        "the log has no record with resourceVersion 4712: stream all-namespaces has those from \
         0.4711 to 0.4711 (generation.resourceVersion)"
    );
}

#[test]
fn the_name_kube_eventer_makes_it_kube_eventer() {
    let place = Place::new();
    let program = place.path("kube-eventer");
    std::os::unix::fs::symlink(BINARY, &program).expect("a link");

    let answer = place.run_as(&program, &["--version"]);
    let (stdout, _) = answer.success(&["--version"]);
    assert!(stdout.starts_with("kube-eventer version: ") && stdout.ends_with("\n\n"), "{stdout:?}");

    let (stdout, _) = place.run_as(&program, &["-h"]).success(&["-h"]);
    assert!(stdout.contains("--healthz-port"), "{stdout}");

    let old = [
        SOURCE,
        "--logtostderr",
        "-v",
        "2",
        "--frequency=30s",
        "--sink=nosuchsink:https://h?token=s3cret",
    ];
    let reason = place.run_as(&program, &old).refusal(&old, 2);
    assert!(reason.starts_with("--sink number 1 (nosuchsink): unknown sink kind"), "{reason}");

    // Not a command of ours under this name: an argument that is no flag ends the flags.
    let reason = place.run_as(&program, &["status"]).refusal(&["status"], 2);
    assert!(reason.contains("exactly one --source is needed"), "{reason}");
}

#[test]
fn help_and_version_are_answers() {
    let place = Place::new();
    for (arguments, expected) in [
        (&["--version"][..], "kube-event-relay "),
        (&["-V"], "kube-event-relay "),
        (&["--help"], "Usage: kube-event-relay"),
        (&["run", "--help"], "Flags of kube-eventer:"),
        (&["config", "convert", "--help"], "--with-secrets"),
    ] {
        let (stdout, stderr) = place.run(arguments).success(arguments);
        assert!(stdout.contains(expected), "{arguments:?}: {stdout}");
        assert_eq!(stderr, "", "{arguments:?}");
    }
}
