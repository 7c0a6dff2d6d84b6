//! Why there is no configuration.

use std::path::PathBuf;

/// A configuration that cannot be used. One line, with the place and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}: {cause}; check the path and its permissions", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// Something in the file is wrong.
    #[error("{}:{line}:{column}: {message}", path.display())]
    InFile {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: u64,
        /// Column in characters, from 1.
        column: u64,
        /// What is wrong, and what to write instead.
        message: String,
    },
    /// Something on the command line is wrong.
    #[error("{0}")]
    OnCommandLine(String),
    /// The configuration cannot be written down.
    #[error("cannot write the configuration as YAML: {reason}")]
    Unwritable {
        /// Why.
        reason: String,
    },
}

impl ConfigError {
    /// Whether the command line itself is wrong, rather than a file it names.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::OnCommandLine(_))
    }
}
