//! One exchange, and what its answer means for the records that were sent.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{HeaderName, RETRY_AFTER};
use reqwest::{Client, Request, Response, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Redaction, cause_of, retry_after};
use crate::fault::Fault;
use crate::sink::{Outcome, transcript};

/// Enough of a reply to explain a refusal.
const LONGEST_REPLY: usize = 64 << 10;

/// A reply's body is waited for so long at most: its status has said what matters.
const BODY_TIMEOUT: Duration = Duration::from_secs(2);

/// Says how long a limit of calls lasts, where a service has no `Retry-After`.
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// What HTTP 409 means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Conflict {
    /// The record is refused.
    #[default]
    Rejected,
    /// The service already has it.
    Accepted,
}

/// The answer to one request.
pub(crate) struct Reply {
    /// Its status.
    pub(crate) status: StatusCode,
    /// What it asked to wait.
    pub(crate) retry_after: Option<Duration>,
    /// The front of its body.
    pub(crate) body: Vec<u8>,
}

/// Sends `request`. Without an answer the effect is unknown, and the outcome is to try again.
pub(crate) async fn exchange(
    client: &Client,
    request: Request,
    redaction: &Redaction,
) -> Result<Reply, Outcome> {
    exchange_up_to(client, request, LONGEST_REPLY, redaction).await
}

/// The same for services whose answers are long: up to `limit` bytes of one are read.
pub(crate) async fn exchange_up_to(
    client: &Client,
    request: Request,
    limit: usize,
    redaction: &Redaction,
) -> Result<Reply, Outcome> {
    let reply = receive(client, request, limit).await?;
    transcript::note(|| reply.explain(redaction));
    Ok(reply)
}

/// The same where the answer is itself a secret.
pub(crate) async fn exchange_unheard(client: &Client, request: Request) -> Result<Reply, Outcome> {
    receive(client, request, LONGEST_REPLY).await
}

async fn receive(client: &Client, request: Request, limit: usize) -> Result<Reply, Outcome> {
    let mut response = client.execute(request).await.map_err(no_answer)?;
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    let retry_after = header(RETRY_AFTER)
        .and_then(|value| retry_after::parse(value, Timestamp::now()))
        .or_else(|| header(RATE_LIMIT).and_then(retry_after::reset_of));
    let mut body = Vec::new();
    // Reading it also frees the connection for the next request. When it does not come, the status
    // still counts.
    let _in_time =
        tokio::time::timeout(BODY_TIMEOUT, read_front(&mut response, &mut body, limit)).await;
    Ok(Reply { status: response.status(), retry_after, body })
}

async fn read_front(response: &mut Response, body: &mut Vec<u8>, limit: usize) {
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk[..chunk.len().min(limit - body.len())]);
        if body.len() == limit {
            return;
        }
    }
}

/// The outcome of an exchange that brought no answer.
fn no_answer(error: reqwest::Error) -> Outcome {
    if error.is_builder() {
        return Outcome::Hold { cause: format!("the request cannot be sent: {}", cause_of(error)) };
    }
    Outcome::Retry { after: None, cause: cause_of(error) }
}

impl Reply {
    /// What the status means, for services that need nothing but a 2xx.
    ///
    /// A status that is in no list is a hold: the reply probably did not come from the service, and
    /// nothing is discarded for it.
    pub(crate) fn outcome(&self, conflict: Conflict, redaction: &Redaction) -> Outcome {
        let what = || self.explain(redaction);
        match self.status.as_u16() {
            200..=299 => Outcome::Accepted,
            400..=499 if Fault::DropOnClientError.is_on() => Outcome::Accepted,
            409 if conflict == Conflict::Accepted => Outcome::Accepted,
            400 | 409 | 413 | 415 | 422 => Outcome::Rejected { reason: what() },
            408 | 425 | 429 | 500 | 502..=504 | 506..=599 => {
                Outcome::Retry { after: self.retry_after, cause: what() }
            }
            status => Outcome::Hold { cause: format!("{}; {}", what(), remedy(status)) },
        }
    }

    /// Status and what the service says about it, on one line.
    pub(crate) fn explain(&self, redaction: &Redaction) -> String {
        let said = redaction.explain(&String::from_utf8_lossy(&self.body));
        let separator = if said.is_empty() { "" } else { ": " };
        format!("HTTP {}{separator}{said}", self.status)
    }
}

/// What an operator can do about a status that holds the sink.
fn remedy(status: u16) -> &'static str {
    match status {
        300..=399 => "redirects are not followed: configure the final URL",
        401 | 403 => "check the credentials in the sink's options",
        404 | 410 => "check the sink's URL",
        405 | 501 => "check the sink's URL and method",
        407 => "check the credentials of the proxy",
        _ => "check the sink's URL, and ask who runs the service",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    enum Class {
        Accepted,
        Rejected,
        Retry,
        Hold,
    }

    fn outcome(status: u16, conflict: Conflict) -> Outcome {
        let reply = Reply {
            status: StatusCode::from_u16(status).expect("a status"),
            retry_after: Some(Duration::from_secs(7)),
            body: b"because".to_vec(),
        };
        reply.outcome(conflict, &Redaction::default())
    }

    fn class(status: u16) -> Class {
        match outcome(status, Conflict::Rejected) {
            Outcome::Accepted => Class::Accepted,
            Outcome::Rejected { .. } => Class::Rejected,
            Outcome::Retry { .. } => Class::Retry,
            Outcome::Hold { .. } => Class::Hold,
        }
    }

    #[test]
    fn every_status_has_its_class() {
        let cases: [(Class, &[u16]); 4] = [
            (Class::Accepted, &[200, 201, 202, 204, 299]),
            (Class::Rejected, &[400, 409, 413, 415, 422]),
            (Class::Retry, &[408, 425, 429, 500, 502, 503, 504, 520]),
            (Class::Hold, &[301, 302, 307, 308, 401, 402, 403, 404, 405, 407, 410, 418, 501, 505]),
        ];
        for (expected, statuses) in cases {
            for status in statuses {
                assert_eq!(class(*status), expected, "{status}");
            }
        }
        assert_eq!(outcome(409, Conflict::Accepted), Outcome::Accepted);
    }

    #[test]
    fn a_hold_says_what_to_do() {
        for (status, expected) in [
            (302, "HTTP 302 Found: because; redirects are not followed: configure the final URL"),
            (401, "HTTP 401 Unauthorized: because; check the credentials in the sink's options"),
            (404, "HTTP 404 Not Found: because; check the sink's URL"),
        ] {
            let cause = expected.to_owned();
            assert_eq!(outcome(status, Conflict::Rejected), Outcome::Hold { cause });
        }
    }

    #[test]
    fn a_retry_carries_the_wait_and_the_words_of_the_service() {
        assert_eq!(
            outcome(429, Conflict::Rejected),
            Outcome::Retry {
                after: Some(Duration::from_secs(7)),
                cause: "HTTP 429 Too Many Requests: because".to_owned(),
            }
        );
    }
}
