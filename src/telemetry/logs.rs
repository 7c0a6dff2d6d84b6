//! The relay's own log lines, on standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Sends log lines to standard error: for people on a terminal, else one JSON object per line with
/// the fields at the top level.
///
/// `verbosity` is klog's `-v`: from 4 on `debug`, from 6 on `trace`. The environment variable
/// `RUST_LOG` wins. Only the first call has an effect.
pub fn init_logs(verbosity: i32) {
    let requested = std::env::var(EnvFilter::DEFAULT_ENV).ok().filter(|value| !value.is_empty());
    let (filter, refused) = filter(requested.as_deref(), verbosity);
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let installed = if std::io::stderr().is_terminal() {
        builder.with_target(false).try_init()
    } else {
        builder.json().flatten_event(true).try_init()
    };
    if let (Ok(()), Some(reason)) = (installed, refused) {
        tracing::warn!(reason, "RUST_LOG is ignored because it cannot be read");
    }
}

/// The filter, and why the requested one was not taken.
fn filter(requested: Option<&str>, verbosity: i32) -> (EnvFilter, Option<String>) {
    let default = || EnvFilter::new(directives(verbosity));
    match requested.map(EnvFilter::try_new) {
        None => (default(), None),
        Some(Ok(filter)) => (filter, None),
        Some(Err(error)) => (default(), Some(error.to_string())),
    }
}

/// What other libraries say is one level less interesting than what the relay says.
fn directives(verbosity: i32) -> &'static str {
    match verbosity {
        ..4 => "warn,kube_event_relay=info",
        4..6 => "info,kube_event_relay=debug",
        6.. => "debug,kube_event_relay=trace",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbosity_is_that_of_klog() {
        for (verbosity, level) in
            [(-1, "info"), (0, "info"), (3, "info"), (4, "debug"), (5, "debug"), (6, "trace")]
        {
            let (filter, refused) = filter(None, verbosity);
            assert!(filter.to_string().contains(&format!("kube_event_relay={level}")), "{filter}");
            assert_eq!(refused, None);
        }
    }

    #[test]
    fn the_environment_wins() {
        let (filter, refused) = filter(Some("kube_event_relay=error"), 10);
        assert_eq!(filter.to_string(), "kube_event_relay=error");
        assert_eq!(refused, None);
    }

    #[test]
    fn an_unreadable_request_is_reported_and_ignored() {
        let (filter, refused) = filter(Some("kube_event_relay=loud"), 0);
        assert!(filter.to_string().contains("kube_event_relay=info"), "{filter}");
        assert!(refused.is_some());
    }
}
