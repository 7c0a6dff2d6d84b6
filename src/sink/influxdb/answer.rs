//! What `InfluxDB`'s answers mean.
//!
//! Sources: InfluxDB, reference of the v1, v2 and v3 APIs; answers of 1.6. Rules: 204 is the only success. A
//! partial write has written the good points, and writing those again changes nothing, so the runner may halve
//! such a batch until the bad points are alone. A refusal that is not about points, or that does not look like
//! one of `InfluxDB`, discards nothing.

use serde_json::Value;

use super::options::Api;
use crate::fault::Fault;
use crate::sink::http::{Conflict, Redaction, Reply};
use crate::sink::{Delivery, Outcome};

/// What is to be done after an answer.
#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    /// It says what became of the points.
    Delivery(Delivery),
    /// The database has to be created. With the service's words.
    NoDatabase(String),
    /// The retention policy has to be created. With the service's words.
    NoPolicy(String),
}

/// At most so many bad lines are named in an answer of 3.x; there may be more.
const NAMED_LINES: usize = 100;

/// Begins the errors of points, in 1.x and 2.x.
const ABOUT_POINTS: [&str; 2] = ["partial write", "unable to parse"];

/// Begins the errors of limits on tags and series, in 1.x. Points do not get better by waiting for them, but
/// they are not to blame.
const LIMITS: [&str; 2] = ["partial write: max-", "max series per database exceeded"];

/// Wraps the errors of the storage in 2.x.
const WRAPPER: &str = "failure writing points to database: ";

/// Reads the answer to a request of so many points.
pub(super) fn read(reply: &Reply, api: Api, points: usize, redaction: &Redaction) -> Answer {
    let status = reply.status.as_u16();
    let error = error(&reply.body);
    let said = || reply.explain(redaction);
    let error = error.as_deref().map(|error| error.strip_prefix(WRAPPER).unwrap_or(error));
    let hold = |remedy: &str| whole(Outcome::Hold { cause: format!("{}; {remedy}", said()) });
    match (status, error) {
        (204, _) => whole(Outcome::Accepted),
        // A proxy may make one of the other.
        (200, _) if reply.body.is_empty() => whole(Outcome::Accepted),
        (200..=299, _) => hold("this is no answer of InfluxDB: check the sink's url"),
        (400..=499, _) if Fault::DropOnClientError.is_on() => whole(Outcome::Accepted),
        (400 | 422 | 500, Some(error)) if LIMITS.iter().any(|limit| error.starts_with(limit)) => {
            hold(
                "`points: fields` or `json` have no tag that is different for every event; or \
                 raise the limits max-values-per-tag and max-series-per-database",
            )
        }
        (400 | 422, Some(error)) => refused(error, reply, api, points, redaction),
        (400, None) if is_cut(&reply.body) => whole(Outcome::Rejected { reason: said() }),
        (404, Some(error)) if api == Api::V1 && error.starts_with("database not found") => {
            Answer::NoDatabase(said())
        }
        (404, _) => hold("check the sink's url, and the names of its database, bucket and org"),
        (413, _) => whole(Outcome::Rejected { reason: said() }),
        (500, Some(error)) if error.starts_with("retention policy not found") => {
            Answer::NoPolicy(said())
        }
        (400 | 409 | 415 | 422, _) => hold("no point is to blame: check the sink's options"),
        _ => whole(reply.outcome(Conflict::Rejected, redaction)),
    }
}

/// A refusal of 400 or 422.
fn refused(error: &str, reply: &Reply, api: Api, points: usize, redaction: &Redaction) -> Answer {
    let said = reply.explain(redaction);
    let about_points = match api {
        Api::V1 => ABOUT_POINTS.iter().any(|front| error.starts_with(front)),
        Api::V2 => ABOUT_POINTS.iter().any(|words| error.contains(words)),
        Api::V3 => error.starts_with("partial write") || error.starts_with("parsing failed"),
    };
    if !about_points {
        let remedy = "no point is to blame: check the sink's options";
        return whole(Outcome::Hold { cause: format!("{said}; {remedy}") });
    }
    if api == Api::V3
        && let Some(outcomes) = named_lines(&reply.body, points, redaction)
    {
        return Answer::Delivery(Delivery::Each(outcomes));
    }
    let reason = reason(error).map_or(said, |reason| redaction.explain(reason));
    if dropped(error).is_some_and(|dropped| dropped >= points) {
        let refused = Outcome::Rejected { reason };
        return Answer::Delivery(Delivery::Each(vec![refused; points]));
    }
    whole(Outcome::Rejected { reason })
}

/// The error's words: 1.x and 3.x call them `error`, 2.x calls them `message`.
fn error(body: &[u8]) -> Option<String> {
    let json: Value = serde_json::from_slice(body).ok()?;
    let error = json.get("error").or_else(|| json.get("message"))?;
    error.as_str().map(str::to_owned)
}

/// Whether this is the front of an answer that quotes a point too long to read whole.
fn is_cut(body: &[u8]) -> bool {
    let fronts = [
        r#"{"error":"partial write: unable to parse"#,
        r#"{"error":"unable to parse"#,
        r#"{"error":"partial write of line protocol"#,
        r#"{"error":"parsing failed for write_lp"#,
        r#"{"code":"invalid","message":"unable to parse"#,
    ];
    let whole = serde_json::from_slice::<Value>(body).is_ok();
    !whole && fronts.iter().any(|front| body.starts_with(front.as_bytes()))
}

/// What is wrong with a point, without the point, which stands in front of it.
fn reason(error: &str) -> Option<&str> {
    let quoted = error.split_once("unable to parse '")?.1;
    quoted.rsplit_once("': ").map(|(_, reason)| reason)
}

/// How many points were dropped: `… dropped=3`.
fn dropped(error: &str) -> Option<usize> {
    error
        .rsplit_once("dropped=")?
        .1
        .split(|digit: char| !digit.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

/// An outcome for each line, when the answer names all that are bad.
fn named_lines(body: &[u8], points: usize, redaction: &Redaction) -> Option<Vec<Outcome>> {
    let json: Value = serde_json::from_slice(body).ok()?;
    if !json["error"].as_str()?.starts_with("partial write") {
        return None;
    }
    let named = json["data"].as_array()?;
    if named.is_empty() || named.len() >= NAMED_LINES {
        return None;
    }
    let mut outcomes = vec![Outcome::Accepted; points];
    for line in named {
        let number = usize::try_from(line["line_number"].as_u64()?).ok()?;
        let reason = redaction.explain(line["error_message"].as_str().unwrap_or("refused"));
        *outcomes.get_mut(number.checked_sub(1)?)? = Outcome::Rejected { reason };
    }
    Some(outcomes)
}

fn whole(outcome: Outcome) -> Answer {
    Answer::Delivery(Delivery::Whole(outcome))
}

/// What became of a statement: it has 200 whether it failed or not.
pub(super) fn statement(reply: &Reply, redaction: &Redaction) -> Result<(), Outcome> {
    let said = || reply.explain(redaction);
    if reply.status.as_u16() != 200 {
        return match reply.outcome(Conflict::Rejected, redaction) {
            outcome @ (Outcome::Retry { .. } | Outcome::Hold { .. }) => Err(outcome),
            _ => Err(Outcome::Hold { cause: said() }),
        };
    }
    let Ok(json) = serde_json::from_slice::<Value>(&reply.body) else {
        let cause = format!("{}; this is no answer of InfluxDB: check the sink's url", said());
        return Err(Outcome::Hold { cause });
    };
    let error = json.get("error").or_else(|| json.pointer("/results/0/error"));
    match error.and_then(Value::as_str) {
        None => Ok(()),
        // Another policy of that name, or another default one: the database is there.
        Some(error) if error.contains("existing policy") || error.contains("already exists") => {
            Ok(())
        }
        Some(_) => Err(Outcome::Hold { cause: said() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::StatusCode;
    use serde_json::json;
    use std::time::Duration;

    fn reply(status: u16, body: &str) -> Reply {
        Reply {
            status: StatusCode::from_u16(status).expect("a status"),
            retry_after: Some(Duration::from_secs(7)),
            body: body.as_bytes().to_vec(),
        }
    }

    fn answer(api: Api, status: u16, body: &str) -> Answer {
        read(&reply(status, body), api, 3, &Redaction::default())
    }

    fn class(api: Api, status: u16, body: &str) -> &'static str {
        match answer(api, status, body) {
            Answer::NoDatabase(_) => "no database",
            Answer::NoPolicy(_) => "no policy",
            Answer::Delivery(Delivery::Each(_)) => "each",
            Answer::Delivery(Delivery::Part { .. }) => "part",
            Answer::Delivery(Delivery::Whole(outcome)) => match outcome {
                Outcome::Accepted => "accepted",
                Outcome::Rejected { .. } => "rejected",
                Outcome::Retry { .. } => "retry",
                Outcome::Hold { .. } => "hold",
            },
        }
    }

    #[test]
    fn answers_of_every_api_have_their_class() {
        use Api::{V1, V2, V3};
        let conflict = "partial write: field type conflict: input field \\\"f\\\" on measurement \
                        \\\"m\\\" is type string, already exists as type float dropped=1";
        let conflict = |key: &str, front: &str| format!(r#"{{"{key}":"{front}{conflict}"}}"#);
        let limit = r#"{"error":"partial write: max-values-per-tag limit exceeded (100000/100000): measurement=\"m\" tag=\"uid\" value=\"x\" dropped=3"}"#;
        let cases = [
            (V1, 204, "", "accepted"),
            (V1, 200, "", "accepted"),
            (V1, 200, "<html>log in</html>", "hold"),
            (V1, 400, &*conflict("error", ""), "rejected"),
            (V1, 400, r#"{"error":"unable to parse 'm f= 2': missing field value"}"#, "rejected"),
            (
                V1,
                400,
                r#"{"error":"partial write: points beyond retention policy dropped=3"}"#,
                "each",
            ),
            (
                V1,
                400,
                r#"{"error":"partial write: points beyond retention policy dropped=2"}"#,
                "rejected",
            ),
            (V1, 400, r#"{"error":"unable to parse 'm v=\"very lo"#, "rejected"),
            (V1, 400, limit, "hold"),
            (V1, 400, r#"{"error":"database is required"}"#, "hold"),
            (V1, 400, "<html>Bad Request</html>", "hold"),
            (V1, 401, r#"{"error":"authorization failed"}"#, "hold"),
            (V1, 404, r#"{"error":"database not found: \"k8s\""}"#, "no database"),
            (V1, 404, "404 page not found", "hold"),
            (V1, 413, r#"{"error":"Request Entity Too Large"}"#, "rejected"),
            (V1, 500, r#"{"error":"retention policy not found: default"}"#, "no policy"),
            (V1, 500, r#"{"error":"max series per database exceeded: k8s"}"#, "hold"),
            (V1, 500, r#"{"error":"timeout"}"#, "retry"),
            (V1, 503, "", "retry"),
            (V2, 204, "", "accepted"),
            (
                V2,
                400,
                r#"{"code":"invalid","message":"unable to parse 'm': missing fields"}"#,
                "rejected",
            ),
            (V2, 400, r#"{"code":"invalid","message":"invalid precision"}"#, "hold"),
            (V2, 401, r#"{"code":"unauthorized","message":"unauthorized access"}"#, "hold"),
            (V2, 404, r#"{"code":"not found","message":"bucket \"b\" not found"}"#, "hold"),
            (V2, 422, &conflict("message", WRAPPER), "rejected"),
            (V2, 429, "", "retry"),
            (V3, 204, "", "accepted"),
            (V3, 400, r#"{"error":"parsing failed for write_lp endpoint","data":{}}"#, "rejected"),
            (V3, 400, r#"{"error":"invalid database name"}"#, "hold"),
            (V3, 401, "", "hold"),
        ];
        for (api, status, body, expected) in cases {
            assert_eq!(class(api, status, body), expected, "{api:?} {status} {body}");
        }
    }

    #[test]
    fn version_3_names_the_lines_that_are_bad() {
        let line = |number: usize| json!({"original_line": "m", "line_number": number, "error_message": "no fields"});
        let body = |data: Vec<Value>| {
            json!({"error": "partial write of line protocol occurred", "data": data}).to_string()
        };
        let refused = || Outcome::Rejected { reason: "no fields".to_owned() };
        assert_eq!(
            answer(Api::V3, 400, &body(vec![line(2), line(3)])),
            Answer::Delivery(Delivery::Each(vec![Outcome::Accepted, refused(), refused()]))
        );
        for unclear in [vec![], vec![line(0)], vec![line(4)], vec![line(1); NAMED_LINES]] {
            assert_eq!(class(Api::V3, 400, &body(unclear)), "rejected");
        }
    }

    #[test]
    fn a_reason_is_not_hidden_behind_the_point() {
        let point = "m v=1".repeat(1000);
        let body = json!({"error": format!("partial write: unable to parse '{point}': bad number dropped=0")});
        let expected = Outcome::Rejected { reason: "bad number dropped=0".to_owned() };
        assert_eq!(answer(Api::V1, 400, &body.to_string()), whole(expected));
    }

    #[test]
    fn a_statement_can_fail_with_200() {
        let redaction = Redaction::default();
        let check = |status, body: &str| statement(&reply(status, body), &redaction);
        assert_eq!(check(200, r#"{"results":[{"statement_id":0}]}"#), Ok(()));
        let exists =
            r#"{"results":[{"error":"retention policy conflicts with an existing policy"}]}"#;
        assert_eq!(check(200, exists), Ok(()));
        for (status, body) in [
            (200, r#"{"results":[{"error":"not authorized"}]}"#),
            (200, "<html>"),
            (400, r#"{"error":"error parsing query"}"#),
            (401, r#"{"error":"authorization failed"}"#),
        ] {
            assert!(matches!(check(status, body), Err(Outcome::Hold { .. })), "{body}");
        }
        assert!(matches!(check(503, ""), Err(Outcome::Retry { .. })));
    }
}
