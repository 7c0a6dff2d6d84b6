//! Places in the log by what people know of them: a version, a time, a number of records.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cursor::Place;
use crate::event::{Position, Record, ResourceVersion};
use crate::log::{Chunk, LogError, SegmentInfo, Stream};
use crate::relay::survey::{begin_of, end_of};

/// Where in a stream. What is not in the log any more is taken for its beginning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Target {
    /// Before the oldest record.
    Beginning,
    /// Behind the newest record.
    End,
    /// Before the first record with this resourceVersion or a greater one, in the newest history of the API
    /// server.
    ResourceVersion(ResourceVersion),
    /// Before the first record that was received then or later.
    Time(Timestamp),
    /// So many records further back.
    Back(u64),
    /// So many records further on.
    Forward(u64),
}

/// The place in `stream`. `from` is where [`Target::Back`] and [`Target::Forward`] count from.
pub(crate) async fn find(
    stream: &Stream,
    from: &Place,
    target: &Target,
) -> Result<Place, LogError> {
    let segments = stream.segments();
    let begin = begin_of(&segments);
    match target {
        Target::Beginning => Ok(begin),
        Target::End => Ok(end_of(stream.frontier().as_ref())),
        Target::Back(count) => {
            after(stream, &segments, from.sequence.saturating_sub(*count).max(begin.sequence)).await
        }
        Target::Forward(count) => {
            let from = from.sequence.max(begin.sequence);
            after(stream, &segments, from.saturating_add(*count)).await
        }
        Target::Time(time) => {
            // Whatever is in a segment was received before it was sealed.
            let at = segments.iter().position(|one| one.sealed_at.is_none_or(|end| end >= *time));
            scan(stream, &segments, at, |record, _| record.received_at >= *time).await
        }
        Target::ResourceVersion(version) => {
            let Some(frontier) = stream.frontier() else { return Ok(begin) };
            let wanted = Position::new(frontier.position.generation, version.clone());
            let at = segments.iter().rposition(|one| one.first <= wanted);
            let at = at.or(Some(0).filter(|_| !segments.is_empty()));
            scan(stream, &segments, at, |record, _| record.position >= wanted).await
        }
    }
}

/// The place behind so many records of the stream.
async fn after(
    stream: &Stream,
    segments: &[SegmentInfo],
    sequence: u64,
) -> Result<Place, LogError> {
    let at = segments.iter().rposition(|one| one.first_sequence <= sequence);
    scan(stream, segments, at, |_, number| number > sequence).await
}

/// The place before the first record for which `wanted` holds, which is told the record's number, in this
/// segment or a later one; without such a record the end.
async fn scan(
    stream: &Stream,
    segments: &[SegmentInfo],
    at: Option<usize>,
    wanted: impl Fn(&Record, u64) -> bool,
) -> Result<Place, LogError> {
    let Some(segment) = at.and_then(|at| segments.get(at)) else {
        return Ok(end_of(stream.frontier().as_ref()));
    };
    let mut reached =
        Place { position: segment.first.previous(), sequence: segment.first_sequence };
    let mut reader = stream.reader(reached.position.clone());
    while let Some(chunk) = reader.try_next().await? {
        match chunk {
            Chunk::Records { records, end, sequence } => {
                let before = sequence.saturating_sub(records.len() as u64);
                let numbered = records.iter().zip(before + 1..);
                let mut passed = numbered.take_while(|(record, number)| !wanted(record, *number));
                let last = passed.by_ref().last();
                let count = last.as_ref().map_or(0, |(_, number)| number - before);
                if count < records.len() as u64 {
                    let position = last.map(|(record, _)| record.position.clone());
                    let position = position.or(reached.position);
                    return Ok(Place { position, sequence: before + count });
                }
                reached = Place { position: Some(end), sequence };
            }
            Chunk::Excluded { end, sequence, .. } => {
                reached = Place { position: Some(end), sequence };
            }
            Chunk::Damaged { end } => reached.position = Some(end),
        }
    }
    reader.check_room()?;
    Ok(reached)
}
