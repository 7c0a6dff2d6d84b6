//! Deliberate faults: the test of the tests.
//!
//! A promise is kept by a test only if the test fails once the promise is broken. Each fault breaks
//! one; `tests/mutants.rs` switches them on, one at a time, and some test has to notice.
//!
//! Invariant: without the cargo feature `faults`, which no release has, no fault can be switched on.

/// A way to break a promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A commit returns without `fdatasync`.
    SkipSync,
    /// The frontier moves before the blocks up to it are durable.
    PublishBeforeCommit,
    /// Trimming removes one segment that is still needed.
    TrimOneTooFar,
    /// A record answered with a 4xx counts as accepted.
    DropOnClientError,
    /// A failed write to the log is passed over.
    SwallowWriteError,
    /// A cursor moves past a record that is to be tried again.
    AdvancePastRetry,
    /// A sync that failed is tried again, and its success is believed.
    RetryFailedSync,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::SkipSync,
        Self::PublishBeforeCommit,
        Self::TrimOneTooFar,
        Self::DropOnClientError,
        Self::SwallowWriteError,
        Self::AdvancePastRetry,
        Self::RetryFailedSync,
    ];

    /// The variable of the environment that names the fault to switch on.
    pub const VARIABLE: &'static str = "KUBE_EVENT_RELAY_FAULT";

    /// Its name in that variable.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SkipSync => "skip-sync",
            Self::PublishBeforeCommit => "publish-before-commit",
            Self::TrimOneTooFar => "trim-one-too-far",
            Self::DropOnClientError => "drop-on-client-error",
            Self::SwallowWriteError => "swallow-write-error",
            Self::AdvancePastRetry => "advance-past-retry",
            Self::RetryFailedSync => "retry-failed-sync",
        }
    }

    /// Whether it is switched on.
    #[cfg(feature = "faults")]
    #[must_use]
    pub fn is_on(self) -> bool {
        static NAME: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
        let name = NAME.get_or_init(|| std::env::var(Self::VARIABLE).ok());
        name.as_deref() == Some(self.name())
    }

    /// Whether it is switched on: never.
    #[cfg(not(feature = "faults"))]
    #[must_use]
    #[inline]
    pub const fn is_on(self) -> bool {
        false
    }
}
