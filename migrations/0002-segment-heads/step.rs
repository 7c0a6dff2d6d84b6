//! 2: every segment says in the file `head` which block it begins with.
//!
//! A segment without a first block, one whose beginning is gone, and one that cannot be read get no
//! head: recovery, which runs afterwards, removes the first and reports the others.

use std::path::Path;

use super::{Progress, Step, entries};
use crate::event::{Position, StreamId};
use crate::log::LogError;
use crate::log::head::Head;
use crate::log::segment::Segment;
use crate::log::stream::STREAMS;

pub(super) const STEP: Step = Step {
    format: 2,
    name: "segment-heads",
    description: "every segment says in the file `head` which block it begins with",
    run,
};

pub(super) fn run(directory: &Path, progress: &mut Progress) -> Result<(), LogError> {
    let streams = directory.join(STREAMS);
    if !streams.exists() {
        return Ok(());
    }
    for (stream, path) in entries::<StreamId>(&streams)? {
        for (first, path) in entries::<Position>(&path)? {
            progress(&path)?;
            if Head::read(&path)?.is_none() && path.join("db").exists() {
                write_head(&stream, &first, &path)?;
            }
        }
    }
    Ok(())
}

fn write_head(stream: &StreamId, first: &Position, path: &Path) -> Result<(), LogError> {
    let no_head = |reason: &str| {
        tracing::warn!(segment = %path.display(), reason, "a segment gets no head");
        Ok(())
    };
    // Opening makes durable what is found: nothing is said of a block that a power cut could take.
    match Segment::open(stream, path).and_then(|segment| segment.first()) {
        Ok(Some(block)) if block.first() == first => Head::new(&block).write(path),
        Ok(Some(_)) => no_head("its first blocks are missing"),
        Ok(None) => no_head("it is empty"),
        Err(LogError::Damaged { reason, .. }) => no_head(&reason),
        Err(error) => Err(error),
    }
}
