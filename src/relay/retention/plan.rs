//! Which segments go, and whether intake goes on: a pure function.
//!
//! Invariants:
//! 1. Only the oldest sealed segments of a stream go, so what remains has no hole.
//! 2. While the log is not full, nothing goes that any sink has not durably passed.
//! 3. What a required sink has not passed goes under `drop-oldest` only.
//! 4. Intake is closed only where waiting can help: while a sealed segment is held by a sink.

use std::time::Duration;

use jiff::Timestamp;

use super::levels::Levels;
use crate::event::Position;
use crate::log::{SegmentInfo, WhenFull};

/// How far the sinks have got in a stream, by their durable cursors.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reach {
    /// Nowhere yet.
    Nothing,
    /// So far.
    UpTo(Position),
    /// There is no sink to wait for.
    Everything,
}

/// A stream as retention sees it.
#[derive(Debug, Clone)]
pub(crate) struct StreamView<'a> {
    /// Its segments, oldest first.
    pub(crate) segments: &'a [SegmentInfo],
    /// What every sink has passed.
    pub(crate) by_all: Reach,
    /// What every required sink has passed.
    pub(crate) by_required: Reach,
}

/// The limits, and the moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Situation {
    pub(crate) now: Timestamp,
    pub(crate) retain: Duration,
    pub(crate) bytes: u64,
    pub(crate) levels: Levels,
    pub(crate) when_full: WhenFull,
    pub(crate) intake_open: bool,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// How many of each stream's oldest segments go, in the order of the streams.
    pub(crate) segments: Vec<usize>,
    /// Whether intake goes on.
    pub(crate) intake_open: bool,
}

/// Why a segment may go; tried in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Licence {
    /// Every sink has passed it, and it is older than the retention.
    Aged,
    /// Every sink has passed it.
    Delivered,
    /// Every required sink has passed it.
    BestEffort,
    /// It is the oldest.
    Oldest,
}

/// Decides.
pub(crate) fn plan(situation: &Situation, streams: &[StreamView<'_>]) -> Plan {
    let Levels { relief, full } = situation.levels;
    let mut draft =
        Draft { situation, streams, gone: vec![0; streams.len()], bytes: situation.bytes };
    draft.remove(Licence::Aged, 0);
    draft.remove(Licence::Delivered, relief);
    draft.remove(Licence::BestEffort, full);
    if situation.when_full == WhenFull::DropOldest {
        draft.remove(Licence::Oldest, full);
    }
    // Once closed, intake opens again only with some room, so that it does not flutter.
    let limit = if situation.intake_open { full } else { relief };
    let intake_open = draft.bytes <= limit || draft.next(Licence::Oldest).is_none();
    Plan { segments: draft.gone, intake_open }
}

struct Draft<'a> {
    situation: &'a Situation,
    streams: &'a [StreamView<'a>],
    gone: Vec<usize>,
    bytes: u64,
}

impl Draft<'_> {
    /// Removes segments, the oldest first, while the log is larger than `above`.
    fn remove(&mut self, licence: Licence, above: u64) {
        while self.bytes > above
            && let Some(stream) = self.next(licence)
        {
            let segment = &self.streams[stream].segments[self.gone[stream]];
            self.bytes = self.bytes.saturating_sub(segment.bytes);
            self.gone[stream] += 1;
        }
    }

    /// The stream whose oldest segment may go and was sealed first.
    fn next(&self, licence: Licence) -> Option<usize> {
        let candidate = |(index, stream): (usize, &StreamView<'_>)| {
            let segment = stream.segments.get(self.gone[index])?;
            // The last one stays: it holds the frontier, from which the watch resumes.
            stream.segments.get(self.gone[index] + 1)?;
            let last = segment.last.as_ref()?;
            self.permits(licence, stream, segment, last).then_some((segment.sealed_at, index))
        };
        self.streams.iter().enumerate().filter_map(candidate).min().map(|(_, index)| index)
    }

    fn permits(
        &self,
        licence: Licence,
        stream: &StreamView<'_>,
        segment: &SegmentInfo,
        last: &Position,
    ) -> bool {
        match licence {
            Licence::Aged => stream.by_all.covers(last) && self.is_aged(segment),
            Licence::Delivered => stream.by_all.covers(last),
            Licence::BestEffort => stream.by_required.covers(last),
            Licence::Oldest => true,
        }
    }

    /// A segment whose age is unknown, or that was sealed by a clock that went ahead, is young.
    fn is_aged(&self, segment: &SegmentInfo) -> bool {
        let age = segment.sealed_at.map(|sealed_at| self.situation.now.duration_since(sealed_at));
        age.and_then(|age| Duration::try_from(age).ok())
            .is_some_and(|age| age >= self.situation.retain)
    }
}

impl Reach {
    fn covers(&self, position: &Position) -> bool {
        match self {
            Self::Nothing => false,
            Self::UpTo(reached) => position <= reached,
            Self::Everything => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::runner::fixtures::position;
    use proptest::prelude::*;

    /// A stream that owns its segments.
    struct Example {
        segments: Vec<SegmentInfo>,
        by_all: Reach,
        by_required: Reach,
    }

    /// Segments of ten records and 100 bytes; the first was sealed at second 1, the second at 2, …
    fn example(sealed: u64, by_all: Reach, by_required: Reach) -> Example {
        let segment = |number: u64| SegmentInfo {
            first: position(number * 10 + 1),
            last: Some(position(number * 10 + 10)),
            first_sequence: number * 10,
            end_sequence: number * 10 + 10,
            bytes: 100,
            sealed_at: Some(second(number + 1)),
        };
        let mut segments: Vec<_> = (0..sealed).map(segment).collect();
        segments.push(SegmentInfo { last: None, sealed_at: None, ..segment(sealed) });
        Example { segments, by_all, by_required }
    }

    fn decide(situation: &Situation, examples: &[Example]) -> Plan {
        let view = |example: &Example| StreamView {
            segments: &[],
            by_all: example.by_all.clone(),
            by_required: example.by_required.clone(),
        };
        let mut views: Vec<StreamView<'_>> = examples.iter().map(view).collect();
        for (view, example) in views.iter_mut().zip(examples) {
            view.segments = &example.segments;
        }
        plan(situation, &views)
    }

    fn second(seconds: u64) -> Timestamp {
        Timestamp::from_second(i64::try_from(seconds).expect("small")).expect("in range")
    }

    fn up_to(version: u64) -> Reach {
        Reach::UpTo(position(version))
    }

    fn situation(bytes: u64, when_full: WhenFull) -> Situation {
        let retain = Duration::from_secs(100);
        let now = second(102);
        let levels = Levels { relief: 900, full: 950 };
        Situation { now, retain, bytes, levels, when_full, intake_open: true }
    }

    #[test]
    fn what_all_sinks_have_passed_goes_when_it_is_old_enough() {
        let roomy = situation(600, WhenFull::Pause);
        let expect = |by_all: Reach, segments: usize| {
            let found = decide(&roomy, &[example(5, by_all, Reach::Everything)]);
            assert_eq!(found, Plan { segments: vec![segments], intake_open: true });
        };
        expect(up_to(50), 2); // sealed at 1 and 2, now is 102
        expect(up_to(19), 1);
        expect(up_to(9), 0);
        expect(Reach::Nothing, 0);
        expect(Reach::Everything, 2);
    }

    #[test]
    fn under_pressure_delivered_segments_go_although_they_are_young() {
        let pressed = situation(1_150, WhenFull::Pause);
        let streams = [example(5, up_to(30), up_to(30)), example(5, up_to(20), up_to(20))];
        // Two old ones of each stream go in any case; that is enough.
        assert_eq!(decide(&pressed, &streams).segments, [2, 2]);
        let pressed = Situation { retain: Duration::from_secs(1_000), ..pressed };
        // From 1150 down to 900: three, the oldest first, streams in turn.
        assert_eq!(decide(&pressed, &streams).segments, [2, 1]);
    }

    #[test]
    fn a_full_log_drops_what_only_best_effort_sinks_miss_then_pauses() {
        let full = situation(1_150, WhenFull::Pause);
        let streams = [example(9, Reach::Nothing, up_to(10))];
        assert_eq!(decide(&full, &streams), Plan { segments: vec![1], intake_open: false });
        let streams = [example(9, Reach::Nothing, up_to(20))];
        assert_eq!(decide(&full, &streams), Plan { segments: vec![2], intake_open: true });
    }

    #[test]
    fn a_full_log_drops_the_oldest_when_told_so() {
        let full = situation(1_150, WhenFull::DropOldest);
        let streams = [example(9, Reach::Nothing, Reach::Nothing)];
        assert_eq!(decide(&full, &streams), Plan { segments: vec![2], intake_open: true });
    }

    #[test]
    fn intake_that_was_closed_opens_with_some_room_only() {
        let streams = [example(9, Reach::Nothing, Reach::Nothing)];
        let closed = |bytes| Situation { intake_open: false, ..situation(bytes, WhenFull::Pause) };
        assert!(!decide(&closed(940), &streams).intake_open);
        assert!(decide(&closed(900), &streams).intake_open);
    }

    #[test]
    fn intake_stays_open_when_there_is_nothing_to_wait_for() {
        let streams = [example(0, Reach::Nothing, Reach::Nothing)];
        assert!(decide(&situation(5_000, WhenFull::Pause), &streams).intake_open);
    }

    fn any_reach() -> impl Strategy<Value = Reach> {
        prop_oneof![
            Just(Reach::Nothing),
            (0u64..120).prop_map(|version| up_to(version + 1)),
            Just(Reach::Everything)
        ]
    }

    proptest! {
        #[test]
        fn no_sink_loses_what_the_policy_protects(
            sealed in 0u64..12,
            by_best_effort in any_reach(),
            by_required in any_reach(),
            bytes in 0u64..2_000,
            drop_oldest in any::<bool>(),
        ) {
            let when_full = if drop_oldest { WhenFull::DropOldest } else { WhenFull::Pause };
            let by_all = by_required.clone().min(by_best_effort);
            let stream = example(sealed, by_all.clone(), by_required.clone());
            let found = decide(&situation(bytes, when_full), std::slice::from_ref(&stream));
            for segment in &stream.segments[..found.segments[0]] {
                let last = segment.last.as_ref().expect("only sealed segments go");
                prop_assert!(drop_oldest || by_required.covers(last));
                prop_assert!(bytes > 950 || by_all.covers(last));
            }
            let left = bytes.saturating_sub(100 * found.segments[0] as u64);
            prop_assert!(found.intake_open || left > 900);
            prop_assert!(!found.intake_open || left <= 950 || found.segments[0] as u64 == sealed);
        }
    }
}
