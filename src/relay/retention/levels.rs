//! How full the log may become, and how often that has to be looked at.
//!
//! Invariant: a log that is looked at in time, and acted upon, stays below `log.maxBytes`, and leaves the
//! volume the room that writing takes.

use std::time::Duration;

use crate::log::LOW_WATER_BYTES;

/// Part of `log.maxBytes` that is kept free, and again that part is what an opened intake finds free.
const MARGIN_PART: u64 = 20;

/// At least so much is kept free: the segments that are being written, and what is on its way to
/// them when intake is closed.
const MARGIN_BYTES_MIN: u64 = 24 << 20;

/// So much of a volume is left free. Below [`LOW_WATER_BYTES`] nothing can be written; a policy that
/// acts before can still make room.
const VOLUME_MARGIN_BYTES: u64 = LOW_WATER_BYTES + (8 << 20);

/// The fastest a log is taken to grow, in bytes per second.
const GROWTH_MAX: u64 = 256 << 20;

/// Shortest time between two looks at the log.
const LOOK_MIN: Duration = Duration::from_millis(20);
/// Longest time between two looks at the log.
const LOOK_MAX: Duration = Duration::from_secs(1);

/// Where a log of a certain size is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Levels {
    /// Above, delivered segments go although they are young.
    pub(super) relief: u64,
    /// Above, the policy acts.
    pub(super) full: u64,
}

impl Levels {
    /// The levels of a log that may take `max_bytes` on disk.
    pub(crate) fn of(max_bytes: u64) -> Self {
        let part = max_bytes / MARGIN_PART;
        // A log too small for the margin still has a half it can use.
        let margin = part.max(MARGIN_BYTES_MIN).min(max_bytes / 2);
        let full = max_bytes - margin;
        Self { relief: full - part, full }
    }

    /// The levels of the same log, of so many bytes, on a volume with so many bytes to spare: what it
    /// may take and what it can take are different when the volume is small, or others fill it.
    pub(crate) fn on_volume(self, bytes: u64, free: u64) -> Self {
        let room = bytes.saturating_add(free);
        let full = room.saturating_sub(VOLUME_MARGIN_BYTES);
        let relief = full.saturating_sub(room / MARGIN_PART);
        Self { relief: self.relief.min(relief), full: self.full.min(full) }
    }

    /// When the log has to be looked at again, so that it cannot become larger than it may.
    pub(crate) fn next_look(self, bytes: u64) -> Duration {
        let room = self.full.saturating_sub(bytes);
        if room == 0 {
            // Intake waits, and goes on soon after there is room.
            return LOOK_MAX / 4;
        }
        let milliseconds = room.saturating_mul(1000) / GROWTH_MAX;
        Duration::from_millis(milliseconds).clamp(LOOK_MIN, LOOK_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_log_keeps_a_twentieth_free_and_a_small_one_a_half() {
        assert_eq!(Levels::of(2_000 << 20), Levels { relief: 1_800 << 20, full: 1_900 << 20 });
        assert_eq!(Levels::of(20 << 20).full, 10 << 20);
    }

    #[test]
    fn a_volume_smaller_than_the_bound_is_the_bound() {
        let levels = Levels::of(2_000 << 20);
        assert_eq!(levels.on_volume(500 << 20, 5_000 << 20), levels);
        let small = levels.on_volume(500 << 20, 500 << 20);
        assert_eq!(small, Levels { relief: (1_000 - 32 - 50) << 20, full: (1_000 - 32) << 20 });
        assert_eq!(levels.on_volume(10 << 20, 0), Levels { relief: 0, full: 0 });
    }

    #[test]
    fn a_log_is_looked_at_before_it_can_be_full() {
        let levels = Levels { relief: 900 << 20, full: 950 << 20 };
        assert_eq!(levels.next_look(0), LOOK_MAX);
        assert_eq!(levels.next_look((950 - 128) << 20), Duration::from_millis(500));
        assert_eq!(levels.next_look((950 << 20) - 1), LOOK_MIN);
        assert_eq!(levels.next_look(950 << 20), Duration::from_millis(250));
    }
}
