//! `status`: is anything stuck, since when, and why.

mod problem;
pub(super) mod replays;
mod table;

#[cfg(test)]
pub(super) mod fixture;

use std::io::IsTerminal;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;

use super::moment::age;
use super::output::{self, Format, OutputArgs, Palette};
use super::target::{ReadError, TargetArgs};
use crate::setting::Span;

/// Arguments of `status`.
#[derive(Debug, Clone, Args)]
pub struct StatusArgs {
    /// Show it again every 2 s, or as often as given, until interrupted
    #[arg(
        short,
        long,
        value_name = "INTERVAL",
        num_args = 0..=1,
        default_missing_value = "2s",
        value_parser = age
    )]
    pub watch: Option<Span>,
    /// Which relay.
    #[command(flatten)]
    pub target: TargetArgs,
    /// In which form.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Clears the terminal, and goes to its upper left corner (ECMA-48: ED, CUP).
const REDRAW: &str = "\u{1b}[2J\u{1b}[H";

/// Shorter intervals would only keep the relay busy.
const INTERVAL_MIN: Duration = Duration::from_millis(500);

/// Runs the command and prints its result, again and again when it is to be watched.
pub async fn run(args: StatusArgs) -> Result<(), ReadError> {
    let Some(interval) = args.watch else { return Ok(output::print(&text(&args).await?)?) };
    let redraws = std::io::stdout().is_terminal();
    let mut before = if redraws { REDRAW } else { "" };
    // A relay that is not there from the start is a failure; one that goes away may come back.
    let mut page = text(&args).await?;
    while output::is_read(&format!("{before}{page}"))? {
        tokio::time::sleep(interval.0.max(INTERVAL_MIN)).await;
        page = text(&args).await.unwrap_or_else(|error| format!("error: {error}\n"));
        before = if redraws { REDRAW } else { "\n" };
    }
    Ok(())
}

async fn text(args: &StatusArgs) -> Result<String, ReadError> {
    let status = args.target.status().await?;
    Ok(match args.output.output {
        Format::Json => output::json(&status)?,
        Format::Table => table::render(&status, Timestamp::now(), Palette::of_stdout()),
    })
}
