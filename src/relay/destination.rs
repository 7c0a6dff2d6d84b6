//! Sinks as they are configured, made ready to run.

use std::collections::HashSet;
use std::time::Duration;

use super::error::RelayError;
use super::report::Identity;
use super::runner::{Limits, Profile, SinkFactory, Windows};
use crate::cursor::DeadLettersConfig;
use crate::event::Filter;
use crate::setting::ByteSize;
use crate::sink::{Batch, Quota, Sink, SinkConfig, SinkContext, SinkError, registry};

/// How often a sink that only an operator can help is tried: often enough that it comes back by
/// itself soon after the cause is gone, rarely enough not to lock an account.
pub(crate) const HOLD_PROBE: Duration = Duration::from_secs(60);

/// Bytes of event JSON that the batches of all sinks may take together, as far as nobody has set
/// `batch.maxBytes`. A batch is in memory as records and, while it is sent, as a request.
const BATCH_BYTES_OF_ALL: u64 = 3 << 20;

/// With very many sinks a batch still holds some fifty events.
const BATCH_BYTES_MIN: u64 = 64 << 10;

/// What all sinks of a relay are built with.
pub(crate) struct Provisions {
    /// What their constructors may use.
    pub(crate) context: SinkContext,
    /// Where their quotas are kept.
    pub(crate) windows: Windows,
    /// How many dead letters each may have.
    pub(crate) letters: DeadLettersConfig,
}

/// A sink ready to run.
pub(crate) struct Destination {
    /// As it is configured.
    pub(crate) config: SinkConfig,
    /// Who it is.
    pub(crate) identity: Identity,
    /// How it is run.
    pub(crate) profile: Profile,
    /// The sink itself.
    pub(crate) sink: Box<dyn Sink>,
}

/// Builds every sink, or names the one that cannot be built. Connects to nothing.
pub(crate) fn build_all(
    configs: &[SinkConfig],
    provisions: &Provisions,
) -> Result<Vec<Destination>, RelayError> {
    let mut names = HashSet::new();
    let share = share_of_one(configs.len());
    configs
        .iter()
        .map(|config| {
            if !names.insert(config.name.as_str()) {
                return Err(RelayError::DuplicateSink(config.name.clone()));
            }
            build(config, share, provisions)
                .map_err(|cause| RelayError::Sink { name: config.name.clone(), cause })
        })
        .collect()
}

fn build(
    config: &SinkConfig,
    share: ByteSize,
    provisions: &Provisions,
) -> Result<Destination, SinkError> {
    let Provisions { context, windows, letters } = provisions;
    let kind = registry::find(&config.kind)?;
    let filter = Filter::new(&config.include, &config.exclude)?;
    let (options, context) = (config.options.clone(), context.clone());
    let build: SinkFactory = std::sync::Arc::new(move || (kind.build)(&options, &context));
    let sink = build()?;
    config.check_group(sink.as_ref())?;
    let defaults = sink.batch().map_or(kind.batch, |own| or(own, kind.batch));
    let identity = Identity {
        name: config.name.clone(),
        kind: kind.name,
        exporter: kind.eventer_name,
        required: config.required,
    };
    let profile = Profile {
        build,
        filter,
        limits: Limits::resolve(config.batch, at_most(defaults, share)),
        retry: config.retry,
        hold_probe: HOLD_PROBE,
        quota: quota(config, sink.quota()),
        group: config.group.clone(),
        windows: windows.clone(),
        letters: *letters,
    };
    Ok(Destination { config: config.clone(), identity, profile, sink })
}

/// What a person configured counts instead of what the service is known to allow.
fn quota(config: &SinkConfig, own: Option<Quota>) -> Option<Quota> {
    match (config.rate, own) {
        (Some(rate), Some(own)) => Some(own.with_rate(rate)),
        (Some(rate), None) => Some(Quota::of_sink(&config.name, rate)),
        (None, own) => own,
    }
}

/// What one of so many sinks may hold.
fn share_of_one(sinks: usize) -> ByteSize {
    let bytes = BATCH_BYTES_OF_ALL / u64::try_from(sinks.max(1)).unwrap_or(u64::MAX);
    ByteSize(bytes.max(BATCH_BYTES_MIN))
}

/// The same limits with a batch of at most so many bytes.
fn at_most(batch: Batch, share: ByteSize) -> Batch {
    let max_bytes = batch.max_bytes.map_or(share, |size| ByteSize(size.0.min(share.0)));
    Batch { max_bytes: Some(max_bytes), ..batch }
}

/// Every limit of `first`, and those of `second` where it leaves one open.
fn or(first: Batch, second: Batch) -> Batch {
    Batch {
        max_records: first.max_records.or(second.max_records),
        max_bytes: first.max_bytes.or(second.max_bytes),
        max_wait: first.max_wait.or(second.max_wait),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provisions() -> Provisions {
        let http = crate::sink::http_client().expect("a client");
        let context = SinkContext { cluster: "test".into(), http, config_maps: None };
        Provisions { context, windows: Windows::default(), letters: DeadLettersConfig::default() }
    }

    #[test]
    fn a_sink_that_cannot_be_built_is_named() {
        let config: SinkConfig =
            serde_json::from_str(r#"{"name":"oncall","kind":"no-such-kind"}"#).expect("a sink");
        let error = build_all(&[config], &provisions()).err().expect("refused").to_string();
        assert!(error.contains("oncall") && error.contains("no-such-kind"), "{error}");
    }

    #[test]
    fn many_sinks_share_what_their_batches_may_take() {
        let kind = Batch { max_bytes: Some(ByteSize::mib(1)), ..Batch::default() };
        let bytes = |sinks| at_most(kind, share_of_one(sinks)).max_bytes.map(|size| size.0);
        assert_eq!(bytes(1), Some(1 << 20));
        assert_eq!(bytes(15), Some(BATCH_BYTES_OF_ALL / 15));
        assert_eq!(bytes(1_000), Some(BATCH_BYTES_MIN));
    }

    #[test]
    fn a_sink_s_own_limits_win_over_those_of_its_kind() {
        let own = Batch { max_records: Some(500), ..Batch::default() };
        let kind = Batch { max_records: Some(1), ..Batch::default() };
        assert_eq!(or(own, kind).max_records, Some(500));
        assert_eq!(or(Batch::default(), kind).max_records, Some(1));
    }
}
