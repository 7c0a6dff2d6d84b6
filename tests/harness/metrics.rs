//! What a relay says at `/metrics`.

use std::fmt::Debug;
use std::str::FromStr;
use std::time::{Duration, Instant};

use rig::Relay;

use super::PATIENCE;

/// All metrics at one moment.
pub struct Metrics(String);

impl Metrics {
    /// The metrics now.
    pub async fn of(relay: &Relay) -> Self {
        Self(relay.get_text("/metrics").await)
    }

    /// Asks until all these lines are there: some values follow what they tell of a second later.
    pub async fn with_lines(relay: &Relay, expected: &str) -> Self {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let metrics = Self::of(relay).await;
            let missing =
                expected.lines().find(|line| !metrics.0.lines().any(|found| found == *line));
            let Some(missing) = missing else { return metrics };
            assert!(Instant::now() < give_up, "no line {missing:?} in\n{}", metrics.0);
            // Nothing tells when they change.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The value of a metric, named with its labels.
    pub fn number<T: FromStr<Err: Debug>>(&self, name: &str) -> T {
        let value = self.0.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {name} in\n{}", self.0)).parse().expect("a number")
    }
}
