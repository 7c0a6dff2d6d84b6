//! The cards of Microsoft Teams. None stands for a wrong structure, or for a card that says nothing.
//!
//! The title of an adaptive card is its first text, when that is a bold one or a heading. A mention
//! is an entity below `msteams` whose text, `<at>NAME</at>`, is in the card.

use serde_json::Value;

use super::chat::{Mentions, Shown};
use super::schema::{Unfit, text};

/// The type of an attachment that is an adaptive card.
const ADAPTIVE: &str = "application/vnd.microsoft.card.adaptive";

/// A message with adaptive cards.
pub(super) fn adaptive(json: &Value) -> Option<Shown> {
    if json.get("type")?.as_str()? != "message" {
        return None;
    }
    let mut shown = Shown { kind: "adaptive".into(), ..Shown::default() };
    let mut lines = Vec::new();
    for attachment in json.get("attachments")?.as_array()? {
        if attachment.get("contentType")?.as_str()? != ADAPTIVE {
            return None;
        }
        let card = attachment.get("content")?;
        card_into(&mut shown, &mut lines, card)?;
    }
    shown.text = lines.join("\n");
    (!shown.text.is_empty() || !shown.title.is_empty()).then_some(shown)
}

fn card_into(shown: &mut Shown, lines: &mut Vec<String>, card: &Value) -> Option<()> {
    let field = |name: &str| card.get(name).and_then(Value::as_str);
    let known = ["1.0", "1.1", "1.2", "1.3", "1.4", "1.5"];
    if field("type")? != "AdaptiveCard" || !known.contains(&field("version")?) {
        return None;
    }
    let body = card.get("body")?.as_array()?;
    let mut texts = Vec::new();
    for element in body {
        element_into(&mut texts, element)?;
    }
    let first = body.iter().find(|element| element.get("type") != Some(&Value::from("Image")));
    if shown.title.is_empty() && first.is_some_and(is_title) {
        shown.title = texts.remove(0);
    }
    let whole = format!("{}\n{}", shown.title, texts.join("\n"));
    mentions_into(&mut shown.mentions, card, &whole)?;
    lines.extend(texts);
    Some(())
}

fn element_into(texts: &mut Vec<String>, element: &Value) -> Option<()> {
    match element.get("type")?.as_str()? {
        "TextBlock" => texts.push(text(element, "/text").ok()?.to_owned()),
        "Container" => {
            for item in element.get("items")?.as_array()? {
                element_into(texts, item)?;
            }
        }
        "FactSet" => {
            for fact in element.get("facts")?.as_array()? {
                let (title, value) = (fact.get("title")?.as_str()?, fact.get("value")?.as_str()?);
                texts.push(format!("{title} {value}"));
            }
        }
        "Image" => {
            text(element, "/url").ok()?;
        }
        _ => return None,
    }
    Some(())
}

fn is_title(element: &Value) -> bool {
    let is = |field: &str, wanted: &str| {
        let value = element.get(field).and_then(Value::as_str);
        value.is_some_and(|value| value.eq_ignore_ascii_case(wanted))
    };
    is("type", "TextBlock") && (is("weight", "bolder") || is("style", "heading"))
}

fn mentions_into(mentions: &mut Mentions, card: &Value, whole: &str) -> Option<()> {
    let Some(entities) = card.pointer("/msteams/entities") else { return Some(()) };
    for entity in entities.as_array()? {
        let id = entity.pointer("/mentioned/id")?.as_str()?;
        if whole.contains(entity.get("text")?.as_str()?) {
            mentions.members.push(id.to_owned());
        }
    }
    Some(())
}

/// The older kind of card, with a text or a summary.
pub(super) fn message_card(json: &Value) -> Option<Shown> {
    let field = |name: &str| match text(json, &format!("/{name}")) {
        Ok(text) => Some(text.to_owned()),
        Err(Unfit::Empty) => Some(String::new()),
        Err(Unfit::Missing) => json.get(name).is_none().then(String::new),
    };
    let text = Some(field("text")?).filter(|text| !text.is_empty());
    let text = text.or(field("summary").filter(|summary| !summary.is_empty()))?;
    Some(Shown { kind: "MessageCard".into(), title: field("title")?, text, ..Shown::default() })
}
