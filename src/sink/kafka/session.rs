//! One producer, and what is under way with it.
//!
//! Invariants: what is under way are the first records of the batch that is handed over next, in order; each of
//! them is with librdkafka once at a time, so that a delivery that is given up and begun again makes no second
//! message; a record is accepted by its delivery report, and by nothing else. An error that librdkafka does not
//! solve by itself ends the session: what follows it begins anew with the next one, in order.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::producer::{BaseRecord, Producer, PurgeConfig, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode as Code;
use tokio::time::{Instant, sleep_until};

use super::failure::{self, Class, class};
use super::listener::{Ear, Listener, Report, Stored, Trouble, listener};
use super::message::{Form, Message};
use super::settings::Settings;
use crate::event::{Record, RecordId};
use crate::sink::http::Redaction;
use crate::sink::{Outcome, transcript};

/// Without a delivery report for so long, a delivery is begun again. What is under way stays under way.
const PATIENCE: Duration = Duration::from_secs(5);

/// So many records are made ready before other tasks have their turn.
const PORTION: usize = 100;

/// A producer, and what it has not reported or not told yet.
pub(super) struct Session {
    /// Present until the session is dropped.
    producer: Option<ThreadedProducer<Listener>>,
    settings: Settings,
    ear: Ear,
    under_way: VecDeque<UnderWay>,
    /// Number of the first record that is under way.
    first: usize,
    /// Of those under way so many have no report yet.
    waiting: usize,
    /// The latest time that the brokers have refused for being too old.
    too_old: i64,
    end: Option<End>,
}

/// Why a session is of no use any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The topic is not there.
    NoTopic,
    /// Anything else.
    Failure,
}

struct UnderWay {
    id: RecordId,
    attempt: Attempt,
    state: State,
}

enum State {
    Waiting,
    Reported(Option<Code>),
    /// It can never be sent.
    Refused(Outcome),
}

/// How a record was sent last.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Attempt {
    /// Perhaps in one batch with others, which are refused with it.
    Together,
    Alone,
    /// Alone, with the time of now.
    Now,
}

impl Session {
    /// A session with a new producer. It does not connect before there is something to send. `topic_wait` is how
    /// long a topic may be unknown.
    pub(super) async fn open(settings: Settings, topic_wait: Duration) -> Result<Self, Outcome> {
        let config = settings.client_config(topic_wait);
        let (listener, ear) = listener(settings.redaction());
        // It reads files and starts threads.
        let made = tokio::task::spawn_blocking(move || {
            ThreadedProducer::from_config_and_context(&config, listener)
        });
        let made = made.await.map_err(|error| Outcome::Retry {
            after: None,
            cause: format!("the producer could not be made: {error}"),
        })?;
        let redaction = settings.redaction();
        let producer = made.map_err(|error| Outcome::Hold {
            cause: format!(
                "{}; check `ca`, `certificate`, `key` and `keyPassword`",
                redaction.explain(&error.to_string())
            ),
        })?;
        Ok(Self {
            producer: Some(producer),
            settings,
            ear,
            under_way: VecDeque::new(),
            first: 0,
            waiting: 0,
            too_old: i64::MIN,
            end: None,
        })
    }

    /// Whether it can go on with these settings and this batch.
    pub(super) fn fits(&self, settings: &Settings, batch: &[Record], cluster: &str) -> bool {
        let ids = batch.iter().map(|record| record.id(cluster));
        self.settings == *settings
            && self.under_way.len() <= batch.len()
            && self.under_way.iter().zip(ids).all(|(under_way, id)| under_way.id == id)
    }

    /// Why it is of no use any more.
    pub(super) fn end(&self) -> Option<End> {
        self.end
    }

    /// Sends what is not under way yet, waits for the reports, and tells one outcome for each record.
    pub(super) async fn hand_over(&mut self, batch: &[Record], form: &Form) -> Vec<Outcome> {
        // Trouble of before counts when nothing gets through in spite of it being over.
        self.ear.trouble.mark_unchanged();
        let mut deadline = Instant::now() + PATIENCE;
        let stopped = loop {
            if self.hear_reports() {
                deadline = Instant::now() + PATIENCE;
            }
            if self.send_portion(batch, form) {
                tokio::task::yield_now().await;
                continue;
            }
            if self.waiting == 0 {
                let Some((place, attempt)) = self.next_attempt() else { break None };
                self.send_again(place, attempt, &batch[place], form);
                continue;
            }
            tokio::select! {
                report = self.ear.reports.recv() => match report {
                    Some(report) => {
                        self.enter(report);
                        deadline = Instant::now() + PATIENCE;
                    }
                    None => break Some(self.silence(form)),
                },
                Ok(()) = self.ear.trouble.changed() => {
                    let trouble = self.ear.trouble.borrow_and_update().clone();
                    if let Some(trouble) = trouble.filter(|trouble| trouble.is_general) {
                        break Some(self.trouble(&trouble));
                    }
                }
                () = sleep_until(deadline) => break Some(self.silence(form)),
            }
        };
        self.tell(batch.len(), stopped, form)
    }

    /// Takes the reports that are there. Whether there were any.
    fn hear_reports(&mut self) -> bool {
        let before = self.waiting;
        while let Ok(report) = self.ear.reports.try_recv() {
            self.enter(report);
        }
        self.waiting < before
    }

    fn enter(&mut self, (number, report): Report) {
        if let Ok(Stored { partition, offset }) = report {
            transcript::note(|| format!("stored in partition {partition} at offset {offset}"));
        }
        let place = number.checked_sub(self.first);
        let Some(under_way) = place.and_then(|place| self.under_way.get_mut(place)) else { return };
        under_way.state = State::Reported(report.err());
        self.waiting = self.waiting.saturating_sub(1);
    }

    /// Sends some of what is not under way yet, as far as there is room. Whether more can be sent at once.
    fn send_portion(&mut self, batch: &[Record], form: &Form) -> bool {
        for record in batch.iter().skip(self.under_way.len()).take(PORTION) {
            let id = record.id(&form.cluster);
            let state = match form.message(record, id) {
                Ok(message) => match self.produce(self.under_way.len(), message, form) {
                    Ok(()) => State::Waiting,
                    // What is under way makes room.
                    Err(Code::QueueFull) if self.waiting > 0 => return false,
                    Err(code) => State::Reported(Some(code)),
                },
                Err(outcome) => State::Refused(outcome),
            };
            self.waiting += usize::from(matches!(state, State::Waiting));
            self.under_way.push_back(UnderWay { id, attempt: Attempt::Together, state });
        }
        self.under_way.len() < batch.len()
    }

    fn send_again(&mut self, place: usize, attempt: Attempt, record: &Record, form: &Form) {
        let state = match form.message(record, record.id(&form.cluster)) {
            Ok(mut message) => {
                if attempt == Attempt::Now {
                    self.too_old = self.too_old.max(message.time);
                }
                message.time = self.accepted_time(message.time);
                match self.produce(place, message, form) {
                    Ok(()) => State::Waiting,
                    Err(code) => State::Reported(Some(code)),
                }
            }
            Err(outcome) => State::Refused(outcome),
        };
        self.waiting += usize::from(matches!(state, State::Waiting));
        if let Some(under_way) = self.under_way.get_mut(place) {
            under_way.state = state;
            under_way.attempt = attempt;
        }
    }

    /// The time of an event, or now, where the brokers would refuse it.
    fn accepted_time(&self, time: i64) -> i64 {
        let now = Timestamp::now().as_millisecond();
        if time <= self.too_old { now } else { time.min(now) }
    }

    fn produce(&self, place: usize, message: Message, form: &Form) -> Result<(), Code> {
        let Some(producer) = &self.producer else { return Err(Code::Fatal) };
        let record = BaseRecord::with_opaque_to(&form.topic, self.first + place)
            .key(&message.key)
            .payload(&message.value)
            .timestamp(self.accepted_time(message.time))
            .headers(message.headers);
        producer
            .send(record)
            .map_err(|(error, _)| error.rdkafka_error_code().unwrap_or(Code::InvalidArgument))
    }

    /// The first record that is worth another attempt, unless something before it ends the session anyway.
    fn next_attempt(&self) -> Option<(usize, Attempt)> {
        for (place, under_way) in self.under_way.iter().enumerate() {
            let State::Reported(Some(code)) = under_way.state else { continue };
            if let Some(attempt) = under_way.attempt.next(code) {
                return Some((place, attempt));
            }
            if !matches!(class(code), Class::Refused | Class::Time) {
                return None;
            }
        }
        None
    }

    /// One outcome for each record. Those up to the first that is not done are forgotten.
    fn tell(&mut self, count: usize, stopped: Option<Outcome>, form: &Form) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(count);
        let mut blocked = stopped.unwrap_or_else(|| self.silence(form));
        while let Some(under_way) = self.under_way.front() {
            let outcome = match &under_way.state {
                State::Waiting => break,
                State::Reported(None) => Outcome::Accepted,
                State::Refused(outcome) => outcome.clone(),
                State::Reported(Some(code)) if under_way.attempt.next(*code).is_some() => break,
                State::Reported(Some(code)) => self.failure(*code, form),
            };
            if !matches!(outcome, Outcome::Accepted | Outcome::Rejected { .. }) {
                let topic_missing = matches!(&under_way.state, State::Reported(Some(code))
                    if class(*code) == Class::NoTopic);
                self.end = Some(if topic_missing { End::NoTopic } else { End::Failure });
                blocked = outcome;
                break;
            }
            outcomes.push(outcome);
            self.under_way.pop_front();
            self.first += 1;
        }
        // Brokers are not asked again and again with what they refuse.
        if outcomes.len() < count && matches!(blocked, Outcome::Hold { .. }) {
            self.end.get_or_insert(End::Failure);
        }
        outcomes.resize(count, blocked);
        outcomes
    }

    /// The outcome of a record with this error.
    fn failure(&self, code: Code, form: &Form) -> Outcome {
        let trouble = self.ear.trouble.borrow().clone();
        // What killed the producer says more than that it is dead.
        let said = match trouble.filter(|_| class(code) == Class::Dead) {
            Some(trouble) => trouble.said,
            None => self.redaction().explain(&code.to_string()),
        };
        failure::outcome(code, &said, &form.topic)
    }

    /// The outcome of what is under way, when brokers cannot be spoken to.
    fn trouble(&mut self, trouble: &Trouble) -> Outcome {
        if class(trouble.code) == Class::Dead {
            self.end = Some(End::Failure);
        }
        match class(trouble.code) {
            Class::Hold(remedy) => Outcome::Hold { cause: format!("{}; {remedy}", trouble.said) },
            _ => Outcome::Retry { after: None, cause: trouble.said.clone() },
        }
    }

    /// The outcome of what is under way, when nothing is reported.
    fn silence(&mut self, form: &Form) -> Outcome {
        let trouble = self.ear.trouble.borrow().clone();
        if let Some(trouble) = trouble {
            return self.trouble(&trouble);
        }
        let cause = format!(
            "the brokers have not confirmed {} records for {} s; is there the topic `{}`, and have its \
             partitions a leader and enough in-sync replicas?",
            self.waiting,
            PATIENCE.as_secs(),
            form.topic
        );
        Outcome::Retry { after: None, cause }
    }

    fn redaction(&self) -> Redaction {
        self.settings.redaction()
    }
}

impl Attempt {
    /// What to try after this error.
    fn next(self, code: Code) -> Option<Self> {
        match (self, class(code)) {
            (Self::Together | Self::Alone, Class::Time) => Some(Self::Now),
            (Self::Together, Class::Refused) => Some(Self::Alone),
            _ => None,
        }
    }
}

impl Drop for Session {
    /// The end of a producer takes its time, which no task can wait for.
    fn drop(&mut self) {
        let Some(producer) = self.producer.take() else { return };
        // At once: what is under way is handed over again, to another one.
        producer.purge(PurgeConfig::default().queue().inflight().non_blocking());
        let ending = std::thread::Builder::new().name("kafka-end".to_owned());
        if let Err(error) = ending.spawn(move || drop(producer)) {
            tracing::warn!(%error, "no thread for the end of a Kafka producer");
        }
    }
}
