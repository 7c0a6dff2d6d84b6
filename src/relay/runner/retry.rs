//! How long a sink waits before it tries again. It never gives up.

use std::time::Duration;

use backoff::SystemClock;
use backoff::backoff::Backoff;
use backoff::exponential::{ExponentialBackoff, ExponentialBackoffBuilder};

use crate::sink::Retry;

/// The longest wait a service can ask for: a wrong `Retry-After` must not stop a sink for a day.
const ASKED_WAIT_MAX: Duration = Duration::from_secs(15 * 60);

/// The shortest first wait, so that `initial: 0` does not become a busy loop.
const INITIAL_WAIT_MIN: Duration = Duration::from_millis(1);

/// Waits are spread by half their length around the schedule, so that many relays do not ask at once.
const JITTER: f64 = 0.5;

/// Each wait is twice the one before, until the longest.
const GROWTH: f64 = 2.0;

/// The waits between the attempts of one sink.
#[derive(Debug)]
pub(crate) struct RetrySchedule {
    waits: ExponentialBackoff<SystemClock>,
    longest: Duration,
}

impl RetrySchedule {
    /// A schedule at its beginning.
    pub(crate) fn new(retry: &Retry) -> Self {
        let longest = retry.max.0.max(INITIAL_WAIT_MIN);
        let waits = ExponentialBackoffBuilder::new()
            .with_initial_interval(retry.initial.0.clamp(INITIAL_WAIT_MIN, longest))
            // Jitter is added to this, and the sum stays at or below `retry.max`.
            .with_max_interval(longest.div_f64(1.0 + JITTER))
            .with_randomization_factor(JITTER)
            .with_multiplier(GROWTH)
            .with_max_elapsed_time(None)
            .build();
        Self { waits, longest }
    }

    /// The next wait: what the service asked for, or the schedule's own when that is longer.
    pub(crate) fn next_wait(&mut self, asked: Option<Duration>) -> Duration {
        // `None` would mean "give up", which an unlimited schedule never says.
        let scheduled = self.waits.next_backoff().unwrap_or(self.longest).min(self.longest);
        asked.map_or(scheduled, |asked| asked.min(ASKED_WAIT_MAX).max(scheduled))
    }

    /// Starts over, after something was accepted.
    pub(crate) fn reset(&mut self) {
        self.waits.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setting::Span;

    fn schedule(initial: u64, max: u64) -> RetrySchedule {
        RetrySchedule::new(&Retry {
            initial: Span::from_millis(initial),
            max: Span::from_millis(max),
            ..Retry::default()
        })
    }

    #[test]
    fn waits_grow_up_to_the_longest_and_never_end() {
        let mut schedule = schedule(1_000, 60_000);
        let first = schedule.next_wait(None);
        assert!(first >= Duration::from_millis(500) && first <= Duration::from_millis(1_500));
        for _ in 0..1_000 {
            assert!(schedule.next_wait(None) <= Duration::from_secs(60));
        }
        assert!(schedule.next_wait(None) >= Duration::from_secs(20));
        schedule.reset();
        assert!(schedule.next_wait(None) <= Duration::from_millis(1_500));
    }

    #[test]
    fn what_the_service_asks_for_is_honoured_when_longer_within_reason() {
        let mut schedule = schedule(1_000, 60_000);
        assert_eq!(schedule.next_wait(Some(Duration::from_secs(90))), Duration::from_secs(90));
        assert!(schedule.next_wait(Some(Duration::ZERO)) >= Duration::from_millis(500));
        assert_eq!(schedule.next_wait(Some(Duration::from_secs(86_400))), ASKED_WAIT_MAX);
    }

    #[test]
    fn odd_settings_neither_spin_nor_wait_longer_than_the_longest() {
        assert!(schedule(0, 0).next_wait(None) > Duration::ZERO);
        assert!(schedule(10_000, 100).next_wait(None) <= Duration::from_millis(100));
    }
}
