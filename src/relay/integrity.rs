//! What the log has lost by itself: damaged segments, and an end that is not there any more.
//!
//! Invariants:
//! 1. Whatever is missing is a durable gap before anything is appended behind it.
//! 2. The log is never of an earlier generation than a cursor in it: the sink would wait for ever.

use jiff::Timestamp;

use crate::cursor::State;
use crate::event::{Position, ResourceVersion};
use crate::log::{Entry, Frontier, Gap, LogError, Stream};
use crate::telemetry::Metrics;

/// Looks at a stream that was just opened, before anything reads or writes it. Blocking; to be called
/// within a runtime, and not by a task of it.
pub(crate) fn check_opened(
    stream: &Stream,
    state: &State,
    metrics: &Metrics,
) -> Result<(), LogError> {
    report_damage(stream, state, metrics)?;
    let (id, frontier) = (stream.id(), stream.frontier());
    let known = state.furthest(id);
    let Some(gap) = lost_end(known.clone(), frontier.as_ref(), Timestamp::now()) else {
        return Ok(());
    };
    if let Some(complete_until) = gap.from_time {
        // What the source proved complete later has gone with the end.
        state.set_complete_until(id, complete_until);
    }
    report(stream, state, metrics, gap)?;
    match known.and_then(|known| begins_again(&known, frontier.as_ref())) {
        Some(position) => begin_again(stream, position),
        None => Ok(()),
    }
}

/// Where a log that has lost all of its newest generation goes on: at the beginning of that
/// generation. Its source then takes everything over that the API server still has, and sinks pass
/// over what they have received.
fn begins_again(known: &Position, frontier: Option<&Frontier>) -> Option<Position> {
    let found = frontier.map(|frontier| frontier.position.generation);
    (found < Some(known.generation))
        .then(|| Position::new(known.generation, ResourceVersion::first()))
}

fn begin_again(stream: &Stream, position: Position) -> Result<(), LogError> {
    tokio::runtime::Handle::current().block_on(async {
        stream.append(Entry::Advance(position)).await?;
        stream.sync().await
    })
}

/// Reports damage that was noticed since the last call.
pub(crate) fn report_damage(
    stream: &Stream,
    state: &State,
    metrics: &Metrics,
) -> Result<(), LogError> {
    stream.take_damages().into_iter().try_for_each(|gap| report(stream, state, metrics, gap))
}

/// Notes how far the log is, so that the loss of its end would be noticed.
pub(crate) fn note_frontier(state: &State, stream: &Stream) {
    if let Some(frontier) = stream.frontier() {
        state.note_frontier(stream.id(), &frontier.position);
    }
}

/// Keeps a gap. One that is known already is not counted again; more may be known of it now.
fn report(stream: &Stream, state: &State, metrics: &Metrics, gap: Gap) -> Result<(), LogError> {
    let known = state.gaps(stream.id()).into_iter().find(|known| known.until == gap.until);
    if let Some(known) = known {
        if known.cause == gap.cause {
            return Ok(());
        }
        return state.report_gap(stream.id(), Gap { after: known.after, ..gap });
    }
    metrics.stream(stream.id().as_str()).gaps.inc();
    let after = gap.after.as_ref().map(ToString::to_string).unwrap_or_default();
    tracing::error!(
        stream = %stream.id(), after, until = %gap.until, cause = gap.cause,
        "records of the log may be missing"
    );
    state.report_gap(stream.id(), gap)
}

/// The gap between where the log ends and where it ended before.
fn lost_end(noted: Option<Position>, frontier: Option<&Frontier>, now: Timestamp) -> Option<Gap> {
    let until = noted?;
    let after = frontier.map(|frontier| frontier.position.clone());
    (after.as_ref() < Some(&until)).then(|| Gap {
        after,
        until,
        from_time: frontier.map(|frontier| frontier.written_at),
        to_time: now,
        cause: "the log has lost its end; what the API server still has is read again".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::runner::fixtures::position;

    #[test]
    fn a_lost_generation_begins_again() {
        let known: Position = "2.70".parse().expect("a position");
        let at = |text: &str| Frontier {
            position: text.parse().expect("a position"),
            sequence: 1,
            written_at: Timestamp::UNIX_EPOCH,
        };
        let again = "2.1".parse().ok();
        assert_eq!(begins_again(&known, None), again);
        assert_eq!(begins_again(&known, Some(&at("1.900"))), again);
        assert_eq!(begins_again(&known, Some(&at("2.5"))), None, "it goes on where it ends");
    }

    #[test]
    fn an_end_that_is_not_there_any_more_is_a_gap() {
        let now = Timestamp::UNIX_EPOCH;
        let frontier =
            |version| Frontier { position: position(version), sequence: 1, written_at: now };
        let gap = lost_end(Some(position(9)), Some(&frontier(7)), now).expect("a gap");
        assert_eq!((gap.after, gap.until), (Some(position(7)), position(9)));
        assert!(lost_end(Some(position(9)), None, now).is_some());
        assert_eq!(lost_end(Some(position(9)), Some(&frontier(9)), now), None);
        assert_eq!(lost_end(Some(position(9)), Some(&frontier(10)), now), None);
        assert_eq!(lost_end(None, Some(&frontier(1)), now), None);
    }
}
