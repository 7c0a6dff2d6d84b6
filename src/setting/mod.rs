//! Values a person writes in a configuration: durations, sizes, secrets, and kube-eventer's URIs.
//!
//! Part of the ground floor: every module describes its own settings with these.

mod duration;
mod expand;
mod record_rate;
mod secret;
mod size;
mod uri;

pub use duration::{InvalidDuration, Span};
pub use record_rate::{InvalidRecordRate, RecordRate};
pub use secret::{SECRET_MARK, Secret, SecretError};
pub use size::{ByteSize, InvalidByteSize};
pub(crate) use uri::read_pair;
pub use uri::{EventerUri, InvalidEventerUri};
