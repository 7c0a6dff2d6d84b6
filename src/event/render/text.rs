//! Text that is fit to be shown, and that fits.

use std::borrow::Cow;

/// What stands where something was cut off.
const ELLIPSIS: &str = "…";

/// Begins a sequence that a terminal obeys (ECMA-48).
const ESCAPE: char = '\u{1b}';

/// `text` without control characters but line breaks and tabs, and without the characters that turn
/// the direction of what follows. Sequences for terminals, such as colours, vanish as a whole.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_removed) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            ESCAPE if rest.next_if_eq(&'[').is_some() => {
                // Parameters, then one final letter.
                while rest.next_if(|next| (' '..='?').contains(next)).is_some() {}
                rest.next_if(|next| ('@'..='~').contains(next));
            }
            '\r' if rest.peek() != Some(&'\n') => shown.push('\n'),
            _ if is_removed(character) => {}
            _ => shown.push(character),
        }
    }
    Cow::Owned(shown)
}

/// Whether a character is not shown. The last two ranges turn the direction of text.
fn is_removed(character: char) -> bool {
    let control = character.is_control() && !matches!(character, '\n' | '\t');
    control || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// `text` with every run of white space as one space, and printable.
#[must_use]
pub fn on_one_line(text: &str) -> String {
    printable(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `text`, or as much of its front as fits into `limit` bytes together with an ellipsis.
#[must_use]
pub fn cut(text: &str, limit: usize) -> Cow<'_, str> {
    if text.len() <= limit {
        return Cow::Borrowed(text);
    }
    let Some(room) = limit.checked_sub(ELLIPSIS.len()) else { return Cow::Borrowed("") };
    let end = text.floor_char_boundary(room);
    Cow::Owned(format!("{}{ELLIPSIS}", text[..end].trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_a_terminal_would_obey_vanishes() {
        let cases = [
            ("plain\ttext\nof two lines", "plain\ttext\nof two lines"),
            ("\u{1b}[31;1mred\u{1b}[0m", "red"),
            ("bell\u{7} and \u{1b}c reset", "bell and c reset"),
            ("one\r\ntwo\rthree", "one\ntwo\nthree"),
            ("safe\u{202e}gpj.exe", "safegpj.exe"),
            ("שלום 👩‍👩‍👧", "שלום 👩‍👩‍👧"),
        ];
        for (text, expected) in cases {
            assert_eq!(printable(text), expected, "{text:?}");
        }
    }

    #[test]
    fn cuts_between_characters_and_says_so() {
        assert_eq!(cut("日本語", 9), "日本語");
        assert_eq!(cut("日本語", 8), "日…");
        assert_eq!(cut("ab cd", 6), "ab cd");
        assert_eq!(cut("ab cdef", 6), "ab…");
        assert_eq!(cut("abc", 2), "");
    }

    proptest! {
        #[test]
        fn what_is_cut_fits_and_is_a_front(text in ".{0,60}", limit in 0usize..80) {
            let cut = cut(&text, limit);
            prop_assert!(cut.len() <= limit.max(text.len().min(limit)));
            prop_assert!(text.starts_with(cut.trim_end_matches(ELLIPSIS)));
        }

        #[test]
        fn printable_text_stays_as_it_is(text in any::<String>()) {
            let once = printable(&text).into_owned();
            prop_assert!(!once.contains(is_removed));
            prop_assert_eq!(printable(&once), once.as_str());
        }
    }
}
