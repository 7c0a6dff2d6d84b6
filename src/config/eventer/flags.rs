//! Every flag: kube-eventer's own, klog's, and ours.

use super::number;
use crate::log::WhenFull;
use crate::setting::{ByteSize, Span};

/// A flag.
pub(super) struct Flag {
    /// Its name, without dashes.
    pub name: &'static str,
    /// What it takes.
    pub takes: Takes,
    /// Whose it is.
    pub origin: Origin,
    /// What it does, for the usage text.
    pub help: &'static str,
}

/// Whose flag it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// kube-eventer's own.
    Eventer,
    /// The logging library's; accepted because manifests carry them.
    Klog,
    /// Ours.
    Relay,
}

/// The type of a flag's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    /// `true` or `false`, only after `=`.
    Boolean,
    /// Any text.
    Text,
    /// A signed number of 64 bits.
    Integer,
    /// An unsigned number of 64 bits.
    Unsigned,
    /// A signed decimal number of 32 bits.
    Level,
    /// A duration.
    Duration,
    /// A size in bytes.
    Size,
    /// What to do when the log is full.
    WhenFull,
    /// The name of a severity, or a number.
    Severity,
    /// `pattern=level,…`.
    ModuleLevels,
    /// `file.go:line`.
    CodeLocation,
}

/// A value that has been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// Of [`Takes::Boolean`].
    Boolean(bool),
    /// Of [`Takes::Integer`], [`Takes::Unsigned`] and [`Takes::Level`].
    Number(i128),
    /// Of [`Takes::Duration`].
    Duration(Span),
    /// Of [`Takes::Size`].
    Size(ByteSize),
    /// Of [`Takes::WhenFull`].
    WhenFull(WhenFull),
    /// Of everything else.
    Text(String),
}

impl Takes {
    /// Reads a value; the error says what is wrong and what to write.
    pub(super) fn read(self, text: &str) -> Result<Value, String> {
        let unless = |condition: bool, expected: &str| {
            if condition {
                Ok(Value::Text(text.to_owned()))
            } else {
                Err(format!("{text:?} is not {expected}"))
            }
        };
        let number = |value: Option<i128>, expected: &str| {
            value.map(Value::Number).ok_or_else(|| format!("{text:?} is not {expected}"))
        };
        match self {
            Self::Boolean => number::boolean(text)
                .map(Value::Boolean)
                .ok_or_else(|| format!("{text:?} is not a boolean; write true or false")),
            Self::Text => Ok(Value::Text(text.to_owned())),
            Self::Integer => number(
                number::integer(text).filter(|value| i64::try_from(*value).is_ok()),
                "a whole number; write digits, such as 4",
            ),
            Self::Unsigned => number(
                number::integer(text)
                    .filter(|value| u64::try_from(*value).is_ok() && !text.starts_with(['+', '-'])),
                "a whole number; write digits, such as 8084",
            ),
            Self::Level => number(
                number::decimal_32(text).map(i128::from),
                "a level; write a number, such as 2",
            ),
            Self::Duration => text.parse().map(Value::Duration).map_err(display),
            Self::Size => text.parse().map(Value::Size).map_err(display),
            Self::WhenFull => match text {
                "pause" => Ok(Value::WhenFull(WhenFull::Pause)),
                "drop-oldest" => Ok(Value::WhenFull(WhenFull::DropOldest)),
                _ => Err(format!("{text:?} is not known; write pause or drop-oldest")),
            },
            Self::Severity => unless(
                is_severity(text),
                "a severity; write INFO, WARNING, ERROR, FATAL or a number",
            ),
            Self::ModuleLevels => {
                unless(is_module_levels(text), "a list of levels; write file=2,other=3")
            }
            Self::CodeLocation => {
                unless(is_code_location(text), "a place in code; write file.go:234")
            }
        }
    }
}

#[allow(clippy::needless_pass_by_value)] // used as a function value
fn display(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn is_severity(text: &str) -> bool {
    ["INFO", "WARNING", "ERROR", "FATAL"].contains(&text.to_uppercase().as_str())
        || number::decimal_32(text).is_some()
}

fn is_module_levels(text: &str) -> bool {
    text.split(',').filter(|part| !part.is_empty()).all(|part| {
        matches!(part.split('=').collect::<Vec<_>>().as_slice(), [pattern, level]
            if !pattern.is_empty() && number::decimal_32(level).is_some_and(|level| level >= 0))
    })
}

fn is_code_location(text: &str) -> bool {
    text.is_empty()
        || matches!(text.split(':').collect::<Vec<_>>().as_slice(), [file, line]
            if file.contains('.') && number::decimal_32(line).is_some_and(|line| line >= 0))
}

const fn eventer(name: &'static str, takes: Takes, help: &'static str) -> Flag {
    Flag { name, takes, origin: Origin::Eventer, help }
}

const fn klog(name: &'static str, takes: Takes) -> Flag {
    Flag { name, takes, origin: Origin::Klog, help: "" }
}

const fn relay(name: &'static str, takes: Takes, help: &'static str) -> Flag {
    Flag { name, takes, origin: Origin::Relay, help }
}

/// All flags. kube-eventer's and klog's are those of kube-eventer 1.2.14.
pub(super) static FLAGS: &[Flag] = &[
    eventer(
        "source",
        Takes::Text,
        "where events come from: kubernetes:<API server>[?options] (the cluster kubectl would ask)",
    ),
    eventer("sink", Takes::Text, "where events go: kind:<address>[?options]; may be repeated"),
    eventer("frequency", Takes::Duration, "accepted, without effect: events are delivered at once"),
    eventer("max_procs", Takes::Integer, "accepted, without effect"),
    eventer("healthz-ip", Takes::Text, "address of health, metrics and admin API (0.0.0.0)"),
    eventer("healthz-port", Takes::Unsigned, "their port (8084)"),
    eventer("event-metrics", Takes::Boolean, "count every event by reason and object (true)"),
    eventer("version", Takes::Boolean, "print the version and exit"),
    relay("config", Takes::Text, "read everything from this YAML file instead of flags"),
    relay("data-dir", Takes::Text, "where the log is kept (/var/lib/kube-event-relay)"),
    relay("start", Takes::Text, "what an empty log begins with: now, all, or a duration (now)"),
    relay("cluster", Takes::Text, "name of the cluster (default)"),
    relay("max-bytes", Takes::Size, "largest size of the log on disk (2GiB)"),
    relay("retain", Takes::Duration, "how long delivered events are kept (24h)"),
    relay("when-full", Takes::WhenFull, "pause or drop-oldest, when the log is full (pause)"),
    Flag { name: "v", takes: Takes::Level, origin: Origin::Klog, help: "how much is logged (0)" },
    klog("vmodule", Takes::ModuleLevels),
    klog("log_backtrace_at", Takes::CodeLocation),
    klog("log_dir", Takes::Text),
    klog("log_file", Takes::Text),
    klog("log_file_max_size", Takes::Unsigned),
    klog("logtostderr", Takes::Boolean),
    klog("alsologtostderr", Takes::Boolean),
    klog("alsologtostderrthreshold", Takes::Severity),
    klog("stderrthreshold", Takes::Severity),
    klog("legacy_stderr_threshold_behavior", Takes::Boolean),
    klog("add_dir_header", Takes::Boolean),
    klog("skip_headers", Takes::Boolean),
    klog("skip_log_headers", Takes::Boolean),
    klog("one_output", Takes::Boolean),
];

/// The flag with this name.
pub(super) fn find(name: &str) -> Option<&'static Flag> {
    FLAGS.iter().find(|flag| flag.name == name)
}
