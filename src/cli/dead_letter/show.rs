//! `dead-letter list` and `dead-letter show`.

use clap::Args;
use jiff::Timestamp;

use crate::cli::output::{self, Format, OutputArgs, Palette, Table, Tone};
use crate::cli::target::{ReadError, TargetArgs};
use crate::cursor::LetterId;
use crate::relay::{LetterPage, LetterQuery, LetterStatus, LetterView};

/// Arguments of `dead-letter list`.
#[derive(Debug, Clone, Args)]
pub(super) struct ListArgs {
    /// Name of the sink
    #[arg(value_name = "SINK")]
    sink: String,
    #[arg(
        long = "match",
        value_name = "MATCH",
        value_parser = crate::cli::matching,
        help = "Only those whose record this matches, as under a sink's match: {type: Warning, reasons: [BackOff]}"
    )]
    matching: Option<String>,
    /// At most so many
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    limit: usize,
    /// Only those behind this one
    #[arg(long, value_name = "LETTER")]
    after: Option<LetterId>,
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Arguments of `dead-letter show`.
#[derive(Debug, Clone, Args)]
pub(super) struct ShowArgs {
    /// Name of the sink
    #[arg(value_name = "SINK")]
    sink: String,
    /// STREAM/GENERATION.RV as `list` shows it, or the resourceVersion where only one letter has it
    #[arg(value_name = "LETTER")]
    letter: String,
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Prints the letters of a sink, page by page until there are as many as asked for.
pub(super) async fn list(args: ListArgs) -> Result<(), ReadError> {
    let ListArgs { sink, matching, limit, after, target, output } = args;
    let query = LetterQuery { limit: Some(limit), after, matching };
    let mut all = target.letters(&sink, query.clone()).await?;
    while all.letters.len() < limit
        && let Some(after) = all.next.take()
    {
        let limit = Some(limit - all.letters.len());
        let query = LetterQuery { limit, after: Some(after), ..query.clone() };
        let page = target.letters(&sink, query).await?;
        all.letters.extend(page.letters);
        all.next = page.next;
    }
    let text = match output.output {
        Format::Json => output::json(&all)?,
        Format::Table => table(&all, Timestamp::now(), Palette::of_stdout()),
    };
    Ok(output::print(&text)?)
}

/// Prints one letter.
pub(super) async fn one(args: ShowArgs) -> Result<(), ReadError> {
    let view = args.target.letter(&args.sink, args.letter).await?;
    let text = match args.output.output {
        Format::Json => output::json(&view)?,
        Format::Table => block(&view)?,
    };
    Ok(output::print(&text)?)
}

fn table(page: &LetterPage, now: Timestamp, palette: Palette) -> String {
    let LetterPage { sink, records, bytes, letters, next } = page;
    let total = output::plural(*records, "dead letter");
    let heading = format!("sink {sink} has {total}, {}\n", output::size(*bytes));
    if letters.is_empty() {
        return heading;
    }
    let mut table =
        Table::new(&["LETTER", ">REFUSED", ">TIMES", "TYPE", "REASON", "OBJECT", "REPLY"]);
    for letter in letters {
        table.row(
            Tone::Plain,
            [
                letter.id.to_string(),
                output::ago(Some(letter.last_at), now),
                output::count(letter.attempts),
                letter.event_type.clone(),
                letter.reason.clone(),
                object(letter),
                short(&letter.reply),
            ],
        );
    }
    let more = next.as_ref().map_or_else(String::new, |next| {
        format!("\nthere are more: --after {next}, or a larger --limit\n")
    });
    heading + "\n" + &table.render(palette) + &more
}

/// `Pod shop/cart-0`; nodes have no namespace.
fn object(letter: &LetterStatus) -> String {
    let LetterStatus { kind, namespace, name, .. } = letter;
    if namespace.is_empty() {
        format!("{kind} {name}")
    } else {
        format!("{kind} {namespace}/{name}")
    }
}

/// Bytes of a reply that a table shows.
const REPLY_LIMIT: usize = 80;

fn short(reply: &str) -> String {
    crate::event::render::cut(&output::one_line(reply), REPLY_LIMIT).into_owned()
}

fn block(view: &LetterView) -> std::io::Result<String> {
    let LetterView { letter, record } = view;
    let refused = if letter.attempts == 1 {
        letter.first_at.to_string()
    } else {
        let LetterStatus { first_at, last_at, attempts, .. } = letter;
        format!("{} times, from {first_at} to {last_at}", output::count(*attempts))
    };
    Ok(format!(
        "letter    {}\nrefused   {refused}\nreply     {}\nreceived  {}\nevent     {} {} of {}\n\n{}",
        letter.id,
        output::one_line(&letter.reply),
        record.received_at,
        letter.event_type,
        letter.reason,
        object(letter),
        output::json(&record.event)?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-01-02T12:00:00Z".parse().expect("a time")
    }

    fn letter(version: u64, attempts: u64) -> LetterStatus {
        LetterStatus {
            id: format!("all-namespaces/0.{version}").parse().expect("a name"),
            first_at: "2026-01-02T09:00:00Z".parse().expect("a time"),
            last_at: "2026-01-02T11:47:47Z".parse().expect("a time"),
            attempts,
            reply: "HTTP 400 Bad Request: keyword\nmissing".into(),
            event_type: "Warning".into(),
            reason: "BackOff".into(),
            kind: "Pod".into(),
            namespace: "shop".into(),
            name: "cart-0".into(),
        }
    }

    #[test]
    fn letters_are_listed_with_what_the_service_said() {
        let mut node = letter(43, 1_204);
        (node.kind, node.namespace, node.name) = ("Node".into(), String::new(), "n1".into());
        let page = LetterPage {
            sink: "oncall".into(),
            records: 12,
            bytes: 9_000,
            letters: vec![letter(42, 1), node],
            next: "all-namespaces/0.43".parse().ok(),
        };
        let expected = "\
sink oncall has 12 dead letters, 8.7 KiB

LETTER                   REFUSED  TIMES  TYPE     REASON   OBJECT           REPLY
all-namespaces/0.42  12m 13s ago      1  Warning  BackOff  Pod shop/cart-0  HTTP 400 Bad Request: keyword missing
all-namespaces/0.43  12m 13s ago  1,204  Warning  BackOff  Node n1          HTTP 400 Bad Request: keyword missing

there are more: --after all-namespaces/0.43, or a larger --limit
";
        assert_eq!(table(&page, now(), Palette::plain()), expected);
        let empty = LetterPage { records: 0, bytes: 0, letters: vec![], next: None, ..page };
        assert_eq!(table(&empty, now(), Palette::plain()), "sink oncall has 0 dead letters, 0 B\n");
    }

    #[test]
    fn one_letter_is_shown_with_its_record() {
        let record = crate::relay::FoundRecord {
            stream: crate::event::StreamId::all_namespaces(),
            generation: crate::event::Generation(0),
            resource_version: "42".parse().expect("a version"),
            received_at: "2026-01-02T08:59:59Z".parse().expect("a time"),
            event: serde_json::json!({"kind": "Event"}),
        };
        let expected = "\
letter    all-namespaces/0.42
refused   2 times, from 2026-01-02T09:00:00Z to 2026-01-02T11:47:47Z
reply     HTTP 400 Bad Request: keyword missing
received  2026-01-02T08:59:59Z
event     Warning BackOff of Pod shop/cart-0

{
  \"kind\": \"Event\"
}
";
        let view = LetterView { letter: letter(42, 2), record };
        assert_eq!(block(&view).expect("text"), expected);
    }
}
