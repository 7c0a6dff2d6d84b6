//! Times as Go's `time` package shows them.

use jiff::civil::{DateTime, Weekday};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};

/// The layout of `time.Time.String`.
const GO_STRING: &str = "2006-01-02 15:04:05.999999999 -0700 MST";

/// Go's zero time: what a missing time reads as.
const ZERO: DateTime = DateTime::constant(1, 1, 1, 0, 0, 0, 0);

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// A moment in a time zone.
#[derive(Debug, Clone)]
pub struct Moment(Zoned);

impl Moment {
    /// `at` in `zone`; nothing is Go's zero time, which is always UTC.
    #[must_use]
    pub fn new(at: Option<Timestamp>, zone: &TimeZone) -> Self {
        let zero = || ZERO.to_zoned(TimeZone::UTC).unwrap_or_default();
        Self(at.map_or_else(zero, |at| at.to_zoned(zone.clone())))
    }

    /// What Go prints for it.
    #[must_use]
    pub fn text(&self) -> String {
        self.format(GO_STRING)
    }

    /// The same with the calendar.
    #[must_use]
    pub fn zoned(&self) -> &Zoned {
        &self.0
    }

    /// The same moment elsewhere.
    #[must_use]
    pub fn in_zone(&self, zone: &TimeZone) -> Self {
        Self(self.0.with_time_zone(zone.clone()))
    }

    /// A later or earlier moment, when there is one.
    #[must_use]
    pub fn moved(&self, by: SignedDuration) -> Option<Self> {
        self.0.checked_add(by).ok().map(Self)
    }

    /// Whether it is Go's zero time.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.0.time_zone() == &TimeZone::UTC && self.0.datetime() == ZERO
    }

    /// Name of the month in English.
    #[must_use]
    pub fn month(&self) -> &'static str {
        // A month is between 1 and 12.
        MONTHS[usize::from(self.0.month().unsigned_abs().clamp(1, 12)) - 1]
    }

    /// Name of the day in English.
    #[must_use]
    pub fn weekday(&self) -> &'static str {
        match self.0.weekday() {
            Weekday::Monday => "Monday",
            Weekday::Tuesday => "Tuesday",
            Weekday::Wednesday => "Wednesday",
            Weekday::Thursday => "Thursday",
            Weekday::Friday => "Friday",
            Weekday::Saturday => "Saturday",
            Weekday::Sunday => "Sunday",
        }
    }

    /// Go's `time.Format`: the layout is the time 2 January 2006 15:04:05 -0700 as it should look.
    #[must_use]
    pub fn format(&self, layout: &str) -> String {
        let mut text = String::new();
        let mut rest = layout;
        while let Some(first) = rest.chars().next() {
            let known = ELEMENTS.iter().find(|(element, _)| is_here(rest, element));
            if let Some((element, show)) = known {
                text.push_str(&show(self));
                rest = &rest[element.len()..];
            } else if let Some(length) = fraction_length(rest) {
                text.push_str(&self.fraction(&rest[..length]));
                rest = &rest[length..];
            } else {
                text.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
        text
    }

    /// Fraction of a second for `.000` (fixed) or `.999` (without zeros at the end).
    fn fraction(&self, element: &str) -> String {
        let digits = format!("{:09}", self.0.subsec_nanosecond());
        let kept = digits.get(..element.len() - 1).unwrap_or(&digits);
        let kept = if element.ends_with('9') { kept.trim_end_matches('0') } else { kept };
        if kept.is_empty() { String::new() } else { format!("{}{kept}", &element[..1]) }
    }

    fn offset(&self, separator: &str, with_minutes: bool) -> String {
        let seconds = self.0.offset().seconds();
        let sign = if seconds < 0 { '-' } else { '+' };
        let minutes = seconds.unsigned_abs() / 60;
        if with_minutes {
            format!("{sign}{:02}{separator}{:02}", minutes / 60, minutes % 60)
        } else {
            format!("{sign}{:02}", minutes / 60)
        }
    }

    fn zulu(&self, separator: &str, with_minutes: bool) -> String {
        if self.0.offset().is_zero() {
            "Z".to_owned()
        } else {
            self.offset(separator, with_minutes)
        }
    }

    fn hour12(&self) -> i8 {
        match self.0.hour() % 12 {
            0 => 12,
            hour => hour,
        }
    }

    fn zone_name(&self) -> String {
        self.0.time_zone().to_offset_info(self.0.timestamp()).abbreviation().to_owned()
    }
}

type Show = fn(&Moment) -> String;

/// Elements of a layout, longer ones before their prefixes.
const ELEMENTS: [(&str, Show); 30] = [
    ("January", |moment| moment.month().to_owned()),
    ("Jan", |moment| moment.month()[..3].to_owned()),
    ("Monday", |moment| moment.weekday().to_owned()),
    ("Mon", |moment| moment.weekday()[..3].to_owned()),
    ("MST", Moment::zone_name),
    ("2006", |moment| format!("{:04}", moment.0.year())),
    ("__2", |moment| format!("{:3}", moment.0.day_of_year())),
    ("_2", |moment| format!("{:2}", moment.0.day())),
    ("002", |moment| format!("{:03}", moment.0.day_of_year())),
    ("01", |moment| format!("{:02}", moment.0.month())),
    ("02", |moment| format!("{:02}", moment.0.day())),
    ("03", |moment| format!("{:02}", moment.hour12())),
    ("04", |moment| format!("{:02}", moment.0.minute())),
    ("05", |moment| format!("{:02}", moment.0.second())),
    ("06", |moment| format!("{:02}", moment.0.year().rem_euclid(100))),
    ("15", |moment| format!("{:02}", moment.0.hour())),
    ("1", |moment| moment.0.month().to_string()),
    ("2", |moment| moment.0.day().to_string()),
    ("3", |moment| moment.hour12().to_string()),
    ("4", |moment| moment.0.minute().to_string()),
    ("5", |moment| moment.0.second().to_string()),
    ("PM", |moment| if moment.0.hour() < 12 { "AM" } else { "PM" }.to_owned()),
    ("pm", |moment| if moment.0.hour() < 12 { "am" } else { "pm" }.to_owned()),
    ("-07:00", |moment| moment.offset(":", true)),
    ("-0700", |moment| moment.offset("", true)),
    ("-07", |moment| moment.offset("", false)),
    ("Z07:00", |moment| moment.zulu(":", true)),
    ("Z0700", |moment| moment.zulu("", true)),
    ("Z07", |moment| moment.zulu("", false)),
    ("_2006", |moment| format!("_{:04}", moment.0.year())),
];

/// Whether `element` stands at the front. `Jan` and `Mon` are no elements of a longer word, and
/// `_2006` is an underscore with a year.
fn is_here(rest: &str, element: &str) -> bool {
    let Some(after) = rest.strip_prefix(element) else { return false };
    match element {
        "Jan" | "Mon" => !after.starts_with(|next: char| next.is_ascii_lowercase()),
        "_2" => !after.starts_with("006"),
        _ => true,
    }
}

/// Length of `.000`, `,000`, `.999` or `,999` at the front, with any number of digits.
fn fraction_length(rest: &str) -> Option<usize> {
    let digits = rest.strip_prefix(['.', ','])?;
    let digit = digits.chars().next().filter(|digit| matches!(digit, '0' | '9'))?;
    let after = digits.trim_start_matches(digit);
    let ends = !after.starts_with(|next: char| next.is_ascii_digit());
    ends.then(|| rest.len() - after.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(zone: &str) -> Moment {
        let zone = TimeZone::get(zone).expect("a time zone");
        Moment::new("2024-05-01T02:03:04.050Z".parse().ok(), &zone)
    }

    #[test]
    fn prints_as_go_does() {
        assert_eq!(moment("Asia/Shanghai").text(), "2024-05-01 10:03:04.05 +0800 CST");
        assert_eq!(moment("UTC").text(), "2024-05-01 02:03:04.05 +0000 UTC");
        let missing = Moment::new(None, &TimeZone::get("Asia/Shanghai").expect("a time zone"));
        assert_eq!(missing.text(), "0001-01-01 00:00:00 +0000 UTC");
    }

    #[test]
    fn formats_layouts_of_go() {
        let cases = [
            ("2006-01-02 15:04:05", "2024-05-01 07:48:04"),
            ("2006-01-02T15:04:05Z07:00", "2024-05-01T07:48:04+05:45"),
            ("Mon Jan _2 15:04:05 MST 2006", "Wed May  1 07:48:04 +0545 2024"),
            ("Monday, 02-Jan-06 3:4:5PM", "Wednesday, 01-May-24 7:48:4AM"),
            ("15h04m05.000s", "07h48m04.050s"),
            ("05.999", "04.05"),
            ("05.9x -0700 -07", "04x +0545 +05"),
            ("002 Month 2_2006", "122 Month 1_2024"),
            ("下午 15:04", "下午 07:48"),
        ];
        for (layout, expected) in cases {
            assert_eq!(moment("Asia/Kathmandu").format(layout), expected, "{layout}");
        }
        assert_eq!(moment("UTC").format("Z07:00 Z0700"), "Z Z");
    }
}
