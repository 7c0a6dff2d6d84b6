//! `--sink=sls:https://sls.aliyuncs.com?project=…&logStore=…` of kube-eventer, in the words of a
//! configuration. Source: kube-eventer, `sinks/sls`. Scheme, host and path of the URI mean nothing.

use serde_json::{Map, Value, json};

use crate::setting::EventerUri;
use crate::sink::SinkError;
use crate::sink::alibaba_cloud::translate_internal;
use crate::sink::options::{hint, wrong};
use crate::sink::registry::{NAME_OPTION, Translation};

/// The host in kube-eventer's own examples; nobody takes it for an endpoint.
const USUAL_HOST: &str = "sls.aliyuncs.com";

/// kube-eventer's options, and what they are called here.
const OPTIONS: [(&str, &str); 6] = [
    ("project", "project"),
    ("logStore", "logStore"),
    ("topic", "topic"),
    ("regionId", "region"),
    ("accessKeyId", "accessKeyId"),
    ("accessKeySecret", "accessKeySecret"),
];

pub(super) fn translate(uri: &EventerUri) -> Result<Translation, SinkError> {
    let mut options = Map::new();
    let mut warnings = Vec::new();
    for required in ["project", "logStore"] {
        if uri.first(required).is_none_or(str::is_empty) {
            return Err(wrong(required, "it is required"));
        }
    }
    if uri.host.as_deref().is_some_and(|host| host != USUAL_HOST) {
        warnings.push(
            "the address is not used, as with kube-eventer: the endpoint follows from `regionId` and `internal`; \
             another one can be in the variable SLS_ENDPOINT, or in a configuration file as `endpoint`"
                .to_owned(),
        );
    }
    for (option, key) in OPTIONS {
        if let Some(value) = uri.first(option).filter(|value| !value.is_empty()) {
            options.insert(key.to_owned(), value.into());
        }
    }
    translate_internal(uri, &mut options, &mut warnings);
    let mut labels = Map::new();
    for label in uri.all("label") {
        match label.split(',').collect::<Vec<_>>()[..] {
            [key, value] => drop(labels.insert(key.to_owned(), value.into())),
            _ => warnings
                .push("a `label` is ignored, because it is not of the form KEY,VALUE".to_owned()),
        }
    }
    if !labels.is_empty() {
        options.insert("labels".to_owned(), Value::Object(labels));
    }
    // kube-eventer's logs have no such field.
    options.insert("recordId".to_owned(), json!(false));
    let known = ["internal", "label", NAME_OPTION];
    let known: Vec<_> = OPTIONS.iter().map(|(option, _)| *option).chain(known).collect();
    for (name, _) in uri.query.iter().filter(|(name, _)| !known.contains(&name.as_str())) {
        let hint = hint(name, known.iter().copied());
        warnings.push(format!("option `{name}` is unknown and ignored{hint}"));
    }
    Ok(Translation { options, warnings, ..Translation::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(text: &str) -> Result<Translation, SinkError> {
        translate(&EventerUri::parse(text, &|_| None).expect("a valid URI"))
    }

    #[test]
    fn options_keep_their_meaning() {
        let uri = "sls:https://sls.aliyuncs.com?project=p&logStore=l&topic=k8s&regionId=cn-hangzhou\
                   &internal=false&label=a,b&label=c&accessKeyId=i&accessKeySecret=s";
        let translation = translated(uri).expect("valid");
        assert_eq!(
            Value::Object(translation.options),
            json!({"project": "p", "logStore": "l", "topic": "k8s", "region": "cn-hangzhou",
                "accessKeyId": "i", "accessKeySecret": "s", "internal": false, "labels": {"a": "b"},
                "recordId": false})
        );
        assert_eq!(translation.warnings.len(), 1, "{:?}", translation.warnings);
        assert!(translated("sls:https://h?project=p").is_err());
        let warnings = translated("sls:https://h?project=p&logStore=l").expect("valid").warnings;
        assert!(warnings.len() == 1 && warnings[0].contains("SLS_ENDPOINT"), "{warnings:?}");
    }
}
