//! What an answer of `EventBridge` means ("`PutEvents`" of the API reference).

use std::time::Duration;

use serde_json::Value;

use crate::sink::http::{Conflict, Redaction, Reply};
use crate::sink::{Delivery, Outcome};

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    Delivery(Delivery),
    /// The keys are refused: others may be valid.
    Keys(String),
}

/// Reads the answer to so many events.
pub(super) fn read(reply: &Reply, events: usize, redaction: &Redaction) -> Answer {
    let json: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let said = reply.explain(redaction);
    if reply.status.is_success() {
        return Answer::Delivery(entries(&json, reply, events, redaction));
    }
    match json["code"].as_str() {
        Some(code) => match judge(code, said, reply.retry_after) {
            Judged::Outcome(outcome) => Answer::Delivery(Delivery::Whole(outcome)),
            Judged::Keys(said) => Answer::Keys(said),
        },
        None => Answer::Delivery(Delivery::Whole(reply.outcome(Conflict::Rejected, redaction))),
    }
}

/// The entries of a success: some of them may have failed.
fn entries(json: &Value, reply: &Reply, events: usize, redaction: &Redaction) -> Delivery {
    let entries = json["EntryList"].as_array().map(Vec::as_slice).unwrap_or_default();
    match json["FailedEntryCount"].as_u64() {
        Some(0) => Delivery::Whole(Outcome::Accepted),
        Some(_) if entries.len() == events => {
            let outcome = |entry| of_entry(entry, reply.retry_after, redaction);
            Delivery::Each(entries.iter().map(outcome).collect())
        }
        _ => Delivery::Whole(Outcome::Hold {
            cause: format!(
                "{}; this is no answer of the service: check the option `endpoint`",
                reply.explain(redaction)
            ),
        }),
    }
}

fn of_entry(entry: &Value, retry_after: Option<Duration>, redaction: &Redaction) -> Outcome {
    let code = entry["ErrorCode"].as_str().unwrap_or_default();
    if code.is_empty() {
        return Outcome::Accepted;
    }
    let message = entry["ErrorMessage"].as_str().unwrap_or_default();
    match judge(code, redaction.explain(&format!("{code}: {message}")), retry_after) {
        Judged::Outcome(outcome) => outcome,
        Judged::Keys(cause) => Outcome::Hold { cause },
    }
}

enum Judged {
    Outcome(Outcome),
    Keys(String),
}

fn judge(code: &str, said: String, after: Option<Duration>) -> Judged {
    let code = code.to_ascii_lowercase();
    let has = |parts: &[&str]| parts.iter().any(|part| code.contains(part));
    if has(&["signaturenotmatch", "invalidaccesskeyid", "tokenexpired", "securitytoken"]) {
        return Judged::Keys(said);
    }
    Judged::Outcome(if has(&["eventbusnotexist"]) {
        Outcome::Hold { cause: format!("{said}; check the option `eventBus`, or create it") }
    } else if has(&["forbidden", "nopermission", "unauthorized", "accessdenied"]) {
        Outcome::Hold { cause: format!("{said}; allow the keys eventbridge:PutEvents") }
    } else if has(&["invalidargument", "toolarge", "oversize"]) {
        Outcome::Rejected { reason: said }
    } else {
        // Also what contains Throttl, FlowControl or QPS.
        Outcome::Retry { after, cause: said }
    })
}
