//! A group robot of WeCom: `POST /cgi-bin/webhook/send?key=KEY`.
//!
//! HTTP is 200 whatever happens; `errcode` says what did. Documented, and checked in this order:
//!
//! | check | errcode |
//! |---|---|
//! | the key belongs to a robot | 93000 |
//! | 20 messages within a minute; then it is blocked for 60 seconds | 45009 |
//! | no `\uXXXX` escapes in the raw body | 40033 |
//! | the body is a JSON object (the message warns of `wrong json format`) | 44004 |
//! | `Content-Type: application/json`; there is a `msgtype` | 40058 |
//! | a `msgtype` of robots; here `text`, `markdown`, `markdown_v2` and `news` | 40008 |
//! | the content is there / says something | 40058 / 44004 |
//! | text of at most 2048 bytes, markdown of 4096, news of 8 articles | 40058 |
//!
//! Clients in wide use write escapes nevertheless, so the real service may be more lenient than its
//! documentation; `takes_escapes` makes this one so. Only messages that are fine otherwise count
//! against the limit. Markdown is shown as it is.

use std::time::{Duration, Instant};

use axum::http::Method;
use jiff::Timestamp;
use serde_json::Value;

use super::chat::{Counts, Fake, Mentions, Refused, Rules, Shown};
use super::schema::{Unfit, between, has_unicode_escapes, object, says_json, strings, text};
use super::service::{Call, Reply};
use super::window::{Limiter, Rate};

/// The service.
pub type WeComRobot = Fake<Robot>;

/// A robot. It has no security settings but its key.
#[derive(Clone, Debug)]
pub struct Robot {
    pub key: String,
    /// Whether it takes `\uXXXX` escapes.
    pub takes_escapes: bool,
}

impl Default for Robot {
    fn default() -> Self {
        Self { key: "693a91f6-7xxx-4bc4-97a0-0ec2sifa5aaa".into(), takes_escapes: false }
    }
}

impl Rules for Robot {
    const COUNTS: Counts = Counts::Messages;

    fn limiter() -> Limiter {
        Limiter::new(vec![Rate::per_minute(20)], Duration::from_secs(60))
    }

    fn path(&self) -> String {
        format!("/cgi-bin/webhook/send?key={}", self.key)
    }

    fn address(&self, call: &Call) -> Result<(), Refused> {
        Refused::unless_at(call, &Method::POST, "/cgi-bin/webhook/send")?;
        if call.query("key") != Some(&self.key) {
            return Err(refused(93000, "invalid webhook url"));
        }
        Ok(())
    }

    fn read(&self, call: &Call, _: Timestamp) -> Result<Shown, Refused> {
        if !self.takes_escapes {
            raw_utf8(call)?;
        }
        let json = json(call)?;
        if !says_json(call) {
            return Err(invalid());
        }
        let kind = text(&json, "/msgtype").map_err(|_| invalid())?;
        let limit = match kind {
            "text" => 2048,
            "markdown" | "markdown_v2" => 4096,
            "news" => return news(&json),
            _ => return Err(refused(40008, "invalid message type")),
        };
        let content = text(&json, &format!("/{kind}/content")).map_err(unfit)?;
        if content.len() > limit {
            let words = format!("{kind}.content exceed max length {limit}");
            return Err(refused(40058, &format!("{words}. invalid Request Parameter")));
        }
        let mentions = mentions(&json, kind, content)?;
        let (kind, text) = (kind.to_owned(), content.to_owned());
        Ok(Shown { kind, text, mentions, ..Shown::default() })
    }

    fn too_fast(&self, _: Duration) -> Refused {
        refused(45009, "api freq out of limit")
    }

    fn failure(&self, code: i64, text: &str) -> Refused {
        Refused::errcode(code, text)
    }

    fn deliver(
        &self,
        shown: Shown,
        _: &Call,
        _: &mut Limiter,
        _: Instant,
    ) -> (Reply, Option<Shown>) {
        (Reply::json(200, &serde_json::json!({"errcode": 0, "errmsg": "ok"})), Some(shown))
    }
}

/// The code in WeCom's words: with a number to ask its support about, and the sender's address.
pub(super) fn refused(code: i64, words: &str) -> Refused {
    let hint = "hint: [1700000000521458960172], from ip: 127.0.0.1, more info at";
    let page = "https://open.work.weixin.qq.com/devtool/query";
    Refused::errcode(code, &format!("{words}, {hint} {page}?e={code}"))
}

/// No escapes: the vendor's list of codes has one for them.
pub(super) fn raw_utf8(call: &Call) -> Result<(), Refused> {
    if has_unicode_escapes(&call.body) {
        return Err(refused(40033, "invalid charset, must not contain \\uxxxx"));
    }
    Ok(())
}

pub(super) fn json(call: &Call) -> Result<Value, Refused> {
    let wrong = || refused(44004, "Warning: wrong json format. empty content");
    object(&call.body).ok_or_else(wrong)
}

pub(super) fn invalid() -> Refused {
    refused(40058, "invalid Request Parameter")
}

pub(super) fn unfit(unfit: Unfit) -> Refused {
    match unfit {
        Unfit::Missing => invalid(),
        Unfit::Empty => refused(44004, "empty content"),
    }
}

fn news(json: &Value) -> Result<Shown, Refused> {
    let articles = json.pointer("/news/articles").and_then(Value::as_array).ok_or_else(invalid)?;
    if articles.is_empty() || articles.len() > 8 {
        return Err(invalid());
    }
    let mut lines = Vec::new();
    for article in articles {
        let title = text(article, "/title").map_err(unfit)?;
        lines.push(format!("{title} {}", text(article, "/url").map_err(unfit)?));
    }
    Ok(Shown { kind: "news".into(), text: lines.join("\n"), ..Shown::default() })
}

/// Texts have lists of members, markdown has `<@userid>`; `markdown_v2` mentions nobody.
fn mentions(json: &Value, kind: &str, content: &str) -> Result<Mentions, Refused> {
    let mut members = Vec::new();
    match kind {
        "text" => {
            for list in ["/text/mentioned_list", "/text/mentioned_mobile_list"] {
                members.extend(strings(json, list).map_err(|()| invalid())?);
            }
        }
        "markdown" => members.extend(between(content, "<@", ">").map(str::to_owned)),
        _ => {}
    }
    let everyone = members.iter().any(|member| member == "@all");
    members.retain(|member| member != "@all");
    Ok(Mentions { everyone, members })
}
