//! Promise 9: no secret is shown, in any form, anywhere, whatever a service says and however much is logged.
//!
//! The relay runs with every log line that there is, those of its libraries included, and with every kind of sink.
//! Each sink's target refuses, fails and accepts, and quotes each time what it was sent. Every secret contains a
//! word of letters and digits, which percent-encoding and JSON escapes leave as it is; base64 is looked for apart.

#![allow(clippy::expect_used)] // a test fails where an expectation is not met

mod fakes;
mod harness;
mod parrots;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use harness::{Setup, dead_letters, program, status_when};
use kube_event_relay::relay::Status;
use kube_event_relay::sink::registry::{self, KINDS, Kind, Options};
use parrots::{Mood, Subject};
use regex::Regex;
use rig::{Cluster, Relay};
use serde_json::{Value, json};

/// The paths of the admin interface that its document does not describe.
const ROUTES: &str = include_str!("../src/admin/server/routes.rs");

/// Everything that a relay has said in its lives, with where.
#[derive(Default)]
struct Said(Vec<(String, Vec<u8>)>);

impl Said {
    fn add(&mut self, place: impl Into<String>, text: impl Into<Vec<u8>>) {
        self.0.push((place.into(), text.into()));
    }

    /// What is asked for in a running relay.
    async fn add_answers(&mut self, relay: &Relay, config: &Path) {
        let paths = Regex::new(r#"route\(\s*"([^"]+)""#).expect("a pattern");
        let status: Status =
            serde_json::from_value(relay.get_json("/api/v1/status").await).expect("a status");
        let version = status.streams[0].frontier.as_deref().unwrap_or("1");
        let plain = paths.captures_iter(ROUTES).map(|path| path[1].to_owned());
        let document = relay.get_json("/api/v1/openapi.json").await;
        let described = document["paths"].as_object().expect("paths").clone().into_iter();
        let described = described.filter(|(_, methods)| methods.get("get").is_some());
        let paths: Vec<_> = plain.chain(described.map(|(path, _)| path)).collect();
        for known in ["/metrics", "/api/v1/status", "/api/v1/cursors"] {
            assert!(paths.iter().any(|path| path == known), "{known} is among {paths:?}");
        }
        let readiness = ["/readyz?verbose".to_owned(), "/nothing".to_owned()];
        for path in paths.into_iter().chain(readiness) {
            let path = path.replace("{sink}", "webhook").replace("{resource_version}", version);
            self.add(&path, relay.get(&path).await.1);
        }
        let (url, config) = (relay.admin_url().await, config.to_str().expect("a path of text"));
        for command in [
            &["status", "--server", &url][..],
            &["status", "-o", "json", "--server", &url],
            &["cursor", "list", "--server", &url],
            &["cursor", "show", "webhook", "--server", &url],
            &["log", "verify", "--server", &url],
            &["config", "show", config],
            &["config", "check", config],
            &["config", "convert", config],
        ] {
            let answer = program(command);
            self.add(command.join(" "), answer.stdout + &answer.stderr);
        }
    }

    /// What a stopped relay leaves behind.
    async fn add_remains(&mut self, relay: &Relay, data: &Path, sinks: &[String]) {
        for line in relay.lines() {
            self.add("output", line.text);
        }
        for sink in sinks {
            for letter in dead_letters(data, sink).await {
                self.add(format!("dead letter of {sink}"), letter.reason);
            }
        }
        let directory = data.to_str().expect("a path of text");
        for command in [&["status", "-o", "json"][..], &["cursor", "list"]] {
            let answer = program(&[command, &["--data-dir", directory]].concat());
            assert_eq!(answer.code, Some(0), "{}", answer.stderr);
            self.add(command.join(" "), answer.stdout + &answer.stderr);
        }
        for file in files(data) {
            let bytes = std::fs::read(&file).expect("a file");
            self.add(file.display().to_string(), bytes);
        }
    }

    /// The libraries that have logged something.
    fn libraries(&self) -> BTreeSet<String> {
        let target = Regex::new(r#""target":"([a-z0-9_]+)"#).expect("a pattern");
        let texts = self.0.iter().map(|(_, text)| String::from_utf8_lossy(text));
        let libraries = texts.filter_map(|text| Some(target.captures(&text)?[1].to_owned()));
        libraries.collect()
    }

    /// Where any of these words stands, in clear or in base64.
    fn leaks(&self, words: &BTreeSet<String>) -> BTreeSet<String> {
        let mut leaks = BTreeSet::new();
        let forms: Vec<_> =
            words.iter().flat_map(|word| forms(word).map(move |form| (word, form))).collect();
        for (place, text) in &self.0 {
            for (word, form) in &forms {
                if let Some(at) = memchr::memmem::find(text, form.as_bytes()) {
                    let around = &text[at.saturating_sub(160)..text.len().min(at + 80)];
                    leaks.insert(format!(
                        "{word} ({form}) in {place}: …{}…",
                        String::from_utf8_lossy(around)
                    ));
                }
            }
        }
        leaks
    }
}

/// A word, and what of it stands in the base64 of any text that contains it.
fn forms(word: &str) -> impl Iterator<Item = String> {
    let encoded = (0..3).flat_map(|before| {
        let text = format!("{}{word}", "-".repeat(before));
        [STANDARD_NO_PAD.encode(&text), URL_SAFE_NO_PAD.encode(&text)].map(|encoded| {
            // Letters at either end are made of what stands beside the word, too.
            let (start, end) = ((before * 4).div_ceil(3), text.len() * 4 / 3);
            encoded[start..end].to_owned()
        })
    });
    std::iter::once(word.to_owned()).chain(encoded.collect::<BTreeSet<_>>())
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() { files.extend(self::files(&path)) } else { files.push(path) }
    }
    files
}

#[test]
fn forms_are_found() {
    for text in ["xyzQ7wordQ7", "xQ7wordQ7yz", "Q7wordQ7/?", "é:Q7wordQ7"] {
        let encoded = STANDARD_NO_PAD.encode(text);
        assert!(forms("Q7wordQ7").any(|form| encoded.contains(&form)), "{text} {encoded}");
    }
}

/// Names of the options that are secret, found by trying: what is written there is not shown.
fn secret_options(kind: &Kind, options: &Options) -> BTreeSet<String> {
    const PROBE: &str = "http://h/Q7probe";
    let hides = |name: &str, value: Value| {
        let mut options = options.clone();
        options.insert(name.to_owned(), value);
        let shown = (kind.redact)(&options).ok();
        shown.is_some_and(|shown| !shown[name].to_string().contains("Q7probe"))
    };
    let is_secret = |name: &str| {
        // `sigv4.accessKeyId` is written into the mapping `sigv4`.
        if let Some((mapping, name)) = name.split_once('.') {
            let mut value = options.get(mapping).cloned().unwrap_or_else(|| json!({}));
            value[name] = PROBE.into();
            return hides(mapping, value);
        }
        let values = [json!(PROBE), json!([PROBE]), json!({"X-Probe": PROBE})];
        values.into_iter().any(|value| hides(name, value))
    };
    let names = (kind.options)().into_iter().map(|option| option.name);
    let names = names.filter(|name| is_secret(name));
    names.filter_map(|name| name.split('.').next().map(str::to_owned)).collect()
}

/// A kind that is new needs a subject in `tests/parrots`.
#[tokio::test]
async fn every_kind_has_a_subject_and_each_of_its_secrets_is_one_of_its_options() {
    let subjects = parrots::all().await;
    let kinds: BTreeSet<_> = subjects.iter().map(|subject| subject.kind).collect();
    assert_eq!(kinds, KINDS.iter().map(|kind| kind.name).collect());
    let mut missing = BTreeSet::new();
    let mut configured = BTreeSet::new();
    for Subject { name, kind, options, secrets, .. } in &subjects {
        let kind = registry::find(kind).expect("a kind");
        let options = options.as_object().expect("options");
        let shown = Value::Object((kind.redact)(options).expect("valid options")).to_string();
        for secret in secrets {
            let mut places = options.iter().filter(|(_, value)| value.to_string().contains(secret));
            let place = places.next().unwrap_or_else(|| panic!("{name}: {secret} is configured"));
            configured.insert((kind.name, place.0.clone()));
            assert!(!shown.contains(secret), "{name}: {secret} is redacted: {shown}");
        }
        missing.extend(secret_options(kind, options).into_iter().map(|option| (kind.name, option)));
    }
    assert!(missing.len() >= configured.len(), "{missing:?}");
    missing.retain(|option| !configured.contains(option));
    assert_eq!(missing, BTreeSet::new(), "they need a secret in a subject");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_shown_whatever_happens() {
    let cluster = Cluster::start().await;
    let subjects = parrots::all().await;
    let setup = subjects.iter().fold(
        Setup::new(cluster.folder(), cluster.kubeconfig_path())
            .option("telemetry: {verbosity: 10}"),
        |setup, subject| {
            // Short enough that every form of a quotation is quoted soon.
            let retry = json!({"initial": "5ms", "max": "20ms", "timeout": "10s"});
            let sink = json!({
                "name": subject.name, "kind": subject.kind, "options": subject.options,
                "batch": {"maxWait": "0s"}, "retry": retry,
                "rate": {"messages": 1000, "per": "1s"},
            });
            setup.sink(&sink.to_string())
        },
    );
    let names: Vec<_> = subjects.iter().map(|subject| subject.name.clone()).collect();
    let mut words: BTreeSet<String> =
        subjects.iter().flat_map(|subject| subject.secrets.clone()).collect();
    // What is not configured, and secret all the same.
    words.extend(parrots::GIVEN.map(str::to_owned));
    words.insert(cluster.admin_token().to_owned());
    let mut said = Said::default();
    // A new life tries at once what an old one would have held for a minute.
    for mood in [Mood::Unauthorized, Mood::Malformed, Mood::Coded, Mood::Fails] {
        for subject in &subjects {
            subject.be(mood).await;
        }
        cluster.client().create_events("default", 2, 1).await;
        let relay = setup.relay().env("RUST_LOG", "trace").start();
        let troubled = |status: &Status| {
            status.streams[0].live
                && status.sinks.iter().zip(&subjects).all(|(sink, subject)| {
                    subject.has_quoted_all(mood)
                        && (sink.failure.is_some() || sink.lag_records == 0)
                })
        };
        status_when(&relay, troubled).await;
        said.add_answers(&relay, &setup.write()).await;
        if mood == Mood::Fails {
            for subject in &subjects {
                subject.be(Mood::Accepts).await;
            }
            let well = |status: &Status| {
                let mut sinks = status.sinks.iter().zip(&subjects);
                sinks.all(|(sink, subject)| {
                    !subject.can_accept() || (sink.lag_records == 0 && sink.failure.is_none())
                })
            };
            status_when(&relay, well).await;
            said.add_answers(&relay, &setup.write()).await;
        }
        assert!(relay.terminate().await.success());
        said.add_remains(&relay, &setup.data(), &names).await;
    }
    let output: usize = said.0.iter().filter(|(place, _)| place == "output").count();
    println!("{} places and {output} lines of output were searched", said.0.len() - output);
    let libraries = said.libraries();
    println!("{libraries:?} have logged");
    for library in ["h2", "hyper_util", "reqwest", "rustls"] {
        assert!(libraries.contains(library), "{library} logs, too: {libraries:?}");
    }
    let leaks = said.leaks(&words);
    let count = leaks.len();
    let shown: Vec<_> = leaks.into_iter().take(40).collect();
    assert!(shown.is_empty(), "{count} leaks: {shown:#?}");
}
