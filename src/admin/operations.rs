//! What the admin interface asks of a relay.

use tokio_util::sync::CancellationToken;

use crate::event::ResourceVersion;
use crate::relay::{
    ControlError, FoundRecord, LookupError, RelayHandle, Status, Verification, VerifyRefusal,
};

/// A running relay, as far as the admin interface is concerned. Calls may block
/// briefly, except [`Operations::verify`].
pub trait Operations: Send + Sync + 'static {
    /// Everything there is to see.
    fn status(&self) -> Status;

    /// Whether the log is open and every stream is live; if not, why, one reason per line.
    fn ready(&self) -> Result<(), String>;

    /// Whether the relay's own housekeeping still turns; if not, what is stuck.
    fn alive(&self) -> Result<(), String>;

    /// Reads all of the log, until `stop`. Blocks for as long as it takes.
    fn verify(&self, stop: &CancellationToken) -> Result<Verification, VerifyRefusal>;

    /// The record of the log with this resourceVersion.
    fn record(
        &self,
        version: &ResourceVersion,
    ) -> impl Future<Output = Result<FoundRecord, LookupError>> + Send;

    /// The relay itself, once it runs.
    fn running(&self) -> Result<RelayHandle, ControlError>;
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

    fn verify(&self, stop: &CancellationToken) -> Result<Verification, VerifyRefusal> {
        RelayHandle::verify(self, stop)
    }

    async fn record(&self, version: &ResourceVersion) -> Result<FoundRecord, LookupError> {
        RelayHandle::record(self, version).await
    }

    fn running(&self) -> Result<RelayHandle, ControlError> {
        Ok(self.clone())
    }
}
