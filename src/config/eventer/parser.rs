//! The grammar of Go's `flag` package.
//!
//! One dash or two; `-name=value` or `-name value`; booleans take a value only after `=`; parsing
//! stops at the first argument that is not a flag, or after `--`.
//!
//! No message shows a value of `--source` or `--sink`: they carry secrets.

use super::flags::{self, FLAGS, Flag, Takes, Value};
use crate::config::nearest;

/// What the arguments say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Parsed {
    /// Flags in the order in which they were given.
    pub given: Vec<(&'static str, Value)>,
    /// `-h`, `-help`: whatever follows was not looked at.
    pub help: bool,
    /// Number of arguments that were not looked at, and why.
    pub ignored: Option<Ignored>,
}

/// Arguments that were not looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ignored {
    /// How many.
    pub count: usize,
    /// Number of the first of them, from 1.
    pub first: usize,
    /// Whether `--` came before them.
    pub after_terminator: bool,
    /// The boolean flag they follow, when the first of them looks like its value.
    pub value_of: Option<&'static str>,
}

impl Parsed {
    /// The last value given for a flag: a repeated flag overrides itself.
    pub(super) fn last(&self, name: &str) -> Option<&Value> {
        self.given.iter().rev().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// The last text given for a flag.
    pub(super) fn text(&self, name: &'static str) -> Option<&str> {
        self.texts(name).last()
    }

    /// All texts given for a flag.
    pub(super) fn texts(&self, name: &'static str) -> impl Iterator<Item = &str> {
        self.given.iter().filter(move |(known, _)| *known == name).filter_map(|(_, value)| {
            match value {
                Value::Text(text) => Some(text.as_str()),
                _ => None,
            }
        })
    }

    /// The last value given for a boolean flag.
    pub(super) fn boolean(&self, name: &str) -> Option<bool> {
        match self.last(name)? {
            Value::Boolean(value) => Some(*value),
            _ => None,
        }
    }

    /// The last value given for a flag that takes a number.
    pub(super) fn number(&self, name: &str) -> Option<i128> {
        match self.last(name)? {
            Value::Number(value) => Some(*value),
            _ => None,
        }
    }
}

/// Reads arguments. The error is one line that names the flag.
pub(super) fn parse(arguments: &[String]) -> Result<Parsed, String> {
    let mut parsed = Parsed::default();
    let mut rest = arguments.iter().enumerate();
    while let Some((index, argument)) = rest.next() {
        let Some(name) = argument.strip_prefix('-').filter(|name| !name.is_empty()) else {
            parsed.ignored = Some(ignored(arguments, index, false, &parsed));
            break;
        };
        if name == "-" {
            if index + 1 < arguments.len() {
                parsed.ignored = Some(ignored(arguments, index + 1, true, &parsed));
            }
            break;
        }
        let name = name.strip_prefix('-').unwrap_or(name);
        let (name, value) = match name.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (name, None),
        };
        if name.is_empty() || name.starts_with('-') {
            return Err(format!(
                "argument {} is not a flag: write --name=value or --name value",
                index + 1
            ));
        }
        let Some(flag) = flags::find(name) else {
            if matches!(name, "h" | "help") {
                parsed.help = true;
                return Ok(parsed);
            }
            return Err(unknown(name));
        };
        let value = match (value, flag.takes) {
            (Some(value), _) => value,
            (None, Takes::Boolean) => "true",
            (None, _) => match rest.next() {
                Some((_, value)) => value.as_str(),
                None => return Err(format!("--{name} needs a value: write --{name}=VALUE")),
            },
        };
        parsed.given.push((flag.name, read(flag, value)?));
    }
    Ok(parsed)
}

fn read(flag: &Flag, value: &str) -> Result<Value, String> {
    flag.takes.read(value).map_err(|reason| format!("--{}: {reason}", flag.name))
}

fn ignored(arguments: &[String], first: usize, after_terminator: bool, parsed: &Parsed) -> Ignored {
    let looks_like_a_value =
        arguments.get(first).is_some_and(|argument| Takes::Boolean.read(argument).is_ok());
    let value_of = match parsed.given.last() {
        Some((name, Value::Boolean(_))) if looks_like_a_value && !after_terminator => Some(*name),
        _ => None,
    };
    Ignored { count: arguments.len() - first, first: first + 1, after_terminator, value_of }
}

fn unknown(name: &str) -> String {
    let names: Vec<_> = FLAGS.iter().map(|flag| flag.name).collect();
    match nearest::nearest(name, &names) {
        Some(near) => format!("unknown flag --{}; did you mean --{near}?", printable(name)),
        None => format!(
            "unknown flag --{}; `kube-event-relay run --help` lists all flags",
            printable(name)
        ),
    }
}

/// A name from the command line, without characters that would break the line.
fn printable(name: &str) -> String {
    name.escape_debug().to_string()
}
