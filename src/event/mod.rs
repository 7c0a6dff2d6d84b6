//! The record: one observed version of one Kubernetes Event, and what can be said about it.
//!
//! This is the ground floor. It knows neither the log nor Kubernetes clients nor sinks, and
//! everything in it is a plain value or a pure function.

mod filter;
mod object;
mod position;
mod record;
pub mod render;
mod resource_version;
mod stream;

pub use filter::{Explanation, Field, Filter, FilterError, Match, MatchError, Matched, Unmatched};
pub use object::{EventObject, last_seen};
pub use position::{Generation, Position};
pub use record::{Header, NotAnEvent, Record, RecordId};
pub use resource_version::{InvalidResourceVersion, ResourceVersion};
pub use stream::{InvalidStreamId, StreamId};
