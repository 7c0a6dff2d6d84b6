//! How the program ends.

use std::process::ExitCode;

use crate::config::ConfigError;

/// Why a command did not do what it was asked to. Printed as one line, `error: …`.
#[derive(Debug)]
pub(super) enum Failure {
    /// The command line is wrong. Exit code 2.
    Usage(String),
    /// Everything else, also damage that a command was asked to look for. Exit code 1.
    Failed(String),
    /// The reason has been printed already. Exit code 2.
    Printed,
}

impl Failure {
    /// A failure for a reason that is not the command line.
    pub(super) fn failed(reason: impl std::fmt::Display) -> Self {
        Self::Failed(reason.to_string())
    }

    /// Prints the reason on standard error, and gives the exit code.
    #[must_use]
    pub(super) fn report(&self) -> ExitCode {
        let (reason, code) = match self {
            Self::Usage(reason) => (reason, 2),
            Self::Failed(reason) => (reason, 1),
            Self::Printed => return ExitCode::from(2),
        };
        eprintln!("error: {}", one_line(reason));
        ExitCode::from(code)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        if error.is_usage() { Self::Usage(error.to_string()) } else { Self::failed(error) }
    }
}

/// The text without line breaks and other characters that could drive a terminal.
fn one_line(text: &str) -> String {
    let words = text.lines().map(str::trim).filter(|line| !line.is_empty());
    words
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_line() {
        assert_eq!(one_line("a\n  b\n\nc\u{1b}[2J"), "a b c [2J");
    }
}
