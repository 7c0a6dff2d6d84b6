//! The sliding windows of a quota.
//!
//! Invariant: whatever moment within a message a service counts it at, no window holds more messages
//! than a rate allows, across restarts too. That is why a message is entered when it begins and moved
//! to when it *ended*: the next one but `messages` begins a full window later. One that was under way
//! when the relay was killed may have ended at any time until the relay came back.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use crate::cursor::Usage;
use crate::sink::Rate;

/// After a restart a service stays closed for so long at most: the clock may have been set back.
const LONGEST_SILENCE: Duration = Duration::from_secs(60 * 60);

/// A later process is told of so many messages at most; a limit above that is none for people.
const REMEMBERED: usize = 2_000;

/// The latest messages under one quota.
#[derive(Debug, Default)]
pub(crate) struct Window {
    messages: VecDeque<Instant>,
    under_way: bool,
    closed_until: Option<Instant>,
    /// How long messages are remembered.
    longest: Duration,
}

impl Window {
    /// Puts back what an earlier process noted.
    pub(crate) fn restore(usage: &Usage, now: Instant, wall: Timestamp) -> Self {
        let mut messages: VecDeque<_> =
            usage.messages.iter().map(|at| instant(*at, now, wall).min(now)).collect();
        if usage.under_way && messages.pop_back().is_some() {
            messages.push_back(now);
        }
        let longest = now + LONGEST_SILENCE;
        let closed_until = usage.closed_until.map(|at| instant(at, now, wall).min(longest));
        Self { messages, under_way: false, closed_until, longest: Duration::ZERO }
    }

    /// What a later process has to know.
    pub(crate) fn usage(&self, now: Instant, wall: Timestamp) -> Usage {
        let timestamp = |at: Instant| {
            let behind = SignedDuration::try_from(now.saturating_duration_since(at));
            let ahead = SignedDuration::try_from(at.saturating_duration_since(now));
            let (behind, ahead) = (behind.unwrap_or_default(), ahead.unwrap_or_default());
            wall.checked_add(ahead - behind).unwrap_or(wall)
        };
        let latest = self.messages.iter().skip(self.messages.len().saturating_sub(REMEMBERED));
        Usage {
            messages: latest.copied().map(timestamp).collect(),
            under_way: self.under_way,
            closed_until: self.closed_until.map(timestamp),
        }
    }

    /// Remembers messages long enough for these rates.
    pub(crate) fn serve(&mut self, rates: &[Rate]) {
        let longest = rates.iter().map(|rate| rate.per.0).max().unwrap_or_default();
        self.longest = self.longest.max(longest);
    }

    /// When the next message may begin, if that is not now.
    pub(crate) fn opens_at(&self, rates: &[Rate], now: Instant) -> Option<Instant> {
        let full = rates.iter().filter_map(|rate| {
            let oldest = self.messages.len().checked_sub(allowed(rate))?;
            self.messages.get(oldest).map(|ended| *ended + rate.per.0)
        });
        full.chain(self.closed_until).filter(|opens| *opens > now).max()
    }

    /// How many messages may begin at once.
    pub(crate) fn free(&self, rates: &[Rate], now: Instant) -> usize {
        if self.closed_until.is_some_and(|until| until > now) {
            return 0;
        }
        let free = rates.iter().map(|rate| {
            let recent = self.messages.iter().rev();
            let used = recent.take_while(|ended| **ended + rate.per.0 > now).count();
            allowed(rate).saturating_sub(used)
        });
        free.min().unwrap_or(usize::MAX)
    }

    /// When the last message ended.
    pub(crate) fn last(&self) -> Option<Instant> {
        self.messages.back().copied()
    }

    /// A message is about to leave.
    pub(crate) fn begin(&mut self, now: Instant) {
        let longest = self.longest;
        self.messages.retain(|ended| *ended + longest > now);
        self.messages.push_back(now);
        self.under_way = true;
    }

    /// The message has ended, whatever became of it: the service may have counted it.
    pub(crate) fn end(&mut self, now: Instant) {
        if let Some(last) = self.messages.back_mut() {
            *last = now;
        }
        self.under_way = false;
    }

    /// The service has asked for silence.
    pub(crate) fn close_until(&mut self, until: Instant) {
        self.closed_until = self.closed_until.max(Some(until));
    }
}

fn allowed(rate: &Rate) -> usize {
    usize::try_from(rate.messages.max(1)).unwrap_or(usize::MAX)
}

/// A time of the clock as an instant. What lies before all instants is long past.
fn instant(at: Timestamp, now: Instant, wall: Timestamp) -> Instant {
    let distance = at.duration_since(wall);
    let shifted = if distance.is_negative() {
        now.checked_sub(distance.unsigned_abs())
    } else {
        now.checked_add(distance.unsigned_abs())
    };
    shifted.unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setting::Span;
    use proptest::prelude::*;

    fn rate(messages: u32, seconds: u64) -> Rate {
        Rate { messages, per: Span::from_secs(seconds) }
    }

    fn window(rates: &[Rate], ended: &[Instant]) -> Window {
        let mut window = Window::default();
        window.serve(rates);
        for ended in ended {
            window.begin(*ended);
            window.end(*ended);
        }
        window
    }

    #[test]
    fn closes_when_full_and_opens_when_the_oldest_leaves() {
        let (rates, start) = ([rate(2, 60)], Instant::now());
        let later = |seconds| start + Duration::from_secs(seconds);
        let one = window(&rates, &[start]);
        assert_eq!((one.opens_at(&rates, start), one.free(&rates, start)), (None, 1));
        let two = window(&rates, &[start, later(10)]);
        assert_eq!(two.opens_at(&rates, later(20)), Some(later(60)));
        assert_eq!(two.free(&rates, later(20)), 0);
        assert_eq!((two.opens_at(&rates, later(60)), two.free(&rates, later(60))), (None, 1));
    }

    #[test]
    fn the_tightest_of_several_rates_and_a_penalty_count() {
        let (rates, start) = ([rate(2, 60), rate(3, 3_600)], Instant::now());
        let later = |seconds| start + Duration::from_secs(seconds);
        let mut full = window(&rates, &[start, later(100), later(200)]);
        assert_eq!(full.opens_at(&rates, later(300)), Some(later(3_600)));
        assert_eq!(full.free(&rates, later(300)), 0);
        full.close_until(later(9_000));
        full.close_until(later(8_000));
        assert_eq!(full.opens_at(&rates, later(300)), Some(later(9_000)));
        assert_eq!(full.opens_at(&rates, later(9_000)), None);
    }

    #[test]
    fn a_restart_opens_no_fresh_window() {
        let (rates, now) = ([rate(2, 60)], Instant::now());
        let wall: Timestamp = "2024-05-01T00:00:00Z".parse().expect("a time");
        let mut before = window(&rates, &[now]);
        before.begin(now + Duration::from_secs(5));
        let usage = before.usage(now + Duration::from_secs(6), wall);
        assert!(usage.under_way);
        // Half a minute passes; nobody knows when the second message ended.
        let (back, wall) = (now + Duration::from_secs(100), wall + SignedDuration::from_secs(30));
        let after = Window::restore(&usage, back, wall);
        assert_eq!(after.opens_at(&rates, back), Some(back + Duration::from_secs(24)));
        assert_eq!(after.last(), Some(back));
    }

    #[test]
    fn a_clock_that_went_back_does_not_close_a_window_for_longer_than_its_length() {
        let (rates, now) = ([rate(1, 60)], Instant::now());
        let wall: Timestamp = "2024-05-01T00:00:00Z".parse().expect("a time");
        let usage = window(&rates, &[now]).usage(now, wall);
        let after = Window::restore(&usage, now, wall - SignedDuration::from_hours(5));
        assert_eq!(after.opens_at(&rates, now), Some(now + Duration::from_secs(60)));
    }

    proptest! {
        #[test]
        fn no_window_holds_more_than_allowed(
            messages in 1u32..5,
            pauses in proptest::collection::vec((0u64..40, 0u64..10, any::<bool>()), 1..60),
        ) {
            let rates = [rate(messages, 60)];
            let wall = Timestamp::now();
            let (mut window, mut now) = (window(&rates, &[]), Instant::now());
            let mut deliveries: Vec<(Instant, Instant)> = Vec::new();
            for (idle, duration, restarted) in pauses {
                now += Duration::from_secs(idle);
                now = window.opens_at(&rates, now).unwrap_or(now);
                window.begin(now);
                let ended = now + Duration::from_secs(duration);
                deliveries.push((now, ended));
                if !restarted {
                    window.end(ended);
                }
                now = ended;
                if restarted {
                    window = Window::restore(&window.usage(now, wall), now, wall);
                    window.serve(&rates);
                }
            }
            let allowed = usize::try_from(messages).expect("small");
            for pair in deliveries.windows(allowed + 1) {
                let (earliest, latest) = (pair[0].1, pair[allowed].0);
                prop_assert!(latest.duration_since(earliest) >= Duration::from_secs(60));
            }
        }
    }
}
