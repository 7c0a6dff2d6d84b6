//! What Honeycomb's answers mean.
//!
//! Sources: Honeycomb, "Events API"; `libhoney`. Rules: success is the status of the item, not that of the request;
//! what an answer does not name may have arrived or not, and is sent again; a refusal that is not about an event
//! discards nothing.

use serde_json::Value;

use crate::fault::Fault;
use crate::sink::http::{Conflict, Redaction, Reply};
use crate::sink::{Delivery, Outcome};

/// Words of an account that is over its quota, which no wait of minutes helps.
const OVER_QUOTA: [&str; 2] = ["administrative throttling", "blacklist"];

/// Reads the answer to a request of so many items.
pub(super) fn read(reply: &Reply, items: usize, redaction: &Redaction) -> Delivery {
    let said = || reply.explain(redaction);
    let words = String::from_utf8_lossy(&reply.body).to_lowercase();
    let over_quota = OVER_QUOTA.iter().any(|phrase| words.contains(phrase));
    match reply.status.as_u16() {
        200 => each(reply, items, redaction),
        202 if reply.body.is_empty() => Delivery::Whole(Outcome::Accepted),
        400..=499 if Fault::DropOnClientError.is_on() => Delivery::Whole(Outcome::Accepted),
        // One event may be to blame. When it is alone, this is no answer about an event: those have their own.
        400 if items > 1 => Delivery::Whole(Outcome::Rejected { reason: said() }),
        413 => Delivery::Whole(Outcome::Rejected { reason: said() }),
        401 => hold(&said(), "check the option writeKey"),
        403 | 429 if over_quota => {
            hold(&said(), "the account has used up its events: ask its owner")
        }
        403 => hold(&said(), "the key needs the permission to send events, and to create datasets"),
        404 => hold(&said(), "check the options url and dataset"),
        201..=299 => retry(reply, said()),
        400 | 409 | 415 | 422 => {
            hold(&said(), "no event is to blame: check the options url and dataset")
        }
        _ => Delivery::Whole(reply.outcome(Conflict::Rejected, redaction)),
    }
}

/// An outcome for each item.
fn each(reply: &Reply, items: usize, redaction: &Redaction) -> Delivery {
    let statuses: Option<Vec<Value>> = serde_json::from_slice(&reply.body).ok();
    let Some(statuses) = statuses.filter(|statuses| statuses.len() <= items) else {
        let cause =
            format!("{}; it does not say what became of the events", reply.explain(redaction));
        return retry(reply, cause);
    };
    let mut outcomes: Vec<_> =
        statuses.iter().map(|status| of_item(status, reply, redaction)).collect();
    outcomes.resize_with(items, || Outcome::Retry {
        after: None,
        cause: format!("the answer names {} of {items} events", statuses.len()),
    });
    Delivery::Each(outcomes)
}

fn of_item(item: &Value, reply: &Reply, redaction: &Redaction) -> Outcome {
    let words = item["error"].as_str().unwrap_or_default();
    let said = || format!("{}: {}", item["status"], redaction.explain(words));
    match item["status"].as_u64() {
        Some(200..=299) => Outcome::Accepted,
        Some(400..=499) if Fault::DropOnClientError.is_on() => Outcome::Accepted,
        Some(400 | 413 | 422) => Outcome::Rejected { reason: said() },
        Some(401 | 403 | 404) => {
            Outcome::Hold { cause: format!("{}; check the options writeKey and dataset", said()) }
        }
        _ => Outcome::Retry { after: reply.retry_after, cause: said() },
    }
}

fn hold(said: &str, remedy: &str) -> Delivery {
    Delivery::Whole(Outcome::Hold { cause: format!("{said}; {remedy}") })
}

fn retry(reply: &Reply, cause: String) -> Delivery {
    Delivery::Whole(Outcome::Retry { after: reply.retry_after, cause })
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::StatusCode;
    use std::time::Duration;

    fn answer(status: u16, body: &str, items: usize) -> Delivery {
        let reply = Reply {
            status: StatusCode::from_u16(status).expect("a status"),
            retry_after: Some(Duration::from_secs(7)),
            body: body.as_bytes().to_vec(),
        };
        read(&reply, items, &Redaction::default())
    }

    fn class(outcome: &Outcome) -> char {
        match outcome {
            Outcome::Accepted => 'a',
            Outcome::Rejected { .. } => 'j',
            Outcome::Retry { .. } => 'r',
            Outcome::Hold { .. } => 'h',
        }
    }

    fn classes(status: u16, body: &str, items: usize) -> String {
        match answer(status, body, items) {
            Delivery::Each(outcomes) => outcomes.iter().map(class).collect(),
            Delivery::Whole(outcome) => class(&outcome).to_uppercase().to_string(),
            Delivery::Part { .. } => panic!("it answers for all"),
        }
    }

    #[test]
    fn every_item_has_its_own_outcome() {
        let body = r#"[{"status":202},{"status":400,"error":"Event has too many columns."},
            {"status":429,"error":"rate limited"},{"status":503},{"status":403,"error":"no"},{}]"#;
        assert_eq!(classes(200, body, 6), "ajrrhr");
        assert_eq!(classes(200, body, 8), "ajrrhrrr", "what it does not name is sent again");
        assert_eq!(classes(200, body, 5), "R", "it names more than there were");
        let Delivery::Each(outcomes) = answer(200, body, 6) else { panic!("one each") };
        let after = Some(Duration::from_secs(7));
        assert!(matches!(&outcomes[2], Outcome::Retry { after: wait, .. } if *wait == after));
        let reason = "400: Event has too many columns.".to_owned();
        assert_eq!(outcomes[1], Outcome::Rejected { reason });
    }

    #[test]
    fn every_status_has_its_class() {
        let cases = [
            (200, "", 'R'),
            (200, "<html>log in</html>", 'R'),
            (202, "", 'A'),
            (202, "x", 'R'),
            (302, "", 'H'),
            (400, r#"{"error":"request body is malformed"}"#, 'J'),
            (401, r#"{"error":"unknown API key - check your credentials"}"#, 'H'),
            (403, r#"{"error":"key lacks permission"}"#, 'H'),
            (404, "", 'H'),
            (413, "", 'J'),
            (415, "", 'H'),
            (429, r#"{"error":"rate limit exceeded"}"#, 'R'),
            (429, r#"{"error":"event dropped due to administrative throttling"}"#, 'H'),
            (500, "", 'R'),
            (503, "", 'R'),
        ];
        for (status, body, expected) in cases {
            assert_eq!(classes(status, body, 2), expected.to_string(), "{status} {body}");
        }
        assert_eq!(classes(400, "", 1), "H", "an event that is to blame has a status of its own");
    }
}
