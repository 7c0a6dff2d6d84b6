//! Numbers and booleans as Go's `strconv` reads them.

/// `strconv.ParseInt(text, 0, …)`: decimal, or with a prefix `0x`, `0o`, `0b` or `0`; underscores
/// may stand between digits.
pub(super) fn integer(text: &str) -> Option<i128> {
    let (negative, magnitude) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = magnitude.to_ascii_lowercase();
    let (digits, radix) = if let Some(digits) = lower.strip_prefix("0x") {
        (digits, 16)
    } else if let Some(digits) = lower.strip_prefix("0b") {
        (digits, 2)
    } else if let Some(digits) = lower.strip_prefix("0o") {
        (digits, 8)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (&lower[1..], 8)
    } else {
        (lower.as_str(), 10)
    };
    // An underscore may follow a prefix, even the bare `0` of octal numbers.
    let digits = if radix == 10 { digits } else { digits.strip_prefix('_').unwrap_or(digits) };
    let lone_underscore = |part: &str| part.is_empty();
    if digits.split('_').any(lone_underscore) {
        return None;
    }
    let digits: String = digits.chars().filter(|c| *c != '_').collect();
    if !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    let value = i128::from_str_radix(&digits, radix).ok()?;
    Some(if negative { -value } else { value })
}

/// `strconv.ParseInt(text, 10, 32)`.
pub(super) fn decimal_32(text: &str) -> Option<i32> {
    text.parse().ok()
}

/// `strconv.ParseBool`.
pub(in crate::config) fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_as_go_writes_them() {
        for (text, expected) in [
            ("8084", Some(8084)),
            ("0x1F", Some(31)),
            ("0b101", Some(5)),
            ("0o17", Some(15)),
            ("017", Some(15)),
            ("0", Some(0)),
            ("00", Some(0)),
            ("1_000", Some(1000)),
            ("0x_ff", Some(255)),
            ("-5", Some(-5)),
            ("+5", Some(5)),
            ("", None),
            ("-", None),
            ("0x", None),
            ("08", None),
            ("1__0", None),
            ("_1", None),
            ("1_", None),
            ("--1", None),
            ("1.5", None),
            (" 1", None),
            ("99999999999999999999999999999999999999999999", None),
        ] {
            assert_eq!(integer(text), expected, "{text:?}");
        }
    }

    #[test]
    fn booleans_as_go_writes_them() {
        assert_eq!(boolean("True"), Some(true));
        assert_eq!(boolean("f"), Some(false));
        for text in ["yes", "tRUE", "", "2"] {
            assert_eq!(boolean(text), None, "{text:?}");
        }
    }
}
