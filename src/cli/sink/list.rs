//! `sink list`: the kinds of sinks and their options, from the types that read them.

use std::fmt::Write;

use clap::Args;
use serde::Serialize;
use serde_json::Value;

use crate::cli::exit::Failure;
use crate::cli::output::{self, PageFormat, Palette, Table, Tone};
use crate::sink::OptionDescription;
use crate::sink::registry::{self, KINDS, Kind};

/// Arguments of `sink list`.
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// A kind, to see its options
    #[arg(value_name = "KIND")]
    kind: Option<String>,
    /// A table for people, JSON for programs, or the page docs/sinks.md
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    output: PageFormat,
}

/// A kind, for programs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct KindDescription {
    kind: &'static str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    aliases: &'static [&'static str],
    about: &'static str,
    options: Vec<OptionDescription>,
}

pub(super) fn run(args: &ListArgs) -> Result<(), Failure> {
    let one = args.kind.as_deref().map(registry::find).transpose();
    let one = one.map_err(|error| Failure::Usage(error.to_string()))?;
    let kinds: Vec<&Kind> = one.map_or_else(|| KINDS.iter().collect(), |kind| vec![kind]);
    let text = match args.output {
        PageFormat::Json => {
            output::json(&kinds.iter().map(|kind| describe(kind)).collect::<Vec<_>>())
                .map_err(Failure::failed)?
        }
        PageFormat::Markdown => markdown(&kinds),
        PageFormat::Table => match one {
            Some(kind) => options(kind),
            None => list(&kinds),
        },
    };
    output::print(&text).map_err(Failure::failed)
}

fn describe(kind: &Kind) -> KindDescription {
    let Kind { name, aliases, about, .. } = kind;
    KindDescription { kind: name, aliases, about, options: (kind.options)() }
}

fn list(kinds: &[&Kind]) -> String {
    let mut table = Table::new(&["KIND", "WHAT IT MAKES OF EVENTS"]);
    for kind in kinds {
        table.row(Tone::Plain, [kind.name.to_owned(), kind.about.to_owned()]);
    }
    let hint = "\n`sink list KIND` shows the options of a kind.\n";
    table.render(Palette::of_stdout()) + hint
}

fn options(kind: &Kind) -> String {
    let options = (kind.options)();
    let head = format!("{}: {}\n\n", kind.name, kind.about);
    if options.is_empty() {
        return head + "It has no options of its own.\n";
    }
    let mut table = Table::new(&["OPTION", "FORM", "DEFAULT", "WHAT IT IS"]);
    for OptionDescription { name, form, required, default, about } in options {
        let default = if required { "(required)".to_owned() } else { written(default.as_ref()) };
        table.row(Tone::Plain, [name, form, default, about]);
    }
    head + &table.render(Palette::of_stdout())
}

/// As it would stand in a configuration.
fn written(default: Option<&Value>) -> String {
    match default {
        None => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

const PREFACE: &str = "\
# Sinks and their options

<!-- Made by `kube-event-relay sink list -o markdown`; a test keeps it true. -->

What stands under `options` of a sink in the configuration. A *secret* is a text, `{env: NAME}` or
`{file: PATH}`; files are read again when they change. Keys that every sink has (`match`, `batch`, `retry`, …) and
examples are in [configuration.md](configuration.md).
";

/// The page of the documentation.
fn markdown(kinds: &[&Kind]) -> String {
    let mut page = PREFACE.to_owned();
    for kind in kinds {
        // Writing to a text cannot fail.
        let _written = write!(page, "\n## {}\n\n{}.", kind.name, kind.about);
        if !kind.aliases.is_empty() {
            let _written = write!(page, " Also spelt `{}`.", kind.aliases.join("`, `"));
        }
        page.push('\n');
        let options = (kind.options)();
        page.push_str(if options.is_empty() { "\nNo options.\n" } else { HEADINGS });
        for option in options {
            let _written = writeln!(page, "{}", line(&option));
        }
    }
    page
}

const HEADINGS: &str = "\n| option | form | default | what it is |\n|---|---|---|---|\n";

fn line(option: &OptionDescription) -> String {
    let OptionDescription { name, form, required, default, about } = option;
    let default = match (required, default) {
        (true, _) => "**required**".to_owned(),
        (false, None) => String::new(),
        (false, default) => format!("`{}`", written(default.as_ref())),
    };
    let cell = |text: &str| text.replace('|', "\\|");
    format!("| `{name}` | {} | {} | {} |", cell(form), cell(&default), cell(about))
}
