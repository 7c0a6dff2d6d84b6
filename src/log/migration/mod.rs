//! Brings a data directory of an older format to this program's, step by step.
//!
//! Invariants:
//! 1. Before a step begins, `relay.json` says the format that it leads to, durably: a program of the
//!    format before leaves the directory alone from then on.
//! 2. What a step has done is durable before `relay.json` stops saying that it is not finished.
//! 3. A step finds out by itself what is left to do: it can be interrupted at any moment and run
//!    again, also in a directory of a later format.
//! 4. A step removes nothing that it has not replaced, and leaves what is damaged to recovery.

#[path = "../../../migrations/0002-segment-heads/step.rs"]
mod segment_heads;
#[cfg(test)]
mod tests;

use std::path::Path;

use super::LogError;
use super::identity::{FORMAT, Identity};
use super::reserve::Reserve;

/// Steps, each with the format it leads to. They are in `migrations/`.
const STEPS: [Step; 1] = [segment_heads::STEP];

/// A step from one format to the next.
#[derive(Debug)]
pub struct Step {
    /// The format it leads to.
    pub format: u32,
    /// Its name, as in `migrations/`.
    pub name: &'static str,
    /// What it does.
    pub description: &'static str,
    run: fn(&Path, &mut Progress) -> Result<(), LogError>,
}

/// What is left to do in a data directory.
#[derive(Debug)]
pub struct Plan {
    /// The format of what is stored.
    pub from: u32,
    /// The format of this program.
    pub to: u32,
    /// The steps that lead there.
    pub steps: &'static [Step],
}

/// Told by a step before each piece of work; an error interrupts it.
type Progress<'a> = dyn FnMut(&Path) -> Result<(), LogError> + 'a;

/// What would have to be done in a data directory; changes nothing. `None` when there is none.
pub fn plan(directory: &Path) -> Result<Option<Plan>, LogError> {
    let Some(identity) = Identity::read(directory)? else { return Ok(None) };
    identity.refuse_newer(directory)?;
    let from = identity.stored();
    Ok(Some(Plan { from, to: FORMAT, steps: steps_above(from) }))
}

/// Runs all steps that are left. The directory is locked.
pub(super) fn run(directory: &Path, identity: &mut Identity) -> Result<&'static [Step], LogError> {
    let steps = steps_above(identity.stored());
    if !steps.is_empty() {
        // A step opens databases, which takes room: with too little left, the reserve is what it is for.
        let reserve = Reserve::new(directory);
        if !reserve.has_room() {
            reserve.give_up();
        }
    }
    for step in steps {
        tracing::info!(directory = %directory.display(), format = step.format, step = step.name, "migrating: {}", step.description);
        let mut pieces = 0;
        run_step(directory, identity, step, &mut |_| {
            pieces += 1;
            Ok(())
        })?;
        tracing::info!(directory = %directory.display(), format = step.format, step = step.name, pieces, "migrated");
    }
    Ok(steps)
}

fn run_step(
    directory: &Path,
    identity: &mut Identity,
    step: &Step,
    progress: &mut Progress,
) -> Result<(), LogError> {
    identity.migrating_from = Some(identity.stored());
    identity.format = step.format;
    identity.write(directory)?;
    (step.run)(directory, progress)?;
    identity.migrating_from = None;
    identity.write(directory)
}

fn steps_above(format: u32) -> &'static [Step] {
    const ALL: &[Step] = &STEPS;
    ALL.get(ALL.partition_point(|step| step.format <= format)..).unwrap_or_default()
}

/// Entries of a directory whose name can be read as a `T`; others are none of a step's business.
fn entries<T: std::str::FromStr>(
    directory: &Path,
) -> Result<Vec<(T, std::path::PathBuf)>, LogError> {
    let listed = |error| LogError::io("list", directory, &error);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(listed)? {
        let entry = entry.map_err(listed)?;
        if let Ok(name) = entry.file_name().to_string_lossy().parse() {
            found.push((name, entry.path()));
        }
    }
    Ok(found)
}
