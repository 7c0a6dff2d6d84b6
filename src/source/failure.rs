//! A request the API server did not fulfil: what it said, and what that means.

use std::time::Duration;

use crate::event::StreamId;

/// Why a request was not fulfilled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// The API server answered with a `Status`, as an HTTP response or as an ERROR event.
    Answer(Refusal),
    /// No answer: name resolution, connection, TLS, time-out, reset.
    Network(String),
    /// An answer that cannot be used, such as a page of a login portal.
    Unusable(String),
}

/// A `Status` object of the API server.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Refusal {
    /// HTTP status.
    pub(super) code: u16,
    /// Machine-readable reason, such as `Expired`.
    pub(super) reason: String,
    /// Human-readable message.
    pub(super) message: String,
    /// How long to wait: `Retry-After` or `details.retryAfterSeconds`.
    pub(super) retry_after: Option<Duration>,
}

/// What a failure means for the next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The API server has forgotten the version or the continuation that was asked for.
    TooOld,
    /// The same request is welcome later.
    Throttled,
    /// The API server, or the way to it, is in trouble.
    Unavailable,
    /// The credentials are not accepted.
    Unauthorized,
    /// Only an operator can help: permission, address, request.
    Refused,
}

/// Longest wait an answer can ask for; what asks for more is mistaken.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

impl Failure {
    /// Classes of sink-protocols.md 11.8. "Too old" goes by code or reason, never by message text.
    pub(super) fn meaning(&self) -> Meaning {
        let Self::Answer(refusal) = self else { return Meaning::Unavailable };
        if refusal.code == 410 || matches!(refusal.reason.as_str(), "Expired" | "Gone") {
            return Meaning::TooOld;
        }
        match refusal.code {
            429 => Meaning::Throttled,
            401 => Meaning::Unauthorized,
            408 | 500.. => Meaning::Unavailable,
            _ => Meaning::Refused,
        }
    }

    /// How long the API server asked to wait.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Answer(refusal) => refusal.retry_after.map(|wait| wait.min(LONGEST_WAIT)),
            _ => None,
        }
    }

    /// One line for an operator: what happened and what to do. `verb` is the RBAC verb of the request.
    pub(super) fn explain(&self, verb: &str, stream: &StreamId) -> String {
        let refusal = match self {
            Self::Answer(refusal) => refusal,
            Self::Network(cause) => {
                return format!("the Kubernetes API server cannot be reached: {cause}");
            }
            Self::Unusable(cause) => {
                return format!(
                    "what answers is not a Kubernetes API server, or its answer was cut: {cause}; \
                     check source.kubernetes.server and any proxy on the way"
                );
            }
        };
        let said = refusal.said();
        match refusal.code {
            401 => format!(
                "the API server does not accept the relay's credentials ({said}); check that the \
                 service account exists and its token is mounted, or renew the kubeconfig"
            ),
            403 => format!("the API server forbids it ({said}); {}", missing_rule(verb, stream)),
            404 | 400 | 405 => format!(
                "the API server does not know the request to {verb} events ({said}); check that \
                 source.kubernetes.server is the address of a Kubernetes API server"
            ),
            429 => format!("the API server asked to wait ({said})"),
            _ => format!("the API server could not {verb} events ({said})"),
        }
    }
}

impl Refusal {
    /// Code, reason and message as the API server put them.
    pub(super) fn said(&self) -> String {
        let mut text = self.code.to_string();
        if !self.reason.is_empty() {
            text = format!("{text} {}", self.reason);
        }
        if !self.message.is_empty() {
            text = format!("{text}: {}", self.message);
        }
        text
    }
}

fn missing_rule(verb: &str, stream: &StreamId) -> String {
    let rule = "apiGroups [\"\"], resources [events], verbs [get, list, watch]";
    match stream.namespace() {
        None => format!(
            "verb {verb} on events in all namespaces is missing: bind a ClusterRole with {rule} \
             to the relay's service account"
        ),
        Some(namespace) => format!(
            "verb {verb} on events in namespace {namespace} is missing: bind a Role there with \
             {rule} to the relay's service account"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(code: u16, reason: &str) -> Failure {
        Failure::Answer(Refusal { code, reason: reason.into(), ..Refusal::default() })
    }

    #[test]
    fn too_old_goes_by_code_or_reason() {
        for failure in [answer(410, ""), answer(400, "Expired"), answer(500, "Gone")] {
            assert_eq!(failure.meaning(), Meaning::TooOld, "{failure:?}");
        }
    }

    #[test]
    fn every_status_has_a_meaning() {
        let cases = [
            (429, Meaning::Throttled),
            (401, Meaning::Unauthorized),
            (403, Meaning::Refused),
            (404, Meaning::Refused),
            (400, Meaning::Refused),
            (500, Meaning::Unavailable),
            (503, Meaning::Unavailable),
            (504, Meaning::Unavailable),
        ];
        for (code, meaning) in cases {
            assert_eq!(answer(code, "").meaning(), meaning, "{code}");
        }
        assert_eq!(Failure::Network(String::new()).meaning(), Meaning::Unavailable);
    }

    #[test]
    fn a_missing_permission_names_verb_resource_and_scope() {
        let everywhere = answer(403, "Forbidden").explain("watch", &StreamId::all_namespaces());
        assert!(everywhere.contains("verb watch on events in all namespaces"), "{everywhere}");
        assert!(everywhere.contains("ClusterRole"), "{everywhere}");
        let shop = StreamId::of_namespace("shop").expect("a namespace");
        let there = answer(403, "Forbidden").explain("list", &shop);
        assert!(there.contains("verb list on events in namespace shop"), "{there}");
    }

    #[test]
    fn an_absurd_wait_is_cut_short() {
        let failure = Failure::Answer(Refusal {
            code: 429,
            retry_after: Some(Duration::from_secs(86_400)),
            ..Refusal::default()
        });
        assert_eq!(failure.retry_after(), Some(LONGEST_WAIT));
    }
}
