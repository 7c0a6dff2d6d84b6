//! `--sink=honeycomb:?options` of kube-eventer, in the words of a configuration.
//!
//! Source: kube-eventer, `common/honeycomb`. Invariant: the same columns go to the same dataset, and whatever
//! kube-eventer did silently gets a warning.

use serde_json::{Map, json};

use crate::setting::EventerUri;
use crate::sink::SinkError;
use crate::sink::options::hint;
use crate::sink::registry::{NAME_OPTION, Translation};

const OPTIONS: [&str; 3] = ["writekey", "dataset", "apihost"];

/// Where kube-eventer looks for a key that is not written down.
const KEY_VARIABLE: &str = "HONEYCOMB_WRITEKEY";

/// kube-eventer's default, from the program it was made of.
const DATASET: &str = "heapster";

/// Translates a URI.
#[allow(clippy::unnecessary_wraps)] // the signature of every kind
pub(super) fn translate(uri: &EventerUri) -> Result<Translation, SinkError> {
    let mut options = Map::new();
    let given = |option: &str| uri.first(option);
    let key = given("writekey").map_or_else(|| json!({"env": KEY_VARIABLE}), Into::into);
    options.insert("writeKey".to_owned(), key);
    options.insert("dataset".to_owned(), given("dataset").unwrap_or(DATASET).into());
    if let Some(url) = given("apihost") {
        options.insert("url".to_owned(), url.into());
    }
    let known: Vec<_> = OPTIONS.iter().copied().chain([NAME_OPTION]).collect();
    let unknown = uri.query.iter().filter(|(name, _)| !known.contains(&name.as_str()));
    let warnings = unknown.map(|(name, _)| {
        let hint = hint(name, known.iter().copied());
        format!("option `{name}` is unknown and ignored{hint}")
    });
    Ok(Translation { options, warnings: warnings.collect(), ..Translation::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn translated(text: &str) -> Translation {
        let uri = EventerUri::parse(text, &|_| None).expect("a valid URI");
        translate(&uri).expect("valid")
    }

    #[test]
    fn options_are_those_of_kube_eventer() {
        let defaults = json!({"writeKey": {"env": KEY_VARIABLE}, "dataset": "heapster"});
        assert_eq!(Value::Object(translated("honeycomb").options), defaults);
        let uri = "honeycomb:?writekey=k&dataset=d&apihost=https://api.eu1.honeycomb.io/&name=n";
        let translation = translated(uri);
        assert_eq!(
            Value::Object(translation.options),
            json!({"writeKey": "k", "dataset": "d", "url": "https://api.eu1.honeycomb.io/"})
        );
        assert!(translation.warnings.is_empty());
        let warnings = translated("honeycomb:?writeKey=k").warnings;
        assert!(warnings.len() == 1 && warnings[0].contains("did you mean `writekey`?"));
    }
}
