//! `--sink=KIND:URL?options` of kube-eventer, in the words of a configuration.
//!
//! Source: kube-eventer, `sinks/dingtalk` and `sinks/wechat`. The kinds kube-eventer does not have take
//! the same options behind the URL of their robot. Invariant: the same events get through, and whatever
//! kube-eventer did silently gets a warning.

use serde_json::{Map, Value, json};

use crate::event::Match;
use crate::setting::{EventerUri, read_pair};
use crate::sink::SinkError;
use crate::sink::options::{hint, wrong};
use crate::sink::registry::{NAME_OPTION, Translation};
use crate::sink::target::parse_url;

/// Options of every chat sink.
const COMMON: [&str; 5] = ["level", "namespaces", "kinds", "label", NAME_OPTION];

const DINGTALK: [&str; 5] = ["access_token", "msg_type", "cluster_id", "region", "sign"];
const WECHAT: [&str; 4] = ["corp_id", "corp_secret", "agent_id", "to_user"];
const SIGNED_ROBOT: [&str; 1] = ["sign"];

/// The namespace in which events about nodes and the like are kept.
const CLUSTER_SCOPED: &str = "default";

pub(super) fn dingtalk(uri: &EventerUri) -> Result<Translation, SinkError> {
    let token = required(uri, "access_token")?;
    let host = uri.host.as_deref().unwrap_or_default();
    if host.is_empty() {
        return Err(wrong(
            "url",
            "it names no host: write dingtalk:https://oapi.dingtalk.com/robot/send?access_token=…",
        ));
    }
    let mut translation = common(uri, &DINGTALK);
    // kube-eventer always asks by https. Other hosts are stand-ins, in tests and behind gateways.
    let plain = uri.scheme.as_deref() == Some("http") && host != "oapi.dingtalk.com";
    let scheme = if plain { "http" } else { "https" };
    let mut url =
        parse_url(&format!("{scheme}://{host}")).map_err(|reason| wrong("url", reason))?;
    url.set_path(&uri.path);
    url.query_pairs_mut().append_pair("access_token", token);
    let mut options = labels(uri);
    options.insert("url".to_owned(), url.to_string().into());
    match uri.first("msg_type") {
        None | Some("" | "text") => {}
        Some("markdown") => drop(options.insert("msgType".to_owned(), "markdown".into())),
        Some(_) => translation.warnings.push(
            "`msg_type` is neither text nor markdown and is read as text; the service refuses others"
                .to_owned(),
        ),
    }
    for (option, key) in [("cluster_id", "clusterId"), ("region", "region"), ("sign", "sign")] {
        if let Some(value) = uri.first(option).filter(|value| !value.is_empty()) {
            options.insert(key.to_owned(), value.into());
        }
    }
    Ok(Translation { options, ..translation })
}

pub(super) fn wechat(uri: &EventerUri) -> Result<Translation, SinkError> {
    let agent = required(uri, "agent_id")?;
    let agent: u64 = agent.parse().map_err(|_| wrong("agent_id", "it is not a number"))?;
    let mut options = labels(uri);
    options.insert("corpId".to_owned(), required(uri, "corp_id")?.into());
    options.insert("corpSecret".to_owned(), required(uri, "corp_secret")?.into());
    options.insert("agentId".to_owned(), agent.into());
    if let Some(users) = uri.first("to_user").filter(|users| !users.is_empty()) {
        let users: Vec<_> =
            users.split(',').map(str::trim).filter(|user| !user.is_empty()).collect();
        options.insert("toUser".to_owned(), json!(users));
    }
    // kube-eventer sends what it was told to, also twice the same.
    options.insert("duplicateCheck".to_owned(), false.into());
    Ok(Translation { options, ..common(uri, &WECHAT) })
}

/// A kind that kube-eventer does not have: the URL of its robot, with the options behind it.
pub(super) fn robot(uri: &EventerUri) -> Result<Translation, SinkError> {
    robot_with(uri, &[])
}

fn robot_with(uri: &EventerUri, own: &[&str]) -> Result<Translation, SinkError> {
    let is_option = |pair: &str| {
        let known = |name: &str| COMMON.contains(&name) || own.contains(&name);
        read_pair(pair).is_some_and(|(name, _)| known(&name))
    };
    let raw = uri.raw.split('#').next().unwrap_or_default();
    let (front, query) = raw.split_once('?').unwrap_or((raw, ""));
    let kept: Vec<_> =
        query.split('&').filter(|pair| !pair.is_empty() && !is_option(pair)).collect();
    let url =
        if kept.is_empty() { front.to_owned() } else { format!("{front}?{}", kept.join("&")) };
    parse_url(&url).map_err(|reason| wrong("url", reason))?;
    let mut options = labels(uri);
    options.insert("url".to_owned(), url.into());
    let mut translation = filtered(uri);
    translation.options = options;
    Ok(translation)
}

/// The same with the secret of a signature.
pub(super) fn signed_robot(uri: &EventerUri) -> Result<Translation, SinkError> {
    let mut translation = robot_with(uri, &SIGNED_ROBOT)?;
    if let Some(secret) = uri.first("sign").filter(|secret| !secret.is_empty()) {
        translation.options.insert("sign".to_owned(), secret.into());
    }
    Ok(translation)
}

fn required<'a>(uri: &'a EventerUri, option: &str) -> Result<&'a str, SinkError> {
    let value = uri.first(option).filter(|value| !value.is_empty());
    value.ok_or_else(|| wrong(option, "it is required"))
}

fn labels(uri: &EventerUri) -> Map<String, Value> {
    let labels: Vec<_> = uri.all("label").collect();
    let mut options = Map::new();
    if !labels.is_empty() {
        options.insert("labels".to_owned(), json!(labels));
    }
    options
}

fn common(uri: &EventerUri, own: &[&str]) -> Translation {
    let mut translation = filtered(uri);
    let known: Vec<_> = own.iter().chain(&COMMON).copied().collect();
    for (name, _) in uri.query.iter().filter(|(name, _)| !known.contains(&name.as_str())) {
        let hint = hint(name, known.iter().copied());
        translation.warnings.push(format!("option `{name}` is unknown and ignored{hint}"));
    }
    translation
}

/// What kube-eventer's `level`, `namespaces` and `kinds` let through.
fn filtered(uri: &EventerUri) -> Translation {
    let mut warnings = Vec::new();
    let types = match uri.first("level").unwrap_or("Warning") {
        "Warning" => Some(vec!["Warning".to_owned()]),
        "Normal" => Some(vec!["Normal".to_owned(), "Warning".to_owned()]),
        _ => {
            warnings.push(
                "`level` is neither Normal nor Warning and lets every event through, as with \
                 kube-eventer"
                    .to_owned(),
            );
            None
        }
    };
    let mut namespaces = exact(uri, "namespaces");
    if let Some(names) = &mut namespaces
        && names.iter().any(|name| name == CLUSTER_SCOPED)
    {
        // kube-eventer looks at the namespace of the event, which is `default` for nodes.
        names.push(String::new());
    }
    let include = Match { types, namespaces, kinds: exact(uri, "kinds"), ..Match::default() };
    Translation { include, warnings, ..Translation::default() }
}

/// Values that have to be equal, as patterns. Nothing at all means every value.
fn exact(uri: &EventerUri, option: &str) -> Option<Vec<String>> {
    let values = uri.first(option).filter(|values| !values.is_empty())?;
    Some(values.split(',').map(regex::escape).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Filter, Header};

    fn parsed(text: &str) -> EventerUri {
        EventerUri::parse(text, &|_| None).expect("a valid URI")
    }

    const ROBOT: &str = "dingtalk:https://oapi.dingtalk.com/robot/send?access_token=tok";

    fn passes(options: &str, event_type: &str, namespace: &str, kind: &str) -> bool {
        let translation = dingtalk(&parsed(&format!("{ROBOT}&{options}"))).expect("valid");
        let filter = Filter::new(&translation.include, &translation.exclude).expect("patterns");
        filter.may_pass(&Header {
            event_type: event_type.into(),
            namespace: namespace.into(),
            kind: kind.into(),
            ..Header::default()
        })
    }

    #[test]
    fn dingtalk_keeps_what_kube_eventer_was_told() {
        let uri =
            format!("{ROBOT}&label=a&label=b&msg_type=markdown&cluster_id=c&region=r&sign=SEC");
        let translation = dingtalk(&parsed(&uri)).expect("valid");
        assert_eq!(
            Value::Object(translation.options),
            json!({"labels": ["a", "b"], "msgType": "markdown", "clusterId": "c", "region": "r",
                "sign": "SEC", "url": "https://oapi.dingtalk.com/robot/send?access_token=tok"})
        );
        assert!(translation.warnings.is_empty(), "{:?}", translation.warnings);
        for (uri, url) in [
            (
                "dingtalk:http://oapi.dingtalk.com/r?access_token=t",
                "https://oapi.dingtalk.com/r?access_token=t",
            ),
            (
                "dingtalk:http://127.0.0.1:80/r?access_token=a%2Bb",
                "http://127.0.0.1/r?access_token=a%2Bb",
            ),
        ] {
            assert_eq!(dingtalk(&parsed(uri)).expect("valid").options["url"], url);
        }
        let missing = dingtalk(&parsed("dingtalk:https://oapi.dingtalk.com/robot/send"));
        assert!(missing.is_err_and(|error| error.to_string().contains("access_token")));
    }

    #[test]
    fn filters_match_what_kube_eventers_match() {
        assert!(!passes("", "Normal", "n", "Pod") && passes("", "Warning", "n", "Pod"));
        assert!(passes("level=Normal", "Normal", "n", "Pod"));
        assert!(!passes("level=Normal", "Odd", "n", "Pod"));
        assert!(passes("level=warning", "Odd", "n", "Pod"), "a wrong level lets all through");
        assert!(passes("namespaces=", "Warning", "n", "Pod"), "empty means all");
        assert!(!passes("namespaces=a,b", "Warning", "n", "Pod"));
        assert!(passes("namespaces=default", "Warning", "", "Node"));
        assert!(passes("kinds=Pod,Node", "Warning", "", "Node"));
    }

    #[test]
    fn wechat_joins_its_users() {
        let uri = "wechat:?corp_id=c&corp_secret=s&agent_id=7&to_user=a,b&label=l";
        let translation = wechat(&parsed(uri)).expect("valid");
        assert_eq!(
            Value::Object(translation.options),
            json!({"labels": ["l"], "corpId": "c", "corpSecret": "s", "agentId": 7,
                "toUser": ["a", "b"], "duplicateCheck": false})
        );
        assert!(wechat(&parsed("wechat:?corp_id=c&corp_secret=s&agent_id=x")).is_err());
    }

    #[test]
    fn a_robot_keeps_the_parameters_of_its_url() {
        let uri = "feishu:https://h/hook/1?sig=a%2Bb&level=Normal&label=x&sign=s";
        let translation = signed_robot(&parsed(uri)).expect("valid");
        assert_eq!(
            Value::Object(translation.options),
            json!({"labels": ["x"], "url": "https://h/hook/1?sig=a%2Bb", "sign": "s"})
        );
    }

    #[test]
    fn traps_get_a_warning() {
        for (options, expected) in [
            ("level=Error", "`level` is neither"),
            ("msg_type=card", "`msg_type`"),
            ("levle=Normal", "did you mean `level`?"),
        ] {
            let warnings =
                dingtalk(&parsed(&format!("{ROBOT}&{options}"))).expect("valid").warnings;
            assert!(warnings.len() == 1 && warnings[0].contains(expected), "{warnings:?}");
        }
    }
}
