//! The streams of a data directory that nobody uses.
//!
//! Invariants:
//! 1. Nothing in the directory changes: databases are opened as copies, and whatever opening the log
//!    would clear up stays.
//! 2. What is missing is derived from the segments by the code that derives it when the log is opened.

use std::collections::BTreeMap;
use std::path::Path;

use super::check::{check, flaws};
use super::{Checked, Damage, Looking, Progress, Scratch, StreamFindings, VerifyError};
use crate::event::{Position, StreamId};
use crate::log::head::Head;
use crate::log::recovery::Listing;
use crate::log::segment::{Seal, Segment};
use crate::log::stream::{Known, STREAMS, Segments};
use crate::log::{DirectoryAtRest, files};

const READ_AGAIN: &str = "left as it is; a relay that starts here moves it aside, and reads again what the \
                          API server still has";
const OVERLAPS: &str = "the relay never writes that: find out how it came there, and move one of the two out of \
                        the data directory";
const LISTED_AGAIN: &str = "a relay that starts here reads again what the API server still has of it, and reports it as a gap";

/// Looks through all streams. `reached` is how far each is known to have been.
pub fn streams_at_rest(
    directory: &DirectoryAtRest,
    reached: &BTreeMap<StreamId, Position>,
    scratch: &Scratch,
    progress: &Progress,
) -> Result<Vec<StreamFindings>, VerifyError> {
    let path = directory.path().join(STREAMS);
    let mut ids: Vec<StreamId> = reached.keys().cloned().collect();
    if path.is_dir() {
        let names = files::list(&path)?.into_iter().map(|entry| entry.file_name());
        ids.extend(names.filter_map(|name| name.to_string_lossy().parse().ok()));
    }
    ids.sort();
    ids.dedup();
    let mut streams = Vec::new();
    for id in ids {
        let path = path.join(id.as_str());
        let listing = if path.is_dir() { Listing::of(&path)? } else { Listing::default() };
        streams.push((id, path, listing));
    }
    let segments = streams.iter().map(|(_, _, listing)| listing.firsts.len() as u64).sum();
    let looking = &progress.begin(segments);
    streams
        .into_iter()
        .map(|(id, path, listing)| {
            let reached = reached.get(&id);
            let findings = StreamFindings::new(id);
            StreamAtRest { path: &path, reached, scratch, looking, findings }.look(&listing)
        })
        .collect()
}

struct StreamAtRest<'a> {
    path: &'a Path,
    reached: Option<&'a Position>,
    scratch: &'a Scratch,
    looking: &'a Looking<'a>,
    findings: StreamFindings,
}

/// A segment whose blocks cannot be used.
struct Broken {
    first: Position,
    seal: Option<Seal>,
    reason: String,
}

impl StreamAtRest<'_> {
    fn look(mut self, listing: &Listing) -> Result<StreamFindings, VerifyError> {
        let names = listing.moved_aside.iter().filter_map(|aside| aside.path.file_name());
        self.findings.kept = names.map(|name| name.to_string_lossy().into_owned()).collect();
        self.findings.kept.sort();
        let (mut segments, mut broken) = (Segments::default(), Vec::new());
        // As when the log is opened: what a crash has left of a segment that was being begun is passed
        // over, and the newest is the one before.
        let mut is_newest = true;
        for first in listing.firsts.iter().rev() {
            let found = self.segment(first, is_newest)?;
            self.looking.step();
            match found {
                Some(Ok(seal)) => {
                    drop(segments.by_first.insert(first.clone(), self.known(first, seal)));
                }
                Some(Err(found)) => broken.push(found),
                None => continue,
            }
            is_newest = false;
        }
        broken.reverse();
        let newest = segments.by_first.last_key_value();
        let end = newest.and_then(|(_, known)| Some(known.seal.as_ref()?.last.clone()));
        self.overlaps(&segments);
        self.missing(segments, broken);
        self.lost_end(end);
        Ok(self.findings)
    }

    /// Reads a segment. Whole, it is its seal, or that which it would get. `None` when nothing of it was
    /// ever published.
    fn segment(
        &mut self,
        first: &Position,
        is_newest: bool,
    ) -> Result<Option<Result<Seal, Broken>>, VerifyError> {
        let path = self.path.join(first.to_string());
        let seal = Seal::read(&path)?;
        let reached = is_newest && self.reached.is_some_and(|reached| reached >= first);
        let is_sealed = Seal::is_there(&path)?;
        let published = reached || is_sealed || Head::is_there(&path)?;
        let id = self.findings.id.clone();
        let looked = self.scratch.look(&path, |copy| {
            let segment = Segment::open_existing(&id, copy)?;
            if seal.is_none() {
                segment.remove_torn_block()?;
            }
            check(&segment, first, seal.as_ref())
        })?;
        Ok(match looked {
            Ok(checked) => {
                let sealed = is_sealed || !is_newest;
                let flaws = if published { flaws(&path, sealed)? } else { Vec::new() };
                self.findings.whole(first, &checked, flaws);
                let Checked { head, last, .. } = checked;
                let made = || Seal::new(&last, head.first_sequence, last.written_at);
                Some(Ok(seal.unwrap_or_else(made)))
            }
            Err(reason) if published => Some(Err(Broken { first: first.clone(), seal, reason })),
            Err(_) => None,
        })
    }

    fn known(&self, first: &Position, seal: Seal) -> Known {
        let path = self.path.join(first.to_string());
        Known { path, first_sequence: seal.first_sequence, seal: Some(seal) }
    }

    /// Notes segments that begin before the one in front of them ends.
    fn overlaps(&mut self, segments: &Segments) {
        let seals = segments.by_first.values().filter_map(|known| known.seal.as_ref());
        let behind = segments.by_first.iter().skip(1);
        for (before, (first, known)) in seals.zip(behind) {
            if before.last < *first && before.end_sequence <= known.first_sequence {
                continue;
            }
            self.findings.damages.push(Damage {
                segment: Some(first.clone()),
                after: Some(before.last.clone()),
                until: known.seal.as_ref().map(|seal| seal.last.clone()),
                records: None,
                reason: "it overlaps the segment before it".to_owned(),
                action: OVERLAPS.to_owned(),
            });
        }
    }

    /// Notes what is damaged, and what is missing between the segments.
    fn missing(&mut self, mut segments: Segments, broken: Vec<Broken>) {
        // With its seal a segment has its place, and the stretch is not a hole beside it.
        for Broken { first, seal, .. } in &broken {
            if let Some(seal) = seal.clone() {
                segments.by_first.insert(first.clone(), self.known(first, seal));
            }
        }
        let mut holes = segments.holes();
        for Broken { first, seal, reason } in broken {
            let at = holes.iter().position(|hole| hole.contains(&first));
            let hole = match (&seal, at) {
                (Some(seal), _) => Some(segments.hole_without(&first, seal)),
                (None, at) => at.map(|at| holes.remove(at)),
            };
            let before = segments.end_before(&first);
            let reached = self.reached.filter(|reached| **reached >= first).cloned();
            self.findings.damages.push(Damage {
                records: hole.as_ref().map(super::Hole::records),
                after: hole.as_ref().map_or(before, |hole| hole.after.clone()),
                until: hole.map(|hole| hole.until).or(reached),
                segment: Some(first),
                reason,
                action: READ_AGAIN.to_owned(),
            });
        }
        self.findings.holes = holes;
    }

    /// Notes that the log was further than it ends, unless a damaged segment says so already.
    fn lost_end(&mut self, end: Option<Position>) {
        let reached = self.reached.filter(|reached| Some(*reached) > end.as_ref());
        let covered = self.findings.damages.iter().any(|damage| damage.until.as_ref() >= reached);
        if let Some(reached) = reached.filter(|_| !covered) {
            self.findings.damages.push(Damage {
                segment: None,
                after: end,
                until: Some(reached.clone()),
                records: None,
                reason: "the log has lost its end".to_owned(),
                action: LISTED_AGAIN.to_owned(),
            });
        }
    }
}
