//! `--sink=webhook:URL?options` of kube-eventer, in the words of a configuration.
//!
//! Source: kube-eventer, `sinks/webhook` and `common/filters`. Invariant: the same events go to the
//! same URL with the same body, except where kube-eventer would have damaged them; whatever it did
//! silently gets a warning.

use regex::Regex;
use serde_json::{Map, Value, json};

use crate::event::Match;
use crate::setting::{EventerUri, read_pair};
use crate::sink::registry::{NAME_OPTION, Translation};
use crate::sink::{SinkError, options};

use super::options::parse_header_name;
use crate::sink::options::wrong;
use crate::sink::target::parse_url;

/// The body kube-eventer sends unless a `ConfigMap` has another one.
const DEFAULT_BODY: &str = r#"
{
	"EventType": "{{ .Type }}",
	"EventKind": "{{ .InvolvedObject.Kind }}",
	"EventReason": "{{ .Reason }}",
	"EventTime": "{{ .LastTimestamp }}",
	"EventMessage": "{{ .Message }}"
}"#;

const CONFIG_MAP: &str = "custom_body_configmap";
const CONFIG_MAP_NAMESPACE: &str = "custom_body_configmap_namespace";

/// kube-eventer's options. They stand in the URL of the target, but are not for it.
const OPTIONS: [&str; 8] = [
    "method",
    "header",
    "level",
    "namespaces",
    "kinds",
    "reason",
    CONFIG_MAP,
    CONFIG_MAP_NAMESPACE,
];

/// Translates a URI.
pub(super) fn translate(uri: &EventerUri) -> Result<Translation, SinkError> {
    let url = target(&uri.raw);
    parse_url(&url).map_err(|reason| wrong("url", reason))?;
    let mut translation = Translation::default();
    let mut options = Map::new();
    options.insert("url".to_owned(), url.into());
    options.insert("method".to_owned(), uri.first("method").unwrap_or("GET").into());
    let headers = headers(uri, &mut translation.warnings);
    if !headers.is_empty() {
        options.insert("headers".to_owned(), headers.into());
    }
    options.insert("body".to_owned(), body(uri));
    translation.options = options;
    filter(uri, &mut translation);
    warn_of_names(uri, &mut translation.warnings);
    Ok(translation)
}

/// The URL without kube-eventer's own options; everything else in it stays as it is.
fn target(raw: &str) -> String {
    let raw = raw.split('#').next().unwrap_or_default();
    let Some((front, query)) = raw.split_once('?') else { return raw.to_owned() };
    let is_option =
        |pair: &str| read_pair(pair).is_some_and(|(name, _)| OPTIONS.contains(&name.as_str()));
    let kept: Vec<_> =
        query.split('&').filter(|pair| !pair.is_empty() && !is_option(pair)).collect();
    if kept.is_empty() { front.to_owned() } else { format!("{front}?{}", kept.join("&")) }
}

/// `header=Name=Value`: the first `=` separates, so that a value may contain more of them.
fn headers(uri: &EventerUri, warnings: &mut Vec<String>) -> Map<String, Value> {
    let mut headers = Map::new();
    for header in uri.all("header") {
        match header.split_once('=') {
            Some((name, value)) if parse_header_name(name).is_ok() => {
                headers.insert(name.to_owned(), value.into());
            }
            _ => warnings
                .push("a `header` is ignored, because it is not of the form Name=Value".to_owned()),
        }
    }
    headers
}

fn body(uri: &EventerUri) -> Value {
    match uri.first(CONFIG_MAP).filter(|name| !name.is_empty()) {
        Some(name) => {
            let namespace = uri.first(CONFIG_MAP_NAMESPACE).unwrap_or("default");
            json!({"configMap": {"namespace": namespace, "name": name}})
        }
        None => json!({"text": DEFAULT_BODY}),
    }
}

fn filter(uri: &EventerUri, translation: &mut Translation) {
    let warnings = &mut translation.warnings;
    let include = Match {
        types: uri.first("level").map(|level| types(level, warnings)),
        namespaces: exact(uri, "namespaces", warnings),
        kinds: exact(uri, "kinds", warnings),
        reasons: list(uri, "reason", warnings).map(|patterns| reasons(&patterns, warnings)),
        ..Match::default()
    };
    // kube-eventer never matches an empty reason, not even with `.*`.
    let matches_nothing = |pattern: &String| Regex::new(pattern).is_ok_and(|it| it.is_match(""));
    if include.reasons.as_ref().is_some_and(|reasons| reasons.iter().any(matches_nothing)) {
        translation.exclude.push(Match { reasons: Some(vec![String::new()]), ..Match::default() });
    }
    translation.include = include;
}

fn types(level: &str, warnings: &mut Vec<String>) -> Vec<String> {
    let types: &[&str] = if level == "Normal" { &["Normal", "Warning"] } else { &["Warning"] };
    if level != "Normal" && level != "Warning" {
        warnings.push(
            "`level` is neither Normal nor Warning and is read as Warning, as kube-eventer does"
                .to_owned(),
        );
    }
    types.iter().map(|name| (*name).to_owned()).collect()
}

/// Values that have to be equal, as patterns.
fn exact(uri: &EventerUri, option: &str, warnings: &mut Vec<String>) -> Option<Vec<String>> {
    let values = list(uri, option, warnings)?;
    // An empty value never matches, because kube-eventer does not look at empty fields.
    let values = values.iter().filter(|value| !value.is_empty());
    Some(values.map(|value| regex::escape(value)).collect())
}

/// The values of an option between commas. Only its first occurrence counts.
fn list<'a>(uri: &'a EventerUri, option: &str, warnings: &mut Vec<String>) -> Option<Vec<&'a str>> {
    let value = uri.first(option)?;
    if uri.all(option).count() > 1 {
        warnings.push(format!(
            "only the first `{option}` counts; put all values into one, with commas"
        ));
    }
    if value.is_empty() {
        warnings.push(format!(
            "`{option}` is empty, so this sink gets no event at all, as with kube-eventer; leave \
             it out to get all"
        ));
        return Some(Vec::new());
    }
    Some(value.split(',').collect())
}

/// Patterns that may match anywhere, as patterns over the whole reason.
fn reasons(patterns: &[&str], warnings: &mut Vec<String>) -> Vec<String> {
    let mut whole = Vec::new();
    for pattern in patterns {
        let anywhere = format!("(?s:.*)(?:{pattern})(?s:.*)");
        if Regex::new(pattern).is_ok() && Regex::new(&anywhere).is_ok() {
            whole.push(anywhere);
        } else {
            warnings.push(format!(
                "{pattern:?} in `reason` is not a regular expression and matches nothing, as with \
                 kube-eventer; to match any text write .*"
            ));
        }
    }
    whole
}

/// The URL may have parameters of its own, so only a name that is almost an option is suspicious.
fn warn_of_names(uri: &EventerUri, warnings: &mut Vec<String>) {
    for (name, _) in &uri.query {
        let known = OPTIONS.contains(&name.as_str()) || name == NAME_OPTION;
        if known {
            continue;
        }
        if let Some(near) = options::nearest(name, OPTIONS) {
            warnings.push(format!(
                "option `{name}` is unknown and goes to the target as part of its URL; did you \
                 mean `{near}`?"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Filter, Header};

    fn translated(text: &str) -> Translation {
        let uri = EventerUri::parse(text, &|_| None).expect("a valid URI");
        translate(&uri).expect("a valid webhook")
    }

    /// Whether an event passes the filters of a URI with these options.
    fn passes(options: &str, event_type: &str, reason: &str, namespace: &str) -> bool {
        let translation = translated(&format!("webhook:https://h/?{options}"));
        let filter = Filter::new(&translation.include, &translation.exclude).expect("patterns");
        filter.may_pass(&Header {
            event_type: event_type.into(),
            reason: reason.into(),
            namespace: namespace.into(),
            kind: "Pod".into(),
            ..Header::default()
        })
    }

    #[test]
    fn only_its_own_options_leave_the_url() {
        let cases = [
            (
                "https://h/p?access_token=a%2Bb&level=Warning&x=1;2",
                "https://h/p?access_token=a%2Bb&x=1;2",
            ),
            ("https://h/cgi?key=k&method=POST&header=A=b", "https://h/cgi?key=k"),
            ("https://h/p?&level=Normal", "https://h/p"),
            ("https://h/p?%6cevel=Normal&name=n#frag", "https://h/p?name=n"),
            ("https://h/p&level=Normal", "https://h/p&level=Normal"),
        ];
        for (uri, expected) in cases {
            let translation = translated(&format!("webhook:{uri}"));
            assert_eq!(translation.options["url"], expected, "{uri}");
        }
    }

    #[test]
    fn defaults_are_those_of_kube_eventer() {
        let translation = translated("webhook:https://h/");
        assert_eq!(translation.options["method"], "GET");
        assert_eq!(translation.options["body"]["text"], DEFAULT_BODY);
        assert_eq!(translation.include, Match::default());
        assert!(translation.warnings.is_empty(), "{:?}", translation.warnings);
        let translation = translated("webhook:https://h/?custom_body_configmap=c");
        let expected = json!({"configMap": {"namespace": "default", "name": "c"}});
        assert_eq!(translation.options["body"], expected);
    }

    #[test]
    fn header_values_may_contain_equals_signs() {
        let translation = translated(
            "webhook:https://h/?header=Authorization=Basic+YTpi==&header=X=1&header=X=2&header=bad",
        );
        let expected = json!({"Authorization": "Basic YTpi==", "X": "2"});
        assert_eq!(translation.options["headers"], expected);
        assert_eq!(translation.warnings.len(), 1);
    }

    #[test]
    fn filters_match_what_kube_eventers_match() {
        assert!(passes("a=b", "Normal", "", ""));
        assert!(passes("level=Normal", "Warning", "r", "n"));
        assert!(!passes("level=Warning", "Normal", "r", "n"));
        assert!(!passes("level=warning", "Normal", "r", "n"));
        assert!(!passes("level=", "Normal", "r", "n") && passes("level=", "Warning", "r", "n"));
        assert!(passes("namespaces=a,n.x", "Normal", "r", "n.x"));
        assert!(!passes("namespaces=a,n.x", "Normal", "r", "nyx"));
        assert!(!passes("namespaces=a,", "Normal", "r", ""));
        assert!(
            !passes("kinds=Node", "Normal", "r", "n") && passes("kinds=Pod", "Normal", "r", "")
        );
        for (pattern, reason, expected) in [
            ("Back", "BackOff", true),
            ("Off", "BackOff", true),
            ("^Off", "BackOff", false),
            ("^Back$,Kill|Off$", "BackOff", true),
            ("(?i)backoff", "BackOff", true),
            (".*", "BackOff", true),
            (".*", "", false),
            ("*Off*", "BackOff", false),
            ("*Off*,Back", "BackOff", true),
            ("x,", "BackOff", true),
        ] {
            assert_eq!(
                passes(&format!("reason={pattern}"), "Normal", reason, ""),
                expected,
                "{pattern}"
            );
        }
        for option in ["namespaces", "kinds", "reason"] {
            assert!(!passes(&format!("{option}="), "Warning", "BackOff", "n"), "{option}");
        }
    }

    #[test]
    fn traps_get_a_warning() {
        let cases = [
            ("level=Error", "level"),
            ("kinds=", "no event at all"),
            ("reason=*x*", "not a regular expression"),
            ("reason=a&reason=b", "only the first `reason`"),
            ("header=oops", "Name=Value"),
            ("namespace=a", "did you mean `namespaces`?"),
            ("levle=Normal", "did you mean `level`?"),
        ];
        for (options, expected) in cases {
            let warnings = translated(&format!("webhook:https://h/?{options}")).warnings;
            assert_eq!(warnings.len(), 1, "{options}: {warnings:?}");
            assert!(warnings[0].contains(expected), "{warnings:?}");
        }
        for harmless in ["access_token=a", "key=k", "timestamp=1&sign=s", "name=n", "token=t"] {
            let warnings = translated(&format!("webhook:https://h/?{harmless}")).warnings;
            assert!(warnings.is_empty(), "{harmless}: {warnings:?}");
        }
    }

    #[test]
    fn a_target_without_host_is_refused() {
        let uri = EventerUri::parse("webhook:?level=Normal", &|_| None).expect("a valid URI");
        let error = translate(&uri).expect_err("no host").to_string();
        assert!(error.starts_with("option url: "), "{error}");
    }
}
