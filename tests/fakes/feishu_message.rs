//! The contents of Feishu's messages: `text`, `post` and `interactive`.
//!
//! None stands for a wrong structure, or for a message that says nothing. A mention is
//! `<at user_id="ID">` in a text, a tag `at` in a post, `<at id=ID>` in a card; the ID `all` calls
//! everyone.

use serde_json::Value;

use super::chat::{Mentions, Shown};
use super::schema::between;

/// What a message of this kind says.
pub(super) fn content(json: &Value, kind: &str) -> Option<Shown> {
    let mut shown = match kind {
        "text" => text(json.pointer("/content/text")?.as_str()?),
        "post" => post(json.pointer("/content/post")?)?,
        "interactive" => card(json.get("card")?)?,
        _ => return None,
    };
    kind.clone_into(&mut shown.kind);
    (!shown.text.trim().is_empty() || !shown.title.trim().is_empty()).then_some(shown)
}

impl Mentions {
    fn add(&mut self, id: &str) {
        match id {
            "all" => self.everyone = true,
            id => self.members.push(id.to_owned()),
        }
    }

    /// The ids in `<at NAME=ID>`, with or without quotation marks.
    fn add_all(&mut self, text: &str, name: &str) {
        for tag in between(text, "<at ", ">") {
            if let Some((_, id)) = tag.split_once(&format!("{name}=")) {
                self.add(id.trim_matches(['"', '\'']));
            }
        }
    }
}

fn text(content: &str) -> Shown {
    let mut shown = Shown { text: content.to_owned(), ..Shown::default() };
    shown.mentions.add_all(content, "user_id");
    shown
}

/// A title and lines of tags, in the first language.
fn post(post: &Value) -> Option<Shown> {
    let (_, content) = post.as_object()?.iter().next()?;
    let mut shown = Shown::default();
    if let Some(title) = content.get("title") {
        title.as_str()?.clone_into(&mut shown.title);
    }
    let mut lines = Vec::new();
    for line in content.get("content")?.as_array()? {
        let tags = line.as_array()?.iter().map(|tag| post_tag(tag, &mut shown.mentions));
        lines.push(tags.collect::<Option<String>>()?);
    }
    shown.text = lines.join("\n");
    Some(shown)
}

fn post_tag(tag: &Value, mentions: &mut Mentions) -> Option<String> {
    let field = |name: &str| tag.get(name).and_then(Value::as_str);
    match field("tag")? {
        "text" | "md" => Some(field("text")?.to_owned()),
        "a" => Some(format!("{} {}", field("text")?, field("href")?)),
        "at" => {
            let id = field("user_id")?;
            mentions.add(id);
            Some(format!("@{}", field("user_name").unwrap_or(id)))
        }
        _ => None,
    }
}

/// A card is an object, not a string with one in it. Its elements are below `body` in cards of
/// schema 2.0.
fn card(card: &Value) -> Option<Shown> {
    let mut shown = Shown::default();
    if let Some(header) = card.get("header") {
        header.pointer("/title/content")?.as_str()?.clone_into(&mut shown.title);
    }
    let elements = card.get("elements").or_else(|| card.pointer("/body/elements"))?.as_array()?;
    let lines: Option<Vec<_>> = elements.iter().map(card_element).collect();
    shown.text = lines?.into_iter().filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n");
    shown.mentions.add_all(&shown.text, "id");
    Some(shown)
}

fn card_element(element: &Value) -> Option<String> {
    match element.get("tag")?.as_str()? {
        "hr" => Some(String::new()),
        "markdown" | "plain_text" | "lark_md" => Some(element.get("content")?.as_str()?.to_owned()),
        "div" => div(element),
        "note" => {
            let parts = element.get("elements")?.as_array()?.iter().map(card_element);
            Some(parts.collect::<Option<Vec<_>>>()?.join(" "))
        }
        _ => None,
    }
}

/// A text, fields, or both.
fn div(element: &Value) -> Option<String> {
    let texts = element.get("text").into_iter();
    let fields = element.get("fields").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let fields = fields.iter().map(|field| field.get("text").unwrap_or(&Value::Null));
    let lines: Option<Vec<_>> = texts.chain(fields).map(card_element).collect();
    lines.filter(|lines| !lines.is_empty()).map(|lines| lines.join("\n"))
}
