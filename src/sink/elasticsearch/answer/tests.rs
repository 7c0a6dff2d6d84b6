//! Every answer has its outcome.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::*;

fn reply(status: u16, body: &impl ToString) -> Reply {
    Reply {
        status: StatusCode::from_u16(status).expect("a status"),
        retry_after: Some(Duration::from_secs(7)),
        body: body.to_string().into_bytes(),
    }
}

fn item(status: u16, kind: &str, reason: &str) -> Outcome {
    let error = json!({"type": kind, "reason": reason});
    let item = json!({"create": {"status": status, "error": error}});
    let reply = reply(200, &json!({"errors": true, "items": [item]}));
    let outcomes = outcomes(&reply, 1, &Redaction::default()).expect("one for each");
    outcomes.into_iter().next().expect("one")
}

#[test]
fn what_is_there_is_accepted() {
    let items: Vec<Value> = vec![
        json!({"create": {"status": 201}}),
        json!({"create": {"status": 409, "error": {"type": "version_conflict_engine_exception",
            "reason": "[1]: version conflict, document already exists"}}}),
    ];
    let reply = reply(200, &json!({"took": 3, "errors": true, "items": items}));
    let outcomes = outcomes(&reply, 2, &Redaction::default());
    assert_eq!(outcomes, Ok(vec![Outcome::Accepted; 2]));
}

#[test]
fn a_document_is_refused_for_what_is_in_it() {
    for (status, kind, reason) in [
        (400, "mapper_parsing_exception", "failed to parse field [Count] of type [long]"),
        (400, "document_parsing_exception", "[1:9] failed to parse field [Count]"),
        (400, "strict_dynamic_mapping_exception", "dynamic introduction of [x] is not allowed"),
        (400, "illegal_argument_exception", "Document contains at least one immense term"),
        (400, "illegal_argument_exception", "Limit of total fields [1000] has been exceeded"),
        (413, "", ""),
    ] {
        let outcome = item(status, kind, reason);
        let Outcome::Rejected { reason: said } = &outcome else { panic!("{kind}: {outcome:?}") };
        assert!(said.contains(kind) && said.contains(reason), "{said}");
    }
}

#[test]
fn what_ends_by_itself_is_tried_again() {
    for (status, kind, reason) in [
        (429, "es_rejected_execution_exception", "rejected execution of coordinating operation"),
        (429, "rejected_execution_exception", "rejected execution"),
        (429, "circuit_breaking_exception", "[parent] Data too large"),
        (429, "cluster_block_exception", "disk usage exceeded flood-stage watermark"),
        (
            403,
            "cluster_block_exception",
            "blocked by: [FORBIDDEN/12/index read-only / allow delete (api)];",
        ),
        (503, "unavailable_shards_exception", "primary shard is not active"),
        (500, "null_pointer_exception", ""),
        (507, "", ""),
    ] {
        let outcome = item(status, kind, reason);
        assert!(matches!(outcome, Outcome::Retry { .. }), "{status} {kind}: {outcome:?}");
    }
}

#[test]
fn what_a_person_has_to_mend_holds_and_says_what_to_do() {
    for (status, kind, reason, remedy) in [
        (401, "security_exception", "missing authentication", "`apiKey`"),
        (
            403,
            "security_exception",
            "action [indices:data/write/bulk] is unauthorized",
            "`create_doc`",
        ),
        (403, "cluster_block_exception", "[FORBIDDEN/8/index write (api)];", "remove the block"),
        (404, "index_not_found_exception", "no such index [x]", "`action.auto_create_index`"),
        (
            400,
            "validation_exception",
            "this action would add [2] shards, but this cluster currently has [1000]/[1000] maximum shards open;",
            "full of shards",
        ),
        (400, "illegal_argument_exception", "pipeline with id [p] does not exist", "`pipeline`"),
        (
            400,
            "illegal_argument_exception",
            "only write ops with an op_type of create are allowed in data streams",
            "`dataStream`",
        ),
        (
            400,
            "illegal_argument_exception",
            "Rejecting mapping update to [x] as the final mapping would have more than 1 type: [events, doc]",
            "`index`",
        ),
        (
            400,
            "invalid_index_name_exception",
            "Invalid index name [X], must be lowercase",
            "`index`",
        ),
    ] {
        let outcome = item(status, kind, reason);
        let Outcome::Hold { cause } = &outcome else { panic!("{kind}: {outcome:?}") };
        assert!(cause.contains(remedy) && cause.contains(kind), "{cause}");
    }
}

#[test]
fn the_cause_of_an_error_is_told() {
    let error = json!({"type": "mapper_parsing_exception", "reason": "failed to parse",
        "caused_by": {"type": "illegal_argument_exception", "reason": "For input string: \"x\""}});
    let reply = reply(200, &json!({"items": [{"create": {"status": 400, "error": error}}]}));
    let expected = "400 mapper_parsing_exception: failed to parse; illegal_argument_exception: For input \
                    string: \"x\"";
    assert_eq!(
        outcomes(&reply, 1, &Redaction::default()),
        Ok(vec![Outcome::Rejected { reason: expected.to_owned() }])
    );
}

#[test]
fn an_answer_that_is_not_whole_says_nothing() {
    for body in ["", "<html>", "{}", r#"{"errors":false,"items":[]}"#, r#"{"items":[{"create":{"#] {
        let outcome = outcomes(&reply(200, &body), 1, &Redaction::default());
        assert!(matches!(outcome, Err(Outcome::Retry { .. })), "{body}: {outcome:?}");
    }
}

#[test]
fn a_request_that_fails_as_a_whole_has_its_class() {
    let said = json!({"error": {"root_cause": [], "type": "security_exception",
        "reason": "unable to authenticate"}, "status": 401});
    for status in [400, 401, 403, 404, 406, 415, 301, 405] {
        let outcome = outcomes(&reply(status, &said), 1, &Redaction::default());
        let Err(Outcome::Hold { cause }) = &outcome else { panic!("{status}: {outcome:?}") };
        assert!(cause.contains("unable to authenticate"), "{cause}");
    }
    let refused = outcomes(&reply(413, &""), 1, &Redaction::default());
    assert!(matches!(refused, Err(Outcome::Rejected { .. })), "{refused:?}");
    for status in [429, 500, 502, 503, 504] {
        let outcome = outcomes(&reply(status, &"busy"), 1, &Redaction::default());
        let Err(Outcome::Retry { after, .. }) = outcome else { panic!("{status}") };
        assert_eq!(after, Some(Duration::from_secs(7)));
    }
}

#[test]
fn what_exists_already_is_known_in_every_version() {
    for body in [
        r#"{"error":{"type":"resource_already_exists_exception","reason":"index [x] already exists"}}"#,
        r#"{"error":{"type":"illegal_argument_exception","reason":"index template [x] already exists"}}"#,
    ] {
        assert!(exists_already(&reply(400, &body)));
        assert!(!exists_already(&reply(401, &body)));
    }
}
