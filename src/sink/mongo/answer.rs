//! What the server's answer to `insert` says about each document.
//!
//! Source: mongodb.com, Database Commands, `insert`: `n`, `writeErrors`, `writeConcernError`. Of an unordered insert every
//! document is either in `n` or in `writeErrors`.

use mongodb::bson::{Bson, Document};

use super::failure;
use crate::sink::http::Redaction;
use crate::sink::{Delivery, Outcome};

/// The index that every collection has on `_id`.
const IDENTITY_INDEX: &str = "_id_";

/// A document is there already; the others are what old servers and mongos say.
const DUPLICATE: [i64; 3] = [11000, 11001, 12582];

/// What became of `count` documents.
pub(super) fn delivery(reply: &Document, count: usize, redaction: &Redaction) -> Delivery {
    let errors: Vec<_> =
        reply.get_array("writeErrors").map_or(&[][..], Vec::as_slice).iter().collect();
    let stored = integer(reply, "n").and_then(|n| usize::try_from(n).ok()).unwrap_or_default();
    if stored + errors.len() != count {
        let cause =
            format!("the server answered for {} of {count} documents", stored + errors.len());
        return Delivery::Whole(Outcome::Retry { after: None, cause });
    }
    let confirmed = confirmation(reply, redaction);
    let mut outcomes = vec![confirmed; count];
    for error in errors {
        let place = error.as_document().and_then(|error| Some((integer(error, "index")?, error)));
        let Some((place, error)) = place else { return unreadable() };
        let slot = usize::try_from(place).ok().and_then(|place| outcomes.get_mut(place));
        let Some(slot) = slot else { return unreadable() };
        if let Some(refused) = refusal(error, redaction) {
            *slot = refused;
        }
    }
    match outcomes.first() {
        Some(first) if outcomes.iter().all(|outcome| outcome == first) && !is_refusal(first) => {
            Delivery::Whole(first.clone())
        }
        _ => Delivery::Each(outcomes),
    }
}

/// What became of a document that the server has, or had already.
fn confirmation(reply: &Document, redaction: &Redaction) -> Outcome {
    let Ok(error) = reply.get_document("writeConcernError") else { return Outcome::Accepted };
    // It is on one server and may yet be undone: with its identity it can be sent again.
    let cause = format!("written, but not confirmed: {}", explain(error, redaction));
    Outcome::Retry { after: None, cause }
}

/// What became of a document that the server did not store; nothing when it is there already.
fn refusal(error: &Document, redaction: &Redaction) -> Option<Outcome> {
    let code = integer(error, "code").unwrap_or_default();
    let said = explain(error, redaction);
    if !DUPLICATE.contains(&code) {
        return Some(failure::of_document(code, said));
    }
    (!is_identity(error)).then_some(Outcome::Rejected { reason: said })
}

/// Whether a duplicate is one of our own `_id`. When the server does not say which index it was, it is not: a
/// record that counts as refused is kept, and one that counts as stored would be lost.
fn is_identity(error: &Document) -> bool {
    if let Ok(pattern) = error.get_document("keyPattern") {
        return pattern.keys().eq(["_id"]);
    }
    // Servers before 4.2: `… index: _id_ dup key: …`, or `… index: DATABASE.COLLECTION.$_id_ dup key: …`.
    let said = error.get_str("errmsg").unwrap_or_default();
    let front = said.split(" dup key:").next().unwrap_or_default();
    let index = front.rsplit_once("index: ").map_or("", |(_, index)| index).trim();
    index.rsplit_once(".$").map_or(index, |(_, index)| index) == IDENTITY_INDEX
}

/// Code and words of an error, and what of the document it is about.
fn explain(error: &Document, redaction: &Redaction) -> String {
    let said = error.get_str("errmsg").unwrap_or("no reason");
    let details = error.get_document("errInfo").map(|details| format!("; {details}"));
    let code = integer(error, "code").unwrap_or_default();
    redaction.explain(&format!("error {code}: {said}{}", details.unwrap_or_default()))
}

/// A number, of whichever type the server sends it.
fn integer(document: &Document, key: &str) -> Option<i64> {
    match document.get(key)? {
        Bson::Int32(number) => Some((*number).into()),
        Bson::Int64(number) => Some(*number),
        #[allow(clippy::cast_possible_truncation)] // codes and counts are whole and small
        Bson::Double(number) => Some(*number as i64),
        _ => None,
    }
}

fn is_refusal(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Rejected { .. })
}

fn unreadable() -> Delivery {
    let cause = "the server's answer names no document of the batch".to_owned();
    Delivery::Whole(Outcome::Retry { after: None, cause })
}

#[cfg(test)]
mod tests {
    use super::*;
    use mongodb::bson::doc;

    fn read(reply: &Document, count: usize) -> Delivery {
        delivery(reply, count, &Redaction::default())
    }

    fn duplicate(index: i32, pattern: Document) -> Document {
        doc! {"index": index, "code": 11000, "keyPattern": pattern, "errmsg": "E11000 duplicate key error"}
    }

    #[test]
    fn what_is_there_already_is_accepted() {
        let accepted = Delivery::Whole(Outcome::Accepted);
        assert_eq!(read(&doc! {"n": 2, "ok": 1.0}, 2), accepted);
        let again = doc! {"n": 1, "writeErrors": [duplicate(1, doc! {"_id": 1})]};
        assert_eq!(read(&again, 2), accepted);
        for message in [
            "E11000 duplicate key error collection: k8s.event index: _id_ dup key: { _id: \"index: a_1 dup key\" }",
            "E11000 duplicate key error index: k8s.event.$_id_  dup key: { : 1 }",
        ] {
            let old =
                doc! {"n": 0, "writeErrors": [{"index": 0, "code": 11000, "errmsg": message}]};
            assert_eq!(read(&old, 1), accepted, "{message}");
        }
    }

    #[test]
    fn a_duplicate_of_another_index_is_refused() {
        let message = "E11000 duplicate key error collection: k8s.event index: my_id_ dup key: { a: \"index: _id_\" }";
        for error in [
            duplicate(1, doc! {"message": 1}),
            duplicate(1, doc! {"_id": 1, "message": 1}),
            doc! {"index": 1, "code": 11000, "errmsg": message},
            doc! {"index": 1, "code": 11000, "errmsg": "E11000 unique index constraint"},
        ] {
            let reply = doc! {"n": 1, "writeErrors": [error]};
            let Delivery::Each(outcomes) = read(&reply, 2) else { panic!("one each") };
            assert_eq!(outcomes[0], Outcome::Accepted);
            assert!(
                matches!(&outcomes[1], Outcome::Rejected { reason } if reason.contains("E11000"))
            );
        }
    }

    #[test]
    fn what_a_majority_has_not_confirmed_is_sent_again() {
        let error = doc! {"code": 64, "errmsg": "waiting for replication timed out"};
        let Delivery::Whole(Outcome::Retry { cause, .. }) =
            read(&doc! {"n": 2, "writeConcernError": error.clone()}, 2)
        else {
            panic!("a retry")
        };
        assert!(cause.contains("error 64: waiting for replication"), "{cause}");
        let refused = doc! {"index": 0, "code": 121, "errmsg": "Document failed validation", "errInfo": {"why": "x"}};
        let both = doc! {"n": 1, "writeErrors": [refused], "writeConcernError": error};
        let Delivery::Each(outcomes) = read(&both, 2) else { panic!("one each") };
        let Outcome::Rejected { reason } = &outcomes[0] else { panic!("{outcomes:?}") };
        assert!(reason.contains("failed validation") && reason.contains("why"), "{reason}");
        assert!(matches!(outcomes[1], Outcome::Retry { .. }));
    }

    #[test]
    fn a_single_record_that_is_refused_is_refused_at_once() {
        let refused = doc! {"n": 0, "writeErrors": [{"index": 0, "code": 121.0, "errmsg": "no"}]};
        assert!(matches!(read(&refused, 1), Delivery::Each(_)));
    }

    #[test]
    fn an_answer_that_does_not_cover_the_batch_accepts_nothing() {
        for reply in [
            doc! {},
            doc! {"n": 1},
            doc! {"n": 3},
            doc! {"n": 1, "writeErrors": [{"code": 11000}]},
            doc! {"n": 1, "writeErrors": [duplicate(2, doc! {"_id": 1})]},
            doc! {"n": 1, "writeErrors": ["text"]},
        ] {
            let delivery = read(&reply, 2);
            assert!(matches!(delivery, Delivery::Whole(Outcome::Retry { .. })), "{reply}");
        }
    }
}
