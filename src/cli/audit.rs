//! `audit`: what operators have changed.

use clap::Args;

use super::output::{self, Format, OutputArgs, Palette, Table, Tone};
use super::target::{ReadError, TargetArgs};
use crate::cursor::AuditEntry;

/// Arguments of `audit`.
#[derive(Debug, Clone, Args)]
pub struct AuditArgs {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs the command and prints its result.
pub async fn run(args: AuditArgs) -> Result<(), ReadError> {
    let entries = args.target.audit().await?;
    let text = match args.output.output {
        Format::Json => output::json(&entries)?,
        Format::Table => table(&entries, Palette::of_stdout()),
    };
    Ok(output::print(&text)?)
}

fn table(entries: &[AuditEntry], palette: Palette) -> String {
    if entries.is_empty() {
        return "nobody has changed anything\n".to_owned();
    }
    let mut table = Table::new(&["TIME", "FROM", "ACTION", "SINK", "BEFORE", "AFTER", "EFFECT"]);
    for entry in entries {
        let AuditEntry { at, from, action, subject, before, after, effect } = entry.clone();
        let at = at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        table.row(Tone::Plain, [at, from, action, subject, before, after, effect]);
    }
    table.render(palette)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_listed() {
        assert_eq!(table(&[], Palette::plain()), "nobody has changed anything\n");
        let entry = AuditEntry {
            at: "2026-01-02T03:04:05Z".parse().expect("a time"),
            from: "10.0.0.7:40112".into(),
            action: "cursor pause".into(),
            subject: "oncall".into(),
            before: "running".into(),
            after: "paused".into(),
            effect: "its records wait in the log until it is resumed".into(),
        };
        let text = table(&[entry], Palette::plain());
        let line = text.lines().nth(1).expect("a line");
        assert!(line.starts_with("2026-01-02T03:04:05Z  10.0.0.7:40112  cursor pause  oncall"));
    }
}
