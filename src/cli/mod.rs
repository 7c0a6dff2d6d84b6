//! The command line: what is asked for, and who answers.
//!
//! Two programs in one. Called as `kube-eventer`, or with a flag as the first argument, it takes
//! kube-eventer's command line; otherwise it has commands of its own.

pub mod audit;
mod change;
mod config;
pub mod confirm;
pub mod cursor;
mod dead_letter;
pub mod demo;
mod exit;
pub mod log;
mod manual;
mod metrics;
mod migrate;
mod moment;
pub mod output;
mod progress;
mod reload;
mod run;
mod sink;
pub mod status;
pub mod target;

use std::ffi::OsString;
use std::fmt::Display;
use std::path::Path;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};

use self::exit::Failure;
use crate::event::{Filter, Match, MatchError};
use crate::relay::Order;

/// Name under which a drop-in image has the binary.
const EVENTER: &str = "kube-eventer";

/// Flags that are ours although they stand first.
const OWN_FLAGS: [&str; 4] = ["-h", "--help", "-V", "--version"];

/// A durable store-and-forward relay for Kubernetes events
#[derive(Debug, Parser)]
#[command(name = "kube-event-relay", version, arg_required_else_help = true)]
#[command(
    after_help = "With a flag as the first argument it runs the relay with kube-eventer's flags."
)]
struct Program {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the relay
    #[command(disable_help_flag = true)]
    Run(run::RunArgs),
    /// Show the relay at work without a cluster
    Demo(demo::DemoArgs),
    /// Show what a relay is doing: its source, its log, its sinks
    Status(status::StatusArgs),
    /// Show how far sinks have got; move, pause, resume or replay them
    Cursor(cursor::CursorArgs),
    /// Show what sinks have refused for good, retry or discard it
    DeadLetter(dead_letter::DeadLetterArgs),
    /// Show what the log holds, and look for damage in it
    Log(log::LogArgs),
    /// Show kinds of sinks and their options, or try a sink
    Sink(sink::SinkArgs),
    /// Check, show or convert a configuration
    Config(config::ConfigArgs),
    /// Show what operators have changed
    Audit(audit::AuditArgs),
    /// Show all metrics that a relay exports
    Metrics(metrics::MetricsArgs),
    /// Print a script that completes commands and options in a shell
    Completions(manual::CompletionsArgs),
    /// Print a manual page
    Man(manual::ManArgs),
    /// Bring the data directory of a stopped relay to this version's format
    Migrate(migrate::MigrateArgs),
}

/// Runs the program with its arguments, the first of which is its own name.
#[must_use]
pub fn main(arguments: Vec<OsString>) -> ExitCode {
    match dispatch(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn dispatch(arguments: Vec<OsString>) -> Result<(), Failure> {
    if takes_flags(&arguments) {
        return run::run(&text(arguments.into_iter().skip(1))?);
    }
    let program = match Program::try_parse_from(arguments) {
        Ok(program) => program,
        Err(error) => return refused(&error),
    };
    match program.command {
        Command::Run(args) => run::run(&text(args.arguments)?),
        Command::Demo(args) => wait_for(demo::run(args)),
        Command::Status(args) => wait_for(status::run(args)),
        Command::Cursor(args) => cursor::run(args),
        Command::DeadLetter(args) => dead_letter::run(args),
        Command::Audit(args) => wait_for(audit::run(args)),
        Command::Log(args) => log::run(args),
        Command::Sink(args) => sink::run(args),
        Command::Config(args) => config::run(args),
        Command::Metrics(args) => metrics::run(&args),
        Command::Completions(args) => manual::completions(&args, Program::command()),
        Command::Man(args) => manual::man(&args, Program::command()),
        Command::Migrate(args) => migrate::run(&args),
    }
}

/// Checks a sink's `match` that is written in one line, and keeps it as it is.
fn matching(text: &str) -> Result<String, String> {
    let wanted: Match = text.parse().map_err(|error: MatchError| error.to_string())?;
    Filter::new(&wanted, &[]).map_err(|error| error.to_string())?;
    Ok(text.to_owned())
}

/// Whoever changes the directory of a stopped relay.
fn order(dry_run: bool) -> Order {
    let user = std::env::var("USER").unwrap_or_else(|_| "somebody".to_owned());
    Order { from: format!("{user} at the data directory"), dry_run }
}

/// Whether the arguments are kube-eventer's.
fn takes_flags(arguments: &[OsString]) -> bool {
    let program = arguments.first().map(Path::new).and_then(Path::file_name);
    let first = arguments.get(1).map(|first| first.to_string_lossy());
    program.is_some_and(|name| name == EVENTER)
        || first.is_some_and(|first| first.starts_with('-') && !OWN_FLAGS.contains(&first.as_ref()))
}

/// Arguments as text. kube-eventer's flags carry URIs and names, none of which may be anything else.
fn text(arguments: impl IntoIterator<Item = OsString>) -> Result<Vec<String>, Failure> {
    let numbered = arguments.into_iter().enumerate();
    numbered
        .map(|(index, argument)| {
            argument.into_string().map_err(|_| {
                Failure::Usage(format!("argument {} is not UTF-8; write it in UTF-8", index + 1))
            })
        })
        .collect()
}

/// The command that a message of clap's is about, by its line of usage.
fn command(message: &str) -> String {
    let usage = message.lines().find_map(|line| line.trim().strip_prefix("Usage: "));
    let words = usage.unwrap_or("kube-event-relay").split_whitespace();
    let words: Vec<_> = words.take_while(|word| !word.starts_with(['[', '<', '-'])).collect();
    words.join(" ")
}

/// What clap has to say: help and version, or why it does not understand, in one line.
fn refused(error: &clap::Error) -> Result<(), Failure> {
    if !error.use_stderr() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return match error.print() {
            Ok(()) if error.use_stderr() => Err(Failure::Printed),
            Ok(()) => Ok(()),
            Err(cause) => Err(Failure::failed(format_args!("cannot write the help: {cause}"))),
        };
    }
    let text = error.render().to_string();
    let reason: Vec<_> = text.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
    let tip = text.lines().find_map(|line| line.trim().strip_prefix("tip: "));
    let remedy =
        tip.map_or_else(|| format!("`{} --help` says more", command(&text)), str::to_owned);
    let reason = reason.join(" ");
    Err(Failure::Usage(format!("{}; {remedy}", reason.trim_start_matches("error: "))))
}

/// Runs an asynchronous command to its end.
fn wait_for<T, E: Display>(command: impl Future<Output = Result<T, E>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|cause| Failure::failed(format_args!("cannot start threads: {cause}")))?;
    runtime.block_on(command).map_err(Failure::failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(arguments: &[&str]) -> bool {
        takes_flags(&arguments.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn the_commands_are_consistent() {
        Program::command().debug_assert();
    }

    #[test]
    fn kube_eventers_command_line_is_recognised() {
        assert!(flags(&["kube-event-relay", "--source=kubernetes"]));
        assert!(flags(&["kube-event-relay", "-version"]));
        assert!(flags(&["/kube-eventer"]));
        assert!(flags(&["/kube-eventer", "--version"]));
        assert!(!flags(&["kube-event-relay"]));
        assert!(!flags(&["kube-event-relay", "--version"]));
        assert!(!flags(&["kube-event-relay", "status", "--server=x"]));
    }

    #[test]
    fn clap_speaks_in_one_line() {
        let error = |arguments: &[&str]| {
            let error = Program::try_parse_from(arguments).expect_err("refused");
            match refused(&error) {
                Err(Failure::Usage(reason)) => reason,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(
            error(&["x", "statuz"]),
            "unrecognized subcommand 'statuz'; a similar subcommand exists: 'status'"
        );
        let missing = error(&["x", "cursor", "show"]);
        assert!(missing.contains("<SINK>") && !missing.contains('\n'), "{missing}");
    }

    #[test]
    fn what_follows_run_is_not_looked_at_by_clap() {
        for arguments in [
            vec!["x", "run", "--sink=log", "-v", "2"],
            vec!["x", "run", "-h"],
            vec!["x", "run", "--help", "--", "a"],
        ] {
            let program = Program::try_parse_from(&arguments).expect("parsed");
            let Command::Run(args) = program.command else { panic!("run") };
            assert_eq!(
                args.arguments,
                arguments[2..].iter().map(OsString::from).collect::<Vec<_>>()
            );
        }
    }
}
