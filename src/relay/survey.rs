//! The log at one moment: its size, its streams, their segments.

use crate::cursor::{Cursor, Place};
use crate::event::StreamId;
use crate::log::{Frontier, Log, SegmentInfo, Stream};

/// The log at one moment.
#[derive(Debug)]
pub(crate) struct Survey {
    /// Bytes on disk.
    pub(crate) bytes: u64,
    /// Bytes that may still be used on the volume.
    pub(crate) free: u64,
    /// Its streams, in the order they were asked for.
    pub(crate) streams: Vec<StreamSurvey>,
}

/// A stream at one moment.
#[derive(Debug)]
pub(crate) struct StreamSurvey {
    /// Its name.
    pub(crate) id: StreamId,
    /// Up to where it is durable.
    pub(crate) frontier: Option<Frontier>,
    /// Its segments, oldest first.
    pub(crate) segments: Vec<SegmentInfo>,
}

impl Survey {
    /// The log now. Blocking for a few milliseconds.
    pub(crate) fn of<'a>(log: &Log, streams: impl Iterator<Item = &'a Stream>) -> Self {
        let streams = streams.map(|stream| StreamSurvey {
            id: stream.id().clone(),
            frontier: stream.frontier(),
            segments: stream.segments(),
        });
        Self { streams: streams.collect(), bytes: log.bytes(), free: log.free_bytes() }
    }
}

/// The last place before the segments of a stream, the oldest of which comes first. Where nothing can
/// lie before a generation's first version, its position is that of the beginning.
pub(crate) fn begin_of(segments: &[SegmentInfo]) -> Place {
    segments.first().map_or_else(Place::default, |oldest| Place {
        position: oldest.first.previous(),
        sequence: oldest.first_sequence,
    })
}

/// Where a new sink begins: with what comes from now on. In an empty stream that is the beginning.
pub(crate) fn end_of(frontier: Option<&Frontier>) -> Place {
    frontier.map_or_else(Place::default, |frontier| Place {
        position: Some(frontier.position.clone()),
        sequence: frontier.sequence,
    })
}

impl StreamSurvey {
    /// Records the log still has.
    pub(crate) fn held(&self) -> u64 {
        let records =
            |segment: &SegmentInfo| segment.end_sequence.saturating_sub(segment.first_sequence);
        self.segments.iter().map(records).sum()
    }

    /// Records of the log that a cursor has not passed.
    pub(crate) fn lag(&self, cursor: Option<&Cursor>) -> u64 {
        let appended = self.frontier.as_ref().map_or(0, |frontier| frontier.sequence);
        let passed = cursor.map_or(0, |cursor| cursor.sequence);
        // What was removed is not coming any more.
        let removed = self.segments.first().map_or(0, |segment| segment.first_sequence);
        appended.saturating_sub(passed.max(removed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::runner::fixtures::position;
    use jiff::Timestamp;

    #[test]
    fn a_new_sink_receives_what_comes_from_now_on() {
        let now = Timestamp::UNIX_EPOCH;
        let frontier = Frontier { position: position(70), sequence: 40, written_at: now };
        let place = Place { position: Some(position(70)), sequence: 40 };
        assert_eq!(end_of(Some(&frontier)), place);
        assert_eq!(end_of(None), Place::default());
    }

    #[test]
    fn lag_counts_what_the_log_still_holds() {
        let at = Timestamp::UNIX_EPOCH;
        let segment = SegmentInfo {
            first: position(31),
            last: None,
            first_sequence: 30,
            end_sequence: 100,
            bytes: 0,
            sealed_at: None,
        };
        let found = StreamSurvey {
            id: StreamId::all_namespaces(),
            frontier: Some(Frontier { position: position(100), sequence: 100, written_at: at }),
            segments: vec![segment],
        };
        let cursor = |sequence| Cursor { position: None, sequence, updated_at: at };
        assert_eq!(found.held(), 70);
        assert_eq!(found.lag(Some(&cursor(90))), 10);
        assert_eq!(found.lag(Some(&cursor(10))), 70, "what was removed is not coming any more");
        assert_eq!(found.lag(None), 70);
        assert_eq!(found.lag(Some(&cursor(100))), 0);
    }
}
