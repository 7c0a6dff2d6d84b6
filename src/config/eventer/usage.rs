//! The usage text of the flags.

use super::flags::{FLAGS, Flag, Origin, Takes};

/// Column in which the explanations begin.
const HELP_COLUMN: usize = 30;

/// Names in a line of flags that need no explanation.
const FLAGS_PER_LINE: usize = 4;

const HEADING: &str = "\
Runs the relay, from a configuration file or with kube-eventer's flags.

Usage: kube-event-relay run --config FILE
       kube-event-relay run --source=kubernetes:https://kubernetes.default --sink=KIND:ADDRESS…
";

/// All flags with one line each.
#[must_use]
pub fn usage() -> String {
    [
        HEADING.to_owned(),
        section("Flags of kube-eventer", Origin::Eventer),
        section("Flags of this relay", Origin::Relay),
        section("Flags for logging", Origin::Klog),
        without_effect(),
    ]
    .concat()
}

fn section(title: &str, origin: Origin) -> String {
    let flags = FLAGS.iter().filter(|flag| flag.origin == origin && !flag.help.is_empty());
    let lines = flags.map(|flag| format!("  {:HELP_COLUMN$}{}\n", spelling(flag), flag.help));
    std::iter::once(format!("\n{title}:\n")).chain(lines).collect()
}

fn without_effect() -> String {
    let flags: Vec<_> = FLAGS.iter().filter(|flag| flag.help.is_empty()).map(spelling).collect();
    let lines = flags.chunks(FLAGS_PER_LINE).map(|flags| format!("  {}\n", flags.join(" ")));
    std::iter::once("\nAccepted, without effect:\n".to_owned()).chain(lines).collect()
}

fn spelling(flag: &Flag) -> String {
    let value = match flag.takes {
        Takes::Boolean => "[=BOOL]",
        Takes::Integer | Takes::Unsigned | Takes::Level => " NUMBER",
        Takes::Duration => " DURATION",
        Takes::Size => " SIZE",
        _ => " VALUE",
    };
    let dashes = if flag.name.len() == 1 { "-" } else { "--" };
    format!("{dashes}{}{value}", flag.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_every_flag() {
        let text = usage();
        for flag in FLAGS {
            assert!(text.contains(&format!("-{}", flag.name)), "{}", flag.name);
        }
    }
}
