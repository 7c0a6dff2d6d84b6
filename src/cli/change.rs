//! How a change is shown.

use super::exit::Failure;
use super::output::{self, Format, OutputArgs};
use crate::relay::Change;

/// Prints what a change did, or would do.
pub(super) fn print(change: &Change, output: OutputArgs) -> Result<(), Failure> {
    let text = match output.output {
        Format::Json => output::json(change).map_err(Failure::failed)?,
        Format::Table => show(change),
    };
    output::print(&text).map_err(Failure::failed)
}

pub(super) fn show(change: &Change) -> String {
    let Change { action, subject, before, after, effect, dry_run } = change;
    let note = if *dry_run { " (nothing was done)" } else { "" };
    format!("{action} {subject}{note}\nbefore  {before}\nafter   {after}\neffect  {effect}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_shown_line_by_line() {
        let change = Change {
            action: "cursor seek".into(),
            subject: "oncall".into(),
            before: "all-namespaces 0.41".into(),
            after: "all-namespaces 0.12".into(),
            effect: "29 records are delivered again".into(),
            dry_run: true,
        };
        let expected = "\
cursor seek oncall (nothing was done)
before  all-namespaces 0.41
after   all-namespaces 0.12
effect  29 records are delivered again
";
        assert_eq!(show(&change), expected);
    }
}
