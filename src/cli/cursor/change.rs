//! `cursor seek`, `pause`, `resume` and `forget`: changes, with what they would do first.

use std::path::Path;

use clap::{Args, ValueEnum};
use jiff::Timestamp;

use crate::cli::exit::Failure;
use crate::cli::moment::moment;
use crate::cli::output::OutputArgs;
use crate::cli::target::TargetArgs;
use crate::cli::{change, confirm, order, progress, wait_for};
use crate::event::{ResourceVersion, StreamId};
use crate::relay::{self, Change, Order, Target};

/// What every change has.
#[derive(Debug, Clone, Args)]
pub struct ChangeArgs {
    /// Name of the sink
    #[arg(value_name = "SINK")]
    sink: String,
    #[command(flatten)]
    asking: AskingArgs,
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Whether a change is made, and whether it is asked for before.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct AskingArgs {
    /// Say what would happen, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

/// Where to move.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = false)]
pub(super) struct PlaceArgs {
    /// To the first record with this resourceVersion or a greater one
    #[arg(long, value_name = "RESOURCE_VERSION")]
    to_rv: Option<ResourceVersion>,
    /// To the first record received since then: 2h, or 2026-01-02T15:04:05Z
    #[arg(long, value_name = "AGE|TIME", value_parser = moment)]
    since: Option<Timestamp>,
    /// So many records back
    #[arg(long, value_name = "COUNT")]
    back: Option<u64>,
    /// So many records on, which are never delivered
    #[arg(long, value_name = "COUNT")]
    skip: Option<u64>,
    /// To the oldest record of the log
    #[arg(long)]
    beginning: bool,
    /// Behind the newest record: what waits is never delivered
    #[arg(long)]
    end: bool,
}

/// Arguments of `cursor seek`.
#[derive(Debug, Clone, Args)]
pub struct SeekArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// In this stream only
    #[arg(long, value_name = "STREAM")]
    stream: Option<StreamId>,
    #[command(flatten)]
    change: ChangeArgs,
}

/// What is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Action {
    Pause,
    Resume,
    Forget,
}

impl PlaceArgs {
    fn target(&self) -> Target {
        let places = [
            self.to_rv.clone().map(Target::ResourceVersion),
            self.since.map(Target::Time),
            self.back.map(Target::Back),
            self.skip.map(Target::Forward),
            self.beginning.then_some(Target::Beginning),
        ];
        // One of them is required, and no two are taken.
        places.into_iter().flatten().next().unwrap_or(Target::End)
    }
}

pub(super) fn seek(args: &SeekArgs) -> Result<(), Failure> {
    let (to, stream) = (args.place.target(), args.stream.as_ref());
    let change = &args.change;
    change.run(|dry_run| match &change.target.data_dir {
        None => {
            let client = change.target.client().map_err(Failure::failed)?;
            wait_for(client.seek(&change.sink, stream.cloned(), to.clone(), dry_run))
        }
        Some(directory) => {
            let order = order(dry_run);
            relay::offline_seek(directory, &change.sink, stream, &to, &order)
                .map_err(Failure::failed)
        }
    })
}

pub(super) fn act(action: Action, change: &ChangeArgs) -> Result<(), Failure> {
    change.run(|dry_run| match &change.target.data_dir {
        None => change.ask(action, dry_run),
        Some(directory) => {
            at_rest(action, directory, &change.sink, &order(dry_run)).map_err(Failure::failed)
        }
    })
}

fn at_rest(
    action: Action,
    directory: &Path,
    sink: &str,
    order: &Order,
) -> Result<Change, relay::RelayError> {
    match action {
        Action::Pause => relay::offline_pause(directory, sink, true, order),
        Action::Resume => relay::offline_pause(directory, sink, false, order),
        Action::Forget => relay::offline_forget(directory, sink, order),
    }
}

impl ChangeArgs {
    fn ask(&self, action: Action, dry_run: bool) -> Result<Change, Failure> {
        let client = self.target.client().map_err(Failure::failed)?;
        let turns = progress::waiting();
        let changed = wait_for(async {
            match action {
                Action::Pause => client.pause(&self.sink, dry_run).await,
                Action::Resume => client.resume(&self.sink, dry_run).await,
                Action::Forget => client.forget(&self.sink, dry_run).await,
            }
        });
        turns.finish_and_clear();
        changed
    }

    /// Makes the change, after it was shown to whoever sits at the terminal.
    fn run(&self, make: impl Fn(bool) -> Result<Change, Failure>) -> Result<(), Failure> {
        change::print(&self.asking.make(make, |change| &change.effect)?, self.output)
    }
}

impl AskingArgs {
    /// Makes a change, after its effect was shown to whoever sits at the terminal.
    pub(super) fn make<T>(
        self,
        make: impl Fn(bool) -> Result<T, Failure>,
        effect: impl Fn(&T) -> &str,
    ) -> Result<T, Failure> {
        if !self.dry_run && !self.yes && confirm::is_interactive() {
            let intended = make(true)?;
            if !confirm::asked(effect(&intended)).map_err(Failure::failed)? {
                return Err(Failure::failed("nothing was changed"));
            }
        }
        make(self.dry_run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        seek: SeekArgs,
    }

    fn target(arguments: &[&str]) -> Result<Target, clap::Error> {
        let arguments = ["x", "oncall"].iter().chain(arguments);
        Command::try_parse_from(arguments).map(|command| command.seek.place.target())
    }

    #[test]
    fn exactly_one_place_is_named() {
        assert!(target(&[]).is_err());
        assert!(target(&["--beginning", "--end"]).is_err());
        assert_eq!(target(&["--end"]).expect("a place"), Target::End);
        assert_eq!(target(&["--back", "7"]).expect("a place"), Target::Back(7));
        let version = "42".parse().expect("a version");
        assert_eq!(target(&["--to-rv", "42"]).expect("a place"), Target::ResourceVersion(version));
        assert!(target(&["--to-rv", "042"]).is_err());
    }

    #[test]
    fn a_time_is_an_age_or_a_moment() {
        let Target::Time(time) = target(&["--since", "2h"]).expect("a place") else { panic!() };
        let age = Timestamp::now().duration_since(time).as_secs();
        assert!((7_200..7_260).contains(&age), "{age}");
        let moment = "2026-01-02T15:04:05Z";
        let expected = Target::Time(moment.parse().expect("a time"));
        assert_eq!(target(&["--since", moment]).expect("a place"), expected);
        let error = target(&["--since", "yesterday"]).expect_err("no time").to_string();
        assert!(error.contains("neither an age"), "{error}");
    }
}
