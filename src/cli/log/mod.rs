//! `log`: looking into the log: what it holds, its records, damage.

mod cat;
mod stat;
mod verify;

use clap::{Args, Subcommand};

use super::exit::Failure;
use super::wait_for;

/// Arguments of `log`.
#[derive(Debug, Clone, Args)]
pub struct LogArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: LogCommand,
}

/// What can be done with the log.
#[derive(Debug, Clone, Subcommand)]
pub enum LogCommand {
    /// Show what the log holds, in numbers
    Stat(stat::StatArgs),
    /// Show records that match, from the oldest on
    ///
    /// Reading holds nothing back: neither sinks, nor what is trimmed. With --follow it goes on with what comes.
    /// With -o json each record is one line.
    Cat(cat::CatArgs),
    /// Read every block of the log, and say what is damaged or missing
    ///
    /// Checks every block of every segment (checksum, content, order, numbers), what segments say about
    /// themselves and about each other, and both copies of the cursors.
    ///
    /// A running relay is asked to do so, which it does at half speed, for one at a time. What it finds damaged
    /// it moves aside, and reads again from the API server what that still has, as when a sink comes upon it.
    ///
    /// With --data-dir the directory of a stopped relay is checked, and left exactly as it is. No relay can
    /// start there meanwhile. Segments are copied, one at a time, and the copies are checked.
    #[command(
        after_help = "Exits with 0 when everything is intact, with 1 when something is damaged, is \
                            missing, or cannot be checked."
    )]
    Verify(verify::VerifyArgs),
}

/// Runs the command and prints its result.
pub(super) fn run(args: LogArgs) -> Result<(), Failure> {
    match args.command {
        LogCommand::Stat(args) => wait_for(stat::run(args)),
        LogCommand::Cat(args) => cat::run(&args),
        LogCommand::Verify(args) => verify::run(&args),
    }
}
