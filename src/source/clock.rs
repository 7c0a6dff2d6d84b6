//! Time and chance for the machine.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::machine::Moment;

/// Counts from when the stream was started.
#[derive(Debug)]
pub(super) struct Clock {
    origin: Instant,
}

impl Clock {
    /// Begins to count.
    pub(super) fn new() -> Self {
        Self { origin: Instant::now() }
    }

    /// This moment.
    pub(super) fn moment(&self) -> Moment {
        Moment { wall: Timestamp::now(), steady: self.origin.elapsed(), chance: chance() }
    }

    /// The instant of a steady time.
    pub(super) fn instant(&self, steady: Duration) -> Instant {
        self.origin + steady
    }
}

/// A number from 0 to below 1: the keys of a new `RandomState` are random, which is enough for jitter.
fn chance() -> f64 {
    let random = RandomState::new().build_hasher().finish();
    let bits = u32::try_from(random >> 32).unwrap_or_default();
    f64::from(bits) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_spreads_over_its_range() {
        let drawn: Vec<f64> = (0..1000).map(|_| chance()).collect();
        assert!(drawn.iter().all(|value| (0.0..1.0).contains(value)));
        assert!(drawn.iter().any(|value| *value < 0.1) && drawn.iter().any(|value| *value > 0.9));
    }
}
