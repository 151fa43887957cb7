use std::time::Duration;

use sap_comm::BoxError;
use sap_comm_testkit::TestkitError;

/// Why a run has no figures.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BenchError {
    /// The broker or the Node client could not be started.
    #[error(transparent)]
    Testkit(#[from] TestkitError),
    /// A client or the machine refused.
    #[error("cannot {doing}: {source}")]
    Refused {
        /// What was tried.
        doing: &'static str,
        /// Why it failed.
        source: BoxError,
    },
    /// Messages were published and did not arrive.
    #[error("{arrived} of {expected} messages arrived; then none for {waited:?}")]
    Lost {
        /// How many were published.
        expected: usize,
        /// How many arrived.
        arrived: usize,
        /// How long the next one was waited for.
        waited: Duration,
    },
    /// Messages arrived twice, or were never published.
    #[error("{0} messages arrived twice or were never published")]
    Unexpected(usize),
    /// A client's process failed.
    #[error("the client {client} failed: {reason}")]
    Client {
        /// The client's name.
        client: &'static str,
        /// What it said.
        reason: String,
    },
}

impl BenchError {
    /// Makes [`BenchError::Refused`] of whatever went wrong while `doing`.
    pub fn refused<E: Into<BoxError>>(doing: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::Refused { doing, source: source.into() }
    }
}
