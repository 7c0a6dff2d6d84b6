//! `status`: is anything stuck, since when, and why.

mod problem;
pub(super) mod replays;
mod table;

#[cfg(test)]
pub(super) mod fixture;

use clap::Args;
use jiff::Timestamp;

use super::output::{self, Format, OutputArgs, Palette};
use super::target::{ReadError, TargetArgs};

/// Arguments of `status`.
#[derive(Debug, Clone, Args)]
pub struct StatusArgs {
    /// Which relay.
    #[command(flatten)]
    pub target: TargetArgs,
    /// In which form.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Runs the command and prints its result.
pub async fn run(args: StatusArgs) -> Result<(), ReadError> {
    let status = args.target.status().await?;
    let text = match args.output.output {
        Format::Json => output::json(&status)?,
        Format::Table => table::render(&status, Timestamp::now(), Palette::of_stdout()),
    };
    Ok(output::print(&text)?)
}
