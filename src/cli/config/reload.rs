//! `config reload`.

use clap::Args;

use crate::cli::exit::Failure;
use crate::cli::output::OutputArgs;
use crate::cli::target::ServerArgs;
use crate::cli::{change, wait_for};

/// Arguments of `config reload`.
#[derive(Debug, Args)]
pub(super) struct ReloadArgs {
    /// Say what would happen, and do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn run(args: &ReloadArgs) -> Result<(), Failure> {
    let client = args.server.client().map_err(Failure::failed)?;
    let changed = wait_for(client.reload(args.dry_run))?;
    change::print(&changed, args.output)
}
