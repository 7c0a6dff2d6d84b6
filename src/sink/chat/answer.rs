//! Answers of services that say in JSON what became of a message.

use std::time::Duration;

use reqwest::{Client, Request, StatusCode, Url};
use serde_json::Value;

use super::Answer;
use crate::sink::Outcome;
use crate::sink::http::{Conflict, Redaction, Reply, cause_of, exchange, exchange_unheard};

/// A request for one message.
pub(super) fn request(
    client: &Client,
    url: Url,
    content_type: &str,
    body: String,
) -> Result<Request, Outcome> {
    let request = client.post(url).header(reqwest::header::CONTENT_TYPE, content_type).body(body);
    request.build().map_err(|error| Outcome::Hold {
        cause: format!("the request cannot be made: {}", cause_of(error)),
    })
}

/// An answer with a code in JSON.
#[derive(Debug)]
pub(super) struct Coded {
    /// The code; absent where the service says nothing.
    pub(super) code: Option<i64>,
    /// What it says about the code, without secrets.
    pub(super) said: String,
    /// All of it.
    pub(super) json: Value,
}

/// Sends a request, and reads the code in the first of these fields. What is no answer of the service
/// is an outcome already.
pub(super) async fn ask(
    client: &Client,
    request: Request,
    fields: &[&str],
    redaction: &Redaction,
) -> Result<Coded, Outcome> {
    let reply = exchange(client, request, redaction).await?;
    read(&reply, fields, redaction)
}

/// The same where the answer is itself a secret.
pub(super) async fn ask_for_secret(
    client: &Client,
    request: Request,
    fields: &[&str],
    redaction: &Redaction,
) -> Result<Coded, Outcome> {
    let reply = exchange_unheard(client, request).await?;
    read(&reply, fields, redaction)
}

fn read(reply: &Reply, fields: &[&str], redaction: &Redaction) -> Result<Coded, Outcome> {
    let json: Option<Value> = serde_json::from_slice(&reply.body).ok();
    let said = reply.explain(redaction);
    match json {
        Some(json @ Value::Object(_)) => {
            let code = fields.iter().find_map(|field| number(json.get(*field)?));
            if code.is_none() && reply.status != StatusCode::OK {
                return Err(reply.outcome(Conflict::Rejected, redaction));
            }
            Ok(Coded { code, said, json })
        }
        _ if reply.status.is_success() => Err(Outcome::Hold {
            cause: format!("{said}; this is no answer of the service: check the sink's URL"),
        }),
        _ => Err(reply.outcome(Conflict::Rejected, redaction)),
    }
}

/// A number, also one that is written as a text.
fn number(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.trim().parse().ok())
}

impl Coded {
    /// A text of the answer in lower case, to look for words in.
    pub(super) fn words(&self, field: &str) -> String {
        self.json.get(field).and_then(Value::as_str).unwrap_or_default().to_lowercase()
    }

    pub(super) fn retry(self) -> Answer {
        Answer::Outcome(Outcome::Retry { after: None, cause: self.said })
    }

    pub(super) fn throttle(self, after: Duration) -> Answer {
        Answer::Outcome(Outcome::Retry { after: Some(after), cause: self.said })
    }

    pub(super) fn hold(self, remedy: &str) -> Answer {
        Answer::Outcome(Outcome::Hold { cause: format!("{}; {remedy}", self.said) })
    }

    pub(super) fn reject(self) -> Answer {
        Answer::Outcome(Outcome::Rejected { reason: self.said })
    }
}
