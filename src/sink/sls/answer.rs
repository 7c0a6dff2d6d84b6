//! What an answer of SLS means ("Common error codes" and "`PutLogs`" of the API reference).

use serde_json::Value;

use crate::sink::Outcome;
use crate::sink::http::{Conflict, Redaction, Reply};

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    Outcome(Outcome),
    /// The keys are refused: others may be valid.
    Keys(String),
}

/// Reads an answer. One log that is refused refuses all: the runner finds it.
pub(super) fn read(reply: &Reply, redaction: &Redaction) -> Answer {
    let said = reply.explain(redaction);
    let json: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let code = json["errorCode"].as_str().unwrap_or_default().to_ascii_lowercase();
    let hold = |remedy: &str| Answer::Outcome(Outcome::Hold { cause: format!("{said}; {remedy}") });
    let retry =
        || Answer::Outcome(Outcome::Retry { after: reply.retry_after, cause: said.clone() });
    match code.as_str() {
        "" => Answer::Outcome(reply.outcome(Conflict::Rejected, redaction)),
        "postbodyinvalid" | "invalidtimestamp" | "invalidencoding" | "invalidkey"
        | "postbodytoolarge" => Answer::Outcome(Outcome::Rejected { reason: said }),
        "unauthorized" | "signaturenotmatch" => Answer::Keys(said),
        "invalidaccesskeyid" => hold("check the option `accessKeyId`"),
        "requesttimetooskewed" | "requesttimeexpired" | "invalidrequesttime"
        // Not a matter of permission, although it comes with 403.
        | "writequotaexceed" | "shardwritequotaexceed" | "exceedquota" => retry(),
        "projectforbidden" => hold("the project is closed, or this network may not use it"),
        "projectnotexist" | "projectnotexists" => {
            hold("check the options `project` and `region`, or create the project")
        }
        "logstorenotexist" | "logstorenotexists" | "shardnotexist" | "logstorewithoutshard" => {
            hold("check the option `logStore`, or create it")
        }
        _ if reply.status.is_server_error() => retry(),
        _ => hold("the service does not take what the relay sends: please report it"),
    }
}
