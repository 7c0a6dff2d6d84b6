//! What the server says of each document, and of a request as a whole.
//!
//! HTTP 200 does not mean success: each item has a status and an error of its own. Sources: Elasticsearch,
//! "Bulk API"; `OpenSearch`, "Bulk"; types of errors as the servers' exceptions are named.

use serde::Deserialize;
use serde_json::Value;

use crate::sink::Outcome;
use crate::sink::http::{Conflict, Redaction, Reply};

/// The answer to `_bulk`, as far as it is asked for.
#[derive(Deserialize)]
struct BulkAnswer {
    items: Vec<ItemAnswer>,
}

#[derive(Deserialize)]
struct ItemAnswer {
    create: Item,
}

#[derive(Deserialize)]
struct Item {
    status: u16,
    #[serde(default)]
    error: Option<Failure>,
}

/// An error, wherever it stands.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Failure {
    #[serde(rename = "type")]
    kind: String,
    reason: Option<String>,
    caused_by: Option<Box<Failure>>,
}

/// The answer to a request that failed as a whole.
#[derive(Deserialize)]
struct WholeFailure {
    error: Failure,
}

/// One outcome for each of `count` documents. An answer that is not whole says nothing: the request is
/// sent again, and what was written is known by its `_id`.
pub(super) fn outcomes(
    reply: &Reply,
    count: usize,
    redaction: &Redaction,
) -> Result<Vec<Outcome>, Outcome> {
    if !reply.status.is_success() {
        return Err(refusal(reply, redaction));
    }
    let unclear = |cause: String| Outcome::Retry { after: None, cause };
    let answer: BulkAnswer = serde_json::from_slice(&reply.body)
        .map_err(|error| unclear(format!("the answer to _bulk cannot be read: {error}")))?;
    if answer.items.len() != count {
        let items = answer.items.len();
        return Err(unclear(format!(
            "the answer to _bulk has {items} items for {count} documents"
        )));
    }
    Ok(answer.items.iter().map(|item| item.create.outcome(redaction)).collect())
}

impl Item {
    fn outcome(&self, redaction: &Redaction) -> Outcome {
        let failure = self.error.as_ref();
        let kind = failure.map(|failure| failure.kind.as_str()).unwrap_or_default();
        let said = failure.map(Failure::text).unwrap_or_default();
        let what = || format!("{} {}", self.status, redaction.explain(&said));
        let hold = |remedy: &str| Outcome::Hold { cause: format!("{}; {remedy}", what()) };
        let retry = |cause| Outcome::Retry { after: None, cause };
        match self.status {
            200 | 201 => Outcome::Accepted,
            409 if kind == "version_conflict_engine_exception" => Outcome::Accepted,
            // A disk above the flood stage, before Elasticsearch 7.7; it ends when there is room again.
            403 if kind == "cluster_block_exception" && is_flood(&said) => {
                retry(format!("{}; free space on the disks of the cluster", what()))
            }
            400 => match configuration_fault(kind, &said) {
                Some(remedy) => hold(remedy),
                None => Outcome::Rejected { reason: what() },
            },
            413 => Outcome::Rejected { reason: what() },
            401 | 403 if kind == "cluster_block_exception" => {
                hold("somebody has blocked the index: remove the block")
            }
            401 => hold(WRONG_CREDENTIAL),
            403 => hold(NO_PRIVILEGE),
            404 => hold(
                "the index does not exist and is not created by itself: create it, allow it in \
                 `action.auto_create_index`, or set `alias` so that the sink creates it",
            ),
            408 | 409 | 425 | 429 | 500..=599 => retry(what()),
            _ => hold("ask who runs the cluster"),
        }
    }
}

impl Failure {
    /// Type and reason, and those of what caused it.
    fn text(&self) -> String {
        let reason = self.reason.as_deref().unwrap_or_default();
        let cause = self.caused_by.as_ref().map(|cause| format!("; {}", cause.text()));
        format!("{}: {reason}{}", self.kind, cause.unwrap_or_default())
    }
}

const WRONG_CREDENTIAL: &str =
    "check `username` and `password`, `apiKey` or `bearerToken` of the sink";

const REFUSED_BY_AWS: &str = "check the keys, `region` and `service` of `sigv4`, the clock of this machine, and what \
                              the policies of the domain or collection allow to these keys";

const NO_PRIVILEGE: &str = "give the sink's user or key the privileges `create_doc` and \
                            `auto_configure` (or `create_index`) on the index, and `monitor` on the cluster";

fn is_flood(said: &str) -> bool {
    said.contains("FORBIDDEN/12/") || said.contains("read-only / allow delete")
}

/// What a person can do about a status 400 that is not the document's fault. All others are, which keeps
/// them as dead letters with the server's words.
fn configuration_fault(kind: &str, said: &str) -> Option<&'static str> {
    let says = |part: &str| said.contains(part);
    if says("maximum shards open") || says("maximum normal shards open") {
        return Some("the cluster is full of shards: remove old indexes, or raise its limit");
    }
    if kind == "invalid_index_name_exception" {
        return Some("check `index`");
    }
    if says("pipeline with id") && says("does not exist") {
        return Some("create the pipeline, or check `pipeline`");
    }
    if says("only write ops with an op_type of create") || says("no write index is defined") {
        return Some("check `index` and `dataStream`");
    }
    if says("more than 1 type") {
        return Some(
            "the index has documents of another type than `events`: choose another `index`",
        );
    }
    (kind == "validation_exception").then_some("ask who runs the cluster")
}

/// What a request that failed as a whole means.
pub(super) fn refusal(reply: &Reply, redaction: &Redaction) -> Outcome {
    let what = || explain(reply, redaction);
    let hold = |remedy: &str| Outcome::Hold { cause: format!("{}; {remedy}", what()) };
    match reply.status.as_u16() {
        413 => Outcome::Rejected { reason: what() },
        // No document is to blame for these: they are about the request.
        400 | 406 | 409 | 415 | 422 => {
            hold("the server does not understand the request: check `version` and `nodes`")
        }
        401 | 403 if is_of_aws(reply) => hold(REFUSED_BY_AWS),
        401 => hold(WRONG_CREDENTIAL),
        403 => hold(NO_PRIVILEGE),
        404 => hold("check the URLs in `nodes`"),
        429 => Outcome::Retry { after: reply.retry_after, cause: what() },
        _ => reply.outcome(Conflict::Rejected, redaction),
    }
}

/// What it means that an index, an alias or a template is not created. No record is to blame for it.
pub(super) fn not_created(reply: &Reply, redaction: &Redaction) -> Outcome {
    match reply.status.as_u16() {
        400 | 413 => Outcome::Hold {
            cause: format!(
                "{}; create the index or its template yourself, and leave out `alias` or `template`",
                explain(reply, redaction)
            ),
        },
        _ => refusal(reply, redaction),
    }
}

/// Status and the server's own words, without the rest of its answer.
fn explain(reply: &Reply, redaction: &Redaction) -> String {
    match serde_json::from_slice::<WholeFailure>(&reply.body) {
        Ok(whole) if !whole.error.kind.is_empty() => {
            format!("HTTP {}: {}", reply.status, redaction.explain(&whole.error.text()))
        }
        _ => reply.explain(redaction),
    }
}

/// AWS answers before the server does: `{"message": …}`, in either case.
fn is_of_aws(reply: &Reply) -> bool {
    let json: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    ["message", "Message"].iter().any(|name| json[*name].is_string())
}

/// Whether a request to create something failed because it is there already.
pub(super) fn exists_already(reply: &Reply) -> bool {
    let said = String::from_utf8_lossy(&reply.body);
    reply.status.as_u16() == 400
        && (said.contains("already_exists_exception") || said.contains("already exists"))
}

#[cfg(test)]
mod tests;
