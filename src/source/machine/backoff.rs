//! How long to wait, and when to stop trying the same thing.

use std::time::Duration;

use super::protocol::Moment;
use crate::event::Position;

/// First ceiling of the wait between attempts.
pub(super) const FIRST_WAIT: Duration = Duration::from_millis(800);
/// Last ceiling of the wait between attempts.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Wait for what only an operator can change: at most a minute with its spread.
const REFUSED_WAIT: Duration = Duration::from_secs(55);
/// First of the waits that grow to it: a server that has just started refuses at first what it
/// allows a moment later, because it does not know its roles and accounts yet.
const FIRST_REFUSED_WAIT: Duration = Duration::from_secs(1);
/// Spread of that wait.
const REFUSED_SPREAD: Duration = Duration::from_secs(5);
/// Wait after a 429 without `Retry-After`.
pub(super) const THROTTLED_WAIT: Duration = Duration::from_secs(1);
/// Watches that end badly without an item before everything is listed instead.
const BREAKS_BEFORE_RELIST: u32 = 3;

/// What went wrong since there was progress.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    /// Failures since the last progress: the exponent of the backoff.
    failures: u32,
    /// Refusals since the last progress.
    refusals: u32,
    /// Watches that ended badly since the last item.
    breaks: u32,
    /// Where an item could not be read.
    unreadable_after: Option<Position>,
    /// Whether the last watch ended early, cleanly and without an item.
    pub(super) ended_early: bool,
    /// Whether the credentials were refused and have been read anew.
    pub(super) credentials_renewed: bool,
}

impl Trouble {
    /// Something came from the watch.
    pub(super) fn progress(&mut self) {
        *self = Self::default();
    }

    /// The connection held for a while.
    pub(super) fn steady(&mut self) {
        self.failures = 0;
        self.refusals = 0;
    }

    /// A failure: the wait before the next attempt, drawn from all of the ceiling ("full jitter").
    pub(super) fn next_wait(&mut self, now: Moment) -> Duration {
        let ceiling = FIRST_WAIT.saturating_mul(1 << self.failures.min(16)).min(LONGEST_WAIT);
        self.failures = self.failures.saturating_add(1);
        ceiling.mul_f64(now.chance)
    }

    /// Only an operator can help, it seems: the wait before the next attempt, soon a minute.
    pub(super) fn next_refused_wait(&mut self, now: Moment) -> Duration {
        let wait = FIRST_REFUSED_WAIT.saturating_mul(1 << self.refusals.min(16));
        self.refusals = self.refusals.saturating_add(1);
        wait.min(refused_wait(now))
    }

    /// A list is needed: nothing to wait for the first time.
    pub(super) fn before_relist(&mut self, now: Moment) -> Duration {
        if self.failures == 0 {
            self.failures = 1;
            return Duration::ZERO;
        }
        self.next_wait(now)
    }

    /// A watch ended badly: whether it is time to list instead of trying the same again.
    pub(super) fn broke(&mut self) -> bool {
        self.breaks += 1;
        self.breaks >= BREAKS_BEFORE_RELIST
    }

    /// An item after `position` could not be read: whether that happened there before.
    pub(super) fn unreadable(&mut self, position: Option<&Position>) -> bool {
        let again = position.is_some() && self.unreadable_after.as_ref() == position;
        self.unreadable_after = position.cloned();
        again
    }

    /// A list was taken over: what went wrong with watches before it no longer matters.
    pub(super) fn listed(&mut self) {
        let failures = self.failures;
        *self = Self { failures, ..Self::default() };
    }
}

/// The wait for what only an operator can change.
pub(super) fn refused_wait(now: Moment) -> Duration {
    REFUSED_WAIT + REFUSED_SPREAD.mul_f64(now.chance)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(chance: f64) -> Moment {
        Moment { wall: jiff::Timestamp::UNIX_EPOCH, steady: Duration::ZERO, chance }
    }

    #[test]
    fn waits_grow_to_the_longest_and_start_over_after_progress() {
        let mut trouble = Trouble::default();
        let waits: Vec<_> = (0..8).map(|_| trouble.next_wait(moment(0.5)).as_millis()).collect();
        assert_eq!(waits, [400, 800, 1600, 3200, 6400, 12_800, 15_000, 15_000]);
        trouble.progress();
        assert_eq!(trouble.next_wait(moment(0.5)).as_millis(), 400);
    }

    #[test]
    fn the_wait_is_drawn_from_the_whole_range() {
        assert_eq!(Trouble::default().next_wait(moment(0.0)), Duration::ZERO);
        assert!(Trouble::default().next_wait(moment(0.999)) > Duration::from_millis(790));
    }

    #[test]
    fn refusals_are_soon_tried_every_minute() {
        let mut trouble = Trouble::default();
        let mut waits = || trouble.next_refused_wait(moment(0.5)).as_millis();
        let waits: Vec<_> = (0..8).map(|_| waits()).collect();
        assert_eq!(waits, [1000, 2000, 4000, 8000, 16_000, 32_000, 57_500, 57_500]);
        trouble.steady();
        assert_eq!(trouble.next_refused_wait(moment(0.5)).as_millis(), 1000);
    }

    #[test]
    fn only_the_first_list_comes_at_once() {
        let mut trouble = Trouble::default();
        assert_eq!(trouble.before_relist(moment(0.5)), Duration::ZERO);
        trouble.listed();
        assert!(trouble.before_relist(moment(0.5)) > Duration::ZERO);
    }
}
