//! `log stat`: what the log holds, in numbers.

use clap::{Args, ValueEnum};
use jiff::Timestamp;

use crate::cli::moment::moment;
use crate::cli::output::{self, Format, OutputArgs, Palette, Table, Tone};
use crate::cli::target::{ReadError, TargetArgs};
use crate::relay::{CountBy, CountQuery, LogStat, RecordCount, RecordCounts, RecordPlace};

/// Arguments of `log stat`.
#[derive(Debug, Clone, Args)]
pub struct StatArgs {
    /// Count the records of each type, reason, kind, namespace or day instead; reads all of them
    #[arg(long, value_name = "WHAT", value_enum)]
    by: Option<By>,
    /// Only records received since then: 2h, or 2026-01-02T15:04:05Z
    #[arg(long, value_name = "AGE|TIME", value_parser = moment, requires = "by")]
    since: Option<Timestamp>,
    /// Only records received before
    #[arg(long, value_name = "AGE|TIME", value_parser = moment, requires = "by")]
    until: Option<Timestamp>,
    /// Which relay.
    #[command(flatten)]
    pub target: TargetArgs,
    /// In which form.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// What records are counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum By {
    Type,
    Reason,
    Kind,
    Namespace,
    Day,
}

impl From<By> for CountBy {
    fn from(by: By) -> Self {
        match by {
            By::Type => Self::Type,
            By::Reason => Self::Reason,
            By::Kind => Self::Kind,
            By::Namespace => Self::Namespace,
            By::Day => Self::Day,
        }
    }
}

/// Runs the command and prints its result.
pub(super) async fn run(args: StatArgs) -> Result<(), ReadError> {
    if let Some(by) = args.by {
        return count(by.into(), args).await;
    }
    let found = args.target.log_stat().await?;
    let text = match args.output.output {
        Format::Json => output::json(&found)?,
        Format::Table => page(&found, Timestamp::now(), Palette::of_stdout()),
    };
    Ok(output::print(&text)?)
}

async fn count(by: CountBy, args: StatArgs) -> Result<(), ReadError> {
    let StatArgs { since, until, target, output, .. } = args;
    let counts = target.count_records(CountQuery { by, since, until, stream: None }).await?;
    let text = match output.output {
        Format::Json => output::json(&counts)?,
        Format::Table => table(&counts, Palette::of_stdout()),
    };
    Ok(output::print(&text)?)
}

fn table(counts: &RecordCounts, palette: Palette) -> String {
    let heading = match counts.by {
        CountBy::Type => "TYPE",
        CountBy::Reason => "REASON",
        CountBy::Kind => "KIND",
        CountBy::Namespace => "NAMESPACE",
        CountBy::Day => "DAY",
    };
    let mut table = Table::new(&[">RECORDS", ">SHARE", heading]);
    for RecordCount { value, records } in &counts.counts {
        let percent = u128::from(*records) * 100 / u128::from(counts.records.max(1));
        let value = if value.is_empty() { "-" } else { value };
        table.row(Tone::Plain, [output::count(*records), format!("{percent} %"), value.to_owned()]);
    }
    let total = output::plural(counts.records, "record");
    format!("{total}\n\n{}", table.render(palette))
}

fn page(found: &LogStat, now: Timestamp, palette: Palette) -> String {
    let headings =
        ["STREAM", ">SEGMENTS", ">RECORDS", ">EVER", ">BYTES", "OLDEST", ">AGE", "NEWEST", ">AGE"];
    let mut table = Table::new(&headings);
    for stream in &found.streams {
        let [oldest, newest] = [&stream.oldest, &stream.newest].map(|at| place(at.as_ref(), now));
        table.row(
            Tone::Plain,
            [
                stream.stream.to_string(),
                output::count(stream.segments),
                output::count(stream.records),
                output::count(stream.appended),
                output::size(stream.bytes),
                oldest.0,
                oldest.1,
                newest.0,
                newest.1,
            ],
        );
    }
    let heading = format!("data directory {}\n\n", output::one_line(&found.directory));
    heading + &table.render(palette)
}

fn place(place: Option<&RecordPlace>, now: Timestamp) -> (String, String) {
    match place {
        Some(place) => (place.position.clone(), output::since(place.received_at, now)),
        None => ("-".to_owned(), "-".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::StreamId;
    use crate::relay::StreamStat;

    #[test]
    fn counts_of_reasons() {
        let count = |value: &str, records| RecordCount { value: value.into(), records };
        let counts = vec![count("Pulled", 1_234), count("", 6)];
        let counts = RecordCounts { by: CountBy::Reason, records: 1_240, counts };
        let expected = "\
1,240 records

RECORDS  SHARE  REASON
  1,234   99 %  Pulled
      6    0 %  -
";
        assert_eq!(table(&counts, Palette::plain()), expected);
    }

    #[test]
    fn a_log_in_numbers() {
        let at = |position: &str, time: &str| {
            let received_at = time.parse().expect("a time");
            Some(RecordPlace { position: position.to_owned(), received_at })
        };
        let stream = StreamStat {
            stream: StreamId::all_namespaces(),
            segments: 310,
            records: 1_234_567,
            appended: 2_000_000,
            bytes: 1_288_490_188,
            oldest: at("0.41", "2026-01-01T10:00:00Z"),
            newest: at("1.8100", "2026-01-02T11:59:48Z"),
        };
        let empty = StreamStat {
            stream: StreamId::of_namespace("shop").expect("a stream"),
            segments: 0,
            records: 0,
            appended: 0,
            bytes: 0,
            oldest: None,
            newest: None,
        };
        let found = LogStat { directory: "/data".into(), streams: vec![stream, empty] };
        let now = "2026-01-02T12:00:00Z".parse().expect("a time");
        let expected = "\
data directory /data

STREAM          SEGMENTS    RECORDS       EVER    BYTES  OLDEST    AGE  NEWEST  AGE
all-namespaces       310  1,234,567  2,000,000  1.1 GiB  0.41    1d 2h  1.8100  12s
namespace-shop         0          0          0      0 B  -           -  -         -
";
        assert_eq!(page(&found, now, Palette::plain()), expected);
    }
}
