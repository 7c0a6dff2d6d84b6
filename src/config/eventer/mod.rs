//! The front end for kube-eventer's command line, with flags of our own beside its flags.
//!
//! Invariant: what kube-eventer accepted is accepted with the same meaning. What it passed over
//! silently is a warning; the one thing that is refused instead is a sink it did not know, because
//! a sink that never gets anything is what this relay is made to prevent.

mod flags;
mod number;
mod parser;
mod sinks;
mod usage;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use self::flags::{Origin, Value};
use self::parser::{Ignored, Parsed};
use super::check::{self, Problem, Step};
use super::{Config, ConfigError, Loaded, eventer_source};
use crate::setting::EventerUri;

pub(in crate::config) use number::boolean;
pub use usage::usage;

/// The environment variable that stands for `--data-dir`.
pub const DATA_DIRECTORY_VARIABLE: &str = "KUBE_EVENT_RELAY_DATA_DIR";

/// Bounds kube-eventer sets to `--frequency`.
const FREQUENCIES: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(5)..=Duration::from_secs(180);

/// Highest port kube-eventer accepts.
const HIGHEST_PORT: u16 = 65_534;

/// What the arguments ask for.
#[derive(Debug, Clone, PartialEq)]
pub enum Arguments {
    /// `-h`: the usage text.
    Help,
    /// `--version`.
    Version,
    /// `--config FILE`.
    File(ConfigFile),
    /// A whole configuration.
    Flags(Box<Loaded>),
}

/// `--config FILE`, and what stands beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFile {
    path: PathBuf,
    verbosity: Option<i32>,
    warnings: Vec<String>,
}

impl ConfigFile {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads and checks the file. A verbosity on the command line wins over the file's.
    pub fn load(&self) -> Result<Loaded, ConfigError> {
        let mut loaded = Config::from_file(&self.path)?;
        if let Some(verbosity) = self.verbosity {
            loaded.config.telemetry.verbosity = verbosity;
        }
        loaded.warnings.splice(0..0, self.warnings.iter().cloned());
        Ok(loaded)
    }
}

/// Reads the arguments after the program's name, or after `run`.
pub(super) fn read(
    arguments: &[String],
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Arguments, ConfigError> {
    understand(arguments, environment).map_err(ConfigError::OnCommandLine)
}

fn understand(
    arguments: &[String],
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Arguments, String> {
    let parsed = parser::parse(arguments)?;
    if parsed.help {
        return Ok(Arguments::Help);
    }
    if parsed.boolean("version") == Some(true) {
        return Ok(Arguments::Version);
    }
    let mut warnings: Vec<_> = parsed.ignored.iter().map(ignored).collect();
    if let Some(path) = parsed.text("config") {
        only_logging_beside(&parsed)?;
        let (path, verbosity) = (PathBuf::from(path), verbosity(&parsed));
        return Ok(Arguments::File(ConfigFile { path, verbosity, warnings }));
    }
    let source = source(&parsed, &mut warnings, environment)?;
    let mut config = Config { source, ..Config::default() };
    settings(&parsed, &mut config, environment)?;
    warnings.extend(frequency(&parsed)?);
    config.sinks = sinks::read(&parsed, &mut warnings, environment)?;
    warnings.extend(check::check(&config).map_err(|problem| on_command_line(&problem, &config))?);
    Ok(Arguments::Flags(Box::new(Loaded { config, warnings })))
}

/// The settings that are neither the source's address nor sinks.
fn settings(
    parsed: &Parsed,
    config: &mut Config,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<(), String> {
    let variable = || environment(DATA_DIRECTORY_VARIABLE).filter(|path| !path.is_empty());
    if let Some(directory) = parsed.text("data-dir").map(str::to_owned).or_else(variable) {
        if directory.is_empty() {
            return Err("--data-dir: the path is empty; write a directory".into());
        }
        config.log.data_dir = PathBuf::from(directory);
    }
    if let Some(cluster) = parsed.text("cluster") {
        cluster.clone_into(&mut config.cluster);
    }
    if let Some(text) = parsed.text("start") {
        eventer_source::set_start(&mut config.source, text)
            .map_err(|reason| format!("--start: {reason}"))?;
    }
    if let Some(Value::Size(size)) = parsed.last("max-bytes") {
        config.log.max_bytes = *size;
    }
    if let Some(Value::Duration(retain)) = parsed.last("retain") {
        config.log.retain = *retain;
    }
    if let Some(Value::WhenFull(when_full)) = parsed.last("when-full") {
        config.log.when_full = *when_full;
    }
    config.admin.listen = listen(parsed, config.admin.listen)?;
    config.telemetry.verbosity = verbosity(parsed).unwrap_or_default();
    config.telemetry.event_metrics = parsed.boolean("event-metrics").unwrap_or(true);
    Ok(())
}

fn verbosity(parsed: &Parsed) -> Option<i32> {
    parsed.number("v").and_then(|level| level.try_into().ok())
}

/// kube-eventer binds whatever Go resolves; names other than `localhost` are refused here, because
/// a listener should not depend on a name server.
fn listen(parsed: &Parsed, default: SocketAddr) -> Result<SocketAddr, String> {
    let ip = match parsed.text("healthz-ip") {
        None => default.ip(),
        Some("") => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        Some("localhost") => IpAddr::V4(Ipv4Addr::LOCALHOST),
        Some(text) => text.parse().map_err(|_| {
            format!("--healthz-ip: {text:?} is not an IP address; write one, such as 0.0.0.0")
        })?,
    };
    let port = match parsed.number("healthz-port") {
        None => default.port(),
        Some(number) => {
            u16::try_from(number).ok().filter(|port| *port <= HIGHEST_PORT).ok_or_else(|| {
                format!("--healthz-port: {number} is above {HIGHEST_PORT}, the highest port")
            })?
        }
    };
    Ok(SocketAddr::new(ip, port))
}

/// Checks `--frequency`; it is refused where kube-eventer refused it.
fn frequency(parsed: &Parsed) -> Result<Option<String>, String> {
    let Some(Value::Duration(frequency)) = parsed.last("frequency") else { return Ok(None) };
    if FREQUENCIES.contains(&frequency.0) {
        let effect = "--frequency has no effect: events are delivered at once";
        return Ok(Some(effect.into()));
    }
    Err(format!(
        "--frequency: {frequency} is not between 5s and 3m; leave it out, it has no effect here"
    ))
}

fn source(
    parsed: &Parsed,
    warnings: &mut Vec<String>,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<crate::source::SourceConfig, String> {
    let texts: Vec<_> = parsed.texts("source").collect();
    if texts.is_empty() && parsed.texts("sink").next().is_some() {
        // kube-eventer stops here. Whoever names a sink means the cluster that kubectl would ask.
        return Ok(crate::source::SourceConfig::default());
    }
    let [text] = texts.as_slice() else {
        return Err(format!(
            "exactly one --source is needed, and there are {}; write --source=kubernetes:https://kubernetes.default, or --config FILE",
            texts.len()
        ));
    };
    let placed = |message: String| format!("--source: {message}");
    let uri = EventerUri::parse(text, environment).map_err(|error| placed(error.to_string()))?;
    let (source, found) = eventer_source::from_uri(&uri).map_err(placed)?;
    warnings.extend(uri.warnings.into_iter().chain(found).map(placed));
    Ok(source)
}

/// With `--config`, flags would say a second time what the file says.
fn only_logging_beside(parsed: &Parsed) -> Result<(), String> {
    let other = parsed.given.iter().find(|(name, _)| {
        *name != "config" && flags::find(name).is_some_and(|flag| flag.origin != Origin::Klog)
    });
    match other {
        None => Ok(()),
        Some((name, _)) => {
            Err(format!("--{name} cannot stand beside --config; write it in the file instead"))
        }
    }
}

fn ignored(ignored: &Ignored) -> String {
    let count = ignored.count;
    let arguments = if count == 1 { "argument is" } else { "arguments are" };
    if ignored.after_terminator {
        return format!("{count} {arguments} ignored after --, as kube-eventer did");
    }
    let remedy = match ignored.value_of {
        Some(flag) => format!("write --{flag}=true or --{flag}=false, with a ="),
        None => "flags begin with a dash".to_owned(),
    };
    format!(
        "{count} {arguments} ignored from number {} on, which is not a flag, as kube-eventer did; {remedy}",
        ignored.first
    )
}

/// A problem of the whole, in terms of flags.
fn on_command_line(problem: &Problem, config: &Config) -> String {
    if let [Step::Key(sinks), Step::Index(index), ..] = problem.path.as_slice()
        && sinks == "sinks"
    {
        return sinks::placed(*index, &config.sinks[*index].kind, &problem.message);
    }
    let path = problem.path_text();
    let flag = match path.as_str() {
        "cluster" => "--cluster",
        "log.maxBytes" => "--max-bytes",
        other => other,
    };
    format!("{flag}: {}", problem.message)
}

#[cfg(test)]
mod tests;
