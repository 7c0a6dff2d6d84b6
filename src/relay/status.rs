//! What an operator sees: plain values, the same in the admin API and the command line.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::replay::ReplayStatus;

/// The whole relay at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Version of the program.
    pub version: String,
    /// Configured name of the cluster.
    pub cluster: String,
    /// When the process started; absent when a stopped relay's directory was read.
    pub started_at: Option<Timestamp>,
    /// The configuration file, when the relay runs with one; unknown of a stopped relay.
    #[serde(default)]
    pub configuration: Option<ConfigurationStatus>,
    /// The log on disk.
    pub log: LogStatus,
    /// Every stream.
    pub streams: Vec<StreamStatus>,
    /// Every sink.
    pub sinks: Vec<SinkStatus>,
    /// Sinks that are not configured any more, and of which something is kept. A stopped relay's directory does not
    /// know which these are.
    #[serde(default)]
    pub removed: Vec<RemovedSinkStatus>,
}

impl Status {
    /// The cursors of all sinks, with those that are not configured any more, by their names.
    #[must_use]
    pub fn into_cursors(self) -> Vec<(String, Vec<CursorStatus>)> {
        let configured = self.sinks.into_iter().map(|sink| (sink.name, sink.cursors));
        let removed = self.removed.into_iter().map(|sink| (sink.name, sink.cursors));
        configured.chain(removed.filter(|(_, cursors)| !cursors.is_empty())).collect()
    }
}

/// A sink that is not configured any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RemovedSinkStatus {
    /// Its name.
    pub name: String,
    /// Dead letters kept.
    pub dead_letters: u64,
    /// Where it would go on, until it is forgotten.
    pub cursors: Vec<CursorStatus>,
}

/// The configuration file of a running relay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigurationStatus {
    /// Where it is.
    pub path: String,
    /// When it was last taken over.
    pub taken_over_at: Timestamp,
    /// Why it is not taken over as it stands; what was taken over last stays in force.
    pub refusal: Option<ConfigurationRefusal>,
    /// Parts of it that have changed since the relay started, and need a restart.
    pub needs_restart: Vec<String>,
}

/// Why the configuration file is not taken over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigurationRefusal {
    /// What is wrong, and where.
    pub reason: String,
    /// Since when the file has not been taken over.
    pub since: Timestamp,
}

/// The log on disk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LogStatus {
    /// Where it is.
    pub directory: String,
    /// Bytes on disk.
    pub bytes: u64,
    /// Configured bound.
    pub max_bytes: u64,
    /// Segments of all streams.
    pub segments: u64,
    /// Records held, of all streams.
    pub records: u64,
    /// Segments moved aside because they were damaged.
    pub damaged_segments: u64,
    /// Whether intake waits because the log is full.
    pub full: bool,
    /// Which limit it has reached, when it is full.
    #[serde(default)]
    pub full_reason: Option<FullReason>,
    /// How far somebody is who looks for damage, if anybody does.
    #[serde(default)]
    pub verifying: Option<VerifyStatus>,
}

/// How far somebody is who looks for damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VerifyStatus {
    /// Segments that were read.
    pub segments_read: u64,
    /// Segments there are.
    pub segments: u64,
}

/// Which limit a full log has reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FullReason {
    /// `log.maxBytes`.
    MaxBytes,
    /// The volume has no more room.
    Volume,
}

/// One stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StreamStatus {
    /// Its name.
    pub stream: String,
    /// Whether a watch is open and the probes agree.
    pub live: bool,
    /// What the source is doing, in one word: `connecting`, `listing`, `watching`, `waiting`, `halted`, `stopped`.
    pub phase: String,
    /// Why it is not live, and what to do.
    pub reason: Option<String>,
    /// Generation of the frontier.
    pub generation: u32,
    /// resourceVersion of the frontier.
    pub frontier: Option<String>,
    /// Number of records appended since the log was created.
    pub records: u64,
    /// When the newest record was received.
    pub last_record_at: Option<Timestamp>,
    /// Until when the stream is known to be complete.
    pub complete_until: Option<Timestamp>,
    /// Lists since the process started.
    pub relists: u64,
    /// Gaps, oldest first.
    pub gaps: Vec<GapStatus>,
}

/// A stretch of history that may have been missed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GapStatus {
    /// Complete up to here, if there was a frontier.
    pub after: Option<String>,
    /// Complete again from here.
    pub until: String,
    /// Time of the last proof of completeness before it.
    pub from_time: Option<Timestamp>,
    /// Time at which the stream was complete again.
    pub to_time: Timestamp,
    /// Why records may be missing.
    pub cause: String,
}

/// One sink.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SinkStatus {
    /// Its name.
    pub name: String,
    /// Its kind; empty when a stopped relay's directory was read, which does not know it.
    pub kind: String,
    /// What it is doing.
    pub state: SinkState,
    /// Whether it holds the log when that is full.
    pub required: bool,
    /// Records between its cursors and the frontiers, before filtering.
    pub lag_records: u64,
    /// Age of the oldest undelivered record, in seconds.
    pub lag_seconds: f64,
    /// Records accepted since the process started.
    pub delivered: u64,
    /// Deliveries tried again since the process started.
    pub retried: u64,
    /// Records its filter excluded since the process started.
    pub filtered: u64,
    /// Dead letters kept.
    pub dead_letters: u64,
    /// Records that left the log before it had received them, since the log was created.
    pub lost: u64,
    /// What it has lost, stream by stream, oldest first; the oldest may be merged.
    #[serde(default)]
    pub losses: Vec<LossStatus>,
    /// Records in groups that are not told yet.
    #[serde(default)]
    pub grouped: u64,
    /// Until when a rate limit or a penalty keeps it waiting, if it does.
    #[serde(default)]
    pub throttled_until: Option<Timestamp>,
    /// Who has stopped it, if it is paused and that is still known.
    #[serde(default)]
    pub pause: Option<PauseStatus>,
    /// The failure it is recovering from.
    pub failure: Option<FailureStatus>,
    /// Where it stands in each stream.
    pub cursors: Vec<CursorStatus>,
    /// What is sent to it again beside its live stream, oldest first; of what has ended, the latest.
    #[serde(default)]
    pub replays: Vec<ReplayStatus>,
}

/// Records that left the log before a sink had received them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LossStatus {
    /// The stream.
    pub stream: String,
    /// They lie behind this position, `generation.resourceVersion`; absent: the beginning.
    pub after: Option<String>,
    /// The last of them lies here or before.
    pub until: Option<String>,
    /// How many there are.
    pub records: u64,
    /// When the first of them was missed.
    pub from_time: Timestamp,
    /// When the last of them was missed.
    pub to_time: Timestamp,
    /// Why they are gone.
    pub cause: String,
}

/// What a sink is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SinkState {
    /// Nothing to deliver.
    Idle,
    /// Delivering.
    Delivering,
    /// Waiting to try again after a failure.
    Retrying,
    /// Waiting for its rate limit.
    Throttled,
    /// Waiting for an operator.
    Held,
    /// Stopped by an operator.
    Paused,
    /// Not running.
    Stopped,
}

/// Why a sink does not get on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FailureStatus {
    /// What the service said.
    pub cause: String,
    /// When it last said so.
    pub at: Timestamp,
    /// Since when nothing was accepted.
    pub since: Timestamp,
    /// Attempts since then.
    pub attempts: u64,
    /// When it is tried again.
    pub next_attempt_at: Option<Timestamp>,
}

/// That an operator has stopped a sink.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PauseStatus {
    /// Since when.
    pub since: Timestamp,
    /// From where: an address, or a user.
    pub by: String,
}

/// A cursor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CursorStatus {
    /// The sink.
    pub sink: String,
    /// The stream.
    pub stream: String,
    /// Generation; absent before the first record.
    pub generation: Option<u32>,
    /// Everything up to this resourceVersion is done; absent before the first record.
    pub resource_version: Option<String>,
    /// Records behind the frontier, before filtering.
    pub lag_records: u64,
    /// When it last moved.
    pub updated_at: Option<Timestamp>,
}
