//! An incoming webhook of Slack: `POST /services/TEAM/HOOK/TOKEN`.
//!
//! A success is HTTP 200 with the text `ok`; failures have a status and a text. Documented, and
//! checked in this order:
//!
//! | check | answer |
//! |---|---|
//! | three parts of the path / the team / the hook / its token | 404 `no_service_id` / 404 `no_team` / 404 `no_service` / 403 `invalid_token` |
//! | one message a second | 429 `rate_limited` with `Retry-After` |
//! | JSON, and `Content-Type` says so; fields of the right types | 400 `invalid_payload` |
//! | at most 100 attachments | 400 `too_many_attachments` |
//! | at most 50 blocks; 3000 characters in a section, 150 in a header, none empty | 400 `invalid_blocks` |
//! | a text, blocks or attachments | 400 `no_text` |
//!
//! Slack tolerates short bursts, of a size that is not documented; this one does not, and who is
//! fine here is fine there. Only messages that are fine otherwise count. A text is cut after 40000
//! characters. What is shown comes from the blocks when there are any, otherwise from the text,
//! and after both from the attachments. In mrkdwn `&amp;`, `&lt;` and `&gt;` are `&`, `<` and `>`;
//! `<!channel>`, `<!here>`, `<!everyone>` and `<@MEMBER>` are mentions, other `<...>` are links.

use std::time::{Duration, Instant};

use axum::http::Method;
use jiff::Timestamp;
use serde_json::Value;

use super::chat::{Counts, Fake, Refused, Rules, Shown};
use super::mrkdwn::Mrkdwn;
use super::schema::{object, says_json};
use super::service::{Call, Reply};
use super::window::{Limiter, Rate};

/// The service.
pub type Slack = Fake<Hook>;

/// A hook.
#[derive(Clone, Debug)]
pub struct Hook {
    pub team: String,
    pub id: String,
    pub token: String,
}

impl Default for Hook {
    fn default() -> Self {
        Self { team: "T0TEAM".into(), id: "B0HOOK".into(), token: "slack-token".into() }
    }
}

impl Rules for Hook {
    const COUNTS: Counts = Counts::Messages;

    fn limiter() -> Limiter {
        Limiter::new(vec![Rate::new(1, Duration::from_secs(1))], Duration::ZERO)
    }

    fn path(&self) -> String {
        format!("/services/{}/{}/{}", self.team, self.id, self.token)
    }

    fn address(&self, call: &Call) -> Result<(), Refused> {
        let parts: Vec<_> = call.path.split('/').skip(1).collect();
        let ["services", rest @ ..] = parts.as_slice() else {
            return Err(Refused::text(404, "not found"));
        };
        let [team, hook, token] = rest else {
            return Err(Refused::text(404, "no_service_id"));
        };
        if *team != self.team {
            return Err(Refused::text(404, "no_team"));
        }
        if *hook != self.id {
            return Err(Refused::text(404, "no_service"));
        }
        if *token != self.token {
            return Err(Refused::text(403, "invalid_token"));
        }
        Refused::unless_at(call, &Method::POST, &call.path)
    }

    fn read(&self, call: &Call, _: Timestamp) -> Result<Shown, Refused> {
        let invalid = || Refused::text(400, "invalid_payload");
        let json = object(&call.body).filter(|_| says_json(call)).ok_or_else(invalid)?;
        let text = match json.get("text") {
            None | Some(Value::Null) => "",
            Some(text) => text.as_str().ok_or_else(invalid)?,
        };
        let blocks = list(&json, "blocks").ok_or_else(invalid)?;
        let attachments = list(&json, "attachments").ok_or_else(invalid)?;
        if attachments.len() > 100 {
            return Err(Refused::text(400, "too_many_attachments"));
        }
        let mut message = Message::new(if blocks.is_empty() { "text" } else { "blocks" });
        blocks_into(&mut message, blocks)?;
        if blocks.is_empty() && !text.trim().is_empty() {
            let shown: String = text.chars().take(40_000).collect();
            message.mrkdwn(&shown);
        }
        attachments.iter().try_for_each(|attachment| attachment_into(&mut message, attachment))?;
        let shown = message.shown();
        if shown.text.is_empty() && shown.title.is_empty() {
            return Err(Refused::text(400, "no_text"));
        }
        Ok(shown)
    }

    fn too_fast(&self, wait: Duration) -> Refused {
        let mut refused = Refused::text(429, "rate_limited");
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        refused.reply = refused.reply.with("retry-after", &seconds);
        refused
    }

    fn failure(&self, code: i64, text: &str) -> Refused {
        Refused::text(u16::try_from(code).expect("an HTTP status"), text)
    }

    fn deliver(
        &self,
        shown: Shown,
        _: &Call,
        _: &mut Limiter,
        _: Instant,
    ) -> (Reply, Option<Shown>) {
        (Reply::text(200, "ok"), Some(shown))
    }
}

/// An array, empty when it is absent; none when it is something else.
fn list<'a>(json: &'a Value, field: &str) -> Option<&'a [Value]> {
    match json.get(field) {
        None | Some(Value::Null) => Some(&[]),
        Some(list) => list.as_array().map(Vec::as_slice),
    }
}

/// What is shown of a message, as it is put together.
struct Message {
    shown: Shown,
    lines: Vec<String>,
}

impl Message {
    fn new(kind: &str) -> Self {
        let shown = Shown { kind: kind.to_owned(), ..Shown::default() };
        Self { shown, lines: Vec::new() }
    }

    fn mrkdwn(&mut self, text: &str) {
        let Mrkdwn { text, mentions } = Mrkdwn::read(text);
        self.lines.push(text);
        self.shown.mentions.everyone |= mentions.everyone;
        self.shown.mentions.members.extend(mentions.members);
    }

    fn shown(self) -> Shown {
        Shown { text: self.lines.join("\n"), ..self.shown }
    }
}

fn blocks_into(message: &mut Message, blocks: &[Value]) -> Result<(), Refused> {
    if blocks.len() > 50 {
        return Err(invalid_blocks());
    }
    for block in blocks {
        match block.get("type").and_then(Value::as_str) {
            Some("header") => message.shown.title = plain(block.get("text"), 150)?,
            Some("divider") => {}
            Some("section") => section_into(message, block)?,
            Some("context") => {
                let elements = list(block, "elements").filter(|list| !list.is_empty());
                for element in elements.ok_or_else(invalid_blocks)? {
                    text_object_into(message, element, 2000)?;
                }
            }
            _ => return Err(invalid_blocks()),
        }
    }
    Ok(())
}

/// A text, fields, or both.
fn section_into(message: &mut Message, block: &Value) -> Result<(), Refused> {
    let fields = list(block, "fields").ok_or_else(invalid_blocks)?;
    if let Some(text) = block.get("text") {
        text_object_into(message, text, 3000)?;
    } else if fields.is_empty() {
        return Err(invalid_blocks());
    }
    if fields.len() > 10 {
        return Err(invalid_blocks());
    }
    fields.iter().try_for_each(|field| text_object_into(message, field, 2000))
}

fn text_object_into(message: &mut Message, object: &Value, limit: usize) -> Result<(), Refused> {
    if object.get("type").and_then(Value::as_str) == Some("mrkdwn") {
        message.mrkdwn(&characters(object, limit)?);
    } else {
        message.lines.push(plain(Some(object), limit)?);
    }
    Ok(())
}

fn plain(object: Option<&Value>, limit: usize) -> Result<String, Refused> {
    let object = object.filter(|object| object.get("type") == Some(&Value::from("plain_text")));
    characters(object.ok_or_else(invalid_blocks)?, limit)
}

/// The text of a text object, which is limited in characters.
fn characters(object: &Value, limit: usize) -> Result<String, Refused> {
    let text = object.get("text").and_then(Value::as_str).unwrap_or_default();
    let count = text.chars().count();
    if count == 0 || count > limit { Err(invalid_blocks()) } else { Ok(text.to_owned()) }
}

fn invalid_blocks() -> Refused {
    Refused::text(400, "invalid_blocks")
}

fn attachment_into(message: &mut Message, attachment: &Value) -> Result<(), Refused> {
    let invalid = || Refused::text(400, "invalid_payload");
    if !attachment.is_object() {
        return Err(invalid());
    }
    blocks_into(message, list(attachment, "blocks").ok_or_else(invalid)?)?;
    for part in ["pretext", "title", "text"] {
        if let Some(text) = attachment.get(part).and_then(Value::as_str) {
            message.mrkdwn(text);
        }
    }
    Ok(())
}
