//! When the records of a replay may go: evenly spread, and after what is live.
//!
//! Invariant: in no time are there more records than the rate allows in it, but for a burst of a tenth of
//! a second.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use crate::relay::report::SinkReport;
use crate::setting::RecordRate;

/// So long a burst is: batches and timers are not finer than that.
const BURST: Duration = Duration::from_millis(100);

/// How often it is looked whether the live stream gets through again, which nothing tells.
const LOOK: Duration = Duration::from_millis(200);

/// The turn of one replay, shared by its streams.
pub(crate) struct Turn {
    pacer: Mutex<Pacer>,
    live: Arc<SinkReport>,
}

/// Spreads records over time.
#[derive(Debug)]
struct Pacer {
    interval: Duration,
    burst: u32,
    /// When the next record would go if all were spread evenly.
    next: Instant,
}

impl Turn {
    /// A replay at this rate beside this live stream.
    pub(crate) fn new(rate: RecordRate, live: Arc<SinkReport>) -> Self {
        Self { pacer: Mutex::new(Pacer::new(rate, Instant::now())), live }
    }

    /// Takes the right to hand over so many records at most. Returns how many.
    pub(crate) fn take(&self, wanted: usize) -> usize {
        if self.live.is_hindered() {
            return 0;
        }
        self.pacer().take(wanted, Instant::now())
    }

    /// Waits until it may be its turn.
    pub(crate) async fn wait(&self) {
        if self.live.is_hindered() {
            sleep(LOOK).await;
        }
        let opens = self.pacer().next;
        sleep_until(opens).await;
    }

    fn pacer(&self) -> MutexGuard<'_, Pacer> {
        self.pacer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pacer {
    fn new(rate: RecordRate, now: Instant) -> Self {
        let interval = rate.interval().max(Duration::from_nanos(1));
        let burst = u32::try_from(BURST.as_nanos() / interval.as_nanos()).unwrap_or(u32::MAX);
        Self { interval, burst: burst.max(1), next: now }
    }

    fn take(&mut self, wanted: usize, now: Instant) -> usize {
        let Some(late) = now.checked_duration_since(self.next) else { return 0 };
        let due = late.as_nanos() / self.interval.as_nanos() + 1;
        let due = u32::try_from(due).unwrap_or(u32::MAX).min(self.burst);
        let taken = u32::try_from(wanted).unwrap_or(u32::MAX).min(due);
        // What was not used for longer than a burst is forfeited.
        let oldest = now.checked_sub(self.interval * (self.burst - 1)).unwrap_or(self.next);
        self.next = self.next.max(oldest) + self.interval * taken;
        usize::try_from(taken).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rate(text: &str) -> RecordRate {
        text.parse().expect("a rate")
    }

    #[test]
    fn a_slow_replay_hands_over_one_by_one() {
        let now = Instant::now();
        let mut pacer = Pacer::new(rate("2/s"), now);
        assert_eq!((pacer.take(9, now), pacer.take(9, now)), (1, 0));
        let later = |milliseconds| now + Duration::from_millis(milliseconds);
        assert_eq!(pacer.take(9, later(499)), 0);
        assert_eq!(pacer.take(9, later(500)), 1);
        assert_eq!(pacer.take(9, later(60_000)), 1, "what was not used is forfeited");
        assert_eq!(pacer.take(9, later(60_001)), 0);
    }

    proptest! {
        #[test]
        fn no_time_has_more_than_the_rate_and_a_burst(
            records in 1u32..2_000,
            steps in proptest::collection::vec((0u64..400, 0usize..300), 1..80),
        ) {
            let start = Instant::now();
            let rate = RecordRate::new(records, Duration::from_secs(1)).expect("a rate");
            let (mut pacer, mut now) = (Pacer::new(rate, start), start);
            let mut taken: Vec<(Instant, usize)> = Vec::new();
            for (milliseconds, wanted) in steps {
                now += Duration::from_millis(milliseconds);
                taken.push((now, pacer.take(wanted, now)));
            }
            for (index, (begin, _)) in taken.iter().enumerate() {
                let mut sum = 0;
                for (end, count) in &taken[index..] {
                    sum += *count;
                    let seconds = end.duration_since(*begin).as_secs_f64();
                    let allowed = f64::from(records) * seconds + f64::from(pacer.burst);
                    #[allow(clippy::cast_precision_loss)]
                    let within = sum as f64 <= allowed + 1e-3;
                    prop_assert!(within, "{sum} in {seconds} s at {records}/s");
                }
            }
        }
    }
}
