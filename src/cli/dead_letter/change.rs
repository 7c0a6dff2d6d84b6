//! `dead-letter retry` and `dead-letter discard`.

use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;

use super::portions;
use crate::cli::exit::Failure;
use crate::cli::moment::age;
use crate::cli::output::{self, Format, OutputArgs, Palette, Table, Tone};
use crate::cli::target::{ServerArgs, TargetArgs};
use crate::cli::{confirm, order, progress, wait_for};
use crate::relay::{self, LetterChange, LetterOutcome, LetterSelection};
use crate::setting::Span;

/// Which letters.
#[derive(Debug, Clone, Args)]
struct SelectionArgs {
    /// Name of the sink
    #[arg(value_name = "SINK")]
    sink: String,
    /// These: STREAM/GENERATION.RV as `list` shows it, or the resourceVersion where only one letter has it
    #[arg(
        value_name = "LETTER",
        required_unless_present_any = ["matching", "older_than", "all"],
        conflicts_with_all = ["matching", "older_than", "all"]
    )]
    letters: Vec<String>,
    #[arg(
        long = "match",
        value_name = "MATCH",
        value_parser = crate::cli::matching,
        conflicts_with = "all",
        help = "Those whose record this matches, as under a sink's match: {type: Warning, reasons: [BackOff]}"
    )]
    matching: Option<String>,
    /// Those that were first refused longer ago than this: 7d
    #[arg(long, value_name = "AGE", value_parser = age, conflicts_with = "all")]
    older_than: Option<Span>,
    /// All of them
    #[arg(long)]
    all: bool,
    /// Say what would happen, and do nothing
    #[arg(long)]
    dry_run: bool,
}

/// Arguments of `dead-letter retry`.
#[derive(Debug, Clone, Args)]
pub(super) struct RetryArgs {
    #[command(flatten)]
    selection: SelectionArgs,
    #[command(flatten)]
    server: ServerArgs,
    /// Not possible
    #[arg(long, value_name = "DIR", hide = true)]
    data_dir: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
}

/// Arguments of `dead-letter discard`.
#[derive(Debug, Clone, Args)]
pub(super) struct DiscardArgs {
    #[command(flatten)]
    selection: SelectionArgs,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl SelectionArgs {
    fn selection(&self) -> Result<LetterSelection, Failure> {
        let before = self.older_than.map(|age| Timestamp::now().checked_sub(age.0));
        let before = before.transpose().map_err(|error| Failure::Usage(error.to_string()))?;
        Ok(LetterSelection {
            ids: self.letters.clone(),
            matching: self.matching.clone(),
            before,
            all: self.all,
            ..LetterSelection::default()
        })
    }
}

pub(super) fn retry(args: &RetryArgs) -> Result<(), Failure> {
    let RetryArgs { selection: chosen, server, data_dir, output } = args;
    if data_dir.is_some() {
        let reason = "`dead-letter retry` needs a running relay, which hands the letters over; name it with --server";
        return Err(Failure::Usage(reason.to_owned()));
    }
    let ask = |selection: &LetterSelection, dry_run: bool| {
        let client = server.client().map_err(Failure::failed)?;
        wait_for(client.retry_letters(&chosen.sink, selection, dry_run))
    };
    let (intended, meant) = intended(chosen, |selection| ask(selection, true))?;
    if chosen.dry_run {
        return print(&intended, *output);
    }
    let bar = progress::bar("retry", "letters");
    bar.set_length(intended.letters.len() as u64);
    let done = portions::all(
        &meant,
        |selection| ask(selection, false),
        |done| {
            bar.set_position(done as u64);
        },
    );
    bar.finish_and_clear();
    let done = done?;
    print(&done, *output)?;
    match &done.stopped {
        Some(cause) => {
            let left = intended.letters.len().saturating_sub(done.letters.len());
            let left = output::plural(left as u64, "letter");
            Err(Failure::failed(format_args!("stopped, {left} left: {cause}")))
        }
        None => all_taken(&done),
    }
}

/// Letters that were refused again are still there.
fn all_taken(done: &LetterChange) -> Result<(), Failure> {
    let refused =
        done.letters.iter().filter(|letter| letter.outcome == LetterOutcome::Refused).count();
    if refused == 0 {
        return Ok(());
    }
    let refused = output::plural(refused as u64, "letter");
    Err(Failure::failed(format_args!("{refused} refused again; the sink's replies say why")))
}

pub(super) fn discard(args: &DiscardArgs) -> Result<(), Failure> {
    let DiscardArgs { selection: chosen, yes, target, output } = args;
    let make = |selection: &LetterSelection, dry_run: bool| match &target.data_dir {
        None => {
            let client = target.client().map_err(Failure::failed)?;
            wait_for(client.discard_letters(&chosen.sink, selection, dry_run))
        }
        Some(directory) => {
            relay::offline_discard(directory, &chosen.sink, selection, &order(dry_run))
                .map_err(Failure::failed)
        }
    };
    let (intended, meant) = intended(chosen, |selection| make(selection, true))?;
    if chosen.dry_run {
        return print(&intended, *output);
    }
    if !yes && confirm::is_interactive() && !intended.letters.is_empty() {
        let meant = confirm::asked(&intended.change.effect).map_err(Failure::failed)?;
        if !meant {
            return Err(Failure::failed("nothing was changed"));
        }
    }
    let done = portions::all(&meant, |selection| make(selection, false), |_| {})?;
    print(&done, *output)
}

/// What would happen, and the selection that does exactly that: letters by their full names, and none that
/// are refused later.
fn intended(
    chosen: &SelectionArgs,
    ask: impl Fn(&LetterSelection) -> Result<LetterChange, Failure>,
) -> Result<(LetterChange, LetterSelection), Failure> {
    let mut selection = chosen.selection()?;
    let intended = portions::all(&selection, ask, |_| {})?;
    selection.as_of = Some(intended.as_of);
    if !selection.ids.is_empty() {
        selection.ids = intended.letters.iter().map(|letter| letter.id.to_string()).collect();
    }
    Ok((intended, selection))
}

fn print(change: &LetterChange, output: OutputArgs) -> Result<(), Failure> {
    let text = match output.output {
        Format::Json => output::json(change).map_err(Failure::failed)?,
        Format::Table => page(change, Palette::of_stdout()),
    };
    output::print(&text).map_err(Failure::failed)
}

/// Letters that a page names.
const NAMED_MAX: usize = 20;

fn page(change: &LetterChange, palette: Palette) -> String {
    let mut text = output::change(&change.change);
    let worth_naming = |outcome| outcome != LetterOutcome::Accepted;
    let named: Vec<_> =
        change.letters.iter().filter(|letter| worth_naming(letter.outcome)).collect();
    if named.is_empty() {
        return text;
    }
    let mut table = Table::new(&["LETTER", "OUTCOME", "REPLY"]);
    for letter in named.iter().take(NAMED_MAX) {
        let (tone, outcome) = match letter.outcome {
            LetterOutcome::Selected => (Tone::Plain, "selected"),
            LetterOutcome::Discarded if change.change.dry_run => (Tone::Plain, "selected"),
            LetterOutcome::Accepted => (Tone::Good, "accepted"),
            LetterOutcome::Refused => (Tone::Warning, "refused again"),
            LetterOutcome::Discarded => (Tone::Plain, "discarded"),
        };
        let reply = letter.reply.clone().unwrap_or_default();
        table.row(tone, [letter.id.to_string(), outcome.to_owned(), reply]);
    }
    text += "\n";
    text += &table.render(palette);
    match named.len().checked_sub(NAMED_MAX) {
        None | Some(0) => text,
        Some(more) => text + "… and " + &output::count(more as u64) + " more\n",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        discard: DiscardArgs,
    }

    fn selection(arguments: &[&str]) -> Result<LetterSelection, clap::Error> {
        let arguments = ["x", "oncall"].iter().chain(arguments);
        let command = Command::try_parse_from(arguments)?;
        Ok(command.discard.selection.selection().expect("a selection"))
    }

    #[test]
    fn letters_are_named_or_described() {
        assert!(selection(&[]).is_err());
        assert!(selection(&["7", "--all"]).is_err());
        assert!(selection(&["--all", "--older-than", "7d"]).is_err());
        assert!(
            selection(&["--match", "{reason: [x]}"]).is_err(),
            "checked before anything is asked"
        );
        assert!(selection(&["--all"]).expect("all").all);
        assert_eq!(selection(&["7", "all-namespaces/0.8"]).expect("two").ids.len(), 2);
        let both = selection(&["--match", "{type: Warning}", "--older-than", "7d"]).expect("both");
        let age = Timestamp::now().duration_since(both.before.expect("a time")).as_secs();
        assert!((604_800..604_860).contains(&age), "{age}");
        assert_eq!(both.matching.as_deref(), Some("{type: Warning}"));
    }
}
