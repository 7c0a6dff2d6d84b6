//! Sinks as they are configured, made ready to run.

use std::collections::HashSet;
use std::time::Duration;

use super::error::RelayError;
use super::report::Identity;
use super::runner::{Limits, Profile, SinkFactory};
use crate::event::Filter;
use crate::sink::{Batch, Sink, SinkConfig, SinkContext, SinkError, registry};

/// How often a sink that only an operator can help is tried: often enough that it comes back by
/// itself soon after the cause is gone, rarely enough not to lock an account.
pub(crate) const HOLD_PROBE: Duration = Duration::from_secs(60);

/// A sink ready to run.
pub(crate) struct Destination {
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
    context: &SinkContext,
) -> Result<Vec<Destination>, RelayError> {
    let mut names = HashSet::new();
    configs
        .iter()
        .map(|config| {
            if !names.insert(config.name.as_str()) {
                return Err(RelayError::DuplicateSink(config.name.clone()));
            }
            build(config, context)
                .map_err(|cause| RelayError::Sink { name: config.name.clone(), cause })
        })
        .collect()
}

fn build(config: &SinkConfig, context: &SinkContext) -> Result<Destination, SinkError> {
    let kind = registry::find(&config.kind)?;
    let filter = Filter::new(&config.include, &config.exclude)?;
    let (options, context) = (config.options.clone(), context.clone());
    let build: SinkFactory = std::sync::Arc::new(move || (kind.build)(&options, &context));
    let sink = build()?;
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
        limits: Limits::resolve(config.batch, defaults),
        retry: config.retry,
        hold_probe: HOLD_PROBE,
        rate: config.rate,
    };
    Ok(Destination { identity, profile, sink })
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

    fn context() -> SinkContext {
        let http = crate::sink::http_client().expect("a client");
        SinkContext { cluster: "test".into(), http, config_maps: None }
    }

    #[test]
    fn a_sink_that_cannot_be_built_is_named() {
        let config: SinkConfig =
            serde_json::from_str(r#"{"name":"oncall","kind":"no-such-kind"}"#).expect("a sink");
        let error = build_all(&[config], &context()).err().expect("refused").to_string();
        assert!(error.contains("oncall") && error.contains("no-such-kind"), "{error}");
    }

    #[test]
    fn a_sink_s_own_limits_win_over_those_of_its_kind() {
        let own = Batch { max_records: Some(500), ..Batch::default() };
        let kind = Batch { max_records: Some(1), ..Batch::default() };
        assert_eq!(or(own, kind).max_records, Some(500));
        assert_eq!(or(Batch::default(), kind).max_records, Some(1));
    }
}
