//! `--sink=riemann:http://HOST:PORT?ttl=…&tags=…` of kube-eventer (`common/riemann`), in the words of a
//! configuration.

use serde_json::{Map, json};

use crate::setting::EventerUri;
use crate::sink::SinkError;
use crate::sink::options::{hint, wrong};
use crate::sink::registry::{NAME_OPTION, Translation};

const OPTIONS: [&str; 5] = ["ttl", "tags", "state", "batchsize", NAME_OPTION];

/// kube-eventer's defaults.
const ADDRESS: &str = "riemann-heapster:5555";
const TAG: &str = "heapster";

pub(super) fn translate(uri: &EventerUri) -> Result<Translation, SinkError> {
    let mut options = Map::new();
    let mut warnings = Vec::new();
    let address = uri.host.as_deref().filter(|host| !host.is_empty()).unwrap_or(ADDRESS);
    let address =
        if address.contains(':') { address.to_owned() } else { format!("{address}:5555") };
    options.insert("address".to_owned(), address.into());
    if let Some(ttl) = uri.first("ttl").filter(|ttl| !ttl.is_empty()) {
        let ttl: f32 = ttl.parse().map_err(|_| wrong("ttl", "it is not a number of seconds"))?;
        options.insert("ttl".to_owned(), json!(ttl));
    }
    let tags: Vec<_> = uri.all("tags").collect();
    let tags = if tags.is_empty() { vec![TAG] } else { tags };
    options.insert("tags".to_owned(), json!(tags));
    if uri.first("state").is_some() {
        warnings.push(
            "`state` has no effect, as with kube-eventer: Normal is ok, others are warning"
                .to_owned(),
        );
    }
    if uri.first("batchsize").is_some() {
        warnings.push(
            "`batchsize` has no effect; in a YAML file write batch: {maxRecords: …}".to_owned(),
        );
    }
    for (name, _) in uri.query.iter().filter(|(name, _)| !OPTIONS.contains(&name.as_str())) {
        warnings.push(format!("option `{name}` is unknown and ignored{}", hint(name, OPTIONS)));
    }
    Ok(Translation { options, warnings, ..Translation::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn options_keep_their_meaning() {
        let translated = |text| {
            let uri = EventerUri::parse(text, &|_| None).expect("a valid URI");
            translate(&uri).expect("valid")
        };
        let given = translated("riemann:http://r:1234?ttl=120&tags=a&tags=b&state=x");
        let expected = json!({"address": "r:1234", "ttl": 120.0, "tags": ["a", "b"]});
        assert_eq!(Value::Object(given.options), expected);
        assert_eq!(given.warnings.len(), 1);
        let default = translated("riemann");
        let expected = json!({"address": ADDRESS, "tags": ["heapster"]});
        assert_eq!(Value::Object(default.options), expected);
    }
}
