//! `--sink=mysql:?DSN&table=…` of kube-eventer, in the words of a configuration.
//!
//! Source: kube-eventer, `common/mysql`. The DSN is the query as it is written. kube-eventer loses the
//! DSN's parameters when there is a `table`, and takes a `table` behind the DSN's own `?` for one of them;
//! both are read as they were meant here.

use serde_json::Map;

use super::dsn::Dsn;
use crate::setting::EventerUri;
use crate::sink::SinkError;
use crate::sink::options::wrong;
use crate::sink::registry::{NAME_OPTION, Translation};

pub(super) fn translate(uri: &EventerUri) -> Result<Translation, SinkError> {
    let raw = uri.raw.split('#').next().unwrap_or_default();
    let raw = raw.split_once('?').map(|(_, query)| query).unwrap_or_default();
    let (front, parameters) = raw.split_once('?').unwrap_or((raw, ""));
    let (front, more) = front.split_once('&').unwrap_or((front, ""));
    let mut kept = Vec::new();
    let mut options = Map::new();
    for pair in parameters.split('&').chain(more.split('&')).filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("table", table)) => drop(options.insert("table".to_owned(), table.into())),
            Some((NAME_OPTION, _)) => {}
            _ => kept.push(pair),
        }
    }
    let dsn =
        if kept.is_empty() { front.to_owned() } else { format!("{front}?{}", kept.join("&")) };
    Dsn::parse(&dsn).map_err(|reason| wrong("dsn", reason))?;
    options.insert("dsn".to_owned(), dsn.into());
    Ok(Translation { options, ..Translation::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn dsn_and_table_are_told_apart() {
        for (uri, dsn, table) in [
            (
                "mysql:?root:pw@tcp(h:3306)/db?charset=utf8&table=t",
                "root:pw@tcp(h:3306)/db?charset=utf8",
                Some("t"),
            ),
            ("mysql:?root:pw@tcp(h:3306)/db&table=t", "root:pw@tcp(h:3306)/db", Some("t")),
            (
                "mysql:?root:pw@tcp(h:3306)/db?table=t&tls=true",
                "root:pw@tcp(h:3306)/db?tls=true",
                Some("t"),
            ),
            ("mysql:?root:pw@tcp(h:3306)/db&name=audit", "root:pw@tcp(h:3306)/db", None),
        ] {
            let uri = EventerUri::parse(uri, &|_| None).expect("a valid URI");
            let mut expected = json!({"dsn": dsn});
            if let Some(table) = table {
                expected["table"] = table.into();
            }
            assert_eq!(Value::Object(translate(&uri).expect("valid").options), expected);
        }
    }
}
