//! The `log` sink: one JSON object per event and line, on standard output.
//!
//! ```json
//! {"cluster":"prod","stream":"all-namespaces","generation":0,"resourceVersion":"42",
//!  "recordId":"…","receivedAt":"2026-01-02T03:04:05Z","event":{"kind":"Event",…}}
//! ```
//!
//! (on one line). `event` is the event as the API server sent it. Equal `recordId`s are the same
//! record, delivered again. Invariant: a line is never mixed with another one, and a line that was
//! cut by an error is ended before the next begins.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::event_json::event_json;
use super::registry::{Kind, NAME_OPTION, Translation};
use super::{Batch, Delivery, Outcome, Sink, SinkError, options};
use crate::event::Record;
use crate::setting::{ByteSize, EventerUri, Span};

pub(super) const KIND: Kind = Kind {
    name: "log",
    about: "One JSON object per event and line, on standard output",
    aliases: &[],
    eventer_name: "LogSink",
    batch: Batch {
        max_records: Some(500),
        max_bytes: Some(ByteSize::mib(1)),
        max_wait: Some(Span::from_secs(0)),
    },
    options: options::describe::<NoOptions>,
    build: |map, context| {
        options::parse::<NoOptions>(map)?;
        Ok(Box::new(LogSink::new(&context.cluster, io::stdout())))
    },
    redact: options::redact::<NoOptions>,
    from_uri,
};

/// It has no options but those of every sink.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NoOptions {}

#[allow(clippy::unnecessary_wraps)] // the signature of every kind
fn from_uri(uri: &EventerUri) -> Result<Translation, SinkError> {
    let unknown = uri.query.iter().filter(|(name, _)| name != NAME_OPTION);
    let warnings = unknown.map(|(name, _)| {
        let hint = options::hint(name, [NAME_OPTION]);
        format!("option `{name}` is unknown and ignored{hint}")
    });
    Ok(Translation { warnings: warnings.collect(), ..Translation::default() })
}

/// Writes records as lines of JSON.
pub struct LogSink {
    cluster: Arc<str>,
    output: Arc<Mutex<Output>>,
}

struct Output {
    writer: Box<dyn Write + Send>,
    /// Whether the last write failed, so that part of a line may be out already.
    broken: bool,
}

/// One line. The order of the fields is the order they are printed in.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    cluster: &'a str,
    stream: &'a str,
    generation: u32,
    resource_version: &'a str,
    record_id: String,
    received_at: String,
    event: &'a RawValue,
}

impl LogSink {
    /// A sink that writes to `writer`. `cluster` is part of every line.
    pub fn new(cluster: &str, writer: impl Write + Send + 'static) -> Self {
        let output = Output { writer: Box::new(writer), broken: false };
        Self { cluster: cluster.into(), output: Arc::new(Mutex::new(output)) }
    }

    fn line(&self, record: &Record, lines: &mut Vec<u8>) -> Result<(), Outcome> {
        let event = event_json(record)?;
        let line = Line {
            cluster: &self.cluster,
            stream: record.stream.as_str(),
            generation: record.position.generation.0,
            resource_version: record.position.resource_version.as_str(),
            record_id: record.id(&self.cluster).to_string(),
            received_at: record.received_at.to_string(),
            event: &event,
        };
        serde_json::to_writer(&mut *lines, &line)
            .map_err(|error| Outcome::Rejected { reason: error.to_string() })?;
        lines.push(b'\n');
        Ok(())
    }

    /// Writes on a thread of its own: a reader that does not read blocks no other sink.
    async fn write(&self, lines: Vec<u8>) -> Outcome {
        let output = Arc::clone(&self.output);
        let written = tokio::task::spawn_blocking(move || {
            let mut output = match output.try_lock() {
                Ok(output) => output,
                Err(TryLockError::Poisoned(poisoned)) => PoisonError::into_inner(poisoned),
                Err(TryLockError::WouldBlock) => return Err(io::ErrorKind::WouldBlock.into()),
            };
            output.write(&lines)
        });
        match written.await {
            Ok(Ok(())) => Outcome::Accepted,
            Ok(Err(error)) => failure(&error),
            Err(error) => retry(format!("writing to standard output was interrupted: {error}")),
        }
    }
}

impl Output {
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        if std::mem::replace(&mut self.broken, true) {
            self.writer.write_all(b"\n")?;
        }
        self.writer.write_all(lines)?;
        self.writer.flush()?;
        self.broken = false;
        Ok(())
    }
}

#[async_trait]
impl Sink for LogSink {
    async fn deliver(&mut self, batch: &[Record]) -> Delivery {
        let mut lines = Vec::new();
        let mut outcomes = Vec::with_capacity(batch.len());
        for record in batch {
            outcomes.push(self.line(record, &mut lines).err());
        }
        let written = if lines.is_empty() { Outcome::Accepted } else { self.write(lines).await };
        Delivery::Each(
            outcomes
                .into_iter()
                .map(|refused| refused.unwrap_or_else(|| written.clone()))
                .collect(),
        )
    }
}

fn failure(error: &io::Error) -> Outcome {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Outcome::Hold {
            cause: "standard output is closed: nobody reads it any more; restart the relay with \
                    its output connected, or remove the sink"
                .to_owned(),
        },
        io::ErrorKind::WouldBlock => retry(
            "standard output is blocked: an earlier write still waits for its reader".to_owned(),
        ),
        _ => retry(format!("cannot write to standard output: {error}")),
    }
}

fn retry(cause: String) -> Outcome {
    Outcome::Retry { after: None::<Duration>, cause }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::testing::record;
    use std::sync::mpsc;

    /// Fails with each of the given errors once, then writes.
    struct Failing(Vec<io::ErrorKind>, Arc<Mutex<Vec<u8>>>);

    impl Write for Failing {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut written = self.1.lock().expect("not poisoned");
            match self.0.pop() {
                Some(kind) => {
                    written.extend_from_slice(&bytes[..1]);
                    Err(kind.into())
                }
                None => written.write(bytes),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_broken_line_is_ended_before_the_next() {
        let written = Arc::new(Mutex::new(Vec::new()));
        let errors = vec![io::ErrorKind::BrokenPipe, io::ErrorKind::Other];
        let mut sink = LogSink::new("c", Failing(errors, Arc::clone(&written)));
        let batch = [record("7", "{}")];
        let first = sink.deliver(&batch).await;
        assert!(matches!(&first, Delivery::Each(each) if matches!(each[0], Outcome::Retry { .. })));
        let second = sink.deliver(&batch).await;
        assert!(matches!(&second, Delivery::Each(each) if matches!(each[0], Outcome::Hold { .. })));
        assert_eq!(sink.deliver(&batch).await, Delivery::Each(vec![Outcome::Accepted]));
        let written = written.lock().expect("not poisoned").clone();
        let text = String::from_utf8(written).expect("UTF-8");
        let last = text.lines().last().expect("a line");
        serde_json::from_str::<serde_json::Value>(last).expect("a whole line");
    }

    #[tokio::test]
    async fn a_record_that_is_not_json_does_not_stop_the_others() {
        let mut sink = LogSink::new("c", io::sink());
        let batch = [record("7", "{"), record("8", "{}")];
        let Delivery::Each(outcomes) = sink.deliver(&batch).await else { panic!("one each") };
        assert!(matches!(outcomes[0], Outcome::Rejected { .. }));
        assert_eq!(outcomes[1], Outcome::Accepted);
    }

    /// Blocks until told to go on.
    struct Blocking(mpsc::Receiver<()>);

    impl Write for Blocking {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.recv().ok();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_blocked_reader_is_a_retry_and_blocks_no_task() {
        let (go_on, wait) = mpsc::channel();
        let mut sink = LogSink::new("c", Blocking(wait));
        let batch = [record("7", "{}")];
        let given_up = tokio::time::timeout(Duration::from_millis(50), sink.deliver(&batch)).await;
        assert!(given_up.is_err(), "the write hangs");
        let Delivery::Each(outcomes) = sink.deliver(&batch).await else { panic!("one each") };
        assert!(matches!(&outcomes[0], Outcome::Retry { cause, .. } if cause.contains("blocked")));
        drop(go_on);
    }
}
