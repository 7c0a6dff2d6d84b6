//! `config check`, `config show`, `config convert` and `config explain`.
//!
//! Each takes a file, or what `run` takes.

mod event;
mod explain;
mod reload;

use std::ffi::OsString;
use std::path::Path;

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::Value;

use super::exit::Failure;
use super::output::{self, Format, OutputArgs};
use crate::config::{Arguments, Config, Loaded, Placeholder, Preflight, preflight, usage};

/// Arguments of `config`.
#[derive(Debug, Args)]
pub(super) struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Tell whether the relay would start with a configuration
    Check(ShownSubject),
    /// Print a configuration as it was understood, without its secrets
    Show(ShownSubject),
    /// Print the configuration file for kube-eventer's command line
    Convert {
        /// Write secrets into the file instead of names of environment variables
        #[arg(long)]
        with_secrets: bool,
        #[command(flatten)]
        subject: Subject,
    },
    /// Have a running relay read its configuration file again
    ///
    /// It does so by itself within seconds when the file changes, and on SIGHUP. Sinks are taken over; a file that
    /// is not accepted changes nothing.
    Reload(reload::ReloadArgs),
    /// Say of each sink which rule lets an event pass, or stops it
    ///
    /// The event comes from a file, or from the log: of a running relay, or with --data-dir of a stopped one.
    #[command(
        after_help = "Example: kubectl get event NAME -o yaml | kube-event-relay config explain \
                            --config relay.yaml --event -"
    )]
    Explain(explain::ExplainArgs),
}

/// A configuration, in either form.
#[derive(Debug, Args)]
struct Subject {
    /// A configuration file, or the flags of `run`
    #[arg(value_name = "FILE | -- FLAGS", trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// A configuration, and in which form to tell of it. `-o` stands before the flags of `run`, which may be any.
#[derive(Debug, Args)]
struct ShownSubject {
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    subject: Subject,
}

/// What `config check` tells programs.
#[derive(Debug, Serialize)]
struct Checked {
    valid: bool,
    sinks: usize,
    warnings: Vec<String>,
}

/// Runs the command and prints its result; warnings go to standard error.
pub(super) fn run(args: ConfigArgs) -> Result<(), Failure> {
    let text = match args.command {
        ConfigCommand::Check(subject) => check(subject)?,
        ConfigCommand::Show(subject) => show(subject)?,
        ConfigCommand::Convert { with_secrets, subject } => convert(subject, with_secrets)?,
        ConfigCommand::Reload(args) => return reload::run(&args),
        ConfigCommand::Explain(args) => explain::explain(args)?,
    };
    output::print(&text).map_err(Failure::failed)
}

fn check(ShownSubject { output, subject }: ShownSubject) -> Result<String, Failure> {
    let Some(Loaded { config, mut warnings }) = load(subject)? else { return Ok(usage()) };
    // The relay may be meant to run elsewhere: what this machine lacks is not an error here.
    let Preflight { errors, warnings: lacking } = preflight(&config);
    let lacking = errors.into_iter().chain(lacking);
    warnings.extend(lacking.map(|problem| format!("on this machine, {problem}")));
    let sinks = config.sinks.len();
    match output.output {
        Format::Json => {
            output::json(&Checked { valid: true, sinks, warnings }).map_err(Failure::failed)
        }
        Format::Table => {
            warn(&warnings);
            Ok(format!("configuration is valid: {}\n", output::plural(sinks as u64, "sink")))
        }
    }
}

fn show(ShownSubject { output, subject }: ShownSubject) -> Result<String, Failure> {
    let Some(Loaded { config, warnings }) = load(subject)? else { return Ok(usage()) };
    warn(&warnings);
    let yaml = config.to_masked_yaml()?;
    match output.output {
        Format::Table => Ok(yaml),
        Format::Json => {
            let value: Value = serde_saphyr::from_str(&yaml).map_err(Failure::failed)?;
            output::json(&value).map_err(Failure::failed)
        }
    }
}

fn convert(subject: Subject, with_secrets: bool) -> Result<String, Failure> {
    let arguments = super::text(subject.arguments)?;
    let loaded = match Config::from_arguments(&arguments, &environment)? {
        Arguments::Help | Arguments::Version => return Ok(usage()),
        Arguments::Flags(loaded) => *loaded,
        Arguments::File(_) => {
            let reason = "a configuration file needs no conversion; `config show FILE` prints it";
            return Err(Failure::Usage(reason.to_owned()));
        }
    };
    warn(&loaded.warnings);
    if with_secrets {
        return Ok(loaded.config.to_yaml()?);
    }
    let (config, placeholders) = loaded.config.with_placeholders()?;
    Ok(comment(&placeholders) + &config.to_yaml()?)
}

/// Which environment variables the file needs.
fn comment(placeholders: &[Placeholder]) -> String {
    const HEADING: &str = "# Secrets are not in this file. Set these environment variables for the relay, or write\n\
         # {file: PATH} where they are used:\n";
    let lines = placeholders.iter().map(|Placeholder { variable, sink, option }| {
        format!("#   {variable}: option {option} of sink {sink}\n")
    });
    let heading = (!placeholders.is_empty()).then(|| HEADING.to_owned());
    heading.into_iter().chain(lines).collect()
}

/// The configuration; `None` when its arguments ask for help.
fn load(subject: Subject) -> Result<Option<Loaded>, Failure> {
    let arguments = super::text(subject.arguments)?;
    match arguments.as_slice() {
        [] => Err(Failure::Usage(
            "name a configuration file, or write -- and the flags of run".into(),
        )),
        [file] if !file.starts_with('-') => Ok(Some(Config::from_file(Path::new(file))?)),
        [file, ..] if !file.starts_with('-') => {
            Err(Failure::Usage("only one configuration file can be read".into()))
        }
        flags => match Config::from_arguments(flags, &environment)? {
            Arguments::Help | Arguments::Version => Ok(None),
            Arguments::File(file) => Ok(Some(file.load()?)),
            Arguments::Flags(loaded) => Ok(Some(*loaded)),
        },
    }
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn warn(warnings: &[impl std::fmt::Display]) {
    for warning in warnings {
        eprintln!("warning: {warning}");
    }
}
