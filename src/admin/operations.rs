//! What the admin interface asks of a relay.

use crate::relay::{RelayHandle, Status};

/// A running relay, as far as the admin interface is concerned. Calls may block briefly.
pub trait Operations: Send + Sync + 'static {
    /// Everything there is to see.
    fn status(&self) -> Status;

    /// Whether the log is open and every stream is live; if not, why, one reason per line.
    fn ready(&self) -> Result<(), String>;

    /// Whether the relay's own housekeeping still turns; if not, what is stuck.
    fn alive(&self) -> Result<(), String>;
}

impl Operations for RelayHandle {
    fn status(&self) -> Status {
        RelayHandle::status(self)
    }

    fn ready(&self) -> Result<(), String> {
        RelayHandle::ready(self)
    }

    fn alive(&self) -> Result<(), String> {
        RelayHandle::alive(self)
    }
}
