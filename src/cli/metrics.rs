//! `metrics`: what a relay exports, from the code that registers it.

use std::fmt::Write;

use clap::Args;

use super::exit::Failure;
use super::output::{self, PageFormat, Palette, Table, Tone};
use crate::telemetry::{MetricDescription, Metrics};

/// Arguments of `metrics`.
#[derive(Debug, Args)]
pub(super) struct MetricsArgs {
    /// A table for people, JSON for programs, or the page docs/metrics.md
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    output: PageFormat,
}

/// Runs the command and prints its result.
pub(super) fn run(args: &MetricsArgs) -> Result<(), Failure> {
    let metrics = Metrics::new();
    let families = metrics.catalog();
    let text = match args.output {
        PageFormat::Json => output::json(&families).map_err(Failure::failed)?,
        PageFormat::Markdown => markdown(families),
        PageFormat::Table => table(families),
    };
    output::print(&text).map_err(Failure::failed)
}

fn table(families: &[MetricDescription]) -> String {
    let mut table = Table::new(&["NAME", "TYPE", "LABELS", "HELP"]);
    for MetricDescription { name, kind, labels, help } in families {
        let cells = [name.clone(), (*kind).to_owned(), labels.join(", "), help.clone()];
        table.row(Tone::Plain, cells);
    }
    table.render(Palette::of_stdout())
}

/// Parts of the page: a heading, what the names begin with, what there is to know.
const PARTS: [(&str, &str, &str); 6] = [
    ("Sinks", "kube_event_relay_sink_", "`sink` is the name of a sink in the configuration."),
    (
        "Streams",
        "kube_event_relay_stream_",
        "`stream` is the name of a stream: `all-namespaces`, or `namespace-NAME` for each namespace that is \
         configured.",
    ),
    ("Log", "kube_event_relay_log_", "The log on disk."),
    (
        "Configuration",
        "kube_event_relay_config_",
        "The configuration file, which is read again when it changes.",
    ),
    (
        "kube-eventer's",
        "eventer_",
        "Names, types and labels are kube-eventer's, so that dashboards and alerts go on. `exporter` is what \
         kube-eventer calls a kind of sink. The three counters of events have the object's name among their \
         labels: they are the only ones that grow with the cluster, are bounded (10,000 label sets in full, then \
         `name=\"_other\"`), and are switched off by `telemetry: {eventMetrics: false}` or \
         `--event-metrics=false`.",
    ),
    ("Process", "process_", "The relay's process, on Linux."),
];

fn markdown(families: &[MetricDescription]) -> String {
    let mut page = "# Metrics\n\nMade by `kube-event-relay metrics -o markdown`; a test compares.\n\n\
                    `/metrics` of the admin listener serves them as Prometheus reads them. No label grows with the \
                    objects of the cluster, but for kube-eventer's own counters of events. Durations are in \
                    seconds, sizes in bytes.\n"
        .to_owned();
    for (heading, prefix, about) in PARTS {
        // Writing to a string cannot fail.
        let _written = write!(
            page,
            "\n## {heading}\n\n{about}\n\n| name | type | labels | |\n|---|---|---|---|\n"
        );
        for family in families.iter().filter(|family| family.name.starts_with(prefix)) {
            let MetricDescription { name, kind, labels, help } = family;
            let labels: Vec<_> = labels.iter().map(|label| format!("`{label}`")).collect();
            let help = help.replace('|', "\\|");
            let _written = writeln!(page, "| `{name}` | {kind} | {} | {help} |", labels.join(", "));
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_is_on_the_page_once() {
        let metrics = Metrics::new();
        let page = markdown(metrics.catalog());
        for family in metrics.catalog() {
            let line = format!("| `{}` | ", family.name);
            assert_eq!(page.matches(&line).count(), 1, "{line}");
        }
    }
}
