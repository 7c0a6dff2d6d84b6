//! What is promised of templates for any input: see [`crate::fuzzing`].

use jiff::tz::{Offset, TimeZone};
use serde_json::Value as Json;

use super::{Escaping, SAMPLE, Template};

/// Words of templates whose shape depends on the texts of an event.
const DECIDING: [&str; 9] = ["eq", "ne", "lt", "le", "gt", "ge", "index", "slice", "printf"];

/// Any template is refused or rendered, within bounds; and where its body is JSON for a harmless
/// event, it is JSON for one with quotation marks in every text.
pub(crate) fn template(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Ok(plain) = Template::compile(&text, Escaping::None) else { return };
    let zone = TimeZone::fixed(Offset::constant(-9));
    let harmless: Json = serde_json::from_str(SAMPLE).unwrap_or_default();
    drop(plain.render(&harmless, &zone));
    let Ok(template) = Template::compile(&text, Escaping::Json) else {
        panic!("escaping decides whether the template compiles");
    };
    for event in ["null", "[]", r#"{"metadata":[],"message":{"a":[1]},"count":-1.5,"series":7}"#] {
        drop(template.render(&serde_json::from_str(event).unwrap_or_default(), &zone));
    }
    let Ok(body) = template.render(&harmless, &zone) else { return };
    let words = || text.split(|c: char| !c.is_alphanumeric());
    if !is_json(&body.text) || words().any(|word| DECIDING.contains(&word)) {
        return;
    }
    let mut hostile = harmless;
    make_hostile(&mut hostile);
    if let Ok(hostile) = template.render(&hostile, &zone) {
        assert!(is_json(&hostile.text), "{}\n{}", body.text, hostile.text);
    }
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<Json>(text).is_ok()
}

/// Puts what JSON has to escape into every text, times excepted.
fn make_hostile(value: &mut Json) {
    match value {
        Json::String(text) if text.parse::<jiff::Timestamp>().is_err() => {
            text.push_str("\\\"\n\u{1}',:{}[]\u{2028}\\");
        }
        Json::Array(items) => items.iter_mut().for_each(make_hostile),
        Json::Object(entries) => entries.values_mut().for_each(make_hostile),
        _ => {}
    }
}
