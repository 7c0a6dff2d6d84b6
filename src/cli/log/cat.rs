//! `log cat`: records that match, as they are in the log and as they come.

use clap::Args;
use jiff::Timestamp;

use crate::cli::exit::Failure;
use crate::cli::moment::moment;
use crate::cli::output::{self, Format, OutputArgs};
use crate::cli::target::TargetArgs;
use crate::cli::wait_for;
use crate::event::{EventObject, StreamId};
use crate::relay::{self, FoundRecord, RecordLine, RecordQuery};

/// Arguments of `log cat`.
#[derive(Debug, Clone, Args)]
pub struct CatArgs {
    /// Only events of this type; this and the next four are patterns over the whole value
    #[arg(long = "type", value_name = "PATTERN")]
    event_type: Option<String>,
    /// Only events with this reason: 'BackOff|Failed.*'
    #[arg(long, value_name = "PATTERN")]
    reason: Option<String>,
    /// Only events about objects of this kind
    #[arg(long, value_name = "PATTERN")]
    kind: Option<String>,
    /// Only events about objects in this namespace
    #[arg(long, value_name = "PATTERN")]
    namespace: Option<String>,
    /// Only events about objects with this name
    #[arg(long, value_name = "PATTERN")]
    name: Option<String>,
    #[arg(
        long = "match",
        value_name = "MATCH",
        value_parser = crate::cli::matching,
        help = "Only events that this matches, as under a sink's match: {messages: ['.*oom.*']}"
    )]
    matching: Option<String>,
    /// Only records received since then: 2h, or 2026-01-02T15:04:05Z
    #[arg(long, value_name = "AGE|TIME", value_parser = moment)]
    since: Option<Timestamp>,
    /// Only records received before
    #[arg(long, value_name = "AGE|TIME", value_parser = moment)]
    until: Option<Timestamp>,
    /// Only records of this stream
    #[arg(long, value_name = "STREAM")]
    stream: Option<StreamId>,
    /// At most so many
    #[arg(long, value_name = "COUNT")]
    limit: Option<u64>,
    /// Wait for more at the end
    #[arg(short, long, conflicts_with_all = ["data_dir", "until"])]
    follow: bool,
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Writes line by line, until the reader has gone or something fails.
struct Printer {
    format: Format,
    failure: Option<String>,
}

/// Runs the command and prints what it finds.
pub(super) fn run(args: &CatArgs) -> Result<(), Failure> {
    let query = args.query();
    let mut printer = Printer { format: args.output.output, failure: None };
    if printer.format == Format::Table && !printer.write(&headings()) {
        return printer.end();
    }
    match &args.target.data_dir {
        None => {
            let client = args.target.client().map_err(Failure::failed)?;
            wait_for(client.records(&query, |line| printer.show(line)))?;
        }
        Some(directory) => {
            relay::offline_records(directory, &query, |line| printer.show(line))
                .map_err(Failure::failed)?;
        }
    }
    printer.end()
}

impl CatArgs {
    fn query(&self) -> RecordQuery {
        let Self { event_type, reason, kind, namespace, name, matching, stream, .. } = self.clone();
        let Self { since, until, limit, follow, .. } = *self;
        RecordQuery {
            event_type,
            reason,
            kind,
            namespace,
            name,
            matching,
            since,
            until,
            stream,
            limit,
            follow,
        }
    }
}

impl Printer {
    /// Shows a line. Returns whether more is wanted.
    fn show(&mut self, line: RecordLine) -> bool {
        match line {
            RecordLine::Notice { notice } => {
                eprintln!("{}", output::one_line(&notice));
                true
            }
            RecordLine::Error { error } => {
                self.failure = Some(error);
                false
            }
            RecordLine::Record(record) => {
                let text = match self.format {
                    Format::Table => Ok(row(&record)),
                    Format::Json => serde_json::to_string(&record).map(|json| json + "\n"),
                };
                match text {
                    Ok(text) => self.write(&text),
                    Err(error) => {
                        self.failure = Some(error.to_string());
                        false
                    }
                }
            }
        }
    }

    /// Whether it was written; a reader that has gone away is no failure, but wants no more.
    fn write(&mut self, text: &str) -> bool {
        output::is_read(text).unwrap_or_else(|error| {
            self.failure = Some(format!("cannot write to standard output: {error}"));
            false
        })
    }

    fn end(self) -> Result<(), Failure> {
        self.failure.map_or(Ok(()), |reason| Err(Failure::failed(reason)))
    }
}

fn headings() -> String {
    line(["RECEIVED", "TYPE", "REASON", "OBJECT", "MESSAGE"].map(str::to_owned))
}

fn row(record: &FoundRecord) -> String {
    let event = EventObject::from_value(record.event.clone());
    let text = |pointer: &str| output::one_line(event.text(pointer));
    let (namespace, name) = (text("/involvedObject/namespace"), text("/involvedObject/name"));
    let kind = text("/involvedObject/kind");
    let object = if namespace.is_empty() {
        format!("{kind} {name}")
    } else {
        format!("{kind} {namespace}/{name}")
    };
    let received = record.received_at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    line([received, text("/type"), text("/reason"), object, text("/message")])
}

/// Records come one by one, so that columns cannot be as wide as their widest cell.
fn line([received, event_type, reason, object, message]: [String; 5]) -> String {
    format!("{received:<20}  {event_type:<7}  {reason:<20}  {object:<40}  {message}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Generation;

    #[test]
    fn a_record_is_one_line() {
        let record = FoundRecord {
            stream: StreamId::all_namespaces(),
            generation: Generation(0),
            resource_version: "42".parse().expect("a version"),
            received_at: "2026-01-02T12:00:00.25Z".parse().expect("a time"),
            event: serde_json::json!({
                "type": "Warning",
                "reason": "BackOff",
                "message": "Back-off\nrestarting \u{1b}[2J",
                "involvedObject": {"kind": "Pod", "namespace": "shop", "name": "cart-0"},
            }),
        };
        assert_eq!(
            row(&record),
            "2026-01-02T12:00:00Z  Warning  BackOff               Pod shop/cart-0                           Back-off restarting  [2J\n"
        );
        assert!(
            headings().starts_with("RECEIVED              TYPE     REASON                OBJECT ")
        );
    }
}
