//! `--sink=mongo:?mongodb://…` of kube-eventer, in the words of a configuration.
//!
//! Source: kube-eventer, `sinks/mongo`. The connection string is the query as it is written. Options of the relay's own
//! can be added to it, since no connection string has options of these names.

use serde_json::Map;

use super::connection;
use crate::setting::EventerUri;
use crate::sink::SinkError;
use crate::sink::options::wrong;
use crate::sink::registry::{NAME_OPTION, Translation};

/// Options that are read out of the connection string.
const OWN: [&str; 3] = ["database", "collection", "ca"];

/// Options that the driver of kube-eventer reads and this one refuses. None changes what is stored.
const WITHOUT_MEANING: [&str; 3] = ["compressors", "zlibcompressionlevel", "timeoutms"];

pub(super) fn translate(uri: &EventerUri) -> Result<Translation, SinkError> {
    let (front, query) = uri.raw_query.split_once('?').unwrap_or((&uri.raw_query, ""));
    let (front, more) = front.split_once('&').unwrap_or((front, ""));
    let mut kept = Vec::new();
    let mut translation = Translation { options: Map::new(), ..Translation::default() };
    for pair in query.split('&').chain(more.split('&')).filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if WITHOUT_MEANING.contains(&name.to_ascii_lowercase().as_str()) {
            translation
                .warnings
                .push(format!("the option {name} of the connection string is not needed"));
        } else if OWN.contains(&name) {
            let value = percent_encoding::percent_decode_str(value).decode_utf8_lossy();
            translation.options.insert(name.to_owned(), value.into());
        } else if name != NAME_OPTION {
            kept.push(pair);
        }
    }
    let address = if kept.is_empty() {
        front.to_owned()
    } else {
        // Without a slash in front of them the driver takes options for a part of the host.
        let slash = if front.split_once("://").is_some_and(|(_, rest)| rest.contains('/')) {
            ""
        } else {
            "/"
        };
        format!("{front}{slash}?{}", kept.join("&"))
    };
    connection::check(&address).map_err(|reason| wrong("uri", reason))?;
    translation.options.insert("uri".to_owned(), address.into());
    Ok(translation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn translated(text: &str) -> Translation {
        let uri = EventerUri::parse(text, &|_| None).expect("a valid URI");
        translate(&uri).expect("a valid sink")
    }

    #[test]
    fn the_query_is_the_connection_string() {
        for (text, expected) in [
            ("mongo:?mongodb://h", json!({"uri": "mongodb://h"})),
            (
                "mongo:?mongodb://user:p%40w@h1,h2/?authSource=admin",
                json!({"uri": "mongodb://user:p%40w@h1,h2/?authSource=admin"}),
            ),
            (
                "mongodb:?mongodb+srv://u:p@c.example.net/?retryWrites=true&w=majority&name=audit",
                json!({"uri": "mongodb+srv://u:p@c.example.net/?retryWrites=true&w=majority"}),
            ),
            ("mongo:?mongodb://h:1&name=audit", json!({"uri": "mongodb://h:1"})),
            (
                "mongo:?mongodb://h?tls=true&database=a%20b&collection=c",
                json!({"uri": "mongodb://h/?tls=true", "database": "a b", "collection": "c"}),
            ),
        ] {
            assert_eq!(Value::Object(translated(text).options), expected, "{text}");
        }
    }

    #[test]
    fn what_another_driver_reads_is_a_warning() {
        let translation = translated("mongo:?mongodb://h/?compressors=snappy,zstd&tls=true");
        assert_eq!(translation.options["uri"], "mongodb://h/?tls=true");
        assert_eq!(translation.warnings.len(), 1);
    }

    #[test]
    fn an_address_that_cannot_be_read_is_refused_without_showing_it() {
        let uri = EventerUri::parse("mongo:?mongodb://u:hunter/2@h/", &|_| None).expect("a URI");
        let error = translate(&uri).expect_err("refused").to_string();
        assert!(
            error.starts_with("option uri: user and password") && !error.contains("hunter"),
            "{error}"
        );
        let nothing = EventerUri::parse("mongo", &|_| None).expect("a URI");
        assert!(translate(&nothing).is_err());
    }
}
