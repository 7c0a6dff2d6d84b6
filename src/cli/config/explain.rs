//! `config explain`: which rule of each sink lets an event pass, or stops it.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::event::{Origin, read_file};
use super::{Subject, load, warn};
use crate::cli::exit::Failure;
use crate::cli::output::{self, Format, OutputArgs, Palette, Table, Tone};
use crate::cli::target::TargetArgs;
use crate::cli::wait_for;
use crate::config::{Config, Loaded, usage};
use crate::event::{Explanation, Filter, Header, Record};

/// Arguments of `config explain`.
#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// An event as JSON or YAML, a list of them, or - for standard input; all digits: the resourceVersion
    /// of a record in the log
    #[arg(long, value_name = "FILE|RV")]
    event: String,
    /// The configuration file
    #[arg(long, value_name = "FILE", conflicts_with = "arguments")]
    config: Option<PathBuf>,
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    output: OutputArgs,
    /// A configuration file, or the flags of `run`
    #[arg(value_name = "FILE | -- FLAGS")]
    arguments: Vec<OsString>,
}

/// What the sinks make of one event.
#[derive(Debug, Serialize)]
struct Explained {
    event: Summary,
    sinks: Vec<Verdict>,
}

/// What the event is.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    #[serde(skip_serializing_if = "String::is_empty")]
    resource_version: String,
    #[serde(rename = "type")]
    event_type: String,
    reason: String,
    kind: String,
    namespace: String,
    name: String,
}

/// What one sink makes of it.
#[derive(Debug, Serialize)]
struct Verdict {
    sink: String,
    passes: bool,
    #[serde(flatten)]
    explanation: Explanation,
}

/// The answer, to be printed.
pub(super) fn explain(args: ExplainArgs) -> Result<String, Failure> {
    let arguments = match args.config {
        Some(file) => vec![file.into_os_string()],
        None => args.arguments,
    };
    let Some(Loaded { config, warnings }) = load(Subject { arguments })? else {
        return Ok(usage());
    };
    warn(&warnings);
    let records =
        match Origin::of(&args.event).map_err(|error| Failure::Usage(error.to_string()))? {
            Origin::File(name) => read_file(&name).map_err(Failure::failed)?,
            Origin::Log(version) => {
                let found = wait_for(args.target.record(version))?;
                vec![Record::try_from(found).map_err(Failure::failed)?]
            }
        };
    let filters = filters(&config)?;
    let explained: Vec<_> = records.iter().map(|record| Explained::of(record, &filters)).collect();
    match args.output.output {
        Format::Json => output::json(&explained).map_err(Failure::failed),
        Format::Table => {
            let pages = explained.iter().map(|explained| explained.page(Palette::of_stdout()));
            Ok(pages.collect::<Vec<_>>().join("\n"))
        }
    }
}

/// Each sink's name and filter.
fn filters(config: &Config) -> Result<Vec<(&str, Filter)>, Failure> {
    let filters = config.sinks.iter().map(|sink| {
        let filter = Filter::new(&sink.include, &sink.exclude).map_err(Failure::failed)?;
        Ok((sink.name.as_str(), filter))
    });
    filters.collect()
}

impl Explained {
    fn of(record: &Record, filters: &[(&str, Filter)]) -> Self {
        let verdict = |(sink, filter): &(&str, Filter)| {
            let explanation = filter.explain(record);
            Verdict { sink: (*sink).to_owned(), passes: explanation.passes(), explanation }
        };
        Self { event: Summary::of(record), sinks: filters.iter().map(verdict).collect() }
    }

    /// The event, then, below it, one line for each sink.
    fn page(&self, palette: Palette) -> String {
        let mut table = Table::new(&["SINK", "VERDICT", "WHY"]);
        for Verdict { sink, passes, explanation } in &self.sinks {
            let (tone, verdict) =
                if *passes { (Tone::Good, "passes") } else { (Tone::Warning, "stopped") };
            table.row(tone, [sink.clone(), verdict.to_owned(), explanation.to_string()]);
        }
        format!("{}\n\n{}", output::one_line(&self.event.to_string()), table.render(palette))
    }
}

impl Summary {
    fn of(record: &Record) -> Self {
        let Header { event_type, reason, kind, namespace, name, .. } = record.header.clone();
        let resource_version = record.event().text("/metadata/resourceVersion").to_owned();
        Self { resource_version, event_type, reason, kind, namespace, name }
    }
}

impl fmt::Display for Summary {
    /// `Warning BackOff of Pod shop/web, resourceVersion 4711`
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { resource_version, event_type, reason, kind, namespace, name } = self;
        let slash = if namespace.is_empty() { "" } else { "/" };
        write!(formatter, "{event_type} {reason} of {kind} {namespace}{slash}{name}")?;
        if !resource_version.is_empty() {
            write!(formatter, ", resourceVersion {resource_version}")?;
        }
        Ok(())
    }
}
