//! `dead-letter`: what sinks have refused for good.

mod change;
mod portions;
mod show;

use clap::{Args, Subcommand};

use self::change::{DiscardArgs, RetryArgs};
use self::show::{ListArgs, ShowArgs};
use super::exit::Failure;
use super::wait_for;

/// Arguments of `dead-letter`.
#[derive(Debug, Clone, Args)]
pub(super) struct DeadLetterArgs {
    #[command(subcommand)]
    command: DeadLetterCommand,
}

/// What can be done with dead letters.
#[derive(Debug, Clone, Subcommand)]
enum DeadLetterCommand {
    /// Show what a sink has refused for good
    List(ListArgs),
    /// Show one dead letter with its record and the service's words
    Show(ShowArgs),
    /// Hand dead letters to their sink again; those it takes are removed
    ///
    /// A running relay does it, beside what it delivers, in order, and within the sink's rate limit. What the
    /// sink refuses again stays, with its new reply. When the sink does not answer, or is held, it stops.
    Retry(RetryArgs),
    /// Remove dead letters for good
    Discard(DiscardArgs),
}

/// Runs the command and prints its result.
pub(super) fn run(args: DeadLetterArgs) -> Result<(), Failure> {
    match args.command {
        DeadLetterCommand::List(args) => wait_for(show::list(args)),
        DeadLetterCommand::Show(args) => wait_for(show::one(args)),
        DeadLetterCommand::Retry(args) => change::retry(&args),
        DeadLetterCommand::Discard(args) => change::discard(&args),
    }
}
