//! Go's `fmt.Sprintf`, for the verbs a body needs: `%v %s %d %q %t %x %X %o %b %c %e %f %g %T %%`
//! with the flags `- + 0 # space`, width and precision.

use jiff::tz::TimeZone;

use super::value::Value;

/// Wider fields are a mistake, and would let a template ask for any amount of memory.
const WIDEST: usize = 1000;

/// Formats `values`. What does not fit is marked in the text, as Go does; it never fails.
pub(super) fn printf(format: &str, values: &[Value<'_>], zone: &TimeZone) -> String {
    let mut text = String::new();
    let mut rest = format;
    let mut values = values.iter();
    while let Some((before, after)) = rest.split_once('%') {
        text.push_str(before);
        let (verb, tail) = Verb::read(after);
        rest = tail;
        match verb.letter {
            None => text.push_str("%!(NOVERB)"),
            Some('%') => text.push('%'),
            Some(letter) => match values.next() {
                None => text.extend(["%!", &letter.to_string(), "(MISSING)"]),
                Some(value) => text.push_str(&verb.padded(verb.show(letter, value, zone))),
            },
        }
    }
    text.push_str(rest);
    let extra: Vec<_> =
        values.map(|value| format!("{}={}", value.type_name(), value.shown(zone))).collect();
    if !extra.is_empty() {
        text.extend(["%!(EXTRA ", &extra.join(", "), ")"]);
    }
    text
}

/// One `%…`.
#[derive(Default)]
#[allow(clippy::struct_excessive_bools)] // five flags that combine in any way
struct Verb {
    left: bool,
    plus: bool,
    zeros: bool,
    sharp: bool,
    space: bool,
    width: usize,
    precision: Option<usize>,
    letter: Option<char>,
}

impl Verb {
    /// Reads what follows a `%`, and returns the text behind it.
    fn read(text: &str) -> (Self, &str) {
        let mut verb = Self::default();
        let mut rest = text;
        while let Some(flag) = rest.chars().next() {
            match flag {
                '-' => verb.left = true,
                '+' => verb.plus = true,
                '0' => verb.zeros = true,
                '#' => verb.sharp = true,
                ' ' => verb.space = true,
                _ => break,
            }
            rest = &rest[1..];
        }
        let (width, tail) = number(rest);
        verb.width = width;
        rest = tail;
        if let Some(tail) = rest.strip_prefix('.') {
            let (precision, tail) = number(tail);
            verb.precision = Some(precision);
            rest = tail;
        }
        verb.letter = rest.chars().next();
        (verb, &rest[verb_length(rest)..])
    }

    fn show(&self, letter: char, value: &Value<'_>, zone: &TimeZone) -> String {
        match (letter, value) {
            ('T', value) => value.type_name().to_owned(),
            ('d' | 'v', Value::Integer(number)) => self.signed(number.to_string(), *number < 0),
            ('x', Value::Integer(number)) => self.radix(*number, "0x", |n| format!("{n:x}")),
            ('X', Value::Integer(number)) => self.radix(*number, "0X", |n| format!("{n:X}")),
            ('o', Value::Integer(number)) => self.radix(*number, "0", |n| format!("{n:o}")),
            ('b', Value::Integer(number)) => self.radix(*number, "0b", |n| format!("{n:b}")),
            ('c', Value::Integer(number)) => {
                let character = u32::try_from(*number).ok().and_then(char::from_u32);
                character.unwrap_or('\u{fffd}').to_string()
            }
            ('f' | 'F', Value::Float(number)) => {
                self.signed(format!("{number:.*}", self.precision.unwrap_or(6)), *number < 0.0)
            }
            ('e', Value::Float(number)) => exponent(*number, self.precision.unwrap_or(6)),
            ('g' | 'v', Value::Float(number)) => self.signed(number.to_string(), *number < 0.0),
            ('t' | 'v', Value::Bool(value)) => value.to_string(),
            ('q', Value::Text(text)) => quoted(self.cut(text)),
            ('x', Value::Text(text)) => hexadecimal(text),
            ('X', Value::Text(text)) => hexadecimal(text).to_uppercase(),
            ('v', Value::Text(text)) if self.sharp => quoted(text),
            ('v', value)
            | (
                's',
                value @ (Value::Text(_)
                | Value::Time(_)
                | Value::Struct(_)
                | Value::Map(_)
                | Value::List(_)
                | Value::Nil
                | Value::Missing),
            ) => self.cut(&value.shown(zone)).to_owned(),
            (other, value) => format!("%!{other}({}={})", value.type_name(), value.shown(zone)),
        }
    }

    fn cut<'t>(&self, text: &'t str) -> &'t str {
        let end = self.precision.and_then(|kept| text.char_indices().nth(kept));
        end.map_or(text, |(end, _)| &text[..end])
    }

    fn signed(&self, digits: String, negative: bool) -> String {
        match (negative, self.plus, self.space) {
            (false, true, _) => format!("+{digits}"),
            (false, false, true) => format!(" {digits}"),
            _ => digits,
        }
    }

    fn radix(&self, number: i64, prefix: &str, digits: fn(u64) -> String) -> String {
        let sign = if number < 0 { "-" } else { "" };
        let prefix = if self.sharp { prefix } else { "" };
        format!("{sign}{prefix}{}", digits(number.unsigned_abs()))
    }

    fn padded(&self, text: String) -> String {
        let missing = self.width.saturating_sub(text.chars().count());
        if missing == 0 {
            return text;
        }
        if self.left {
            return text + &" ".repeat(missing);
        }
        if !self.zeros {
            return " ".repeat(missing) + &text;
        }
        let sign = usize::from(text.starts_with(['+', '-']));
        format!("{}{}{}", &text[..sign], "0".repeat(missing), &text[sign..])
    }
}

fn verb_length(text: &str) -> usize {
    text.chars().next().map_or(0, char::len_utf8)
}

/// A bounded number at the front, and what follows it.
fn number(text: &str) -> (usize, &str) {
    let end = text.find(|digit: char| !digit.is_ascii_digit()).unwrap_or(text.len());
    let number = text[..end].parse().unwrap_or(if end == 0 { 0 } else { WIDEST });
    (number.min(WIDEST), &text[end..])
}

/// Go writes at least two digits of the exponent, with a sign.
fn exponent(number: f64, precision: usize) -> String {
    let text = format!("{number:.precision$e}");
    match text.split_once('e') {
        Some((mantissa, exponent)) => {
            let (sign, digits) = match exponent.strip_prefix('-') {
                Some(digits) => ('-', digits),
                None => ('+', exponent),
            };
            format!("{mantissa}e{sign}{digits:0>2}")
        }
        None => text,
    }
}

fn hexadecimal(text: &str) -> String {
    text.bytes()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)]))
        .collect()
}

/// In quotation marks, as JSON: where Go writes `\a` or `\x00`, no JSON parser would read it.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
