//! `cursor replay`: sends a range again, shows which replays there are, and ends one.

use clap::{Args, Subcommand};
use jiff::Timestamp;

use super::change::AskingArgs;
use super::progress;
use crate::cli::exit::Failure;
use crate::cli::moment::moment;
use crate::cli::order;
use crate::cli::output::{self, Format, OutputArgs, Palette};
use crate::cli::status::replays;
use crate::cli::target::{ReadError, TargetArgs};
use crate::cli::wait_for;
use crate::event::{Match, ResourceVersion, StreamId};
use crate::relay::{self, ReplayRequest, Replayed, Target};
use crate::setting::RecordRate;

/// Arguments of `cursor replay`.
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct ReplayArgs {
    #[command(subcommand)]
    command: Option<ReplayCommand>,
    #[command(flatten)]
    start: StartArgs,
}

/// What else can be done with replays.
#[derive(Debug, Clone, Subcommand)]
enum ReplayCommand {
    /// Show what is sent again, and what was lately
    List {
        #[command(flatten)]
        target: TargetArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// End a replay; what of it is under way may still arrive
    Cancel(CancelArgs),
}

/// Arguments of `cursor replay cancel`.
#[derive(Debug, Clone, Args)]
struct CancelArgs {
    /// Number of the replay
    #[arg(value_name = "NUMBER")]
    number: u64,
    #[command(flatten)]
    asking: AskingArgs,
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// A new replay.
#[derive(Debug, Clone, Args)]
struct StartArgs {
    /// Name of the sink
    #[arg(value_name = "SINK", required = true)]
    sink: Option<String>,
    #[command(flatten)]
    from: FromArgs,
    #[command(flatten)]
    until: UntilArgs,
    /// Of this stream only
    #[arg(long, value_name = "STREAM")]
    stream: Option<StreamId>,
    /// Of these records only, as in a configuration: '{type: Warning}'; the sink's own filter holds all the same
    #[arg(long = "match", value_name = "MATCH", value_parser = filter)]
    filter: Option<Match>,
    /// At most so many records: 20/s, 100/m
    #[arg(long, value_name = "RATE", default_value_t = relay::REPLAY_RATE)]
    rate: RecordRate,
    /// Wait until it has ended, and show how far it is
    #[arg(long, conflicts_with_all = ["data_dir", "dry_run"])]
    wait: bool,
    #[command(flatten)]
    asking: AskingArgs,
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Where it begins.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = false)]
struct FromArgs {
    /// From the first record received since then: 2h, or 2026-01-02T15:04:05Z
    #[arg(long, value_name = "AGE|TIME", value_parser = moment)]
    since: Option<Timestamp>,
    /// From the first record with this resourceVersion or a greater one
    #[arg(long, value_name = "RESOURCE_VERSION")]
    from_rv: Option<ResourceVersion>,
    /// The last so many records before its end
    #[arg(long, value_name = "COUNT")]
    back: Option<u64>,
    /// From the oldest record of the log
    #[arg(long)]
    beginning: bool,
}

/// Where it ends.
#[derive(Debug, Clone, Args)]
#[group(required = false, multiple = false)]
struct UntilArgs {
    /// Before the first record received since then: 1h, or 2026-01-02T15:04:05Z
    #[arg(long, value_name = "AGE|TIME", value_parser = moment)]
    until: Option<Timestamp>,
    /// Before the first record with this resourceVersion or a greater one
    #[arg(long, value_name = "RESOURCE_VERSION")]
    to_rv: Option<ResourceVersion>,
    /// After so many records
    #[arg(long, value_name = "COUNT", conflicts_with = "back")]
    count: Option<u64>,
    /// Behind the newest record of the log, also when the sink has not received it yet
    #[arg(long)]
    end: bool,
}

/// What stands under `match` in a configuration, in YAML's flow form.
fn filter(text: &str) -> Result<Match, String> {
    serde_saphyr::from_str(text).map_err(|error| {
        let reason = error.to_string();
        let reason = reason.lines().next().unwrap_or_default().trim_start_matches("error: ");
        format!("{reason}; write it as in a configuration, such as '{{type: Warning}}'")
    })
}

impl FromArgs {
    fn target(&self) -> Target {
        let places = [
            self.since.map(Target::Time),
            self.from_rv.clone().map(Target::ResourceVersion),
            self.back.map(Target::Back),
        ];
        // One of them is required, and no two are taken.
        places.into_iter().flatten().next().unwrap_or(Target::Beginning)
    }
}

impl UntilArgs {
    fn target(&self) -> Option<Target> {
        let places = [
            self.until.map(Target::Time),
            self.to_rv.clone().map(Target::ResourceVersion),
            self.count.map(Target::Forward),
            self.end.then_some(Target::End),
        ];
        places.into_iter().flatten().next()
    }
}

impl StartArgs {
    fn request(&self) -> ReplayRequest {
        ReplayRequest {
            // Without a subcommand it is required.
            sink: self.sink.clone().unwrap_or_default(),
            from: self.from.target(),
            until: self.until.target(),
            stream: self.stream.clone(),
            filter: self.filter.clone(),
            rate: Some(self.rate),
        }
    }
}

pub(super) fn run(args: &ReplayArgs) -> Result<(), Failure> {
    match &args.command {
        None => start(&args.start),
        Some(ReplayCommand::List { target, output }) => wait_for(list(target, *output)),
        Some(ReplayCommand::Cancel(args)) => cancel(args),
    }
}

fn start(args: &StartArgs) -> Result<(), Failure> {
    let request = args.request();
    let make = |dry_run| match &args.target.data_dir {
        None => {
            let client = args.target.client().map_err(Failure::failed)?;
            wait_for(client.replay(&request, dry_run))
        }
        Some(directory) => {
            let order = order(dry_run);
            relay::offline_replay(directory, &request, &order).map_err(Failure::failed)
        }
    };
    let replayed = args.asking.make(make, |replayed: &Replayed| &replayed.change.effect)?;
    match args.output.output {
        Format::Json if args.wait => {}
        Format::Json => print(&output::json(&replayed).map_err(Failure::failed)?)?,
        Format::Table => print(&output::change(&replayed.change))?,
    }
    if args.wait { await_end(args, replayed.number) } else { Ok(()) }
}

fn await_end(args: &StartArgs, number: u64) -> Result<(), Failure> {
    let client = args.target.client().map_err(Failure::failed)?;
    let ended = wait_for(progress::wait(&client, number))?;
    match args.output.output {
        Format::Json => print(&output::json(&ended).map_err(Failure::failed)?)?,
        Format::Table => print(&progress::summary(&ended))?,
    }
    if ended.state == relay::ReplayState::Cancelled {
        return Err(Failure::failed(format_args!("replay {number} was cancelled")));
    }
    Ok(())
}

fn cancel(args: &CancelArgs) -> Result<(), Failure> {
    let make = |dry_run| match &args.target.data_dir {
        None => {
            let client = args.target.client().map_err(Failure::failed)?;
            wait_for(client.cancel_replay(args.number, dry_run))
        }
        Some(directory) => {
            let order = order(dry_run);
            relay::offline_cancel_replay(directory, args.number, &order).map_err(Failure::failed)
        }
    };
    let change = args.asking.make(make, |change| &change.effect)?;
    match args.output.output {
        Format::Json => print(&output::json(&change).map_err(Failure::failed)?),
        Format::Table => print(&output::change(&change)),
    }
}

async fn list(target: &TargetArgs, output: OutputArgs) -> Result<(), ReadError> {
    let all = target.replays().await?;
    let text = match output.output {
        Format::Json => output::json(&all)?,
        Format::Table if all.is_empty() => {
            "nothing is sent again, and nothing was lately\n".to_owned()
        }
        Format::Table => replays::table(&all, Timestamp::now(), Palette::of_stdout()),
    };
    Ok(output::print(&text)?)
}

fn print(text: &str) -> Result<(), Failure> {
    output::print(text).map_err(Failure::failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        replay: ReplayArgs,
    }

    fn parse(arguments: &[&str]) -> Result<ReplayArgs, clap::Error> {
        let arguments = ["x"].iter().chain(arguments);
        Command::try_parse_from(arguments).map(|command| command.replay)
    }

    fn request(arguments: &[&str]) -> ReplayRequest {
        let parsed = parse(&[&["oncall"], arguments].concat()).expect("a replay");
        assert!(parsed.command.is_none());
        parsed.start.request()
    }

    #[test]
    fn a_range_has_one_beginning_and_at_most_one_end() {
        let all = request(&["--beginning"]);
        assert_eq!((all.sink.as_str(), all.from, all.until), ("oncall", Target::Beginning, None));
        assert_eq!(all.rate, Some(relay::REPLAY_RATE));
        let versions = request(&["--from-rv", "7", "--to-rv", "9", "--rate", "100/m"]);
        let version = |text: &str| Target::ResourceVersion(text.parse().expect("a version"));
        assert_eq!((versions.from, versions.until), (version("7"), Some(version("9"))));
        assert_eq!(versions.rate, "100/m".parse().ok());
        assert_eq!(request(&["--back", "9"]).from, Target::Back(9));
        let counted = request(&["--since", "2h", "--count", "9"]);
        assert_eq!(counted.until, Some(Target::Forward(9)));
        for wrong in [
            &["oncall"][..],
            &["--beginning"],
            &["oncall", "--beginning", "--back", "3"],
            &["oncall", "--beginning", "--end", "--count", "3"],
            &["oncall", "--back", "3", "--count", "3"],
            &["oncall", "--beginning", "--rate", "0/s"],
            &["oncall", "--beginning", "--wait", "--dry-run"],
        ] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn list_and_cancel_need_no_range() {
        assert!(matches!(
            parse(&["list"]).expect("a command").command,
            Some(ReplayCommand::List { .. })
        ));
        let Some(ReplayCommand::Cancel(cancel)) = parse(&["cancel", "7"]).expect("one").command
        else {
            panic!("cancel")
        };
        assert_eq!(cancel.number, 7);
        assert!(parse(&["cancel"]).is_err());
    }

    #[test]
    fn a_filter_is_written_as_in_a_configuration() {
        let expected: Match =
            serde_json::from_str(r#"{"type":["Warning"],"namespaces":["prod-.*"]}"#).expect("one");
        let filter = request(&["--beginning", "--match", "{type: Warning, namespaces: [prod-.*]}"]);
        assert_eq!(filter.filter, Some(expected));
        let error =
            parse(&["oncall", "--beginning", "--match", "{tpye: Warning}"]).expect_err("one");
        let error = error.to_string();
        assert!(error.contains(": line 1 column 2: unknown field `tpye`"), "{error}");
        assert!(error.contains("such as '{type: Warning}'"), "{error}");
    }
}
