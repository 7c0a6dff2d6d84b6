//! The records of the log in an operator's hands: counted, and read with filters.
//!
//! Invariants:
//! 1. Reading holds nothing back: neither what is trimmed, nor any sink.
//! 2. No more than a few records are in memory, however many are read.
//! 3. Few read at a time, and each ends when nobody listens any more, or when the relay stops.

mod count;
mod query;
mod read;
mod stat;

pub use count::{CountBy, CountQuery, RecordCount, RecordCounts, offline_counts};
pub use query::RecordQuery;
pub(super) use read::searches;
pub use read::{RecordLine, RecordStream, offline_records};
pub use stat::{LogStat, RecordPlace, StreamStat, offline_stat};
