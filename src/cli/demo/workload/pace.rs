//! How fast events happen: quiet stretches and bursts.

use std::time::Duration;

/// Every cycle begins with a burst and then is quiet.
const CYCLE: f64 = 5.0;
const BURST: f64 = 1.0;
/// Rate of the burst and of the rest, as multiples of the mean. Over a cycle they come to the mean.
const BURST_RATE: f64 = 3.0;
const QUIET_RATE: f64 = 0.5;

/// A rate with bursts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    rate: f64,
}

impl Pace {
    /// `rate` events per second in the mean over five seconds, three times that in the first of them.
    #[must_use]
    pub fn new(rate: f64) -> Self {
        Self { rate: rate.max(0.0) }
    }

    /// How many events have happened after this time. Never goes down.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a count, never negative
    pub fn due(self, elapsed: Duration) -> u64 {
        let seconds = elapsed.as_secs_f64();
        let (cycles, rest) = ((seconds / CYCLE).floor(), seconds % CYCLE);
        let of_rest = rest.min(BURST) * BURST_RATE + (rest - BURST).max(0.0) * QUIET_RATE;
        (self.rate * (cycles * CYCLE + of_rest)) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bursts_are_three_times_as_fast_and_the_mean_is_the_rate() {
        let pace = Pace::new(100.0);
        let due = |milliseconds| pace.due(Duration::from_millis(milliseconds));
        assert_eq!(due(0), 0);
        assert_eq!(due(1_000), 300);
        assert_eq!(due(2_000), 350);
        assert_eq!(due(5_000), 500);
        assert_eq!(due(6_000), 800);
        assert_eq!(due(50_000), 5_000);
    }

    #[test]
    fn never_goes_down() {
        let pace = Pace::new(37.0);
        let mut before = 0;
        for milliseconds in (0..20_000).step_by(7) {
            let due = pace.due(Duration::from_millis(milliseconds));
            assert!(due >= before, "{milliseconds} ms");
            before = due;
        }
    }
}
