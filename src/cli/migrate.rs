//! `migrate`: brings the data directory of a stopped relay to this version's format.
//!
//! Invariant: with `--dry-run`, and when the directory is refused, nothing in it changes.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::exit::Failure;
use super::output::{self, Format, OutputArgs};
use crate::log::{DataDirectory, LogConfig, LogError, Plan, Step, plan_migration};

/// Arguments of `migrate`.
#[derive(Debug, Clone, Args)]
pub(super) struct MigrateArgs {
    /// The data directory of a stopped relay
    #[arg(
        long,
        value_name = "DIR",
        env = "KUBE_EVENT_RELAY_DATA_DIR",
        default_value_os_t = LogConfig::default().data_dir
    )]
    pub(super) data_dir: PathBuf,
    /// Say what would be done, and change nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// In which form.
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

/// What was done, or would be.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Outcome<'a> {
    directory: &'a Path,
    dry_run: bool,
    /// The format it had.
    from: u32,
    /// The format it has now, or would have.
    to: u32,
    steps: Vec<Line>,
}

/// A step.
#[derive(Debug, Serialize)]
struct Line {
    format: u32,
    name: &'static str,
    description: &'static str,
}

/// Runs the command and prints what it did.
pub(super) fn run(args: &MigrateArgs) -> Result<(), Failure> {
    let plan = plan_migration(&args.data_dir).map_err(Failure::failed)?.ok_or_else(|| {
        let path = args.data_dir.display();
        Failure::failed(format_args!("there is no data directory at {path}: check --data-dir"))
    })?;
    let steps = if args.dry_run { plan.steps } else { migrate(&args.data_dir)? };
    let outcome = outcome(args, &plan, steps);
    let text = match args.output.output {
        Format::Json => output::json(&outcome).map_err(Failure::failed)?,
        Format::Table => outcome.to_text(),
    };
    output::print(&text).map_err(Failure::failed)
}

fn migrate(directory: &Path) -> Result<&'static [Step], Failure> {
    match DataDirectory::open(directory, Duration::ZERO) {
        Ok(directory) => Ok(directory.migrated()),
        Err(error @ LogError::Locked { .. }) => Err(Failure::failed(format_args!(
            "{error}; a relay brings its directory to its own format when it starts"
        ))),
        Err(error) => Err(Failure::failed(error)),
    }
}

fn outcome<'a>(args: &'a MigrateArgs, plan: &Plan, steps: &'static [Step]) -> Outcome<'a> {
    let line = |step: &'static Step| {
        let Step { format, name, description, .. } = *step;
        Line { format, name, description }
    };
    Outcome {
        directory: &args.data_dir,
        dry_run: args.dry_run,
        from: plan.from,
        to: plan.to,
        steps: steps.iter().map(line).collect(),
    }
}

impl Outcome<'_> {
    fn to_text(&self) -> String {
        let (directory, from, to) = (self.directory.display(), self.from, self.to);
        let mut text = match (self.steps.is_empty(), self.dry_run) {
            (true, _) => format!("{directory} has format {to} already; nothing to do\n"),
            (false, true) => {
                format!("{directory} has format {from}; these steps would bring it to {to}:\n")
            }
            (false, false) => format!("{directory} has format {to} now; it had {from}:\n"),
        };
        for Line { format, name, description } in &self.steps {
            // Writing into a string cannot fail.
            let _written = writeln!(text, "  {format:04}-{name}  {description}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_was_done_what_would_be_and_what_need_not_be() {
        let line = || Line { format: 2, name: "heads", description: "writes heads" };
        let text = |dry_run, steps| {
            Outcome { directory: Path::new("/data"), dry_run, from: 1, to: 2, steps }.to_text()
        };
        assert_eq!(
            text(true, vec![line()]),
            "/data has format 1; these steps would bring it to 2:\n  0002-heads  writes heads\n"
        );
        assert_eq!(
            text(false, vec![line()]),
            "/data has format 2 now; it had 1:\n  0002-heads  writes heads\n"
        );
        assert_eq!(text(false, vec![]), "/data has format 2 already; nothing to do\n");
    }
}
