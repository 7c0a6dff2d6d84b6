//! `sink list` and `sink test`.

mod list;
mod test;

use clap::{Args, Subcommand};

use super::exit::Failure;

/// Arguments of `sink`.
#[derive(Debug, Args)]
pub(super) struct SinkArgs {
    #[command(subcommand)]
    command: SinkCommand,
}

#[derive(Debug, Subcommand)]
enum SinkCommand {
    /// Show the kinds of sinks and their options
    List(list::ListArgs),
    /// Send one event marked as a test through a sink, and show what its service answers
    ///
    /// The event goes out once, whatever the sink's filters say, and no cursor moves. A running relay is asked
    /// to send it; with --config this program does it itself, with what stands in the file.
    #[command(
        after_help = "Exits with 0 when the service has accepted the event, with 1 otherwise."
    )]
    Test(test::TestArgs),
}

/// Runs the command and prints its result.
pub(super) fn run(args: SinkArgs) -> Result<(), Failure> {
    match args.command {
        SinkCommand::List(args) => list::run(&args),
        SinkCommand::Test(args) => test::run(&args),
    }
}
