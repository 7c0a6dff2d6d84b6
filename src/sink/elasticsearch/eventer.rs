//! `--sink=elasticsearch:URL?options` of kube-eventer, in the words of a configuration.
//!
//! Source: kube-eventer, `sinks/elasticsearch` and `common/elasticsearch`. Invariant: the same documents go
//! to the same indexes; what kube-eventer ignored silently, or what is not needed here, gets a warning.

use serde_json::{Map, Value, json};

use crate::setting::{EventerUri, read_pair};
use crate::sink::SinkError;
use crate::sink::aws::{Environment, has_key_variable};
use crate::sink::options::{environment, hint, wrong};
use crate::sink::registry::{NAME_OPTION, Translation};

/// kube-eventer's options, and the one for names.
const OPTIONS: [&str; 15] = [
    "nodes",
    "ver",
    "index",
    "use_namespace",
    "cluster_name",
    "esUserName",
    "esUserSecret",
    "maxRetries",
    "healthCheck",
    "sniff",
    "startupHealthcheckTimeout",
    "bulkWorkers",
    "pipeline",
    "sigv4",
    NAME_OPTION,
];

/// Switches of kube-eventer's client, which do not matter here, and why.
const NOT_NEEDED: [(&str, Check, &str); 5] = [
    ("maxRetries", is_number, "a delivery is tried again until it succeeds"),
    ("bulkWorkers", is_number, "there is one bulk request at a time, in order"),
    ("healthCheck", is_truth, "every delivery finds out by itself which node answers"),
    ("startupHealthcheckTimeout", is_time, "a server that is down at the start is waited for"),
    ("sniff", is_truth, "exactly the nodes that are named are asked"),
];

/// Whether kube-eventer reads a value.
type Check = fn(&str) -> bool;

/// What names of indexes begin with.
const INDEX: &str = "heapster";

/// Translates a URI.
pub(super) fn translate(uri: &EventerUri) -> Result<Translation, SinkError> {
    translate_in(uri, &environment)
}

fn translate_in(uri: &EventerUri, environment: Environment<'_>) -> Result<Translation, SinkError> {
    refuse_broken_pairs(&uri.raw_query)?;
    let mut warnings = Vec::new();
    let mut options = Map::new();
    options.insert("nodes".to_owned(), nodes(uri, &mut warnings)?);
    let index = uri.first("index").unwrap_or(INDEX);
    options.insert("index".to_owned(), index.into());
    options.insert("alias".to_owned(), format!("{index}-events").into());
    options.insert("clusterName".to_owned(), uri.first("cluster_name").unwrap_or("default").into());
    if let Some(value) = uri.first("use_namespace") {
        options.insert("indexPerNamespace".to_owned(), true.into());
        if is_truth(value) && value.starts_with(['0', 'f', 'F']) {
            warnings.push(
                "`use_namespace` is read as true whatever its value, as kube-eventer does; leave it \
                 out for one index a day"
                    .to_owned(),
            );
        }
    }
    if let Some(version) = uri.first("ver") {
        options.insert("version".to_owned(), number("ver", version)?.into());
    }
    if let Some(pipeline) = uri.first("pipeline").filter(|pipeline| !pipeline.is_empty()) {
        options.insert("pipeline".to_owned(), pipeline.into());
    }
    if uri.first("sigv4").is_some() || has_key_variable(environment) {
        // Keys and region are those of the environment.
        options.insert("sigv4".to_owned(), json!({}));
        warn_of_signature(uri, &mut warnings);
    } else {
        credentials(uri, &mut options, &mut warnings);
    }
    not_needed(uri, &mut warnings)?;
    warn_of_names(uri, &mut warnings);
    Ok(Translation { options, warnings, ..Translation::default() })
}

/// kube-eventer reads these options strictly: it refuses to start, rather than to drop one.
fn refuse_broken_pairs(query: &str) -> Result<(), SinkError> {
    let mut pairs = query.split('&').filter(|pair| !pair.is_empty());
    match pairs.find(|pair| read_pair(pair).is_none()) {
        Some(pair) => {
            let name = pair.split('=').next().unwrap_or_default();
            let known = OPTIONS.iter().find(|known| **known == name).copied();
            Err(wrong(
                known.unwrap_or("(unreadable)"),
                "it contains a `;` or a % without two hexadecimal digits; write them as %3B and %25",
            ))
        }
        None => Ok(()),
    }
}

/// The nodes that are named, or else the host of the URI.
fn nodes(uri: &EventerUri, warnings: &mut Vec<String>) -> Result<Value, SinkError> {
    let nodes: Vec<_> = uri.all("nodes").filter(|node| !node.is_empty()).collect();
    let host = uri.host.as_deref();
    if !nodes.is_empty() {
        if host.is_some() {
            warnings.push(
                "the host of the URI is ignored, because there are `nodes`; name it there too"
                    .to_owned(),
            );
        }
        return Ok(json!(nodes));
    }
    let (Some(scheme), Some(host)) = (uri.scheme.as_deref(), host) else {
        return Err(wrong(
            "nodes",
            "write elasticsearch:http://HOST:9200 or elasticsearch:?nodes=…",
        ));
    };
    if !uri.path.trim_matches('/').is_empty() {
        warnings.push(
            "the path of the URI is ignored, as kube-eventer does; where it is part of a node's URL, \
             write that as `nodes`"
                .to_owned(),
        );
    }
    if uri.user_info.is_some() {
        warnings.push(
            "user name and password in the URI are ignored, as kube-eventer does; write \
             `esUserName` and `esUserSecret`"
                .to_owned(),
        );
    }
    Ok(json!([format!("{scheme}://{host}")]))
}

fn credentials(uri: &EventerUri, options: &mut Map<String, Value>, warnings: &mut Vec<String>) {
    let given = |option| uri.first(option).filter(|value| !value.is_empty());
    match (given("esUserName"), given("esUserSecret")) {
        (Some(name), Some(secret)) => {
            options.insert("username".to_owned(), name.into());
            options.insert("password".to_owned(), secret.into());
        }
        (None, None) => {}
        _ => warnings.push(
            "`esUserName` and `esUserSecret` count together only; requests go without a credential"
                .to_owned(),
        ),
    }
}

/// What is not what it looks like where requests are signed.
fn warn_of_signature(uri: &EventerUri, warnings: &mut Vec<String>) {
    if uri.first("sigv4").is_none() {
        warnings.push(
            "requests are signed for AWS, because a variable with its keys is set, as kube-eventer does; unset it \
             where that is not meant"
                .to_owned(),
        );
    }
    if ["esUserName", "esUserSecret"].iter().any(|option| uri.first(option).is_some()) {
        warnings.push(
            "`esUserName` and `esUserSecret` do not count where requests are signed for AWS"
                .to_owned(),
        );
    }
}

fn not_needed(uri: &EventerUri, warnings: &mut Vec<String>) -> Result<(), SinkError> {
    for (option, is_valid, why) in NOT_NEEDED {
        let Some(value) = uri.first(option) else { continue };
        if !is_valid(value) {
            return Err(wrong(option, "kube-eventer cannot read its value either; leave it out"));
        }
        // What is asked for is what happens anyway.
        if option != "sniff" || value.starts_with(['1', 't', 'T']) {
            warnings.push(format!("`{option}` is not needed: {why}"));
        }
    }
    Ok(())
}

fn warn_of_names(uri: &EventerUri, warnings: &mut Vec<String>) {
    for (place, (name, _)) in uri.query.iter().enumerate() {
        if !OPTIONS.contains(&name.as_str()) {
            let hint = hint(name, OPTIONS);
            warnings.push(format!("option `{name}` is unknown and ignored{hint}"));
        } else if name != "nodes" && uri.query[..place].iter().any(|(before, _)| before == name) {
            warnings.push(format!("only the first `{name}` counts"));
        }
    }
}

fn number(option: &str, text: &str) -> Result<u64, SinkError> {
    text.parse().map_err(|_| wrong(option, "it is not a number"))
}

/// What Go's `strconv.Atoi` reads.
fn is_number(text: &str) -> bool {
    text.parse::<i64>().is_ok()
}

/// What Go's `strconv.ParseBool` reads.
fn is_truth(text: &str) -> bool {
    ["1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False"]
        .contains(&text)
}

/// Seconds, as a decimal number.
fn is_time(text: &str) -> bool {
    text.parse::<f64>().is_ok_and(f64::is_finite)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(text: &str) -> Result<Translation, String> {
        let uri = EventerUri::parse(text, &|_| None).expect("a valid URI");
        translate_in(&uri, &|_| None).map_err(|error| error.to_string())
    }

    #[test]
    fn every_option_keeps_its_meaning() {
        let uri = "elasticsearch:?nodes=http://a:9200&nodes=https://b:9200&ver=6&index=kube&use_namespace=true\
            &cluster_name=prod&esUserName=u&esUserSecret=s%2B1&pipeline=geo&name=es";
        let translation = translated(uri).expect("valid");
        assert_eq!(
            Value::Object(translation.options),
            json!({"nodes": ["http://a:9200", "https://b:9200"], "index": "kube", "alias": "kube-events",
                "clusterName": "prod", "indexPerNamespace": true, "version": 6, "pipeline": "geo",
                "username": "u", "password": "s+1"})
        );
        assert!(translation.warnings.is_empty(), "{:?}", translation.warnings);
    }

    #[test]
    fn defaults_are_those_of_kube_eventer() {
        let translation = translated("elasticsearch:http://es:9200?sniff=false").expect("valid");
        assert_eq!(
            Value::Object(translation.options),
            json!({"nodes": ["http://es:9200"], "index": "heapster", "alias": "heapster-events",
                "clusterName": "default"})
        );
        assert!(translation.warnings.is_empty(), "{:?}", translation.warnings);
    }

    #[test]
    fn traps_get_a_warning() {
        for (uri, expected) in [
            ("http://a:9200?nodes=http://b", "host of the URI is ignored"),
            ("http://a:9200/es", "path of the URI is ignored"),
            ("http://u:p@a:9200", "`esUserName` and `esUserSecret`"),
            ("http://a?esUserName=u", "without a credential"),
            ("http://a?use_namespace=false", "whatever its value"),
            ("http://a?sniff=true", "exactly the nodes"),
            ("http://a?healthCheck=false", "`healthCheck` is not needed"),
            ("http://a?maxRetries=3", "tried again until"),
            ("http://a?bulkWorkers=5", "in order"),
            ("http://a?startupHealthcheckTimeout=1", "is waited for"),
            ("http://a?ver=7&ver=6", "only the first `ver` counts"),
            ("http://a?cluster_nam=x", "did you mean `cluster_name`?"),
            ("http://a?level=Warning", "`level` is unknown and ignored"),
        ] {
            let warnings = translated(&format!("elasticsearch:{uri}")).expect(uri).warnings;
            assert!(warnings.len() == 1 && warnings[0].contains(expected), "{uri}: {warnings:?}");
        }
    }

    #[test]
    fn requests_are_signed_where_kube_eventer_signs_them() {
        let uri = "elasticsearch:https://search.eu-central-1.es.amazonaws.com?sigv4=&sniff=false";
        let translation = translated(uri).expect("valid");
        assert_eq!(translation.options["sigv4"], json!({}));
        assert!(translation.warnings.is_empty(), "{:?}", translation.warnings);

        let uri = "elasticsearch:https://es?esUserName=u&esUserSecret=s";
        let uri = EventerUri::parse(uri, &|_| None).expect("a valid URI");
        let set = |name: &str| (name == "AWS_SECRET_KEY").then(|| "s".to_owned());
        let Translation { options, warnings, .. } = translate_in(&uri, &set).expect("valid");
        assert_eq!((&options["sigv4"], options.get("username")), (&json!({}), None));
        assert!(warnings.len() == 2 && warnings[0].contains("unset it"), "{warnings:?}");
    }

    #[test]
    fn what_kube_eventer_refuses_is_refused() {
        for (uri, option) in [
            ("elasticsearch:?index=x", "nodes"),
            ("elasticsearch:http://a?ver=new", "ver"),
            ("elasticsearch:http://a?maxRetries=x", "maxRetries"),
            ("elasticsearch:http://a?sniff=yes", "sniff"),
            ("elasticsearch:http://a?esUserSecret=s3;cret", "esUserSecret"),
        ] {
            let error = translated(uri).expect_err(uri);
            assert!(error.starts_with(&format!("option {option}: ")), "{error}");
            assert!(!error.contains("cret;"), "{error}");
        }
    }
}
