use std::fmt;

use sap_comm_core::{ApiError, BoxError, ErrorCode};

/// What becomes of an event after its handler.
#[derive(Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// It is handled.
    Ack,
    /// It is handled again after a delay, until the attempts run out; then it is a dead letter.
    Retry {
        /// Why.
        reason: BoxError,
    },
    /// It is a dead letter at once: another attempt would fail in the same way.
    DeadLetter {
        /// Why.
        reason: BoxError,
    },
    /// It goes back to the end of its queue at once, for another consumer; too often, and it is a dead letter.
    Requeue,
}

/// Why a handler did not handle an event, and whether another attempt may.
///
/// Any error becomes a retry through `?`.
pub struct HandlerError(Outcome);

impl HandlerError {
    /// Another attempt may succeed.
    pub fn retry(reason: impl Into<BoxError>) -> Self {
        Self(Outcome::Retry { reason: reason.into() })
    }

    /// No attempt will succeed: the event is a dead letter at once.
    pub fn permanent(reason: impl Into<BoxError>) -> Self {
        Self(Outcome::DeadLetter { reason: reason.into() })
    }

    /// Another consumer should take it, at once.
    #[must_use]
    pub fn requeue() -> Self {
        Self(Outcome::Requeue)
    }
}

impl<E: Into<BoxError>> From<E> for HandlerError {
    fn from(error: E) -> Self {
        Self::retry(error)
    }
}

impl From<Result<(), HandlerError>> for Outcome {
    fn from(result: Result<(), HandlerError>) -> Self {
        match result {
            Ok(()) => Self::Ack,
            Err(HandlerError(outcome)) => outcome,
        }
    }
}

impl fmt::Debug for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HandlerError").field(&self.0).finish()
    }
}

/// The code that an error reports as: that of the first [`ApiError`] among its causes, `UNKNOWN_ERROR` without one.
pub(crate) fn code_of(error: &BoxError) -> ErrorCode {
    let first: &(dyn std::error::Error + 'static) = &**error;
    let mut causes = std::iter::successors(Some(first), |cause| cause.source());
    let api = causes.find_map(|cause| cause.downcast_ref::<ApiError>());
    api.map_or(ErrorCode::UNKNOWN_ERROR, |error| error.code().clone())
}
