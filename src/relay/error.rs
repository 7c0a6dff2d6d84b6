//! Why a relay cannot start, or had to stop.

use super::control::ControlError;
use super::lookup::LookupError;
use crate::log::{LogError, VerifyError};
use crate::sink::{HttpClientError, SinkError};
use crate::source::SourceError;

/// Why a relay cannot start, or had to stop. An operator acts on all of them; a restart is worth
/// trying for [`RelayError::Log`] and [`RelayError::Bug`].
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// A sink cannot be built from its configuration.
    #[error("sink {name:?}: {cause}")]
    Sink {
        /// Its name.
        name: String,
        /// What is wrong.
        cause: SinkError,
    },
    /// Two sinks would share cursors and metrics.
    #[error("two sinks are named {0:?}: names must be unique")]
    DuplicateSink(String),
    /// The HTTP client of the sinks cannot be built.
    #[error(transparent)]
    HttpClient(#[from] HttpClientError),
    /// The source cannot be used, or every stream was refused.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The log or the state failed, or the data directory was refused.
    #[error(transparent)]
    Log(#[from] LogError),
    /// What a stopped relay left behind cannot be looked through.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// A record that a stopped relay left behind cannot be shown.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// A change of what a stopped relay left behind was refused.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// There is no relay's data at this path.
    #[error("there is no data directory at {0}: check --data-dir")]
    NoDirectory(std::path::PathBuf),
    /// The directory to be read is of an older format.
    #[error(
        "data directory {path} has format {found}, older than this version's {known}: \
         `kube-event-relay migrate --data-dir {path}` brings it there, and so does starting the relay"
    )]
    Older {
        /// The directory.
        path: std::path::PathBuf,
        /// Its format.
        found: u32,
        /// The format of this program.
        known: u32,
    },
    /// The directory to be read belongs to a relay that runs.
    #[error(
        "a relay is running on data directory {path}: it is in use by {holder}; ask it with \
         --server instead of --data-dir"
    )]
    Running {
        /// The directory.
        path: std::path::PathBuf,
        /// Process, host and time of the holder, as it wrote them.
        holder: String,
    },
    /// The operating system refused a thread or a signal handler.
    #[error("the operating system refused a thread or a signal handler: {0}")]
    System(std::io::Error),
    /// A part of the relay ended where it must not.
    #[error("{0} ended unexpectedly, which is a bug of the relay; it has to be restarted")]
    Bug(String),
}
