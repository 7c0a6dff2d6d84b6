//! What librdkafka tells by itself: delivery reports, trouble with brokers, and its log.

use std::sync::Mutex;

use rdkafka::ClientContext;
use rdkafka::Message as _;
use rdkafka::config::RDKafkaLogLevel as Level;
use rdkafka::error::KafkaError;
use rdkafka::producer::{DeliveryResult, ProducerContext};
use rdkafka::types::RDKafkaErrorCode as Code;
use tokio::sync::{mpsc, watch};

use super::failure::{Class, class};
use crate::sink::http::Redaction;

/// What became of a message: its number, and the error if there was one, or where it is.
pub(super) type Report = (usize, Result<Stored, Code>);

/// Where a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) partition: i32,
    pub(super) offset: i64,
}

/// The last trouble with brokers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) code: Code,
    /// What librdkafka says of it, without secrets.
    pub(super) said: String,
    /// Whether there is no broker left that could be asked.
    pub(super) is_general: bool,
}

/// Gets what one producer tells.
pub(super) struct Listener {
    reports: mpsc::UnboundedSender<Report>,
    trouble: watch::Sender<Option<Trouble>>,
    redaction: Mutex<Redaction>,
}

/// The other end.
pub(super) struct Ear {
    /// One for each message that librdkafka took, so that its bounded queue bounds this, too.
    pub(super) reports: mpsc::UnboundedReceiver<Report>,
    /// `None` again as soon as a message has arrived.
    pub(super) trouble: watch::Receiver<Option<Trouble>>,
}

/// A listener for a producer, and where it tells what it hears.
pub(super) fn listener(redaction: Redaction) -> (Listener, Ear) {
    let (report, reports) = mpsc::unbounded_channel();
    let (sender, trouble) = watch::channel(None);
    let redaction = Mutex::new(redaction);
    (Listener { reports: report, trouble: sender, redaction }, Ear { reports, trouble })
}

impl Listener {
    fn explain(&self, text: &str) -> String {
        match self.redaction.lock() {
            Ok(redaction) => redaction.explain(text),
            // Rather nothing than a secret.
            Err(_poisoned) => String::new(),
        }
    }
}

impl ClientContext for Listener {
    fn log(&self, level: Level, facility: &str, message: &str) {
        let message = self.explain(message);
        match level {
            // Whether it matters, the sink says: librdkafka goes on by itself.
            Level::Emerg | Level::Alert | Level::Critical | Level::Error | Level::Warning => {
                tracing::warn!(facility, "librdkafka: {message}");
            }
            Level::Notice | Level::Info => tracing::info!(facility, "librdkafka: {message}"),
            Level::Debug => tracing::debug!(facility, "librdkafka: {message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
        let code = if is_refused_certificate(reason) { Code::SSL } else { code };
        let said = self.explain(reason);
        self.trouble.send_modify(|trouble| note(trouble, code, said));
    }
}

/// Whether a broker has refused our certificate, or TLS as we speak it: a connection that breaks, to librdkafka.
/// Source: RFC 8446, 6.2, and OpenSSL's notation of alerts.
fn is_refused_certificate(reason: &str) -> bool {
    let number = reason.split_once("SSL alert number ").map(|(_, rest)| rest);
    let digits = number.and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next());
    let number: Option<u8> = digits.and_then(|digits| digits.parse().ok());
    matches!(number, Some(40 | 42..=46 | 48 | 49 | 70 | 71 | 116))
}

/// That all brokers are down is the end of a story whose cause was told before.
fn note(trouble: &mut Option<Trouble>, code: Code, said: String) {
    // It does not pass, so nothing that comes later matters more.
    if trouble.as_ref().is_some_and(|before| class(before.code) == Class::Dead) {
        return;
    }
    match trouble {
        Some(before) if code == Code::AllBrokersDown => before.is_general = true,
        _ => {
            let is_general = code == Code::AllBrokersDown || class(code) == Class::Dead;
            *trouble = Some(Trouble { code, said, is_general });
        }
    }
}

impl ProducerContext for Listener {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        let report = match result {
            Ok(message) => Ok(Stored { partition: message.partition(), offset: message.offset() }),
            Err((error, message)) => {
                tracing::debug!(topic = message.topic(), %error, "a message was not delivered");
                Err(error.rdkafka_error_code().unwrap_or(Code::Unknown))
            }
        };
        if report.is_ok() {
            self.trouble.send_if_modified(|trouble| {
                // Only the cause is out of date; nobody has to wake up.
                *trouble = trouble.take().filter(|it| class(it.code) == Class::Dead);
                false
            });
        }
        // An error: the session is over, and nobody waits for it.
        let _heard = self.reports.send((number, report)).is_ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(errors: &[(Code, &str)]) -> Trouble {
        let mut trouble = None;
        for (code, said) in errors {
            note(&mut trouble, *code, (*said).to_owned());
        }
        trouble.expect("trouble")
    }

    #[test]
    fn the_cause_of_a_general_failure_is_kept() {
        let trouble = heard(&[(Code::SSL, "bad certificate"), (Code::AllBrokersDown, "1/1")]);
        let expected =
            Trouble { code: Code::SSL, said: "bad certificate".into(), is_general: true };
        assert_eq!(trouble, expected);
        let trouble = heard(&[(Code::AllBrokersDown, "1/1 brokers are down")]);
        assert!(trouble.is_general && trouble.said == "1/1 brokers are down");
        let trouble = heard(&[
            (Code::SSL, "bad certificate"),
            (Code::AllBrokersDown, "1/1"),
            (Code::BrokerTransportFailure, "refused"),
        ]);
        assert!(!trouble.is_general && trouble.said == "refused");
    }

    #[test]
    fn a_certificate_that_is_refused_is_no_broken_connection() {
        let alert = "Receive failed: error:0A000412:SSL routines::ssl/tls alert bad certificate: SSL alert number";
        assert!(is_refused_certificate(&format!(
            "{alert} 42 (after 0ms in state APIVERSION_QUERY)"
        )));
        assert!(is_refused_certificate(&format!("{alert} 116")));
        assert!(!is_refused_certificate(&format!("{alert} 80")));
        assert!(!is_refused_certificate("Connect failed: Connection refused"));
    }

    #[test]
    fn nothing_hides_that_a_producer_is_dead() {
        let trouble = heard(&[
            (Code::OutOfOrderSequenceNumber, "dead"),
            (Code::BrokerTransportFailure, "refused"),
        ]);
        assert!(trouble.is_general && trouble.said == "dead");
    }

    #[test]
    fn no_secret_is_told() {
        let mut redaction = Redaction::default();
        redaction.hide("s3cret-word");
        let (listener, ear) = listener(redaction);
        let error = KafkaError::Global(Code::Authentication);
        listener.error(error, "the password s3cret-word is wrong");
        let trouble = ear.trouble.borrow().clone().expect("trouble");
        assert_eq!(trouble.said, "the password <secret> is wrong");
    }
}
