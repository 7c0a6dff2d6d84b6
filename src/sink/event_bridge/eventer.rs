//! `--sink=eventbridge:?clusterId=…` of kube-eventer, in the words of a configuration.

use serde_json::Map;

use crate::setting::EventerUri;
use crate::sink::SinkError;
use crate::sink::alibaba_cloud::translate_internal;
use crate::sink::options::hint;
use crate::sink::registry::{NAME_OPTION, Translation};

/// kube-eventer's options, and what they are called here.
const OPTIONS: [(&str, &str); 5] = [
    ("clusterId", "clusterId"),
    ("regionId", "region"),
    ("eventBusName", "eventBus"),
    ("accessKeyId", "accessKeyId"),
    ("accessKeySecret", "accessKeySecret"),
];

#[allow(clippy::unnecessary_wraps)] // the signature of every kind
pub(super) fn translate(uri: &EventerUri) -> Result<Translation, SinkError> {
    let mut options = Map::new();
    let mut warnings = Vec::new();
    for (option, key) in OPTIONS {
        if let Some(value) = uri.first(option).filter(|value| !value.is_empty()) {
            options.insert(key.to_owned(), value.into());
        }
    }
    translate_internal(uri, &mut options, &mut warnings);
    let known: Vec<_> =
        OPTIONS.iter().map(|(option, _)| *option).chain(["internal", NAME_OPTION]).collect();
    for (name, _) in uri.query.iter().filter(|(name, _)| !known.contains(&name.as_str())) {
        let hint = hint(name, known.iter().copied());
        warnings.push(format!("option `{name}` is unknown and ignored{hint}"));
    }
    Ok(Translation { options, warnings, ..Translation::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn options_keep_their_meaning() {
        let uri =
            "eventbridge:?clusterId=c1&regionId=cn-hangzhou&eventBusName=b&internal=false&x=1";
        let uri = EventerUri::parse(uri, &|_| None).expect("a valid URI");
        let translation = translate(&uri).expect("valid");
        let expected =
            json!({"clusterId": "c1", "region": "cn-hangzhou", "eventBus": "b", "internal": false});
        assert_eq!(Value::Object(translation.options), expected);
        assert_eq!(translation.warnings.len(), 1);
        let uri = EventerUri::parse("eventbridge:?internal=no", &|_| None).expect("a valid URI");
        let translation = translate(&uri).expect("valid");
        assert!(translation.options.is_empty() && translation.warnings[0].contains("`internal`"));
    }
}
