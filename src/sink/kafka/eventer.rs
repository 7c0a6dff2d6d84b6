//! `--sink=kafka:?brokers=…` of kube-eventer, in the words of a configuration.
//!
//! Source: kube-eventer, `common/kafka`. Invariant: the same values go to the same topic; what kube-eventer
//! ignored silently, or could not do, gets a warning.

use serde_json::{Map, Value, json};

use crate::setting::{EventerUri, read_pair};
use crate::sink::SinkError;
use crate::sink::options::{hint, wrong};
use crate::sink::registry::{NAME_OPTION, Translation};

/// kube-eventer's options, and the one for names.
const OPTIONS: [&str; 11] = [
    "brokers",
    "eventstopic",
    "timeseriestopic",
    "compression",
    "user",
    "password",
    "cacert",
    "cert",
    "key",
    "insecuressl",
    NAME_OPTION,
];

/// kube-eventer's default.
const TOPIC: &str = "heapster-events";

const COMPRESSIONS: [&str; 4] = ["none", "gzip", "snappy", "lz4"];

/// Translates a URI.
pub(super) fn translate(uri: &EventerUri) -> Result<Translation, SinkError> {
    refuse_broken_pairs(&uri.raw_query)?;
    let mut warnings = Vec::new();
    let mut options = Map::new();
    let brokers = uri.all("brokers").flat_map(|text| text.split(',')).map(str::trim);
    let brokers: Vec<_> = brokers.filter(|broker| !broker.is_empty()).map(with_port).collect();
    if brokers.is_empty() {
        return Err(wrong("brokers", "write kafka:?brokers=HOST:9092"));
    }
    options.insert("brokers".to_owned(), json!(brokers));
    let topic = uri.first("eventstopic").filter(|topic| !topic.is_empty()).unwrap_or(TOPIC);
    options.insert("topic".to_owned(), topic.into());
    if let Some(compression) = uri.first("compression") {
        if !COMPRESSIONS.contains(&compression) {
            return Err(wrong("compression", "it is none, gzip, snappy or lz4"));
        }
        options.insert("compression".to_owned(), compression.into());
    }
    credentials(uri, &mut options, &mut warnings);
    tls(uri, &mut options, &mut warnings)?;
    if uri.host.is_some() || !uri.path.is_empty() {
        warnings.push(
            "host and path of the URI are ignored, as kube-eventer does; name brokers as `brokers`"
                .to_owned(),
        );
    }
    warn_of_names(uri, &mut warnings);
    Ok(Translation { options, warnings, ..Translation::default() })
}

/// kube-eventer reads these options strictly: it refuses to start, rather than to drop one.
fn refuse_broken_pairs(query: &str) -> Result<(), SinkError> {
    let mut pairs = query.split('&').filter(|pair| !pair.is_empty());
    let Some(pair) = pairs.find(|pair| read_pair(pair).is_none()) else { return Ok(()) };
    let name = pair.split('=').next().unwrap_or_default();
    let known = OPTIONS.iter().find(|known| **known == name).copied();
    Err(wrong(
        known.unwrap_or("(unreadable)"),
        "it contains a `;` or a % without two hexadecimal digits; write them as %3B and %25",
    ))
}

/// Kafka's own port, where none is written.
fn with_port(broker: &str) -> String {
    let has_port = broker.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
    if has_port { broker.to_owned() } else { format!("{broker}:9092") }
}

fn credentials(uri: &EventerUri, options: &mut Map<String, Value>, warnings: &mut Vec<String>) {
    let given = |option| uri.first(option).filter(|value| !value.is_empty());
    match (given("user"), given("password")) {
        (Some(user), Some(password)) => {
            options.insert("username".to_owned(), user.into());
            options.insert("password".to_owned(), password.into());
        }
        (None, None) => {}
        _ => warnings.push(
            "`user` and `password` count together only; brokers get no credential".to_owned(),
        ),
    }
}

fn tls(
    uri: &EventerUri,
    options: &mut Map<String, Value>,
    warnings: &mut Vec<String>,
) -> Result<(), SinkError> {
    let given = |option| uri.first(option).filter(|value| !value.is_empty());
    let ca = given("cacert");
    if let Some(ca) = ca {
        options.insert("ca".to_owned(), ca.into());
    }
    let pair = given("cert").zip(given("key"));
    match pair {
        Some((certificate, key)) => {
            options.insert("certificate".to_owned(), certificate.into());
            options.insert("key".to_owned(), key.into());
        }
        None if given("cert").or(given("key")).is_some() => warnings.push(
            "`cert` and `key` count together only; brokers are shown no certificate".to_owned(),
        ),
        None => {}
    }
    let insecure = match uri.first("insecuressl") {
        None | Some("0" | "f" | "F" | "FALSE" | "false" | "False") => false,
        Some("1" | "t" | "T" | "TRUE" | "true" | "True") => true,
        Some(_) => return Err(wrong("insecuressl", "write true or false")),
    };
    if insecure && (ca.is_some() || pair.is_some()) {
        options.insert("insecure".to_owned(), true.into());
    } else if insecure {
        warnings.push(
            "`insecuressl` has no effect, as with kube-eventer: TLS is on with `cacert`, or with \
             `cert` and `key`"
                .to_owned(),
        );
    }
    Ok(())
}

fn warn_of_names(uri: &EventerUri, warnings: &mut Vec<String>) {
    for (place, (name, _)) in uri.query.iter().enumerate() {
        if name == "timeseriestopic" {
            warnings.push("`timeseriestopic` has no effect, as with kube-eventer".to_owned());
        } else if !OPTIONS.contains(&name.as_str()) {
            let hint = hint(name, OPTIONS);
            warnings.push(format!("option `{name}` is unknown and ignored{hint}"));
        } else if name != "brokers" && uri.query[..place].iter().any(|(before, _)| before == name) {
            warnings.push(format!("only the first `{name}` counts"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(text: &str) -> Result<Translation, String> {
        let uri = EventerUri::parse(text, &|_| None).expect("a valid URI");
        translate(&uri).map_err(|error| error.to_string())
    }

    #[test]
    fn every_option_keeps_its_meaning() {
        let translation = translated(
            "kafka:?brokers=a:9092&brokers=b:9093,c&eventstopic=events&compression=lz4&user=u&password=s%2B1\
             &cacert=/ca&cert=/c&key=/k&insecuressl=true&name=bus",
        )
        .expect("valid");
        assert_eq!(
            Value::Object(translation.options),
            json!({"brokers": ["a:9092", "b:9093", "c:9092"], "topic": "events", "compression": "lz4",
                "username": "u", "password": "s+1", "ca": "/ca", "certificate": "/c", "key": "/k",
                "insecure": true})
        );
        assert!(translation.warnings.is_empty(), "{:?}", translation.warnings);
    }

    #[test]
    fn defaults_are_those_of_kube_eventer() {
        let translation = translated("kafka:?brokers=a:9092&compression=none").expect("valid");
        assert_eq!(
            Value::Object(translation.options),
            json!({"brokers": ["a:9092"], "topic": "heapster-events", "compression": "none"})
        );
        assert!(translation.warnings.is_empty(), "{:?}", translation.warnings);
    }

    #[test]
    fn traps_get_a_warning() {
        for (options, expected) in [
            ("timeseriestopic=x", "`timeseriestopic` has no effect"),
            ("insecuressl=true", "`insecuressl` has no effect"),
            ("user=u", "no credential"),
            ("cert=/c", "no certificate"),
            ("eventstopic=a&eventstopic=b", "only the first `eventstopic` counts"),
            ("eventtopic=x", "did you mean `eventstopic`?"),
            ("level=Warning", "`level` is unknown and ignored"),
        ] {
            let warnings =
                translated(&format!("kafka:?brokers=a:1&{options}")).expect(options).warnings;
            assert!(
                warnings.len() == 1 && warnings[0].contains(expected),
                "{options}: {warnings:?}"
            );
        }
        let warnings = translated("kafka:http://a:1?brokers=a:1").expect("valid").warnings;
        assert!(warnings[0].contains("name brokers as `brokers`"), "{warnings:?}");
    }

    #[test]
    fn what_kube_eventer_refuses_is_refused() {
        for (options, option) in [
            ("eventstopic=x", "brokers"),
            ("brokers=a:1&compression=zip", "compression"),
            ("brokers=a:1&insecuressl=yes", "insecuressl"),
            ("brokers=a:1&insecuressl=", "insecuressl"),
            ("brokers=a:1&password=s3;cret", "password"),
        ] {
            let error = translated(&format!("kafka:?{options}")).expect_err(options);
            assert!(error.starts_with(&format!("option {option}: ")), "{error}");
            assert!(!error.contains("cret;"), "{error}");
        }
    }
}
