//! The rate limit of a sink.
//!
//! Invariant: whatever moment within a delivery a service counts it at, no window of the configured
//! length holds more than the configured number of deliveries. That is why a delivery is entered
//! when it *ends*: the next one but `messages` begins a full window later.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::sink::Rate;

/// A sliding window over the latest deliveries. Kept in memory only.
#[derive(Debug)]
pub(crate) struct RateWindow {
    messages: usize,
    per: Duration,
    ended: VecDeque<Instant>,
}

impl RateWindow {
    /// A window in which nothing was delivered yet.
    pub(crate) fn new(rate: Rate) -> Self {
        let messages = usize::try_from(rate.messages.max(1)).unwrap_or(usize::MAX);
        Self { messages, per: rate.per.0, ended: VecDeque::new() }
    }

    /// When the next delivery may begin, if that is not now.
    pub(crate) fn closed_until(&mut self, now: Instant) -> Option<Instant> {
        while self.ended.front().is_some_and(|ended| *ended + self.per <= now) {
            self.ended.pop_front();
        }
        let excess = self.ended.len().checked_sub(self.messages)?;
        self.ended.get(excess).map(|ended| *ended + self.per)
    }

    /// Enters a delivery that has just ended, whatever became of it: the service counted it.
    pub(crate) fn enter(&mut self, ended: Instant) {
        self.ended.push_back(ended);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setting::Span;
    use proptest::prelude::*;

    fn window(messages: u32, seconds: u64) -> RateWindow {
        RateWindow::new(Rate { messages, per: Span::from_secs(seconds) })
    }

    #[test]
    fn closes_when_full_and_opens_when_the_oldest_leaves() {
        let (mut window, start) = (window(2, 60), Instant::now());
        window.enter(start);
        assert_eq!(window.closed_until(start), None);
        window.enter(start + Duration::from_secs(10));
        let opens = start + Duration::from_secs(60);
        assert_eq!(window.closed_until(start + Duration::from_secs(20)), Some(opens));
        assert_eq!(window.closed_until(opens), None);
    }

    proptest! {
        #[test]
        fn no_window_holds_more_than_allowed(
            messages in 1u32..5,
            pauses in proptest::collection::vec((0u64..40, 0u64..10), 1..60),
        ) {
            let mut window = window(messages, 60);
            let mut now = Instant::now();
            let mut deliveries: Vec<(Instant, Instant)> = Vec::new();
            for (idle, duration) in pauses {
                now += Duration::from_secs(idle);
                now = window.closed_until(now).unwrap_or(now);
                let ended = now + Duration::from_secs(duration);
                deliveries.push((now, ended));
                window.enter(ended);
                now = ended;
            }
            let allowed = usize::try_from(messages).expect("small");
            for pair in deliveries.windows(allowed + 1) {
                let (earliest, latest) = (pair[0].1, pair[allowed].0);
                prop_assert!(latest.duration_since(earliest) >= Duration::from_secs(60));
            }
        }
    }
}
