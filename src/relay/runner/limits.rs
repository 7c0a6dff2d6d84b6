//! How many records go out at once.

use std::time::Duration;

use crate::sink::Batch;

/// Limits of one delivery, resolved: nothing is left to a default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::struct_field_names)] // the names of the configuration
pub(crate) struct Limits {
    /// At most so many records; at least 1.
    pub(crate) max_records: usize,
    /// At most so many bytes of event JSON; one record may be larger.
    pub(crate) max_bytes: u64,
    /// How long the first record of a batch waits for company.
    pub(crate) max_wait: Duration,
}

impl Limits {
    /// What a person configured, over the defaults of the sink's kind. A kind sets every field;
    /// where it does not, records go out one by one.
    pub(crate) fn resolve(configured: Batch, kind: Batch) -> Self {
        Self {
            max_records: configured.max_records.or(kind.max_records).unwrap_or(1).max(1),
            max_bytes: configured.max_bytes.or(kind.max_bytes).map_or(u64::MAX, |size| size.0),
            max_wait: configured.max_wait.or(kind.max_wait).map_or(Duration::ZERO, |span| span.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setting::{ByteSize, Span};

    #[test]
    fn what_is_configured_wins_over_the_kind() {
        let kind = Batch {
            max_records: Some(100),
            max_bytes: Some(ByteSize::mib(1)),
            max_wait: Some(Span::from_secs(1)),
        };
        let configured = Batch { max_records: Some(0), ..Batch::default() };
        assert_eq!(
            Limits::resolve(configured, kind),
            Limits { max_records: 1, max_bytes: 1 << 20, max_wait: Duration::from_secs(1) }
        );
    }
}
