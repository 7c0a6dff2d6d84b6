//! What an error of a broker, or of librdkafka, means.
//!
//! Sources: kafka.apache.org, "Error Codes" of the protocol; librdkafka, INTRODUCTION.md and `rdkafka_request.c`.
//! What passes by itself while a connection lives, librdkafka tries again and does not report.

use rdkafka::types::RDKafkaErrorCode as Code;

use crate::sink::Outcome;

/// What there is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// It passes.
    Again,
    /// The topic is not there. librdkafka has waited for it.
    NoTopic,
    /// It is the fault of this record, or of one it was sent together with.
    Refused,
    /// The record's time is too far from that of the broker.
    Time,
    /// An operator must act.
    Hold(&'static str),
    /// The producer can do nothing more; another one can.
    Dead,
}

/// What `code` means.
pub(super) fn class(code: Code) -> Class {
    match code {
        Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition => {
            Class::NoTopic
        }
        Code::MessageSizeTooLarge
        | Code::InvalidMessageSize
        | Code::MessageBatchTooLarge
        | Code::InvalidRecord
        | Code::InvalidDifferentRecord => Class::Refused,
        Code::InvalidTimestamp => Class::Time,
        Code::Fatal
        | Code::OutOfOrderSequenceNumber
        | Code::UnknownProducerId
        | Code::InvalidProducerEpoch
        | Code::GaplessGuarantee
        | Code::Inconsistent
        | Code::ProducerFenced
        | Code::Fenced => Class::Dead,
        _ => remedy(code).map_or(Class::Again, Class::Hold),
    }
}

/// What an operator can do, where nothing else helps.
fn remedy(code: Code) -> Option<&'static str> {
    Some(match code {
        Code::Authentication | Code::SaslAuthenticationFailed | Code::IllegalSASLState => {
            "check `username`, `password` and `mechanism`, and that the brokers' listener asks for them"
        }
        Code::UnsupportedSASLMechanism => "set `mechanism` to one that the brokers take",
        Code::SSL => {
            "check `tls`, `ca`, `certificate` and `key`, and that the brokers' certificates name their hosts"
        }
        Code::TopicAuthorizationFailed => "allow the user to Write to the topic and to Describe it",
        Code::ClusterAuthorizationFailed => {
            "allow the user IdempotentWrite on the cluster, or Write on the topic from Kafka 2.8 on"
        }
        Code::InvalidTopic => "name another topic in `topic`",
        Code::PolicyViolation => "a policy of the brokers forbids it",
        Code::InvalidRequiredAcks => "the brokers do not take `acks=all`",
        Code::UnsupportedForMessageFormat | Code::UnsupportedVersion => {
            "the brokers or the topic's `message.format.version` are older than Kafka 0.11"
        }
        Code::UnsupportedCompressionType | Code::BadCompression => {
            "set `compression` to one that the brokers take"
        }
        Code::UnsupportedFeature => "the brokers are too old for idempotent producers (Kafka 0.11)",
        _ => return None,
    })
}

/// The outcome for what is left to be delivered after this error. `said` has no secrets.
pub(super) fn outcome(code: Code, said: &str, topic: &str) -> Outcome {
    match class(code) {
        Class::Hold(remedy) => Outcome::Hold { cause: format!("{said}; {remedy}") },
        Class::NoTopic => Outcome::Hold {
            cause: format!(
                "{said}: there is no topic `{topic}`; create it, or name another one in `topic`"
            ),
        },
        Class::Refused | Class::Time => Outcome::Rejected { reason: said.to_owned() },
        Class::Again | Class::Dead => Outcome::Retry { after: None, cause: said.to_owned() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_their_class() {
        for (codes, expected) in [
            (
                &[
                    Code::MessageTimedOut,
                    Code::BrokerTransportFailure,
                    Code::AllBrokersDown,
                    Code::PurgeQueue,
                    Code::PurgeInflight,
                    Code::RequestTimedOut,
                    Code::NotEnoughReplicas,
                    Code::NotEnoughReplicasAfterAppend,
                    Code::LeaderNotAvailable,
                    Code::NotLeaderForPartition,
                    Code::KafkaStorageError,
                    Code::NetworkException,
                    Code::ThrottlingQuotaExceeded,
                    Code::InvalidMessage,
                    Code::Resolve,
                ][..],
                Class::Again,
            ),
            (
                &[Code::UnknownTopic, Code::UnknownTopicOrPartition, Code::UnknownPartition],
                Class::NoTopic,
            ),
            (
                &[Code::MessageSizeTooLarge, Code::MessageBatchTooLarge, Code::InvalidRecord],
                Class::Refused,
            ),
            (&[Code::InvalidTimestamp], Class::Time),
            (
                &[
                    Code::Fatal,
                    Code::OutOfOrderSequenceNumber,
                    Code::UnknownProducerId,
                    Code::InvalidProducerEpoch,
                    Code::GaplessGuarantee,
                    Code::Fenced,
                ],
                Class::Dead,
            ),
        ] {
            for code in codes {
                assert_eq!(class(*code), expected, "{code:?}");
            }
        }
    }

    #[test]
    fn what_an_operator_must_solve_says_how() {
        for (code, part) in [
            (Code::Authentication, "`password`"),
            (Code::SaslAuthenticationFailed, "`password`"),
            (Code::UnsupportedSASLMechanism, "`mechanism`"),
            (Code::SSL, "`ca`"),
            (Code::TopicAuthorizationFailed, "allow the user to Write"),
            (Code::ClusterAuthorizationFailed, "IdempotentWrite"),
            (Code::InvalidTopic, "`topic`"),
            (Code::PolicyViolation, "policy"),
            (Code::InvalidRequiredAcks, "acks=all"),
            (Code::UnsupportedForMessageFormat, "message.format.version"),
            (Code::UnknownTopic, "there is no topic `events`"),
        ] {
            let outcome = outcome(code, "said", "events");
            assert!(
                matches!(&outcome, Outcome::Hold { cause } if cause.starts_with("said") && cause.contains(part)),
                "{code:?}: {outcome:?}"
            );
        }
    }
}
