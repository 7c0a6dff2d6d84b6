//! Values a person writes in a configuration: durations, sizes, secrets.
//!
//! Part of the ground floor: every module describes its own settings with these.

mod duration;
mod secret;
mod size;

pub use duration::{InvalidDuration, Span};
pub use secret::{Secret, SecretError};
pub use size::{ByteSize, InvalidByteSize};
