//! Records for the tests of this module.

use jiff::Timestamp;

use super::SinkContext;
use crate::event::{Generation, Header, Position, Record, StreamId};

/// A record of generation 0 with this version and body.
pub(super) fn record(resource_version: &str, body: &str) -> Record {
    Record {
        stream: StreamId::all_namespaces(),
        position: Position::new(Generation(0), resource_version.parse().expect("a version")),
        received_at: Timestamp::UNIX_EPOCH,
        header: Header::default(),
        body: bytes::Bytes::copy_from_slice(body.as_bytes()),
    }
}

/// A context without `ConfigMap`s.
pub(super) fn context() -> SinkContext {
    let http = super::http_client().expect("CA certificates of the system");
    SinkContext { cluster: "test".into(), http, config_maps: None }
}
