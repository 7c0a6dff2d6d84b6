//! kube-eventer's `KIND:URI` notation of `--source` and `--sink`.
//!
//! Invariant: accepts and refuses what kube-eventer does (Go `net/url`), and reads the same options
//! out of it. What kube-eventer dropped silently is dropped with a warning. Neither errors nor
//! warnings nor `Debug` show any text of the URI except its kind, scheme, host and option names.

use std::fmt;

use super::expand::expand;

/// One value of `--source` or `--sink`, taken apart.
#[derive(Clone, PartialEq, Eq)]
pub struct EventerUri {
    /// What stands before the first colon, such as `webhook`. Never empty.
    pub kind: String,
    /// Everything after the first colon, with variables expanded.
    pub raw: String,
    /// Scheme, in lower case.
    pub scheme: Option<String>,
    /// User name and password, decoded.
    pub user_info: Option<String>,
    /// Host with port, if there is one. IPv6 addresses stay in brackets.
    pub host: Option<String>,
    /// Path, decoded. Empty when the text after the scheme starts with neither `/` nor `//`.
    pub path: String,
    /// Query as written, without the `?`; pairs that were dropped from `query` are still in it.
    pub raw_query: String,
    /// Options: decoded pairs in the order they were written.
    pub query: Vec<(String, String)>,
    /// Traps this text ran into, one sentence each.
    pub warnings: Vec<String>,
}

/// The text is not a URI kube-eventer would have accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEventerUri {
    /// Nothing stands before the first colon.
    #[error("there is no kind before the colon: write KIND or KIND:URI, such as log")]
    MissingKind,
    /// The part after the first colon is not a URL.
    #[error("{kind}: {reason}")]
    Url {
        /// The kind it was written for.
        kind: String,
        /// What is wrong and what to write instead.
        reason: &'static str,
    },
}

/// What is wrong with a URL, and what to write instead.
type Reason = &'static str;

const BAD_ESCAPE: Reason = "a % is not followed by two hexadecimal digits; write a plain % as %25";

impl EventerUri {
    /// Takes `text` apart. Variables are looked up with `environment`; one without a value is
    /// empty.
    pub fn parse(
        text: &str,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, InvalidEventerUri> {
        let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
        if kind.is_empty() {
            return Err(InvalidEventerUri::MissingKind);
        }
        let expanded = expand(rest, environment);
        let mut uri = Self {
            kind: kind.to_owned(),
            raw: expanded.text.clone(),
            scheme: None,
            user_info: None,
            host: None,
            path: String::new(),
            raw_query: String::new(),
            query: Vec::new(),
            warnings: Vec::new(),
        };
        if expanded.unset {
            uri.warnings.push(
                "a variable in it is not set and reads as empty; a literal `$` has to come out of \
                 a variable itself, because there is no escape for it"
                    .to_owned(),
            );
        }
        uri.read(&expanded.text)
            .map_err(|reason| InvalidEventerUri::Url { kind: kind.to_owned(), reason })?;
        Ok(uri)
    }

    /// The first value of an option, which is the one that counts unless the option is a list.
    #[must_use]
    pub fn first(&self, option: &str) -> Option<&str> {
        self.all(option).next()
    }

    /// Every value of an option.
    pub fn all<'a>(&'a self, option: &str) -> impl Iterator<Item = &'a str> {
        self.query.iter().filter(move |(name, _)| name == option).map(|(_, value)| value.as_str())
    }

    /// Go's `url.Parse`, step by step.
    fn read(&mut self, text: &str) -> Result<(), Reason> {
        let (text, fragment) = text.split_once('#').unwrap_or((text, ""));
        if text.bytes().any(|byte| byte.is_ascii_control()) {
            return Err("it contains a control character; percent-encode it, such as %0A");
        }
        decode(fragment, Plus::Stays)?;
        if self.raw.contains('#') {
            self.warnings.push(
                "what follows the `#` is not read; write a `#` inside a value as %23".to_owned(),
            );
        }
        let (scheme, rest) = split_scheme(text)?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        self.scheme = scheme.map(str::to_ascii_lowercase);
        query.clone_into(&mut self.raw_query);
        self.read_hierarchy(rest)?;
        if rest.contains('&') {
            self.warnings.push(
                "an `&` stands before the first `?`, so what follows it is part of the path and \
                 not an option; introduce the first option by `?`"
                    .to_owned(),
            );
        }
        self.read_query(query);
        Ok(())
    }

    /// Authority and path.
    fn read_hierarchy(&mut self, rest: &str) -> Result<(), Reason> {
        if !rest.starts_with('/') {
            if self.scheme.is_some() {
                return Ok(());
            }
            let segment = rest.split('/').next().unwrap_or_default();
            if segment.contains(':') {
                return Err(
                    "the first path segment contains a colon; write the scheme in front of \
                            the host, such as http://HOST:PORT",
                );
            }
        }
        let has_authority =
            rest.starts_with("//") && (self.scheme.is_some() || !rest.starts_with("///"));
        let path = if has_authority {
            let authority = &rest[2..];
            let end = authority.find('/').unwrap_or(authority.len());
            self.read_authority(&authority[..end])?;
            &authority[end..]
        } else {
            rest
        };
        self.path = decode(path, Plus::Stays)?;
        Ok(())
    }

    fn read_authority(&mut self, authority: &str) -> Result<(), Reason> {
        let host = match authority.rsplit_once('@') {
            None => authority,
            Some((user_info, host)) => {
                if !user_info.bytes().all(is_user_info) {
                    return Err("user name or password contain a character that must be \
                                percent-encoded, such as %40 for @");
                }
                self.user_info = Some(decode(user_info, Plus::Stays)?);
                host
            }
        };
        check_host(host)?;
        let host = decode(host, Plus::Stays)?;
        self.host = Some(host).filter(|host| !host.is_empty());
        Ok(())
    }

    /// Go's `url.Query`: a pair that cannot be read is dropped.
    fn read_query(&mut self, query: &str) {
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match read_pair(pair) {
                Some(pair) => self.query.push(pair),
                None => self.warnings.push(format!(
                    "option {} is ignored, because its pair contains a `;` or a % without two \
                     hexadecimal digits; write them as %3B and %25",
                    printable_name(pair)
                )),
            }
        }
    }
}

/// Name and value of one `name=value`, or `None` where Go drops it.
pub(crate) fn read_pair(pair: &str) -> Option<(String, String)> {
    if pair.contains(';') {
        return None;
    }
    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
    Some((decode(name, Plus::IsSpace).ok()?, decode(value, Plus::IsSpace).ok()?))
}

/// The name of a broken pair when it is plainly a name, otherwise nothing: it may be a secret.
fn printable_name(pair: &str) -> String {
    let is_name = |name: &str| name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric());
    match pair.split_once('=') {
        Some((name, _)) if is_name(name) => format!("`{name}`"),
        _ => "without a readable name".to_owned(),
    }
}

/// The scheme in front of a colon, unless the text cannot start with one.
fn split_scheme(text: &str) -> Result<(Option<&str>, &str), Reason> {
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' => {}
            b'0'..=b'9' | b'+' | b'-' | b'.' if at > 0 => {}
            b':' if at == 0 => return Err("the scheme is missing before the colon"),
            b':' => return Ok((Some(&text[..at]), &text[at + 1..])),
            _ => break,
        }
    }
    Ok((None, text))
}

fn check_host(host: &str) -> Result<(), Reason> {
    let port = if host.starts_with('[') {
        let end = host.rfind(']').ok_or("a `]` is missing after the IPv6 address")?;
        &host[end + 1..]
    } else {
        host.rfind(':').map_or("", |colon| &host[colon..])
    };
    let digits = port.strip_prefix(':').unwrap_or_default();
    if !port.is_empty() && (!port.starts_with(':') || !digits.bytes().all(|b| b.is_ascii_digit())) {
        return Err("the port is not a number");
    }
    let allowed = |byte: u8| {
        !byte.is_ascii()
            || byte.is_ascii_alphanumeric()
            || b"!$&'()*+,;=:[]<>\"-_.~%".contains(&byte)
    };
    if !host.bytes().all(allowed) {
        return Err("the host contains a character that no host name has");
    }
    let bytes = host.as_bytes();
    let bad_escape = |at: usize| {
        let code = bytes.get(at + 1..at + 3);
        // Of ASCII only `%25`, the zone mark of IPv6, may be encoded.
        code != Some(b"25")
            && !code.is_some_and(|code| matches!(code[0], b'8' | b'9' | b'a'..=b'f' | b'A'..=b'F'))
    };
    if bytes.iter().enumerate().any(|(at, byte)| *byte == b'%' && bad_escape(at)) {
        return Err("the host contains a percent escape that is not allowed there");
    }
    Ok(())
}

fn is_user_info(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(&byte)
}

/// What a `+` means.
#[derive(Clone, Copy, PartialEq)]
enum Plus {
    Stays,
    IsSpace,
}

/// Decodes percent escapes. Bytes that are no UTF-8 become U+FFFD.
fn decode(text: &str, plus: Plus) -> Result<String, Reason> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let (high, low) = (bytes.next().and_then(digit), bytes.next().and_then(digit));
                high.zip(low).map(|(high, low)| high << 4 | low).ok_or(BAD_ESCAPE)?
            }
            b'+' if plus == Plus::IsSpace => b' ',
            other => other,
        });
    }
    Ok(String::from_utf8(decoded)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

impl fmt::Debug for EventerUri {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options: Vec<_> = self.query.iter().map(|(name, _)| name).collect();
        formatter
            .debug_struct("EventerUri")
            .field("kind", &self.kind)
            .field("scheme", &self.scheme)
            .field("host", &self.host)
            .field("options", &options)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "uri_tests.rs"]
mod tests;
