//! A relay whose answers the tests choose.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::super::{Admin, AdminToken, Operations, Reloads};
use crate::event::{Generation, ResourceVersion, StreamId};
use crate::relay::{
    ControlError, CursorStatus, FoundRecord, LogStatus, LookupError, RelayHandle, SinkState,
    SinkStatus, Status, StreamStatus, Verification, VerifyRefusal,
};
use crate::telemetry::Metrics;

pub(in crate::admin) struct FixedRelay {
    pub(in crate::admin) status: Status,
    pub(in crate::admin) ready: Result<(), String>,
    pub(in crate::admin) alive: Result<(), String>,
    /// Whether somebody else looks for damage.
    pub(in crate::admin) busy: bool,
}

impl Operations for FixedRelay {
    fn status(&self) -> Status {
        self.status.clone()
    }

    fn ready(&self) -> Result<(), String> {
        self.ready.clone()
    }

    fn alive(&self) -> Result<(), String> {
        self.alive.clone()
    }

    fn verify(&self, _stop: &CancellationToken) -> Result<Verification, VerifyRefusal> {
        if self.busy { Err(VerifyRefusal::Busy) } else { Ok(verification()) }
    }

    async fn record(&self, version: &ResourceVersion) -> Result<FoundRecord, LookupError> {
        let found = record();
        if *version == found.resource_version {
            return Ok(found);
        }
        let (version, held) = (version.clone(), "it is empty".to_owned());
        Err(LookupError::NotFound { version, held })
    }

    fn running(&self) -> Result<RelayHandle, ControlError> {
        Err(ControlError::NotRunning)
    }
}

/// An interface whose token is not there.
pub(in crate::admin) fn admin(metrics: Arc<Metrics>) -> Admin {
    let token = AdminToken::of(std::path::Path::new("/nowhere"));
    Admin { metrics, token, reloads: Reloads::default() }
}

/// One healthy stream, complete until noon, and one idle sink named `on/call`.
pub(in crate::admin) fn status() -> Status {
    let cursor = CursorStatus {
        sink: "on/call".into(),
        stream: "all-namespaces".into(),
        generation: Some(0),
        resource_version: Some("41".into()),
        lag_records: 1,
        updated_at: None,
    };
    Status {
        version: "0.1.0".into(),
        cluster: "prod-eu".into(),
        started_at: "2026-01-02T00:00:00Z".parse().ok(),
        configuration: None,
        log: LogStatus {
            directory: "/data".into(),
            bytes: 1,
            max_bytes: 2,
            segments: 1,
            records: 42,
            damaged_segments: 0,
            full: false,
            full_reason: None,
            verifying: None,
        },
        streams: vec![StreamStatus {
            stream: "all-namespaces".into(),
            live: true,
            phase: "watching".into(),
            reason: None,
            generation: 0,
            frontier: Some("42".into()),
            records: 42,
            last_record_at: None,
            complete_until: "2026-01-02T12:00:00Z".parse().ok(),
            relists: 0,
            gaps: Vec::new(),
        }],
        sinks: vec![SinkStatus {
            name: "on/call".into(),
            kind: "webhook".into(),
            state: SinkState::Idle,
            required: true,
            lag_records: 1,
            lag_seconds: 0.5,
            delivered: 41,
            retried: 0,
            filtered: 0,
            dead_letters: 0,
            lost: 0,
            losses: Vec::new(),
            grouped: 0,
            throttled_until: None,
            pause: None,
            failure: None,
            cursors: vec![cursor],
            replays: Vec::new(),
        }],
        removed: Vec::new(),
    }
}

/// An empty log without damage.
pub(in crate::admin) fn verification() -> Verification {
    Verification { intact: true, directory: "/data".into(), streams: vec![], state: vec![] }
}

/// The only record there is.
pub(in crate::admin) fn record() -> FoundRecord {
    FoundRecord {
        stream: StreamId::all_namespaces(),
        generation: Generation(0),
        resource_version: "42".parse().expect("a version"),
        received_at: "2026-01-02T12:00:00Z".parse().expect("a time"),
        event: serde_json::json!({"kind": "Event", "metadata": {"resourceVersion": "42"}}),
    }
}
