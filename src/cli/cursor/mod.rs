//! `cursor`: how far sinks have got, and changes of it.

mod change;
mod progress;
mod replay;

use clap::{Args, Subcommand};
use jiff::Timestamp;

use self::change::{Action, ChangeArgs, SeekArgs};
use self::replay::ReplayArgs;
use super::exit::Failure;
use super::output::{self, Format, OutputArgs, Palette, Table, Tone};
use super::target::{ReadError, TargetArgs};
use super::wait_for;
use crate::relay::CursorStatus;

/// Arguments of `cursor`.
#[derive(Debug, Clone, Args)]
pub struct CursorArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: CursorCommand,
}

/// What can be done with cursors.
#[derive(Debug, Clone, Subcommand)]
pub enum CursorCommand {
    /// Show how far every sink has got in every stream
    List {
        /// Which relay.
        #[command(flatten)]
        target: TargetArgs,
        /// In which form.
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Show how far one sink has got
    Show {
        /// Name of the sink
        #[arg(value_name = "SINK")]
        sink: String,
        /// Which relay.
        #[command(flatten)]
        target: TargetArgs,
        /// In which form.
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Move the cursors of a sink: back delivers again, forward skips
    ///
    /// The sink is halted meanwhile; the others go on. What is skipped is noted in `audit`.
    Seek(SeekArgs),
    /// Send a range to a sink again, beside its live stream, whose cursor does not move
    ///
    /// Without a named end it ends where the sink is now. One replay of a sink runs at a time; it goes on after
    /// a restart.
    Replay(Box<ReplayArgs>),
    /// Stop deliveries to a sink until they are resumed; its records wait in the log
    Pause(ChangeArgs),
    /// Let a sink go on; one that is held or waits tries again at once
    Resume(ChangeArgs),
    /// Remove what is known of a sink that is not configured any more
    Forget(ChangeArgs),
}

/// Runs the command and prints its result.
pub(super) fn run(args: CursorArgs) -> Result<(), Failure> {
    match args.command {
        CursorCommand::List { target, output } => wait_for(print_all(&target, output)),
        CursorCommand::Show { sink, target, output } => wait_for(print_one(&sink, &target, output)),
        CursorCommand::Seek(args) => change::seek(&args),
        CursorCommand::Replay(args) => replay::run(&args),
        CursorCommand::Pause(args) => change::act(Action::Pause, &args),
        CursorCommand::Resume(args) => change::act(Action::Resume, &args),
        CursorCommand::Forget(args) => change::act(Action::Forget, &args),
    }
}

async fn print_all(target: &TargetArgs, output: OutputArgs) -> Result<(), ReadError> {
    let cursors = target.cursors().await?;
    let text = match output.output {
        Format::Json => output::json(&cursors)?,
        Format::Table => list(&cursors, Timestamp::now(), Palette::of_stdout()),
    };
    Ok(output::print(&text)?)
}

async fn print_one(sink: &str, target: &TargetArgs, output: OutputArgs) -> Result<(), ReadError> {
    let cursors = target.cursors_of(sink).await?;
    let text = match output.output {
        Format::Json => output::json(&cursors)?,
        Format::Table => show(sink, &cursors, Timestamp::now()),
    };
    Ok(output::print(&text)?)
}

fn list(cursors: &[CursorStatus], now: Timestamp, palette: Palette) -> String {
    let mut table = Table::new(&["SINK", "STREAM", "POSITION", ">LAG", "MOVED"]);
    for cursor in cursors {
        let tone = if cursor.lag_records > 0 { Tone::Warning } else { Tone::Plain };
        table.row(
            tone,
            [
                cursor.sink.clone(),
                cursor.stream.clone(),
                position(cursor),
                output::count(cursor.lag_records),
                output::ago(cursor.updated_at, now),
            ],
        );
    }
    table.render(palette)
}

fn show(sink: &str, cursors: &[CursorStatus], now: Timestamp) -> String {
    if cursors.is_empty() {
        return format!("sink {sink} has no cursor yet: nothing was received since it was added\n");
    }
    let blocks = cursors.iter().map(|cursor| block(cursor, now));
    blocks.collect::<Vec<_>>().join("\n")
}

fn block(cursor: &CursorStatus, now: Timestamp) -> String {
    format!(
        "sink      {}\nstream    {}\nposition  {}\nlag       {}\nmoved     {}\n",
        cursor.sink,
        cursor.stream,
        position(cursor),
        output::plural(cursor.lag_records, "record"),
        output::ago(cursor.updated_at, now),
    )
}

/// `GENERATION.RESOURCEVERSION`, as in the log's directory.
fn position(cursor: &CursorStatus) -> String {
    match (cursor.generation, &cursor.resource_version) {
        (Some(generation), Some(version)) => format!("{generation}.{version}"),
        _ => "beginning".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::status::fixture;

    fn cursors() -> Vec<CursorStatus> {
        fixture::troubled().sinks.into_iter().flat_map(|sink| sink.cursors).collect()
    }

    #[test]
    fn the_list_shows_position_lag_and_age() {
        let expected = "\
SINK     STREAM          POSITION     LAG  MOVED
oncall   all-namespaces  1.8100     1,204  2h 13m ago
pager    all-namespaces  beginning  9,304  -
archive  all-namespaces  1.9304         0  1s ago
";
        assert_eq!(list(&cursors(), fixture::now(), Palette::plain()), expected);
    }

    #[test]
    fn one_cursor_is_shown_line_by_line() {
        let expected = "\
sink      oncall
stream    all-namespaces
position  1.8100
lag       1,204 records
moved     2h 13m ago
";
        assert_eq!(show("oncall", &cursors()[..1], fixture::now()), expected);
        assert!(show("oncall", &[], fixture::now()).contains("no cursor yet"));
    }
}
