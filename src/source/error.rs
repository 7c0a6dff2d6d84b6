//! What can go wrong with the source.

use std::path::PathBuf;

use crate::log::LogError;

/// What went wrong with the source. One line each: what failed, on what, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A setting that cannot be used.
    #[error("source.kubernetes.{field}: {reason}")]
    Setting {
        /// Its name.
        field: &'static str,
        /// What is wrong with it, and what to write instead.
        reason: String,
    },
    /// A file that is needed to reach the API server.
    #[error("cannot read {what} {path}: {cause}; {remedy}")]
    File {
        /// What it is.
        what: &'static str,
        /// Its path.
        path: PathBuf,
        /// Why.
        cause: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The way to the API server is not described well enough.
    #[error("cannot tell how to reach the Kubernetes API server: {0}")]
    Access(String),
    /// The API server did not answer.
    #[error("the Kubernetes API server cannot be reached: {0}")]
    Unreachable(String),
    /// The API server refused a request.
    #[error("{0}")]
    Refused(String),
    /// The address now leads to another cluster.
    #[error(
        "the API server now belongs to another cluster (uid of namespace kube-system is {found}, \
         the log belongs to {expected}); use another data directory for another cluster"
    )]
    AnotherCluster {
        /// The cluster the log belongs to.
        expected: String,
        /// The cluster that answered.
        found: String,
    },
    /// The log failed.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// An error and what caused it, on one line; causes that the text names already are left out.
pub(super) fn in_one_line(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
