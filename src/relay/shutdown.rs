//! Signals.
//!
//! The first SIGTERM or SIGINT stops the relay in order: intake stops, deliveries under way end
//! within the drain deadline, everything is synced, exit code 0. The second ends the process at
//! once with 128 + its number, as a shell reports a process killed by it; a restart then delivers
//! again what was not committed.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::error::RelayError;

/// A token that is cancelled by the first SIGTERM or SIGINT. Must be called within a runtime.
pub fn shutdown_on_signals() -> Result<CancellationToken, RelayError> {
    let open = |kind| signal(kind).map_err(RelayError::System);
    let terminate = open(SignalKind::terminate())?;
    let interrupt = open(SignalKind::interrupt())?;
    let token = CancellationToken::new();
    tokio::spawn(obey(terminate, interrupt, token.clone()));
    Ok(token)
}

async fn obey(mut terminate: Signal, mut interrupt: Signal, token: CancellationToken) {
    let first = next(&mut terminate, &mut interrupt).await;
    tracing::info!(signal = name(first), "stopping; a second signal ends the process at once");
    token.cancel();
    let second = next(&mut terminate, &mut interrupt).await;
    tracing::warn!(signal = name(second), "ended by a second signal");
    std::process::exit(exit_code(second));
}

async fn next(terminate: &mut Signal, interrupt: &mut Signal) -> SignalKind {
    tokio::select! {
        _ = terminate.recv() => SignalKind::terminate(),
        _ = interrupt.recv() => SignalKind::interrupt(),
    }
}

fn name(kind: SignalKind) -> &'static str {
    if kind == SignalKind::terminate() { "SIGTERM" } else { "SIGINT" }
}

fn exit_code(kind: SignalKind) -> i32 {
    128 + kind.as_raw_value()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_signal_ends_the_process_as_the_signal_would() {
        assert_eq!(exit_code(SignalKind::interrupt()), 130);
        assert_eq!(exit_code(SignalKind::terminate()), 143);
    }

    #[tokio::test]
    async fn the_first_signal_cancels_the_token() {
        let token = shutdown_on_signals().expect("signals can be received");
        assert!(!token.is_cancelled());
        let own = std::process::id().to_string();
        let sent = std::process::Command::new("kill").args(["-TERM", &own]).status();
        assert!(sent.expect("kill runs").success());
        token.cancelled().await;
    }
}
