//! How a change is shown.

use super::exit::Failure;
use super::output::{self, Format, OutputArgs};
use crate::relay::Change;

/// Prints what a change did, or would do.
pub(super) fn print(change: &Change, output: OutputArgs) -> Result<(), Failure> {
    let text = match output.output {
        Format::Json => output::json(change).map_err(Failure::failed)?,
        Format::Table => output::change(change),
    };
    output::print(&text).map_err(Failure::failed)
}
