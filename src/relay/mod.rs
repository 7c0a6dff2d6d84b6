//! The relay: streams into the log, the log into sinks.
//!
//! The only module that knows both ends. It wires source, log, state and sinks together, runs one
//! task per stream and one per sink, and stops them in order.

mod control;
mod destination;
mod error;
mod handle;
mod housekeeping;
mod intake;
mod integrity;
mod letters;
mod lookup;
mod observer;
mod offline;
mod outflow;
mod outflows;
mod overview;
mod records;
mod replay;
mod report;
mod retention;
mod runner;
mod shared;
mod shutdown;
mod starting;
mod status;
mod storage;
mod supervisor;
mod survey;
#[cfg(test)]
mod tests;
mod trial;
mod upstream;
mod verification;
mod verify;

pub use control::{
    Change, ControlError, Order, REPLAY_RATE, ReplayError, ReplayRequest, Replayed, Target,
    offline_cancel_replay, offline_changes, offline_forget, offline_pause, offline_replay,
    offline_replays, offline_seek,
};
pub use error::RelayError;
pub use handle::RelayHandle;
pub use letters::{
    LetterChange, LetterOutcome, LetterPage, LetterQuery, LetterResult, LetterSelection,
    LetterStatus, LetterView, offline_discard, offline_letter, offline_letters,
};
pub use lookup::{FoundRecord, LookupError, offline_record};
pub use offline::offline_status;
pub use records::{
    CountBy, CountQuery, LogStat, RecordCount, RecordCounts, RecordLine, RecordPlace, RecordQuery,
    RecordStream, StreamStat, offline_counts, offline_records, offline_stat,
};
pub use replay::{ReplayState, ReplayStatus, ReplayedRange};
pub use shutdown::shutdown_on_signals;
pub use starting::Starting;
pub use status::{
    ConfigurationRefusal, ConfigurationStatus, CursorStatus, FailureStatus, FullReason, GapStatus,
    LogStatus, LossStatus, PauseStatus, RemovedSinkStatus, SinkState, SinkStatus, Status,
    StreamStatus, VerifyStatus,
};
pub use supervisor::{Relay, RelayConfig};
pub use trial::try_sink;
pub use verification::{
    CopyVerification, DamageStatus, HoleStatus, StreamVerification, Verification,
};
pub use verify::{VerifyRefusal, offline_verification};
