//! Sending a range of the log to a sink again, and no longer.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::sinks::post;
use super::{Change, ControlError, Order, Target, check_stream, find, place_text, records};
use crate::cursor::{Place, Replay, ReplayRange, State};
use crate::event::{Filter, FilterError, Match, StreamId};
use crate::log::{LogError, Stream};
use crate::relay::RelayHandle;
use crate::relay::replay::{self, CountError, ReplayStatus};
use crate::setting::RecordRate;

/// How fast a replay is unless somebody says otherwise: a person watches it, and what is live has more
/// of the service.
pub const REPLAY_RATE: RecordRate = RecordRate::per_seconds(20, 1);

/// Replays that have not ended, of all sinks: each keeps the log from its beginning on.
const OPEN_MAX: usize = 100;

/// Streams of one replay, and bytes of its filter: it is one value of the state database.
const STREAMS_MAX: usize = 60;
const FILTER_BYTES_MAX: usize = 4_000;

/// What is to be sent again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReplayRequest {
    /// The sink.
    pub sink: String,
    /// The first record. `back` counts from `until`, `forward` from the beginning of the log.
    pub from: Target,
    /// The record before which it ends. `forward` counts from `from`, `back` from the live cursor, which is
    /// where it ends when this is absent: what was sent is sent again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Target>,
    /// In this stream only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<StreamId>,
    /// Which of the records, as in a configuration. The sink's own filter holds all the same.
    #[serde(default, rename = "match", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<BTreeMap<String, serde_json::Value>>")]
    pub filter: Option<Match>,
    /// How fast at most: `20/s` unless it is said here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<RecordRate>,
}

/// What became of a request for a replay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Replayed {
    /// What was done, or would be.
    #[serde(flatten)]
    pub change: Change,
    /// The number of the replay, or the number that it would have.
    pub number: u64,
    /// How many records will be sent, as far as filters tell; the filter of the sink is not known in the
    /// directory of a stopped relay.
    pub records: u64,
}

/// Why there is no replay. One line, with the remedy.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// There is nothing in the range.
    #[error(
        "there is no record in this range; `status` says what the log has and how far the sink is"
    )]
    Empty,
    /// Both places count from each other.
    #[error(
        "the range counts from its end back and from its beginning on; name one of them in another way"
    )]
    Circular,
    /// Too many are waiting.
    #[error("{0} replays have not ended yet; wait for them, or cancel some")]
    TooMany(usize),
    /// It is too large to be kept.
    #[error("a replay has at most {STREAMS_MAX} streams; name one of them")]
    Streams,
    /// It is too large to be kept.
    #[error("the filter is longer than {FILTER_BYTES_MAX} bytes; write a shorter one")]
    LongFilter,
    /// The filter cannot be read.
    #[error("match: {0}")]
    Filter(#[from] FilterError),
    /// There is no such replay.
    #[error("there is no replay {0}; `cursor replay list` shows those that are kept")]
    Unknown(u64),
    /// It is over.
    #[error("replay {0} has ended already")]
    Ended(u64),
}

/// A replay to be, and how many records it sends.
struct Draft {
    replay: Replay,
    records: u64,
}

impl RelayHandle {
    /// Sends a range to a sink again, beside its live stream.
    pub async fn replay(
        &self,
        request: &ReplayRequest,
        order: &Order,
    ) -> Result<Replayed, ControlError> {
        let filter = post(&mut *self.outflows.lock().await, &request.sink)?.filter().clone();
        let streams: Vec<_> = self.shared.all_streams().cloned().collect();
        let state = &self.shared.state;
        let draft = draft(state, &streams, &filter, request, order).await?;
        let mut posts = self.outflows.lock().await;
        let post = post(&mut posts, &request.sink)?;
        let replayed = keep(state, draft, order).await?;
        post.wake_replays();
        Ok(replayed)
    }

    /// Ends a replay. What of it is under way may still arrive.
    pub async fn cancel_replay(&self, number: u64, order: &Order) -> Result<Change, ControlError> {
        let mut posts = self.outflows.lock().await;
        let state = &self.shared.state;
        let (change, sink) = cancellation(state, number, order.dry_run)?;
        if order.dry_run {
            return Ok(change);
        }
        change.note(state, order).await?;
        let Ok(post) = post(&mut posts, &sink) else {
            state.end_replay(number, true).await?;
            return Ok(change);
        };
        let was_running = post.halt_replays().await;
        let ended = state.end_replay(number, true).await;
        if was_running {
            self.outflows.begin_replays(post);
        }
        ended?;
        Ok(change)
    }

    /// All replays that are kept, oldest first.
    #[must_use]
    pub fn replays(&self) -> Vec<ReplayStatus> {
        let sinks = self.shared.sinks();
        let state = &self.shared.state;
        let report = |name: &str| sinks.iter().find(|sink| sink.name() == name).map(AsRef::as_ref);
        all(state, report)
    }
}

/// All replays that are kept, oldest first; `report` gives the account of a sink that runs.
pub(super) fn all<'a>(
    state: &State,
    report: impl Fn(&str) -> Option<&'a crate::relay::report::SinkReport>,
) -> Vec<ReplayStatus> {
    let mut names: Vec<_> = state.replays().into_iter().map(|(_, replay)| replay.sink).collect();
    names.sort();
    names.dedup();
    let of = |name: &String| replay::statuses(state, name, report(name));
    let mut replays: Vec<_> = names.iter().flat_map(of).collect();
    replays.sort_by_key(|replay| replay.number);
    replays
}

/// Keeps a replay for a sink that does not run.
pub(super) async fn at_rest(
    state: &State,
    streams: &[Stream],
    request: &ReplayRequest,
    order: &Order,
) -> Result<Replayed, ControlError> {
    let draft = draft(state, streams, &Filter::default(), request, order).await?;
    keep(state, draft, order).await
}

/// Ends a replay of a sink that does not run.
pub(super) async fn cancel_at_rest(
    state: &State,
    number: u64,
    order: &Order,
) -> Result<Change, ControlError> {
    let (change, _) = cancellation(state, number, order.dry_run)?;
    if !order.dry_run {
        change.note(state, order).await?;
        state.end_replay(number, true).await?;
    }
    Ok(change)
}

async fn draft(
    state: &State,
    streams: &[Stream],
    of_sink: &Filter,
    request: &ReplayRequest,
    order: &Order,
) -> Result<Draft, ControlError> {
    check(state, streams, request)?;
    let mut replay = Replay {
        sink: request.sink.clone(),
        ranges: Vec::new(),
        filter: request.filter.clone().unwrap_or_default(),
        rate: request.rate.unwrap_or(REPLAY_RATE),
        asked_at: Timestamp::now(),
        asked_by: order.from.clone(),
        lost: 0,
        end: None,
    };
    let mut records = 0;
    let only = request.stream.as_ref();
    for stream in streams.iter().filter(|stream| only.is_none_or(|only| only == stream.id())) {
        let range = range(state, stream, request).await?;
        if range.records() > 0 {
            records += replay::count(stream, &range, of_sink, &replay).await?;
            replay.ranges.push(range);
        }
    }
    match replay.ranges.len() {
        0 => Err(ReplayError::Empty.into()),
        1..=STREAMS_MAX => Ok(Draft { replay, records }),
        _ => Err(ReplayError::Streams.into()),
    }
}

/// What can be said before the log is looked at.
fn check(state: &State, streams: &[Stream], request: &ReplayRequest) -> Result<(), ControlError> {
    check_stream(streams, request.stream.as_ref())?;
    let back = matches!(request.from, Target::Back(_));
    if back && matches!(request.until, Some(Target::Forward(_))) {
        return Err(ReplayError::Circular.into());
    }
    if let Some(filter) = &request.filter {
        Filter::new(filter, &[]).map_err(ReplayError::Filter)?;
        if serde_json::to_string(filter).unwrap_or_default().len() > FILTER_BYTES_MAX {
            return Err(ReplayError::LongFilter.into());
        }
    }
    let open = state.replays().iter().filter(|(_, replay)| replay.end.is_none()).count();
    if open >= OPEN_MAX { Err(ReplayError::TooMany(open).into()) } else { Ok(()) }
}

/// What of a stream is asked for.
async fn range(
    state: &State,
    stream: &Stream,
    request: &ReplayRequest,
) -> Result<ReplayRange, LogError> {
    let cursor = state.cursor(&request.sink, stream.id());
    let live = cursor.as_ref().map(Place::from).unwrap_or_default();
    let from = &request.from;
    let (after, until) = match (&request.until, from) {
        (Some(until @ Target::Forward(_)), _) => {
            let after = find(stream, &Place::default(), from).await?;
            let until = find(stream, &after, until).await?;
            (after, until)
        }
        (until, from) => {
            let until = match until {
                Some(until) => find(stream, &live, until).await?,
                None => live,
            };
            let counted = if matches!(from, Target::Back(_)) { &until } else { &Place::default() };
            (find(stream, counted, from).await?, until)
        }
    };
    let until = if until.position < after.position { after.clone() } else { until };
    Ok(ReplayRange { stream: stream.id().clone(), after, until })
}

/// Keeps a replay, durably, unless it was only asked what it would do.
async fn keep(state: &State, draft: Draft, order: &Order) -> Result<Replayed, ControlError> {
    let Draft { replay, records } = draft;
    let mut number = state.next_replay_number();
    let change = describe(number, &replay, records, order.dry_run);
    if !order.dry_run {
        change.note(state, order).await?;
        number = state.add_replay(replay);
        state.sync().await?;
    }
    Ok(Replayed { change, number, records })
}

fn describe(number: u64, replay: &Replay, count: u64, dry_run: bool) -> Change {
    let range = |range: &ReplayRange| {
        let (after, until) = (place_text(&range.after), place_text(&range.until));
        format!("{} behind {after} up to {until}", range.stream)
    };
    let ranges: Vec<_> = replay.ranges.iter().map(range).collect();
    let seconds = replay.rate.duration_of(count).as_secs().max(1);
    let verb = if count == 1 { "is" } else { "are" };
    Change {
        action: "cursor replay".to_owned(),
        subject: replay.sink.clone(),
        before: "no replay".to_owned(),
        after: format!("replay {number}: {}", ranges.join(", ")),
        effect: format!(
            "{} of {} {verb} sent again beside the live stream, at {} in about {} or more",
            records(count),
            replay.total(),
            replay.rate,
            crate::setting::Span::from_secs(seconds),
        ),
        dry_run,
    }
}

fn cancellation(
    state: &State,
    number: u64,
    dry_run: bool,
) -> Result<(Change, String), ReplayError> {
    let replay = state.replay(number).ok_or(ReplayError::Unknown(number))?;
    if replay.end.is_some() {
        return Err(ReplayError::Ended(number));
    }
    let (done, total) = (state.replayed(number), replay.total());
    let change = Change {
        action: "cursor replay cancel".to_owned(),
        subject: replay.sink.clone(),
        before: format!("replay {number}: {done} of {} done", records(total)),
        after: "cancelled".to_owned(),
        effect: "the rest of the range is not sent again".to_owned(),
        dry_run,
    };
    Ok((change, replay.sink))
}

impl From<ReplayError> for ControlError {
    fn from(error: ReplayError) -> Self {
        Self::Replay(error)
    }
}

impl From<CountError> for ControlError {
    fn from(error: CountError) -> Self {
        match error {
            CountError::Filter(error) => Self::Replay(error.into()),
            CountError::Log(error) => Self::Log(error),
        }
    }
}
