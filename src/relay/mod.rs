//! The relay: streams into the log, the log into sinks.
//!
//! The only module that knows both ends. It wires source, log, state and sinks together, runs one
//! task per stream and one per sink, and stops them in order.

mod status;

pub use status::{
    CursorStatus, FailureStatus, GapStatus, LogStatus, SinkState, SinkStatus, Status, StreamStatus,
};
