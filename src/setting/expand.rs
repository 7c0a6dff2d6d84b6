//! `$NAME` and `${NAME}` in a text, by the rules of Go's `os.Expand`.
//!
//! Invariant: the same text with the same environment gives the same result as kube-eventer, odd
//! cases included. There is no escape for `$`.

/// Replaces variables; `unset` says whether one of them had no value and became empty.
pub(super) struct Expanded {
    pub(super) text: String,
    pub(super) unset: bool,
}

/// Expands `text`. Names are looked up with `environment`.
pub(super) fn expand(text: &str, environment: &dyn Fn(&str) -> Option<String>) -> Expanded {
    let mut expanded = Expanded { text: String::with_capacity(text.len()), unset: false };
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        expanded.text.push_str(before);
        if after.is_empty() {
            expanded.text.push('$');
            return expanded;
        }
        let (name, length) = variable(after);
        match name {
            Some(name) => match environment(name) {
                Some(value) => expanded.text.push_str(&value),
                None => expanded.unset = true,
            },
            // `${}` and an unclosed `${` vanish; a `$` before anything else stays.
            None if length == 0 => expanded.text.push('$'),
            None => {}
        }
        rest = &after[length..];
    }
    expanded.text.push_str(rest);
    expanded
}

/// The name at the front of `text`, which follows a `$`, and how many bytes it takes.
fn variable(text: &str) -> (Option<&str>, usize) {
    let bytes = text.as_bytes();
    if let Some(braced) = text.strip_prefix('{') {
        if bytes.len() > 2 && is_special(bytes[1]) && bytes[2] == b'}' {
            return (Some(&text[1..2]), 3);
        }
        return match braced.find('}') {
            Some(0) => (None, 2),
            Some(end) => (Some(&braced[..end]), end + 2),
            None => (None, 1),
        };
    }
    if bytes.first().is_some_and(|byte| is_special(*byte)) {
        return (Some(&text[..1]), 1);
    }
    let end = bytes.iter().position(|byte| !is_name(*byte)).unwrap_or(bytes.len());
    (Some(&text[..end]).filter(|name| !name.is_empty()), end)
}

/// Single characters that are names of their own.
fn is_special(byte: u8) -> bool {
    matches!(byte, b'*' | b'#' | b'$' | b'@' | b'!' | b'?' | b'-' | b'0'..=b'9')
}

fn is_name(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphanumeric()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn with_values(text: &str) -> String {
        let environment = |name: &str| match name {
            "TOKEN" => Some("t0k".to_owned()),
            "A_1" => Some("one".to_owned()),
            "*" => Some("star".to_owned()),
            "a b" => Some("odd".to_owned()),
            _ => None,
        };
        expand(text, &environment).text
    }

    #[test]
    fn expands_as_go_does() {
        let cases = [
            ("x=$TOKEN&y", "x=t0k&y"),
            ("${TOKEN}s", "t0ks"),
            ("$TOKENs", ""),
            ("$A_1/", "one/"),
            ("${*}|$*", "star|star"),
            ("a$$b", "ab"),
            ("cost$1.00", "cost.00"),
            ("100$", "100$"),
            ("a$ b$=c", "a$ b$=c"),
            ("$é", "$é"),
            ("a${}b", "ab"),
            ("a${TOKEN", "aTOKEN"),
            ("${a b}", "odd"),
            ("pa$ecret", "pa"),
        ];
        for (text, expected) in cases {
            assert_eq!(with_values(text), expected, "{text}");
        }
    }

    #[test]
    fn notices_a_variable_that_is_not_set() {
        assert!(expand("$NO", &|_| None).unset);
        assert!(!expand("$ ", &|_| None).unset);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[${}a-z*é ]{0,20}") {
            let _read = with_values(&text);
        }
    }
}
