//! `--sink=influxdb:URL?options` of kube-eventer, in the words of a configuration.
//!
//! Source: kube-eventer, `common/influxdb` and `sinks/influxdb`. Invariant: the same points go to the same
//! database of the same server, and whatever kube-eventer did silently gets a warning.

use serde_json::{Map, Value};

use crate::setting::EventerUri;
use crate::sink::SinkError;
use crate::sink::options::{hint, wrong};
use crate::sink::registry::{NAME_OPTION, Translation};
use crate::sink::target::parse_url;

/// Options with an effect.
const OPTIONS: [&str; 6] = ["user", "pw", "db", "withfields", "insecuressl", "cluster_name"];

/// Options that kube-eventer reads and does not use.
const UNUSED: [&str; 3] = ["retention", "disable_counter_metrics", "concurrency"];

/// kube-eventer's default of host, user and password.
const HOST: &str = "localhost:8086";
const ROOT: &str = "root";

/// Translates a URI.
pub(super) fn translate(uri: &EventerUri) -> Result<Translation, SinkError> {
    // Path and other schemes do not count, as with kube-eventer.
    let scheme = if uri.scheme.as_deref() == Some("https") { "https" } else { "http" };
    let url = format!("{scheme}://{}", uri.host.as_deref().unwrap_or(HOST));
    parse_url(&url).map_err(|reason| wrong("url", reason))?;
    check_unused(uri)?;
    let text = |option: &str| uri.first(option);
    let mut options = Map::new();
    let mut set = |key: &str, value: Value| drop(options.insert(key.to_owned(), value));
    set("url", url.into());
    set("user", text("user").unwrap_or(ROOT).into());
    set("password", text("pw").unwrap_or(ROOT).into());
    // The policy kube-eventer creates and writes to.
    set("retentionPolicy", "default".into());
    let with_fields = flag(uri, "withfields")?;
    set("points", if with_fields { "eventer-fields" } else { "eventer-json" }.into());
    if flag(uri, "insecuressl")? {
        set("insecure", true.into());
    }
    for (option, key) in [("db", "database"), ("cluster_name", "clusterName")] {
        if let Some(value) = text(option) {
            set(key, value.into());
        }
    }
    Ok(Translation { options, warnings: warnings(uri), ..Translation::default() })
}

/// A boolean as Go reads it.
fn flag(uri: &EventerUri, option: &str) -> Result<bool, SinkError> {
    match uri.first(option) {
        None | Some("0" | "f" | "F" | "FALSE" | "false" | "False") => Ok(false),
        Some("1" | "t" | "T" | "TRUE" | "true" | "True") => Ok(true),
        Some(_) => Err(wrong(option, "write true or false")),
    }
}

/// kube-eventer refuses bad values also of what it does not use.
fn check_unused(uri: &EventerUri) -> Result<(), SinkError> {
    flag(uri, "disable_counter_metrics")?;
    let concurrency = uri.first("concurrency").unwrap_or("1").parse::<i64>();
    if concurrency.is_ok_and(|number| number > 0) {
        return Ok(());
    }
    Err(wrong("concurrency", "it is not a number above 0"))
}

fn warnings(uri: &EventerUri) -> Vec<String> {
    let known: Vec<_> = OPTIONS.iter().chain(&UNUSED).copied().chain([NAME_OPTION]).collect();
    let mut warnings = vec![
        "kube-eventer's points have tags that are different for every event, such as `uid`, of \
         which InfluxDB takes 100000; in a configuration file `points: fields` or `json` have none"
            .to_owned(),
    ];
    if !uri.path.trim_matches('/').is_empty() && uri.host.is_some() {
        warnings.push(
            "the path of the URI is ignored, as kube-eventer does; in a configuration file it can be part of `url`"
                .to_owned(),
        );
    }
    if uri.user_info.is_some() {
        warnings.push(
            "user name and password in the URI are ignored, as kube-eventer does; write `user` and `pw`"
                .to_owned(),
        );
    }
    for (name, _) in &uri.query {
        if UNUSED.contains(&name.as_str()) {
            warnings.push(format!("option `{name}` has no effect, as with kube-eventer"));
        } else if !known.contains(&name.as_str()) {
            let hint = hint(name, known.iter().copied());
            warnings.push(format!("option `{name}` is unknown and ignored{hint}"));
        }
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn translated(text: &str) -> Result<Translation, SinkError> {
        translate(&EventerUri::parse(text, &|_| None).expect("a valid URI"))
    }

    #[test]
    fn defaults_are_those_of_kube_eventer() {
        let defaults = json!({"url": "http://localhost:8086", "user": "root", "password": "root",
            "retentionPolicy": "default", "points": "eventer-json"});
        for text in ["influxdb", "influxdb:?withfields=false", "influxdb:foo"] {
            let translation = translated(text).expect("valid");
            assert_eq!(Value::Object(translation.options), defaults, "{text}");
            assert_eq!(translation.warnings.len(), 1);
        }
    }

    #[test]
    fn options_are_those_of_kube_eventer() {
        let translation = translated(
            "influxdb:https://a:b@m:8086/path?user=u&pw=p%23&db=d&withfields=1&insecuressl=True\
             &cluster_name=c&retention=7d&levle=x",
        )
        .expect("valid");
        assert_eq!(
            Value::Object(translation.options),
            json!({"url": "https://m:8086", "user": "u", "password": "p#", "retentionPolicy":
                "default", "points": "eventer-fields", "insecure": true, "database": "d",
                "clusterName": "c"})
        );
        assert_eq!(translation.warnings.len(), 5, "{:?}", translation.warnings);
        assert!(translation.warnings[1].contains("the path of the URI is ignored"));
        assert!(translation.warnings[2].contains("write `user` and `pw`"));
        assert!(translation.warnings[3].contains("`retention` has no effect"));
    }

    #[test]
    fn what_kube_eventer_refuses_is_refused() {
        for (options, option) in [
            ("withfields=yes", "withfields"),
            ("insecuressl=", "insecuressl"),
            ("disable_counter_metrics=x", "disable_counter_metrics"),
            ("concurrency=0", "concurrency"),
        ] {
            let error = translated(&format!("influxdb:http://m:8086?{options}")).err();
            let error = error.expect("refused").to_string();
            assert!(error.starts_with(&format!("option {option}: ")), "{error}");
        }
    }
}
