//! The relay before it runs: what is shown while its start waits for room on the volume.
//!
//! Invariant: it is alive and not ready, and says what it waits for. A restart would not help it.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::Operations;
use crate::event::ResourceVersion;
use crate::relay::{
    ControlError, FoundRecord, FullReason, LogStatus, LookupError, RelayHandle, Status,
    Verification, VerifyRefusal,
};

/// A relay that waits for room, and is there later. Cheap to clone.
#[derive(Clone)]
pub struct StartingRelay(Arc<Inner>);

struct Inner {
    relay: OnceLock<RelayHandle>,
    cluster: String,
    data_dir: PathBuf,
    max_bytes: u64,
    since: Timestamp,
}

impl StartingRelay {
    /// A relay of this cluster, in this directory with this bound, that has not started.
    #[must_use]
    pub fn new(cluster: String, data_dir: PathBuf, max_bytes: u64) -> Self {
        let (relay, since) = (OnceLock::new(), Timestamp::now());
        Self(Arc::new(Inner { relay, cluster, data_dir, max_bytes, since }))
    }

    /// It runs now.
    pub fn has_started(&self, relay: RelayHandle) {
        // There is one start, and so one relay.
        let _first = self.0.relay.set(relay);
    }

    fn waiting(&self) -> Status {
        let Inner { cluster, data_dir, max_bytes, since, .. } = &*self.0;
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            cluster: cluster.clone(),
            started_at: Some(*since),
            configuration: None,
            log: LogStatus {
                directory: data_dir.display().to_string(),
                bytes: 0,
                max_bytes: *max_bytes,
                segments: 0,
                records: 0,
                damaged_segments: 0,
                full: true,
                full_reason: Some(FullReason::Volume),
                verifying: None,
            },
            streams: Vec::new(),
            sinks: Vec::new(),
            removed: Vec::new(),
        }
    }
}

impl Operations for StartingRelay {
    fn status(&self) -> Status {
        self.0.relay.get().map_or_else(|| self.waiting(), RelayHandle::status)
    }

    fn ready(&self) -> Result<(), String> {
        match self.0.relay.get() {
            Some(relay) => relay.ready(),
            None => Err(format!(
                "the volume has no room to open {}; free space or enlarge it, and the relay starts",
                self.0.data_dir.display()
            )),
        }
    }

    fn alive(&self) -> Result<(), String> {
        self.0.relay.get().map_or(Ok(()), RelayHandle::alive)
    }

    fn verify(&self, stop: &CancellationToken) -> Result<Verification, VerifyRefusal> {
        self.0.relay.get().map_or(Err(VerifyRefusal::NotRunning), |relay| relay.verify(stop))
    }

    async fn record(&self, version: &ResourceVersion) -> Result<FoundRecord, LookupError> {
        match self.0.relay.get() {
            Some(relay) => relay.record(version).await,
            None => Err(LookupError::NotRunning),
        }
    }

    fn running(&self) -> Result<RelayHandle, ControlError> {
        self.0.relay.get().cloned().ok_or(ControlError::NotRunning)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relay_that_waits_for_room_is_alive_and_not_ready() {
        let relay = StartingRelay::new("rig".into(), "/data".into(), 1 << 30);
        assert_eq!(relay.alive(), Ok(()));
        let reason = relay.ready().expect_err("not ready");
        assert!(reason.contains("/data") && reason.contains("free space"), "{reason}");
        assert_eq!(relay.status().log.full_reason, Some(FullReason::Volume));
    }
}
