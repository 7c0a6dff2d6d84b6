//! Ages and moments as people write them: `7d`, `2h`, `2026-01-02T15:04:05Z`.

use std::time::Duration;

use jiff::Timestamp;

use crate::setting::Span;

const HOURS_OF_A_DAY: u64 = 24;

/// An age: a number of days, or what a duration of the configuration is.
pub(super) fn age(text: &str) -> Result<Span, String> {
    let days = text.strip_suffix('d').and_then(|days| days.parse::<u64>().ok());
    match days.and_then(|days| days.checked_mul(HOURS_OF_A_DAY)) {
        // Longer than any log is kept.
        Some(hours) => Ok(Span(Duration::from_hours(hours.min(1_000_000)))),
        None => text.parse().map_err(|_| format!("{text:?} is not an age; write 7d, 2h or 90s")),
    }
}

/// A moment, or an age counted from now.
pub(super) fn moment(text: &str) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    let age = age(text).map_err(|_| {
        format!("{text:?} is neither an age such as 2h nor a time such as 2026-01-02T15:04:05Z")
    })?;
    Timestamp::now().checked_sub(age.0).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_know_days() {
        let seconds = |text| age(text).expect(text).0.as_secs();
        assert_eq!((seconds("7d"), seconds("2h"), seconds("90s")), (604_800, 7_200, 90));
        for wrong in ["", "d", "-1d", "1.5d", "7 days", "yesterday"] {
            assert!(age(wrong).is_err(), "{wrong}");
        }
        assert!(age("99999999999999999999d").is_err());
        assert!(moment(&format!("{}d", u64::MAX / 24)).is_ok(), "long ago");
    }
}
