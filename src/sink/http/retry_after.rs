//! `Retry-After` (RFC 9110, 10.2.3), and what some services say instead.

use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, fmt::strtime};

/// A service that says "now" is not asked in a tight loop.
const SHORTEST: Duration = Duration::from_secs(1);

/// A service that says "tomorrow" is asked again within the time an alert is worth something.
const LONGEST: Duration = Duration::from_secs(15 * 60);

/// The three forms of an HTTP-date (RFC 9110, 5.6.7): today's, RFC 850's, and C's `asctime`.
const DATES: [&str; 3] =
    ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"];

/// How long to wait, kept between one second and fifteen minutes. What is neither a number of
/// seconds nor a date is `None`: the sink's own backoff counts.
pub(super) fn parse(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    let wait = if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number with too many digits is too long in any case.
        value.parse().map_or(LONGEST, Duration::from_secs)
    } else {
        let date = date(value)?;
        Duration::try_from(date.duration_since(now)).unwrap_or_default()
    };
    Some(wait.clamp(SHORTEST, LONGEST))
}

/// How long until a limit of calls begins anew: `RateLimit: limit=100, remaining=0, reset=5`
/// (draft-ietf-httpapi-ratelimit-headers, up to version 07).
pub(super) fn reset_of(rate_limit: &str) -> Option<Duration> {
    let fields = rate_limit.split([',', ';']).filter_map(|field| field.split_once('='));
    let mut resets = fields.filter(|(name, _)| name.trim().eq_ignore_ascii_case("reset"));
    let seconds: u64 = resets.next()?.1.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).clamp(SHORTEST, LONGEST))
}

fn date(value: &str) -> Option<Timestamp> {
    DATES.iter().find_map(|form| {
        let date: DateTime = strtime::parse(form, value).ok()?.to_datetime().ok()?;
        Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seconds(value: &str) -> Option<u64> {
        let now = "1994-11-06T08:49:00Z".parse().expect("a time");
        parse(value, now).map(|wait| wait.as_secs())
    }

    #[test]
    fn reads_seconds_and_dates() {
        let cases = [
            ("120", Some(120)),
            (" 5 ", Some(5)),
            ("0", Some(1)),
            ("901", Some(900)),
            ("99999999999999999999999", Some(900)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(37)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(37)),
            ("Sun Nov  6 08:49:37 1994", Some(37)),
            ("Sun, 06 Nov 1994 08:48:00 GMT", Some(1)),
            ("Mon, 07 Nov 1994 08:49:37 GMT", Some(900)),
            ("-1", None),
            ("1.5", None),
            ("", None),
            ("soon", None),
            ("Sun, 06 Nov 1994 25:49:37 GMT", None),
        ];
        for (value, expected) in cases {
            assert_eq!(seconds(value), expected, "{value:?}");
        }
    }

    #[test]
    fn reads_when_a_limit_begins_anew() {
        let seconds = |value| reset_of(value).map(|wait| wait.as_secs());
        assert_eq!(seconds("limit=100, remaining=0, reset=5"), Some(5));
        assert_eq!(seconds("limit=100;reset=99999"), Some(900));
        assert_eq!(seconds("reset=0"), Some(1));
        assert_eq!(seconds("limit=100, reset=soon"), None);
        assert_eq!(seconds("r=5"), None);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(value in ".{0,40}") {
            let _read = seconds(&value);
        }
    }
}
